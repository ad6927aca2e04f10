"""The live driver: one coordinator turns the scheduler's effects into durable attempts and published versions.

Each turn takes the outcomes that have arrived and, in ONE transaction of the state store, publishes what is good,
records what failed, and records the intents of what starts next. Orders go out only after that commit. While a commit
waits for the disk more outcomes arrive, so groups grow by themselves under load and stay small without it.
"""

from __future__ import annotations

import secrets
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, assert_never

from headgate.core.effects import FinishRun, StartAttempt, StopAttempt
from headgate.core.events import (
    AttemptCancelled,
    AttemptFailed,
    AttemptLost,
    AttemptReturned,
    AttemptSucceeded,
    CancelRequested,
    DrainRequested,
    Pool,
    RunSubmitted,
    SlotsOffered,
)
from headgate.core.scheduler import Scheduler
from headgate.crashpoints import crash_point
from headgate.drivers.dispatch import Dispatcher
from headgate.drivers.progress import FailedTask, Progress, RunSummary, counts
from headgate.drivers.renewal import renewing
from headgate.drivers.resume import RETRY, Recorded
from headgate.errors import ConflictError, InternalError, UnavailableError
from headgate.model.run import (
    AttemptState,
    ErrorClass,
    Failure,
    Run,
    RunKind,
    RunState,
    TaskState,
)
from headgate.model.version import File
from headgate.planning.codec import plan_hash, plan_to_json
from headgate.planning.stages import make_stages
from headgate.store.store import OVERTAKEN, Candidate, Published
from headgate.tables import layout
from headgate.worker.messages import Cancelled, Failed, Lost, Returned, Staged

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from headgate.core.effects import Effect
    from headgate.core.events import Event
    from headgate.drivers.dispatch import InFlight
    from headgate.drivers.world import World
    from headgate.executors.executor import Executor
    from headgate.model.plan import Plan
    from headgate.project.load import Project
    from headgate.store.store import Command, Store, Transaction
    from headgate.worker.messages import Order, Outcome

POLL_S = 0.1
COMPANY_S = 0.01
"""How long an outcome waits for others, so that one transaction publishes them all."""
COMMANDS_EVERY_S = 0.25
PROGRESS_EVERY_S = 0.1
KEPT_FAILURES = 50


def now_ms() -> int:
    """Return the wall clock as UTC milliseconds; used for records, never for durations."""
    return time.time_ns() // 1_000_000


def new_run_id(at_ms: int) -> str:
    """Return an id that sorts by time and is safe in paths."""
    return f"{datetime.fromtimestamp(at_ms / 1000, UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"


