"""Watches a scheduler from outside: counts for itself what is started and what ends, and says what must not be."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from headgate.core.backoff import backoff_ms
from headgate.core.effects import FinishRun, SaveBreaker, StartAttempt, StopAttempt
from headgate.core.events import (
    AttemptCancelled,
    AttemptFailed,
    AttemptReturned,
    AttemptSucceeded,
    AttemptYielded,
    CancelRequested,
    ContinueRequested,
    PauseRequested,
    PoolResized,
    RetryRequested,
    RunLimited,
    RunSubmitted,
    SlotsOffered,
)
from headgate.core.invariants import unlawful_starts, violations
from headgate.core.reasons import delays
from headgate.core.states import HALTED, MOVES
from headgate.drivers.faulty.expected import unexpected
from headgate.drivers.faulty.flights import Flights
from headgate.drivers.faulty.floors import Floors, startable
from headgate.drivers.faulty.lines import Lines
from headgate.drivers.faulty.violation import Violation
from headgate.model.breaker import BreakerState
from headgate.model.reason import Wait
from headgate.model.run import ErrorClass, RunState, TaskState

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headgate.core.effects import Step
    from headgate.core.events import Event
    from headgate.core.scheduler import Scheduler
    from headgate.drivers.faulty.flights import Key
    from headgate.drivers.faulty.luck import Luck
    from headgate.drivers.faulty.scene import Scene
    from headgate.model.breaker import BreakerRecord

_SEEN = {
    Wait.POOL: "pool full",
    Wait.DATASET: "dataset full",
    Wait.RUN: "run at its limit",
    Wait.CEILING: "class at its ceiling",
    Wait.TOTAL: "total reached",
    Wait.RESERVED: "slots kept free for a higher class",
    Wait.SLOTS: "slots all taken",
    Wait.OTHER_RUN: "waits for another run",
    Wait.NEIGHBOURS: "waits for its neighbours",
}
_LEFT = (TaskState.WAITING, TaskState.READY, TaskState.BACKING_OFF)


class Watch:
    """What one scheduler has done, counted from its events and effects alone.

    Args:
        scene: The rules.
        scheduler: Who is watched.
        luck: Where to count what was seen.
        breakers: How breakers stood when it began.
    """

    def __init__(self, scene: Scene, scheduler: Scheduler, luck: Luck, breakers: Mapping[str, BreakerRecord]) -> None:
        self._scene = scene
        self._scheduler = scheduler
        self._luck = luck
        self._floors = Floors(scheduler)
        self._classes = {one.name: one for one in scene.classes}
        self._breakers = {name: record.state for name, record in breakers.items()}
        self._opened: Counter[str] = Counter()
        self._paused: set[str] = set()
        self._states: dict[str, list[TaskState]] = {}
        self._changed: dict[str, list[bool]] = {}
        self._flights = Flights(scene, luck)
        self._lines = Lines(scene, luck, self._states)
        self._tries: dict[Key, int] = {}
        self._not_before_ms: dict[Key, int] = {}
        self._given_back: set[Key] = set()
        self._was_ranged = False
        self._attempts: Counter[Key] = Counter()
        """By run and stage, as are retries, for the budget of retries."""
        self._retries: Counter[Key] = Counter()
        self._at_window: set[str] = set()
        self._now_ms = 0

    def after(self, event: Event, step: Step, now_ms: int) -> None:
        """Look at a step. Raises `Violation` if it must not be."""
        self._now_ms = max(self._now_ms, now_ms)
        self._ended(event)
        self._told(event)
        for run, task, state in step.transitions:
            self._moved(event, run, task, state)
        for effect in step.effects:
            match effect:
                case SaveBreaker(record):
                    self._saved(record)
                case StartAttempt():
                    self._started(effect)
                case StopAttempt(run, task):
                    self._lines.stops((run, task))
                case FinishRun(run, end):
                    self._finished(run, end)
        self._failed(event, step)
        self._lines.after(event)
        behind = self._floors.after(step)
        if behind:
            raise Violation("; ".join(behind))
        if isinstance(event, SlotsOffered) and not event.free and not step.effects:
            return  # Nothing was changed but what is on offer, and the next event looks at that.
        found = [*violations(self._scheduler), *unlawful_starts(self._scheduler, step), *self._overtaken(step)]
        if found:
            raise Violation("; ".join(found))

    def look(self, breakers: Mapping[str, BreakerRecord]) -> None:
        """Check after a commit that breakers are recorded as they stand, and that what waits has one reason each."""
        for name, breaker in self._scheduler.breakers.items():
            record = breakers.get(name)
            if breaker.state is not (record.state if record else BreakerState.CLOSED):
                raise Violation(f"breaker {name} is {breaker.state}, and is recorded as {record}")
        windows = set()
        for run, live in self._scheduler.runs.items():
            if live.finished:
                continue
            counted = 0
            for delay in delays(self._scheduler, run):
                counted += delay.tasks
                if delay.wait in _SEEN:
                    self._luck.note(_SEEN[delay.wait])
                if delay.wait is Wait.WINDOW:
                    windows.add(run)
                    name = live.service_class
                    if any(flight.service_class.name == name for flight in self._flights.of_task.values()):
                        self._luck.note("window closed while something ran")
            if counted != live.tasks.total(*_LEFT):
                raise Violation(f"run {run}: {counted} tasks have a reason to wait, {live.tasks.total(*_LEFT)} wait")
        for run in self._at_window - windows:
            if any(flying == run for flying, _ in self._flights.of_task):
                self._luck.note("window opened for who waited")
        self._at_window = windows

    def at_end(self) -> None:
        """Check that nothing is held any more once every run has ended."""
        limits = (*self._scheduler.pools.values(), *self._scheduler.datasets.values())
        used = [(limit.name, limit.used) for limit in limits if limit.used]
        used += [(lane.lane, lane.used()) for lane in self._scheduler.lanes.values() if lane.used()]
        if used or self._scheduler.used:
            raise Violation(f"all has ended, and slots are taken: {used}, {self._scheduler.used} in all")

    def _ended(self, event: Event) -> None:
        """Take an attempt that ended off the list, and what it cost."""
        match event:
            case AttemptSucceeded() | AttemptFailed() | AttemptReturned() | AttemptYielded() | AttemptCancelled():
                key = (event.run, event.task)
                flight = self._flights.ended(event)
                self._lines.ended(event)
                self._was_ranged = flight.count > 1
                fate = self._scene.fates[self._scene.requests[event.run].partition(event.task)]
                error = event.error_class if isinstance(event, AttemptFailed) else None
                if error not in (None, fate.error) and not self._was_ranged:
                    self._luck.unlucky.add(key)
                if isinstance(event, AttemptReturned | AttemptYielded):
                    self._given_back.add(key)
                was_given_back = isinstance(event, AttemptReturned | AttemptYielded)
                if was_given_back or self._lines.is_stopped_for_other(event) or (error and self._was_ranged):
                    self._tries[key] -= 1
                if flight.returned == flight.count == flight.ended:
                    self._attempts[event.run, self._stage(*key)] -= 1
            case _:
                pass

    def _told(self, event: Event) -> None:
        match event:
            case RunSubmitted():
                self._flights.submitted(event.run, event.concurrency)
                if any(TaskState.BLOCKED in one.states for one in event.stages):
                    self._luck.note("blocked by the plan")
                self._states[event.run] = [TaskState(s) for one in event.stages for s in one.states.tolist()]
                self._changed[event.run] = [bool(c) for one in event.stages for c in one.changed.tolist()]
                self._paused.discard(event.run)
                self._lines.submitted(event.run)
                for table in (self._tries, self._not_before_ms, self._attempts, self._retries):
                    for key in [key for key in table if key[0] == event.run]:
                        del table[key]
            case AttemptSucceeded(run, task, changed):
                self._changed[run][task] = changed or self._lines.inherits_change((run, task))
            case CancelRequested(run):
                self._lines.cancelled(run)
            case PauseRequested(run):
                self._paused.add(run)
            case ContinueRequested(run):
                self._paused.discard(run)
            case RunLimited(run, concurrency):
                self._flights.limits[run] = concurrency
            case PoolResized(pool, slots):
                self._flights.pools[pool] = slots
            case _:
                pass

    def _moved(self, event: Event, run: str, task: int, state: TaskState) -> None:
        before = self._states[run][task]
        revived = isinstance(event, RetryRequested) and before in HALTED and state is TaskState.WAITING
        if revived:
            self._tries[run, task] = 0
            self._lines.revived((run, task))
        elif state not in MOVES[before]:
            raise Violation(f"task {task} of run {run} went from {before.name} to {state.name}")
        self._states[run][task] = state
        match before, state:
            case _, TaskState.SKIPPED:
                taken = self._lines.taken((run, task))
                if taken is not None:
                    self._changed[run][task] = taken.changed
                self._luck.note("skipped")
            case _, TaskState.BLOCKED:
                self._luck.note("blocked")
            case TaskState.BACKING_OFF, TaskState.FAILED:
                if (run, task) in self._not_before_ms:
                    raise Violation(f"task {task} of run {run} was given up while it backed off")
                self._luck.note("parked then given up")
            case TaskState.BACKING_OFF, TaskState.WAITING:
                self._not_before_ms.pop((run, task), None)
            case TaskState.BACKING_OFF, TaskState.READY:
                timed = (run, task) in self._not_before_ms
                self._luck.note("backed off and tried again" if timed else "parked then let go")
                if not timed:
                    self._budget(run, task, is_granted=True)
            case TaskState.RUNNING, TaskState.BACKING_OFF | TaskState.READY:
                if (
                    isinstance(event, AttemptFailed)
                    and event.error_class is not ErrorClass.LOST
                    and not self._was_ranged
                ):
                    live = self._scheduler.runs[run]
                    # One that another run is to build first waits for that instead: whether it was granted is not seen.
                    is_timed = task in live.due_ms or (task in live.tasks.held and self._has_room(run, task))
                    self._budget(run, task, is_granted=is_timed or state is TaskState.READY)

    def _stage(self, run: str, task: int) -> int:
        return self._scene.requests[run].place(task)[0]

    def _budget(self, run: str, task: int, *, is_granted: bool) -> None:
        """Check that a retry was granted, or not, as the budget has room."""
        key = (run, self._stage(run, task))
        if is_granted != self._has_room(run, task):
            what = "was granted a retry" if is_granted else "was refused a retry"
            raise Violation(f"task {task} of run {run} {what}: {self._retries[key]} of {self._attempts[key]} attempts")
        self._retries[key] += is_granted

    def _has_room(self, run: str, task: int) -> bool:
        key = (run, self._stage(run, task))
        policy = self._scene.tables[self._scene.requests[run].parts[key[1]].table].retry
        return self._retries[key] < max(policy.budget_min, int(policy.budget * self._attempts[key]))

    def _saved(self, record: BreakerRecord) -> None:
        before = self._breakers.get(record.name, BreakerState.CLOSED)
        self._breakers[record.name] = record.state
        if record.state is BreakerState.OPEN and record.until_ms < self._now_ms:
            raise Violation(f"breaker {record.name} was opened until {record.until_ms}, which is past")
        if record.state is BreakerState.OPEN:
            self._opened[record.name] += 1
            self._luck.note("probe failed" if before is BreakerState.HALF_OPEN else "breaker opened")
        elif record.state is BreakerState.CLOSED and before is BreakerState.HALF_OPEN:
            self._luck.note("probe succeeded")

    def _started(self, start: StartAttempt) -> None:
        """Check a start against every limit, by own count."""
        key = (start.run, start.task)
        table = self._scene.tables[self._scene.requests[start.run].parts[start.stage].table]
        where = f"task {start.task} of run {start.run} was started"
        if key in self._flights.of_task:
            raise Violation(f"{where} while an attempt of it runs")
        self._tries[key] = self._tries.get(key, 0) + 1
        self._attempts[start.run, start.stage] += start.lead in (None, start.task)
        if start.number != self._tries[key] or start.number > table.retry.attempts:
            raise Violation(f"{where} as number {start.number}: it is {self._tries[key]} of {table.retry.attempts}")
        if self._now_ms < self._not_before_ms.pop(key, 0):
            raise Violation(f"{where} before it had backed off")
        if start.run in self._paused:
            raise Violation(f"{where} while the run is paused")
        names = {f"dataset:{table.name}", *(f"pool:{name}" for name, _ in table.pools)}
        states = {name: self._breakers.get(name, BreakerState.CLOSED) for name in sorted(names)}
        half_open = frozenset((name, self._opened[name]) for name, s in states.items() if s is BreakerState.HALF_OPEN)
        if BreakerState.OPEN in states.values():
            raise Violation(f"{where} while a breaker is open: {states}")
        self._flights.started(where, start, half_open, self._now_ms)
        self._lines.started(where, start)
        if key in self._given_back:
            self._given_back.discard(key)
            self._luck.note(
                "yielded and taken up again" if table.can_yield else "worker gave back what it had not begun"
            )

    def _finished(self, run: str, end: RunState) -> None:
        if any(flying == run for flying, _ in self._flights.of_task):
            raise Violation(f"run {run} has ended, and attempts of it run")
        if end is RunState.CANCELLED and not self._lines.is_cancelled(run):
            raise Violation(f"run {run} has ended as cancelled, and nobody asked for it")
        states = self._states[run]
        self._lines.finished(run)
        halted = any(state in HALTED for state in states)
        if end in (RunState.SUCCEEDED, RunState.FAILED):
            request = self._scene.requests[run]
            settled = self._lines.settled(run)
            found = unexpected(
                self._scene, request, states, self._changed[run], unlucky=self._luck.unlucky, settled=settled
            )
            if halted != (end is RunState.FAILED):
                found.append(f"run {run} is {end}")
            if found:
                raise Violation("; ".join(found))

    def _failed(self, event: Event, step: Step) -> None:
        """Check what a failure led to."""
        if not isinstance(event, AttemptFailed):
            return
        run, task, error = event
        key, state = (run, task), self._states[run][task]
        policy = self._scheduler.runs[run].tasks.stages[self._stage(run, task)].retry
        if self._was_ranged:
            self._luck.note("failed in a ranged attempt")
            if state is TaskState.FAILED:
                raise Violation(f"task {task} of run {run} failed in a ranged attempt, and was given up")
            if task in self._scheduler.runs[run].due_ms:
                self._not_before_ms[key] = self._now_ms + backoff_ms(policy, run, task, self._tries[key] + 1)
            return
        is_last = error not in policy.on or self._tries[key] >= policy.attempts
        passed = [moved.state for moved in step.transitions if moved[:2] == key]
        if state is TaskState.CANCELLED or passed[:2] == [TaskState.BACKING_OFF, TaskState.FAILED]:
            return
        if is_last != (state is TaskState.FAILED):
            raise Violation(f"task {task} of run {run} failed with {error}, number {self._tries[key]}: {state.name}")
        if is_last:
            self._luck.note("failed at once" if error not in policy.on else "failed after its last try")
        elif task in self._scheduler.runs[run].due_ms:
            wait_ms = backoff_ms(policy, run, task, self._tries[key])
            self._not_before_ms[key] = self._now_ms + wait_ms
        elif state is TaskState.BACKING_OFF:
            if error is ErrorClass.LOST:
                raise Violation(f"task {task} of run {run} waits for the retry budget because a worker died")
            self._luck.note("parked for the retry budget")

    def _overtaken(self, step: Step) -> list[str]:
        """Return which starts took what a higher class could have used, and no floor owed them."""
        found = []
        for start in [one for one in step.effects if isinstance(one, StartAttempt) and one.lead in (None, one.task)]:
            flight = self._flights.of_task.get((start.run, start.task))
            if flight is None:
                continue
            lane = self._scheduler.lanes[flight.table.lane]
            for live in self._scheduler.runs.values():
                higher = self._classes[live.service_class]
                if higher.priority <= flight.service_class.priority or not any(
                    startable(self._scheduler, lane.lane, live)
                ):
                    continue
                if not lane.leaves_reserved(lane.by_name[higher.name]):
                    continue
                if (start.run, start.task) in self._floors.owed:
                    self._luck.note("floor served before a higher class")
                else:
                    found.append(f"task {start.task} of run {start.run} was started before run {live.id}")
        return found
