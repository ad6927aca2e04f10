"""A run that the scheduler drives."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from headgate.core.backoff import backoff_ms
from headgate.core.effects import Transition
from headgate.core.states import HALTED
from headgate.errors import InternalError
from headgate.model.run import ErrorClass, RunState, TaskState

if TYPE_CHECKING:
    from headgate.core.queues import RunQueue, StageQueue
    from headgate.core.ranged import RangedAttempt
    from headgate.core.task_table import TaskTable


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
        rank: Priority of its class.
        stages: Its queues, by stage.
        lines: Where it queues in each lane.
        used: Its attempts that run.
        started_ms: When each attempt that runs was started, by task, or by the key of a ranged one.
        ranged: The ranged attempts that run, by task.
        apart: Tasks that have failed in a ranged attempt, and are tried alone.
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
    rank: int = 0
    stages: list[StageQueue] = field(default_factory=list)
    lines: list[RunQueue] = field(default_factory=list)
    used: int = 0
    started_ms: dict[int, int] = field(default_factory=dict)
    ranged: dict[int, RangedAttempt] = field(default_factory=dict)
    apart: set[int] = field(default_factory=set)
    due_ms: dict[int, int] = field(default_factory=dict)
    is_paused: bool = False
    closing: RunState | None = None
    finished: bool = False

    def may_start(self) -> bool:
        """Return whether it may start an attempt, as far as it is up to the run itself."""
        return (
            self.closing is None and not self.is_paused and (self.concurrency is None or self.used < self.concurrency)
        )

    def wake(self) -> None:
        """Queue again in every lane where there is something to start."""
        for line in self.lines:
            line.wake()

    def again(self, stage: StageQueue, task: int) -> None:
        """Make a task ready that has run to no end."""
        if self.closing is RunState.CANCELLED:
            self.tasks.move(task, stage.number, TaskState.CANCELLED)
        else:
            self.tasks.make_ready(task, stage.number)

    def hold(self, task: int) -> None:
        """Let a task that has not started wait for a task of another run."""
        stage = self.stages[self.tasks.stage_of(task)[0]]
        self.due_ms.pop(task, None)
        if task in stage.parked:
            stage.parked.remove(task)
        self.tasks.hold(task, stage.number)

    def release(self, task: int) -> None:
        """Let a task go on that waited for a task of another run, which has not made its partition."""
        self.tasks.release(task, self.tasks.stage_of(task)[0], made=False, changed=False)

    def take(self, task: int, *, changed: bool) -> None:
        """Skip a task, since the task of another run that it waited for has made its partition.

        If something that it reads is still to be made in its own run, it waits for that, and is skipped unless that
        changes.
        """
        self.tasks.release(task, self.tasks.stage_of(task)[0], made=True, changed=changed)

    def fail(self, stage: StageQueue, task: int, error_class: ErrorClass, now_ms: int, *, is_last: bool) -> int | None:
        """Take note that an attempt of a task failed; return when the next one is due, if it has to wait for that.

        Args:
            stage: The task's stage.
            task: The task.
            error_class: How it failed.
            now_ms: UTC milliseconds.
            is_last: Whether there will be no further attempt.
        """
        table, number = self.tasks, stage.number
        if self.closing is RunState.CANCELLED:
            table.move(task, number, TaskState.CANCELLED)
            return None
        if is_last:
            table.halt(task, number, TaskState.FAILED)
            return None
        # A worker that died is no sign of an outage, so it does not use up the budget.
        is_charged = error_class is not ErrorClass.LOST
        if is_charged and not stage.budget_has_room():
            table.move(task, number, TaskState.BACKING_OFF)
            stage.parked.append(task)
            return None
        stage.retries += is_charged
        return self._back_off(stage, task, now_ms, backoff_ms(stage.stage.retry, self.id, task, table.tries[task]))

    def fail_ranged(self, stage: StageQueue, task: int, now_ms: int) -> int | None:
        """Take note that a task failed in a ranged attempt; return when it is due to be tried alone, if it has to wait.

        It may be innocent of that, so this costs no try and is no retry; it waits as after a first failure.
        """
        table, number = self.tasks, stage.number
        if self.closing is RunState.CANCELLED:
            table.move(task, number, TaskState.CANCELLED)
            return None
        self.apart.add(task)
        wait_ms = backoff_ms(stage.stage.retry, self.id, task, table.tries[task])
        table.tries[task] -= 1
        return self._back_off(stage, task, now_ms, wait_ms)

    def _back_off(self, stage: StageQueue, task: int, now_ms: int, wait_ms: int) -> int | None:
        table, number = self.tasks, stage.number
        if not wait_ms:
            table.make_ready(task, number)
            return None
        table.move(task, number, TaskState.BACKING_OFF)
        self.due_ms[task] = now_ms + wait_ms
        return self.due_ms[task]

    def has_failed(self, task: int) -> bool:
        """Return whether a task has failed before, and is tried alone."""
        return self.tasks.tries[task] > 0 or task in self.apart

    def take_transitions(self) -> list[Transition]:
        """Return which tasks have moved since the last call."""
        moved = [Transition(self.id, task, state) for task, state in self.tasks.moved]
        self.tasks.moved.clear()
        return moved

    def backing_off_until(self) -> dict[int, int]:
        """Return for each stage the time at which the first task that backs off is due."""
        first: dict[int, int] = {}
        for task, due_ms in self.due_ms.items():
            stage = self.tasks.stage_of(task)[0]
            first[stage] = min(due_ms, first.get(stage, due_ms))
        return first

    def cancel(self) -> list[int]:
        """Cancel everything that does not run; return what does."""
        if self.finished:
            return []
        self.closing = RunState.CANCELLED
        self.tasks.cancel_unstarted()
        self.due_ms.clear()
        for stage in self.stages:
            stage.parked.clear()
        return self.tasks.tasks_in(TaskState.RUNNING)

    def settle_parked(self) -> None:
        """Give up tasks that wait for the retry budget when nothing is left that could make room in it."""
        table = self.tasks
        parked = [(stage, task) for stage in self.stages for task in stage.parked]
        if not parked or table.due() or table.totals[TaskState.BACKING_OFF] > len(parked):
            return
        for stage in self.stages:
            stage.unpark()
        if table.due():
            return
        for stage, task in parked:
            table.halt(task, stage.number, TaskState.FAILED)
            stage.parked.clear()

    def end(self) -> RunState | None:
        """Return what it ends as when nothing of it runs; None if it goes on.

        Raises:
            InternalError: Tasks wait for nothing.
        """
        table = self.tasks
        if self.closing is RunState.CANCELLED:
            return RunState.CANCELLED
        if table.total(TaskState.WAITING, TaskState.READY, TaskState.BACKING_OFF):
            if self.closing is None and not table.held and not table.total(TaskState.READY, TaskState.BACKING_OFF):
                waiting = table.tasks_in(TaskState.WAITING)
                raise InternalError(
                    f"{len(waiting)} tasks of run {self.id} wait, the first is {waiting[0]}, for nothing"
                )
            return self.closing
        return RunState.FAILED if table.total(*HALTED) else RunState.SUCCEEDED

    def requeue(self, priority: int) -> None:
        """Give it another priority; among the runs of that it starts where they are."""
        if priority == self.priority:
            return
        self.priority = priority
        for line in self.lines:
            owner, line.charged = line.owner, 0.0
            if line.is_queued:
                owner.runs = [entry for entry in owner.runs if entry[-1] is not line]
                owner.runs.sort()
                owner.add(line)