class Coordinator:
    """Runs one run to its end. Pre: the caller leads the state store and has taken over.

    Args:
        project: The user's project.
        store: The state store.
        executor: Where attempts run; the caller closes it.
        author: Who asked, for the journal.
        on_progress: Called about ten times a second while the run goes on, and once at its end.
    """

    def __init__(
        self,
        project: Project,
        store: Store,
        executor: Executor,
        *,
        author: str,
        on_progress: Callable[[Progress], None] | None = None,
    ) -> None:
        self._project = project
        self._store = store
        self._executor = executor
        self._author = author
        self._on_progress = on_progress
        self._data_root = project.paths.data
        self._scheduler = Scheduler()
        self._next_id = 0
        self._in_flight: dict[int, InFlight] = {}
        self._directories: set[str] = set()
        self._failures: list[FailedTask] = []
        self._fenced: list[int] = []
        self._unchanged: dict[str, int] = {}
        self._run = ""
        self._plan: Plan | None = None
        self._dispatcher: Dispatcher | None = None
        self._first: Sequence[Effect] = ()
        self._ended: RunState | None = None
        self._ended_before = 0
        self._drain = self._drain_told = False
        self._cancel: Command | None = None
        self._began_s = self._commands_s = self._progress_s = time.monotonic()

    def submit(self, world: World, plan: Plan, *, reason: str) -> str:
        """Record a new run; return its id. `drive` starts it."""
        at = now_ms()
        text = plan_to_json(plan)
        run = Run(
            new_run_id(at), RunKind.BACKFILL, RunState.RUNNING, reason, self._author, text, plan_hash(text), at, None
        )
        with self._store.transaction() as tx:
            tx.observe(world.observations, author=self._author, now_ms=at)
            tx.add_run(run)
        self._begin(run.id, world, Recorded.fresh(plan))
        return run.id

    def go_on(self, run: Run, world: World, recorded: Recorded, *, retry: bool, reason: str) -> None:
        """Record that a run goes on, and that failures so far do not count if it is a retry. `drive` starts it."""
        at = now_ms()
        with self._store.transaction() as tx:
            tx.observe(world.observations, author=self._author, now_ms=at)
            tx.set_run_state(run.id, RunState.RUNNING, author=self._author, reason=reason, now_ms=at)
            if retry:
                body: dict[str, object] = {"first": self._store.next_id()}
                tx.journal(RETRY, author=self._author, run=run.id, reason=reason, body=body, now_ms=at)
        self._begin(run.id, world, recorded)

    def drain(self) -> None:
        """Start nothing more and let what runs end. Safe in a signal handler."""
        self._drain = True
        self._executor.wake()

    def drive(self) -> RunSummary:
        """Run until the run has ended, or has drained.

        Raises:
            UnavailableError: The state store failed, or no worker can start; what was committed stands, and the run
                can be resumed.
        """
        self._turn([], self._first)
        while self._ended is None:
            self._turn(self._gather())
        progress = self._progress()
        if self._on_progress is not None:
            self._on_progress(progress)
        assert self._plan is not None
        return RunSummary(self._run, self._ended, progress, tuple(self._failures), self._plan.problems)

    def _begin(self, run: str, world: World, recorded: Recorded) -> None:
        self._run, self._plan = run, recorded.plan
        self._dispatcher = Dispatcher(self._project, world.snapshot, recorded.plan, run, recorded.tried)
        stages = make_stages(recorded.plan, world.snapshot, recorded.states)
        self._unchanged = dict(recorded.unchanged)
        self._began_s = time.monotonic()
        self._next_id = self._store.next_id()
        self._first = self._handle(RunSubmitted(run, stages, self._project.config.workers.max_attempts))
        self._ended_before = self._progress().ended

    def _gather(self) -> list[Outcome]:
        """Return the outcomes for the next turn: the first to arrive and, while workers stay busy, its company.

        Each commit makes the disk wait, for the workers too, so a few larger ones are better than many small ones.
        """
        outcomes = self._executor.poll(POLL_S)
        until_s = time.monotonic() + COMPANY_S
        while 0 < 2 * len(outcomes) < len(self._in_flight) and (left_s := until_s - time.monotonic()) > 0:
            try:
                outcomes += self._executor.poll(left_s)
            except UnavailableError:
                # What has arrived is recorded first; the next poll says it again.
                break
        return outcomes

    def _turn(self, outcomes: Sequence[Outcome], effects: Sequence[Effect] = ()) -> None:
        """Take outcomes in and let what follows begin: one transaction, then the orders."""
        todo: list[Effect] = list(effects)
        if self._drain and not self._drain_told:
            self._drain_told = True
            todo += self._handle(DrainRequested(self._run))
        look_for_commands = time.monotonic() - self._commands_s >= COMMANDS_EVERY_S
        capacity = self._executor.capacity()
        offers = [SlotsOffered(Pool.PROCESS, capacity.processes), SlotsOffered(Pool.IO, capacity.io)]
        for pool in Pool:
            # What was left of the last offer is a part of the new one, which comes after the outcomes.
            self._handle(SlotsOffered(pool, 0))
        if not outcomes and not look_for_commands:
            for offer in offers:
                todo += self._handle(offer)
            if not todo:
                self._report()
                return
            offers = []
        layout.fsync_directories({Path(f.path).parent for o in outcomes if isinstance(o, Staged) for f in o.files})
        orders: list[Order] = []
        crash_point("coordinator.before_publish")
        with self._store.transaction() as tx:
            todo += self._absorb(tx, outcomes)
            if look_for_commands:
                self._commands_s = time.monotonic()
                todo += self._commands(tx)
            for offer in offers:
                todo += self._handle(offer)
            orders = self._carry_out(tx, todo)
        if self._fenced:
            raise ConflictError(
                f"attempt {self._fenced[0]} was fenced: another coordinator has taken over this run",
                hint=f"Look at headgate status {self._run}.",
            )
        crash_point("coordinator.after_publish" if outcomes else "coordinator.after_intents")
        self._executor.submit(*orders)
        for effect in todo:
            if isinstance(effect, StopAttempt):
                self._stop(effect)
        self._report()

    def _handle(self, event: Event) -> list[Effect]:
        return self._scheduler.handle(event, now_ms()).effects

    def _absorb(self, tx: Transaction, outcomes: Sequence[Outcome]) -> list[Effect]:
        """Publish and record outcomes; return what the scheduler makes of them."""
        staged: list[tuple[InFlight, Staged]] = []
        ended: list[tuple[int, AttemptState, Failure | None]] = []
        events: list[Event] = []
        for outcome in outcomes:
            match outcome:
                case Staged(attempt=attempt):
                    staged.append((self._take(attempt), outcome))
                case Failed(attempt=attempt):
                    flight = self._take(attempt)
                    failure = Failure(ErrorClass(outcome.error_class), outcome.message, outcome.hint, outcome.traceback)
                    ended.append((attempt, AttemptState.FAILED, failure))
                    self._remember(flight, failure)
                    events.append(AttemptFailed(self._run, flight.start.task))
                case Lost(attempt=attempt, why=why):
                    flight = self._take(attempt)
                    failure = Failure(
                        ErrorClass.LOST, why, "Look for what kills workers: memory, a crash in a library."
                    )
                    ended.append((attempt, AttemptState.LOST, failure))
                    if flight.start.number >= self._project.config.workers.max_attempts:
                        self._remember(flight, failure)
                    events.append(AttemptLost(self._run, flight.start.task))
                case Returned(attempts=attempts):
                    for attempt in attempts:
                        ended.append((attempt, AttemptState.RETURNED, None))
                        events.append(AttemptReturned(self._run, self._take(attempt).start.task))
                case Cancelled(attempt=attempt):
                    ended.append((attempt, AttemptState.CANCELLED, None))
                    events.append(AttemptCancelled(self._run, self._take(attempt).start.task))
                case _:
                    assert_never(outcome)
        if ended:
            tx.end_attempts(ended, now_ms=now_ms())
        if staged:
            events += self._publish(tx, staged)
        return [effect for event in events for effect in self._handle(event)]

    def _publish(self, tx: Transaction, staged: Sequence[tuple[InFlight, Staged]]) -> list[Event]:
        candidates = [self._candidate(flight, result) for flight, result in staged]
        candidates = renewing(tx, candidates, {f.attempt.id for f, _ in staged if f.attempt.expects}, self._data_root)
        events: list[Event] = []
        for verdict, (flight, _) in zip(
            tx.publish(candidates, author=self._author, now_ms=now_ms()), staged, strict=True
        ):
            task = flight.start.task
            match verdict:
                case Published.NEW:
                    events.append(AttemptSucceeded(self._run, task, changed=True))
                case Published.UNCHANGED:
                    name = flight.dataset.name
                    self._unchanged[name] += 1
                    events.append(AttemptSucceeded(self._run, task, changed=False))
                case Published.SUPERSEDED:
                    self._remember(flight, OVERTAKEN)
                    events.append(AttemptFailed(self._run, task))
                case Published.FENCED:
                    self._fenced.append(flight.attempt.id)
                case _:
                    assert_never(verdict)
        return events

    def _candidate(self, flight: InFlight, result: Staged) -> Candidate:
        for file in result.files:
            if file.path != f"{self._data_root}/{flight.attempt.path}":
                raise InternalError(f"attempt {flight.attempt.id} reports {file.path}, which is not what it was given")
        return Candidate(
            attempt=flight.attempt.id,
            run=self._run,
            dataset=flight.attempt.dataset,
            key=flight.attempt.key,
            files=tuple(File(flight.attempt.path, file.rows, file.bytes, file.hash) for file in result.files),
            rows=result.rows,
            bytes=result.bytes,
            content=result.content,
            schema=None if result.schema is None else tuple((name, kind) for name, kind in result.schema),
            code=flight.dataset.code,
            declared_version=flight.dataset.version,
            inputs=flight.inputs,
            inputs_digest=flight.inputs_digest,
            watermark_ms=result.watermark_ms,
            offsets=result.offsets,
            started_ms=result.started_ms,
        )

    def _commands(self, tx: Transaction) -> list[Effect]:
        """Do what others asked for. A cancel stays on record until the run is cancelled, in case this process dies."""
        effects: list[Effect] = []
        for command in tx.pending_commands():
            applies = command.run == self._run and command.verb == "cancel"
            if not applies or self._cancel is None:
                tx.journal(
                    f"{command.verb} {'accepted' if applies else 'refused'}",
                    author=command.author,
                    run=command.run,
                    reason=command.reason,
                    body={},
                    now_ms=now_ms(),
                )
            if not applies:
                tx.settle_commands([command.id])
            elif self._cancel is None:
                self._cancel = command
                effects += self._handle(CancelRequested(self._run))
        return effects

    def _carry_out(self, tx: Transaction, effects: Sequence[Effect]) -> list[Order]:
        """Record what the effects intend; return the orders to send once that is durable."""
        starts = [effect for effect in effects if isinstance(effect, StartAttempt)]
        orders = self._intend(tx, starts) if starts else []
        for effect in effects:
            if isinstance(effect, FinishRun):
                crash_point("coordinator.before_finish")
                self._finish(tx, effect)
        return orders

    def _finish(self, tx: Transaction, effect: FinishRun) -> None:
        author, reason = self._author, ""
        if self._cancel is not None:
            author, reason = self._cancel.author, self._cancel.reason
            tx.settle_commands([self._cancel.id])
        tx.set_run_state(effect.run, effect.state, author=author, reason=reason, now_ms=now_ms())
        self._ended = effect.state

    def _intend(self, tx: Transaction, starts: Sequence[StartAttempt]) -> list[Order]:
        assert self._dispatcher is not None
        crash_point("coordinator.before_intents")
        prepared = self._dispatcher.prepare(tx, starts, self._next_id, now_ms())
        self._next_id += len(prepared)
        paths = {flight.attempt.dataset: flight.attempt.path for flight, _ in prepared}
        if not paths.keys() <= self._directories:
            layout.make_directories(self._data_root, paths.values())
            self._directories |= paths.keys()
        tx.start_attempts([flight.attempt for flight, _ in prepared])
        for flight, order in prepared:
            self._in_flight[order.attempt] = flight
        return [order for _, order in prepared]

    def _take(self, attempt: int) -> InFlight:
        flight = self._in_flight.pop(attempt, None)
        if flight is None:
            raise InternalError(f"the executor reports attempt {attempt}, which is not in flight")
        return flight

    def _stop(self, effect: StopAttempt) -> None:
        for attempt, flight in list(self._in_flight.items()):
            if flight.start.task == effect.task:
                self._executor.cancel(attempt)

    def _remember(self, flight: InFlight, failure: Failure) -> None:
        if len(self._failures) < KEPT_FAILURES:
            self._failures.append(FailedTask(flight.attempt.dataset, flight.attempt.key, failure))

    def _progress(self) -> Progress:
        table = self._scheduler.runs[self._run].tasks
        left = table.total(TaskState.WAITING, TaskState.READY, TaskState.RUNNING, TaskState.BACKING_OFF)
        return Progress(
            self._run,
            counts(table, self._unchanged),
            table.size - left - self._ended_before,
            left,
            time.monotonic() - self._began_s,
            self._drain,
        )

    def _report(self) -> None:
        """Tell how far the run is, but not too often."""
        if self._on_progress is not None and time.monotonic() - self._progress_s >= PROGRESS_EVERY_S:
            self._progress_s = time.monotonic()
            self._on_progress(self._progress())
