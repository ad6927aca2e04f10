"""Results that gates have refused, in the embedded store: kept, released, dropped."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headgate.crashpoints import crash_point
from headgate.errors import ConflictError, InternalError
from headgate.model.run import AttemptState, RunState
from headgate.store.quarantine import QuarantineState
from headgate.store.records import OVERTAKEN, Published
from headgate.store.sqlite_publishing import Batch, Publishing
from headgate.store.sqlite_rows import array, candidate_to_texts, failure_columns, quarantined_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headgate.model.run import Failure
    from headgate.store.quarantine import Quarantined
    from headgate.store.records import Candidate

_FILTERS = dict.fromkeys(("attempt", "run", "dataset", "key", "states"))


class Quarantine(Publishing):
    """What becomes of results that gates have refused. All of it inside the caller's transaction."""

    def quarantine(
        self, refused: Sequence[tuple[Candidate, Failure]], *, author: str, now_ms: int
    ) -> list[tuple[Candidate, Failure]]:
        """Keep what gates have refused, and let its attempts fail; return those that were fenced."""
        kept: list[tuple[Candidate, Failure]] = []
        fenced: list[tuple[Candidate, Failure]] = []
        for candidate, failure in refused:
            row = (now_ms, *candidate_to_texts(candidate), candidate.attempt)
            is_kept = self._connection.execute(self._sql["quarantine_attempt"], row).rowcount > 0
            (kept if is_kept else fenced).append((candidate, failure))
        crash_point("quarantine.inside_hold")
        many = self._connection.executemany
        many(
            self._sql["end_attempt"],
            [(AttemptState.FAILED.value, now_ms, *failure_columns(why), one.attempt) for one, why in kept],
        )
        tasks = [(self._interned.dataset(c.dataset), c.key, self._interned.run(c.run)) for c, _ in kept]
        many(self._sql["forget_batches"], tasks)
        many(self._sql["fence_attempt"], [(candidate.attempt,) for candidate, _ in fenced])
        if kept:
            runs = {candidate.run for candidate, _ in kept}
            run = runs.pop() if len(runs) == 1 else ""
            body: dict[str, object] = {
                "partitions": len(kept),
                "datasets": sorted({candidate.dataset for candidate, _ in kept}),
                "attempts": [candidate.attempt for candidate, _ in kept],
            }
            self.journal("quarantine.held", author=author, run=run, reason="", body=body, now_ms=now_ms)
            newer = [candidate.attempt for candidate, _ in kept]
            self.supersede(newer, "which is held in its place", author=author, now_ms=now_ms)
        return fenced

    def release(self, attempt: int, *, author: str, reason: str, now_ms: int, renews: bool = False) -> Published:
        """Publish what is quarantined of an attempt after all."""
        candidate = self._decided(attempt, QuarantineState.RELEASED, author=author, reason=reason, now_ms=now_ms)
        _, stands = self._connection.execute(self._sql["run_number_and_state"], {"run": candidate.run}).fetchone()
        if stands == RunState.DISCARDED:
            raise ConflictError(f"run {candidate.run}, which attempt {attempt} belongs to, was discarded")
        self._connection.execute(self._sql["forgive_attempt"], {"attempt": attempt})
        batch = Batch(AttemptState.FAILED)
        (verdict,) = self._publish(
            [candidate._replace(renews=renews)], batch, author=author, reason=reason, now_ms=now_ms
        )
        place = f"{candidate.dataset}/{candidate.key}"
        if verdict is Published.FENCED:
            raise InternalError(f"attempt {attempt} of {place} is held in quarantine, but has not failed")
        if verdict is Published.SUPERSEDED:
            failure = self.why_superseded(attempt)
            why, hint = failure.message, failure.hint
            if failure is OVERTAKEN:
                why = self._how_overtaken(attempt)
                hint = f"Drop it: headgate quarantine drop {attempt} --reason TEXT. A backfill builds what is stale."
            raise ConflictError(f"attempt {attempt} cannot become the head of {place}: {why}", hint=hint)
        crash_point("quarantine.inside_release")
        self._journal_decision("quarantine.released", candidate, author=author, reason=reason, now_ms=now_ms)
        return verdict

    def drop(self, attempt: int, *, author: str, reason: str, now_ms: int) -> None:
        """Give up what is quarantined of an attempt."""
        candidate = self._decided(attempt, QuarantineState.DROPPED, author=author, reason=reason, now_ms=now_ms)
        crash_point("quarantine.inside_drop")
        self._journal_decision("quarantine.dropped", candidate, author=author, reason=reason, now_ms=now_ms)

    def released(self, run: str) -> list[tuple[str, str]]:
        """Return dataset and key of each task of a run whose quarantined result was released."""
        return [(dataset, key) for dataset, key in self._connection.execute(self._sql["released"], {"run": run})]

    def _decided(self, attempt: int, state: QuarantineState, *, author: str, reason: str, now_ms: int) -> Candidate:
        """Record what somebody decided on a result that is held, and return it."""
        found = self._quarantined(attempt)
        decision = {"state": state.value, "attempt": attempt, "now_ms": now_ms, "author": author, "reason": reason}
        if self._connection.execute(self._sql["decide_quarantine"], decision).rowcount == 0:
            raise ConflictError(
                f"attempt {attempt} of {found.candidate.dataset}/{found.candidate.key} was {found.state} already, "
                f"by {found.author}: {found.reason}",
                hint="`headgate quarantine list --all` shows everything that was decided.",
            )
        return found.candidate

    def _how_overtaken(self, attempt: int) -> str:
        row = self._connection.execute(self._sql["attempts_and_heads"], {"attempts": array([attempt])}).fetchone()
        now, then = (f"version {version}" if version else "nothing" for version in (row[7], row[6]))
        return f"the head has moved on: it is {now}, and was {then} when the attempt started"

    def _quarantined(self, attempt: int) -> Quarantined:
        parameters = _FILTERS | {"attempt": attempt, "limit": 1}
        row = self._connection.execute(self._sql["quarantined"], parameters).fetchone()
        if row is None:
            raise InternalError(f"attempt {attempt} was never quarantined")
        return quarantined_of(row)

    def _journal_decision(self, kind: str, candidate: Candidate, *, author: str, reason: str, now_ms: int) -> None:
        body: dict[str, object] = {
            "attempt": candidate.attempt,
            "dataset": candidate.dataset,
            "key": candidate.key,
            "gates": [gate.gate for gate in candidate.gates if gate.refuses],
        }
        self.journal(kind, author=author, run=candidate.run, reason=reason, body=body, now_ms=now_ms)
