"""Recurring times of a week or month, in a time zone, with a ceiling of their own."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from itertools import count
from typing import TYPE_CHECKING

from headgate.model.calendar import at_ms, instant, zone_of

if TYPE_CHECKING:
    from collections.abc import Sequence

_DAY = timedelta(days=1)
_DAY_MINUTES = 1440
_CYCLE_START = date(2000, 1, 1)
_CYCLE_DAYS = 28 * 365 + 7
"""After 28 years each day of the month has been each day of the week, in leap years and others."""
_EDGES_AHEAD = 16


@dataclass(frozen=True, slots=True)
class TimeWindow:
    """A recurring time with a ceiling.

    Args:
        zone: IANA name of the time zone.
        ceiling: Share of the slots that may be taken while it holds, from 0 to 1.
        weekdays: Days of the week on which it begins, 0 for Monday; empty for all.
        month_days: Days of the month on which it begins, 1 to 31, or -1 for the last; empty for all.
        start_minute: When it begins, minutes after local midnight, 0 to 1439.
        end_minute: When it ends, exclusive, 1 to 1440; before or at the begin: on the next day.
    """

    zone: str
    ceiling: float
    weekdays: frozenset[int] = frozenset()
    month_days: frozenset[int] = frozenset()
    start_minute: int = 0
    end_minute: int = 1440

    def meets(self, other: TimeWindow) -> bool:
        """Return whether two windows of one time zone ever hold at the same time, going by the clock on the wall."""
        for number in range(_CYCLE_DAYS if self.month_days or other.month_days else 14):
            day = _CYCLE_START + number * _DAY
            if not _begins_on(self, day):
                continue
            for shift in (-1, 0, 1):
                begin = other.start_minute + shift * _DAY_MINUTES
                apart = begin >= self.start_minute + _minutes(self) or self.start_minute >= begin + _minutes(other)
                if not apart and _begins_on(other, day + shift * _DAY):
                    return True
        return False


def always_hold(windows: Sequence[TimeWindow]) -> bool:
    """Return whether windows of one time zone leave no time out, going by the clock on the wall."""
    if not windows:
        return False
    # The first day can be covered by windows that began on the day before.
    days = range(-1, _CYCLE_DAYS if any(window.month_days for window in windows) else 14)
    spans = sorted(
        (number * _DAY_MINUTES + window.start_minute, number * _DAY_MINUTES + window.start_minute + _minutes(window))
        for number in days
        for window in windows
        if _begins_on(window, _CYCLE_START + number * _DAY)
    )
    covered = 0
    for begin, end in spans:
        if begin > covered:
            return False
        covered = max(covered, end)
    return covered >= (len(days) - 1) * _DAY_MINUTES


def ceiling_at(windows: tuple[TimeWindow, ...], now_ms: int) -> tuple[float, int | None]:
    """Return the ceiling that windows set at an instant, and until when it surely stays that.

    A window begins and ends at the first instant that shows its local begin and end, or later: what a zone skipped
    is skipped, and clocks that are set back neither end a window nor begin it again.

    Args:
        windows: The windows; each must begin on some days.
        now_ms: The instant.

    Returns:
        The smallest ceiling of the windows that hold, 1 if none does; and the next instant at which that changes.
        Where many begin and end without changing it, the instant is one of those; None without windows.

    Units:
        UTC milliseconds.
    """
    ceiling = _ceiling(windows, now_ms)
    if not windows:
        return ceiling, None
    edge_ms = now_ms
    for _ in range(_EDGES_AHEAD):
        edge_ms = min(_next_edge(window, edge_ms) for window in windows)
        if _ceiling(windows, edge_ms) != ceiling:
            break
    return ceiling, edge_ms


def _ceiling(windows: tuple[TimeWindow, ...], now_ms: int) -> float:
    return min((window.ceiling for window in windows if _holds(window, now_ms)), default=1.0)


def _holds(window: TimeWindow, now_ms: int) -> bool:
    # Clocks that were set back a whole day show the day before the one on which the window began.
    for shift in (-1, 0, 1):
        day = _local_day(window, now_ms) + shift * _DAY
        if _begins_on(window, day):
            start_ms, end_ms = _span(window, day)
            if start_ms <= now_ms < end_ms:
                return True
    return False


def _next_edge(window: TimeWindow, now_ms: int) -> int:
    """Return the first instant after `now_ms` at which a window begins or ends."""
    today = _local_day(window, now_ms)
    for shift in count(-1):
        day = today + shift * _DAY
        if _begins_on(window, day):
            start_ms, end_ms = _span(window, day)
            if end_ms > max(start_ms, now_ms):
                return start_ms if start_ms > now_ms else end_ms
    raise AssertionError


def _local_day(window: TimeWindow, now_ms: int) -> date:
    return at_ms(now_ms, zone_of(window.zone)).date()


def _begins_on(window: TimeWindow, day: date) -> bool:
    if window.weekdays and day.weekday() not in window.weekdays:
        return False
    if not window.month_days or day.day in window.month_days:
        return True
    return -1 in window.month_days and (day + _DAY).day == 1


def _span(window: TimeWindow, day: date) -> tuple[int, int]:
    """Return when the window that begins on a local day begins and ends; nothing is between if it was skipped."""
    zone = zone_of(window.zone)
    start = datetime.combine(day, time()) + timedelta(minutes=window.start_minute)
    return instant(start, zone), instant(start + timedelta(minutes=_minutes(window)), zone)


def _minutes(window: TimeWindow) -> int:
    """Return how long a window is on the wall's clock."""
    return (window.end_minute - window.start_minute - 1) % _DAY_MINUTES + 1
