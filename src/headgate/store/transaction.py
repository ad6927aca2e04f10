"""The contract of a store's transactions: everything that is written.

A transaction is durable or absent as a whole. Times are UTC milliseconds and come from the caller.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from headgate.store.housekeeping import HousekeepingWrites
from headgate.store.mirror import MirrorWrites
from headgate.store.quarantine import QuarantineWrites
from headgate.store.rollback import RollbackWrites
from headgate.store.schemas import SchemaReads
from headgate.store.staged import StagedWrites

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from headgate.model.breaker import BreakerRecord
    from headgate.model.plan import Decision, StoredPlan
    from headgate.model.run import Attempt, AttemptState, Failure, Run, RunState
    from headgate.model.version import Version
    from headgate.store.records import Candidate, Command, Observation, Published, SavedBatch


class Transaction(
    QuarantineWrites, StagedWrites, RollbackWrites, HousekeepingWrites, MirrorWrites, SchemaReads, Protocol
):
    """Writes of one transaction, in order. Reads made through it see its own writes."""

    def add_run(self, run: Run) -> None:
        """Insert a run and its journal entry, and note that the stored plan of that hash, if any, has become it.

        Post: what it publishes is visible when its `publication` says so, in whichever session.

        Raises:
            ConflictError: The plan has become a run before, or was rejected.
        """
        ...

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
        """Move a run to a state and journal it; end states set `finished_ms`, others clear it.

        What a run that ends has saved of batches goes if nobody can go on from it: all of it if the run succeeded or
        was discarded, else that of partitions that a later attempt has published.

        Args:
            run: Its id.
            state: Where to.
            author: Who does it.
            reason: Why.
            now_ms: UTC milliseconds.
            expected: States that it may be in; any, if None.
            taken: How many of its tasks another run has made, by dataset: what `Store.taken` tells while it is there.

        Returns:
            Whether it was in an expected state; if not, nothing was changed or journaled.

        Raises:
            ConflictError: It was discarded, which is for good.
            InternalError: There is no such run.
        """
        ...

    def set_run_controls(self, run: str, controls: str) -> None:
        """Record what was changed of a run while it lives, as `Run.controls` has it. The caller journals.

        Raises:
            InternalError: There is no such run.
        """
        ...

    def start_attempts(self, attempts: Sequence[Attempt]) -> None:
        """Insert the intents of attempts, state running, each with the identity of the present head as `expects`.

        Pre: the numbers are at least `Store.next_id()`, in any order; the caller holds the lead.
        """
        ...

    def publish(self, candidates: Sequence[Candidate], *, author: str, now_ms: int) -> list[Published]:
        """Check fencing tokens and old heads, move heads, and record what was made.

        Post: for NEW and UNCHANGED the attempt is succeeded and has a checkpoint; its staging path is forgotten for
        NEW and stays to be collected for UNCHANGED; what was saved of its batches is removed, also by runs that failed,
        were cancelled, or wait for this one; what older attempts of the partition have had in quarantine is dropped,
        as `quarantine` says, but not for a compaction. For SUPERSEDED the attempt is superseded, with the failure of
        `why_superseded`; for FENCED one that was lost is fenced; and nothing else changed. One journal entry for the
        call, if anything was published, and one for what was dropped. Two candidates of one call never share a
        partition.

        Returns:
            One verdict for each candidate, in order.
        """
        ...

    def end_attempts(self, ended: Sequence[tuple[int, AttemptState, Failure | None]], *, now_ms: int) -> None:
        """Move running attempts to an end state other than succeeded; those that do not run stay as they are."""
        ...

    def give_up(self, attempts: Sequence[int]) -> None:
        """Move attempts from retried to failed: their tasks are not tried again after all. Others stay as they are."""
        ...

    def fence_attempts(self, *, now_ms: int) -> list[Attempt]:
        """Move every running attempt to lost and return them, as they are now: a new coordinator takes over."""
        ...

    def forget_paths(self, attempts: Iterable[int]) -> None:
        """Clear the staging paths of ended attempts whose files are collected.

        Those with saved batches keep theirs: their parts are collected later.
        """
        ...

    def save_batch(self, batch: SavedBatch) -> bool:
        """Record progress of an attempt behind what is saved of its task. Not journaled.

        Returns:
            Whether the attempt was running; if not, nothing was changed.
        """
        ...

    def batches(self, run: str, dataset: str, keys: Sequence[str]) -> dict[str, list[SavedBatch]]:
        """Return what is saved of tasks, by key and in order; only of those that have something saved.

        Raises:
            InternalError: There is no such run.
        """
        ...

    def forget_batches(self, run: str, dataset: str, keys: Sequence[str]) -> None:
        """Remove what is saved of tasks, because nothing can go on from it. Idempotent. Not journaled."""
        ...

    def observe(self, observations: Sequence[Observation], *, author: str, now_ms: int) -> int:
        """Make a new version and head of each source partition whose file is new or changed; return how many.

        Changed means another hash. A file that only moved keeps its version, which gets the new path. One journal
        entry for the call, if anything changed. No partition twice in one call; the caller holds the lead.
        """
        ...

    def journal(self, kind: str, *, author: str, run: str, reason: str, body: dict[str, object], now_ms: int) -> None:
        """Append an entry to the journal."""
        ...

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
        """Leave a request for the live coordinator.

        Returns:
            Its id, with which `Store.command_answer` finds the answer. None if it was not left, because the run is, at
            this moment, neither queued nor running nor interrupted; one without a run is always left.
        """
        ...

    def add_plan(self, plan: StoredPlan) -> None:
        """Keep a plan that somebody was shown; one with the same hash stays as it is. Not journaled.

        Removes plans that expired a week ago without a run or a decision.
        """
        ...

    def decide_plan(self, plan: str, decision: Decision) -> bool:
        """Record and journal what somebody decided on a plan, by its whole hash.

        Returns:
            Whether it was recorded; not for a plan that is not there or has become a run.
        """
        ...

    def pending_commands(self) -> list[Command]:
        """Return the commands that wait for the coordinator, oldest first; they stay until they are settled."""
        ...

    def settle_commands(self, answers: Sequence[tuple[int, str]]) -> None:
        """Answer commands: id, and empty for accepted or else why it was refused. Idempotent: the first answer stays.

        Removes answered commands that were left more than a day before those that are settled.
        """
        ...

    def save_breakers(self, rows: Sequence[BreakerRecord]) -> None:
        """Insert or replace breakers by their names; one that is closed without failures is removed. Not journaled."""
        ...

    def put_live(self, run: str, body: str, now_ms: int) -> None:
        """Replace what the coordinator last said of a run, as JSON text. Not journaled.

        Raises:
            InternalError: There is no such run.
        """
        ...

    def clear_live(self, run: str) -> None:
        """Remove what the coordinator last said of a run. Idempotent. Not journaled."""
        ...

    def heads(self, dataset: str, keys: Sequence[str]) -> list[Version | None]:
        """Return the head versions of partitions, in order."""
        ...
