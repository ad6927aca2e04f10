"""What a partition reads, as arithmetic on ranges, is what a slow and plain model says."""

from __future__ import annotations

from calendar import monthrange
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headgate.model.calendar import DAY_MS, HOUR_MS, at_ms, instant
from headgate.model.mapping import All, Custom, Fixed, Mapping, Offset, Overlap, Spans, Trailing, sliding, upstream
from headgate.model.partitioning import UNPARTITIONED, Partitioning, TimeAxis, Unit, static

if TYPE_CHECKING:
    from headgate.model.grid import Grid

BASE = date(2013, 3, 1)
BASE_MS = round(datetime(2013, 3, 1, tzinfo=UTC).timestamp() * 1000)
ZONES = ("UTC", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "Africa/Cairo", "Pacific/Auckland")
NAMES = ("x", "y", "z")


@st.composite
def axes(draw: st.DrawFn) -> TimeAxis:
    unit = draw(st.sampled_from(Unit))
    if unit is Unit.MINUTE:
        return draw(minutes())
    first = BASE + timedelta(days=draw(st.integers(-45, 45)))
    if unit is Unit.MONTH:
        first = first.replace(day=1)
    last = None
    if draw(st.booleans()):
        length = {Unit.HOUR: 1, Unit.DAY: 1, Unit.WEEK: 7, Unit.MONTH: 31}[unit] * draw(st.integers(1, 12))
        last = first + timedelta(days=length)
        if unit is Unit.MONTH:
            last = last.replace(day=1)
    text = f"{last}T00:00:00" if last is not None and last > first else None
    return TimeAxis(unit, f"{first}T00:00:00", text, draw(st.sampled_from(ZONES)))


@st.composite
def minutes(draw: st.DrawFn) -> TimeAxis:
    """A few hours of minutes, never without end: the model looks at every window."""
    first = datetime(2013, 3, 1) + timedelta(minutes=draw(st.integers(-45 * 24 * 60, 45 * 24 * 60)))
    last = first + timedelta(minutes=draw(st.integers(1, 300)))
    return TimeAxis(Unit.MINUTE, first.isoformat(), last.isoformat(), draw(st.sampled_from(ZONES)))


times = st.builds(Partitioning, axes())
statics = st.permutations(NAMES).flatmap(lambda keys: st.integers(1, 3).map(lambda n: static(keys[:n])))
products = st.builds(lambda time, keys: Partitioning(time.time, keys.statics), times, statics)
partitionings = st.one_of(times, products, statics, st.just(UNPARTITIONED))
nows = st.integers(-30 * 24, 90 * 24).map(lambda hours: BASE_MS + hours * HOUR_MS + 17)
counts = st.integers(1, 40)
timed = st.one_of(
    st.just(Overlap()),
    st.builds(Trailing, counts),
    st.builds(Trailing, counts, st.sampled_from(Unit)),
    st.builds(Offset, st.integers(-10, 10)),
    st.just(All()),
)


def _far(partitioning: Partitioning, now_ms: int) -> Grid:
    """Return a grid with every window that anything in these tests could read."""
    return partitioning.grid(now_ms + 500 * DAY_MS)


def _back(ms: int, unit: Unit, count: int, zone_name: str) -> int:
    zone = ZoneInfo(zone_name)
    local = at_ms(ms, zone).replace(tzinfo=None, fold=0)
    match unit:
        case Unit.MINUTE:
            return ms - count * 60_000
        case Unit.HOUR:
            return ms - count * HOUR_MS
        case Unit.DAY:
            return instant(local - timedelta(days=count), zone)
        case Unit.WEEK:
            return instant(local - timedelta(weeks=count), zone)
        case Unit.MONTH:
            year, month = divmod(local.year * 12 + local.month - 1 - count, 12)
            day = min(local.day, monthrange(year, month + 1)[1])
            return instant(local.replace(year=year, month=month + 1, day=day), zone)


def _windows(mapping: Mapping, down: Grid, up: Grid, t: int) -> list[int]:
    """Return what a downstream window reads, as positions in all upstream windows, past and future."""
    everything = [up.window(i * up.n_statics) for i in range(up.n_times)]
    if isinstance(mapping, Offset):
        t += mapping.count
        if not 0 <= t < down.n_times:
            return []
    start, end = down.window(t * down.n_statics)
    match mapping:
        case Trailing(count, None):
            return [i for i, window in enumerate(everything) if window[0] < end][-count:]
        case Trailing(count, unit):
            start = _back(end, unit, count, down.axis.zone)
    return [i for i, window in enumerate(everything) if window[0] < end and window[1] > start]


def _model(
    mapping: Mapping, reader: Partitioning, read: Partitioning, now_ms: int, index: int
) -> tuple[list[int], bool]:
    down, up = reader.grid(now_ms), read.grid(now_ms)
    t, s = divmod(index, down.n_statics)
    if isinstance(mapping, All) or down.axis is None or up.axis is None:
        windows = list(range(up.n_times))
    else:
        windows = _windows(mapping, _far(reader, now_ms), _far(read, now_ms), t)
    columns = list(range(up.n_statics))
    if isinstance(mapping, Fixed):
        columns = [up.statics.index(mapping.key)]
    elif not isinstance(mapping, All) and up.statics is not None and down.statics is not None:
        columns = [up.statics.index(down.statics[s])]
    wanted = [i * up.n_statics + column for i in windows for column in columns]
    return [i for i in wanted if i < up.size], any(i >= up.size for i in wanted)


