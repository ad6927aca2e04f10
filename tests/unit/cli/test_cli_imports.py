"""What is light must stay light: looked at in a process of its own, by what is imported."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from headgate.model.run import Run, RunKind, RunState
from headgate.project.places import DATA_DEFAULT, STATE_DEFAULT
from headgate.store.sqlite import open_store

if TYPE_CHECKING:
    from pathlib import Path

HEAVY = ("numpy", "pydantic", "polars", "pyarrow", "duckdb", "pandas", "asyncio", "rich", "msgspec", "multiprocessing")

UNREAD = ("hashlib", "headgate.model.plan", "headgate.project.load", "headgate.store.sqlite_transaction")
"""What `status` needs in no case, and costs some milliseconds each."""

PROBE = """
import sys
from headgate.cli.main import main
try:
    main(sys.argv[1:])
except SystemExit as end:
    assert end.code == 0, end.code
print(*[name for name in {unwanted!r} if name in sys.modules], file=sys.stderr)
print(*[name for name in sys.modules if name.startswith("headgate.cli.")], file=sys.stderr)
"""


def imported(*arguments: str) -> tuple[str, list[str]]:
    command = [sys.executable, "-c", PROBE.format(unwanted=HEAVY + UNREAD), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    unwanted, cli = done.stderr.splitlines()
    return unwanted, cli.split()


@pytest.fixture
def empty(tmp_path: Path) -> Path:
    (tmp_path / "headgate.toml").write_text("")
    return tmp_path


def test_help_imports_no_command_and_nothing_heavy() -> None:
    assert imported("--help") == ("", ["headgate.cli.main"])


@pytest.fixture
def with_run(empty: Path) -> Path:
    run = Run("r1", RunKind.BACKFILL, RunState.RUNNING, "", "me", '{"datasets": []}', "h4sh", 1, None)
    store = open_store(empty / STATE_DEFAULT, data_root=empty / DATA_DEFAULT, create=True)
    with store.transaction() as transaction:
        transaction.add_run(run)
    store.close()
    return empty


@pytest.mark.parametrize("arguments", [("status",), ("status", "--json"), ("status", "latest", "--why")])
def test_status_imports_nothing_heavy(with_run: Path, arguments: tuple[str, ...]) -> None:
    unwanted, cli = imported("-C", str(with_run), *arguments)
    assert unwanted == ""
    assert set(cli) == {f"headgate.cli.{name}" for name in ("main", "status", "options", "text")}
