from __future__ import annotations

from datetime import UTC, date, datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from headgate.errors import UsageError
from headgate.model.calendar import at_ms, boundaries, check_axis, instant, parse_local, shifted, zone_of
from headgate.model.partitioning import Partitioning, TimeAxis, Unit, daily, hourly, monthly, weekly

if TYPE_CHECKING:
    from headgate.model.grid import Grid


def ms(text: str) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


def utc(instant_ms: int) -> str:
    return at_ms(instant_ms, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def grid(partitioning: Partitioning) -> Grid:
    return partitioning.grid(ms("2100-01-01"))


def keys(partitioning: Partitioning) -> list[str]:
    whole = grid(partitioning)
    return whole.keys(range(whole.size))


def hours(partitioning: Partitioning) -> list[float]:
    return (np.diff(grid(partitioning).bounds) / 3_600_000).tolist()


def test_a_day_that_never_existed_has_no_partition() -> None:
    apia = daily("2011-12-28", "2012-01-02", tz="Pacific/Apia")
    assert keys(apia) == ["2011-12-28", "2011-12-29", "2011-12-31", "2012-01-01"]
    assert hours(apia) == [24, 24, 24, 24]
    assert grid(apia).find("2011-12-30") is None
    assert keys(daily("1993-08-20", "1993-08-23", tz="Pacific/Kwajalein")) == ["1993-08-20", "1993-08-22"]


def test_a_partitioning_of_only_a_day_that_never_existed_is_empty() -> None:
    apia = grid(daily("2011-12-30", "2011-12-31", tz="Pacific/Apia"))
    assert apia.size == 0
    assert apia.describe() == "It has no partition: its time zone skipped all of it."


def test_a_day_that_was_lived_twice_is_one_partition() -> None:
    assert hours(daily("1969-09-29", "1969-10-02", tz="Pacific/Kwajalein")) == [24, 47, 24]


def test_a_week_or_month_that_begins_on_a_skipped_day_begins_after_it() -> None:
    apia = grid(weekly("2011-12-23", "2012-01-06", tz="Pacific/Apia"))
    assert apia.keys(range(apia.size)) == ["2011-12-23", "2011-12-31"]
    assert apia.find("2011-12-30") is None
    assert hours(monthly("2011-12-01", "2012-01-01", tz="Pacific/Apia")) == [30 * 24]


def test_half_hour_shifts_make_short_hours() -> None:
    forward = hourly("2013-10-06T01:00", "2013-10-06T04:00", tz="Australia/Lord_Howe")
    assert keys(forward) == ["2013-10-06T01:00+10:30", "2013-10-06T02:30+11:00", "2013-10-06T03:00+11:00"]
    assert hours(forward) == [1, 0.5, 1]
    back = hourly("2013-04-07T01:00", "2013-04-07T03:00", tz="Australia/Lord_Howe")
    assert keys(back) == ["2013-04-07T01:00+11:00", "2013-04-07T01:30+10:30", "2013-04-07T02:00+10:30"]
    assert hours(back) == [1, 0.5, 1]


@pytest.mark.parametrize(
    ("zone", "day", "start"),
    [
        ("America/Sao_Paulo", "2018-11-04", "2018-11-04T03:00:00"),
        ("Africa/Cairo", "2010-04-30", "2010-04-29T22:00:00"),
        ("America/Toronto", "1919-03-31", "1919-03-31T04:30:00"),
        ("Asia/Beirut", "2013-03-31", "2013-03-30T22:00:00"),
    ],
)
def test_a_midnight_gap_begins_the_day_at_the_shift(zone: str, day: str, start: str) -> None:
    whole = daily(day, tz=zone).grid(ms(start) + 40 * 3_600_000)
    assert whole.key(0) == day
    assert utc(int(whole.bounds[0])) == start
    assert whole.window(0)[1] - whole.window(0)[0] < 24 * 3_600_000
    assert whole.find(day) == 0


def test_a_shift_back_over_midnight_begins_the_day_at_the_first_midnight() -> None:
    # St John's clocks went from 00:01 back to 23:01 of the day before.
    st_johns = daily("2006-10-28", "2006-10-31", tz="America/St_Johns")
    assert hours(st_johns) == [24, 25, 24]
    assert utc(int(grid(st_johns).bounds[1])) == "2006-10-29T02:30:00"
    # Sao Paulo's from 00:00 back to 23:00: midnight comes once, after the second 23:00.
    assert hours(daily("2018-02-16", "2018-02-19", tz="America/Sao_Paulo")) == [24, 25, 24]


def test_a_shift_forward_after_midnight_leaves_midnight_alone() -> None:
    assert hours(daily("2006-04-01", "2006-04-04", tz="America/St_Johns")) == [24, 23, 24]


def test_offsets_with_seconds_are_part_of_the_key() -> None:
    amsterdam = hourly("1937-06-30T23:00", "1937-07-01T02:00", tz="Europe/Amsterdam")
    found = keys(amsterdam)
    assert len(found) == grid(amsterdam).size
    assert [grid(amsterdam).find(key) for key in found] == list(range(len(found)))
    monrovia = keys(hourly("1972-01-06T23:00", "1972-01-07T02:00", tz="Africa/Monrovia"))
    assert monrovia == ["1972-01-06T23:00-00:44:30", "1972-01-07T00:44:30+00:00", "1972-01-07T01:00+00:00"]


def test_an_open_axis_has_the_windows_that_have_ended() -> None:
    open_days = daily("2013-01-01")
    assert open_days.grid(ms("2013-01-03")).size == 2
    assert open_days.grid(ms("2013-01-03") - 1).size == 1
    assert open_days.grid(ms("2013-01-01")).size == 0
    assert open_days.grid(ms("1990-01-01")).bounds.tolist() == [ms("2013-01-01")]
    assert hourly("2013-01-01").grid(ms("1990-01-01")).bounds.tolist() == [ms("2013-01-01")]
    assert monthly("2013-01-01").grid(ms("2013-03-31")).size == 2


def test_windows_cut_by_a_shift_have_ended_at_the_shift() -> None:
    shift_ms = instant(datetime(2013, 10, 6, 2), ZoneInfo("Australia/Lord_Howe"))
    axis = TimeAxis(Unit.HOUR, "2013-10-06T01:00:00", None, "Australia/Lord_Howe")
    assert boundaries(axis, shift_ms).size == 2
    assert boundaries(axis, shift_ms - 1).size == 1


def test_a_century_of_hours_ends_where_it_should() -> None:
    bounds = boundaries(TimeAxis(Unit.HOUR, "1912-01-01T00:00:00", None, "America/New_York"), ms("2026-01-01"))
    assert utc(int(bounds[-1])) == "2026-01-01T00:00:00"
    assert (np.diff(bounds) == 3_600_000).all()


@pytest.mark.parametrize(
    ("start", "unit", "count", "zone", "expected"),
    [
        ("2013-03-31T00:00:00", Unit.MONTH, -1, "UTC", "2013-02-28T00:00:00"),
        ("2013-03-29T00:00:00", Unit.MONTH, -1, "UTC", "2013-02-28T00:00:00"),
        ("2012-03-31T05:30:00", Unit.MONTH, -1, "UTC", "2012-02-29T05:30:00"),
        ("2013-01-31T00:00:00", Unit.MONTH, 1, "UTC", "2013-02-28T00:00:00"),
        ("2013-03-15T00:00:00", Unit.MONTH, -27, "UTC", "2010-12-15T00:00:00"),
        ("2013-03-11T04:00:00", Unit.DAY, -1, "America/New_York", "2013-03-10T05:00:00"),
        ("2013-03-11T04:00:00", Unit.HOUR, -24, "America/New_York", "2013-03-10T04:00:00"),
        ("2013-03-11T04:00:00", Unit.WEEK, 2, "America/New_York", "2013-03-25T04:00:00"),
        ("2013-03-11T00:00:00", Unit.MONTH, -1_000_000, "UTC", "1900-01-01T00:00:00"),
        ("2013-03-11T00:00:00", Unit.DAY, 1_000_000, "UTC", "2200-01-01T00:00:00"),
    ],
)
def test_shifting_goes_by_the_calendar(start: str, unit: Unit, count: int, zone: str, expected: str) -> None:
    moved = shifted(np.array([ms(start)], dtype=np.int64), unit, count, zone)
    assert [utc(int(at)) for at in moved] == [expected]


def test_shifting_nothing_gives_nothing() -> None:
    assert shifted(np.zeros(0, dtype=np.int64), Unit.MONTH, -1, "UTC").size == 0


@pytest.mark.parametrize("name", ["", "Mars/Olympus", "../../etc/passwd", "UTC\0", "America", "😀", "a" * 300, None])
def test_unknown_zones_are_refused(name: str) -> None:
    with pytest.raises(UsageError, match="is no time zone"):
        zone_of(name)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("yesterday", "is no date"),
        ("2013-02-30", "is no date"),
        (20130101, "is no date"),
        ("2013-01-01T00:00Z", "has an offset"),
        (datetime(2013, 1, 1, tzinfo=UTC), "has an offset"),
        ("1066-10-14", "outside 1900 to 2200"),
        ("9999-12-31", "outside 1900 to 2200"),
    ],
)
def test_malformed_dates_are_refused(text: str, match: str) -> None:
    with pytest.raises(UsageError, match=match):
        parse_local(text, "start")


