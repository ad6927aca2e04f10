"""What happens to the scheduler."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from headgate.core.edges import Edge


class Pool(StrEnum):
    """What an attempt occupies a slot of."""

    PROCESS = "process"
    IO = "io"


@dataclass(frozen=True, slots=True)
class Stage:
    """The tasks of one dataset in a run.

    Args:
        dataset: Its name.
        pool: What its attempts occupy.
        edges: What its tasks wait for, in any stage; followed from task to task, edges never lead back.
        priority: Smaller starts earlier, below 2**31; shape (tasks,).
        states: `TaskState` of each at submission: waiting, or what an earlier session of the run left; shape (tasks,).
        changed: For those that are succeeded already, whether they published new content; shape (tasks,).
        skippable: Whether to skip a task when nothing that it waited for has changed; shape (tasks,).
    """

    dataset: str
    pool: Pool
    edges: tuple[Edge, ...]
    priority: NDArray[np.int64]
    states: NDArray[np.uint8]
    changed: NDArray[np.bool_]
    skippable: NDArray[np.bool_]


class RunSubmitted(NamedTuple):
    """A run begins, or goes on after a crash; a task fails when `max_tries` of its attempts were lost."""

    run: str
    stages: Sequence[Stage]
    max_tries: int


class SlotsOffered(NamedTuple):
    """An executor can take this many more attempts of a pool now."""

    pool: Pool
    free: int


class AttemptSucceeded(NamedTuple):
    """An attempt was published; `changed` is false if its content was what the head showed already."""

    run: str
    task: int
    changed: bool


class AttemptFailed(NamedTuple):
    """An attempt failed for a reason of its own, and trying again as it is would not help."""

    run: str
    task: int


class AttemptLost(NamedTuple):
    """An attempt's worker died: another try may work."""

    run: str
    task: int


class AttemptReturned(NamedTuple):
    """An attempt never started; its task is as it was before."""

    run: str
    task: int


class AttemptCancelled(NamedTuple):
    """An attempt was stopped as asked."""

    run: str
    task: int


class DrainRequested(NamedTuple):
    """A run shall start nothing more and end when what runs has ended; it can be resumed."""

    run: str


class CancelRequested(NamedTuple):
    """A run shall end now: what runs is stopped, what waits is cancelled."""

    run: str


Event = (
    RunSubmitted
    | SlotsOffered
    | AttemptSucceeded
    | AttemptFailed
    | AttemptLost
    | AttemptReturned
    | AttemptCancelled
    | DrainRequested
    | CancelRequested
)
