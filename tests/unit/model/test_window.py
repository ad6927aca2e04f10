from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from headgate.model.window import TimeWindow, always_hold, ceiling_at

OFFICE = TimeWindow("Europe/Zurich", 0.25, frozenset(range(5)), start_minute=8 * 60, end_minute=18 * 60)
NIGHT = TimeWindow("Europe/Zurich", 0.5, start_minute=22 * 60, end_minute=6 * 60)
MONTH_END = TimeWindow("Europe/Zurich", 0.0, month_days=frozenset({-1}))


def ms(text: str, zone: str = "Europe/Zurich") -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp() * 1000)


def test_without_windows_nothing_holds_and_nothing_changes():
    assert ceiling_at((), 0) == (1.0, None)


@pytest.mark.parametrize(
    ("windows", "now", "ceiling", "until"),
    [
        ((OFFICE,), "2026-01-05T07:59", 1.0, "2026-01-05T08:00"),  # a Monday
        ((OFFICE,), "2026-01-05T08:00", 0.25, "2026-01-05T18:00"),
        ((OFFICE,), "2026-01-09T18:00", 1.0, "2026-01-12T08:00"),
        ((NIGHT,), "2026-01-05T23:00", 0.5, "2026-01-06T06:00"),
        ((NIGHT,), "2026-01-06T05:59", 0.5, "2026-01-06T06:00"),
        ((NIGHT,), "2026-01-06T06:00", 1.0, "2026-01-06T22:00"),
        ((NIGHT,), "2026-03-29T01:30", 0.5, "2026-03-29T06:00"),  # one hour less
        ((MONTH_END,), "2026-02-03T00:00", 1.0, "2026-02-28T00:00"),
        ((MONTH_END,), "2028-02-28T12:00", 1.0, "2028-02-29T00:00"),
        ((MONTH_END,), "2028-02-29T12:00", 0.0, "2028-03-01T00:00"),
        ((OFFICE, MONTH_END), "2026-03-31T10:00", 0.0, "2026-04-01T00:00"),  # the smallest counts, through 18:00
    ],
)
def test_ceilings(windows, now, ceiling, until):
    assert ceiling_at(windows, ms(now)) == (ceiling, ms(until))


def test_a_day_that_the_zone_skipped_has_no_window():
    friday = TimeWindow("Pacific/Apia", 0.0, frozenset({4}))
    until = ms("2012-01-06T00:00", "Pacific/Apia")
    assert ceiling_at((friday,), ms("2011-12-29T12:00", "Pacific/Apia")) == (1.0, until)


def test_a_window_in_a_skipped_hour_begins_with_the_next_one():
    early = TimeWindow("America/New_York", 0.0, start_minute=150, end_minute=210)
    shift = ms("2024-03-10T03:00", "America/New_York")
    assert ceiling_at((early,), shift - 1) == (1.0, shift)
    assert ceiling_at((early,), shift) == (0.0, ms("2024-03-10T03:30", "America/New_York"))


def test_an_hour_that_comes_twice_neither_ends_nor_begins_a_window_again():
    early = TimeWindow("America/New_York", 0.0, start_minute=60, end_minute=120)
    start = ms("2024-11-03T01:00", "America/New_York")
    assert ceiling_at((early,), start) == (0.0, start + 2 * 3_600_000)


def test_windows_that_never_change_the_ceiling_still_end():
    always = TimeWindow("UTC", 0.5)
    ceiling, until_ms = ceiling_at((always,), 0)
    assert ceiling == 0.5
    assert until_ms is not None
    assert until_ms > 86_400_000


def test_windows_meet():
    friday_night = TimeWindow("UTC", 0.5, frozenset({4}), start_minute=1320, end_minute=360)
    saturday = TimeWindow("UTC", 0.1, frozenset({5}), start_minute=300)
    assert friday_night.meets(saturday)
    assert saturday.meets(friday_night)
    assert not friday_night.meets(TimeWindow("UTC", 0.1, frozenset({5}), start_minute=360))
    assert not OFFICE.meets(TimeWindow("Europe/Zurich", 0.5, start_minute=18 * 60, end_minute=8 * 60))
    last, first = TimeWindow("UTC", 0.5, month_days=frozenset({-1})), TimeWindow("UTC", 0.1, month_days=frozenset({1}))
    assert not last.meets(first)
    assert TimeWindow("UTC", 0.5, month_days=frozenset({-1}), start_minute=1320, end_minute=60).meets(first)
    assert last.meets(TimeWindow("UTC", 0.5, month_days=frozenset({29}), weekdays=frozenset({3})))


def shut(days: str = "", start: int = 0, end: int = 24, month_days: frozenset[int] = frozenset()) -> TimeWindow:
    return TimeWindow("UTC", 0.0, frozenset(map(int, days)), month_days, start * 60, end * 60)


@pytest.mark.parametrize(
    ("windows", "always"),
    [
        ([], False),
        ([shut()], True),
        ([shut("0123456")], True),
        ([shut("012345")], False),
        ([shut("01234"), shut("56")], True),
        ([shut("", 6, 22), shut("", 22, 6)], True),
        ([shut("", 6, 22), shut("", 22, 5)], False),
        ([shut("", 6, 22), shut("012346", 22, 6)], False),
        ([shut("", 6, 22), shut("012346", 22, 6), shut("5", 21, 23), shut("5", 22, 6)], True),
        ([shut(month_days=frozenset(range(1, 32)))], True),
        ([shut(month_days=frozenset(range(1, 31)))], False),
        ([shut(month_days=frozenset({*range(1, 31), -1}))], True),
        ([shut(month_days=frozenset({*range(1, 30), -1}))], False),
        ([shut("01234"), shut("56", month_days=frozenset(range(1, 32)))], True),
    ],
)
def test_windows_that_leave_no_time_out(windows, always):
    assert always_hold(windows) is always
