"""A run that the scheduler drives."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from headgate.core.queues import RunQueue, StageQueue
    from headgate.core.task_table import TaskTable
    from headgate.model.run import RunState


@dataclass(slots=True, eq=False)
class LiveRun:
    """A run that the scheduler drives.

    Args:
        id: Its id.
        tasks: Its tasks.
        service_class: Its class.
        owner: Who it belongs to.
        priority: Among the runs of its owner and class larger goes first.
        concurrency: How many of its attempts may run at a time; None for no bound.
        stages: Its queues, by stage.
        lines: Where it queues in each lane.
        used: Its attempts that run.
        started_ms: When each attempt that runs was started, by task.
        due_ms: When each task that backs off is due, by task; not for those that wait for the retry budget.
        is_paused: Whether it starts nothing until it is continued.
        closing: What it ends as once nothing runs; None while it goes on.
        finished: Whether its end was reported.
    """

    id: str
    tasks: TaskTable
    service_class: str
    owner: str
    priority: int
    concurrency: int | None
    stages: list[StageQueue] = field(default_factory=list)
    lines: list[RunQueue] = field(default_factory=list)
    used: int = 0
    started_ms: dict[int, int] = field(default_factory=dict)
    due_ms: dict[int, int] = field(default_factory=dict)
    is_paused: bool = False
    closing: RunState | None = None
    finished: bool = False

    def may_start(self) -> bool:
        """Return whether it may start an attempt, as far as it is up to the run itself."""
        return (
            self.closing is None and not self.is_paused and (self.concurrency is None or self.used < self.concurrency)
        )
