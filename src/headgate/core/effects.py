"""What the scheduler asks its driver to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from headgate.model.run import RunState, TaskState


class StartAttempt(NamedTuple):
    """Start an attempt of a task; `number` is its try in this submission, from 1."""

    run: str
    task: int
    stage: int
    position: int
    number: int


class StopAttempt(NamedTuple):
    """Stop the running attempt of a task; its outcome still comes back as an event."""

    run: str
    task: int


class FinishRun(NamedTuple):
    """Record that a run has ended in a state."""

    run: str
    state: RunState


Effect = StartAttempt | StopAttempt | FinishRun


class Transition(NamedTuple):
    """A task has moved to a state."""

    run: str
    task: int
    state: TaskState


@dataclass(slots=True)
class Step:
    """The outcome of one event.

    Args:
        transitions: Tasks that moved, in order.
        effects: What the driver shall do, in order, once the transitions are safe.
        wake_at_ms: When to call back even if nothing happens; None for never.
    """

    transitions: list[Transition]
    effects: list[Effect]
    wake_at_ms: int | None = None
