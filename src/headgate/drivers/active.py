"""One run that the coordinator has in hand: its plan, what it needs to make orders, and what became of it so far."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING

from headgate.core.states import ENDED
from headgate.drivers.progress import FailedTask, Progress, RunSummary, counts, in_order
from headgate.errors import intact
from headgate.model.policy import OnOverlap, TaskOrder
from headgate.model.run import RunState, TaskState

if TYPE_CHECKING:
    from headgate.core.task_table import TaskTable
    from headgate.drivers.dispatch import Dispatcher
    from headgate.drivers.in_flight import InFlight
    from headgate.model.plan import Plan
    from headgate.model.run import Failure, Run
    from headgate.planning.snapshot import Snapshot
    from headgate.store.records import Command
    from headgate.store.staged import Conflict

KEPT_FAILURES = 1000
SHOWN_FAILURES = 50


@dataclass(frozen=True, slots=True)
class Controls:
    """What people changed of a run while it lives; kept with it, so that it holds after a restart.

    Args:
        is_paused: Whether it starts nothing.
        concurrency: How many of its attempts may run at a time; 0 for what its policies say.
        priority: Among the runs of its owner and class larger goes first.
        order: In which order its tasks start; None for what the project says.
        overlap: What becomes of partitions that another run is building.
    """

    is_paused: bool = False
    concurrency: int = 0
    priority: int = 0
    order: TaskOrder | None = None
    overlap: OnOverlap = OnOverlap.REFUSE

    @staticmethod
    def from_json(text: str) -> Controls:
        """Return the controls that `to_json` wrote; the defaults for an empty text."""
        with intact("what was set of a run"):
            values = json.loads(text) if text else {}
            order = values.pop("order", None)
            overlap = OnOverlap(values.pop("overlap", OnOverlap.REFUSE))
            return Controls(**values, order=TaskOrder(order) if order else None, overlap=overlap)

    def to_json(self) -> str:
        """Return what differs from the defaults as JSON; empty if nothing does."""
        unchanged = asdict(Controls())
        values = {name: value for name, value in asdict(self).items() if value != unchanged[name]}
        return json.dumps(values) if values else ""


@dataclass(slots=True, eq=False)
class ActiveRun:
    """A run in the hands of the coordinator.

    Args:
        run: The run as it was recorded when it was taken up.
        plan: Its plan, with what is blocked as things are now.
        snapshot: Definitions and heads when it was taken up.
        dispatcher: Makes its orders.
        tasks: Its tasks, in the scheduler.
        controls: What people changed of it.
        unchanged: Succeeded tasks that published nothing new, for each dataset.
        policy_concurrency: How many of its attempts may run at a time by its policies; None for no bound.
        ended_before: Tasks that had ended when this session began.
        failures: The last failure of tasks that have not succeeded since.
        in_flight: The attempt of each task that has one out.
        retried: The last attempt of each task that failed and waits to be tried again.
        failed_before: How many tasks had failed when these were last looked through.
        lifts_holds: Whether it builds also what rollbacks hold.
        cancel: The request to cancel it, if there is one.
        ended: What it ended as.
    """

    run: Run
    plan: Plan
    snapshot: Snapshot
    dispatcher: Dispatcher
    tasks: TaskTable
    controls: Controls
    unchanged: dict[str, int]
    policy_concurrency: int | None = None
    ended_before: int = 0
    failures: dict[int, FailedTask] = field(default_factory=dict)
    in_flight: dict[int, int] = field(default_factory=dict)
    retried: dict[int, int] = field(default_factory=dict)
    failed_before: int = 0
    lifts_holds: bool = False
    cancel: Command | None = None
    ended: RunState | None = None
    is_draining: bool = False
    conflicts: list[Conflict] = field(default_factory=list)
    began_s: float = field(default_factory=time.monotonic)
    ended_s: float | None = None

    def remember(self, flight: InFlight, failure: Failure) -> None:
        """Keep why an attempt failed, until another of its task succeeds."""
        task = flight.start.task
        if task in self.failures or len(self.failures) < KEPT_FAILURES:
            self.failures[task] = FailedTask(flight.attempt.dataset, flight.attempt.key, failure)

    def has_given_up(self, task: int) -> bool:
        """Return whether a task has ended."""
        return TaskState(self.tasks.state[task]) in ENDED

    def progress(self) -> Progress:
        """Return how far it is."""
        table = self.tasks
        left = table.total(TaskState.WAITING, TaskState.READY, TaskState.RUNNING, TaskState.BACKING_OFF)
        return Progress(
            self.run.id,
            counts(table, self.unchanged),
            table.size - left - self.ended_before,
            left,
            (time.monotonic() if self.ended_s is None else self.ended_s) - self.began_s,
            self.is_draining,
        )

    def summary(self, quarantined: int) -> RunSummary:
        """Return how it, or this session of it, ended. Pre: it has.

        Args:
            quarantined: How many of its results are held in quarantine.
        """
        assert self.ended is not None
        progress = self.progress()
        failed = (found for task, found in self.failures.items() if self.tasks.state[task] == TaskState.FAILED)
        return RunSummary(
            self.run.id,
            self.ended,
            progress,
            in_order(failed, progress)[:SHOWN_FAILURES],
            self.plan.problems,
            quarantined,
            self.run.publication,
            tuple(self.conflicts),
        )

    def change(self, **values: object) -> None:
        """Change controls."""
        self.controls = replace(self.controls, **values)  # type: ignore[arg-type]
