"""Attempts that come back when it is too late: their workers were stopped, or their inputs are no longer what is read.

Functions write down that they have begun, and wait until they may go on, so that a test decides what happens between.
"""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import pytest
from scene import Scene, kill

from headgate.store.sqlite import open_store

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

pytestmark = pytest.mark.slow

CONFIG = """
[project]
name = "zombies"
modules = ["zombie_pipeline"]

[workers]
processes = 1
heartbeat_timeout_s = HEARTBEAT

[retry]
backoff = 0.01
"""

PIPELINE = """
import os
import time
from pathlib import Path

import pyarrow as pa

import headgate

HERE = Path(__file__).parent


@headgate.dataset
def numbers() -> pa.Table:
    return pa.table({"n": list(range(10)), "of": [NUMBERS] * 10})


@headgate.dataset
def sums(numbers: pa.Table, ctx) -> pa.Table:
    (HERE / "begun" / str(ctx.attempt)).write_text(str(os.getpid()))
    while (HERE / "wait").exists():
        time.sleep(0.01)
    return numbers.append_column("by", pa.array([SUMS] * 10)).append_column("attempt", pa.array([ctx.attempt] * 10))
"""
WHY = ("--reason", "zombies")


class Slow(Scene):
    """A project whose second table waits for as long as the test says."""

    def __init__(self, root: Path, heartbeat_s: int) -> None:
        self.root = root
        (root / "begun").mkdir(parents=True)
        (root / "headgate.toml").write_text(CONFIG.replace("HEARTBEAT", str(heartbeat_s)))
        self.write()

    def write(self, numbers: int = 1, sums: int = 1) -> None:
        """Make the code another."""
        text = PIPELINE.replace("NUMBERS", str(numbers)).replace("SUMS", str(sums))
        (self.root / "zombie_pipeline.py").write_text(text)

    def begin(self, *arguments: str) -> tuple[subprocess.Popen[str], int, int]:
        """Start a command that builds sums; return it, the attempt and the worker once the function has begun."""
        before = {path.name for path in (self.root / "begun").iterdir()}
        (self.root / "wait").touch()
        process = self.start(*arguments, *WHY)
        (begun,) = until(lambda: [p for p in (self.root / "begun").iterdir() if p.name not in before and p.read_text()])
        return process, int(begun.name), int(begun.read_text())

    def done(self, *arguments: str) -> str:
        done = self.call(*arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def latest(self) -> str:
        store = open_store(self.root / ".headgate" / "state.db", data_root=self.root / "data", create=False)
        try:
            return store.runs()[0].id
        finally:
            store.close()

    def go_on(self) -> None:
        """Let the functions that wait go on."""
        (self.root / "wait").unlink()

    def states(self) -> dict[int, str]:
        """Return how all attempts of sums have ended, by their numbers."""
        store = open_store(self.root / ".headgate" / "state.db", data_root=self.root / "data", create=False)
        try:
            return {a.id: a.state for run in store.runs() for a in store.attempts(run.id) if a.dataset == "sums"}
        finally:
            store.close()

    def assert_whole(self, *, numbers: int, sums: int) -> int:
        """Assert that readers see ten rows of one attempt, and that nothing is wrong; return the attempt."""
        rows: list[dict[str, Any]] = json.loads(self.done("query", "select * from sums", "--json"))
        assert sorted(row["n"] for row in rows) == list(range(10))
        assert {(row["of"], row["by"]) for row in rows} == {(numbers, sums)}
        self.done("check", "--state")
        (attempt,) = {row["attempt"] for row in rows}
        return int(attempt)

    def files(self) -> set[Path]:
        return set((self.root / "data" / "sums").rglob("*.parquet"))


Found = TypeVar("Found")


def until(what: Callable[[], Found]) -> Found:
    """Wait until there is something."""
    until_s = time.monotonic() + 60
    while not (found := what()):
        assert time.monotonic() < until_s
        time.sleep(0.01)
    return found


def is_gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_a_stopped_worker_is_lost_and_what_it_did_counts_for_nothing(tmp_path: Path) -> None:
    scene = Slow(tmp_path / "project", heartbeat_s=3)
    process, first, worker = scene.begin("backfill", "--yes")
    os.kill(worker, signal.SIGSTOP)
    scene.go_on()
    _, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert is_gone(worker), "a worker that may come back has to be dead before another takes its place"
    published = scene.assert_whole(numbers=1, sums=1)
    assert scene.states() == {first: "lost", published: "succeeded"}
    assert len(scene.files()) == 1


def test_a_worker_that_outlives_its_coordinator_publishes_nothing(tmp_path: Path) -> None:
    scene = Slow(tmp_path / "project", heartbeat_s=30)
    process, first, worker = scene.begin("backfill", "--yes")
    os.kill(worker, signal.SIGSTOP)
    kill(process.pid)
    process.communicate(timeout=60)
    scene.go_on()
    scene.done("resume", "latest")
    os.kill(worker, signal.SIGCONT)
    until(lambda: is_gone(worker))
    published = scene.assert_whole(numbers=1, sums=1)
    assert scene.states() == {first: "lost", published: "succeeded"}
    # It may have staged its file in the moment before it noticed, when that was collected already.
    (file,) = [path for path in scene.files() if path.name.endswith(f"a{published:04d}.parquet")]
    file.with_name(file.name.replace(f"{published:04d}", f"{first:04d}")).write_bytes(b"late")
    scene.done("vacuum", "--yes", *WHY)
    assert scene.files() == {file}


def test_an_attempt_on_older_inputs_does_not_replace_what_was_made_from_newer_ones(tmp_path: Path) -> None:
    scene = Slow(tmp_path / "project", heartbeat_s=30)
    scene.done("backfill", "--yes", *WHY)
    scene.write(numbers=2, sums=2)
    scene.done("backfill", "--yes", "--approve-first", *WHY)
    newer = scene.latest()
    scene.write(numbers=2, sums=3)
    process, older, worker = scene.begin("backfill", "sums", "--yes")
    os.kill(worker, signal.SIGSTOP)
    scene.done("publish", newer, *WHY)
    scene.go_on()
    os.kill(worker, signal.SIGCONT)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 1, err
    assert scene.assert_whole(numbers=2, sums=2) != older
    assert scene.states()[older] == "superseded"


@pytest.mark.parametrize("downstream", ["--with-downstream", "--leave-downstream"])
def test_an_attempt_on_inputs_that_are_rolled_back_meanwhile_publishes_nothing(tmp_path: Path, downstream: str) -> None:
    scene = Slow(tmp_path / "project", heartbeat_s=30)
    scene.done("backfill", "--yes", *WHY)
    scene.write(numbers=2, sums=1)
    scene.done("backfill", "numbers", "--yes", *WHY)
    bad = scene.latest()
    scene.done("backfill", "sums", "--yes", *WHY)
    scene.write(numbers=2, sums=2)
    process, late, worker = scene.begin("backfill", "sums", "--yes")
    os.kill(worker, signal.SIGSTOP)
    scene.done("rollback", bad, downstream, "--yes", *WHY)
    scene.go_on()
    os.kill(worker, signal.SIGCONT)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 1, err
    is_back = downstream == "--with-downstream"
    assert scene.assert_whole(numbers=1 if is_back else 2, sums=1) != late
    assert scene.states()[late] == "superseded"
