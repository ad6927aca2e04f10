"""Write transactions of the embedded store."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

from headgate.crashpoints import crash_point
from headgate.errors import ConflictError, InternalError
from headgate.model.run import AttemptState, Publication, RunState
from headgate.store.journal import canonical
from headgate.store.records import Command
from headgate.store.sqlite_housekeeping import Housekeeping
from headgate.store.sqlite_mirroring import Mirroring
from headgate.store.sqlite_quarantine import Quarantine
from headgate.store.sqlite_rollback import RollingBack
from headgate.store.sqlite_rows import (
    PLAN_COLUMNS,
    array,
    attempt_of,
    failure_columns,
    offsets_to_text,
    saved_batch_of,
    signed,
    version_of,
)
from headgate.store.sqlite_schemas import Schemas
from headgate.store.sqlite_staged import StagedPublishing

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from headgate.model.breaker import BreakerRecord
    from headgate.model.plan import Decision, StoredPlan
    from headgate.model.run import Attempt, Failure, Run
    from headgate.model.version import Version
    from headgate.store.records import SavedBatch

_ENDED = (RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELLED, RunState.DISCARDED)
_DONE = (RunState.SUCCEEDED, RunState.DISCARDED)
_LIVE = (RunState.QUEUED, RunState.RUNNING, RunState.INTERRUPTED)
_DAY_MS = 24 * 60 * 60 * 1000
_ANSWERS_KEPT_MS = _DAY_MS
_EXPIRED_KEPT_MS = 7 * _DAY_MS


class SqliteTransaction(StagedPublishing, Quarantine, RollingBack, Housekeeping, Schemas, Mirroring):
    """Writes of one transaction, in order; the contract is `store.Transaction`."""

    def add_run(self, run: Run) -> None:
        """Insert a run and its journal entry, and note that the stored plan of that hash, if any, has become it."""
        row = {
            "id": run.id,
            "kind": run.kind.value,
            "state": run.state.value,
            "reason": run.reason,
            "author": run.author,
            "plan_hash": run.plan_hash,
            "created_ms": run.created_ms,
            "finished_ms": run.finished_ms,
            "service_class": run.service_class,
            "controls": run.controls,
            "plan": run.plan,
        }
        self._connection.execute(self._sql["add_run"], row)
        if run.publication.is_staged:
            needs_approval = run.publication is Publication.APPROVED
            self._connection.execute(self._sql["add_staged_run"], {"run": run.id, "needs_approval": needs_approval})
        plan = {"hash": run.plan_hash, "run": run.id}
        if self._connection.execute(self._sql["use_plan"], plan).rowcount == 0:
            used = self._connection.execute(self._sql["run_of_plan"], plan).fetchone()
            if used is not None:
                why = f"run already, as run {used[0]}" if used[0] else "rejected"
                raise ConflictError(f"the plan was {why}", hint="Plan again.")
        body: dict[str, object] = {"kind": run.kind.value, "plan_hash": run.plan_hash}
        self.journal(
            "run.submitted", author=run.author, run=run.id, reason=run.reason, body=body, now_ms=run.created_ms
        )

    def set_run_state(
        self,
        run: str,
        state: RunState,
        *,
        author: str,
        reason: str,
        now_ms: int,
        expected: frozenset[RunState] | None = None,
        taken: Mapping[str, int] | None = None,
    ) -> bool:
        """Move a run to a state and journal it, if it is in an expected one; return whether it was."""
        row = self._connection.execute(self._sql["run_number_and_state"], {"run": run}).fetchone()
        if row is None:
            raise InternalError(f"the state store has no run {run}")
        number, before = row
        if expected is not None and before not in expected:
            return False
        if before == RunState.DISCARDED:
            raise ConflictError(f"run {run} is discarded", hint="Start a new backfill.")
        finished_ms = now_ms if state in _ENDED else None
        self._connection.execute(
            self._sql["set_run_state"], {"state": state.value, "finished_ms": finished_ms, "n": number}
        )
        if state in _ENDED:
            is_done = state in _DONE
            self._connection.execute(self._sql["forget_batches_of_no_use"], {"run": number, "is_done": is_done})
        body: dict[str, object] = {"from": before, **({"taken": dict(taken)} if taken else {})}
        self.journal(f"run.{state}", author=author, run=run, reason=reason, body=body, now_ms=now_ms)
        return True

    def set_run_controls(self, run: str, controls: str) -> None:
        """Record what was changed of a run while it lives."""
        changed = self._connection.execute(self._sql["set_run_controls"], {"run": run, "controls": controls})
        if changed.rowcount == 0:
            raise InternalError(f"the state store has no run {run}")

    def start_attempts(self, attempts: Sequence[Attempt]) -> None:
        """Insert the intents of attempts, state running."""
        if not attempts:
            return
        ids = [attempt.id for attempt in attempts]
        reserved = self._connection.execute(self._sql["reserve_ids"], {"first": min(ids), "last": max(ids)})
        if reserved.rowcount == 0:
            raise InternalError(f"attempt number {min(ids)} is taken: something else counts in this state store")
        run, dataset = self._interned.run, self._interned.dataset
        self._connection.executemany(
            self._sql["add_attempt"],
            [(a.id, run(a.run), dataset(a.dataset), a.key, a.number, a.path, a.started_ms, a.lead) for a in attempts],
        )
        crash_point("coordinator.inside_intents")

    def end_attempts(self, ended: Sequence[tuple[int, AttemptState, Failure | None]], *, now_ms: int) -> None:
        """Move running attempts to an end state other than succeeded; those that do not run stay as they are."""
        self._connection.executemany(
            self._sql["end_attempt"],
            [(state.value, now_ms, *failure_columns(failure), attempt) for attempt, state, failure in ended],
        )

    def give_up(self, attempts: Sequence[int]) -> None:
        """Move attempts from retried to failed. Others stay as they are."""
        self._connection.executemany(self._sql["give_up_attempt"], [(attempt,) for attempt in attempts])

    def fence_attempts(self, *, now_ms: int) -> list[Attempt]:
        """Move every running attempt to lost and return them, as they are now."""
        running = [attempt_of(row) for row in self._connection.execute(self._sql["running_attempts"])]
        self._connection.execute(self._sql["lose_attempts"], {"now_ms": now_ms})
        return [replace(attempt, state=AttemptState.LOST, finished_ms=now_ms) for attempt in running]

    def forget_paths(self, attempts: Iterable[int]) -> None:
        """Clear the staging paths of ended attempts whose files are collected."""
        self._connection.executemany(self._sql["forget_path"], [{"attempt": attempt} for attempt in attempts])

    def save_batch(self, batch: SavedBatch) -> bool:
        """Record progress of a running attempt; return whether it was running."""
        row = {
            "attempt": batch.attempt,
            "path": batch.file.path,
            "rows": batch.file.rows,
            "bytes": batch.file.bytes,
            "hash": batch.file.hash,
            "content": batch.content,
            "resume_from": json.dumps(batch.offset),
            "schema": self._interned.schema(batch.schema),
            "watermark_ms": batch.watermark_ms,
            "offsets": offsets_to_text(batch.offsets),
            "inputs_digest": signed(batch.inputs_digest),
            "code": batch.code,
        }
        return self._connection.execute(self._sql["save_batch"], row).rowcount > 0

    def batches(self, run: str, dataset: str, keys: Sequence[str]) -> dict[str, list[SavedBatch]]:
        """Return what is saved of tasks, by key and in order; only of those that have something saved."""
        parameters = {"run": self._interned.run(run), "dataset": self._interned.dataset(dataset), "keys": array(keys)}
        found: dict[str, list[SavedBatch]] = {}
        for key, *columns in self._connection.execute(self._sql["batches"], parameters):
            found.setdefault(key, []).append(saved_batch_of(columns))
        return found

    def forget_batches(self, run: str, dataset: str, keys: Sequence[str]) -> None:
        """Remove what is saved of tasks. Idempotent."""
        number, name = self._interned.run(run), self._interned.dataset(dataset)
        self._connection.executemany(self._sql["forget_batches"], [(name, key, number) for key in keys])

    def add_plan(self, plan: StoredPlan) -> None:
        """Keep a plan that somebody was shown; one with the same hash stays as it is."""
        row = {field: getattr(plan, field) for field in PLAN_COLUMNS}
        self._connection.execute(self._sql["add_plan"], row)
        self._connection.execute(self._sql["forget_plans"], {"before_ms": plan.created_ms - _EXPIRED_KEPT_MS})

    def decide_plan(self, plan: str, decision: Decision) -> bool:
        """Record and journal what somebody decided on a plan; return whether it was there to be decided on."""
        row = {
            "hash": plan,
            "at_ms": decision.at_ms,
            "author": decision.author,
            "is_approval": decision.is_approval,
            "reason": decision.reason,
        }
        if self._connection.execute(self._sql["decide_plan"], row).rowcount == 0:
            return False
        kind = "plan.approved" if decision.is_approval else "plan.rejected"
        self.journal(
            kind, author=decision.author, run="", reason=decision.reason, body={"plan": plan}, now_ms=decision.at_ms
        )
        return True

    def add_command(
        self,
        run: str,
        verb: str,
        *,
        author: str,
        reason: str,
        now_ms: int,
        arguments: dict[str, object] | None = None,
    ) -> int | None:
        """Leave a request for the live coordinator; return its id, None if the run has no use for it any more."""
        row = {
            "at_ms": now_ms,
            "run": run,
            "verb": verb,
            "author": author,
            "reason": reason,
            "arguments": canonical(arguments or {}),
            "states": array(_LIVE),
        }
        left = self._connection.execute(self._sql["add_command"], row)
        return left.lastrowid if left.rowcount > 0 else None

    def pending_commands(self) -> list[Command]:
        """Return the commands that wait for the coordinator, oldest first."""
        rows = self._connection.execute(self._sql["pending_commands"])
        return [
            Command(number, run, verb, author, reason, json.loads(arguments))
            for number, run, verb, author, reason, arguments in rows
        ]

    def settle_commands(self, answers: Sequence[tuple[int, str]]) -> None:
        """Answer commands, and remove what was answered long before. Idempotent: the first answer stays."""
        self._connection.executemany(self._sql["settle_command"], [(answer, command) for command, answer in answers])
        settled = array(command for command, _ in answers)
        self._connection.execute(self._sql["forget_commands"], {"settled": settled, "kept_ms": _ANSWERS_KEPT_MS})

    def save_breakers(self, rows: Sequence[BreakerRecord]) -> None:
        """Insert or replace breakers by their names; one that is closed without failures is removed."""
        self._connection.executemany(
            self._sql["save_breaker"], [(b.name, b.state, b.failures, b.cooldown_ms, b.until_ms) for b in rows]
        )
        self._connection.execute(self._sql["forget_sound_breakers"])

    def put_live(self, run: str, body: str, now_ms: int) -> None:
        """Replace what the coordinator last said of a run."""
        self._connection.execute(self._sql["put_live"], {"run": run, "at_ms": now_ms, "body": body})

    def clear_live(self, run: str) -> None:
        """Remove what the coordinator last said of a run. Idempotent."""
        self._connection.execute(self._sql["clear_live"], {"run": run})

    def heads(self, dataset: str, keys: Sequence[str]) -> list[Version | None]:
        """Return the head versions of partitions, in order."""
        rows = self._connection.execute(self._sql["heads_of_keys"], {"dataset": dataset, "keys": array(keys)})
        found = {version.key: version for version in map(version_of, rows)}
        return [found.get(key) for key in keys]
