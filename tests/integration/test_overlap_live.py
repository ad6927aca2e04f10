"""Two runs over the same partitions, from two terminals: refused, joined, queued, or taken over by a higher class."""

from __future__ import annotations

import os
import select
import signal
import time
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from runs_from_terminals import LIMIT_S, Terminals

from headgate.model.run import AttemptState, RunState
from headgate.store.sqlite import open_store

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator
    from pathlib import Path

    from headgate.model.run import Attempt

pytestmark = pytest.mark.slow

TOML = """
[project]
modules = ["shared_pipeline"]
[workers]
processes = 2
"""
PIPELINE = """
import time
from pathlib import Path

import pyarrow as pa

import headgate

DAYS = headgate.daily("2024-01-01", "2024-01-07")
HERE = Path(__file__).parent


@headgate.dataset(partitions=DAYS)
def sales(ctx: headgate.Context) -> pa.Table:
    with (HERE / "started").open("a") as started:
        started.write(ctx.key + "\\n")
    while (HERE / "hold-sales").exists():
        time.sleep(0.01)
    return pa.table({"day": [ctx.key], "run": [ctx.run]})


@headgate.dataset(partitions=headgate.daily("2024-01-01", "2024-01-03"), batches=0)
def parts(ctx: headgate.Context):
    n = ctx.resume_from or 0
    while n < 3 or (HERE / "hold-parts").exists():
        yield headgate.Batch(pa.table({"n": [n], "run": [ctx.run]}), offset=n + 1)
        n += 1
        time.sleep(0.05)


@headgate.dataset(partitions=DAYS)
def clean(sales: pa.Table) -> pa.Table:
    while (HERE / "hold-clean").exists():
        time.sleep(0.01)
    return sales
"""
DAYS = 6


class Place(Terminals):
    """A project with a backfill of everything under way, whose attempts are held."""

    def backfill(self, reason: str, *arguments: str) -> subprocess.Popen[str]:
        return self.start("backfill", "sales+", "--yes", "--reason", reason, *arguments)

    def until_started(self, count: int) -> None:
        until_s = time.monotonic() + LIMIT_S
        while not (self.root / "started").exists() or len((self.root / "started").read_text().split()) < count:
            assert time.monotonic() < until_s, self.data("status")
            select.select([], [], [], 0.02)

    def held(self, *arguments: str) -> subprocess.Popen[str]:
        """Start a backfill; return when attempts of it fill both workers."""
        self.hold("sales")
        process = self.backfill("first", *arguments)
        self.until_started(2)
        return process

    def run(self, reason: str) -> str:
        return next(run["id"] for run in self.data("status")["runs"] if run["reason"] == reason)

    def waits_for(self, reason: str) -> set[str]:
        """Return for which runs a run waits, once it does."""
        run, until_s = self.run(reason), time.monotonic() + LIMIT_S
        while True:
            assert time.monotonic() < until_s
            told = self.data("status", run, "--why")["why"]
            held = [one["hold"] for one in told["held"]] if told else []
            if held and all(one["reason"] == "other_run" for one in held):
                return {one["what"] for one in held}

    def until_made(self, dataset: str, count: int) -> None:
        """Return when so many partitions of a dataset have heads."""
        until_s = time.monotonic() + LIMIT_S
        while len(self.heads(dataset)) < count:
            assert time.monotonic() < until_s, self.data("status")
            select.select([], [], [], 0.02)

    def attempts(self) -> dict[str, list[Attempt]]:
        """Return the attempts of each run, by its reason, but for those never begun. All runs have succeeded."""
        store = open_store(self.root / ".headgate" / "state.db", data_root=self.root / "data", create=False)
        try:
            assert {run.state for run in store.runs()} == {RunState.SUCCEEDED}
            return {
                run.reason: [one for one in store.attempts(run.id) if one.state is not AttemptState.RETURNED]
                for run in store.runs()
            }
        finally:
            store.close()

    def heads(self, dataset: str) -> dict[str, int]:
        """Return the attempt that made the head of each partition."""
        store = open_store(self.root / ".headgate" / "state.db", data_root=self.root / "data", create=False)
        try:
            return {version.key: version.id for version in store.heads(dataset)}
        finally:
            store.close()


def partitions(attempts: list[Attempt]) -> Counter[tuple[str, str]]:
    return Counter((attempt.dataset, attempt.key) for attempt in attempts)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    (tmp_path / "headgate.toml").write_text(TOML)
    (tmp_path / "shared_pipeline.py").write_text(PIPELINE)
    made = Place(tmp_path)
    yield made
    made.clean_up()


def test_a_second_backfill_of_the_same_is_refused_with_the_names(place: Place) -> None:
    first = place.held()
    _, err = place.end(place.backfill("second", "--end", "2024-01-03"), code=1)
    assert (
        f"run {place.run('first')} is under way and builds 2 of these partitions of sales (2024-01-01 to 2024-01-02)"
        in err
    )
    assert "--overlap join waits for them and takes them, --overlap queue builds them after it" in err
    place.release("sales")
    place.end(first)
    assert list(place.attempts()) == ["first"]


