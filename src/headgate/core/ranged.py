"""Ranged attempts: neighbouring partitions of a dataset that one attempt makes.

To whatever is limited a ranged attempt is one attempt: it takes one slot, its pools' slots once, one place among the
attempts of its dataset, its run and its class, is charged once, and gives all that back when the last of its tasks has
ended. To a breaker it is one attempt, too, which worked if any of its tasks did. To the retry budget it is one attempt
and never a retry.

Neighbours are gathered: they are cut into groups as large as an attempt may be, and a task of a group waits until no
other one of it waits for its upstream. Otherwise the first that is ready would always start alone.

Its tasks end one by one. One that fails may be innocent of it, so the failure costs no try, whatever its class; from
then on the task is tried alone, by the ordinary rules. So a poison partition is found, and the others go on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from headgate.core.events import AttemptFailed, AttemptReturned, AttemptSucceeded

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from headgate.core.events import Ended
    from headgate.model.run import ErrorClass


@dataclass(slots=True, eq=False)
class RangedAttempt:
    """A ranged attempt that runs.

    Args:
        key: What it goes by where others go by their task: negative, since its tasks may be tried again, each by
            itself or in another company, before the last of them has ended.
        left: How many of them have not ended.
        error_class: How the latest failed that did; None if none has.
        has_succeeded: Whether any has.
        has_run: Whether any did more than come back unstarted.
    """

    key: int
    left: int
    error_class: ErrorClass | None = None
    has_succeeded: bool = False
    has_run: bool = False

    def note(self, event: Ended) -> None:
        """Take note of the end of one of its tasks."""
        self.left -= 1
        self.has_run |= not isinstance(event, AttemptReturned)
        match event:
            case AttemptSucceeded():
                self.has_succeeded = True
            case AttemptFailed(error_class=error_class):
                self.error_class = error_class
            case _:
                pass


class Gathering:
    """Which tasks of a stage start together, and which of them are ready and wait for the others.

    Args:
        successor: Position of the task that follows each, -1 for none; shape (tasks,).
        size: Tasks in a group, at most.
        waiting: Which of them wait for their upstream; shape (tasks,).
    """

    def __init__(self, successor: NDArray[np.int32], size: int, waiting: NDArray[np.bool_]) -> None:
        self._group = _groups(successor, size)
        self._left = np.bincount(self._group, weights=waiting).astype(np.int32).tolist() if len(successor) else []
        self._ready: dict[int, list[int]] = {}

    def count(self, position: int, change: int) -> list[int]:
        """Take note that a task has begun (1) or ceased (-1) to wait; return positions that need not wait any more."""
        group = self._group[position]
        self._left[group] += change
        return [] if self._left[group] else self._ready.pop(group, [])

    def holds(self, position: int) -> bool:
        """Let a task that is ready wait for its group; return whether it has to."""
        group = self._group[position]
        if not self._left[group]:
            return False
        self._ready.setdefault(group, []).append(position)
        return True

    def drop(self, position: int) -> bool:
        """Forget a task that is ready and waits for its group; return whether it did."""
        held = self._ready.get(self._group[position], [])
        if position in held:
            held.remove(position)
            return True
        return False

    def is_held(self, position: int) -> bool:
        """Return whether a task is ready and waits for its group."""
        return position in self._ready.get(self._group[position], ())

    def clear(self) -> None:
        """Forget all that wait."""
        self._ready.clear()

    @property
    def held(self) -> int:
        """Return how many tasks are ready and wait for their groups."""
        return sum(map(len, self._ready.values()))


def _groups(successor: NDArray[np.int32], size: int) -> list[int]:
    """Return the group of each task: neighbours, from the first of a chain on, so many at a time."""
    group = [-1] * len(successor)
    followed = set(successor[successor >= 0].tolist())
    number = -1
    for first in range(len(successor)):
        at, taken = (first, size) if first not in followed else (-1, 0)
        while at >= 0:
            number, taken = (number + 1, 1) if taken == size else (number, taken + 1)
            group[at] = number
            at = int(successor[at])
    return group


class Chain:
    """Which tasks of a stage are neighbours.

    Args:
        successor: Position of the task that follows each, -1 for none; shape (tasks,).
    """

    def __init__(self, successor: NDArray[np.int32]) -> None:
        predecessor = np.full(len(successor), -1, dtype=np.int32)
        followed = np.flatnonzero(successor >= 0)
        predecessor[successor[followed]] = followed
        # Memory views, since their items are plain integers.
        self._successor = successor.data
        self._predecessor = predecessor.data

    def around(self, position: int, most: int, may_join: Callable[[int], bool]) -> list[int]:
        """Return a position with its neighbours, in their order: first those that follow, then those before."""
        after = [position]
        before: list[int] = []
        for found, steps in ((after, self._successor), (before, self._predecessor)):
            at = steps[position]
            while at >= 0 and len(after) + len(before) < most and may_join(at):
                found.append(at)
                at = steps[at]
        return [*reversed(before), *after]
