"""The index space of a partitioning as of an instant: keys, windows and integers, back and forth."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Literal

import numpy as np

from headgate.errors import UsageError
from headgate.model.calendar import DAY_MS, ELAPSED_MS, instant, wall_times, zone_of
from headgate.model.key_columns import characters, part, times_of
from headgate.model.names import shown
from headgate.model.partitioning import Unit

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from headgate.model.partitioning import TimeAxis

WHOLE = "all"
"""The key of the one partition of an unpartitioned dataset."""

_EPOCH = datetime(1970, 1, 1)
_MS = timedelta(milliseconds=1)

_SHOWN: dict[Unit, Literal["s", "D", "M"]] = {
    Unit.MINUTE: "s",
    Unit.HOUR: "s",
    Unit.DAY: "D",
    Unit.WEEK: "D",
    Unit.MONTH: "M",
}
"""Up to which unit the keys of an axis show the time; hours show seconds only where clocks do not begin at 0."""

_BLOCK = 64
"""Keys are made in blocks: one costs 2 us by itself, 0.3 us in company, and they are asked for in order."""

_BLOCKS_KEPT = 256

_NEAR = 1024
"""How many windows after one are looked at for the keys that come next."""


class Grid:
    """All partitions of a dataset as integers ``0 .. size - 1``.

    Partition i is time window ``i // n_statics`` and static key ``i % n_statics``; a missing axis has
    length 1. Keys are ``2013-01-31`` (day, or first day of a week), ``2013-01`` (month),
    ``2013-01-31T05:00-05:00`` or ``...Z`` (hour, minute), the static key, ``TIME/STATIC``, or ``all``.

    Args:
        axis: The time axis, if any.
        bounds: Its window bounds, shape (windows + 1,), UTC milliseconds.
        statics: The static keys, if any.
    """

    __slots__ = ("_static_index", "_time_keys", "_walls", "axis", "bounds", "n_statics", "n_times", "size", "statics")

    def __init__(
        self, axis: TimeAxis | None, bounds: NDArray[np.int64] | None, statics: tuple[str, ...] | None
    ) -> None:
        self.axis = axis
        self.bounds = bounds
        self.statics = statics
        self.n_times = 1 if bounds is None else len(bounds) - 1
        self.n_statics = 1 if statics is None else len(statics)
        self.size = self.n_times * self.n_statics
        self._static_index = {key: i for i, key in enumerate(statics or ())}
        self._walls: NDArray[np.int64] | None = None
        self._time_keys: dict[int, list[str]] = {}

    @property
    def is_open(self) -> bool:
        """Return whether more windows will appear as time passes."""
        if self.axis is None or self.bounds is None:
            return False
        if self.axis.end is None:
            return True
        return int(self.bounds[-1]) < instant(datetime.fromisoformat(self.axis.end), zone_of(self.axis.zone))

    def key(self, index: int) -> str:
        """Return the key of a partition."""
        time_index, static_index = divmod(int(index), self.n_statics)
        if self.bounds is None:
            return WHOLE if self.statics is None else self.statics[static_index]
        time_key = self._time_key(time_index)
        return time_key if self.statics is None else f"{time_key}/{self.statics[static_index]}"

    def keys(self, indices: Iterable[int]) -> list[str]:
        """Return the keys of many partitions, in the order given."""
        return [self.key(index) for index in indices]

    def window(self, index: int) -> tuple[int, int] | None:
        """Return the half-open window of a partition in UTC milliseconds; None without a time axis."""
        if self.bounds is None:
            return None
        at = int(index) // self.n_statics
        return int(self.bounds[at]), int(self.bounds[at + 1])

    def static_index(self, key: str) -> int | None:
        """Return the position of a static key; None if there is no such key."""
        return self._static_index.get(key)

    def find(self, key: str) -> int | None:
        """Return the index of a key; None if this grid has no such partition."""
        if self.axis is None:
            return (0 if key == WHOLE else None) if self.statics is None else self.static_index(key)
        time_text, _, static_text = key.partition("/") if self.statics is not None else (key, "", "")
        time_index = self._find_time(time_text)
        static_index = 0 if self.statics is None else self.static_index(static_text)
        if time_index is None or static_index is None:
            return None
        return time_index * self.n_statics + static_index

    def find_all(self, keys: Iterable[str]) -> NDArray[np.int64]:
        """Return the indices of many keys, -1 for those that are none; quick where keys follow their neighbours."""
        found: list[int] = []
        near: dict[str, int] = {}
        for key in keys:
            index = near.get(key)
            if index is None:
                index = self.find(key)
                near = near if index is None else self._near(index)
            found.append(-1 if index is None else index)
        return np.array(found, dtype=np.int64)

    def find_column(self, keys: NDArray[np.bytes_]) -> NDArray[np.int64]:
        """Return what `find_all` does, without an object for each key where they look as keys of this grid do."""
        found = self._find_column(np.ascontiguousarray(keys)) if len(keys) and self.size else None
        return self.find_all(key.decode() for key in keys.tolist()) if found is None else found

    def _find_column(self, keys: NDArray[np.bytes_]) -> NDArray[np.int64] | None:
        if self.axis is None or self.statics is None:
            return None if self.axis is None else self._find_times(keys)
        width = len(self._time_key(0))
        if keys.itemsize <= width + 1 or (characters(keys)[:, width] != ord("/")).any():
            return None
        times = self._find_times(part(keys, 0, width))
        if times is None:
            return None
        wanted = part(keys, width + 1, keys.itemsize)
        names = np.array(self.statics, dtype=np.bytes_)
        order = names.argsort()
        nearest = order[np.minimum(names.searchsorted(wanted, sorter=order), self.n_statics - 1)]
        is_there = (times >= 0) & (names[nearest] == wanted)
        return np.where(is_there, times * self.n_statics + nearest, -1)

    def _find_times(self, keys: NDArray[np.bytes_]) -> NDArray[np.int64] | None:
        assert self.axis is not None
        assert self.bounds is not None
        times = times_of(keys, self.axis.unit)
        if times is None:
            return None
        is_instant = self.axis.unit in ELAPSED_MS
        starts = self.bounds[:-1] if is_instant else self._wall()
        at = np.minimum(starts.searchsorted(times.astype("M8[ms]").astype(np.int64)), self.n_times - 1)
        # Clocks may have skipped the midnight with which a day begins.
        shown_ms = starts[at].astype("M8[ms]")
        same = (shown_ms if is_instant else shown_ms.astype(times.dtype)) == times
        return np.where(same, at, -1)

    def _near(self, index: int) -> dict[str, int]:
        if self.bounds is None:
            return self._static_index
        at = index // self.n_statics
        keys = self._make_time_keys(slice(at, at + max(_NEAR // self.n_statics, 1)))
        if self.statics is not None:
            keys = [f"{key}/{static}" for key in keys for static in self.statics]
        return dict(zip(keys, range(at * self.n_statics, self.size), strict=False))

    def index(self, key: str | None, dataset: str) -> int:
        """Return the index of a key that a user gave; without one, of the only partition of what has no others.

        Raises:
            UsageError: The partitioning has no such key.
        """
        found = self.find(WHOLE if key is None else key)
        if found is None:
            what = "partitions, and KEY is missing" if key is None else f"no partition {shown(key)}"
            raise UsageError(f"{dataset} has {what}", hint=self.describe())
        return found

    def describe(self) -> str:
        """Return one sentence about which keys there are."""
        if self.size == 0 and not self.is_open:
            return "It has no partition: its time zone skipped all of it."
        if self.size == 0:
            return "No partition exists yet: no window has ended."
        if self.size == 1:
            return f"Its only partition is {self.key(0)}."
        return f"Its {self.size:,} partitions go from {self.key(0)} to {self.key(self.size - 1)}."

    def times_in(self, start_ms: int | None, end_ms: int | None) -> range:
        """Return the positions on the time axis of the windows that overlap ``[start, end)``."""
        if self.bounds is None:
            return range(1)
        lo = 0 if start_ms is None else int(np.searchsorted(self.bounds, start_ms, side="right")) - 1
        hi = self.n_times if end_ms is None else int(np.searchsorted(self.bounds, end_ms, side="left"))
        if start_ms is not None and end_ms is not None and end_ms <= start_ms:
            hi = lo
        lo = max(lo, 0)
        return range(lo, max(min(hi, self.n_times), lo))

    def _wall(self) -> NDArray[np.int64]:
        """Return what the clocks of the zone show at the start of each window; computed once, where keys are used."""
        if self._walls is None:
            assert self.axis is not None
            assert self.bounds is not None
            self._walls = wall_times(self.bounds[:-1], self.axis.zone)
        return self._walls

    def _time_key(self, at: int) -> str:
        block, within = divmod(at, _BLOCK)
        keys = self._time_keys.get(block)
        if keys is None:
            if len(self._time_keys) >= _BLOCKS_KEPT:
                self._time_keys.clear()
            keys = self._time_keys[block] = self._make_time_keys(slice(block * _BLOCK, (block + 1) * _BLOCK))
        return keys[within]

    def _make_time_keys(self, part: slice) -> list[str]:
        assert self.axis is not None
        assert self.bounds is not None
        wall_ms = self._wall()[part]
        local = wall_ms.astype("datetime64[ms]")
        texts: list[str] = np.datetime_as_string(local, unit=_SHOWN[self.axis.unit]).tolist()
        if self.axis.unit not in ELAPSED_MS:
            return texts
        texts = [text.removesuffix(":00") for text in texts]
        if self.axis.zone == "UTC":
            return [f"{text}Z" for text in texts]
        offsets_ms = (wall_ms - self.bounds[:-1][part]).tolist()
        return [text + _offset_text(offset_ms) for text, offset_ms in zip(texts, offsets_ms, strict=True)]

    def _find_time(self, text: str) -> int | None:
        assert self.axis is not None
        try:
            match self.axis.unit:
                case Unit.MONTH:
                    return self._find_day(date.fromisoformat(f"{text}-01"), text)
                case Unit.DAY | Unit.WEEK:
                    return self._find_day(date.fromisoformat(text), text)
                case Unit.HOUR | Unit.MINUTE:
                    return self._find_instant(datetime.fromisoformat(text))
        except (ValueError, OverflowError):
            return None

    def _find_day(self, day: date, text: str) -> int | None:
        """Return the window that begins at midnight of a day or, if clocks skipped that, after it; its key must fit."""
        wall = self._wall()
        at = int(wall.searchsorted((day - _EPOCH.date()) // timedelta(days=1) * DAY_MS))
        return at if at < self.n_times and text == self._time_key(at) else None

    def _find_instant(self, moment: datetime) -> int | None:
        """Return the window that begins at a time; without offset, the first one for which clocks show it."""
        assert self.axis is not None
        assert self.bounds is not None
        if moment.tzinfo is None:
            start_ms = instant(moment, zone_of(self.axis.zone))
        else:
            start_ms, rest = divmod(moment - _EPOCH.replace(tzinfo=UTC), _MS)
            if rest:
                return None
        at = int(self.bounds.searchsorted(start_ms))
        if at >= self.n_times or int(self.bounds[at]) != start_ms:
            return None
        if moment.tzinfo is None and (moment - _EPOCH) != int(self._wall()[at]) * _MS:
            return None  # The zone skipped this time; where it came out again has another key.
        return at


def _offset_text(offset_ms: int) -> str:
    minutes, seconds = divmod(abs(offset_ms) // 1000, 60)
    text = f"{'-' if offset_ms < 0 else '+'}{minutes // 60:02}:{minutes % 60:02}"
    return f"{text}:{seconds:02}" if seconds else text