def test_dates_come_as_text_date_or_datetime() -> None:
    expected = datetime(2013, 1, 31)
    assert parse_local("2013-01-31", "start") == expected
    assert parse_local(date(2013, 1, 31), "start") == expected
    assert parse_local(expected, "start") == expected


@pytest.mark.parametrize(
    ("unit", "start", "end", "match"),
    [
        (Unit.DAY, "2013-01-01T05:00", None, "not the start of a day"),
        (Unit.MINUTE, "2013-01-01T05:30:01", None, "not the start of a minute"),
        (Unit.MINUTE, "2013-01-01T05:30", "2013-01-01T05:30", "is not after start"),
        (Unit.HOUR, "2013-01-01T05:30", None, "not the start of an hour"),
        (Unit.MONTH, "2013-01-02", None, "not the first of a month"),
        (Unit.DAY, "2013-01-02", "2013-01-02", "is not after start"),
        (Unit.DAY, "2013-01-02", "2013-01-01", "is not after start"),
        (Unit.WEEK, "2013-01-01", "2013-01-10", "no whole weeks"),
    ],
)
def test_axes_that_are_not_aligned_are_refused(unit: Unit, start: str, end: str | None, match: str) -> None:
    with pytest.raises(UsageError, match=match):
        check_axis(unit, start, end, "UTC")
