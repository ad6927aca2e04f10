"""What must hold between any two events. Slow and plain: for tests, and for a look at a scheduler that misbehaves."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from headgate.core.edges import SharedEdge
from headgate.core.events import Pool
from headgate.core.states import DONE, ENDED, HALTED
from headgate.model.run import RunState, TaskState

if TYPE_CHECKING:
    from collections.abc import Iterator

    from headgate.core.scheduler import LiveRun, Scheduler
    from headgate.core.task_table import TaskTable

_AFTER_UPSTREAM = frozenset({TaskState.READY, TaskState.RUNNING, TaskState.BACKING_OFF, *DONE})


def violations(scheduler: Scheduler) -> list[str]:
    """Return what does not hold; nothing for a sound scheduler. Changes nothing.

    Assumes that transitions have been taken by `Scheduler.handle`, as they are between two events.
    """
    found = [f"pool {pool} has {free} slots" for pool, free in scheduler.free.items() if free < 0]
    for run, live in scheduler.runs.items():
        table = live.tasks
        for text in (*_counts(table), *_waits(table), *_order(table), *_queues(table), *_progress(scheduler, live)):
            found.append(f"run {run}: {text}")
    return found


def _counts(table: TaskTable) -> Iterator[str]:
    for stage, counts in enumerate(table.counts):
        seen = Counter(table.state[table.base[stage] : table.base[stage + 1]])
        if [seen[state] for state in TaskState] != counts:
            yield f"stage {stage} counts {counts}, its tasks say {dict(seen)}"
    if table.totals != [sum(column) for column in zip(*table.counts, strict=True)] and table.counts:
        yield f"totals {table.totals} are not the sum of the stages"
    if table.moved:
        yield f"{len(table.moved)} transitions were not taken"


def _waits(table: TaskTable) -> Iterator[str]:
    """Recount, edge by edge, what each task waits for and whether anything before it changed."""
    for stage, declared in enumerate(table.stages):
        for position in range(len(declared.states)):
            task = table.base[stage] + position
            unmet, dirty = 0, False
            for edge in declared.edges:
                base = table.base[edge.upstream]
                upstream = [base + at for at in edge.upstream_of(position)]
                left = sum(table.state[at] not in DONE for at in upstream)
                unmet += left > 0 if isinstance(edge, SharedEdge) else left
                if not isinstance(edge, SharedEdge) or not left:
                    dirty = dirty or any(table.changed[at] for at in upstream)
            if unmet != table.unmet[task]:
                yield f"task {task} waits for {table.unmet[task]}, by its edges for {unmet}"
            if not unmet and dirty != table.dirty[task]:
                yield f"task {task} is {'' if table.dirty[task] else 'not '}marked as changed upstream, wrongly"


def _order(table: TaskTable) -> Iterator[str]:
    """Check each task against what it reads. Tasks that were submitted as ended are not judged."""
    for stage, declared in enumerate(table.stages):
        for position, submitted in enumerate(declared.states):
            if TaskState(submitted) in ENDED:
                if table.state[table.base[stage] + position] != submitted:
                    yield f"task {table.base[stage] + position} had ended, and moved"
                continue
            task = table.base[stage] + position
            state = TaskState(table.state[task])
            upstream = [table.base[edge.upstream] + at for edge in declared.edges for at in edge.upstream_of(position)]
            states = {TaskState(table.state[at]) for at in upstream}
            if state in _AFTER_UPSTREAM and not states <= DONE:
                yield f"task {task} is {state.name} before its upstream is done"
            if state is TaskState.WAITING and states <= DONE:
                yield f"task {task} waits, but its upstream is done"
            if state is TaskState.SKIPPED and (
                not declared.skippable[position] or any(table.changed[at] for at in upstream)
            ):
                yield f"task {task} was skipped although it had to run"
            if (state is TaskState.BLOCKED and not states & HALTED) or (state is TaskState.WAITING and states & HALTED):
                yield f"task {task} is {state.name}, its upstream is {sorted(states)}"


def _queues(table: TaskTable) -> Iterator[str]:
    for pool in Pool:
        queued = sorted(entry & 0xFFFFFFFF for entry in table.ready[pool])
        ready = [task for task in table.tasks_in(TaskState.READY) if _pool(table, task) is pool]
        if queued != ready:
            yield f"pool {pool} queues {queued}, ready are {ready}"
        heap = table.ready[pool]
        if any(heap[(child - 1) // 2] > heap[child] for child in range(1, len(heap))):
            yield f"the queue of pool {pool} is no heap"


def _progress(scheduler: Scheduler, live: LiveRun) -> Iterator[str]:
    """Check that nothing ready is left beside a free slot, and that a run that has ended says so."""
    table = live.tasks
    if live.closing is None:
        for task in table.tasks_in(TaskState.READY):
            if scheduler.free[_pool(table, task)] > 0:
                yield f"task {task} is ready and a slot is free"
    for task in table.tasks_in(TaskState.RUNNING):
        if not 0 < table.tries[task] <= live.max_tries:
            yield f"task {task} runs for the {table.tries[task]}th time"
    running, left = table.total(TaskState.RUNNING), table.total(TaskState.WAITING, TaskState.READY)
    if live.finished != (not running and (not left or live.closing is not None)):
        yield f"its end is {'' if live.finished else 'not '}reported with {running} running and {left} left"
    if live.closing is RunState.CANCELLED and left:
        yield f"{left} tasks are left of a cancelled run"


def _pool(table: TaskTable, task: int) -> Pool:
    return table.stages[table.stage_of(task)[0]].pool
