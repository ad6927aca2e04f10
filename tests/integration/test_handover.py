"""Several runs at once, from several terminals: the first one's coordinator drives them all."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest
from runs_from_terminals import Terminals

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.slow

TOML = """
[project]
modules = ["two_tables"]
[workers]
processes = 2
[classes.backfill]
ceiling = "50%"
"""
PIPELINE = """
import time
from pathlib import Path

import pyarrow as pa

import headgate

DAYS = headgate.daily("2024-01-01", "2024-01-13")
HERE = Path(__file__).parent


def held(ctx, name):
    with (HERE / f"started-{name}").open("a") as started:
        started.write(ctx.key + "\\n")
    while (HERE / f"hold-{name}").exists():
        time.sleep(0.01)
    return pa.table({"day": [ctx.key]})


@headgate.dataset(partitions=DAYS)
def old(ctx: headgate.Context) -> pa.Table:
    return held(ctx, "old")


@headgate.dataset(partitions=DAYS)
def new(ctx: headgate.Context) -> pa.Table:
    return held(ctx, "new")
"""


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Terminals]:
    (tmp_path / "headgate.toml").write_text(TOML)
    (tmp_path / "two_tables.py").write_text(PIPELINE)
    made = Terminals(tmp_path)
    yield made
    made.clean_up()


def backfill(place: Terminals, dataset: str, *arguments: str) -> subprocess.Popen[str]:
    return place.start("backfill", dataset, "--yes", "--reason", f"{dataset} is needed", *arguments)


def test_a_fresh_run_starts_beside_a_backfill_that_fills_what_it_may(place: Terminals) -> None:
    place.hold("old")
    first = backfill(place, "old")
    place.wait_for("started-old", first)
    second = backfill(place, "new", "--class", "fresh")
    out, _ = place.end(second)
    assert "succeeded: 12 partitions" in out
    assert first.poll() is None
    # Half of two workers: the other one was never taken.
    assert len((place.root / "started-old").read_text().split()) == 1
    place.release("old")
    out, _ = place.end(first)
    assert "succeeded: 12 partitions" in out
    runs = place.data("status")["runs"]
    assert [run["state"] for run in runs] == ["succeeded", "succeeded"]


def test_the_follower_takes_over_when_the_coordinator_is_killed(place: Terminals) -> None:
    place.hold("old")
    place.hold("new")
    first = backfill(place, "old")
    place.wait_for("started-old", first)
    second = backfill(place, "new")
    place.wait_for_run(state="running", count=2)
    place.release("new")
    os.kill(first.pid, signal.SIGKILL)
    first.communicate()
    out, _ = place.end(second)
    assert "succeeded: 12 partitions" in out
    runs = {run["reason"]: run["state"] for run in place.data("status")["runs"]}
    assert runs == {"new is needed": "succeeded", "old is needed": "interrupted"}
    place.release("old")
    place.call("resume", place.data("status")["runs"][1]["id"])
    assert place.data("query", "select count(*) n from old")[0]["n"] == 12
    place.call("check", "--state")


def test_partitions_that_a_live_run_builds_are_refused(place: Terminals) -> None:
    place.hold("old")
    first = backfill(place, "old")
    place.wait_for("started-old", first)
    _, err = place.end(backfill(place, "old", "--end", "2024-01-05"), code=1)
    assert "is under way and builds 4 of these partitions of old" in err
    place.release("old")
    place.end(first)


def test_an_unknown_class_is_refused(place: Terminals) -> None:
    _, err = place.end(backfill(place, "old", "--class", "backfil"), code=2)
    assert "backfil" in err
    assert "Did you mean backfill?" in err


def test_who_ends_first_is_told_at_once_and_drives_on(place: Terminals) -> None:
    place.hold("new")
    place.hold("old")
    first = backfill(place, "old")
    place.wait_for("started-old", first)
    # Of another class and small, or its held tasks would keep the workers that the first one needs.
    second = backfill(place, "new", "--class", "fresh", "--end", "2024-01-02")
    place.wait_for_run(state="running", count=2)
    place.release("old")
    assert first.stdout is not None
    assert first.stderr is not None
    told = iter(first.stdout.readline, "")
    assert any("succeeded: 12 partitions" in line for line in told)
    assert any("another run goes on in this process" in line for line in iter(first.stderr.readline, ""))
    assert first.poll() is None
    place.release("new")
    assert "succeeded: 1 partition in" in place.end(second)[0]
    assert "succeeded" not in place.end(first)[0]


def test_every_follower_goes_on_when_the_coordinator_is_killed(place: Terminals) -> None:
    place.hold("old")
    place.hold("new")
    first = backfill(place, "old", "--end", "2024-01-05")
    place.wait_for("started-old", first)
    followers = [backfill(place, "new"), backfill(place, "old", "--start", "2024-01-05")]
    place.wait_for_run(state="running", count=3)
    os.kill(first.pid, signal.SIGKILL)
    first.communicate()
    place.release("new")
    place.release("old")
    for follower, partitions in zip(followers, (12, 8), strict=True):
        assert f"succeeded: {partitions} partitions" in place.end(follower)[0]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_who_stops_following_leaves_the_run_alone(place: Terminals, number: signal.Signals) -> None:
    place.hold("old")
    place.hold("new")
    first = backfill(place, "old")
    place.wait_for("started-old", first)
    second = backfill(place, "new")
    place.wait_for_run(state="running", count=2)
    second.send_signal(number)
    out, _ = place.end(second, code=130)
    assert "it goes on in another process" in out
    place.release("new")
    place.release("old")
    place.end(first)
    assert [run["state"] for run in place.data("status")["runs"]] == ["succeeded", "succeeded"]


def test_stopping_the_coordinator_says_what_becomes_of_the_runs_of_others(place: Terminals) -> None:
    place.hold("old")
    place.hold("new")
    first = backfill(place, "old", "--end", "2024-01-07")
    assert first.stderr is not None
    own = first.stderr.readline().split()[1]
    place.wait_for("started-old", first)
    followed = backfill(place, "new")
    place.wait_for_run(state="running", count=2)
    left = backfill(place, "old", "--start", "2024-01-07")
    place.wait_for_run(state="running", count=3)
    left.send_signal(signal.SIGINT)
    place.end(left, code=130)
    first.send_signal(signal.SIGINT)
    place.release("old")
    place.release("new")
    _, err = place.end(first, code=130)
    told = err.partition("2 other runs were interrupted with it:\n")[2]
    for run in place.data("status")["runs"]:
        assert (f"  headgate -C {place.root} resume {run['id']}\n" in told) == (run["id"] != own)
    assert "A terminal that follows one of them goes on with it by itself." in err
    assert "succeeded: 12 partitions" in place.end(followed)[0]


def test_a_class_that_could_never_start_is_refused(place: Terminals) -> None:
    with (place.root / "headgate.toml").open("a") as toml:
        toml.write("[classes.off]\npriority = 1\nceiling = 0\n")
    _, err = place.end(backfill(place, "old", "--class", "off"), code=2)
    assert "could never start anything" in err
