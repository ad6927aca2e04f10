"""Windows tile the line in every IANA zone, and keys and indices go back and forth."""

from __future__ import annotations

import importlib.resources
import struct
import zoneinfo
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headgate.model.calendar import DAY_MS, ELAPSED_MS, HOUR_MS, LONGEST_MS, at_ms, boundaries, shifted
from headgate.model.partitioning import Partitioning, TimeAxis, Unit

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LOW_MS = (datetime(1901, 1, 1, tzinfo=UTC) - EPOCH) // timedelta(milliseconds=1)
HIGH_MS = (datetime(2190, 1, 1, tzinfo=UTC) - EPOCH) // timedelta(milliseconds=1)


def _zone_data(name: str) -> bytes:
    for folder in zoneinfo.TZPATH:
        if (Path(folder) / name).is_file():
            return (Path(folder) / name).read_bytes()
    return importlib.resources.files("tzdata").joinpath("zoneinfo", name).read_bytes()


class Shift(NamedTuple):
    """A change of offset from UTC: when, from what and to what, in milliseconds."""

    ms: int
    before: int
    after: int


def _shifts(data: bytes) -> list[Shift]:
    """Return the changes of offset in a TZif file since 1901 (RFC 8536, section 3)."""

    def counts(at: int) -> tuple[int, ...]:
        return struct.unpack_from(">6l", data, at + 20)

    ut, std, leap, times, types, chars = counts(0)
    at = 44 + times * 5 + types * 6 + chars + leap * 8 + std + ut
    _, _, _, times, types, _ = counts(at)
    at += 44
    instants = struct.unpack_from(f">{times}q", data, at)
    kinds = data[at + 8 * times : at + 9 * times]
    offsets = [struct.unpack_from(">l", data, at + 9 * times + 6 * i)[0] * 1000 for i in range(types)]
    found, offset = [], offsets[0]
    for instant_s, kind in zip(instants, kinds, strict=True):
        if offsets[kind] != offset and instant_s * 1000 > LOW_MS:
            found.append(Shift(instant_s * 1000, offset, offsets[kind]))
        offset = offsets[kind]
    return found


ZONES = sorted(zoneinfo.available_timezones() - {"localtime", "Factory", "posixrules"})
DISTINCT = {data: name for name in reversed(ZONES) if (data := _zone_data(name)).startswith(b"TZif")}
SHIFTS = {name: _shifts(data) for data, name in sorted(DISTINCT.items(), key=lambda item: item[1])}


def _local(ms: int, zone: zoneinfo.ZoneInfo) -> datetime:
    return at_ms(ms, zone).replace(tzinfo=None, fold=0)


