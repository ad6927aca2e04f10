"""Ceilings of time windows against a model that walks through time minute by minute."""

from __future__ import annotations

import zoneinfo
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headgate.model.calendar import at_ms
from headgate.model.window import TimeWindow, ceiling_at

MINUTE_MS = 60_000
DAY_MS = 1440 * MINUTE_MS
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ZONES = sorted(zoneinfo.available_timezones() - {"localtime", "Factory", "posixrules"})

ODD_DAYS = [
    ("Pacific/Apia", datetime(2011, 12, 30, tzinfo=UTC)),  # a day was skipped
    ("Pacific/Kwajalein", datetime(1969, 10, 1, tzinfo=UTC)),  # set back by a day
    ("Pacific/Kwajalein", datetime(1993, 8, 21, tzinfo=UTC)),
    ("Australia/Lord_Howe", datetime(2024, 4, 6, tzinfo=UTC)),  # shifts of half an hour
    ("Australia/Lord_Howe", datetime(2024, 10, 5, tzinfo=UTC)),
    ("America/New_York", datetime(2024, 3, 10, tzinfo=UTC)),
    ("America/New_York", datetime(2024, 11, 3, tzinfo=UTC)),
    ("America/Havana", datetime(2024, 11, 3, tzinfo=UTC)),  # shifts at midnight
    ("Africa/Cairo", datetime(2024, 4, 26, tzinfo=UTC)),
    ("Asia/Kathmandu", datetime(1985, 12, 31, tzinfo=UTC)),
    ("Europe/Zurich", datetime(2024, 2, 29, tzinfo=UTC)),
    ("Europe/Zurich", datetime(2023, 2, 28, tzinfo=UTC)),
    ("UTC", datetime(2100, 2, 28, tzinfo=UTC)),
]


def to_ms(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(milliseconds=1)


def begins(window: TimeWindow, day: date) -> bool:
    month_days = {day.day, -1} if (day + timedelta(days=1)).day == 1 else {day.day}
    return (not window.weekdays or day.weekday() in window.weekdays) and (
        not window.month_days or bool(month_days & window.month_days)
    )


def holds_on_the_wall(window: TimeWindow, shown: datetime) -> bool:
    minute = shown.hour * 60 + shown.minute
    if window.start_minute < window.end_minute:
        return begins(window, shown.date()) and window.start_minute <= minute < window.end_minute
    return (begins(window, shown.date()) and minute >= window.start_minute) or (
        begins(window, shown.date() - timedelta(days=1)) and minute < window.end_minute
    )


def modelled(windows: tuple[TimeWindow, ...], start_ms: int, minutes: int) -> list[float]:
    """Return the ceiling in each minute: what the latest time that the clock has shown so far says."""
    latest: dict[str, datetime] = {}
    found = []
    for ms in range(start_ms - 3 * DAY_MS, start_ms + minutes * MINUTE_MS, MINUTE_MS):
        ceilings = [1.0]
        for zone in {window.zone for window in windows}:
            shown = at_ms(ms, zoneinfo.ZoneInfo(zone)).replace(tzinfo=None, fold=0)
            latest[zone] = max(latest.get(zone, shown), shown)
        ceilings += [window.ceiling for window in windows if holds_on_the_wall(window, latest[window.zone])]
        found.append(min(ceilings))
    return found[-minutes:]


def walked(windows: tuple[TimeWindow, ...], start_ms: int, minutes: int) -> list[float]:
    """Return the ceiling in each minute, going from one instant that `ceiling_at` returns to the next."""
    found: list[float] = []
    now_ms = start_ms
    while len(found) < minutes:
        ceiling, until_ms = ceiling_at(windows, now_ms)
        assert until_ms is not None
        assert until_ms > now_ms
        assert until_ms % MINUTE_MS == 0
        found += [ceiling] * min((until_ms - now_ms) // MINUTE_MS, minutes - len(found))
        now_ms = until_ms
    return found


@st.composite
def windows_of(draw, zone):
    start = draw(st.integers(0, 95).map(lambda quarter: quarter * 15))
    end = draw(st.integers(1, 96).map(lambda quarter: quarter * 15))
    weekdays = draw(st.frozensets(st.integers(0, 6), max_size=4))
    month_days = draw(st.one_of(st.just(frozenset()), st.frozensets(st.sampled_from([-1, 1, 2, 28, 29, 30, 31]))))
    return TimeWindow(zone, draw(st.sampled_from([0.0, 0.25, 0.5, 1.0])), weekdays, month_days, start, end)


def check(data, zone: str, moment: datetime) -> None:
    windows = tuple(data.draw(st.lists(windows_of(zone), min_size=1, max_size=3)))
    start_ms = to_ms(moment) + data.draw(st.integers(-2 * 1440, 1440)) * MINUTE_MS
    assert walked(windows, start_ms, 2 * 1440) == modelled(windows, start_ms, 2 * 1440)


@pytest.mark.parametrize(("zone", "moment"), ODD_DAYS)
@settings(max_examples=6, deadline=None)
@given(data=st.data())
def test_around_odd_days(data, zone, moment):
    check(data, zone, moment)


# Before 1972 some offsets have seconds, which a walk in minutes does not see.
@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(data=st.data(), zone=st.sampled_from(ZONES), moment=st.datetimes(datetime(1973, 1, 1), datetime(2190, 1, 1)))
def test_any_time_in_any_zone(data, zone, moment):
    check(data, zone, moment.replace(second=0, microsecond=0, tzinfo=UTC))


@settings(max_examples=50, deadline=None)
@given(
    data=st.data(), now_ms=st.integers(to_ms(datetime(1950, 1, 1, tzinfo=UTC)), to_ms(datetime(2150, 1, 1, tzinfo=UTC)))
)
def test_nothing_changes_before_the_instant_returned(data, now_ms):
    zone = data.draw(st.sampled_from(ZONES))
    windows = tuple(data.draw(st.lists(windows_of(zone), min_size=1, max_size=3)))
    ceiling, until_ms = ceiling_at(windows, now_ms)
    assert until_ms is not None
    assert until_ms > now_ms
    between_ms = data.draw(st.integers(now_ms, until_ms - 1))
    assert ceiling_at(windows, between_ms)[0] == ceiling
    assert ceiling_at(windows, until_ms - 1)[0] == ceiling


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_windows_meet_if_some_minute_holds_both(data):
    one, two = data.draw(windows_of("UTC")), data.draw(windows_of("UTC"))
    days = [datetime(2020, 1, 1) + timedelta(days=number) for number in range(28 * 365 + 7)]
    edges = {one.start_minute, two.start_minute}
    both = any(
        holds_on_the_wall(one, moment) and holds_on_the_wall(two, moment)
        for day in days
        for moment in (day + timedelta(minutes=minute) for minute in edges)
    )
    assert one.meets(two) == two.meets(one) == both
