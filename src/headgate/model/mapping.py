"""Which upstream partitions a partition reads, as arithmetic on indices.

A mapping has a time rule and a static rule. By default windows that overlap belong together, and static keys
match by name (a dataset without static keys reads all of them). The result is one range of upstream indices for each
downstream index, so a million edges are three arrays; between two grids of the same windows they are not even that.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np

from headgate.errors import UsageError
from headgate.model.calendar import ELAPSED_MS, LATEST, LATEST_MS, LONGEST_MS, boundaries, shifted
from headgate.model.names import shown
from headgate.model.partitioning import Partitioning, TimeAxis, Unit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray

    from headgate.model.grid import Grid

MAX_COUNT = 1_000_000


@dataclass(frozen=True, slots=True)
class Overlap:
    """The upstream windows that overlap this window."""


@dataclass(frozen=True, slots=True)
class Trailing:
    """The last `count` upstream windows up to the end of this one; with a unit, all that overlap that much time."""

    count: int
    unit: Unit | None = None

    def __post_init__(self) -> None:
        _check_count(self.count, "a trailing window", 1)
        if self.unit is not None and not isinstance(self.unit, Unit):
            raise UsageError(
                f"{shown(str(self.unit))} is no unit of a trailing window", hint=f"Use one of {', '.join(Unit)}."
            )


@dataclass(frozen=True, slots=True)
class Offset:
    """What the partition `count` windows away reads (-1: the one before)."""

    count: int

    def __post_init__(self) -> None:
        _check_count(self.count, "an offset", -MAX_COUNT)


@dataclass(frozen=True, slots=True)
class All:
    """Every upstream partition."""


@dataclass(frozen=True, slots=True)
class Fixed:
    """One key always: a static key (with windows that overlap), or a whole partition key."""

    key: str

    def __post_init__(self) -> None:
        if not isinstance(self.key, str):
            raise UsageError(f"a fixed key must be text, got {type(self.key).__name__}")


@dataclass(frozen=True, slots=True)
class Custom:
    """The upstream keys that a function returns for this key."""

    function: Callable[[str], Iterable[str]]
    name: str

    def __post_init__(self) -> None:
        if not callable(self.function):
            raise UsageError(f"a custom mapping must be a function, got {type(self.function).__name__}")


def _check_count(count: object, what: str, least: int) -> None:
    if not isinstance(count, int) or isinstance(count, bool):
        raise UsageError(f"{what} must be a whole number of windows, got {shown(str(count))}")
    if not least <= count <= MAX_COUNT:
        raise UsageError(f"{what} of {count} is outside {least:,} to {MAX_COUNT:,}")


Mapping = Overlap | Trailing | Offset | All | Fixed | Custom


@dataclass(frozen=True, slots=True)
class Spans:
    """One range of upstream indices for each downstream index.

    Args:
        start: First upstream index of each.
        stop: End of each, exclusive; equal to start for none. Below the grid's size + `step`.
        step: Distance between upstream indices, the same for all.
        beyond: Whether part of what each should read lies after the end of the upstream's grid as it is now.

    Shape:
        start, stop (int64) and beyond (bool): (downstream indices,).
    """

    start: NDArray[np.int64]
    stop: NDArray[np.int64]
    step: int
    beyond: NDArray[np.bool_]

    def of(self, position: int) -> range:
        """Return the upstream indices of the downstream index at a position."""
        return range(int(self.start[position]), int(self.stop[position]), self.step)


@dataclass(frozen=True, slots=True)
class Lists:
    """Any upstream indices for each downstream index: ``values[offsets[i]:offsets[i + 1]]``.

    Args:
        offsets: Where the upstream indices of each begin, and where the last ones end.
        values: Upstream indices, for each ascending and none twice.
        beyond: As in `Spans`.

    Shape:
        offsets (int64): (downstream indices + 1,); values (int64): (edges,); beyond (bool): (downstream indices,).
    """

    offsets: NDArray[np.int64]
    values: NDArray[np.int64]
    beyond: NDArray[np.bool_]

    def of(self, position: int) -> list[int]:
        """Return the upstream indices of the downstream index at a position."""
        return list(map(int, self.values[self.offsets[position] : self.offsets[position + 1]]))


@dataclass(frozen=True, slots=True)
class Sliding:
    """For each partition of a whole grid the ones around it in a grid of the same shape; nothing is written out.

    Args:
        first: The first window that each reads, counted from its own; not above 0.
        last: The last one, likewise.
        step: Static keys of a window: the distance between upstream indices.
        size: Partitions of either grid.
    """

    first: int
    last: int
    step: int
    size: int

    @property
    def beyond(self) -> NDArray[np.bool_]:
        """Return that nothing is read after the end of the grid, as in `Spans`."""
        return np.zeros(self.size, dtype=bool)

    def of(self, position: int) -> range:
        """Return the upstream indices of a partition."""
        start = max(position + self.first * self.step, position % self.step)
        return range(start, position + self.last * self.step + 1, self.step)


Reads = Spans | Lists | Sliding


def describe(mapping: Mapping) -> str:
    """Return a mapping in words; equal texts mean equal mappings."""
    match mapping:
        case Overlap():
            return "overlapping windows"
        case Trailing(count, unit):
            return f"last {count} {unit + 's' if unit else 'windows'}"
        case Offset(count):
            return f"{abs(count)} window{'s' if abs(count) != 1 else ''} {'before' if count < 0 else 'after'}"
        case All():
            return "all"
        case Fixed(key):
            return f"key {key}"
        case Custom(_, name):
            return f"custom {name}"


def sliding(mapping: Mapping, down: Grid, up: Grid) -> Sliding | None:
    """Return what all partitions of `down` read of `up`, if it is the same for each of them; None if it is not."""
    if down.statics != up.statics or not _is_same_line(down, up):
        return None
    match mapping:
        case Overlap():
            return Sliding(0, 0, down.n_statics, down.size)
        case Trailing(count, None) if down.axis is not None:
            return Sliding(1 - count, 0, down.n_statics, down.size)
        case Offset(count) if count <= 0 and down.axis is not None:
            return Sliding(count, count, down.n_statics, down.size)
    return None


def _is_same_line(down: Grid, up: Grid) -> bool:
    """Return whether two grids have the same windows."""
    return down.axis == up.axis and down.n_times == up.n_times


def upstream(mapping: Mapping, down: Grid, up: Grid, index: NDArray[np.int64]) -> Spans | Lists:
    """Return what partitions of `down` read of `up`.

    What it is does not depend on how much of an open grid there is yet: it is what the mapping means on the line of all
    windows, past and future, cut to the upstream windows that have ended. `beyond` says where something was cut off.

    Args:
        mapping: The rule.
        down: Grid of the dataset that reads.
        up: Grid of the dataset that is read.
        index: Downstream indices, shape (n,).

    Raises:
        UsageError: The mapping names a key that does not exist upstream, or does not fit the two partitionings.
    """
    match mapping:
        case Custom():
            return _custom(mapping, down, up, index)
        case Fixed(key) if up.static_index(key) is None:
            only = _Finder(up).find(key)
            start = np.full(len(index), 0 if only is None else only, dtype=np.int64)
            return Spans(start, start + (only is not None), 1, np.full(len(index), only is None))
        case Trailing() | Offset() if down.axis is None or up.axis is None:
            raise UsageError(
                f"{describe(mapping)!r} needs windows on both sides",
                hint="Choose another mapping, or partition both datasets by time.",
            )
    lo, hi, beyond = _times(mapping, down, up, index if down.n_statics == 1 else index // down.n_statics)
    n = up.n_statics
    column = _column(mapping, down, up, index % down.n_statics)
    if column is None:
        return Spans(lo * n, hi * n, 1, beyond)
    return Spans(lo * n + column, hi * n + column, n, beyond)


def _column(mapping: Mapping, down: Grid, up: Grid, static: NDArray[np.int64]) -> NDArray[np.int64] | None:
    """Return the static position upstream of each downstream one; None for all of them."""
    if up.statics is None or isinstance(mapping, All):
        return None
    if isinstance(mapping, Fixed):
        return np.full(len(static), up.static_index(mapping.key), dtype=np.int64)
    if down.statics is None:
        return None
    found = [up.static_index(key) for key in down.statics]
    for key, position in zip(down.statics, found, strict=True):
        if position is None:
            raise UsageError(
                f"the upstream has no key {shown(key)}",
                hint="Match the keys, or choose a mapping: all, fixed or custom.",
            )
    return np.array(found, dtype=np.int64)[static]


_Times = tuple["NDArray[np.int64]", "NDArray[np.int64]", "NDArray[np.bool_]"]


def _times(mapping: Mapping, down: Grid, up: Grid, t: NDArray[np.int64]) -> _Times:
    """Return the range of upstream windows for each downstream window, and whether it is cut at the end."""
    nowhere = np.zeros(len(t), dtype=bool)
    if up.bounds is None:
        return np.zeros_like(t), np.ones_like(t), nowhere
    if down.bounds is None or isinstance(mapping, All) or not len(t):
        return np.zeros_like(t), np.full_like(t, up.n_times), nowhere
    if _is_same_line(down, up):
        match mapping:
            case Overlap():
                return t, t + 1, nowhere
            case Trailing(count, None):
                return np.maximum(t + 1 - count, 0), t + 1, nowhere
            case Offset(count) if count <= 0:
                return np.maximum(t + count, 0), np.maximum(t + count + 1, 0), nowhere
    down_bounds = down.bounds
    if isinstance(mapping, Offset):
        t = t + mapping.count
        down_bounds = _bounds_until(down, windows=int(t.max()) + 1)
    exists = (t >= 0) & (t < len(down_bounds) - 1)
    t = np.where(exists, t, 0)
    start, end = down_bounds[t], down_bounds[t + 1]
    up_bounds = _bounds_until(up, end_ms=int(end.max()))
    hi = np.minimum(np.searchsorted(up_bounds, end, side="left"), len(up_bounds) - 1)
    if isinstance(mapping, Trailing) and mapping.unit is None:
        lo = hi - mapping.count
    else:
        if isinstance(mapping, Trailing) and mapping.unit is not None:
            assert down.axis is not None
            start = shifted(end, mapping.unit, -mapping.count, down.axis.zone)
        lo = np.searchsorted(up_bounds, start, side="right") - 1
    hi = np.where(exists, hi, 0)
    lo = np.clip(lo, 0, hi)
    beyond = (hi > up.n_times) & (lo < hi)
    return np.minimum(lo, up.n_times), np.minimum(hi, up.n_times), beyond


def _bounds_until(grid: Grid, *, end_ms: int | None = None, windows: int = 0) -> NDArray[np.int64]:
    """Return the bounds of a grid up to an instant or a number of windows, also if that lies in the future."""
    assert grid.axis is not None
    assert grid.bounds is not None
    last_ms = int(grid.bounds[-1])
    longest_ms = LONGEST_MS[grid.axis.unit]
    until_ms = last_ms + (windows - grid.n_times) * longest_ms if end_ms is None else end_ms + longest_ms
    return boundaries(grid.axis, until_ms) if until_ms > last_ms and grid.is_open else grid.bounds


class _Finder:
    """Finds keys upstream; those of windows that have not ended yet in a grid that goes further."""

    def __init__(self, up: Grid) -> None:
        self._up = up
        self._later: Grid | None = None

    def find(self, key: str) -> int | None:
        """Return the index of a key; None if its window has not ended yet.

        Raises:
            UsageError: There is no such key and never will be.
        """
        found = self._up.find(key)
        if found is None and not self._is_later(key):
            raise UsageError(f"the upstream has no partition {shown(key)}", hint=self._up.describe())
        return found

    def _is_later(self, key: str) -> bool:
        if self._up.axis is None or not self._up.is_open:
            return False
        if self._up.axis.unit in ELAPSED_MS:
            return self._around(self._up.axis, key).find(key) is not None
        if self._later is None:
            self._later = Partitioning(self._up.axis, self._up.statics).grid(LATEST_MS)
        return self._later.find(key) is not None

    def _around(self, axis: TimeAxis, key: str) -> Grid:
        """Return the part of the grid, past and future, that has a key: all minutes up to 2200 would fill a memory."""
        with suppress(ValueError, OverflowError):
            day = datetime.fromisoformat(key.partition("/")[0]).replace(hour=0, minute=0, tzinfo=None)
            start = max(day - timedelta(days=2), datetime.fromisoformat(axis.start))
            end = min(day + timedelta(days=3), datetime.fromisoformat(axis.end) if axis.end else LATEST)
            if start < end:
                near = TimeAxis(axis.unit, start.isoformat(), end.isoformat(), axis.zone)
                return Partitioning(near, self._up.statics).grid(LATEST_MS)
        return self._up


def _custom(mapping: Custom, down: Grid, up: Grid, index: NDArray[np.int64]) -> Lists:
    offsets, values = [0], list[int]()
    beyond = np.zeros(len(index), dtype=bool)
    finder = _Finder(up)
    for position, key in enumerate(down.keys(index)):
        own: set[int] = set()
        for wanted in _wanted(mapping, key):
            try:
                found = finder.find(wanted)
            except UsageError as error:
                raise UsageError(
                    f"mapping function {mapping.name} maps {key} to {shown(wanted)}, which is not there",
                    hint=error.hint,
                ) from None
            if found is None:
                beyond[position] = True
            else:
                own.add(found)
        values += sorted(own)
        offsets.append(len(values))
    return Lists(np.array(offsets, dtype=np.int64), np.array(values, dtype=np.int64), beyond)


def _wanted(mapping: Custom, key: str) -> list[str]:
    try:
        wanted = mapping.function(key)
        if isinstance(wanted, str):
            raise TypeError("it returned one text where a list of keys was expected")
        keys = list(wanted)
        for upstream_key in keys:
            if not isinstance(upstream_key, str):
                raise TypeError(f"it returned {type(upstream_key).__name__} where a key was expected")
    except Exception as error:
        raise UsageError(
            f"mapping function {mapping.name} failed for {key}: {type(error).__name__}: {error}"
        ) from error
    return keys
