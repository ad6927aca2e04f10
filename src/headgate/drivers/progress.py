"""What a live run shows of itself while it goes, and when it has ended."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from headgate.model.reason import Wait
from headgate.model.run import Publication, RunState, TaskState

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from headgate.core.reasons import Delay
    from headgate.core.task_table import TaskTable
    from headgate.drivers.told import Told
    from headgate.model.plan import Problem
    from headgate.model.run import Failure
    from headgate.store.staged import Conflict


_AS_ALWAYS = frozenset({Wait.UPSTREAM, Wait.SLOTS, Wait.DRAINING, Wait.BLOCKED})
"""What tasks wait for anyway, or what is shown in another way."""


@dataclass(frozen=True, slots=True)
class DatasetProgress:
    """How many tasks of a dataset are in which state.

    Args:
        name: The dataset.
        tasks: How many are in each state.
        unchanged: How many of the succeeded ones published nothing new.
        taken: How many of the skipped ones were left to another run, which has made them.
    """

    name: str
    tasks: Mapping[TaskState, int]
    unchanged: int = 0
    taken: int = 0

    @property
    def total(self) -> int:
        """Return the number of its tasks in the run."""
        return sum(self.tasks.values())


@dataclass(frozen=True, slots=True)
class HeldBack:
    """Tasks that could start and may not: how many, why, what holds them back, and until when if that is known."""

    wait: Wait
    tasks: int
    what: str
    until_ms: int | None


@dataclass(frozen=True, slots=True)
class Progress:
    """A run as it stands.

    Args:
        run: Run id.
        datasets: Counts for each dataset, upstream first.
        ended: Tasks that have ended in this session.
        left: Tasks that have not ended.
        elapsed_s: Time since this session began.
        draining: Whether it starts nothing more.
        held: What holds ready tasks back, other than that all slots are taken.
        others: How many other runs go on in the same process.
    """

    run: str
    datasets: tuple[DatasetProgress, ...]
    ended: int
    left: int
    elapsed_s: float
    draining: bool
    held: tuple[HeldBack, ...] = ()
    others: int = 0

    @property
    def rate_per_s(self) -> float:
        """Return how many tasks have ended in a second, over this session."""
        return self.ended / self.elapsed_s if self.elapsed_s > 0 else 0.0

    @property
    def left_s(self) -> float | None:
        """Return the seconds left at the present rate; None before anything has ended."""
        return self.left / self.rate_per_s if self.ended and self.elapsed_s > 0 else None


@dataclass(frozen=True, slots=True)
class FailedTask:
    """A task whose attempt failed, and how."""

    dataset: str
    key: str
    failure: Failure


@dataclass(frozen=True, slots=True)
class RunSummary:
    """How a run, or this session of it, ended.

    `quarantined` of its results are held, also from before; `conflicts` keep a staged one from being published.
    """

    run: str
    state: RunState
    progress: Progress
    failures: tuple[FailedTask, ...] = ()
    problems: tuple[Problem, ...] = field(default=())
    quarantined: int = 0
    publication: Publication = Publication.EACH
    conflicts: tuple[Conflict, ...] = ()


class Watcher(Protocol):
    """Who is told how a run goes; may not block for long. What it raises stops the run."""

    def started(self, run: str, *, is_followed: bool) -> None:
        """Take note that a run has begun, and whether it goes on in another process."""
        ...

    def progressed(self, progress: Progress) -> None:
        """Take note of how far it is: about ten times a second, and once at its end."""
        ...

    def ended(self, summary: RunSummary, others: int) -> None:
        """Take note of how it ended, while so many other runs are still in the hands of this process."""
        ...

    def interrupted(self, runs: Sequence[str]) -> None:
        """Take note of the other runs that were interrupted with it, in the end."""
        ...


def held_back(delays: Iterable[Delay | Told]) -> tuple[HeldBack, ...]:
    """Return what holds tasks back, over all stages."""
    found: dict[tuple[Wait, str], HeldBack] = {}
    for delay in delays:
        if delay.wait in _AS_ALWAYS:
            continue
        before = found.get((delay.wait, delay.what), HeldBack(delay.wait, 0, delay.what, delay.until_ms))
        until_ms = min((at for at in (before.until_ms, delay.until_ms) if at is not None), default=None)
        found[delay.wait, delay.what] = HeldBack(delay.wait, before.tasks + delay.tasks, delay.what, until_ms)
    return tuple(found.values())


def in_order(failed: Iterable[FailedTask], progress: Progress) -> tuple[FailedTask, ...]:
    """Return tasks that failed in the order of their datasets, upstream first, and keys."""
    places = {part.name: n for n, part in enumerate(progress.datasets)}
    return tuple(sorted(failed, key=lambda task: (places[task.dataset], task.key)))


def counts(table: TaskTable, unchanged: Mapping[str, int]) -> tuple[DatasetProgress, ...]:
    """Return the counts of each stage of a run."""
    return tuple(
        DatasetProgress(
            stage.dataset,
            {state: row[state] for state in TaskState if row[state]},
            unchanged.get(stage.dataset, 0),
            taken,
        )
        for stage, row, taken in zip(table.stages, table.counts, table.taken_over, strict=True)
    )
