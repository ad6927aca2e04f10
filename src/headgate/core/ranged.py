"""Ranged attempts: neighbouring partitions of a dataset that one attempt makes.

To whatever is limited a ranged attempt is one attempt: it takes one slot, its pools' slots once, one place among the
attempts of its dataset, its run and its class, is charged once, and gives all that back when the last of its tasks has
ended. To a breaker it is one attempt, too, which worked if any of its tasks did. To the retry budget it is one attempt
and never a retry.

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
