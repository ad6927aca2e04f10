"""The contract of state stores: how they are opened for writing, and everything that is read.

Reads outside a transaction see the last committed state. Times are UTC milliseconds and come from the caller.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from headgate.store.housekeeping import HousekeepingReads
from headgate.store.lineage import LineageReads
from headgate.store.mirror import MirrorReads
from headgate.store.quarantine import QuarantineReads
from headgate.store.rollback import RollbackReads
from headgate.store.staged import StagedReads

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from headgate.model.breaker import BreakerRecord
    from headgate.model.plan import StoredPlan
    from headgate.model.run import Attempt, Run, RunState
    from headgate.model.schema_diff import Schema
    from headgate.model.version import Checkpoint, Version
    from headgate.store.records import (
        FailedPartition,
        Foretold,
        HeadColumns,
        JournalEntry,
        Made,
        PastAttempt,
        Spent,
        Tried,
        Uncollected,
    )
    from headgate.store.transaction import Transaction


class Store(LineageReads, QuarantineReads, StagedReads, RollbackReads, HousekeepingReads, MirrorReads, Protocol):
    """A state store, opened. One coordinator at a time; any number of readers. Not thread-safe.

    Iterators read as they go: use one up before the next write through the same store.
    """

    def transaction(self) -> AbstractContextManager[Transaction]:
        """Open a write transaction: committed and durable at the end of the block, absent if the block raises.

        Raises:
            UnavailableError: It could not be opened, so nothing changed; or the commit failed, and whether it took
                place is unknown; or the changes are stored, but not noted beside the data. The message says which.
                After the last two the caller must reload.
        """
        ...

    def snapshot(self) -> AbstractContextManager[None]:
        """Have all reads inside of the block see the store as it was at one moment. Nothing is written there.

        Keep it short: what others write meanwhile has to be kept beside it.
        """
        ...

    def next_id(self) -> int:
        """Return a number larger than that of every attempt and version ever recorded here; at least 1.

        It reserves nothing: the holder of the lead counts on from it. A staged file of an attempt with this number or
        a larger one proves that the store is older than the data.
        """
        ...

    def head_columns(self, dataset: str) -> Iterator[HeadColumns]:
        """Yield the heads of a dataset or source, many at a time, in no order."""
        ...

    def failed_partitions(
        self, dataset: str, key: str | None = None, *, unsure: bool = False
    ) -> Iterator[FailedPartition]:
        """Yield the partitions of a dataset, or the given one, if it failed last time in whichever run; in no order.

        An attempt that is tried again has not failed as long as its run may go on.

        Args:
            dataset: Name.
            key: Of one partition.
            unsure: Whether each counts that was begun and of which nothing was published since: also one that was
                lost in a crash, stopped in the middle, or has not ended. An attempt that yielded is gone on with, and
                does not count.
        """
        ...

    def heads(self, dataset: str, keys: Sequence[str] | None = None) -> Iterator[Version]:
        """Yield the head versions of a dataset; of the given keys only, if given. In no order."""
        ...

    def heads_as_of(self, dataset: str, until_ms: int) -> Iterator[tuple[Version, bool]]:
        """Yield the versions that readers of a dataset saw at a time, in no order.

        With each goes whether vacuum has removed its files; where another version holds the same content in other
        files, that one comes in its place.
        """
        ...

    def shown_since(self, version: int) -> int | None:
        """Return when readers first saw a version, in UTC milliseconds; None if they never did."""
        ...

    def schema_change(self, dataset: str, code: str) -> tuple[Schema, Schema] | None:
        """Return the schema of a dataset's newest head by other code, and that of the newest version by this code.

        None if either is not there, or has no rows and so no schema.
        """
        ...

    def datasets(self) -> list[str]:
        """Return the names of all datasets and sources that have heads, sorted."""
        ...

    def spelling(self, name: str) -> str | None:
        """Return the name of a dataset or source that was ever recorded, in whichever case it is given."""
        ...

    def version(self, version: int) -> Version | None:
        """Return a version by its id."""
        ...

    def checkpoints(self, dataset: str, key: str | None = None, *, limit: int = 1000) -> list[Checkpoint]:
        """Return the checkpoints of a dataset or partition, newest first."""
        ...

    def run_checkpoints(self, run: str) -> Iterator[Checkpoint]:
        """Yield the checkpoints of a run, in order of publishing (those of one call by attempt)."""
        ...

    def lineage(self, checkpoint: int) -> list[Version]:
        """Return the versions that a checkpoint pinned as inputs, by dataset and key."""
        ...

    def run(self, run: str) -> Run | None:
        """Return a run; the text may be an unambiguous prefix of its id. None if there is none.

        Raises:
            UsageError: Several runs start with the text.
        """
        ...

    def runs(self, *, limit: int = 100, states: frozenset[RunState] | None = None) -> list[Run]:
        """Return runs, newest first, with `plan` left empty: plans can be long, `run` has them.

        Args:
            limit: How many at most.
            states: Only runs in one of these states; in any, if None.
        """
        ...

    def plan(self, plan: str) -> StoredPlan | None:
        """Return a plan; the text may be an unambiguous prefix of its hash. None if there is none.

        Raises:
            UsageError: Several plans start with the text.
        """
        ...

    def plans(self, *, project: str | None = None, limit: int = 20) -> list[StoredPlan]:
        """Return plans, newest first, with `body` left empty; only those of a project, if one is given."""
        ...

    def attempts(self, run: str, *, dataset: str | None = None, key: str | None = None) -> list[Attempt]:
        """Return attempts of a run, in order of their numbers."""
        ...

    def made(self, run: str) -> list[Made]:
        """Return what has succeeded in a run, by dataset."""
        ...

    def taken(self, run: str) -> dict[str, int]:
        """Return how many tasks of a run another run has made, by dataset, as it was said when the run came to rest."""
        ...

    def made_by_others(self, run: str, dataset: str) -> Iterator[str]:
        """Yield the partitions of a dataset whose heads other runs have published since a run was submitted."""
        ...

    def last_attempts(self, run: str) -> list[Attempt]:
        """Return the last attempt of each task that has not succeeded in a run, in order of their numbers.

        Attempts that a worker gave back unstarted, or that yielded, do not count.
        """
        ...

    def unfinished_attempts(self, run: str) -> Iterator[Tried]:
        """Yield the newest attempt of each task of a run that was tried and has no checkpoint in it, in no order.

        Attempts that a worker gave back unstarted, or that yielded, do not count.
        """
        ...

    def durations(self, dataset: str, limit: int = 200) -> list[tuple[int, int]]:
        """Return how long the newest attempts of a dataset took that have a checkpoint, newest first.

        Returns:
            Milliseconds from start to publishing, or to quarantine for what was released from there, not below 0, and
            the bytes of the version.
        """
        ...

    def past_attempts(self, dataset: str, limit: int = 200) -> list[PastAttempt]:
        """Return what the newest attempts of a dataset took that have a checkpoint, newest first.

        What attempts of the same task took that had yielded counts in, time in quarantine does not. What was read is
        summed up as long as not too many versions were pinned in all.
        """
        ...

    def failures(self, dataset: str, first: int) -> dict[str, int]:
        """Return how many attempts of a dataset failed or were lost, by error class, from a number of attempts on."""
        ...

    def head_bytes(self, dataset: str, keys: Iterable[str]) -> dict[str, int]:
        """Return the bytes of the head versions of partitions, by key; only of those that have one."""
        ...

    def forecast(self, run: str) -> str | None:
        """Return what was forecast of a run when it began, as JSON text; None if nothing."""
        ...

    def foretold(self, *, run: str | None = None, limit: int = 50) -> list[Foretold]:
        """Return the runs of which something was forecast, newest first; only the given one, if given."""
        ...

    def spent(self, run: str) -> list[Spent]:
        """Return what the attempts of a run took that have ended, by dataset and in the order of names."""
        ...

    def command_answer(self, command: int) -> str | None:
        """Return the answer to a command: empty for accepted, else why it was refused.

        None while it waits for the coordinator, and when nothing is known of it any more.
        """
        ...

    def breakers(self) -> list[BreakerRecord]:
        """Return the breakers that are not closed or have failures, by name."""
        ...

    def live(self, run: str) -> tuple[str, int] | None:
        """Return what the coordinator last said of a run and when; None if nothing. It may have died since."""
        ...

    def running_attempts(self) -> list[Attempt]:
        """Return every attempt in state running."""
        ...

    def uncollected_attempts(self) -> list[Uncollected]:
        """Return attempts that do not run and whose staging paths are still recorded: what is there is garbage.

        In order of their ids. Succeeded ones are among them when the content had not changed; those whose results are
        held in quarantine are not.
        """
        ...

    def parts_in_use(self, attempts: Iterable[int]) -> set[str]:
        """Return the paths of files that are no garbage, whatever attempt made them.

        Those that saved batches name or that are held in quarantine, and those that the tasks of attempts have
        published.
        """
        ...

    def journal_entries(
        self,
        *,
        limit: int | None = None,
        run: str | None = None,
        kind: str | None = None,
        since_ms: int | None = None,
    ) -> Iterator[JournalEntry]:
        """Yield journal entries, oldest first.

        Args:
            limit: The newest so many only.
            run: Only those about this run.
            kind: Only those of this kind, and of kinds that begin with it and a dot or a space: `run` also finds
                `run.failed`, `set` finds `set refused`.
            since_ms: Only those written at this time or later.
        """
        ...

    def check_journal(self) -> list[str]:
        """Return where the journal's hash chain is broken, as sentences."""
        ...

    def journal_seq(self) -> int:
        """Return the number of the newest journal entry, 0 if there is none: while it stands, nothing was written."""
        ...

    def check(self) -> list[str]:
        """Return what is wrong inside the store, as sentences: integrity, journal chain, dangling references."""
        ...

    def lead(self, doing: str = "") -> AbstractContextManager[None]:
        """Hold the coordinator's lock, which dies with this process.

        Args:
            doing: What for, such as "run 2013-...", for the message that others get.

        Raises:
            ConflictError: Another coordinator is alive; the message names its process and run.
        """
        ...

    def leader(self) -> str | None:
        """Return who holds the coordinator's lock now, as text; None if nobody."""
        ...

    def close(self) -> None:
        """Close it. Idempotent."""
        ...
