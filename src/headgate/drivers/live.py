"""The live driver: one coordinator turns the scheduler's effects into durable attempts and published versions.

Each turn takes the outcomes that have arrived and, in ONE transaction of the state store, publishes what is good,
records what failed, and records the intents of what starts next. Orders go out only after that commit. While a commit
waits for the disk more outcomes arrive, so groups grow by themselves under load and stay small without it.
"""

from __future__ import annotations

import json
import secrets
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from headgate.core.effects import FinishRun, SaveBreaker, StartAttempt, StopAttempt, YieldAttempt
from headgate.core.events import (
    DrainRequested,
    Lane,
    PauseRequested,
    RunSubmitted,
    SlotsOffered,
    TimePassed,
)
from headgate.core.reasons import delays
from headgate.core.scheduler import Scheduler
from headgate.crashpoints import crash_point
from headgate.drivers.active import ActiveRun, Controls
from headgate.drivers.dispatch import Dispatcher
from headgate.drivers.outcomes import Recorder
from headgate.drivers.progress import held_back
from headgate.drivers.resume import RETRY, Recorded
from headgate.drivers.steering import Steering
from headgate.errors import UnavailableError
from headgate.model.run import Run, RunKind, RunState
from headgate.planning.codec import plan_hash, plan_to_json
from headgate.planning.stages import Terms, make_stages
from headgate.tables import layout
from headgate.worker.messages import Progressed, Staged

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from headgate.core.effects import Effect
    from headgate.core.events import Event
    from headgate.drivers.dispatch import InFlight
    from headgate.drivers.progress import Progress, RunSummary
    from headgate.drivers.world import World
    from headgate.executors.executor import Executor
    from headgate.model.plan import Plan
    from headgate.project.load import Project
    from headgate.store.store import Command, Store, Transaction
    from headgate.worker.messages import Order, Report

POLL_S = 0.1
COMPANY_S = 0.01
"""How long an outcome waits for others, so that one transaction publishes them all."""
COMMANDS_EVERY_S = 0.25
PROGRESS_EVERY_S = 0.1
LIVE_EVERY_S = 1.0


def now_ms() -> int:
    """Return the wall clock as UTC milliseconds; used for records, never for durations."""
    return time.time_ns() // 1_000_000


def new_run_id(at_ms: int) -> str:
    """Return an id that sorts by time and is safe in paths."""
    return f"{datetime.fromtimestamp(at_ms / 1000, UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"


def new_run(plan: Plan, state: RunState, *, reason: str, author: str, service_class: str) -> Run:
    """Return a run of a plan, created now."""
    at, text = now_ms(), plan_to_json(plan)
    return Run(
        new_run_id(at),
        RunKind.BACKFILL,
        state,
        reason,
        author,
        text,
        plan_hash(text),
        at,
        None,
        service_class,
    )


