"""Keys by the hundred thousand, in columns of bytes: read without an object for each."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from headgate.model.calendar import ELAPSED_MS
from headgate.model.partitioning import Unit

if TYPE_CHECKING:
    from numpy.typing import NDArray

_LAYOUTS: dict[Unit, tuple[bytes, str]] = {
    Unit.MINUTE: (b"0000-00-00T00:00", "M8[m]"),
    Unit.HOUR: (b"0000-00-00T00:00", "M8[m]"),
    Unit.DAY: (b"0000-00-00", "M8[D]"),
    Unit.WEEK: (b"0000-00-00", "M8[D]"),
    Unit.MONTH: (b"0000-00", "M8[M]"),
}
"""How the time of a key looks, with 0 for any digit, and what numpy reads it as."""


def times_of(keys: NDArray[np.bytes_], unit: Unit) -> NDArray[np.datetime64] | None:
    """Return which times keys name: instants for hours and minutes, otherwise what clocks and calendars show.

    Returns:
        None if any of them looks otherwise than most do, such as one with seconds: then each has to be looked at by
        itself.

    Shape:
        keys and result: (keys,).
    """
    layout, dtype = _LAYOUTS[unit]
    width = len(layout)
    if unit in ELAPSED_MS:
        layout += b"Z" if keys.itemsize == width + 1 else b"+00:00"
    if not _look_like(keys, layout):
        return None
    try:
        times: NDArray[np.datetime64] = part(keys, 0, width).astype(dtype)
    except ValueError:
        return None  # There is no such time: a 13th month, a 30th of February.
    return times if layout[width:] in {b"", b"Z"} else times - _offsets(characters(keys)[:, width:])


def characters(keys: NDArray[np.bytes_]) -> NDArray[np.uint8]:
    """Return the characters of keys, which lie without gaps.

    Shape:
        (keys,) -> (keys, characters of the longest), with zeros behind the shorter ones.
    """
    return keys.view(np.uint8).reshape(len(keys), keys.itemsize)


def part(keys: NDArray[np.bytes_], start: int, stop: int) -> NDArray[np.bytes_]:
    """Return the characters ``[start, stop)`` of each key as a column of its own."""
    cut = np.ascontiguousarray(characters(keys)[:, start:stop])
    return cut.view(f"S{stop - start}").reshape(len(keys))


def _look_like(keys: NDArray[np.bytes_], layout: bytes) -> bool:
    if keys.itemsize != len(layout):
        return False
    shown = characters(keys)
    is_digit = shown - np.uint8(ord("0")) < 10  # What is less than "0" wraps around.
    generic = np.where(is_digit, np.uint8(ord("0")), shown)
    is_sign = np.frombuffer(layout, dtype=np.uint8) == ord("+")
    generic[:, is_sign] = np.where(generic[:, is_sign] == ord("-"), ord("+"), generic[:, is_sign])
    return bool((generic == np.frombuffer(layout, dtype=np.uint8)).all())


def _offsets(shown: NDArray[np.uint8]) -> NDArray[np.timedelta64]:
    digits = shown.astype(np.int64) - ord("0")
    minutes = (digits[:, 1] * 10 + digits[:, 2]) * 60 + digits[:, 4] * 10 + digits[:, 5]
    return np.where(shown[:, 0] == ord("-"), -minutes, minutes).astype("m8[m]")
