"""How a run, or one session of it, ended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from headgate.model.run import TaskState
from headgate.views.staged import staged_view

if TYPE_CHECKING:
    from headgate.drivers.progress import DatasetProgress, RunSummary
    from headgate.model.plan import Problem
    from headgate.model.run import RunState
    from headgate.views.staged import StagedView


@dataclass(frozen=True, slots=True)
class EndedRun:
    """A run and the state that it was left in."""

    id: str
    state: RunState


@dataclass(frozen=True, slots=True)
class EndedDataset:
    """The tasks of a dataset, by how they ended.

    Args:
        name: The dataset.
        total: All of them.
        published: Succeeded with new content.
        unchanged: Succeeded with the content that was there.
        skipped: Not needed: no input had changed.
        taken: Taken from another run, which has made them meanwhile.
        failed: Failed.
        blocked: Not started, because something upstream failed or is missing.
        cancelled: Stopped.
        left: Not ended: the run was interrupted.
    """

    name: str
    total: int
    published: int
    unchanged: int
    skipped: int
    taken: int
    failed: int
    blocked: int
    cancelled: int
    left: int


@dataclass(frozen=True, slots=True)
class EndedTask:
    """A task that failed, and how."""

    dataset: str
    key: str
    error_class: str
    message: str
    hint: str
    traceback: str


@dataclass(frozen=True, slots=True)
class Summary:
    """How a run ended; `run` is None when there was nothing to do. `elapsed_s` is that of this session.

    `quarantined` of its results are held in quarantine.
    """

    run: EndedRun | None
    elapsed_s: float
    datasets: tuple[EndedDataset, ...]
    failures: tuple[EndedTask, ...]
    problems: tuple[Problem, ...]
    quarantined: int = 0
    staged: StagedView | None = None


def summarize(summary: RunSummary) -> Summary:
    """Return a driver's summary as it is shown."""
    failures = tuple(
        EndedTask(
            task.dataset,
            task.key,
            task.failure.error_class,
            task.failure.message,
            task.failure.hint,
            task.failure.traceback,
        )
        for task in summary.failures
    )
    return Summary(
        EndedRun(summary.run, summary.state),
        round(summary.progress.elapsed_s, 3),
        tuple(map(_dataset, summary.progress.datasets)),
        failures,
        summary.problems,
        summary.quarantined,
        staged_view(summary.publication, summary.state, summary.conflicts),
    )


def _dataset(progress: DatasetProgress) -> EndedDataset:
    tasks = progress.tasks
    succeeded = tasks.get(TaskState.SUCCEEDED, 0)
    ended = {
        "skipped": tasks.get(TaskState.SKIPPED, 0) - progress.taken,
        "taken": progress.taken,
        "failed": tasks.get(TaskState.FAILED, 0),
        "blocked": tasks.get(TaskState.BLOCKED, 0),
        "cancelled": tasks.get(TaskState.CANCELLED, 0),
    }
    return EndedDataset(
        name=progress.name,
        total=progress.total,
        published=succeeded - progress.unchanged,
        unchanged=progress.unchanged,
        **ended,
        left=progress.total - succeeded - sum(ended.values()),
    )
