"""The contract of state stores.

Everything that must survive is written in a `Transaction`; one transaction is durable or absent as a whole. Reads
outside a transaction see the last committed state. Times are UTC milliseconds and come from the caller.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple, Protocol

from headgate.model.run import ErrorClass, Failure
from headgate.store.housekeeping import HousekeepingReads, HousekeepingWrites
from headgate.store.lineage import LineageReads
from headgate.store.mirror import MirrorReads, MirrorWrites
from headgate.store.quarantine import QuarantineReads, QuarantineWrites
from headgate.store.rollback import RollbackReads, RollbackWrites
from headgate.store.schemas import SchemaReads
from headgate.store.staged import StagedReads, StagedWrites

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    import numpy as np
    from numpy.typing import NDArray

    from headgate.model.audit import GateFinding
    from headgate.model.breaker import BreakerRecord
    from headgate.model.plan import Decision, StoredPlan
    from headgate.model.run import Attempt, AttemptState, Run, RunState
    from headgate.model.version import Checkpoint, File, Version

Schema = tuple[tuple[str, str], ...]

OVERTAKEN = Failure(ErrorClass.PERMANENT, "a newer version was published meanwhile", "Plan again.")
"""Why a superseded attempt failed whose head was moved under it."""


class Candidate(NamedTuple):
    """What an attempt offers for publishing. Fields as in `Version` and `Checkpoint`.

    `inputs` are the ids of the pinned versions, the lineage. `renews` asks for a new version even if the content is
    that of the head, because the head's files are damaged. `gates` is what gates said of it. `origin` is the
    identity of the head that a compaction holds again in other files. `parameters` is the JSON text of those that
    the attempt was given. `lifts_holds` says that somebody decided to build also what rollbacks hold that are older
    than the run.
    """

    attempt: int
    run: str
    dataset: str
    key: str
    files: tuple[File, ...]
    rows: int
    bytes: int
    content: str
    schema: tuple[tuple[str, str], ...] | None
    code: str
    declared_version: str | None
    inputs: tuple[int, ...]
    inputs_digest: int
    watermark_ms: int | None
    offsets: dict[str, int | str] | None
    started_ms: int
    renews: bool = False
    gates: tuple[GateFinding, ...] = ()
    origin: int | None = None
    parameters: str | None = None
    lifts_holds: bool = False


class Published(StrEnum):
    """What became of a candidate.

    NEW: a new version is the head. UNCHANGED: same content and schema as the head, which stays (early cut-off).
    FENCED: the attempt is not the running one any more. SUPERSEDED: the head moved since the attempt started,
    or a rollback holds the partition or took back what the attempt has read.
    """

    NEW = "new"
    UNCHANGED = "unchanged"
    FENCED = "fenced"
    SUPERSEDED = "superseded"


@dataclass(frozen=True, slots=True)
class Observation:
    """A version of a source's partition, as its file was found."""

    dataset: str
    key: str
    file: File


class HeadColumns(NamedTuple):
    """What planning needs to know of some heads: their versions, and how their checkpoints came to be.

    Args:
        keys: In UTF-8.
        version: Ids of the versions.
        inputs_digest: Of the checkpoints.
        code: Which of `codes` made each.
        codes: Code fingerprints.
        attempt: Of the checkpoints.

    Shape:
        Each array: (heads,).
    """

    keys: NDArray[np.bytes_]
    version: NDArray[np.int64]
    inputs_digest: NDArray[np.uint64]
    code: NDArray[np.int32]
    codes: tuple[str, ...]
    attempt: NDArray[np.int64]


class FailedPartition(NamedTuple):
    """A partition whose last attempt that came to an end failed, with nothing published since.

    `error` is empty for an attempt of which nobody knows how far it came.
    """

    key: str
    attempt: int
    run: str
    error: str


@dataclass(frozen=True, slots=True)
class Made:
    """How many tasks of a dataset have succeeded in a run, and how many of these published new content."""

    dataset: str
    succeeded: int
    new: int


@dataclass(frozen=True, slots=True)
class Tried:
    """The newest attempt of a task without a checkpoint: its number among the tries, where it stands, and its id."""

    dataset: str
    key: str
    number: int
    state: AttemptState
    attempt: int


class PastAttempt(NamedTuple):
    """What an attempt that was published took: time from start to publishing, what it read and what it wrote.

    What it read is None where that would take long to add up. `is_first` says that it began before anything of its run
    was published.
    """

    attempt: int
    elapsed_ms: int
    read_bytes: int | None
    bytes: int
    is_first: bool


class Foretold(NamedTuple):
    """What was forecast of a run, and how it stands.

    `was_disturbed` says that it was interrupted, that somebody paused, changed, cancelled or retried it, or that
    attempts of it failed for good; `was_guessed` that durations were assumed.
    """

    run: str
    state: RunState
    created_ms: int
    finished_ms: int | None
    p50_ms: int | None
    p90_ms: int | None
    was_disturbed: bool
    was_guessed: bool


@dataclass(frozen=True, slots=True)
class Spent:
    """What the attempts of a dataset took in a run, together; a ranged one counts once."""

    dataset: str
    attempts: int
    elapsed_ms: int
    read_bytes: int
    written_bytes: int


@dataclass(frozen=True, slots=True)
class Uncollected:
    """An attempt that has ended, and the path where it may have staged what nobody needs."""

    attempt: int
    path: str


@dataclass(frozen=True, slots=True)
class SavedBatch:
    """A batch checkpoint: durable progress inside an attempt, from which the next attempt of the task goes on.

    Args:
        attempt: The attempt that made it.
        file: The part of the result that it added.
        content: Checksum of that part.
        offset: Where the next attempt goes on.
        schema: Schema of the part, as in `Version`.
        watermark_ms: What the function had said by then, as in `Checkpoint`.
        offsets: Likewise.
        inputs_digest: Digest of the inputs that were pinned.
        code: Fingerprint of the code.
    """

    attempt: int
    file: File
    content: str
    offset: int | str
    schema: tuple[tuple[str, str], ...]
    watermark_ms: int | None
    offsets: dict[str, int | str] | None
    inputs_digest: int
    code: str


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """One entry of the append-only, hash-chained journal."""

    seq: int
    at_ms: int
    author: str
    kind: str
    run: str
    reason: str
    body: str
    hash: str


@dataclass(frozen=True, slots=True)
class Command:
    """A request to a live coordinator, left as a row by another process.

    Args:
        id: By which its answer is found; never given twice.
        run: The run that it is about; empty for one about a pool or a breaker.
        verb: What to do.
        author: Who asks.
        reason: Why.
        arguments: What the verb needs to know, as JSON can say it.
    """

    id: int
    run: str
    verb: str
    author: str
    reason: str
    arguments: dict[str, object] = field(default_factory=dict)


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
        were cancelled, or wait for this one. For SUPERSEDED the attempt is superseded, with the failure of
        `why_superseded`; for FENCED one that was lost is fenced; and nothing else changed. One journal entry for the
        call, if anything was published. Two candidates of one call never share a partition.

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
            Milliseconds from start to publishing, not below 0, and the bytes of the version.
        """
        ...

    def past_attempts(self, dataset: str, limit: int = 200) -> list[PastAttempt]:
        """Return what the newest attempts of a dataset took that have a checkpoint, newest first.

        What attempts of the same task took that had yielded counts in. What was read is summed up as long as not too
        many versions were pinned in all.
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