def _partitioning(unit: Unit, near_ms: int, days: int, zone_name: str) -> tuple[Partitioning, list[datetime]]:
    """Return a partitioning that begins days before an instant, and the local starts of its windows and end.

    Around minutes an eighth of an hour stands for each day.
    """
    zone = zoneinfo.ZoneInfo(zone_name)
    reach_ms = days * (HOUR_MS // 8 if unit is Unit.MINUTE else DAY_MS)
    local = _local(near_ms - reach_ms, zone).replace(minute=0, second=0, microsecond=0)
    match unit:
        case Unit.MINUTE:
            step = timedelta(minutes=1)
        case Unit.HOUR:
            step = timedelta(hours=1)
        case Unit.DAY:
            step, local = timedelta(days=1), local.replace(hour=0)
        case Unit.WEEK:
            step, local = timedelta(days=7), local.replace(hour=0)
        case Unit.MONTH:
            step, local = timedelta(days=31), local.replace(hour=0, day=1)
    stop = _local(near_ms + reach_ms, zone) + step
    starts = [local]
    while starts[-1] < stop:
        following = starts[-1] + step
        starts.append(following.replace(day=1) if unit is Unit.MONTH else following)
    return Partitioning(time=TimeAxis(unit, starts[0].isoformat(), starts[-1].isoformat(), zone_name)), starts


def _assert_tiles(unit: Unit, near_ms: int, days: int, zone_name: str) -> None:
    partitioning, starts = _partitioning(unit, near_ms, days, zone_name)
    zone = zoneinfo.ZoneInfo(zone_name)
    grid = partitioning.grid(HIGH_MS + 10_000 * DAY_MS)
    bounds = [int(ms) for ms in grid.bounds]
    assert [grid.window(i) for i in range(grid.size)] == list(pairwise(bounds))
    assert all(0 < stop - start <= LONGEST_MS[unit] for start, stop in pairwise(bounds))
    keys = grid.keys(range(grid.size))
    assert len(set(keys)) == grid.size
    assert [grid.find(key) for key in keys] == list(range(grid.size))
    _assert_first_instant(bounds[0], starts[0], zone)
    _assert_first_instant(bounds[-1], starts[-1], zone)
    if unit in ELAPSED_MS:
        _assert_full(bounds, ELAPSED_MS[unit], zone)
        return
    shown = [_local(ms, zone) for ms in bounds]
    begun = [next(ms for ms, local in zip(bounds, shown, strict=True) if local >= start) for start in starts]
    assert sorted(set(begun)) == bounds
    for ms, start in zip(begun, starts, strict=True):
        _assert_first_instant(ms, start, zone)


def _assert_first_instant(ms: int, local: datetime, zone: zoneinfo.ZoneInfo) -> None:
    assert _local(ms, zone) >= local
    assert _local(ms - 1, zone) < local
    assert all(_local(ms - ago, zone) < local for ago in range(HOUR_MS // 4, 49 * HOUR_MS, HOUR_MS))


def _assert_full(bounds: list[int], unit_ms: int, zone: zoneinfo.ZoneInfo) -> None:
    """Each bound is a full local hour or minute or a shift, and there is neither within a window."""

    def offset(ms: int) -> int:
        return at_ms(ms, zone).utcoffset() // timedelta(milliseconds=1)

    for start, stop in pairwise(bounds):
        assert (start + offset(start)) % unit_ms == 0 or offset(start) != offset(start - 1)
        assert offset(start) == offset(stop - 1)
        assert (start + offset(start)) // unit_ms == (stop - 1 + offset(start)) // unit_ms


AROUND = ((Unit.MINUTE, 3), (Unit.HOUR, 1), (Unit.DAY, 2), (Unit.WEEK, 5), (Unit.MONTH, 5))


@pytest.mark.slow
def test_every_zone_tiles_the_line_around_its_largest_shift() -> None:
    assert len(ZONES) > 400
    for name, shifts in SHIFTS.items():
        near_ms = max(shifts, key=lambda shift: abs(shift.after - shift.before), default=Shift(0, 0, 0)).ms
        for unit, days in AROUND:
            _assert_tiles(unit, near_ms, days, name)


def test_every_name_of_a_zone_gives_windows() -> None:
    for name in ZONES:
        assert boundaries(TimeAxis(Unit.DAY, "2013-01-01", "2013-01-08", name), HIGH_MS).size == 8


@pytest.mark.slow
@pytest.mark.parametrize("part", range(8))
def test_every_zone_tiles_the_line_around_each_of_its_shifts(part: int) -> None:
    # Zones share most of their shifts, and one zone is enough for each.
    different = {shift: name for name, shifts in SHIFTS.items() for shift in shifts}
    for shift in sorted(different)[part::8]:
        for unit, days in AROUND:
            _assert_tiles(unit, shift.ms, days, different[shift])


def test_no_zone_shifts_twice_within_two_days() -> None:
    # The search for shifts goes in steps of a day.
    for name, shifts in SHIFTS.items():
        assert all(later.ms - earlier.ms > 2 * DAY_MS for earlier, later in pairwise(shifts)), name


axes = st.builds(
    lambda unit, near_ms, days, zone: (unit, near_ms, days, zone),
    st.sampled_from(Unit),
    st.integers(LOW_MS, HIGH_MS),
    st.integers(0, 40),
    st.sampled_from(ZONES),
)


@settings(deadline=None)
@given(axes)
def test_windows_tile_the_line_anywhere(axis: tuple[Unit, int, int, str]) -> None:
    _assert_tiles(*axis)


@settings(deadline=None)
@given(axes, st.integers(-50, 50), st.integers(0, 50))
def test_a_later_grid_extends_an_earlier_one(axis: tuple[Unit, int, int, str], start: int, later: int) -> None:
    unit, near_ms, days, zone = axis
    time = _partitioning(unit, near_ms, days, zone)[0].time
    endless = TimeAxis(time.unit, time.start, None, time.zone)
    now_ms = near_ms + start * 12 * HOUR_MS
    earlier = boundaries(endless, now_ms)
    after = boundaries(endless, now_ms + later * 5 * HOUR_MS)
    assert after[: len(earlier)].tolist() == earlier.tolist()
    # Nothing that has ended is left out, nothing that has not is in.
    assert all(bound > now_ms for bound in after[len(earlier) :])
    assert earlier.size == 1 or earlier[-1] <= now_ms


@settings(deadline=None)
@given(axes, st.integers(-40, 40), st.sampled_from([Unit.DAY, Unit.WEEK]))
def test_shifting_keeps_the_time_of_day_or_comes_out_of_a_gap(
    axis: tuple[Unit, int, int, str], count: int, unit: Unit
) -> None:
    _, near_ms, _, zone_name = axis
    zone = zoneinfo.ZoneInfo(zone_name)
    (moved_ms,) = shifted(np.array([near_ms], dtype=np.int64), unit, count, zone_name).tolist()
    wanted = _local(near_ms, zone) + count * timedelta(days=7 if unit is Unit.WEEK else 1)
    _assert_first_instant(moved_ms, wanted, zone)
