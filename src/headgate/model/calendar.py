"""Where the windows of a time axis begin, in any IANA zone. Pure arithmetic over `zoneinfo`.

Windows tile the line: the end of one is the start of the next, whatever the zone does. A window begins at
the first instant that shows its local start. A local day that the zone skipped (Pacific/Apia 2011-12-30)
has no partition; an hour cut by a half-hour shift (Australia/Lord_Howe) is shorter, and the piece
after the shift begins a partition of its own.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import numpy as np

from headgate.errors import UsageError
from headgate.model.names import shown
from headgate.model.partitioning import TimeAxis, Unit

if TYPE_CHECKING:
    from numpy.typing import NDArray

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS
EARLIEST = datetime(1900, 1, 1)
LATEST = datetime(2200, 1, 1)

ELAPSED_MS = {Unit.MINUTE: MINUTE_MS, Unit.HOUR: HOUR_MS}
"""The units that are lengths of time; the others are made of local days."""

LONGEST_MS = {**ELAPSED_MS, Unit.DAY: 2 * DAY_MS, Unit.WEEK: 8 * DAY_MS, Unit.MONTH: 32 * DAY_MS}
"""No window is longer: a local day has at most 48 hours (Pacific/Kwajalein 1969-09-30 had 47)."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LATEST_MS = (LATEST.replace(tzinfo=UTC) - _EPOCH) // timedelta(milliseconds=1)


def zone_of(name: str) -> ZoneInfo:
    """Return the zone of an IANA name.

    Raises:
        UsageError: There is none of that name.
    """
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError, TypeError):
        raise UsageError(
            f"{shown(str(name))} is no time zone", hint="Use an IANA name such as UTC or America/New_York."
        ) from None


def parse_local(text: str | date | datetime, what: str) -> datetime:
    """Return an ISO date or datetime without offset as a naive datetime.

    Raises:
        UsageError: It is not one, or lies outside 1900 to 2200.
    """
    if isinstance(text, datetime):
        moment = text
    elif isinstance(text, date):
        moment = datetime(text.year, text.month, text.day)
    else:
        try:
            moment = datetime.fromisoformat(text)
        except (ValueError, TypeError):
            raise UsageError(
                f"{what} {shown(str(text))} is no date", hint="Write a date as 2013-01-31 or 2013-01-31T05:00."
            ) from None
    if moment.tzinfo is not None:
        raise UsageError(
            f"{what} {shown(str(text))} has an offset", hint="Write it in local time of the zone given by tz=."
        )
    if not EARLIEST <= moment <= LATEST:
        raise UsageError(f"{what} {shown(str(text))} is outside {EARLIEST:%Y} to {LATEST:%Y}")
    return moment


def check_axis(unit: Unit, start: str | date | datetime, end: str | date | datetime | None, zone: str) -> TimeAxis:
    """Return a time axis whose start and end are aligned to its unit.

    Raises:
        UsageError: A date is malformed or not aligned, the end is not after the start, or the zone is unknown.
    """
    zone_of(zone)
    first = _aligned(unit, parse_local(start, "start"), "start")
    last = None
    if end is not None:
        last = _aligned(unit, parse_local(end, "end"), "end")
        if last <= first:
            raise UsageError(f"end {last.isoformat()} is not after start {first.isoformat()}")
        if unit is Unit.WEEK and (last - first).days % 7:
            raise UsageError(f"from {first.date()} to {last.date()} are no whole weeks")
    return TimeAxis(unit, first.isoformat(), last.isoformat() if last else None, zone)


def _aligned(unit: Unit, moment: datetime, what: str) -> datetime:
    whole = moment - datetime.combine(moment, time())
    if whole % timedelta(milliseconds=ELAPSED_MS.get(unit, DAY_MS)):
        raise UsageError(f"{what} {moment.isoformat()} is not the start of {'an' if unit is Unit.HOUR else 'a'} {unit}")
    if unit is Unit.MONTH and moment.day != 1:
        raise UsageError(f"{what} {moment.date()} is not the first of a month")
    return moment


def instant(local: datetime, zone: ZoneInfo) -> int:
    """Return the first instant, in UTC milliseconds, whose local time is at or after `local`."""
    return int(_instants(np.array([_wall_ms(local)], dtype=np.int64), zone)[0])


def boundaries(axis: TimeAxis, until_ms: int) -> NDArray[np.int64]:
    """Return the bounds of all windows that have ended by an instant.

    Args:
        axis: The time axis.
        until_ms: UTC milliseconds.

    Returns:
        Strictly increasing UTC milliseconds: window i is ``[bounds[i], bounds[i + 1])``. As of a later instant
        there are only more of them at the end.

    Shape:
        (windows + 1,), int64; (1,) when no window has ended yet.
    """
    zone = zone_of(axis.zone)
    first = datetime.fromisoformat(axis.start)
    last = datetime.fromisoformat(axis.end) if axis.end else LATEST
    start_ms = instant(first, zone)
    stop_ms = max(min(instant(last, zone), until_ms), start_ms)
    if axis.unit in ELAPSED_MS:
        return _full_units(start_ms, stop_ms, ELAPSED_MS[axis.unit], zone)
    # Local time is never a day away from UTC: two days more than cover what has ended.
    cover_ms = min(_wall_ms(last), stop_ms + 2 * DAY_MS)
    bounds = np.unique(_instants(_starts(axis.unit, _wall_ms(first), cover_ms), zone))
    return bounds[: np.searchsorted(bounds, stop_ms, side="right")]


