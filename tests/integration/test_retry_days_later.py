"""A retry days later makes again what had failed, for the windows of then: real processes on a shifted clock."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from runs_from_terminals import Terminals

from headgate.model.run import AttemptState
from headgate.store.sqlite import open_store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.slow

# Python imports a module of this name before anything else, in workers too.
CLOCK = """
import os
import time

real_ns, shift_ns = time.time_ns, int(os.environ["SHIFT_NS"])
time.time_ns = lambda: real_ns() + shift_ns
time.time = lambda: time.time_ns() / 1e9
"""
TOML = """
[project]
modules = ["late_pipeline"]
[workers]
processes = 2
"""
PIPELINE = """
import time
from pathlib import Path

import pyarrow as pa

import headgate

DAYS = headgate.daily("2026-03-26", tz="Europe/Berlin")
HERE = Path(__file__).parent


def note(ctx, *more):
    with (HERE / f"calls-{ctx.dataset}").open("a") as calls:
        calls.write(" ".join([ctx.key, f"{ctx.start:%d.%H:%M}", f"{ctx.end:%d.%H:%M}", *more]) + "\\n")


@headgate.dataset(partitions=DAYS)
def day(ctx: headgate.Context) -> pa.Table:
    note(ctx)
    while ctx.key >= "2026-03-30" and (HERE / "hold-day").exists():
        time.sleep(0.01)
    if ctx.key in ("2026-03-27", "2026-03-29") and (HERE / "bad").exists():
        raise ValueError("no good")
    return pa.table({"day": [ctx.key]})


@headgate.dataset(partitions=DAYS, inputs={"days": headgate.input("day", headgate.trailing(2))})
def trend(ctx: headgate.Context, days: pa.Table) -> pa.Table:
    note(ctx, *sorted(days["day"].to_pylist()))
    return days
"""
NEW = ["2026-03-30", "2026-03-31", "2026-04-01", "2026-04-02"]
FAILED_DAYS = [
    "2026-03-27 26.23:00 27.23:00",
    "2026-03-29 28.23:00 29.22:00",  # Summer time begins: a day of 23 hours.
]
BLOCKED_TRENDS = [
    "2026-03-27 26.23:00 27.23:00 2026-03-26 2026-03-27",
    "2026-03-28 27.23:00 28.23:00 2026-03-27 2026-03-28",
    "2026-03-29 28.23:00 29.22:00 2026-03-28 2026-03-29",
]


class Place(Terminals):
    """A project whose clock is set."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__(root)
        self._monkeypatch = monkeypatch
        (root / "clock").mkdir()
        (root / "clock" / "sitecustomize.py").write_text(CLOCK)
        monkeypatch.setenv("PYTHONPATH", str(root / "clock"), prepend=os.pathsep)

    def set_clock(self, moment: datetime) -> None:
        """Let the commands that follow begin at a moment, or a little after it."""
        at_ns = int(moment.timestamp()) * 1_000_000_000
        self._monkeypatch.setenv("SHIFT_NS", str(at_ns - time.time_ns()))

    def calls(self, dataset: str) -> list[str]:
        """Return what was called for since the last time, ordered: partitions, their windows, and what they read."""
        file = self.root / f"calls-{dataset}"
        lines = sorted(file.read_text().splitlines()) if file.exists() else []
        file.unlink(missing_ok=True)
        return lines

    def attempts(self, run: str) -> list[tuple[str, str, int, AttemptState]]:
        """Return what was tried in a run, ordered; not what a busy worker gave back without a try."""
        store = open_store(self.root / ".headgate" / "state.db", data_root=self.root / "data", create=False)
        try:
            tried = [one for one in store.attempts(run) if one.state is not AttemptState.RETURNED]
            return sorted((one.dataset, one.key, one.number, one.state) for one in tried)
        finally:
            store.close()


ATTEMPTS = [
    ("day", "2026-03-26", 1, AttemptState.SUCCEEDED),
    ("day", "2026-03-27", 1, AttemptState.FAILED),
    ("day", "2026-03-27", 2, AttemptState.SUCCEEDED),
    ("day", "2026-03-28", 1, AttemptState.SUCCEEDED),
    ("day", "2026-03-29", 1, AttemptState.FAILED),
    ("day", "2026-03-29", 2, AttemptState.SUCCEEDED),
    ("trend", "2026-03-26", 1, AttemptState.SUCCEEDED),
    ("trend", "2026-03-27", 1, AttemptState.SUCCEEDED),
    ("trend", "2026-03-28", 1, AttemptState.SUCCEEDED),
    ("trend", "2026-03-29", 1, AttemptState.SUCCEEDED),
]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    (tmp_path / "headgate.toml").write_text(TOML)
    (tmp_path / "late_pipeline.py").write_text(PIPELINE)
    made = Place(tmp_path, monkeypatch)
    yield made
    made.clean_up()


@pytest.fixture
def failed(place: Place) -> str:
    """Return the id of a run of a Monday morning whose Friday and Sunday failed, when it is Friday, past midnight."""
    place.set_clock(datetime(2026, 3, 30, 9, 30, tzinfo=UTC))
    (place.root / "bad").touch()
    place.call("backfill", "trend", "day", "--yes", "--reason", "until yesterday", code=1)
    assert [line.split()[0] for line in place.calls("day")] == [f"2026-03-{day}" for day in (26, 27, 28, 29)]
    assert [line.split()[0] for line in place.calls("trend")] == ["2026-03-26"]
    (place.root / "bad").unlink()
    place.set_clock(datetime(2026, 4, 2, 22, 30, tzinfo=UTC))
    return str(place.data("status", "latest")["run"]["id"])


def test_a_retry_days_later_keeps_the_original_windows(place: Place, failed: str) -> None:
    """dbt-core#11423: there a retry makes other windows, those that end when it begins."""
    out, _ = place.call("retry", failed, "--reason", "mended")
    assert "succeeded" in out
    assert place.calls("day") == FAILED_DAYS
    assert place.calls("trend") == BLOCKED_TRENDS
    assert place.attempts(failed) == ATTEMPTS
    # Four days have ended since: they are for another run to make.
    place.call("backfill", "trend", "day", "--yes", "--reason", "since then")
    assert [line.split()[0] for line in place.calls("day")] == NEW
    assert [line.split()[0] for line in place.calls("trend")] == NEW


def test_a_coordinator_of_new_windows_that_takes_up_a_retry_keeps_its_windows(place: Place, failed: str) -> None:
    """dbt-core#11423, where the retry is handed to a coordinator that has planned for the windows since."""
    place.hold("day")
    since = place.start("backfill", "day", "--start", NEW[0], "--yes", "--reason", "since then")
    place.wait_for("calls-day", since)
    retry = place.start("retry", failed, "--reason", "mended")
    place.wait_for_run(state="running", count=2)
    place.release("day")
    place.end(since)
    place.end(retry)
    days = place.calls("day")
    assert days[:2] == FAILED_DAYS
    assert [line.split()[0] for line in days[2:]] == NEW
    assert place.calls("trend") == BLOCKED_TRENDS
    assert place.attempts(failed) == ATTEMPTS
