"""Edges between the tasks of two stages, as arrays: no edge is ever an object.

Positions count the tasks of one stage from 0. An edge answers two questions: how many upstream tasks does each
task wait for, and which tasks wait for a given upstream task.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class RangeEdge:
    """Task i waits for the upstream positions ``lo[i] .. hi[i]``, where both bounds never decrease with i.

    Shape:
        lo, hi: (tasks,), int32.
    """

    upstream: int
    lo: NDArray[np.int32]
    hi: NDArray[np.int32]

    def waiting_for(self, weight: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the sum of a weight per upstream position over what each task waits for."""
        total = np.concatenate((np.zeros(1, dtype=np.int64), np.cumsum(weight)))
        return total[self.hi] - total[self.lo]

    def waiters(self, position: int) -> Sequence[int]:
        """Return the positions of the tasks that wait for an upstream position."""
        # Not searchsorted: for a Python integer it converts the whole array first.
        return range(bisect_right(self.hi.data, position), bisect_right(self.lo.data, position))

    def upstream_of(self, position: int) -> Sequence[int]:
        """Return the upstream positions that a task waits for."""
        return range(int(self.lo[position]), int(self.hi[position]))


@dataclass(frozen=True, slots=True)
class SameEdge:
    """Task i waits for the upstream position i, and there are equally many of both."""

    upstream: int

    def waiting_for(self, weight: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the sum of a weight per upstream position over what each task waits for."""
        return weight

    def waiters(self, position: int) -> Sequence[int]:
        """Return the positions of the tasks that wait for an upstream position."""
        return (position,)

    def upstream_of(self, position: int) -> Sequence[int]:
        """Return the upstream positions that a task waits for."""
        return (position,)


@dataclass(frozen=True, slots=True)
class ListEdge:
    """Task i waits for the upstream positions ``values[offsets[i] .. offsets[i + 1]]``.

    `order` and `starts` are the same edges sorted by upstream position: those of position p are
    ``order[starts[p] .. starts[p + 1]]``.
    """

    upstream: int
    offsets: NDArray[np.int64]
    values: NDArray[np.int32]
    order: NDArray[np.int32]
    starts: NDArray[np.int64]

    @staticmethod
    def build(upstream: int, n_upstream: int, offsets: NDArray[np.int64], values: NDArray[np.int32]) -> ListEdge:
        """Return the edge for lists of upstream positions, with its inverse."""
        tasks = np.repeat(np.arange(len(offsets) - 1, dtype=np.int32), np.diff(offsets))
        counts = np.bincount(values, minlength=n_upstream)
        starts = np.concatenate((np.zeros(1, dtype=np.int64), np.cumsum(counts)))
        return ListEdge(upstream, offsets, values, tasks[np.argsort(values, kind="stable")], starts)

    def waiting_for(self, weight: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the sum of a weight per upstream position over what each task waits for."""
        total = np.concatenate((np.zeros(1, dtype=np.int64), np.cumsum(weight[self.values])))
        return total[self.offsets[1:]] - total[self.offsets[:-1]]

    def waiters(self, position: int) -> Sequence[int]:
        """Return the positions of the tasks that wait for an upstream position."""
        found: list[int] = self.order[self.starts[position] : self.starts[position + 1]].tolist()
        return found

    def upstream_of(self, position: int) -> Sequence[int]:
        """Return the upstream positions that a task waits for."""
        found: list[int] = self.values[self.offsets[position] : self.offsets[position + 1]].tolist()
        return found


@dataclass(frozen=True, slots=True)
class SharedEdge:
    """Every task waits for all positions of ``members``: counted once for all of them, not once for each pair."""

    upstream: int
    n_tasks: int
    members: NDArray[np.bool_]

    def waiters(self, position: int) -> Sequence[int]:
        """Return the positions of the tasks that wait for an upstream position."""
        return range(self.n_tasks if self.members[position] else 0)

    def upstream_of(self, position: int) -> Sequence[int]:  # noqa: ARG002 - the same for every task
        """Return the upstream positions that a task waits for."""
        found: list[int] = np.flatnonzero(self.members).tolist()
        return found


PairEdge = RangeEdge | SameEdge | ListEdge
Edge = PairEdge | SharedEdge
