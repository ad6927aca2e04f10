"""The scheduler: which task starts next, and what follows when one ends.

The driver's part of the bargain: save an event's transitions and effects in one transaction; only then carry the
effects out; report every outcome as an event; after a crash submit the run again with what is recorded.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import assert_never

from headgate.core.effects import Effect, FinishRun, StartAttempt, Step, StopAttempt, Transition
from headgate.core.events import (
    AttemptCancelled,
    AttemptFailed,
    AttemptLost,
    AttemptReturned,
    AttemptSucceeded,
    CancelRequested,
    DrainRequested,
    Event,
    Pool,
    RunSubmitted,
    SlotsOffered,
)
from headgate.core.states import HALTED
from headgate.core.task_table import TaskTable
from headgate.errors import InternalError
from headgate.model.run import RunState, TaskState


@dataclass(slots=True)
class LiveRun:
    """A run that the scheduler drives.

    Args:
        tasks: Its tasks.
        max_tries: How many attempts of a task may be lost.
        closing: What it ends as once nothing runs; None while it goes on.
        finished: Whether its end was reported.
    """

    tasks: TaskTable
    max_tries: int
    closing: RunState | None = None
    finished: bool = False


class Scheduler:
    """All live runs, and the slots that their attempts may take."""

    def __init__(self) -> None:
        self.runs: dict[str, LiveRun] = {}
        self.free = dict.fromkeys(Pool, 0)

    def handle(self, event: Event, now_ms: int) -> Step:  # noqa: ARG002 - retries and windows will need the time
        """Take one event and return what follows from it.

        Args:
            event: What happened.
            now_ms: UTC milliseconds.

        Raises:
            InternalError: The event cannot happen in the present state.
        """
        effects: list[Effect] = []
        match event:
            case AttemptSucceeded(run, task, changed):
                live, stage = self._running(run, task)
                live.tasks.finish(task, stage, TaskState.SUCCEEDED, changed=changed)
            case RunSubmitted(run, stages, max_tries):
                if run in self.runs:
                    raise InternalError(f"run {run} was submitted while it was live")
                self.runs[run] = LiveRun(TaskTable(stages), max_tries)
            case SlotsOffered(pool, free):
                self.free[pool] = free
            case AttemptFailed(run, task):
                live, stage = self._running(run, task)
                live.tasks.halt(task, stage, TaskState.FAILED)
            case AttemptLost(run, task):
                live, stage = self._running(run, task)
                if live.tasks.tries[task] < live.max_tries:
                    self._again(live, task, stage)
                else:
                    live.tasks.halt(task, stage, TaskState.FAILED)
            case AttemptReturned(run, task):
                live, stage = self._running(run, task)
                live.tasks.tries[task] -= 1
                self._again(live, task, stage)
            case AttemptCancelled(run, task):
                live, stage = self._running(run, task)
                live.tasks.halt(task, stage, TaskState.CANCELLED)
            case DrainRequested(run):
                live = self._live(run)
                live.closing = live.closing or RunState.INTERRUPTED
            case CancelRequested(run):
                effects += self._cancel(run)
            case _:
                assert_never(event)
        effects += self._starts()
        effects += self._finishes()
        return Step(self._transitions(), effects)

    def forget(self, run: str) -> None:
        """Drop a run that has finished, once its end is recorded."""
        del self.runs[run]

    def _live(self, run: str) -> LiveRun:
        live = self.runs.get(run)
        if live is None:
            raise InternalError(f"run {run} is not live")
        return live

    def _running(self, run: str, task: int) -> tuple[LiveRun, int]:
        live = self._live(run)
        state = live.tasks.state[task]
        if state != TaskState.RUNNING:
            raise InternalError(
                f"an attempt of task {task} in run {run} ended, but the task is {TaskState(state).name}"
            )
        return live, live.tasks.stage_of(task)[0]

    @staticmethod
    def _again(live: LiveRun, task: int, stage: int) -> None:
        if live.closing is RunState.CANCELLED:
            live.tasks.move(task, stage, TaskState.CANCELLED)
        else:
            live.tasks.make_ready(task, stage)

    def _cancel(self, run: str) -> list[Effect]:
        live = self._live(run)
        if live.finished:
            return []
        live.closing = RunState.CANCELLED
        live.tasks.cancel_unstarted()
        return [StopAttempt(run, task) for task in live.tasks.tasks_in(TaskState.RUNNING)]

    def _starts(self) -> list[Effect]:
        started: list[Effect] = []
        for pool in self.free:
            for run, live in self.runs.items():
                table = live.tasks
                while self.free[pool] > 0 and live.closing is None and (task := table.pop_ready(pool)) is not None:
                    stage, position = table.stage_of(task)
                    table.move(task, stage, TaskState.RUNNING)
                    table.tries[task] += 1
                    started.append(StartAttempt(run, task, stage, position, table.tries[task]))
                    self.free[pool] -= 1
        return started

    def _finishes(self) -> list[Effect]:
        ended: list[Effect] = []
        for run, live in self.runs.items():
            if live.finished or live.tasks.totals[TaskState.RUNNING]:
                continue
            state = self._end(live)
            if state is not None:
                live.finished = True
                ended.append(FinishRun(run, state))
            elif not live.tasks.total(TaskState.READY):
                waiting = live.tasks.tasks_in(TaskState.WAITING)
                raise InternalError(f"{len(waiting)} tasks of run {run} wait, the first is {waiting[0]}, for nothing")
        return ended

    @staticmethod
    def _end(live: LiveRun) -> RunState | None:
        """Return what a run of which nothing runs ends as; None if it goes on."""
        table = live.tasks
        if live.closing is RunState.CANCELLED:
            return RunState.CANCELLED
        if table.total(TaskState.WAITING, TaskState.READY):
            return live.closing
        return RunState.FAILED if table.total(*HALTED) else RunState.SUCCEEDED

    def _transitions(self) -> list[Transition]:
        moved: list[Transition] = []
        for run, live in self.runs.items():
            moved += [Transition(run, task, state) for task, state in live.tasks.moved]
            live.tasks.moved.clear()
        return moved
