"""What state stores take and give: candidates and verdicts, what planning and forecasts ask, journal, commands."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from headgate.model.run import ErrorClass, Failure

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from headgate.model.audit import GateFinding
    from headgate.model.run import AttemptState, RunState
    from headgate.model.version import File

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
