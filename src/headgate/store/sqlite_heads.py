"""Heads of the embedded store as columns."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from headgate.store.records import HeadColumns

if TYPE_CHECKING:
    from numpy.typing import NDArray


def columns_of(keys: str, versions: str, digests: str, codes: str, younger: str) -> HeadColumns:
    """Return heads from the texts of the statement `head_columns`: the values of each column, joined.

    Args:
        keys: One on each line.
        versions: Ids, with commas between them.
        digests: As signed numbers.
        codes: Fingerprints, which contain no commas.
        younger: By how much the checkpoint's attempt is above the one that made the version.
    """
    version = _numbers(versions)
    code, known = _codes(codes, len(version))
    return HeadColumns(
        _column(keys.encode(), len(version)),
        version,
        _numbers(digests).view(np.uint64),
        code,
        known,
        version + _numbers(younger),
    )


def _numbers(joined: str) -> NDArray[np.int64]:
    return np.fromstring(joined, dtype=np.int64, sep=",")


def _column(lines: bytes, count: int) -> NDArray[np.bytes_]:
    width = len(lines) // count
    if (len(lines) + 1) == (width + 1) * count and lines[width :: width + 1] == b"\n" * (count - 1):
        # All have the same length, as times have.
        return np.ndarray((count,), dtype=f"S{width}", buffer=lines, strides=(width + 1,))
    return np.array(lines.split(b"\n"), dtype=np.bytes_)


def _codes(joined: str, count: int) -> tuple[NDArray[np.int32], tuple[str, ...]]:
    first = joined.partition(",")[0]
    if joined == ",".join([first] * count):
        return np.zeros(count, dtype=np.int32), (first,)
    found: dict[str, int] = {}
    code = [found.setdefault(one, len(found)) for one in joined.split(",")]
    return np.array(code, dtype=np.int32), tuple(found)
