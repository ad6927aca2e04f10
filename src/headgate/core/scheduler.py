"""The scheduler: which task starts next, and what follows when one ends.

The driver's part of the bargain: save an event's effects in one transaction; only then carry them out; report every
outcome as an event; call back with `TimePassed` at `wake_at_ms`; after a crash submit the runs again with what is
recorded.
"""

from __future__ import annotations

from heapq import heappop, heappush
from typing import TYPE_CHECKING, assert_never

from headgate.core.admission import LaneQueue
from headgate.core.breakers import Breakers
from headgate.core.ceilings import Ceilings
from headgate.core.effects import (
    Effect,
    FinishRun,
    StartAttempt,
    Step,
    StopAttempt,
    YieldAttempt,
)
from headgate.core.events import (
    AttemptCancelled,
    AttemptFailed,
    AttemptReturned,
    AttemptSucceeded,
    AttemptYielded,
    BreakerReset,
    BreakerTripped,
    CancelRequested,
    ContinueRequested,
    Control,
    DrainRequested,
    Ended,
    Event,
    Lane,
    PauseRequested,
    PoolResized,
    RetryRequested,
    RunLimited,
    RunPrioritized,
    RunReordered,
    RunSubmitted,
    SlotsOffered,
    TimePassed,
)
from headgate.core.in_all import InAll
from headgate.core.limit import PoolLimit
from headgate.core.overlaps import Overlaps
from headgate.core.queues import release
from headgate.core.ranged import RangedAttempt
from headgate.core.submission import Submissions
from headgate.errors import InternalError
from headgate.model.policy import BACKFILL, FRESH, MAINTENANCE
from headgate.model.run import ErrorClass, RunState, TaskState

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from headgate.core.breaker import Breaker
    from headgate.core.live_run import LiveRun
    from headgate.core.queues import StageQueue
    from headgate.model.breaker import BreakerRecord
    from headgate.model.policy import BreakerPolicy, Pool, ServiceClass

# A name of a module is found in a tenth of the time that a member of an enum takes.
_RUNNING = TaskState.RUNNING
_SUCCEEDED = TaskState.SUCCEEDED

LEARNED = 0.1
"""How much the latest duration of a stage weighs in what its attempts are expected to take."""


