from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np
import pytest

from headgate.errors import UsageError
from headgate.model.partitioning import (
    UNPARTITIONED,
    Partitioning,
    daily,
    hourly,
    minutely,
    monthly,
    product,
    static,
    weekly,
)

if TYPE_CHECKING:
    from headgate.model.grid import Grid


def ms(text: str) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


def grid(partitioning: Partitioning) -> Grid:
    return partitioning.grid(ms("2020-01-01"))


@pytest.mark.parametrize(
    ("partitioning", "keys"),
    [
        (UNPARTITIONED, ["all"]),
        (static(["b", "a"]), ["b", "a"]),
        (daily("2013-01-31", "2013-02-02"), ["2013-01-31", "2013-02-01"]),
        (weekly("2013-01-28", "2013-02-11"), ["2013-01-28", "2013-02-04"]),
        (monthly("2012-12-01", "2013-02-01"), ["2012-12", "2013-01"]),
        (hourly("2013-01-31T23:00", "2013-02-01T01:00"), ["2013-01-31T23:00Z", "2013-02-01T00:00Z"]),
        (hourly("2013-01-31T23:00", "2013-02-01", tz="Asia/Kolkata"), ["2013-01-31T23:00+05:30"]),
        (minutely("2013-01-31T23:59", "2013-02-01T00:01"), ["2013-01-31T23:59Z", "2013-02-01T00:00Z"]),
        (
            minutely("2013-11-03T01:59", "2013-11-03T02:00", tz="America/New_York"),
            ["2013-11-03T01:59-04:00", *(f"2013-11-03T01:{minute:02}-05:00" for minute in range(60))],
        ),
        (
            product(monthly("2013-01-01", "2013-03-01"), static(["x", "y"])),
            ["2013-01/x", "2013-01/y", "2013-02/x", "2013-02/y"],
        ),
    ],
)
def test_keys_and_indices_go_back_and_forth(partitioning: Partitioning, keys: list[str]) -> None:
    whole = grid(partitioning)
    assert whole.keys(range(whole.size)) == keys
    assert [whole.find(key) for key in keys] == list(range(whole.size))
    assert [whole.index(key, "d") for key in keys] == list(range(whole.size))


@pytest.mark.parametrize(
    ("partitioning", "key"),
    [
        (UNPARTITIONED, "ALL"),
        (static(["a"]), "b"),
        (daily("2013-01-01"), "2012-12-31"),
        (daily("2013-01-01"), "2020-01-01"),
        (daily("2013-01-01"), "20130102"),
        (daily("2013-01-01"), "2013-W01-3"),
        (daily("2013-01-01"), "2013-01-02T00:00"),
        (daily("2013-01-01"), "2013-01-02/x"),
        (daily("2013-01-01"), "../2013-01-02"),
        (daily("2013-01-01"), "2013-01-02\0"),
        (daily("2013-01-01"), "2013-01-02\n"),
        (daily("2013-01-01"), ""),
        (daily("2013-01-01"), "😀"),
        (daily("2013-01-01"), "9" * 300),
        (weekly("2013-01-01"), "2013-01-02"),
        (monthly("2013-01-01"), "2013-1"),
        (monthly("2013-01-01"), "2013-01-01"),
        (monthly("2013-01-01"), "2013-13"),
        (hourly("2013-01-01"), "2013-01-01T05:30Z"),
        (hourly("2013-01-01"), "2013-01-01T05:00:00.0005Z"),
        (hourly("2013-01-01"), "0001-01-01T00:00"),
        (hourly("2013-01-01"), "0001-01-01T00:00+23:59"),
        (hourly("2013-01-01"), "9999-12-31T23:00-23:59"),
        (product(daily("2013-01-01"), static(["x"])), "2013-01-01"),
        (product(daily("2013-01-01"), static(["x"])), "2013-01-01/y"),
        (product(daily("2013-01-01"), static(["x"])), "x/2013-01-01"),
    ],
)
def test_other_keys_are_not_there(partitioning: Partitioning, key: str) -> None:
    whole = grid(partitioning)
    assert whole.find(key) is None
    with pytest.raises(UsageError, match="things has no partition"):
        whole.index(key, "things")


def test_an_hour_can_be_named_in_any_offset() -> None:
    hours = grid(hourly("2013-01-01", "2013-01-02", tz="America/New_York"))
    assert (
        hours.find("2013-01-01T05:00-05:00") == hours.find("2013-01-01T10:00Z") == hours.find("2013-01-01T05:00") == 5
    )
    assert hours.find("2013-01-01") == 0


def test_an_hour_that_is_shown_twice_is_the_first_unless_the_offset_says_which() -> None:
    hours = grid(hourly("2013-11-03", "2013-11-04", tz="America/New_York"))
    assert hours.size == 25
    assert hours.find("2013-11-03T01:00") == hours.find("2013-11-03T01:00-04:00") == 1
    assert hours.find("2013-11-03T01:00-05:00") == 2
    assert hours.find("2013-11-03T01:00-06:00") == hours.find("2013-11-03T02:00-05:00") == 3