def _starts(unit: Unit, first_ms: int, last_ms: int) -> NDArray[np.int64]:
    """Return the local starts of the days, weeks or months from one up to another, as wall time in milliseconds."""
    if unit is not Unit.MONTH:
        return np.arange(first_ms, last_ms + 1, DAY_MS * (7 if unit is Unit.WEEK else 1), dtype=np.int64)
    first, last = (np.datetime64(ms, "ms").astype("datetime64[M]") for ms in (first_ms, last_ms))
    return _first_ms(np.arange(first, last + 1))


def _full_units(start_ms: int, stop_ms: int, unit_ms: int, zone: ZoneInfo) -> NDArray[np.int64]:
    """Return the instants at which clocks show full hours or minutes, and those at which they are shifted."""
    since, offset = _offsets(zone, start_ms, stop_ms)
    pieces: list[NDArray[np.int64]] = []
    for begin, end, shift in zip(since, [*since[1:], stop_ms + 1], offset, strict=True):
        full = -(-(begin + shift) // unit_ms) * unit_ms - shift
        pieces.append(np.arange(full, end, unit_ms, dtype=np.int64))
        if full > begin:
            pieces.insert(-1, np.array([begin], dtype=np.int64))
    return np.concatenate(pieces)


def _instants(wall_ms: NDArray[np.int64], zone: ZoneInfo) -> NDArray[np.int64]:
    """Return the first instants whose local time is at or after some wall times, in milliseconds."""
    if not wall_ms.size:
        return wall_ms
    since, offset = _offsets(zone, int(wall_ms.min()) - 2 * DAY_MS, int(wall_ms.max()) + 2 * DAY_MS)
    # The first step that gets to a wall time; one shift never undoes what a whole step has shown.
    piece = np.searchsorted(since[1:] + offset[:-1], wall_ms, side="right")
    # A wall time in a gap is reached by the shift itself.
    first_ms: NDArray[np.int64] = np.maximum(since[piece], wall_ms - offset[piece])
    return first_ms


def _offsets(zone: ZoneInfo, start_ms: int, stop_ms: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the offsets of a zone from UTC between two instants, as a step function: since when, how many ms.

    The first step begins at `start_ms`; a shift at `stop_ms` is included. Steps of a day miss no shift: no zone
    has ever shifted forth and back within three (Africa/Freetown, September 1939, took four).
    """
    since, offsets = [start_ms], [_offset_ms(start_ms, zone)]
    at = start_ms if zone.utcoffset(None) is None else stop_ms
    while at < stop_ms:
        then = min(at + DAY_MS, stop_ms)
        while _offset_ms(then, zone) != offsets[-1]:
            at = _shift(at, then, zone)
            since.append(at)
            offsets.append(_offset_ms(at, zone))
        at = then
    return np.array(since, dtype=np.int64), np.array(offsets, dtype=np.int64)


def _shift(before_ms: int, after_ms: int, zone: ZoneInfo) -> int:
    """Return the first instant in ``(before, after]`` whose offset differs from the one at `before`."""
    offset = _offset_ms(before_ms, zone)
    while after_ms - before_ms > 1:
        middle = (before_ms + after_ms) // 2
        if _offset_ms(middle, zone) == offset:
            before_ms = middle
        else:
            after_ms = middle
    return after_ms


def at_ms(ms: int, zone: tzinfo) -> datetime:
    """Return an instant as an aware datetime in a zone."""
    return (_EPOCH + timedelta(milliseconds=ms)).astimezone(zone)


def wall_times(ms: NDArray[np.int64], zone_name: str) -> NDArray[np.int64]:
    """Return what the clocks of a zone show at some instants, as milliseconds since 1970 on the same clocks."""
    if not ms.size:
        return ms
    since, offset = _offsets(zone_of(zone_name), int(ms.min()), int(ms.max()))
    return ms + offset[np.searchsorted(since, ms, side="right") - 1]


def _wall_ms(local: datetime) -> int:
    """Return a local time as milliseconds since 1970 on the same wall clock."""
    return (local.replace(tzinfo=UTC) - _EPOCH) // timedelta(milliseconds=1)


def _offset_ms(ms: int, zone: ZoneInfo) -> int:
    offset = at_ms(ms, zone).utcoffset()
    assert offset is not None
    return (offset.days * 86_400 + offset.seconds) * 1000


def shifted(ms: NDArray[np.int64], unit: Unit, count: int, zone_name: str) -> NDArray[np.int64]:
    """Return the instants `count` local units after some: "7 days before this window ends".

    The same time of another day; in a shorter month its last day. The result stays between 1900 and 2200.

    Args:
        ms: UTC milliseconds.
        unit: The unit; minutes and hours are elapsed time, the others local calendar units.
        count: How many; negative for before.
        zone_name: IANA name of the zone whose calendar counts.
    """
    if unit in ELAPSED_MS or not ms.size:
        return ms + count * ELAPSED_MS.get(unit, 0)
    wall_ms = wall_times(ms, zone_name)
    if unit is Unit.MONTH:
        moved_ms = _months_later(wall_ms, count)
    else:
        moved_ms = wall_ms + count * DAY_MS * (7 if unit is Unit.WEEK else 1)
    return _instants(np.clip(moved_ms, _wall_ms(EARLIEST), _wall_ms(LATEST)), zone_of(zone_name))


def _months_later(wall_ms: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    month = wall_ms.astype("datetime64[ms]").astype("datetime64[M]")
    into_ms = wall_ms - _first_ms(month)
    length_ms = _first_ms(month + count + 1) - _first_ms(month + count)
    too_long = into_ms >= length_ms
    return _first_ms(month + count) + np.where(too_long, length_ms - DAY_MS + into_ms % DAY_MS, into_ms)


def _first_ms(month: NDArray[np.datetime64]) -> NDArray[np.int64]:
    return month.astype("datetime64[ms]").astype(np.int64)
