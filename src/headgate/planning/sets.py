"""Arithmetic on sets of partitions and the ranges that mappings give."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import numpy as np

from headgate.model.mapping import Lists, Reads, Sliding, Spans

if TYPE_CHECKING:
    from numpy.typing import NDArray

Number = TypeVar("Number", np.int32, np.int64, np.uint64)


def range_sums(weight: NDArray[Number], reads: Reads) -> NDArray[Number]:
    """Return, for each downstream partition, the sum of a weight over what it reads (modulo 2**64 if unsigned).

    Shape:
        weight: (upstream partitions,); result: (downstream partitions,).
    """
    match reads:
        case Lists():
            total = np.concatenate((np.zeros(1, weight.dtype), np.cumsum(weight[reads.values], dtype=weight.dtype)))
            return total[reads.offsets[1:]] - total[reads.offsets[:-1]]
        case Sliding(first, last) if first == last:
            return _shifted(weight, first * reads.step)
        case Sliding(first, last, step):
            total = _totals(weight, step)
            return _shifted(total[step:], last * step) - _shifted(total[step:], (first - 1) * step)
        case Spans():
            total = _totals(weight, reads.step)
            return total[reads.stop] - total[reads.start]


def _totals(weight: NDArray[Number], step: int) -> NDArray[Number]:
    """Return running totals by static key, behind a zero for each of them."""
    total = np.zeros(len(weight) + step, weight.dtype)
    np.add.accumulate(weight.reshape(-1, step), axis=0, out=total[step:].reshape(-1, step))
    return total


def _shifted(weight: NDArray[Number], by: int) -> NDArray[Number]:
    """Return the weight of the partition that stands before each one by some places; 0 where there is none."""
    if by == 0:
        return weight
    moved = np.zeros_like(weight)
    moved[-by:] = weight[:by]
    return moved


def count(mask: NDArray[np.bool_], reads: Reads) -> NDArray[np.int32]:
    """Return how many partitions of a set each downstream partition reads."""
    return range_sums(mask.astype(np.int32), reads)


def readers_of(mask: NDArray[np.bool_], reads: Reads) -> NDArray[np.bool_]:
    """Return which downstream partitions read any partition of a set."""
    if isinstance(reads, Sliding) and reads.first == reads.last == 0:
        return mask
    return count(mask, reads) > 0


def range_max(weight: NDArray[np.int64], reads: Reads) -> NDArray[np.int64]:
    """Return, for each downstream partition, the largest weight among what it reads; 0 if that is nothing.

    Shape:
        weight: (upstream partitions,), not below 0; result: (downstream partitions,).

    Source: ranges of a power of two (Bender and Farach-Colton, "The LCA problem revisited", 2000), one power at a time.
    """
    if isinstance(reads, Sliding):
        index = np.arange(reads.size, dtype=np.int64)
        stop = index + (reads.last + 1) * reads.step
        start = np.maximum(index + reads.first * reads.step, index % reads.step)
        return range_max(weight, Spans(start, np.maximum(stop, start), reads.step, reads.beyond))
    if isinstance(reads, Lists):
        weight, start, stop, step = weight[reads.values], reads.offsets[:-1], reads.offsets[1:], 1
    else:
        start, stop, step = reads.start, reads.stop, reads.step
    length = (stop - start) // step
    largest = np.zeros(len(start), dtype=np.int64)
    level, width = weight, 1
    while (length >= width).any():
        at = np.flatnonzero((length >= width) & (length < 2 * width))
        largest[at] = np.maximum(level[start[at]], level[stop[at] - width * step])
        level = np.maximum(level[: -width * step], level[width * step :])
        width *= 2
    return largest


def carried(start: NDArray[np.bool_], open_: NDArray[np.bool_], lag: int) -> NDArray[np.bool_]:
    """Return what is reached from a set by steps to later indices.

    Args:
        start: The set.
        open_: Which partitions one may step onto.
        lag: Length of a step.
    """
    rows = -(-len(start) // lag)
    here = np.arange(rows, dtype=np.int32)[:, None]

    def latest(mask: NDArray[np.bool_]) -> NDArray[np.int32]:
        padded = np.zeros(rows * lag, dtype=bool)
        padded[: len(mask)] = mask
        return np.maximum.accumulate(np.where(padded.reshape(rows, lag), here, np.int32(-1)), axis=0)

    return (latest(start) > latest(~(open_ | start))).ravel()[: len(start)]


def covered(reads: Spans | Lists, size: int) -> NDArray[np.bool_]:
    """Return which of `size` upstream partitions are read by any downstream partition."""
    if isinstance(reads, Lists):
        mask = np.zeros(size, dtype=bool)
        mask[reads.values] = True
        return mask
    edges = np.bincount(reads.start, minlength=size + reads.step)
    edges -= np.bincount(reads.stop, minlength=size + reads.step)
    covering: NDArray[np.bool_] = (np.cumsum(edges.reshape(-1, reads.step), axis=0).ravel() > 0)[:size]
    return covering


def runs_of(indices: NDArray[np.int64], labels: NDArray[np.uint8]) -> list[tuple[int, int, int]]:
    """Return ascending indices as ``(start, stop, label)`` runs of neighbours with the same label."""
    if not len(indices):
        return []
    breaks = np.flatnonzero((np.diff(indices) != 1) | (labels[1:] != labels[:-1])) + 1
    starts = np.concatenate(([0], breaks))
    stops = np.concatenate((breaks, [len(indices)]))
    return list(zip(indices[starts].tolist(), (indices[stops - 1] + 1).tolist(), labels[starts].tolist(), strict=True))


def from_runs(runs: list[tuple[int, int, int]]) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    """Return the indices and labels of runs: the inverse of `runs_of`."""
    if not runs:
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.uint8)
    indices = np.concatenate([np.arange(start, stop, dtype=np.int64) for start, stop, _ in runs])
    labels = np.concatenate([np.full(stop - start, label, dtype=np.uint8) for start, stop, label in runs])
    return indices, labels