def test_who_joins_waits_and_builds_nothing_twice(place: Place) -> None:
    first = place.held()
    second = place.backfill("second", "--overlap", "join")
    place.wait_for_run(state="running", count=2)
    run = place.run("first")
    assert place.waits_for("second") == {run}
    text, _ = place.call("status", place.run("second"), "--why")
    assert f"another run builds the partition  until run {run} has ended with it" in text
    place.release("sales")
    place.end(first)
    out, _ = place.end(second)
    assert "succeeded" in out
    assert "inputs unchanged" not in out
    assert f"{2 * DAYS} of {2 * DAYS} taken from another run" in out
    record = place.data("runs", "show", place.run("second"))
    assert (record["taken"], record["skipped"]) == (2 * DAYS, 0)
    assert [(part["taken"], part["rest"]) for part in record["datasets"]] == [(DAYS, 0)] * 2
    text, _ = place.call("runs", "show", place.run("second"))
    assert f"{2 * DAYS} of {2 * DAYS} partitions done, {2 * DAYS} of {2 * DAYS} taken from another run" in text
    assert place.data("runs", "show", place.run("first"))["taken"] == 0
    attempts = place.attempts()
    assert attempts["second"] == []
    assert partitions(attempts["first"]).total() == 2 * DAYS
    place.call("check", "--state")


def test_who_queues_builds_everything_once_more_afterwards(place: Place) -> None:
    first = place.held()
    second = place.backfill("second", "--overlap", "queue")
    place.wait_for_run(state="running", count=2)
    assert place.waits_for("second") == {place.run("first")}
    place.release("sales")
    place.end(first)
    place.end(second)
    attempts = place.attempts()
    assert partitions(attempts["first"]) == partitions(attempts["second"])
    assert partitions(attempts["first"]).total() == 2 * DAYS
    assert {one.state for made in attempts.values() for one in made} == {AttemptState.SUCCEEDED}
    assert set(place.heads("sales").values()) <= {one.id for one in attempts["second"]}
    # Which run made this matters less than what it was made from.
    assert place.data("query", "select distinct run from clean") == [{"run": place.run("second")}]
    place.call("check", "--state")


def test_a_fresh_run_stops_an_older_attempt_and_the_older_run_takes_its_result(place: Place) -> None:
    # With more days it could begin another between the end of one attempt and that of the other.
    first = place.held("--end", "2024-01-03")
    held = sorted((place.root / "started").read_text().split())
    second = place.backfill("second", "--class", "fresh", "--end", "2024-01-03")
    place.until_started(4)
    # The two that were held are gone, or the others could not have begun.
    assert sorted((place.root / "started").read_text().split()) == sorted(held * 2)
    place.release("sales")
    out, _ = place.end(second)
    assert "succeeded: 4 partitions" in out
    place.end(first)
    attempts = place.attempts()
    stopped = [one for one in attempts["first"] if one.state is not AttemptState.SUCCEEDED]
    assert [(one.dataset, one.key, one.state) for one in sorted(stopped, key=lambda one: one.key)] == [
        ("sales", key, AttemptState.CANCELLED) for key in held
    ]
    assert all(count == 1 for count in partitions(attempts["first"]).values())
    of_second = {one.id for one in attempts["second"]}
    assert {place.heads("sales")[key] for key in held} <= of_second
    assert {place.heads("clean")[key] for key in held} <= of_second
    place.call("check", "--state")
    staged = [path.name for path in (place.root / "data").rglob("*.parquet")]
    assert len(staged) == 2 * len(held)


def test_batches_that_an_overtaken_attempt_has_saved_do_not_stay(place: Place) -> None:
    place.hold("parts")
    first = place.start("backfill", "parts", "--yes", "--reason", "first")
    parts = place.root / "data" / "parts"
    until_s = time.monotonic() + LIMIT_S
    while len(list(parts.rglob("*-p0001.parquet"))) < 2:
        assert time.monotonic() < until_s
        select.select([], [], [], 0.02)
    second = place.start("backfill", "parts", "--class", "fresh", "--yes", "--reason", "second")
    while len(list(parts.glob("*"))) < 2:
        assert time.monotonic() < until_s
        select.select([], [], [], 0.02)
    place.release("parts")
    place.end(second)
    place.end(first)
    attempts = place.attempts()
    assert {one.state for one in attempts["first"]} == {AttemptState.CANCELLED}
    assert set(place.heads("parts").values()) == {one.id for one in attempts["second"]}
    place.call("check", "--state")
    place.call("backfill", "sales", "--yes", "--reason", "third")
    # The coordinator of that one has collected them.
    assert [path.name for path in parts.iterdir() if any(path.iterdir())] == [place.run("second")]


def test_who_joined_goes_on_alone_when_the_coordinator_is_killed(place: Place) -> None:
    first = place.held()
    second = place.backfill("second", "--overlap", "join")
    place.wait_for_run(state="running", count=2)
    assert place.waits_for("second") == {place.run("first")}
    os.killpg(first.pid, signal.SIGKILL)
    first.communicate()
    place.release("sales")
    out, _ = place.end(second)
    assert "succeeded: 12 partitions" in out
    place.call("resume", place.run("first"))
    assert {one.state for one in place.attempts()["second"]} == {AttemptState.SUCCEEDED}
    place.call("check", "--state")


@pytest.mark.parametrize("overlap", ["join", "queue"])
def test_what_was_taken_by_joining_is_not_built_again_after_a_crash(place: Place, overlap: str) -> None:
    place.hold("clean")
    first = place.held("--all")
    second = place.backfill("second", "--all", "--overlap", overlap)
    place.wait_for_run(state="running", count=2)
    place.waits_for("second")
    place.release("sales")
    place.until_made("sales", 2)
    for process in (second, first):
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    made = set(place.heads("sales"))
    place.release("clean")
    out, _ = place.call("resume", place.run("second"))
    told = f"{len(made)} of {2 * DAYS} taken from another run"
    place.call("resume", place.run("first"))
    again = {one.key for one in place.attempts()["second"] if one.dataset == "sales"}
    if overlap == "join":
        assert told in out
        assert not again & made
    else:
        assert "taken" not in out
        assert made <= again
    place.call("check", "--state")
