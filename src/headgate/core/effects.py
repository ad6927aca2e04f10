"""What the scheduler asks its driver to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from headgate.model.breaker import BreakerRecord
    from headgate.model.run import RunState, TaskState


class StartAttempt(NamedTuple):
    """Start an attempt of a task.

    Args:
        run: Run id.
        task: The task.
        stage: Its stage.
        position: Its place in the stage.
        number: Its try in this submission, from 1.
        spread: In how many slots of the lane, at most, attempts of this service class may be.
        lead: For a task of a ranged attempt, the first of them: they follow one another in the order of their
            partitions, take one slot together, and go out as one order. None for a task that is started alone.
    """

    run: str
    task: int
    stage: int
    position: int
    number: int
    spread: int
    lead: int | None = None


class StopAttempt(NamedTuple):
    """Stop the running attempt of a task; its outcome still comes back as an event."""

    run: str
    task: int


class YieldAttempt(NamedTuple):
    """Ask a running attempt to stop where it can go on later; its outcome comes back as an event."""

    run: str
    task: int


class SaveBreaker(NamedTuple):
    """Record how a breaker stands."""

    breaker: BreakerRecord


class FinishRun(NamedTuple):
    """Record that a run has ended in a state."""

    run: str
    state: RunState


Effect = StartAttempt | StopAttempt | YieldAttempt | SaveBreaker | FinishRun


class Transition(NamedTuple):
    """A task has moved to a state."""

    run: str
    task: int
    state: TaskState


@dataclass(slots=True)
class Step:
    """The outcome of one event.

    Args:
        transitions: Tasks that moved, in order; empty unless the scheduler traces them.
        effects: What the driver shall do, in order, once the transitions are safe.
        wake_at_ms: When to call back even if nothing happens; None for never.
    """

    transitions: list[Transition]
    effects: list[Effect]
    wake_at_ms: int | None = None
