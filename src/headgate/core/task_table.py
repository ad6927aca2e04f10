"""The tasks of one run as arrays: a task that waits costs a few bytes and no object."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import accumulate
from typing import TYPE_CHECKING

import numpy as np

from headgate.core.edges import SharedEdge
from headgate.core.ranged import Gathering
from headgate.core.states import DONE, ENDED, HALTED
from headgate.errors import InternalError
from headgate.model.run import TaskState

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from headgate.core.edges import PairEdge
    from headgate.core.events import Stage

_TASK_BITS = 32
_TASK_MASK = (1 << _TASK_BITS) - 1
_WAITING = int(TaskState.WAITING)
_READY = TaskState.READY
_WIDE = 32
"""From so many waiters on, numpy is faster than a loop."""


@dataclass(slots=True)
class SharedWait:
    """How far a stage has come with a shared edge.

    Args:
        reader: The stage that waits.
        edge: What for.
        left: Members that are not done.
        changed: Whether a member published new content.
        is_blocked: Whether a member halted, and the stage with it.
    """

    reader: int
    edge: SharedEdge
    left: int
    changed: bool
    is_blocked: bool = False


class TaskTable:
    """States, waiting counts and ready queues of a run's tasks, numbered through all stages.

    Args:
        stages: The stages as submitted. Tasks that ended in an earlier session keep their states; what follows
            from those (ready, skipped, blocked) is worked out here.
        traced: Whether transitions are remembered, for who takes `moved`.

    Raises:
        InternalError: A task is neither waiting nor ended.
    """

    def __init__(self, stages: Sequence[Stage], *, traced: bool = False) -> None:
        self.stages = stages
        self.base = [0, *accumulate(len(stage.states) for stage in stages)]
        self.size = self.base[-1]
        self.state = bytearray(b"".join(stage.states.tobytes() for stage in stages))
        self.changed = bytearray(b"".join(stage.changed.tobytes() for stage in stages))
        self.tries = array("H", bytes(2 * self.size))
        self.counts = [np.bincount(stage.states, minlength=len(TaskState)).tolist() for stage in stages]
        self.totals: list[int] = [sum(counts[state] for counts in self.counts) for state in TaskState]
        self.ready: list[list[int]] = [[] for _ in stages]
        """For each stage a heap of priority and task."""
        self.taken: set[int] = set()
        """Tasks that were taken from the midst of a heap, where they still are."""
        self.held: dict[int, int] = {}
        """Tasks that wait for tasks of other runs, and for how many."""
        self.inherited = bytearray(b"".join(_inherited(stage) for stage in stages))
        """Whether another run has made a task's partition, so that it counts as taken from there if it is skipped."""
        self.took: dict[int, bool] = {}
        """Tasks whose partition another run has made while they waited, and whether that was new content, as long as
        something that they read may still change."""
        self.taken_over = [0 for _ in stages]
        """For each stage how many tasks were skipped that another run has made."""
        self.watched: set[int] = set()
        """Tasks that tasks of other runs wait for."""
        self.stirred: list[int] = []
        """Those of them that have ended, or do not run any more, for who takes them."""
        self.touched: list[int] = []
        """Stages whose first ready task is another than it was, for who takes them."""
        self.traced = traced
        self.moved: list[tuple[int, TaskState]] = []
        self.shared: list[list[SharedWait]] = [[] for _ in stages]
        self._readers: list[list[tuple[int, PairEdge]]] = [[] for _ in stages]
        self._skippable = b"".join(stage.skippable.tobytes() for stage in stages)
        self._priority = array("q", b"".join(stage.priority.tobytes() for stage in stages))
        self.gatherings = [
            Gathering(stage.successor, stage.batch, stage.states == TaskState.WAITING)
            if stage.gathers and stage.batch > 1 and stage.successor is not None
            else None
            for stage in stages
        ]
        unmet, dirty = self._wait_counts()
        self.unmet = array("i", unmet.tobytes())
        self.dirty = bytearray(dirty.tobytes())
        # The same bytes, for whole ranges at once.
        self._unmet = np.frombuffer(self.unmet, dtype=np.int32)
        self._dirty = np.frombuffer(self.dirty, dtype=np.bool_)
        self._state = np.frombuffer(self.state, dtype=np.uint8)
        self._skippable_array = np.frombuffer(self._skippable, dtype=np.bool_)
        if not np.isin(self._state, [TaskState.WAITING, *ENDED]).all():
            raise InternalError("a task was submitted that neither waits nor has ended")
        self._settle()

    def stage_of(self, task: int) -> tuple[int, int]:
        """Return the stage and the position in it of a task."""
        stage = bisect_right(self.base, task) - 1
        return stage, task - self.base[stage]

    def total(self, *states: TaskState) -> int:
        """Return the number of tasks in any of these states."""
        return sum(self.totals[state] for state in states)

    def due(self) -> int:
        """Return how many tasks are ready and do not wait for their neighbours."""
        due: int = self.totals[_READY] - sum(one.held for one in self.gatherings if one is not None)
        return due

    def tasks_in(self, state: TaskState) -> list[int]:
        """Return all tasks in a state, ascending."""
        found: list[int] = np.flatnonzero(self._state == state).tolist()
        return found

    def move(self, task: int, stage: int, state: TaskState) -> None:
        """Set the state of a task and remember the transition."""
        counts, totals, before = self.counts[stage], self.totals, self.state[task]
        counts[before] -= 1
        totals[before] -= 1
        counts[state] += 1
        totals[state] += 1
        self.state[task] = state
        if self.traced:
            self.moved.append((task, state))
        if self.watched and task in self.watched and (before == TaskState.RUNNING or state in ENDED):
            self.stirred.append(task)
        # Who waits for a task of another run is not waited for: two runs could wait so for each other.
        if _WAITING in (before, state) and task not in self.held:
            self._gather(task, stage, 1 if state == _WAITING else -1)

    def _gather(self, task: int, stage: int, change: int) -> None:
        """Take note that a task has begun (1) or ceased (-1) to wait, as far as its neighbours wait for that."""
        gathering, base = self.gatherings[stage], self.base[stage]
        if gathering is not None:
            for other in gathering.count(task - base, change):
                self._queue(base + other, stage)

    def make_ready(self, task: int, stage: int) -> None:
        """Queue a task whose upstream is done, with its neighbours if those have to be gathered first."""
        gathering = self.gatherings[stage] if self.state[task] == _WAITING else None
        self.move(task, stage, _READY)
        if gathering is None or not gathering.holds(task - self.base[stage]):
            self._queue(task, stage)

    def _queue(self, task: int, stage: int) -> None:
        if task in self.taken:
            self.taken.discard(task)
            return
        queue = self.ready[stage]
        entry = self._priority[task] << _TASK_BITS | task
        heappush(queue, entry)
        if queue[0] == entry:
            self.touched.append(stage)

    def reorder(self, priorities: Sequence[NDArray[np.int64]]) -> None:
        """Give the tasks of each stage other priorities."""
        self._priority = array("q", b"".join(priority.tobytes() for priority in priorities))
        for stage, queue in enumerate(self.ready):
            if queue:
                left = [task for task in map(task_of, queue) if task not in self.taken]
                queue[:] = sorted(self._priority[task] << _TASK_BITS | task for task in left)
                self.touched.append(stage)
        self.taken.clear()

    def revive(self, made: Collection[int] = ()) -> list[int]:
        """Let everything that failed, was blocked or was cancelled wait again, and what follows from that follow.

        What was submitted as blocked cannot be made, and stays so.

        Args:
            made: Tasks that have failed but whose results were published since: they have succeeded.

        Returns:
            The tasks that get another chance.
        """
        for task in made:
            if self.state[task] == TaskState.FAILED:
                self.move(task, self.stage_of(task)[0], TaskState.SUCCEEDED)
                self.changed[task] = True
        halted = np.isin(self._state, list(HALTED))
        for base, stage in zip(self.base, self.stages, strict=False):
            halted[base : base + len(stage.states)] &= stage.states != TaskState.BLOCKED
        revived: list[int] = np.flatnonzero(halted).tolist()
        for task in revived:
            self.move(task, self.stage_of(task)[0], TaskState.WAITING)
            self.tries[task] = 0
            self.took.pop(task, None)
        for waits in self.shared:
            waits.clear()
        for readers in self._readers:
            readers.clear()
        unmet, dirty = self._wait_counts()
        for task, others in self.held.items():
            unmet[task] += others
        self._unmet[:] = unmet
        self._dirty[:] = dirty
        self._settle()
        return revived

    def finish(self, task: int, stage: int, state: TaskState, *, changed: bool) -> None:
        """End a task as succeeded or skipped, and release what waited for it."""
        pending = [(task, stage, state, changed)]
        while pending:
            task, stage, state, changed = pending.pop()
            self.move(task, stage, state)
            if task in self.took:
                # For who reads it that is new, whether or not it was made once more.
                changed |= self.took.pop(task)
                self.inherited[task] |= state == TaskState.SKIPPED
            self.taken_over[stage] += self.inherited[task] and state == TaskState.SKIPPED
            self.changed[task] = changed
            for reader, waiters, dirty in self._waiters_after(task, stage, changed=changed):
                for waiter in self._release(waiters, reader, changed=dirty):
                    if self._may_skip(waiter):
                        pending.append((waiter, reader, TaskState.SKIPPED, False))
                    else:
                        self.make_ready(waiter, reader)

    def halt(self, task: int, stage: int, state: TaskState) -> None:
        """End a task as failed or cancelled, and block everything that waits for it."""
        self.move(task, stage, state)
        self._block_waiters(task, stage)

    def cancel_unstarted(self) -> None:
        """Cancel everything that does not run."""
        for state in (TaskState.WAITING, TaskState.READY, TaskState.BACKING_OFF):
            for task in self.tasks_in(state):
                self.move(task, self.stage_of(task)[0], TaskState.CANCELLED)
        for queue in self.ready:
            queue.clear()
        for gathering in self.gatherings:
            if gathering is not None:
                gathering.clear()
        self.taken.clear()

    def take(self, tasks: Iterable[int], stage: int) -> None:
        """Take ready tasks out of their queue, wherever in it they are."""
        self.taken.update(tasks)
        queue, taken = self.ready[stage], self.taken
        # The first of a queue is never one that was taken.
        while queue and task_of(queue[0]) in taken:
            taken.discard(task_of(heappop(queue)))

    def hold(self, task: int, stage: int) -> None:
        """Let a task that has not started wait for a task of another run, too."""
        gathering = self.gatherings[stage]
        is_gathered = gathering is not None and gathering.drop(task - self.base[stage])
        if self.state[task] == _READY and not is_gathered:
            self.take([task], stage)
            self.touched.append(stage)
        if self.state[task] == _WAITING and task not in self.held:
            self._gather(task, stage, -1)
        self.unmet[task] += 1
        self.held[task] = self.held.get(task, 0) + 1
        if self.state[task] != _WAITING:
            self.move(task, stage, TaskState.WAITING)

    def release(self, task: int, stage: int, *, made: bool, changed: bool) -> None:
        """Let a task go on that waited for a task of another run.

        Args:
            task: The task.
            stage: Its stage.
            made: Whether the other has made the partition, so that nothing is left to do, unless something that it
                reads in its own run still comes to be made anew.
            changed: Whether that published new content.
        """
        others = self.held.pop(task) - 1
        if others:
            self.held[task] = others
        self.unmet[task] -= 1
        if self.state[task] != _WAITING:
            return
        if not others:
            self._gather(task, stage, 1)
        if made:
            self.took[task] = changed
        if not self.unmet[task]:
            if made or self._may_skip(task):
                self.finish(task, stage, TaskState.SKIPPED, changed=False)
            else:
                self.make_ready(task, stage)

    def _may_skip(self, task: int) -> bool:
        return (bool(self._skippable[task]) or task in self.took) and not self.dirty[task]

    def _waiters_after(self, task: int, stage: int, *, changed: bool) -> Iterator[tuple[int, Sequence[int], bool]]:
        """Yield what waits for one thing less now that a task is done: stage, positions, whether that had changed.

        For a shared edge the one thing is all of its members.
        """
        position = task - self.base[stage]
        for reader, edge in self._readers[stage]:
            yield reader, edge.waiters(position), changed
        for wait in self.shared[stage]:
            if wait.edge.members[position]:
                wait.left -= 1
                wait.changed |= changed
                if not wait.left:
                    yield wait.reader, range(wait.edge.n_tasks), wait.changed

    def _release(self, waiters: Sequence[int], stage: int, *, changed: bool) -> list[int]:
        """Count one thing less to wait for; return the tasks that wait for nothing more."""
        base = self.base[stage]
        unmet, dirty, state = self.unmet, self.dirty, self.state
        if isinstance(waiters, range) and len(waiters) >= _WIDE:
            span = slice(base + waiters.start, base + waiters.stop)
            self._unmet[span] -= 1
            if changed:
                self._dirty[span] = True
            free = np.flatnonzero((self._unmet[span] == 0) & (self._state[span] == _WAITING))
            tasks: list[int] = (free + span.start).tolist()
            return tasks
        released = []
        for waiter in waiters:
            task = base + waiter
            unmet[task] -= 1
            if changed:
                dirty[task] = 1
            if unmet[task] == 0 and state[task] == _WAITING:
                released.append(task)
        return released

    def _block_waiters(self, task: int, stage: int) -> None:
        pending = [(task, stage)]
        while pending:
            task, stage = pending.pop()
            position = task - self.base[stage]
            for reader, edge in self._readers[stage]:
                pending += self._block(edge.waiters(position), reader)
            for wait in self.shared[stage]:
                if wait.edge.members[position] and not wait.is_blocked:
                    wait.is_blocked = True
                    pending += self._block(range(wait.edge.n_tasks), wait.reader)

    def _block(self, waiters: Iterable[int], stage: int) -> list[tuple[int, int]]:
        base, state = self.base[stage], self.state
        blocked = [(base + waiter, stage) for waiter in waiters if state[base + waiter] == _WAITING]
        for task, _ in blocked:
            self.move(task, stage, TaskState.BLOCKED)
        return blocked

    def _wait_counts(self) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
        """Return how much each task still waits for, and whether anything that is done had changed."""
        unmet = np.zeros(self.size, dtype=np.int32)
        dirty = np.zeros(self.size, dtype=bool)
        now = np.split(np.frombuffer(self.state, dtype=np.uint8), self.base[1:-1]) if self.stages else []
        undone = [~np.isin(states, list(DONE)) for states in now]
        was_changed = np.split(np.frombuffer(self.changed, dtype=np.bool_), self.base[1:-1]) if self.stages else []
        for number, stage in enumerate(self.stages):
            mine = slice(self.base[number], self.base[number + 1])
            for edge in stage.edges:
                left, changed = undone[edge.upstream], was_changed[edge.upstream]
                if isinstance(edge, SharedEdge):
                    wait = SharedWait(
                        number, edge, int((left & edge.members).sum()), bool((changed & edge.members).any())
                    )
                    unmet[mine] += wait.left > 0
                    dirty[mine] |= wait.changed
                    self.shared[edge.upstream].append(wait)
                else:
                    unmet[mine] += edge.waiting_for(left.astype(np.int64)).astype(np.int32)
                    dirty[mine] |= edge.waiting_for(changed.astype(np.int64)) > 0
                    self._readers[edge.upstream].append((number, edge))
        return unmet, dirty

    def _settle(self) -> None:
        """Bring tasks that wait to where their upstream puts them."""
        for number in range(len(self.stages)):
            mine = self._state[self.base[number] : self.base[number + 1]]
            for position in np.flatnonzero(np.isin(mine, list(HALTED))).tolist():
                self._block_waiters(self.base[number] + position, number)
        for number in range(len(self.stages)):
            base, end = self.base[number], self.base[number + 1]
            free = base + np.flatnonzero((self._state[base:end] == _WAITING) & (self._unmet[base:end] == 0))
            skipped = free[self._skippable_array[free] & ~self._dirty[free]]
            for task in skipped.tolist():
                if self.state[task] == _WAITING:
                    self.finish(task, number, TaskState.SKIPPED, changed=False)
            # Skipping may have released others of this stage: those are in the queue already.
            self._make_all_ready(free[self._state[free] == _WAITING], number)

    def _make_all_ready(self, tasks: NDArray[np.int64], stage: int) -> None:
        """Queue many tasks of a stage at once."""
        if self.gatherings[stage] is not None:
            for task in tasks.tolist():
                self.make_ready(task, stage)
            return
        if not len(tasks):
            return
        for counts in (self.counts[stage], self.totals):
            counts[TaskState.WAITING] -= len(tasks)
            counts[TaskState.READY] += len(tasks)
        self._state[tasks] = TaskState.READY
        if self.traced:
            self.moved += [(task, TaskState.READY) for task in tasks.tolist()]
        if self.taken:
            back = self.taken.intersection(tasks.tolist())
            self.taken -= back
            tasks = tasks[~np.isin(tasks, list(back))]
        entries = np.frombuffer(self._priority, dtype=np.int64)[tasks] << _TASK_BITS | tasks
        # A sorted list is a heap.
        self.ready[stage][:] = sorted([*self.ready[stage], *entries.tolist()])
        self.touched.append(stage)


def _inherited(stage: Stage) -> bytes:
    return bytes(len(stage.states)) if stage.inherited is None else stage.inherited.tobytes()


def task_of(entry: int) -> int:
    """Return the task of an entry of a ready queue."""
    return entry & _TASK_MASK
