"""A project that somebody may look at and not change: its folders cannot be written."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from headgate.drivers.session import Session
from headgate.store.sqlite import open_store

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow

TOML = """
[project]
modules = ["looked_at_pipeline"]
[workers]
processes = 1
"""
PIPELINE = """
import pyarrow as pa
import headgate as hg

@hg.dataset(partitions=hg.daily("2024-01-01", "2024-01-04"))
def sales(ctx: hg.Context) -> pa.Table:
    return pa.table({"day": [ctx.key]})
"""
_DROP_CAPABILITY, _IGNORE_PERMISSIONS = 24, 1
"""Of prctl(2) and capabilities(7)."""


def without_privilege() -> None:
    """Let permissions hold for root as well. Runs between fork and exec."""
    if os.geteuid() == 0:
        ctypes.CDLL(None).prctl(_DROP_CAPABILITY, _IGNORE_PERMISSIONS, 0, 0, 0)


def headgate(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-B", "-m", "headgate", "-C", str(root), *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        preexec_fn=without_privilege,
        check=False,
    )


def closed(root: Path) -> None:
    """Take the right to write from all folders of a project, or skip the test where that means nothing."""
    for folder in (root, *(path for path in root.rglob("*") if path.is_dir())):
        folder.chmod(0o555)
    touch = [sys.executable, "-c", f"open({str(root / 'new')!r}, 'w')"]
    if subprocess.run(touch, capture_output=True, preexec_fn=without_privilege, check=False).returncode == 0:
        pytest.skip("nothing keeps this user from writing")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    made = tmp_path / "project"
    made.mkdir()
    (made / "headgate.toml").write_text(TOML)
    (made / "looked_at_pipeline.py").write_text(PIPELINE)
    done = headgate(made, "backfill", "--end", "2024-01-03", "--yes", "--reason", "two days")
    assert done.returncode == 0, done.stderr
    return made


def copied(root: Path, *, index: bool) -> Path:
    """Return a copy of a project as a crash leaves it: its last change, a run, is in the log only."""
    copy = root.with_name("copy")
    store = open_store(root / ".headgate" / "state.db", data_root=root / "data", create=False)
    try:
        with store.transaction() as tx:
            tx.journal("note", author="ada", run="", reason="the last change", body={}, now_ms=1)
        shutil.copytree(root, copy)
    finally:
        store.close()
    assert (copy / ".headgate" / "state.db-wal").stat().st_size > 0
    if not index:
        (copy / ".headgate" / "state.db-shm").unlink()
    return copy


def test_who_may_not_write_can_look(root: Path) -> None:
    closed(root)
    for arguments, said in (
        (("status",), "two days"),
        (("runs", "show", "latest"), "2 of 2 partitions done"),
        (("query", "select count(*) n from sales"), "2"),
        (("history", "sales", "2024-01-01"), " bytes "),
        (("explain", "sales", "2024-01-01"), "sales"),
        (("plan",), "1 partition to build"),
        (("journal",), "run.succeeded"),
    ):
        done = headgate(root, *arguments)
        assert (done.returncode, said in done.stdout) == (0, True), (arguments, done.stdout, done.stderr)
    done = headgate(root, "backfill", "--yes", "--reason", "the third")
    assert done.returncode == 1
    assert "state.db: it cannot be " in done.stderr
    assert "Traceback" not in done.stderr


def test_what_is_in_the_log_is_read_by_the_index_beside_it(root: Path) -> None:
    copy = copied(root, index=True)
    closed(copy)
    done = headgate(copy, "journal")
    assert (done.returncode, "the last change" in done.stdout) == (0, True), done.stderr


def test_a_log_that_nobody_here_can_read_is_not_passed_over(root: Path) -> None:
    copy = copied(root, index=False)
    closed(copy)
    done = headgate(copy, "status")
    assert (done.returncode, done.stdout) == (1, ""), done.stdout
    assert "its last changes are in state.db-wal, and only who may write to its folder can read them" in done.stderr
    assert "hint: Let somebody who may write there run `headgate status` first." in done.stderr


def test_who_may_not_write_sees_what_a_live_coordinator_does(root: Path) -> None:
    session = Session(root)
    try:
        with session.store.lead("a test"), session.store.transaction() as tx:
            tx.journal("note", author="ada", run="", reason="just now", body={}, now_ms=1)
        closed(root)
        done = headgate(root, "journal")
        assert (done.returncode, "just now" in done.stdout) == (0, True), done.stderr
    finally:
        session.close()


def test_who_may_not_write_can_rehearse_a_rollback(root: Path) -> None:
    closed(root)
    done = headgate(root, "drill")
    assert (done.returncode, "everything held" in done.stdout) == (0, True), done.stderr
    assert "not in the journal: state store" in done.stdout
