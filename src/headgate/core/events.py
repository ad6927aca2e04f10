"""What happens to the scheduler."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from headgate.model.policy import BreakerPolicy, RetryPolicy

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from headgate.core.edges import Edge
    from headgate.model.run import ErrorClass


class Lane(StrEnum):
    """Which kind of worker runs an attempt; lanes do not compete for workers."""

    PROCESS = "process"
    IO = "io"


@dataclass(frozen=True, slots=True)
class Stage:
    """The tasks of one dataset in a run.

    Args:
        dataset: Its name.
        lane: Where its attempts run.
        edges: What its tasks wait for, in any stage; followed from task to task, edges never lead back.
        priority: Smaller starts earlier, below 2**31; shape (tasks,).
        states: `TaskState` of each at submission: waiting, or what an earlier session of the run left; shape (tasks,).
        changed: For those that are succeeded already, whether they published new content; shape (tasks,).
        skippable: Whether to skip a task when nothing that it waited for has changed; shape (tasks,).
        inherited: Whether another run has made its partition since this one was submitted, so that a task which is
            skipped counts as taken from that; shape (tasks,). None if none has.
        concurrency: It starts nothing while so many attempts of the dataset run, over all runs, also of those whose
            bound is another; None for no bound.
        pools: Slots that an attempt takes, by pool.
        retry: When a failed attempt is followed by another.
        breaker: When too many have failed.
        typical_ms: How long an attempt is expected to take: what a start is charged when runs share.
        can_yield: Whether a running attempt can stop early and go on later; such a one makes a single partition.
        batch: How many neighbouring tasks one attempt takes at most (`core.ranged`).
        successor: For those the position of the task whose partition begins where that of this one ends, -1 for none;
            shape (tasks,). None if no tasks are neighbours.
        gathers: Whether a task waits until its neighbours can start with it; never where tasks of the stage wait for
            others of it, directly or through other stages.
    """

    dataset: str
    lane: Lane
    edges: tuple[Edge, ...]
    priority: NDArray[np.int64]
    states: NDArray[np.uint8]
    changed: NDArray[np.bool_]
    skippable: NDArray[np.bool_]
    concurrency: int | None = None
    pools: tuple[tuple[str, int], ...] = ()
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    breaker: BreakerPolicy = field(default_factory=BreakerPolicy)
    typical_ms: float = 1000.0
    can_yield: bool = False
    batch: int = 1
    successor: NDArray[np.int32] | None = None
    gathers: bool = False
    inherited: NDArray[np.bool_] | None = None


@dataclass(frozen=True, slots=True)
class Shared:
    """Partitions of a stage that another live run has in one of its stages.

    Args:
        stage: The stage.
        positions: Positions in it; shape (tasks,).
        run: The other run.
        other_stage: Its stage.
        other_positions: The same partitions there; shape (tasks,).
    """

    stage: int
    positions: NDArray[np.int64]
    run: str
    other_stage: int
    other_positions: NDArray[np.int64]


class RunSubmitted(NamedTuple):
    """A run begins, or goes on after a crash.

    Args:
        run: Its id.
        stages: Its tasks.
        service_class: Its class.
        owner: Who it belongs to.
        priority: Among the runs of its owner and class larger goes first.
        concurrency: How many of its attempts may run at a time; None for no bound.
        shared: Partitions that other live runs have too (`core.overlaps`).
        joins: Whether it takes those as a run of no lower class makes them; otherwise it makes them after that.
    """

    run: str
    stages: Sequence[Stage]
    service_class: str = "backfill"
    owner: str = ""
    priority: int = 0
    concurrency: int | None = None
    shared: Sequence[Shared] = ()
    joins: bool = False


class SlotsOffered(NamedTuple):
    """An executor says what a lane can take.

    Args:
        lane: Which.
        free: How many more attempts it takes now.
        slots: How many run at the same time.
        depth: How many each slot may hold, the running one included.
    """

    lane: Lane
    free: int
    slots: int
    depth: int = 1


class AttemptSucceeded(NamedTuple):
    """An attempt was published; `changed` is false if its content was what the head showed already."""

    run: str
    task: int
    changed: bool


class AttemptFailed(NamedTuple):
    """An attempt failed; one whose worker died has the class `lost`."""

    run: str
    task: int
    error_class: ErrorClass


class AttemptReturned(NamedTuple):
    """An attempt never started; its task is as it was before."""

    run: str
    task: int


class AttemptYielded(NamedTuple):
    """An attempt stopped as it was asked to, and saved how far it had come."""

    run: str
    task: int


class AttemptCancelled(NamedTuple):
    """An attempt was stopped as asked."""

    run: str
    task: int


class TimePassed(NamedTuple):
    """It is as late as the driver says: what was due may happen."""


class DrainRequested(NamedTuple):
    """A run shall start nothing more and end when what runs has ended; it can be resumed."""

    run: str


class CancelRequested(NamedTuple):
    """A run shall end now: what runs is stopped, what waits is cancelled."""

    run: str


class PauseRequested(NamedTuple):
    """A run shall start nothing until it is continued."""

    run: str


class ContinueRequested(NamedTuple):
    """A paused run shall go on."""

    run: str


class RetryRequested(NamedTuple):
    """What failed, was blocked or was cancelled in a run shall get another chance.

    Args:
        run: Its id.
        made: Tasks that have failed but whose results were published since: they have succeeded.
    """

    run: str
    made: frozenset[int] = frozenset()


class RunLimited(NamedTuple):
    """At most so many attempts of a run shall run at a time; None for no bound."""

    run: str
    concurrency: int | None


class RunPrioritized(NamedTuple):
    """A run has another priority among the runs of its owner and class."""

    run: str
    priority: int


class RunReordered(NamedTuple):
    """The tasks of a run have other priorities, for each stage; shapes as in `Stage.priority`."""

    run: str
    priorities: Sequence[NDArray[np.int64]]


class PoolResized(NamedTuple):
    """A pool has another number of slots."""

    pool: str
    slots: int


class BreakerTripped(NamedTuple):
    """A person opens a breaker."""

    breaker: str


class BreakerReset(NamedTuple):
    """A person closes a breaker."""

    breaker: str


Control = (
    RunSubmitted
    | DrainRequested
    | CancelRequested
    | PauseRequested
    | ContinueRequested
    | RetryRequested
    | RunLimited
    | RunPrioritized
    | RunReordered
    | PoolResized
    | BreakerTripped
    | BreakerReset
)
"""What people ask for."""

Ended = AttemptSucceeded | AttemptFailed | AttemptReturned | AttemptYielded | AttemptCancelled
"""How attempts end. What becomes of each task of a ranged attempt is an event of its own."""

Event = Ended | SlotsOffered | TimePassed | Control
