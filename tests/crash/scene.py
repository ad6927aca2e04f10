"""A small project whose processes the crash tests kill, and what must hold afterwards."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from headgate.store.sqlite import open_store

DAYS = 12
TASKS = 3 * DAYS + 2
PARTS = 6
FILES = TASKS - DAYS - 1 + PARTS
"""One for each version: `announced` has none, `readings` one for each batch."""

CONFIG = """
[project]
name = "crash"
modules = ["crash_pipeline"]

[workers]
processes = 2

# Workers that are killed again and again would open it, and the run would wait for its cool-down.
[breaker]
failures = 1000000
"""

PIPELINE = """
import pyarrow as pa
import pyarrow.compute as pc

import headgate

DAYS = headgate.daily("2024-01-01", "2024-01-13")

landed = headgate.source("landed", path="landing/{key}.csv", partitions=DAYS)


@headgate.dataset(partitions=DAYS)
def events(landed: pa.Table) -> pa.Table:
    return landed.append_column("twice", pc.multiply(landed["value"], 2))


@headgate.dataset(partitions=DAYS, inputs={"events": headgate.trailing(3)})
def trend(events: pa.Table) -> pa.Table:
    return events.group_by("name").aggregate([("twice", "sum"), ("value", "count")])


@headgate.dataset(partitions=DAYS)
def announced(trend) -> None:
    return None


@headgate.dataset
def total(events: pa.Table) -> pa.Table:
    return events.group_by("name").aggregate([("twice", "sum")])


@headgate.dataset(batches=0)
def readings(total: pa.Table, ctx):
    for n in range(ctx.resume_from or 0, 6):
        ctx.set_watermark(n)
        yield headgate.Batch(total.append_column("n", pa.array([n] * total.num_rows)), offset=n + 1)
"""


class Scene:
    """A project in a folder of its own, driven through the command line."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "landing").mkdir(parents=True)
        (root / "headgate.toml").write_text(CONFIG)
        (root / "crash_pipeline.py").write_text(PIPELINE)
        for day in range(1, DAYS + 1):
            rows = "".join(f"n{row % 5},{row * day}\n" for row in range(40))
            (root / "landing" / f"2024-01-{day:02d}.csv").write_text("name,value\n" + rows)

    def start(self, *arguments: str, crash_at: str = "") -> subprocess.Popen[str]:
        """Start a command in a process group of its own."""
        environment = {k: v for k, v in os.environ.items() if k != "HEADGATE_CRASH_AT"}
        if crash_at:
            environment["HEADGATE_CRASH_AT"] = crash_at
        return subprocess.Popen(
            [sys.executable, "-m", "headgate", "-C", str(self.root), *arguments],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def call(self, *arguments: str, crash_at: str = "") -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        process = self.start(*arguments, crash_at=crash_at)
        out, err = process.communicate(timeout=120)
        return subprocess.CompletedProcess(arguments, process.returncode, out, err)

    def backfill(self, crash_at: str = "") -> subprocess.CompletedProcess[str]:
        """Backfill everything."""
        return self.call("backfill", "--yes", "--reason", "crash test", crash_at=crash_at)

    def finish(self) -> None:
        """Bring the newest run to its end, or start one if there is none, undisturbed."""
        runs = json.loads(self.call("status", "--json").stdout)["runs"]
        if not runs:
            done = self.backfill()
        elif runs[0]["state"] == "succeeded":
            return
        elif runs[0]["state"] == "failed":
            done = self.call("retry", runs[0]["id"])
        else:
            done = self.call("resume", runs[0]["id"])
        assert done.returncode in {0, 1}, done.stderr
        if done.returncode == 1:
            # Failed tasks of the disturbed session stay failed in a resume: they want a retry.
            retried = self.call("retry", "latest")
            assert retried.returncode == 0, retried.stderr

    def contents(self) -> dict[tuple[str, str], str]:
        """Return the content of every head of the datasets."""
        store = open_store(self.root / ".headgate" / "state.db", data_root=self.root / "data", create=False)
        try:
            return {
                (version.dataset, version.key): f"{version.content} {version.schema}"
                for name in ("events", "trend", "announced", "total", "readings")
                for version in store.heads(name)
            }
        finally:
            store.close()

    def assert_sound(self, expected: dict[tuple[str, str], str]) -> None:
        """Assert that everything is there once, as in an undisturbed run, and that the state is sound."""
        assert self.contents() == expected
        checked = self.call("check", "--state")
        assert checked.returncode == 0, checked.stdout + checked.stderr
        store = open_store(self.root / ".headgate" / "state.db", data_root=self.root / "data", create=False)
        try:
            published = sum(json.loads(e.body).get("new", 0) for e in store.journal_entries() if e.kind == "publish")
            assert store.running_attempts() == []
            assert store.uncollected_attempts() == []
        finally:
            store.close()
        assert published == TASKS
        on_disk = set((self.root / "data").rglob("*.parquet"))
        assert len(on_disk) == FILES, "files that no head shows were left behind"


def children(pid: int) -> list[int]:
    """Return the child processes of a process."""
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return []


def kill(pid: int) -> None:
    """Kill a process if it is there."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
