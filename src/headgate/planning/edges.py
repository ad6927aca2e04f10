"""From what partitions read to what tasks wait for: ranges of grid indices become edges between positions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from headgate.core.edges import Edge, ListEdge, RangeEdge, SameEdge, SharedEdge
from headgate.model.mapping import Lists, Spans

if TYPE_CHECKING:
    from numpy.typing import NDArray


def edge_between(
    upstream: int, members: NDArray[np.int64], reads: Spans | Lists, ignored: NDArray[np.bool_] | None = None
) -> Edge:
    """Return the cheapest edge for what some tasks read.

    Args:
        upstream: Number of the stage that is read.
        members: Ascending grid indices of that stage's tasks; what is read beside them makes no edge.
        reads: What each task reads.
        ignored: Which of the members nothing waits for.
    """
    n = len(members)
    if ignored is None or not ignored.any():
        spans = _one_by_one(reads)
        if spans is not None:
            lo = np.searchsorted(members, spans.start).astype(np.int32)
            hi = np.searchsorted(members, spans.stop).astype(np.int32)
            edge = _ranges(upstream, n, lo, hi)
            if edge is not None:
                return edge
    offsets, values = _listed(reads)
    position = np.searchsorted(members, values)
    inside = position < n
    inside[inside] = members[position[inside]] == values[inside]
    if ignored is not None:
        inside[inside] = ~ignored[position[inside]]
    kept = np.concatenate((np.zeros(1, dtype=np.int64), np.cumsum(inside, dtype=np.int64)))
    return ListEdge.build(upstream, n, kept[offsets], position[inside].astype(np.int32))


def _one_by_one(reads: Spans | Lists) -> Spans | None:
    """Return ranges without gaps; None if they have some."""
    if isinstance(reads, Lists):
        return None
    if reads.step == 1:
        return reads
    counts = (reads.stop - reads.start) // reads.step
    return Spans(reads.start, reads.start + counts, 1, reads.beyond) if (counts <= 1).all() else None


def _ranges(upstream: int, n: int, lo: NDArray[np.int32], hi: NDArray[np.int32]) -> Edge | None:
    """Return the edge for a range of positions for each task; None if they go back and forth."""
    size = len(lo)
    # Tasks at either end that read nothing: anywhere will do, as long as the bounds never decrease.
    some = np.flatnonzero(hi > lo)
    first, last = (int(some[0]), int(some[-1])) if len(some) else (size, size)
    lo[:first] = hi[:first] = 0
    lo[last + 1 :] = hi[last + 1 :] = hi[last] if len(some) else 0
    if size == n and np.array_equal(lo, np.arange(n)) and np.array_equal(hi, lo + 1):
        return SameEdge(upstream)
    if size > 1 and hi[0] - lo[0] > 1 and (lo == lo[0]).all() and (hi == hi[0]).all():
        members = np.zeros(n, dtype=bool)
        members[lo[0] : hi[0]] = True
        return SharedEdge(upstream, size, members)
    if (np.diff(lo) >= 0).all() and (np.diff(hi) >= 0).all():
        return RangeEdge(upstream, lo, hi)
    return None


def _listed(reads: Spans | Lists) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return ranges written out: offsets, and the upstream indices between them."""
    if isinstance(reads, Lists):
        return reads.offsets, reads.values
    counts = (reads.stop - reads.start) // reads.step
    offsets = np.concatenate((np.zeros(1, dtype=np.int64), np.cumsum(counts)))
    within = np.arange(offsets[-1], dtype=np.int64) - np.repeat(offsets[:-1], counts)
    return offsets, np.repeat(reads.start, counts) + within * reads.step
