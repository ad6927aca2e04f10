"""The longest way from each task to the end of its run, over expected durations.

Source: list scheduling by longest remaining path; R. Graham, Bounds on Multiprocessing Timing Anomalies (SIAM Journal
on Applied Mathematics 17, 1969); H. Topcuoglu, S. Hariri, M. Wu, HEFT (IEEE TPDS 13, 2002).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from headgate.core.edges import ListEdge, RangeEdge, SameEdge, SharedEdge
from headgate.model.run import TaskState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from headgate.core.edges import Edge
    from headgate.core.events import Stage


def longest_left(stages: Sequence[Stage]) -> list[NDArray[np.float64]]:
    """Return for each task how long the longest chain takes that begins with it, ms; what has ended takes nothing.

    Shape:
        One array for each stage, (tasks,).
    """
    readers: list[list[tuple[int, Edge]]] = [[] for _ in stages]
    for number, stage in enumerate(stages):
        for edge in stage.edges:
            readers[edge.upstream].append((number, edge))
    left = [np.where(stage.states == TaskState.WAITING, stage.typical_ms, 0.0) for stage in stages]
    for number in range(len(stages) - 1, -1, -1):
        own, after = left[number].copy(), np.zeros(len(left[number]))
        loops = [edge for reader, edge in readers[number] if reader == number]
        for reader, edge in readers[number]:
            if reader != number and reader > number:
                np.maximum(after, _over_waiters(edge, left[reader], len(after)), out=after)
        left[number] += after
        if loops:
            _follow_loops(left[number], loops, own)
    return left


def longest_chain(stages: Sequence[Stage]) -> list[tuple[int, int]]:
    """Return the tasks of a longest chain, each as its stage and its position there, in their order."""
    left = longest_left(stages)
    chain: list[tuple[int, int]] = []
    following = [(number, int(ways.argmax())) for number, ways in enumerate(left) if len(ways)]
    while following:
        number, position = max(following, key=lambda task: (left[task[0]][task[1]], -task[0], -task[1]))
        if not left[number][position]:
            break
        chain.append((number, position))
        following = []
        for reader, stage in enumerate(stages):
            for edge in stage.edges:
                waiters = edge.waiters(position) if edge.upstream == number and reader >= number else ()
                if len(waiters):
                    at = np.asarray(waiters)
                    following.append((reader, int(at[left[reader][at].argmax()])))
    return chain


def _follow_loops(left: NDArray[np.float64], loops: list[Edge], own: NDArray[np.float64]) -> None:
    """Lengthen the ways of a stage that waits for earlier tasks of its own."""
    for position in range(len(left) - 1, -1, -1):
        for edge in loops:
            for above in edge.upstream_of(position):
                left[above] = max(left[above], left[position] + own[above])


def _over_waiters(edge: Edge, left: NDArray[np.float64], n_upstream: int) -> NDArray[np.float64]:
    """Return for each upstream position the largest value among the tasks that wait for it; 0 without any."""
    match edge:
        case SameEdge():
            return left
        case SharedEdge():
            return np.where(edge.members, left.max(initial=0.0), 0.0)
        case ListEdge():
            return _largest(left[edge.order], edge.starts[:-1], edge.starts[1:])
        case RangeEdge():
            positions = np.arange(n_upstream)
            first = np.searchsorted(edge.hi, positions, side="right")
            stop = np.searchsorted(edge.lo, positions, side="right")
            return _largest(left, first, np.maximum(first, stop))


def _largest(values: NDArray[np.float64], first: NDArray[np.integer], stop: NDArray[np.integer]) -> NDArray[np.float64]:
    """Return the largest value in each of the ranges, 0 in empty ones."""
    found = np.zeros(len(first))
    full = np.flatnonzero(stop > first)
    if len(full):
        # reduceat takes pairs of bounds; every second result is what lies between two ranges.
        bounds = np.stack((first[full], stop[full]), axis=1).ravel()
        found[full] = np.maximum.reduceat(np.append(values, 0.0), bounds)[::2]
    return found
