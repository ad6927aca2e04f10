"""From what executors report to what is recorded, published or quarantined, and to the events of the scheduler."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, assert_never

from headgate.core.events import (
    AttemptCancelled,
    AttemptFailed,
    AttemptReturned,
    AttemptSucceeded,
    AttemptYielded,
)
from headgate.drivers.batches import saved_batch
from headgate.drivers.emptied import with_not_empty
from headgate.drivers.refusals import findings, refusal
from headgate.drivers.renewal import renewing
from headgate.drivers.schemas import SchemaGate
from headgate.errors import ConflictError, InternalError
from headgate.model.run import AttemptState, ErrorClass, Failure, TaskState
from headgate.model.version import File
from headgate.store.records import Candidate, Published
from headgate.tables import layout
from headgate.worker.messages import Cancelled, Failed, Lost, Progressed, Returned, Staged, Yielded

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from headgate.core.effects import Effect
    from headgate.core.events import Event
    from headgate.drivers.active import ActiveRun
    from headgate.drivers.in_flight import InFlight
    from headgate.model.version import Parameters
    from headgate.store.transaction import Transaction
    from headgate.worker.messages import AttemptReport

_WORKER_DIED = "Look for what kills workers: memory, a crash in a library."


class Recorder:
    """Publishes and records what attempts came to.

    Args:
        runs: The runs in hand, by id.
        in_flight: Attempts that were ordered and have not come back, by number.
        data_root: The data folder.
        parameters: What every attempt is given.
        author: Who publishes, for the journal.
        handle: Gives an event to the scheduler.
    """

    def __init__(
        self,
        runs: Mapping[str, ActiveRun],
        in_flight: dict[int, InFlight],
        data_root: Path,
        parameters: Parameters,
        *,
        author: str,
        handle: Callable[[Event], list[Effect]],
    ) -> None:
        self._runs = runs
        self._in_flight = in_flight
        self._data_root = data_root
        self._parameters = json.dumps(parameters, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        self._author = author
        self._handle = handle
        self._fenced: list[InFlight] = []
        self._schemas = SchemaGate()

    def absorb(self, tx: Transaction, outcomes: Sequence[AttemptReport], now_ms: int) -> list[Effect]:
        """Publish and record outcomes and progress; return what the scheduler makes of them."""
        staged: list[tuple[InFlight, Staged]] = []
        refused: list[tuple[InFlight, Candidate, Failure]] = []
        ended: list[tuple[int, AttemptState, Failure | None]] = []
        effects: list[Effect] = []
        outcomes = with_not_empty(tx, outcomes, self._in_flight)
        for outcome in self._schemas.judged(tx, outcomes, self._in_flight):
            match outcome:
                case Staged(attempt=attempt) if (why := refusal(attempt, findings(outcome.gates))) is not None:
                    flight = self._flight(attempt)
                    candidate = self._candidate(flight, outcome)
                    end = self._fail(attempt, why, effects)
                    # Of one that is tried again nothing is kept.
                    if end[1] is AttemptState.FAILED:
                        refused.append((flight, candidate, why))
                    else:
                        ended.append(end)
                case Staged(attempt=attempt):
                    staged.append((self._take(attempt), outcome))
                case Failed(attempt=attempt):
                    failure = Failure(ErrorClass(outcome.error_class), outcome.message, outcome.hint, outcome.traceback)
                    ended.append(self._fail(attempt, failure, effects))
                case Lost(attempt=attempt, why=why):
                    ended.append(self._fail(attempt, Failure(ErrorClass.LOST, why, _WORKER_DIED), effects))
                case Returned(attempts=attempts):
                    for attempt in attempts:
                        flight = self._take(attempt)
                        ended.append((attempt, AttemptState.RETURNED, None))
                        effects += self._handle(AttemptReturned(flight.attempt.run, flight.start.task))
                case Progressed():
                    self._save(tx, outcome)
                case Yielded(attempt=attempt):
                    flight = self._take(attempt)
                    ended.append((attempt, AttemptState.YIELDED, None))
                    effects += self._handle(AttemptYielded(flight.attempt.run, flight.start.task))
                case Cancelled(attempt=attempt):
                    flight = self._take(attempt)
                    ended.append((attempt, AttemptState.CANCELLED, None))
                    effects += self._handle(AttemptCancelled(flight.attempt.run, flight.start.task))
                case _:
                    assert_never(outcome)
        if ended:
            tx.end_attempts(ended, now_ms=now_ms)
        if refused:
            self._quarantine(tx, refused, now_ms)
        if staged:
            effects += self._publish(tx, staged, now_ms)
        return effects

    def give_up(self, tx: Transaction) -> None:
        """Record as failed what was to be tried again and will not be: no room was left in its retry budget."""
        for run in self._runs.values():
            failed = run.tasks.totals[TaskState.FAILED]
            if run.retried and failed != run.failed_before:
                lost = [task for task in run.retried if run.tasks.state[task] == TaskState.FAILED]
                tx.give_up([run.retried.pop(task) for task in lost])
            run.failed_before = failed

    def check_lead(self) -> None:
        """Raise if an attempt had been fenced when it was to be published. Call it after the commit.

        Raises:
            ConflictError: One had.
        """
        if self._fenced:
            attempt = self._fenced[0].attempt
            raise ConflictError(
                f"attempt {attempt.id} was fenced: another coordinator has taken over this run",
                hint=f"Look at headgate status {attempt.run}.",
            )

    def _take(self, attempt: int) -> InFlight:
        flight = self._flight(attempt)
        del self._in_flight[attempt]
        del self._runs[flight.attempt.run].in_flight[flight.start.task]
        return flight

    def _flight(self, attempt: int) -> InFlight:
        flight = self._in_flight.get(attempt)
        if flight is None:
            raise InternalError(f"the executor reports attempt {attempt}, which is not in flight")
        return flight

    def _save(self, tx: Transaction, progress: Progressed) -> None:
        """Record progress. That of an attempt which was fenced is ignored, as its outcome will be."""
        flight = self._flight(progress.attempt)
        tx.save_batch(saved_batch(flight, progress, self._own_path(flight, progress.part.path)))

    def _own_path(self, flight: InFlight, path: str) -> str:
        """Return the path of a file relative to the data root, if the attempt may name it."""
        attempt, relative = flight.attempt, path.removeprefix(f"{self._data_root}/")
        if relative != attempt.path and relative not in flight.resumed and not layout.is_part(attempt.path, relative):
            raise InternalError(f"attempt {attempt.id} reports {path}, which is not what it was given")
        return relative

    def _fail(self, attempt: int, failure: Failure, effects: list[Effect]) -> tuple[int, AttemptState, Failure | None]:
        flight = self._take(attempt)
        run, task = self._runs[flight.attempt.run], flight.start.task
        effects += self._handle(AttemptFailed(flight.attempt.run, task, failure.error_class))
        run.remember(flight, failure)
        if run.has_given_up(task):
            return attempt, AttemptState.FAILED, failure
        if failure.error_class is ErrorClass.LOST:
            return attempt, AttemptState.LOST, failure
        run.retried[task] = attempt
        return attempt, AttemptState.RETRIED, failure

    def _quarantine(self, tx: Transaction, refused: Sequence[tuple[InFlight, Candidate, Failure]], now_ms: int) -> None:
        fenced = tx.quarantine([(one, why) for _, one, why in refused], author=self._author, now_ms=now_ms)
        numbers = {candidate.attempt for candidate, _ in fenced}
        self._fenced += [flight for flight, candidate, _ in refused if candidate.attempt in numbers]

    def _publish(self, tx: Transaction, staged: Sequence[tuple[InFlight, Staged]], now_ms: int) -> list[Effect]:
        candidates = [self._candidate(flight, result) for flight, result in staged]
        candidates = renewing(tx, candidates, {f.attempt.id for f, _ in staged if f.replaces}, self._data_root)
        verdicts = tx.publish(candidates, author=self._author, now_ms=now_ms)
        effects: list[Effect] = []
        for verdict, (flight, _) in zip(verdicts, staged, strict=True):
            attempt, task = flight.attempt, flight.start.task
            run = self._runs[attempt.run]
            match verdict:
                case Published.NEW:
                    run.failures.pop(task, None)
                    effects += self._handle(AttemptSucceeded(attempt.run, task, changed=True))
                case Published.UNCHANGED:
                    run.failures.pop(task, None)
                    run.unchanged[attempt.dataset] += 1
                    effects += self._handle(AttemptSucceeded(attempt.run, task, changed=False))
                case Published.SUPERSEDED:
                    run.remember(flight, tx.why_superseded(attempt.id))
                    effects += self._handle(AttemptFailed(attempt.run, task, ErrorClass.PERMANENT))
                case Published.FENCED:
                    self._fenced.append(flight)
                case _:
                    assert_never(verdict)
        return effects

    def _candidate(self, flight: InFlight, result: Staged) -> Candidate:
        attempt = flight.attempt
        return Candidate(
            attempt=attempt.id,
            run=attempt.run,
            dataset=attempt.dataset,
            key=attempt.key,
            files=tuple(File(self._own_path(flight, f.path), f.rows, f.bytes, f.hash) for f in result.files),
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
            gates=findings(result.gates),
            parameters=self._parameters,
            lifts_holds=self._runs[attempt.run].lifts_holds,
        )
