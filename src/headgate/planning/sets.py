"""Arithmetic on sets of partitions and the ranges that mappings give."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import numpy as np

from headgate.model.mapping import Lists, Spans

if TYPE_CHECKING:
    from numpy.typing import NDArray

Number = TypeVar("Number", np.int64, np.uint64)


def range_sums(weight: NDArray[Number], reads: Spans | Lists) -> NDArray[Number]:
    """Return, for each downstream partition, the sum of a weight over what it reads (modulo 2**64 if unsigned).

    Shape:
        weight: (upstream partitions,); result: (downstream partitions,).
    """
    if isinstance(reads, Lists):
        total = np.concatenate((np.zeros(1, weight.dtype), np.cumsum(weight[reads.values], dtype=weight.dtype)))
        return total[reads.offsets[1:]] - total[reads.offsets[:-1]]
    columns = weight.reshape(-1, reads.step)
    sums = np.cumsum(columns, axis=0, dtype=weight.dtype).ravel()
    total = np.concatenate((np.zeros(reads.step, weight.dtype), sums))
    return total[reads.stop] - total[reads.start]


def count(mask: NDArray[np.bool_], reads: Spans | Lists) -> NDArray[np.int64]:
    """Return how many partitions of a set each downstream partition reads."""
    return range_sums(mask.astype(np.int64), reads)


def covered(reads: Spans | Lists, size: int) -> NDArray[np.bool_]:
    """Return which of `size` upstream partitions are read by any downstream partition."""
    if isinstance(reads, Lists):
        mask = np.zeros(size, dtype=bool)
        mask[reads.values] = True
        return mask
    edges = np.zeros(size + reads.step, dtype=np.int64)
    np.add.at(edges, reads.start, 1)
    np.subtract.at(edges, reads.stop, 1)
    return (np.cumsum(edges.reshape(-1, reads.step), axis=0).ravel() > 0)[:size]


def runs_of(indices: NDArray[np.int64], labels: NDArray[np.uint8]) -> list[tuple[int, int, int]]:
    """Return ascending indices as ``(start, stop, label)`` runs of neighbours with the same label."""
    if not len(indices):
        return []
    breaks = np.flatnonzero((np.diff(indices) != 1) | (np.diff(labels.astype(np.int16)) != 0)) + 1
    starts = np.concatenate(([0], breaks))
    stops = np.concatenate((breaks, [len(indices)]))
    return [(int(indices[a]), int(indices[b - 1]) + 1, int(labels[a])) for a, b in zip(starts, stops, strict=True)]


def from_runs(runs: list[tuple[int, int, int]]) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    """Return the indices and labels of runs: the inverse of `runs_of`."""
    if not runs:
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.uint8)
    indices = np.concatenate([np.arange(start, stop, dtype=np.int64) for start, stop, _ in runs])
    labels = np.concatenate([np.full(stop - start, label, dtype=np.uint8) for start, stop, label in runs])
    return indices, labels
