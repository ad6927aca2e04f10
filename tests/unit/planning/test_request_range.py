from __future__ import annotations

import numpy as np
import pytest
from planning_worlds import dataset, snapshot, source

from headgate.errors import UsageError
from headgate.model.partitioning import UNPARTITIONED, Partitioning, daily, hourly, monthly, product, static, weekly
from headgate.model.plan import Request
from headgate.planning.scope import in_range


def keys(partitioning: Partitioning, start: str | None, end: str | None, as_of: str = "2013-04-01") -> list[str]:
    world = snapshot(dataset("d", partitioning), as_of=as_of)
    return world.grids["d"].keys(np.flatnonzero(in_range(world, "d", Request((), start, end))))


def test_the_end_is_exclusive():
    days = daily("2013-01-01")
    assert keys(days, "2013-01-03", "2013-01-05") == ["2013-01-03", "2013-01-04"]
    assert keys(days, "2013-01-03", "2013-01-04") == ["2013-01-03"]
    assert keys(days, None, "2013-01-03") == ["2013-01-01", "2013-01-02"]
    assert keys(days, "2013-03-31", None) == ["2013-03-31"]
    assert len(keys(days, None, None)) == 90


def test_part_of_a_window_is_enough():
    assert keys(monthly("2013-01-01"), "2013-01-15", "2013-02-02") == ["2013-01", "2013-02"]
    assert keys(monthly("2013-01-01"), "2013-01-15", "2013-02-01") == ["2013-01"]
    assert keys(weekly("2013-01-07"), "2013-01-20", "2013-01-21") == ["2013-01-14"]
    assert keys(daily("2013-01-01"), "2013-01-02T23:59", "2013-01-03T00:01") == ["2013-01-02", "2013-01-03"]


def test_outside_of_what_there_is():
    days = daily("2013-01-01", "2013-01-03")
    assert keys(days, "2012-01-01", "2013-01-02") == ["2013-01-01"]
    assert keys(days, "2012-01-01", "2012-06-01") == []
    assert keys(days, "2013-06-01", "2013-07-01") == []
    assert keys(days, "2013-06-01", None) == []


def test_dates_are_read_in_the_zone_of_each_dataset():
    assert keys(hourly("2013-01-01", tz="America/New_York"), "2013-01-02", "2013-01-02T02:00") == [
        "2013-01-02T00:00-05:00",
        "2013-01-02T01:00-05:00",
    ]
    assert keys(daily("2013-01-01", tz="Asia/Tokyo"), "2013-01-01T15:00Z", "2013-01-02T15:00+00:00") == ["2013-01-02"]
    assert keys(hourly("2013-01-01"), "2013-01-02T00:00:00.001Z", "2013-01-02T01:00Z") == ["2013-01-02T00:00Z"]


def test_every_static_key_of_a_window():
    both = product(daily("2013-01-01"), static(["ewr", "jfk"]))
    assert keys(both, "2013-01-02", "2013-01-03") == ["2013-01-02/ewr", "2013-01-02/jfk"]


def test_what_has_no_time_is_always_in_range():
    assert keys(UNPARTITIONED, "2013-01-01", "2013-01-02") == ["all"]
    assert keys(static(["ewr", "jfk"]), "2099-01-01", None) == ["ewr", "jfk"]


def test_a_source_has_a_range_too():
    world = snapshot(source("files", daily("2013-03-30")))
    assert in_range(world, "files", Request((), "2013-03-31")).tolist() == [False, True]


@pytest.mark.parametrize(
    ("start", "end"),
    [
        ("2013-01-02", "2013-01-02"),
        ("2013-01-02", "2013-01-01"),
        ("2013-01-02T12:00Z", "2013-01-02T13:00+01:00"),
        ("2013-01-02T12:00", "2013-01-02T11:59Z"),
    ],
)
@pytest.mark.parametrize("partitioning", [daily("2013-01-01"), UNPARTITIONED], ids=["days", "whole"])
def test_an_end_that_is_not_after_its_start(partitioning, start, end):
    with pytest.raises(UsageError, match="is not after --start") as error:
        keys(partitioning, start, end)
    assert end in error.value.message
    assert "exclusive" in error.value.hint


@pytest.mark.parametrize("text", ["yesterday", "2013-13-01", "", "2013-01", "1/2/2013", "20130101T99", "\0"])
def test_what_is_no_date(text):
    with pytest.raises(UsageError, match=r"--start .* is no date"):
        keys(daily("2013-01-01"), text, None)
    with pytest.raises(UsageError, match=r"--end .* is no date"):
        keys(daily("2013-01-01"), None, text)


def test_a_year_that_nobody_means():
    with pytest.raises(UsageError, match="--end '0013-01-01' is outside 1900 to 2200"):
        keys(daily("2013-01-01"), None, "0013-01-01")
    assert keys(daily("2013-03-31"), "0001-01-01T00:00+14:00", None) == ["2013-03-31"]


def test_a_day_that_its_zone_skipped_is_an_empty_range():
    apia = daily("2011-12-28", tz="Pacific/Apia")
    assert keys(apia, "2011-12-30", "2011-12-31", as_of="2012-01-02") == []
    assert keys(apia, "2011-12-29", "2012-01-01", as_of="2012-01-02") == ["2011-12-29", "2011-12-31"]