class Scheduler:
    """All live runs, and what their attempts share.

    Args:
        classes: The service classes.
        pools: The pools, by name.
        total: How many attempts may run at a time; None for no bound.
        owner_weights: Shares of owners; 1 for who is not named.
        breakers: How breakers stood, as far as that is known.
        traced: Whether steps tell the transitions.
    """

    def __init__(
        self,
        classes: Sequence[ServiceClass] = (FRESH, BACKFILL, MAINTENANCE),
        pools: Mapping[str, Pool] | None = None,
        *,
        total: int | None = None,
        owner_weights: Mapping[str, float] | None = None,
        breakers: Iterable[BreakerRecord] = (),
        traced: bool = False,
    ) -> None:
        self.classes = tuple(classes)
        self.runs: dict[str, LiveRun] = {}
        self._ceilings = Ceilings(self.classes)
        self.in_all = InAll(total, self.classes, self._ceilings)
        self.lanes = {lane: LaneQueue(lane, self.classes, self.in_all) for lane in Lane}
        self.in_all.lanes = tuple(self.lanes.values())
        self.pools = {name: PoolLimit(name, pool.slots) for name, pool in (pools or {}).items()}
        self.total = total
        self.used = 0
        self._traced = traced
        self._now_ms = 0
        self.overlaps = Overlaps(self.runs)
        self.due: list[tuple[int, int, str, int]] = []
        """What happens by itself: when, in which order it was set, run and task; a breaker has the task -1."""
        self._set = 0
        self._n_ranged = 0
        self._impatient_at_ms: int | None = None
        self._can_yield = False
        self._breakers = Breakers(breakers, lambda due_ms, name: self._at(due_ms, name, -1))
        self.breakers = self._breakers.by_name
        for name, pool in (pools or {}).items():
            self._breakers.add(f"pool:{name}", pool.breaker)
        self._submissions = Submissions(self.lanes, self.pools, self._breakers, owner_weights or {}, traced=traced)
        self.datasets = self._submissions.datasets

    def handle(self, event: Event, now_ms: int) -> Step:
        """Take one event and return what follows from it.

        Args:
            event: What happened.
            now_ms: UTC milliseconds. A clock that was set back stands still until it has caught up.

        Raises:
            InternalError: The event cannot happen in the present state.
        """
        self._now_ms = now_ms = max(now_ms, self._now_ms)
        effects: list[Effect] = []
        if self.due and self.due[0][0] <= now_ms:
            self._elapse(now_ms, effects)
        if self._ceilings.turn(now_ms):
            for lane_queue in self.lanes.values():
                lane_queue.offer(lane_queue.free, lane_queue.slots, lane_queue.depth, self._ceilings.shares)
        live: LiveRun | None = None
        match event:
            case AttemptSucceeded():  # Names for its parts would cost more than all the rest of the match.
                live, stage, breakers = self._ended(event)
                live.tasks.finish(event.task, stage.number, _SUCCEEDED, changed=event.changed)
                self._breakers.succeeded(breakers, (event.run, event.task))
                if stage.parked:
                    stage.unpark()
            case SlotsOffered(lane, free, slots, depth):
                self.lanes[lane].offer(free, slots, depth, self._ceilings.shares)
            case AttemptFailed(_, task, error_class):
                live, stage, breakers = self._ended(event)
                self._fail(live, stage, task, error_class, breakers)
            case AttemptReturned(run, task) | AttemptCancelled(run, task):
                # One that was stopped without a cancel of its run makes room for another run.
                live, stage, breakers = self._ended(event)
                live.tasks.tries[task] -= 1
                self._breakers.gave_up(breakers, (run, task))
                live.again(stage, task)
            case AttemptYielded(run, task):
                live, stage, breakers = self._ended(event)
                live.tasks.tries[task] -= 1
                self._breakers.succeeded(breakers, (run, task))
                live.again(stage, task)
            case TimePassed():
                pass
            case _:
                live = self._obey(event, effects)
        if self._breakers.changed:
            effects += self._breakers.take_changes()
        if live is not None:
            self._settle(live, effects)
        if self.overlaps:
            self._settle_overlaps(effects)
        self._start(effects)
        if self._can_yield:
            self._ask_to_yield(effects)
        moved = [one for run in self.runs.values() for one in run.take_transitions()] if self._traced else []
        return Step(moved, effects, self._wake_at_ms())

    def _obey(self, event: Control, effects: list[Effect]) -> LiveRun | None:
        """Do what a person asks for; return the run that it is about."""
        live: LiveRun | None = None
        match event:
            case RunSubmitted():
                live = self._submit(event)
                effects += [StopAttempt(*task) for task in self.overlaps.submit(live, event)]
            case DrainRequested(run):
                live = self._live(run)
                live.closing = live.closing or RunState.INTERRUPTED
            case CancelRequested(run):
                live = self._live(run)
                effects += [StopAttempt(live.id, task) for task in live.cancel()]
            case PauseRequested(run):
                live = self._live(run)
                live.is_paused = True
            case ContinueRequested(run):
                live = self._live(run)
                live.is_paused = False
                live.wake()
            case RetryRequested(run, made):
                live = self._live(run)
                if live.closing is not RunState.CANCELLED and not live.finished:
                    self.overlaps.revived(live, live.tasks.revive(made))
            case RunLimited(run, concurrency):
                live = self._live(run)
                live.concurrency = concurrency
                live.wake()
            case RunPrioritized(run, priority):
                live = self._live(run)
                live.requeue(priority)
            case RunReordered(run, priorities):
                live = self._live(run)
                live.tasks.reorder(priorities)
            case PoolResized(pool, slots):
                self.pools[pool].capacity = slots
                release(self.pools[pool])
            case BreakerTripped(breaker):
                self._breakers.trip(breaker, self._now_ms)
            case BreakerReset(breaker):
                self._breakers.reset(breaker)
            case _:
                assert_never(event)
        return live

    def forget(self, run: str) -> None:
        """Drop a run that has finished, once its end is recorded."""
        del self.runs[run]

    def add_breaker(self, name: str, policy: BreakerPolicy) -> None:
        """Let the breaker of a dataset be known that no live run has; one that is known gets the policy."""
        self._breakers.add(name, policy)

    def window_of(self, service_class: str) -> tuple[float, int | None]:
        """Return the ceiling that the time windows of a class set now, and until when."""
        return self._ceilings.windows[service_class]

    def _live(self, run: str) -> LiveRun:
        live = self.runs.get(run)
        if live is None:
            raise InternalError(f"run {run} is not live")
        return live

    def _submit(self, event: RunSubmitted) -> LiveRun:
        if event.run in self.runs:
            raise InternalError(f"run {event.run} was submitted while it was live")
        live = self.runs[event.run] = self._submissions.take(event)
        self._can_yield = self._can_yield or any(stage.can_yield for stage in event.stages)
        return live

    # Ends of attempts

    def _ended(self, event: Ended) -> tuple[LiveRun, StageQueue, Sequence[Breaker]]:
        """Take back what a running attempt held; return its run, its stage, and the breakers to be told.

        A ranged attempt tells them itself, once all of it has ended: for one of its tasks there are none to be told.
        """
        run, task = event.run, event.task
        live = self._live(run)
        state = live.tasks.state[task]
        if state != _RUNNING:
            raise InternalError(
                f"an attempt of task {task} in run {run} ended, but the task is {TaskState(state).name}"
            )
        stage = live.stages[live.tasks.stage_of(task)[0]]
        ranged = live.ranged.pop(task, None) if live.ranged else None
        if ranged is None:
            self._give_back(live, stage, task, has_run=not isinstance(event, AttemptReturned))
            return live, stage, stage.breakers
        ranged.note(event)
        if not ranged.left:
            self._give_back(live, stage, ranged.key, has_run=ranged.has_run)
            self._breakers.ranged_ended(stage.breakers, (run, ranged.key), ranged, self._now_ms)
        return live, stage, ()

    def _give_back(self, live: LiveRun, stage: StageQueue, task: int, *, has_run: bool) -> None:
        stage.dataset.used -= 1
        if stage.dataset.held:
            release(stage.dataset)
        for pool, slots in stage.pools:
            pool.used -= slots
            if pool.held:
                release(pool)
        class_queue = stage.line.owner.class_queue
        class_queue.used -= 1
        if stage.stage.can_yield:
            self.lanes[stage.stage.lane].ended(class_queue, (live.id, task))
        live.used -= 1
        self.used -= 1
        elapsed_ms = self._now_ms - live.started_ms.pop(task)
        if has_run:
            stage.typical_ms += LEARNED * (max(1, elapsed_ms) - stage.typical_ms)
        else:
            stage.attempts -= 1
        if live.concurrency is not None:
            live.wake()

    def _fail(
        self, live: LiveRun, stage: StageQueue, task: int, error_class: ErrorClass, breakers: Sequence[Breaker]
    ) -> None:
        if breakers:
            policy = stage.stage.retry
            is_last = error_class not in policy.on or live.tasks.tries[task] >= policy.attempts
            self._breakers.failed(breakers, (live.id, task), error_class, self._now_ms, is_last=is_last)
            due_ms = live.fail(stage, task, error_class, self._now_ms, is_last=is_last)
        else:
            due_ms = live.fail_ranged(stage, task, self._now_ms)
        if due_ms is not None:
            self._at(due_ms, live.id, task)

    # Time

    def _at(self, due_ms: int, name: str, task: int) -> None:
        self._set += 1
        heappush(self.due, (due_ms, self._set, name, task))

    def _elapse(self, now_ms: int, effects: list[Effect]) -> None:
        while self.due and self.due[0][0] <= now_ms:
            due_ms, _, name, task = heappop(self.due)
            if task < 0:
                self._breakers.elapse(name, now_ms)
                continue
            live = self.runs.get(name)
            # The run may have been cancelled since, or submitted anew.
            if live is not None and not live.finished and live.due_ms.get(task) == due_ms:
                del live.due_ms[task]
                live.tasks.make_ready(task, live.tasks.stage_of(task)[0])
                self._settle(live, effects)

    def _wake_at_ms(self) -> int | None:
        due_ms = self.due[0][0] if self.due else None
        if self._impatient_at_ms is not None:
            due_ms = self._impatient_at_ms if due_ms is None else min(self._impatient_at_ms, due_ms)
        until_ms = self._ceilings.until_ms
        if until_ms is None or not self.runs:
            return due_ms
        return until_ms if due_ms is None else min(due_ms, until_ms)

    # Starting and ending

    def _start(self, effects: list[Effect]) -> None:
        for lane in self.lanes.values():
            while lane.free > 0 and (self.total is None or self.used < self.total):
                chosen = lane.first()
                if chosen is None:
                    break
                queue, _, line, stage = chosen
                lane.charge(chosen)
                live, tasks = line.run, line.pop(stage)
                key, lead = tasks[0], None
                if len(tasks) > 1:
                    self._n_ranged += 1
                    lead, key = key, -self._n_ranged
                    ranged = RangedAttempt(key, len(tasks))
                    live.ranged.update(dict.fromkeys(tasks, ranged))
                stage.attempts += 1
                live.used += 1
                self.used += 1
                live.started_ms[key] = self._now_ms
                if stage.stage.can_yield:
                    queue.yielding[live.id, key] = None
                stage.dataset.used += 1
                for pool, slots in stage.pools:
                    pool.used += slots
                for breaker in stage.breakers:
                    if breaker.is_probing():
                        breaker.probe = (live.id, key)
                number, table = stage.number, live.tasks
                for task in tasks:
                    table.move(task, number, _RUNNING)
                    table.tries[task] += 1
                    position = task - table.base[number]
                    effects.append(StartAttempt(live.id, task, number, position, table.tries[task], queue.spread, lead))

    def _ask_to_yield(self, effects: list[Effect]) -> None:
        """Ask attempts to make room for classes that have lost their patience."""
        self._impatient_at_ms = None
        for lane in self.lanes.values():
            if any(queue.yielding for queue in lane.classes):
                asked, due_ms = lane.impatient(self._now_ms)
                effects += [YieldAttempt(run, task) for run, task in asked]
                if due_ms is not None:
                    self._impatient_at_ms = min(due_ms, self._impatient_at_ms or due_ms)

    def _settle_overlaps(self, effects: list[Effect]) -> None:
        """Let go on what waited for other runs, and what waited for that."""
        while changed := self.overlaps.settle():
            for live in changed:
                self._settle(live, effects)

    def _settle(self, live: LiveRun, effects: list[Effect]) -> None:
        """Queue what became ready in a run, and report its end."""
        table = live.tasks
        is_running = table.totals[_RUNNING] > 0
        if not is_running and live.closing is None and not live.finished:
            live.settle_parked()
        if table.touched:
            for number in table.touched:
                live.stages[number].enlist()
            table.touched.clear()
        if is_running or live.finished:
            return
        state = live.end()
        if state is not None:
            live.finished = True
            effects.append(FinishRun(live.id, state))
