"""What is said of a request's range: what was cut off, and why nothing is left."""

from __future__ import annotations

import pytest
from planning_worlds import built, dataset, snapshot, source

from headgate.model.partitioning import UNPARTITIONED, daily, hourly, minutely, monthly, static, weekly
from headgate.model.plan import Request
from headgate.planning.empty import empty_because
from headgate.planning.planner import make_plan

DAYS = daily("2013-03-25")  # seven of them have ended


def said(world, *select: str, start: str | None = None, end: str | None = None) -> str:
    request = Request(select, start, end)
    plan = make_plan(world, request)
    assert plan.size == 0
    return empty_because(world, request, plan)


def week():
    return built(snapshot(source("files", DAYS), dataset("clean", DAYS, "files"), dataset("ports", static(["a", "b"]))))


def test_a_start_before_the_first_window_is_cut_and_said():
    world = snapshot(dataset("a", DAYS), dataset("b", DAYS), dataset("c", hourly("2013-03-30T06:00")))
    plan = make_plan(world, Request((), "2013-03-01", "2013-03-31"))
    assert plan.notes == (
        "--start 2013-03-01 is before the start of a and b: cut to 2013-03-25",
        "--start 2013-03-01 is before the start of c: cut to 2013-03-30T06:00:00",
    )
    assert [part.indices[0] for part in plan.datasets] == [0, 0, 0]


@pytest.mark.parametrize(
    ("start", "end"),
    [("2013-03-25", None), (None, "2013-03-27"), ("2013-03-26", "2013-03-27"), ("2013-03-01", "2013-03-25")],
)
def test_nothing_is_said_of_a_start_that_is_not_cut(start, end):
    assert make_plan(snapshot(dataset("a", DAYS)), Request((), start, end)).notes == ()


def test_the_start_is_compared_in_the_zone_of_the_dataset():
    world = snapshot(dataset("a", daily("2013-03-25", tz="Asia/Tokyo")))
    assert make_plan(world, Request((), "2013-03-25")).notes == ()
    assert make_plan(world, Request((), "2013-03-24T15:00Z")).notes == ()
    assert len(make_plan(world, Request((), "2013-03-24T14:59Z")).notes) == 1


def test_many_datasets_are_counted():
    world = snapshot(*(dataset(name, DAYS) for name in "abcde"))
    (note,) = make_plan(world, Request((), "2013-03-01")).notes
    assert note == "--start 2013-03-01 is before the start of a, b, c and 2 more: cut to 2013-03-25"


def test_all_up_to_date():
    assert said(week()) == "all 9 partitions are up to date"
    assert said(week(), "clean", start="2013-03-26", end="2013-03-27") == (
        "the only partition in this range is up to date"
    )


def test_what_is_stale_above_of_what_is_up_to_date_is_said_with_how_to_ask_for_it():
    world = built(snapshot(dataset("a", DAYS), dataset("b", DAYS, "a"), dataset("s", DAYS, "b")))
    world.datasets["b"] = dataset("b", DAYS, "a", code="newer")
    assert said(world, "s") == "all 7 partitions are up to date; b upstream is stale: +s"
    assert said(world, "s", end="2013-03-26") == (
        "the only partition in this range is up to date; b upstream is stale: +s"
    )
    world.datasets["a"] = dataset("a", DAYS, code="newer")
    assert said(world, "s") == "all 7 partitions are up to date; a and b upstream are stale: +s"
    world.heads["a"].held.update(dict.fromkeys(range(7), "r1"))
    assert said(world, "s") == "all 7 partitions are up to date; b upstream is stale: +s"


def test_a_range_without_partitions_says_which_there_are():
    assert said(week(), "clean", start="2012-01-01", end="2012-06-01") == (
        "no partition is in this range, they go from 2013-03-25 to 2013-03-31 (clean)"
    )
    ended = snapshot(dataset("old", daily("2013-01-01", "2013-02-01")))
    assert said(ended, start="2013-03-01") == (
        "no partition is in this range, they go from 2013-01-01 to 2013-01-31 (old)"
    )


@pytest.mark.parametrize(
    ("partitioning", "start", "ends"),
    [
        (DAYS, "2013-04-01", "2013-04-02T00:00+00:00"),
        (monthly("2013-03-01", tz="Europe/Berlin"), "2013-04-02", "2013-05-01T00:00+02:00"),
        (weekly("2013-03-27"), "2013-03-30", "2013-04-03T00:00+00:00"),
        (hourly("2013-03-31"), "2013-04-01T00:30", "2013-04-01T01:00+00:00"),
        (minutely("2013-03-31"), "2013-04-01", "2013-04-01T00:01+00:00"),
    ],
)
def test_a_window_that_has_not_ended_says_when_it_will(partitioning, start, ends):
    world = built(snapshot(dataset("a", partitioning)))
    assert said(world, start=start) == f"no window in this range has ended yet, the next one ends at {ends} (a)"


def test_a_range_that_lies_ahead():
    assert said(week(), "clean", start="2014-01-01") == (
        "this range has not come yet, the next window ends at 2013-04-02T00:00+00:00 (clean)"
    )


def test_no_window_has_ended_at_all():
    world = snapshot(
        dataset("a", daily("2013-04-01")), dataset("b", daily("2013-04-01")), dataset("c", daily("2014-01-01"))
    )
    assert said(world) == (
        "no window in this range has ended yet, the next one ends at 2013-04-02T00:00+00:00 (a and b); "
        "no window in this range has ended yet, the next one ends at 2014-01-02T00:00+00:00 (c)"
    )


def test_a_project_without_datasets():
    assert said(snapshot()) == "the project has no datasets"
    assert said(built(snapshot(dataset("a", UNPARTITIONED)))) == "the only partition is up to date"
