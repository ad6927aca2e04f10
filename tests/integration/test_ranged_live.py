"""A month in one call, each day of it on its own: versions, failures, kills, cancels, retries; real processes."""

from __future__ import annotations

import json
import os
import select
import signal
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
import pytest
from runs_from_terminals import LIMIT_S, Terminals

from headgate.model.run import AttemptState, RunState
from headgate.store.sqlite import open_store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from headgate.model.run import Attempt
    from headgate.store.store import Store

pytestmark = pytest.mark.slow

TOML = """
[project]
modules = ["ranged_pipeline"]
[workers]
processes = 2
[retry]
backoff = 0.01
[breaker]
failures = 1000
"""
PIPELINE = """
import asyncio
import json
import os
import time
from datetime import date
from pathlib import Path

import pyarrow as pa

import headgate

DAYS = headgate.daily("2024-01-01", "2024-01-31")
POISON = "2024-01-17"
HERE = Path(__file__).parent


def begun(ctx):
    with (HERE / f"calls-{ctx.dataset}").open("a") as calls:
        calls.write(json.dumps([os.getpid(), ctx.attempt, *ctx.keys]) + "\\n")
    if POISON in ctx.keys and (HERE / "poison").exists():
        raise ValueError("no good: " + POISON)


def rows(keys):
    return pa.table({"day": [date.fromisoformat(key) for key in keys for _ in range(2)]})


@headgate.dataset(partitions=DAYS, batch=30, partition_column="day")
def month(ctx: headgate.Context) -> pa.Table:
    begun(ctx)
    while (HERE / "hold-month").exists():
        time.sleep(0.01)
    if (HERE / "full").exists() and len(ctx.keys) > 1:
        # What is there is never overwritten: as if the disk took all but this one.
        at = ctx.keys.index(POISON)
        (HERE / "data" / "month" / ctx.run / f"{POISON}-a{ctx.attempt + at:04d}.parquet").write_text("taken")
    return rows([*ctx.keys, "2024-02-01"] if (HERE / "strangers").exists() else ctx.keys)


@headgate.dataset(partitions=DAYS, batch=30, partition_column="day")
async def called(ctx: headgate.Context) -> pa.Table:
    begun(ctx)
    await asyncio.sleep(0)
    return rows(ctx.keys)
"""
POISON = "2024-01-17"
DAYS = 30


class Place(Terminals):
    """A project with a dataset whose partitions are made thirty at a time."""

    def calls(self, dataset: str = "month") -> list[list[Any]]:
        """Return the process, the attempt and the keys of each call."""
        return [json.loads(line) for line in (self.root / f"calls-{dataset}").read_text().splitlines()]

    def sizes(self, dataset: str = "month") -> list[int]:
        return [len(keys) for _, _, *keys in self.calls(dataset)]

    def wait_for_calls(self, count: int) -> None:
        until_s = time.monotonic() + LIMIT_S
        while len(self.calls()) < count:
            assert time.monotonic() < until_s, self.calls()
            select.select([], [], [], 0.02)

    def store(self) -> Store:
        return open_store(self.root / ".headgate" / "state.db", data_root=self.root / "data", create=False)

    def attempts(self) -> list[Attempt]:
        """Return the attempts of the newest run."""
        store = self.store()
        try:
            return list(store.attempts(store.runs()[0].id))
        finally:
            store.close()

    def failed(self) -> dict[str, str]:
        """Return why partitions failed for good in the newest run."""
        return {
            one.key: one.failure.message for one in self.attempts() if one.state is AttemptState.FAILED and one.failure
        }

    def check(self, dataset: str, *, without: str = "") -> None:
        """Check that every partition was published once, with its own rows, and that nothing else is there."""
        self.call("check", "--state")
        store = self.store()
        try:
            heads = {version.key: version for version in store.heads(dataset)}
            made = [checkpoint.key for run in store.runs() for checkpoint in store.run_checkpoints(run.id)]
        finally:
            store.close()
        assert sorted(heads) == sorted(made)
        assert heads.keys() == {f"2024-01-{day:02d}" for day in range(1, DAYS + 1)} - {without}
        assert len({version.id for version in heads.values()}) == len(heads)
        for key, version in heads.items():
            (file,) = version.files
            days = pq.read_table(self.root / "data" / file.path).column("day").to_pylist()
            assert (version.rows, [day.isoformat() for day in days]) == (2, [key] * 2)
        on_disk = list((self.root / "data" / dataset).rglob("*.parquet"))
        assert len(on_disk) == len(heads)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    (tmp_path / "headgate.toml").write_text(TOML)
    (tmp_path / "ranged_pipeline.py").write_text(PIPELINE)
    made = Place(tmp_path)
    yield made
    made.clean_up()


@pytest.mark.parametrize("dataset", ["month", "called"])
def test_a_month_is_one_call_and_each_day_a_version(place: Place, dataset: str) -> None:
    out, _ = place.call("backfill", dataset, "--yes", "--reason", "all")
    assert "succeeded: 30 partitions" in out
    assert place.sizes(dataset) == [DAYS]
    place.check(dataset)
    first, *_ = attempts = place.attempts()
    assert {attempt.lead for attempt in attempts} == {first.id}
    told = place.data("runs", "show", "latest")["forecast"]
    assert [one["attempts"] for one in (*told["datasets"], *told["forecast"]["datasets"])] == [1, 1]
    assert told["slot_ms"] <= told["elapsed_ms"]
    # A month with a hole is two calls.
    place.call("backfill", dataset, "--all", "--start", "2024-01-05", "--end", "2024-01-08", "--yes", "--reason", "3")
    assert place.sizes(dataset) == [DAYS, 3]