def _assert_agrees(mapping: Mapping, reader: Partitioning, read: Partitioning, now_ms: int) -> None:
    down, up = reader.grid(now_ms), read.grid(now_ms)
    index = np.unique(np.linspace(0, down.size - 1, min(7, down.size)).astype(np.int64))
    reads = upstream(mapping, down, up, index)
    assert isinstance(reads, Spans)
    short = sliding(mapping, down, up)
    for i in index.tolist() if short else ():
        assert list(short.of(i)) == _model(mapping, reader, read, now_ms, i)[0]
    assert (reads.start >= 0).all()
    assert (reads.start <= reads.stop).all()
    assert (reads.stop < up.size + reads.step).all()
    for position, i in enumerate(index.tolist()):
        expected, beyond = _model(mapping, reader, read, now_ms, i)
        assert list(reads.of(position)) == expected
        assert bool(reads.beyond[position]) == beyond


def _matched(reader: Partitioning, read: Partitioning) -> Partitioning:
    """Return the reader with only such static keys as the other has, if both have any."""
    if reader.statics is None or read.statics is None:
        return reader
    common = tuple(key for key in reader.statics if key in read.statics)
    return Partitioning(reader.time, common or read.statics[:1])


@settings(deadline=None)
@given(timed, st.one_of(times, products), st.one_of(times, products), nows)
def test_windows_read_what_the_model_says(
    mapping: Mapping, reader: Partitioning, read: Partitioning, now_ms: int
) -> None:
    _assert_agrees(mapping, _matched(reader, read), read, now_ms)


@settings(deadline=None)
@given(st.sampled_from([Overlap(), All()]), partitionings, partitionings, nows)
def test_any_two_partitionings_have_a_default(
    mapping: Mapping, reader: Partitioning, read: Partitioning, now_ms: int
) -> None:
    _assert_agrees(mapping, _matched(reader, read), read, now_ms)


@settings(deadline=None)
@given(partitionings, st.one_of(statics, products), nows, st.data())
def test_a_fixed_static_key_goes_with_the_windows(
    reader: Partitioning, read: Partitioning, now_ms: int, data: st.DataObject
) -> None:
    _assert_agrees(Fixed(data.draw(st.sampled_from(read.statics))), reader, read, now_ms)


@pytest.mark.slow
@settings(deadline=None, max_examples=25)
@given(partitionings, partitionings, nows, st.data())
def test_a_fixed_key_is_read_by_all_and_awaited_if_it_lies_ahead(
    reader: Partitioning, read: Partitioning, now_ms: int, data: st.DataObject
) -> None:
    down, up, far = reader.grid(now_ms), read.grid(now_ms), _far(read, now_ms)
    wanted = data.draw(st.integers(0, far.size - 1))
    reads = upstream(Fixed(far.key(wanted)), down, up, np.arange(down.size)[:5])
    if read.time is None and read.statics is not None:
        return  # A static key; the test above.
    for position in range(len(reads.start)):
        assert list(reads.of(position)) == [i for i in [wanted] if i < up.size]
        assert bool(reads.beyond[position]) == (wanted >= up.size)


@settings(deadline=None, max_examples=25)
@given(partitionings, partitionings, nows, st.data())
def test_custom_keys_are_found_once_and_awaited_if_they_lie_ahead(
    reader: Partitioning, read: Partitioning, now_ms: int, data: st.DataObject
) -> None:
    down, up, far = reader.grid(now_ms), read.grid(now_ms), _far(read, now_ms)
    index = np.arange(down.size)[-5:]
    wanted = {
        down.key(i): data.draw(st.lists(st.integers(max(0, up.size - 9), min(far.size, up.size + 9) - 1), max_size=5))
        for i in index.tolist()
    }
    mapping = Custom(lambda key: (far.key(i) for i in wanted[key]), "wanted")
    reads = upstream(mapping, down, up, index)
    for position, i in enumerate(index.tolist()):
        chosen = sorted(set(wanted[down.key(i)]))
        assert reads.of(position) == [j for j in chosen if j < up.size]
        assert bool(reads.beyond[position]) == any(j >= up.size for j in chosen)


@settings(deadline=None)
@given(timed, times, times, nows, st.integers(1, 60))
def test_what_a_partition_reads_only_grows_and_only_while_it_waits(
    mapping: Mapping, reader: Partitioning, read: Partitioning, now_ms: int, days: int
) -> None:
    if isinstance(mapping, All):
        return  # All of what there is at the time.
    index = np.arange(reader.grid(now_ms).size)[-20:]
    before, after = (
        upstream(mapping, reader.grid(at), read.grid(at), index) for at in (now_ms, now_ms + days * DAY_MS)
    )
    for position in range(len(index)):
        assert list(after.of(position))[: len(before.of(position))] == list(before.of(position))
        assert before.beyond[position] or list(after.of(position)) == list(before.of(position))