class Coordinator:
    """Runs runs to their ends. Pre: the caller leads the state store and has taken over.

    Args:
        project: The user's project.
        store: The state store.
        executor: Where attempts run; the caller closes it.
        author: Who asked, for the journal.
        on_progress: Called with the progress of the first run about ten times a second, and once at its end.
        on_end: Called with how the first run ended, and how many others go on here, if there are any.
        take_up: Called when a run is handed over: looks at the world and calls `go_on`, or refuses it.
    """

    def __init__(
        self,
        project: Project,
        store: Store,
        executor: Executor,
        *,
        author: str,
        on_progress: Callable[[Progress], None] | None = None,
        on_end: Callable[[RunSummary, int], None] | None = None,
        take_up: Callable[[Command], None] | None = None,
    ) -> None:
        self._project = project
        self._store = store
        self._executor = executor
        self._author = author
        self._on_progress = on_progress
        self._on_end = on_end
        self._take_up = take_up
        policies = project.policies
        self.scheduler = Scheduler(
            tuple(policies.classes.values()),
            policies.pools,
            total=policies.total,
            owner_weights=policies.owner_weights,
            breakers=store.breakers(),
        )
        self._runs: dict[str, ActiveRun] = {}
        self._first: ActiveRun | None = None
        self._in_flight: dict[int, InFlight] = {}
        self._recorder = Recorder(self._runs, self._in_flight, project.paths.data, author=author, handle=self._handle)
        self._steering = Steering(
            project, self.scheduler, self._runs, handle=self._handle, next_id=lambda: self._next_id
        )
        self._next_id = 0
        self._wake_at_ms: int | None = None
        self._with_directories: set[str] = set()
        """Runs whose directories exist."""
        self._todo: list[Effect] = []
        self._has_begun = False
        """Whether a run was taken up that nothing has been offered to yet."""
        self._drain = self._drain_told = False
        self._commands_s = self._progress_s = self._live_s = time.monotonic()
        self._said: dict[str, str] = {}

    def submit(self, world: World, plan: Plan, *, reason: str, service_class: str = "backfill") -> str:
        """Record a new run; return its id. `drive` starts it."""
        run = new_run(plan, RunState.RUNNING, reason=reason, author=self._author, service_class=service_class)
        with self._store.transaction() as tx:
            tx.observe(world.observations, author=self._author, now_ms=run.created_ms)
            tx.add_run(run)
        self._begin(run, world, Recorded.fresh(plan))
        return run.id

    def go_on(
        self,
        run: Run,
        world: World,
        recorded: Recorded,
        *,
        retry: bool,
        reason: str,
        expected: frozenset[RunState] | None = None,
    ) -> None:
        """Record that a run goes on, and that failures so far do not count if it is a retry. `drive` starts it.

        Nothing happens if it is in another state by now than `expected`: somebody may have cancelled it.
        """
        at = now_ms()
        with self._store.transaction() as tx:
            tx.observe(world.observations, author=self._author, now_ms=at)
            if not tx.set_run_state(
                run.id, RunState.RUNNING, author=self._author, reason=reason, now_ms=at, expected=expected
            ):
                return
            # Its controls may have been changed while the world was looked at.
            run = self._store.run(run.id) or run
            if retry:
                body: dict[str, object] = {"first": self._store.next_id()}
                tx.journal(RETRY, author=self._author, run=run.id, reason=reason, body=body, now_ms=at)
        self._begin(run, world, recorded)

    def drain(self) -> None:
        """Start nothing more and let what runs end. Safe in a signal handler."""
        self._drain = True
        self._executor.wake()

    def drive(self) -> RunSummary:
        """Drive until every run in hand has ended, or has drained; return how the first one ended.

        Raises:
            UnavailableError: The state store failed, or no worker can start; what was committed stands, and the runs
                can be resumed.
        """
        assert self._first is not None
        self._turn([])
        while self._runs:
            self._turn(self._gather())
        if self._on_progress is not None:
            self._on_progress(self._first.progress())
        return self._first.summary()

    def _begin(self, run: Run, world: World, recorded: Recorded) -> None:
        project, plan, snapshot = self._project, recorded.plan, world.snapshot
        self._next_id = self._store.next_id()  # New versions of sources have numbers too.
        controls = Controls.from_json(run.controls)
        effective = {
            part.name: project.policies.effective(project.datasets[part.name], run.service_class, run.author)
            for part in plan.datasets
        }
        order = controls.order or project.policies.order
        terms = Terms(effective, order, {name: known for name in effective if (known := self._typical_ms(name))})
        stages = make_stages(plan, snapshot, recorded.states, terms)
        concurrency = next((one.run_concurrency for one in effective.values()), None)
        dispatcher = Dispatcher(project, snapshot, plan, run, tried=recorded.tried, published=self._recorder.published)
        self._todo += self._handle(
            RunSubmitted(
                run.id, stages, run.service_class, run.author, controls.priority, controls.concurrency or concurrency
            )
        )
        active = ActiveRun(
            run,
            plan,
            snapshot,
            dispatcher,
            self.scheduler.runs[run.id].tasks,
            controls,
            dict(recorded.unchanged),
            concurrency,
        )
        active.ended_before = active.progress().ended
        self._runs[run.id] = active
        self._first = self._first or active
        self._has_begun = True
        if controls.is_paused:
            self._todo += self._handle(PauseRequested(run.id))

    def _typical_ms(self, dataset: str) -> float | None:
        known = [elapsed_ms for elapsed_ms, _ in self._store.durations(dataset)]
        return max(1.0, median(known)) if known else None

    def _gather(self) -> list[Report]:
        """Return the outcomes for the next turn: the first to arrive and, while workers stay busy, its company.

        Each commit makes the disk wait, for the workers too, so a few larger ones are better than many small ones.
        """
        wait_s = 0.0 if self._has_begun or self._todo else POLL_S
        if self._wake_at_ms is not None:
            wait_s = min(wait_s, max(0.0, (self._wake_at_ms - now_ms()) / 1000))
        outcomes = self._executor.poll(wait_s)
        until_s = time.monotonic() + COMPANY_S
        while 0 < 2 * len(outcomes) < len(self._in_flight) and (left_s := until_s - time.monotonic()) > 0:
            try:
                outcomes += self._executor.poll(left_s)
            except UnavailableError:
                # What has arrived is recorded first; the next poll says it again.
                break
        return outcomes

    def _turn(self, outcomes: Sequence[Report]) -> None:
        """Take outcomes in and let what follows begin: one transaction, then the orders."""
        todo, self._todo = self._todo, []
        self._has_begun = False
        if self._drain and not self._drain_told:
            self._drain_told = True
            for run in self._runs.values():
                run.is_draining = True
                todo += self._handle(DrainRequested(run.run.id))
        look_for_commands = time.monotonic() - self._commands_s >= COMMANDS_EVERY_S
        offers = self._offers()
        if not outcomes and not look_for_commands:
            for event in offers:
                todo += self._handle(event)
            if not todo:
                self._report()
                return
            offers = []
        layout.fsync_directories({Path(path).parent for outcome in outcomes for path in _staged_by(outcome)})
        submitted: list[Command] = []
        crash_point("coordinator.before_publish")
        with self._store.transaction() as tx:
            todo += self._recorder.absorb(tx, outcomes, now_ms())
            if look_for_commands:
                self._commands_s = time.monotonic()
                effects, submitted = self._steering.obey(tx, now_ms())
                todo += effects
            for event in offers:
                todo += self._handle(event)
            orders = self._carry_out(tx, todo)
            self._tell(tx)
        self._recorder.check_lead()
        crash_point("coordinator.after_publish" if outcomes else "coordinator.after_intents")
        for outcome in outcomes:
            if isinstance(outcome, Progressed):
                crash_point("coordinator.after_batch")
        self._executor.submit(*orders)
        for effect in todo:
            if isinstance(effect, StopAttempt):
                for attempt in self._running(effect.run, effect.task):
                    self._executor.cancel(attempt)
            elif isinstance(effect, YieldAttempt):
                for attempt in self._running(effect.run, effect.task):
                    self._executor.ask_to_yield(attempt)
        self._report()
        self._forget()
        if self._take_up is not None and not self._drain:
            for command in submitted:
                self._take_up(command)

    def _offers(self) -> list[Event]:
        """Return what time and the executor have to offer.

        In the end nothing is left on offer: what falls due in the next turn, before the executor was asked again,
        would start in slots that may be taken by then.
        """
        capacity = self._executor.capacity()
        rooms = ((Lane.PROCESS, capacity.process), (Lane.IO, capacity.io))
        offers: list[Event] = [SlotsOffered(lane, room.free, room.slots, room.depth) for lane, room in rooms]
        if self._wake_at_ms is not None and self._wake_at_ms <= now_ms():
            offers.append(TimePassed())
        return offers + [SlotsOffered(lane, 0, room.slots, room.depth) for lane, room in rooms]

    def _handle(self, event: Event) -> list[Effect]:
        step = self.scheduler.handle(event, now_ms())
        self._wake_at_ms = step.wake_at_ms
        return step.effects

    def _carry_out(self, tx: Transaction, effects: Sequence[Effect]) -> list[Order]:
        """Record what the effects intend; return the orders to send once that is durable."""
        starts = [effect for effect in effects if isinstance(effect, StartAttempt)]
        orders = self._intend(tx, starts) if starts else []
        breakers = {effect.breaker.name: effect.breaker for effect in effects if isinstance(effect, SaveBreaker)}
        if breakers:
            tx.save_breakers(list(breakers.values()))
        for effect in effects:
            if isinstance(effect, FinishRun):
                crash_point("coordinator.before_finish")
                self._finish(tx, effect)
        return orders

    def _finish(self, tx: Transaction, effect: FinishRun) -> None:
        run = self._runs[effect.run]
        author, reason = self._author, ""
        if run.cancel is not None:
            author, reason = run.cancel.author, run.cancel.reason
            tx.settle_commands([(run.cancel.id, "")])
        tx.set_run_state(effect.run, effect.state, author=author, reason=reason, now_ms=now_ms())
        tx.clear_live(effect.run)
        run.ended = effect.state
        run.ended_s = time.monotonic()

    def _intend(self, tx: Transaction, starts: Sequence[StartAttempt]) -> list[Order]:
        crash_point("coordinator.before_intents")
        by_run: dict[str, list[StartAttempt]] = {}
        for start in starts:
            by_run.setdefault(start.run, []).append(start)
        orders: list[Order] = []
        flights: list[InFlight] = []
        for run_id, mine in by_run.items():
            dispatcher = self._runs[run_id].dispatcher
            for flight, order in dispatcher.prepare(tx, mine, first_id=self._next_id, now_ms=now_ms()):
                flights.append(flight)
                orders.append(order)
            self._next_id += len(mine)
        if not by_run.keys() <= self._with_directories:
            self._make_directories(by_run.keys() - self._with_directories)
        tx.start_attempts([flight.attempt for flight in flights])
        for flight in flights:
            self._in_flight[flight.attempt.id] = flight
        return orders

    def _make_directories(self, runs: Collection[str]) -> None:
        """Make the directories of all datasets of runs at once: each flush of a directory makes the disk wait."""
        wanted = [(part.name, run) for run in runs for part in self._runs[run].plan.datasets]
        layout.make_directories(self._project.paths.data, [layout.stage_path(name, run, "", 0) for name, run in wanted])
        self._with_directories |= set(runs)

    def _running(self, run: str, task: int) -> list[int]:
        """Return the attempt of a task that is in flight, if there is one."""
        return [
            attempt
            for attempt, flight in self._in_flight.items()
            if (flight.attempt.run, flight.start.task) == (run, task)
        ]

    def _tell(self, tx: Transaction) -> None:
        """Leave why tasks wait where other processes find it, about once a second."""
        if time.monotonic() - self._live_s < LIVE_EVERY_S:
            return
        self._live_s = time.monotonic()
        for run in self._runs.values():
            if run.ended is not None:
                continue
            body = json.dumps(
                [
                    [run.plan.datasets[delay.stage].name, delay.wait.name, delay.tasks, delay.what, delay.until_ms]
                    for delay in delays(self.scheduler, run.run.id)
                ]
            )
            if self._said.get(run.run.id) != body:
                self._said[run.run.id] = body
                tx.put_live(run.run.id, body, now_ms())

    def _forget(self) -> None:
        """Let go of runs whose end is recorded."""
        for run_id in [run_id for run_id, run in self._runs.items() if run.ended is not None]:
            self.scheduler.forget(run_id)
            if self._runs[run_id] is self._first and len(self._runs) > 1 and self._on_end is not None:
                self._on_end(self._first.summary(), len(self._runs) - 1)
            del self._runs[run_id]
            self._with_directories.discard(run_id)
            self._said.pop(run_id, None)

    def _report(self) -> None:
        """Tell how far the first run is, but not too often."""
        if self._on_progress is None or self._first is None or self._first.ended is not None:
            return
        if time.monotonic() - self._progress_s >= PROGRESS_EVERY_S:
            self._progress_s = time.monotonic()
            progress = self._first.progress()
            self._on_progress(replace(progress, held=held_back(delays(self.scheduler, progress.run))))


def _staged_by(outcome: Report) -> list[str]:
    match outcome:
        case Staged(files=files):
            return [file.path for file in files]
        case Progressed(part=part):
            return [part.path]
        case _:
            return []