@pytest.mark.parametrize("dataset", ["month", "called"])
def test_a_poison_day_is_found_and_goes_alone_when_it_is_retried(place: Place, dataset: str) -> None:
    (place.root / "poison").touch()
    place.call("backfill", dataset, "--yes", "--reason", "all", code=1)
    assert place.sizes(dataset) == [DAYS, *[1] * DAYS]
    assert place.failed() == {POISON: f"ValueError: no good: {POISON}"}
    place.check(dataset, without=POISON)
    (place.root / "poison").unlink()
    assert "succeeded" in place.call("retry", "latest", "--reason", "mended")[0]
    assert place.calls(dataset)[-1][2:] == [POISON]
    assert len(place.calls(dataset)) == 1 + DAYS + 1
    place.check(dataset)


def test_a_worker_that_is_killed_in_the_middle_loses_nothing(place: Place) -> None:
    place.hold("month")
    process = place.start("backfill", "month", "--yes", "--reason", "all")
    place.wait_for("calls-month", process)
    os.kill(place.calls()[0][0], signal.SIGKILL)
    place.release("month")
    out, _ = place.end(process)
    assert "succeeded: 30 partitions" in out
    states = [one.state for one in place.attempts()]
    assert states.count(AttemptState.LOST) == DAYS
    assert states.count(AttemptState.SUCCEEDED) == DAYS
    place.check("month")


def test_a_coordinator_that_is_killed_in_the_middle_loses_nothing(place: Place) -> None:
    place.hold("month")
    process = place.start("backfill", "month", "--yes", "--reason", "all")
    place.wait_for("calls-month", process)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    place.release("month")
    assert "succeeded" in place.call("resume", "latest")[0]
    # It was no fault of theirs, so they go together again.
    assert place.sizes() == [DAYS, DAYS]
    place.check("month")


def test_a_run_that_is_cancelled_in_the_middle_leaves_nothing_and_can_be_retried(place: Place) -> None:
    place.hold("month")
    process = place.start("backfill", "month", "--yes", "--reason", "all")
    place.wait_for("calls-month", process)
    place.call("cancel", "latest", "--reason", "not now")
    place.end(process, code=1)
    store = place.store()
    assert [run.state for run in store.runs()] == [RunState.CANCELLED]
    assert list(store.heads("month")) == []
    store.close()
    assert {one.state for one in place.attempts()} == {AttemptState.CANCELLED}
    assert list((place.root / "data" / "month").rglob("*.parquet")) == []
    place.release("month")
    assert "succeeded" in place.call("retry", "latest")[0]
    assert place.sizes() == [DAYS, DAYS]
    place.check("month")


def test_a_fresh_run_stops_a_month_for_its_days_and_the_other_days_go_together_again(place: Place) -> None:
    place.hold("month")
    process = place.start("backfill", "month", "--yes", "--reason", "all")
    place.wait_for("calls-month", process)
    days = ["--start", "2024-01-11", "--end", "2024-01-14"]
    fresh = place.start("backfill", "month", *days, "--class", "fresh", "--yes", "--reason", "three")
    place.wait_for_calls(3)
    place.release("month")
    assert "succeeded: 3 partitions" in place.end(fresh)[0]
    place.end(process)
    # Those before and after the three; none of them has failed.
    assert sorted(place.sizes()) == [3, 10, 17, DAYS]
    store = place.store()
    states = {
        run.reason: Counter(one.state for one in store.attempts(run.id) if one.state is not AttemptState.RETURNED)
        for run in store.runs()
    }
    store.close()
    assert states == {
        "three": {AttemptState.SUCCEEDED: 3},
        "all": {AttemptState.SUCCEEDED: DAYS - 3, AttemptState.CANCELLED: 3},
    }
    place.check("month")


def test_a_day_that_cannot_be_staged_fails_by_itself(place: Place) -> None:
    (place.root / "full").touch()
    out, _ = place.call("backfill", "month", "--yes", "--reason", "all")
    assert "succeeded: 30 partitions" in out
    assert [keys for _, _, *keys in place.calls()][1:] == [[POISON]]
    (other,) = [one for one in place.attempts() if one.state is not AttemptState.SUCCEEDED]
    assert (other.key, other.state) == (POISON, AttemptState.RETRIED)
    assert other.failure is not None
    place.check("month")


def test_rows_of_other_days_are_refused_by_name(place: Place) -> None:
    (place.root / "strangers").touch()
    out, err = place.call("backfill", "month", "--yes", "--reason", "all", code=1)
    assert "2 rows of month do not belong to partition 2024-01-01: day is 2024-02-01" in out + err
    assert "Return only rows of ctx.keys." in out + err
    assert len(place.failed()) == DAYS
    together = place.attempts()[0].failure
    assert together is not None
    assert together.message == (
        "2 rows of month belong to none of the partitions 2024-01-01 to 2024-01-30: day is 2024-02-01"
    )
    assert list((place.root / "data" / "month").rglob("*.parquet")) == []
