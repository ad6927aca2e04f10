"""The live driver: one coordinator turns the scheduler's effects into durable attempts and published versions.

Each turn takes the outcomes that have arrived and, in ONE transaction of the state store, publishes what is good,
records what failed, and records the intents of what starts next. Orders go out only after that commit. While a commit
waits for the disk more outcomes arrive, so groups grow by themselves under load and stay small without it.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from headgate.core.effects import FinishRun, StartAttempt, StopAttempt, YieldAttempt
from headgate.core.events import (
    DrainRequested,
    Lane,
    PauseRequested,
    RunSubmitted,
    SlotsOffered,
    TimePassed,
)
from headgate.core.scheduler import Scheduler
from headgate.crashpoints import crash_point
from headgate.drivers.active import ActiveRun, Controls
from headgate.drivers.breaker_book import BreakerBook
from headgate.drivers.clock import now_ms
from headgate.drivers.dispatch import Dispatcher
from headgate.drivers.holding import lifts_holds
from headgate.drivers.intents import Intents
from headgate.drivers.outcomes import Recorder
from headgate.drivers.ranged import taken_apart
from headgate.drivers.resume import RETRY, Recorded
from headgate.drivers.staged import finish
from headgate.drivers.steering import Steering
from headgate.drivers.submission import new_run, shared_with
from headgate.drivers.telling import Teller
from headgate.drivers.terms import terms_of
from headgate.errors import UnavailableError
from headgate.model.policy import OnOverlap
from headgate.model.run import Publication, RunState
from headgate.planning.stages import make_stages
from headgate.store.quarantine import HELD_STATES
from headgate.tables import layout
from headgate.worker.messages import Progressed, Staged

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headgate.core.effects import Effect
    from headgate.core.events import Event
    from headgate.drivers.handover import Intake
    from headgate.drivers.in_flight import InFlight
    from headgate.drivers.progress import RunSummary, Watcher
    from headgate.drivers.world import World
    from headgate.executors.executor import Executor
    from headgate.model.plan import Plan
    from headgate.model.run import Run
    from headgate.project.load import Project
    from headgate.store.records import Command
    from headgate.store.store import Store
    from headgate.store.transaction import Transaction
    from headgate.worker.messages import AttemptReport, Order

POLL_S = 0.1
COMPANY_S = 0.01
"""How long an outcome waits for others, so that one transaction publishes them all."""
COMMANDS_EVERY_S = 0.25


class Coordinator:
    """Runs runs to their ends. Pre: the caller leads the state store and has taken over.

    Args:
        project: The user's project.
        store: The state store.
        executor: Where attempts run; the caller closes it.
        author: Who asked, for the journal.
        watcher: Who is told how the first run goes.
        intake: Takes in runs that are handed over; without it they wait.
    """

    def __init__(
        self,
        project: Project,
        store: Store,
        executor: Executor,
        *,
        author: str,
        watcher: Watcher | None = None,
        intake: Intake | None = None,
    ) -> None:
        self._project = project
        self._store = store
        self._executor = executor
        self._author = author
        self._watcher = watcher
        self._intake = intake
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
        self._stopping: set[int] = set()
        """Attempts in flight that were asked to stop."""
        self._recorder = Recorder(
            self._runs,
            self._in_flight,
            project.paths.data,
            project.config.parameters,
            author=author,
            handle=self._handle,
        )
        self._breaker_book = BreakerBook(store.breakers(), author=author)
        self._teller = Teller(self.scheduler, self._runs, watcher)
        self._steering = Steering(
            project, self.scheduler, self._runs, handle=self._handle, next_id=lambda: self._intents.next_id
        )
        self._intents = Intents(self._runs, self._in_flight, project.paths.data)
        self._wake_at_ms: int | None = None
        self._todo: list[Effect] = []
        self._has_begun = False
        """Whether a run was taken up that nothing has been offered to yet."""
        self._drain = self._drain_told = False
        self._commands_s = time.monotonic()
        self._submitted: list[Command] = []
        """Requests to take up a run, as they were last found."""
        self._interrupted: list[str] = []
        """Runs other than the first one that were interrupted."""

    def submit(
        self,
        world: World,
        plan: Plan,
        *,
        reason: str,
        service_class: str = "backfill",
        overlap: OnOverlap = OnOverlap.REFUSE,
        publication: Publication = Publication.EACH,
    ) -> str:
        """Record a new run; return its id. `drive` starts it."""
        run = new_run(
            plan,
            RunState.RUNNING,
            reason=reason,
            author=self._author,
            service_class=service_class,
            overlap=overlap,
            publication=publication,
        )
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
            tx.clear_live(run.id)
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
        while self._runs or self._awaited():
            self._turn(self._gather())
            self._take_in()
        if self._watcher is not None:
            self._watcher.progressed(self._first.progress())
            if self._interrupted:
                self._watcher.interrupted(self._interrupted)
        return self._summary(self._first)

    def _summary(self, run: ActiveRun) -> RunSummary:
        return run.summary(len(self._store.quarantined(run=run.run.id, states=HELD_STATES)))

    def _awaited(self) -> int:
        """Return how many runs are about to join those in hand."""
        return 0 if self._intake is None or self._drain else self._intake.waiting

    def _take_in(self) -> None:
        """Let runs that are handed over join those in hand; when it drains, they stay with who follows them."""
        if self._intake is not None and not self._drain:
            submitted, self._submitted = self._submitted, []
            self._intake.receive(submitted)
            self._intake.hand_on(self, self._store)

    def _begin(self, run: Run, world: World, recorded: Recorded) -> None:
        project, plan, snapshot = self._project, recorded.plan, world.snapshot
        self._intents.next_id = self._store.next_id()  # New versions of sources have numbers too.
        controls = Controls.from_json(run.controls)
        order = controls.order or project.policies.order
        terms = terms_of(project, self._store, world, plan, run, order=order)
        stages = make_stages(
            plan, snapshot, recorded.states, terms, inherited=recorded.inherited, changed=recorded.changed
        )
        concurrency = next((one.run_concurrency for one in terms.effective.values()), None)
        in_spite = lifts_holds(self._store.plan(run.plan_hash))
        dispatcher = Dispatcher(project, snapshot, plan, run, tried=recorded.tried, lifts_holds=in_spite)
        self._todo += self._handle(
            RunSubmitted(
                run.id,
                stages,
                run.service_class,
                run.author,
                controls.priority,
                controls.concurrency or concurrency,
                shared=list(shared_with(plan, self._runs.values())),
                joins=controls.overlap is OnOverlap.JOIN,
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
            lifts_holds=in_spite,
        )
        active.ended_before = active.progress().ended
        self._runs[run.id] = active
        self._first = self._first or active
        self._has_begun = True
        if controls.is_paused:
            self._todo += self._handle(PauseRequested(run.id))

    def _gather(self) -> list[AttemptReport]:
        """Return the outcomes for the next turn: the first to arrive and, while workers stay busy, its company.

        Each commit makes the disk wait, for the workers too, so a few larger ones are better than many small ones.
        """
        wait_s = 0.0 if self._has_begun or self._todo else POLL_S
        if self._wake_at_ms is not None:
            wait_s = min(wait_s, max(0.0, (self._wake_at_ms - now_ms()) / 1000))
        outcomes = self._reports(wait_s)
        until_s = time.monotonic() + COMPANY_S
        while 0 < 2 * len(outcomes) < len(self._in_flight) and (left_s := until_s - time.monotonic()) > 0:
            try:
                outcomes += self._reports(left_s)
            except UnavailableError:
                # What has arrived is recorded first; the next poll says it again.
                break
        return outcomes

    def _reports(self, wait_s: float) -> list[AttemptReport]:
        refused = self._intents.taken_refusals()
        return refused + taken_apart(self._executor.poll(0.0 if refused else wait_s), self._in_flight, self._stopping)

    def _turn(self, outcomes: Sequence[AttemptReport]) -> None:
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
                self._teller.show(self._first)
                return
            offers = []
        layout.fsync_directories({Path(path).parent for outcome in outcomes for path in _staged_by(outcome)})
        crash_point("coordinator.before_publish")
        with self._store.transaction() as tx:
            todo += self._recorder.absorb(tx, outcomes, now_ms())
            if look_for_commands:
                self._commands_s = time.monotonic()
                effects, self._submitted = self._steering.obey(tx, now_ms())
                todo += effects
            for event in offers:
                todo += self._handle(event)
            self._recorder.give_up(tx)
            orders = self._carry_out(tx, todo)
            self._teller.leave(tx, now_ms())
        self._recorder.check_lead()
        crash_point("coordinator.after_publish" if outcomes else "coordinator.after_intents")
        for outcome in outcomes:
            if isinstance(outcome, Progressed):
                crash_point("coordinator.after_batch")
        self._executor.submit(*orders)
        for effect in todo:
            if isinstance(effect, FinishRun) and self._runs[effect.run].run.publication.is_staged:
                crash_point("together.after_move")
            if isinstance(effect, StopAttempt | YieldAttempt):
                attempt = self._runs[effect.run].in_flight.get(effect.task)
                if attempt is None:
                    continue
                order = self._in_flight[attempt].order
                if isinstance(effect, StopAttempt):
                    self._stopping.add(attempt)
                    self._executor.cancel(order)
                else:
                    self._executor.ask_to_yield(order)
        self._stopping &= self._in_flight.keys()
        self._teller.show(self._first)
        self._forget()

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
        orders = self._intents.record(tx, starts, now_ms()) if starts else []
        self._breaker_book.record(tx, effects, now_ms())
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
        taken = {part.name: part.taken for part in run.progress().datasets if part.taken}
        state = effect.state
        if run.run.publication.is_staged and state is RunState.SUCCEEDED:
            state, reason, run.conflicts = finish(tx, run.run, author=author, now_ms=now_ms())
        tx.set_run_state(effect.run, state, author=author, reason=reason, now_ms=now_ms(), taken=taken)
        self._teller.conclude(tx, run, now_ms())
        run.ended = state
        run.ended_s = time.monotonic()

    def _forget(self) -> None:
        """Let go of runs whose end is recorded."""
        for run_id, run in [(run_id, run) for run_id, run in self._runs.items() if run.ended is not None]:
            self.scheduler.forget(run_id)
            del self._runs[run_id]
            self._intents.forget(run_id)
            self._teller.forget(run_id)
            if run is not self._first:
                if run.ended is RunState.INTERRUPTED:
                    self._interrupted.append(run_id)
            elif self._watcher is not None and (others := len(self._runs) + self._awaited()):
                self._watcher.ended(self._summary(run), others)


def _staged_by(outcome: AttemptReport) -> list[str]:
    match outcome:
        case Staged(files=files):
            return [file.path for file in files]
        case Progressed(part=part):
            return [part.path]
        case _:
            return []