def test_an_hour_that_was_skipped_is_not_there() -> None:
    hours = grid(hourly("2013-03-10", "2013-03-11", tz="America/New_York"))
    assert hours.size == 23
    assert hours.find("2013-03-10T02:00") is None
    assert hours.find("2013-03-10T03:00") == 2


def test_windows_are_half_open_and_only_where_there_is_time() -> None:
    days = grid(product(daily("2013-01-01", "2013-01-03"), static(["x", "y"])))
    assert days.window(0) == days.window(1) == (ms("2013-01-01"), ms("2013-01-02"))
    assert days.window(3) == (ms("2013-01-02"), ms("2013-01-03"))
    assert grid(static(["x"])).window(0) is None
    assert grid(UNPARTITIONED).window(0) is None


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        (None, None, range(3)),
        ("2013-01-02", None, range(1, 3)),
        (None, "2013-01-02", range(1)),
        ("2013-01-02", "2013-01-03", range(1, 2)),
        ("2013-01-02T05:00", "2013-01-02T06:00", range(1, 2)),
        ("2013-01-01T05:00", "2013-01-02T06:00", range(2)),
        ("2012-01-01", "2014-01-01", range(3)),
        ("2013-01-02T05:00", "2013-01-02T05:00", range(0)),
        ("2014-01-01", None, range(0)),
        (None, "2013-01-01", range(0)),
        ("2014-01-01", "2012-01-01", range(0)),
    ],
)
def test_a_range_of_time_gives_the_windows_that_overlap_it(start: str | None, end: str | None, expected: range) -> None:
    days = grid(daily("2013-01-01", "2013-01-04"))
    assert days.times_in(start and ms(start), end and ms(end)) == expected


def test_a_range_of_time_covers_what_has_no_time() -> None:
    assert grid(static(["x", "y"])).times_in(0, 1) == range(1)


def test_a_range_of_time_covers_nothing_of_an_empty_grid() -> None:
    assert daily("2013-01-01").grid(0).times_in(0, ms("2020-01-01")) == range(0)


def test_a_grid_is_open_while_more_windows_will_end() -> None:
    assert grid(daily("2013-01-01")).is_open
    assert not grid(daily("2013-01-01", "2020-01-01")).is_open
    assert grid(daily("2013-01-01", "2020-01-02")).is_open
    assert not grid(static(["x"])).is_open
    assert not grid(UNPARTITIONED).is_open


def test_a_grid_says_which_keys_there_are() -> None:
    assert grid(daily("2013-01-01", "2013-01-02")).describe() == "Its only partition is 2013-01-01."
    assert grid(daily("2013-01-01")).describe() == "Its 2,556 partitions go from 2013-01-01 to 2019-12-31."
    assert grid(daily("2030-01-01")).describe() == "No partition exists yet: no window has ended."


def test_keys_are_the_same_whatever_was_asked_before() -> None:
    long = grid(hourly("2016-01-01", "2019-01-01"))
    keys = long.keys(range(long.size))
    moments = np.datetime64("2016-01-01T00:00") + np.arange(long.size) * np.timedelta64(1, "h")
    assert keys == [f"{moment}Z" for moment in moments]
    assert long.keys(reversed(range(long.size))) == keys[::-1]
    assert [long.find(keys[at]) for at in (0, 63, 64, long.size - 1)] == [0, 63, 64, long.size - 1]


@pytest.mark.parametrize(
    "partitioning",
    [
        hourly("2013-10-26", "2013-12-20", tz="Europe/Berlin"),
        hourly("2013-03-09", "2013-03-12", tz="America/New_York"),
        minutely("2013-10-06", "2013-10-07", tz="Australia/Lord_Howe"),
        hourly("2013-01-01", "2013-01-05"),
        weekly("2012-12-31", tz="America/Havana"),
        daily("2011-12-25", "2012-01-05", tz="Pacific/Apia"),
        product(daily("2012-01-01"), static(["b", "a"])),
        product(hourly("2012-01-01", "2012-02-01"), static(["b", "a", "aa"])),
        product(daily("2012-01-01", "2012-01-03"), static([f"k{n}" for n in range(2000)])),
        monthly("2013-01-01"),
        static(["b", "a", "c"]),
        UNPARTITIONED,
        daily("2030-01-01"),
    ],
)
def test_many_keys_are_found_as_one_by_one(partitioning: Partitioning) -> None:
    whole = grid(partitioning)
    keys = whole.keys(range(whole.size))
    assert whole.find_all(keys).tolist() == list(range(whole.size))
    mixed = [*sorted(keys)[::3], "2013-01-01T00:30Z", "nothing", *keys[::-7], ""]
    expected = [whole.find(key) for key in mixed]
    assert whole.find_all(mixed).tolist() == [-1 if index is None else index for index in expected]
    assert whole.find_all([]).tolist() == []
    for some in (keys, keys[::-5], mixed, [*keys[:3], "2012-13-01"], ["nothing"], []):
        column = np.array([key.encode() for key in some], dtype=np.bytes_)
        assert whole.find_column(column).tolist() == whole.find_all(some).tolist()
        assert whole.find_column(np.repeat(column, 2)[::2]).tolist() == whole.find_all(some).tolist()
