"""How a dataset is cut into partitions: by time, by static keys, by both, or not at all.

A `Partitioning` is the declaration. Its `grid` is the index space as of an instant: partition `i` is time
window `i // n_statics` and static key `i % n_statics`. As time passes a grid only grows at its end, so
an index keeps its meaning for as long as the declaration stays the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING

from headgate.errors import UsageError
from headgate.model.names import check_static_key, shown

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import date, datetime

    from headgate.model.grid import Grid


class Unit(StrEnum):
    """The length of a time window, in local time of its zone."""

    MINUTE = "minute"
    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"


@dataclass(frozen=True, slots=True)
class TimeAxis:
    """Windows of one unit that tile the line from `start`, in a time zone.

    Args:
        unit: Length of a window.
        start: Local start of the first window, ISO date or datetime, without offset.
        end: Local end, exclusive; None for windows without end (they appear as time passes).
        zone: IANA name.
    """

    unit: Unit
    start: str
    end: str | None
    zone: str


@dataclass(frozen=True, slots=True)
class Partitioning:
    """A declaration of partitions: a time axis, static keys, both (their product), or neither."""

    time: TimeAxis | None = None
    statics: tuple[str, ...] | None = None

    def grid(self, until_ms: int) -> Grid:
        """Return the index space of the partitions whose windows have ended by an instant.

        Args:
            until_ms: UTC milliseconds.
        """
        return _grid(self, until_ms if self.time is not None else 0)

    @property
    def spec(self) -> str:
        """Return the declaration as one line; two partitionings are the same if their specs are equal."""
        parts = []
        if self.time is not None:
            end = f"..{self.time.end}" if self.time.end else ".."
            parts.append(f"{self.time.unit} {self.time.start}{end} {self.time.zone}")
        if self.statics is not None:
            parts.append("keys " + ",".join(self.statics))
        return " x ".join(parts) or "unpartitioned"


@lru_cache(maxsize=256)
def _grid(partitioning: Partitioning, until_ms: int) -> Grid:
    from headgate.model.calendar import boundaries
    from headgate.model.grid import Grid

    axis = partitioning.time
    bounds = None if axis is None else boundaries(axis, until_ms)
    return Grid(axis, bounds, partitioning.statics)


def _time(unit: Unit, start: str | date | datetime, end: str | date | datetime | None, zone: str) -> Partitioning:
    from headgate.model.calendar import check_axis

    return Partitioning(time=check_axis(unit, start, end, zone))


def minutely(
    start: str | date | datetime, end: str | date | datetime | None = None, *, tz: str = "UTC"
) -> Partitioning:
    """Declare one partition a minute.

    Args:
        start: Start of the first, in local time: ISO text, a date or a datetime without an offset.
        end: End of the last, likewise; None for as time passes, each window once it has ended.
        tz: IANA name of the time zone.

    Raises:
        UsageError: No such zone, a time that cannot be or is not the start of a minute, or an end not after the start.
    """
    return _time(Unit.MINUTE, start, end, tz)


def hourly(start: str | date | datetime, end: str | date | datetime | None = None, *, tz: str = "UTC") -> Partitioning:
    """Declare one partition an hour.

    Args:
        start: Start of the first, in local time: ISO text, a date or a datetime without an offset.
        end: End of the last, likewise; None for as time passes, each window once it has ended.
        tz: IANA name of the time zone.

    Raises:
        UsageError: No such zone, a time that cannot be or is not the start of an hour, or an end not after the start.
    """
    return _time(Unit.HOUR, start, end, tz)


def daily(start: str | date | datetime, end: str | date | datetime | None = None, *, tz: str = "UTC") -> Partitioning:
    """Declare one partition a calendar day.

    Args:
        start: Start of the first, in local time: ISO text, a date or a datetime without an offset.
        end: End of the last, likewise; None for as time passes, each window once it has ended.
        tz: IANA name of the time zone.

    Raises:
        UsageError: No such zone, a time that cannot be or is not the start of a day, or an end not after the start.
    """
    return _time(Unit.DAY, start, end, tz)


def weekly(start: str | date | datetime, end: str | date | datetime | None = None, *, tz: str = "UTC") -> Partitioning:
    """Declare one partition a week; weeks begin on the weekday of `start`.

    Args:
        start: Start of the first, in local time: ISO text, a date or a datetime without an offset.
        end: End of the last, likewise; None for as time passes, each window once it has ended.
        tz: IANA name of the time zone.

    Raises:
        UsageError: No such zone, a time that cannot be or is not the start of a day, or an end not whole weeks later.
    """
    return _time(Unit.WEEK, start, end, tz)


def monthly(start: str | date | datetime, end: str | date | datetime | None = None, *, tz: str = "UTC") -> Partitioning:
    """Declare one partition a calendar month.

    Args:
        start: Start of the first, in local time: ISO text, a date or a datetime without an offset.
        end: End of the last, likewise; None for as time passes, each window once it has ended.
        tz: IANA name of the time zone.

    Raises:
        UsageError: No such zone, a time that cannot be or is not the start of a month, or an end not after the start.
    """
    return _time(Unit.MONTH, start, end, tz)


def static(keys: Iterable[str]) -> Partitioning:
    """Declare one partition for each key.

    Args:
        keys: Letters, digits and ``._=@+-``, beginning with a letter or a digit; in the order of the partitions.

    Raises:
        UsageError: No key, a key twice, or a key that is not allowed.
    """
    if isinstance(keys, str):
        raise UsageError(f"static() takes a list of keys, got the text {shown(keys)}")
    checked = tuple(check_static_key(key) for key in keys)
    if not checked:
        raise UsageError("static() needs at least one key")
    seen: set[str] = set()
    for key in checked:
        if key in seen:
            raise UsageError(f"static() names the key {shown(key)} twice")
        seen.add(key)
    return Partitioning(statics=checked)


def product(time: Partitioning, keys: Partitioning) -> Partitioning:
    """Declare one partition for each pair of a time window and a static key.

    Args:
        time: The windows: `daily(...)` or another one of time.
        keys: The keys: `static(...)`.

    Raises:
        UsageError: The first is not a time partitioning or the second not a static one.
    """
    if time.time is None or time.statics is not None:
        raise UsageError(f"product() takes a time partitioning first, got {time.spec}")
    if keys.statics is None or keys.time is not None:
        raise UsageError(f"product() takes a static partitioning second, got {keys.spec}")
    return Partitioning(time=time.time, statics=keys.statics)


UNPARTITIONED = Partitioning()
