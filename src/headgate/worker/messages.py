"""What goes between the coordinator and whatever runs attempts: schema'd msgpack, no pickle.

Structs travel as arrays, so their fields may only be appended. A frame is 4 bytes of length (big-endian) and one
msgpack list of messages. Decoding checks types: a message that does not fit raises `msgspec.ValidationError`.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import msgspec

from headgate.model.gate import Severity  # noqa: TC001 (msgspec reads annotations)
from headgate.model.run import ErrorClass  # noqa: TC001

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

MAX_FRAME_BYTES = 64 * 1024 * 1024


class Struct(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Base of every message: an immutable array."""


class FilePin(Struct, frozen=True):
    """One input file: absolute path or URL, bytes and hash as recorded, and the key of its partition.

    `row_group` says which row group of it is the partition's; None for all of it. Bytes and hash are of the whole file.
    """

    path: str
    bytes: int
    hash: str
    key: str
    row_group: int | None = None


class InputPin(Struct, frozen=True):
    """One input of an attempt, pinned: the parameter it fills, the dataset, the encoding and the files.

    `keys` are the pinned partitions in order, also those without files. `immutable` says that the files are
    Headgate's own, which never change.
    """

    parameter: str
    dataset: str
    format: str
    keys: list[str]
    files: list[FilePin]
    immutable: bool = False


class StagedPart(Struct, frozen=True):
    """One part of a result, staged, fsynced and audited: absolute path, rows, bytes, hash, content checksum."""

    path: str
    rows: int
    bytes: int
    hash: str
    content: str


class Resume(Struct, frozen=True):
    """Where an attempt goes on: what was saved with the last batch checkpoint, and all parts up to there.

    `schema` is that of every part; `watermark_ms` and `offsets` are what the function had said by then.
    """

    offset: int | str
    parts: list[StagedPart]
    schema: list[tuple[str, str]]
    watermark_ms: int | None
    offsets: dict[str, int | str] | None


class Baseline(Struct, frozen=True):
    """What gates compare a result with beside its own rows, as the state store had it when the order was made.

    Args:
        rows: Rows of the version that readers see; None where there is none.
        neighbours: Rows of the partitions around it in time that have a version, the nearest first.
        files: Files of the version that readers see, for gates that compare with its content.
        reads: For each input of the order the keys that this partition reads, for gates that look into inputs.
    """

    rows: int | None
    neighbours: list[int]
    files: list[FilePin]
    reads: list[list[str]]


class Member(Struct, frozen=True):
    """One of the partitions that a ranged attempt takes; the fields are those of `Order`."""

    attempt: int
    key: str
    window: tuple[int, int] | None
    number: int
    stage: str
    baseline: Baseline | None = None


class Order(Struct, frozen=True):
    """One attempt to run, or a ranged one: neighbouring partitions of a dataset in one call of its function.

    A ranged attempt has members, and the number, key, try and place of the first of them; its window spans them all,
    and its inputs are everything that any of them reads, each file once.

    Args:
        attempt: Its number: identity and fencing token.
        entry: The function, as ``module:function``.
        dataset: Name.
        key: Partition key.
        window: ``(start_ms, end_ms)``, UTC; None without a time axis.
        number: First, second, ... try of this task.
        run: Run id.
        inputs: What it reads.
        stage: Absolute path of the file it may create.
        parameters: What the project declares for its functions.
        is_async: Whether it belongs into the I/O worker.
        timeout_ms: Time limit; None for none.
        code: Fingerprint that the function must have; empty for any.
        declared_version: What the author's `version=` adds to it.
        service_class: Class of its run.
        spread: Among how many workers, at most, the orders of this class may be at a time; 0 for all.
        batches_ms: How often at most progress is saved; None if the function yields no batches.
        resume: Where it goes on; None at the beginning.
        members: The partitions of a ranged attempt, in order of the grid; none for an ordinary one.
        partition_column: Column of the result that says which of them a row belongs to.
        zone: Time zone of the dataset's windows, for dates and times without one in that column.
        baseline: What its gates compare the result with; None if they need nothing beside it and the inputs.
    """

    attempt: int
    entry: str
    dataset: str
    key: str
    window: tuple[int, int] | None
    number: int
    run: str
    inputs: list[InputPin]
    stage: str
    parameters: dict[str, str | int | float | bool]
    is_async: bool
    timeout_ms: int | None
    code: str = ""
    declared_version: str | None = None
    service_class: str = ""
    spread: int = 0
    batches_ms: int | None = None
    resume: Resume | None = None
    members: list[Member] = []
    partition_column: str = ""
    zone: str = "UTC"
    baseline: Baseline | None = None


class StagedFile(Struct, frozen=True):
    """One file that an attempt has staged, fsynced and audited: absolute path, rows, bytes, hash."""

    path: str
    rows: int
    bytes: int
    hash: str


class GateResult(Struct, frozen=True):
    """What a gate found.

    Args:
        gate: Its name, such as ``not_null(dep_delay)``.
        severity: What it means if it does not hold.
        passed: Whether it holds.
        text: What was found, for people: ``12 of 842 rows are null``.
    """

    gate: str
    severity: Severity
    passed: bool
    text: str


class Staged(Struct, frozen=True, tag="staged"):
    """An attempt has succeeded: what waits to be published. No files: an effect elsewhere.

    `gates` are what the dataset's gates found, in the order of their declaration. `content` and `schema` are those of
    `Version`. Times are wall clock UTC milliseconds, for the record only; `elapsed_ms` comes from the monotonic clock.
    """

    attempt: int
    files: list[StagedFile]
    rows: int
    bytes: int
    content: str
    schema: list[tuple[str, str]] | None
    watermark_ms: int | None
    offsets: dict[str, int | str] | None
    started_ms: int
    elapsed_ms: float
    gates: list[GateResult] = []


class Failed(Struct, frozen=True, tag="failed"):
    """An attempt has failed; the fields are those of `Failure`."""

    attempt: int
    error_class: ErrorClass
    message: str
    hint: str
    traceback: str


class Split(Struct, frozen=True, tag="split"):
    """A ranged attempt has ended: what became of each of its members, in order. `attempt` is that of the order."""

    attempt: int
    members: list[Staged | Failed]


class Progressed(Struct, frozen=True, tag="progressed"):
    """A running attempt has staged a part; once that is recorded, another attempt can go on at `offset`.

    No outcome: the attempt goes on. The other fields are those of `Resume`.
    """

    attempt: int
    part: StagedPart
    offset: int | str
    schema: list[tuple[str, str]]
    watermark_ms: int | None
    offsets: dict[str, int | str] | None


class Yielded(Struct, frozen=True, tag="yielded"):
    """An attempt stopped after a checkpoint because it was asked to; another one goes on from there."""

    attempt: int


class Returned(Struct, frozen=True, tag="returned"):
    """Attempts that never started are given back: something slow runs in front of them."""

    attempts: list[int]


class Cancelled(Struct, frozen=True, tag="cancelled"):
    """An attempt was stopped because the coordinator asked for it."""

    attempt: int


class Lost(Struct, frozen=True, tag="lost"):
    """An attempt's worker died, hung or was killed. Made by executors, never sent by workers."""

    attempt: int
    why: str


class Beat(Struct, frozen=True, tag="beat"):
    """A worker lives; `attempt` is what it runs now, 0 for nothing or many."""

    attempt: int


class Drop(Struct, frozen=True, tag="drop"):
    """To a worker: do not start these, or cancel them if they run in the I/O worker."""

    attempts: list[int]


class YieldUp(Struct, frozen=True, tag="yield"):
    """To a worker: stop these at their next batch checkpoint; give back those that have not started."""

    attempts: list[int]


class Work(Struct, frozen=True, tag="work"):
    """To a worker: run these, in order."""

    orders: list[Order]


Ending = Staged | Failed | Split | Yielded
"""How an attempt that has run comes back."""
Outcome = Ending | Returned | Cancelled | Lost
Report = Outcome | Progressed
AttemptReport = Staged | Failed | Yielded | Returned | Cancelled | Lost | Progressed
"""What is left when ranged attempts are taken apart (`drivers.ranged`)."""
FromWorker = Ending | Returned | Cancelled | Progressed | Beat
ToWorker = Work | Drop | YieldUp

_LENGTH = struct.Struct(">I")
_encoder = msgspec.msgpack.Encoder()
to_worker = msgspec.msgpack.Decoder(list[ToWorker])
from_worker = msgspec.msgpack.Decoder(list[FromWorker])


def frame(messages: Sequence[ToWorker] | Sequence[FromWorker]) -> bytes:
    """Return messages as one frame.

    Raises:
        ValueError: They are longer than `MAX_FRAME_BYTES`, or a text is not Unicode (a file name that is not UTF-8).
    """
    body = _encoder.encode(messages)
    if len(body) > MAX_FRAME_BYTES:
        raise ValueError(f"a frame of {len(body)} bytes is longer than {MAX_FRAME_BYTES}")
    return _LENGTH.pack(len(body)) + body


def split_frames(buffer: bytearray) -> Iterator[bytes]:
    """Take the complete frames out of a buffer, one by one, and give their bodies.

    Raises:
        ValueError: A frame says that it is longer than `MAX_FRAME_BYTES`. Those before it have been given.
    """
    while len(buffer) >= 4:
        (length,) = _LENGTH.unpack_from(buffer)
        if length > MAX_FRAME_BYTES:
            raise ValueError(f"a frame of {length} bytes is longer than {MAX_FRAME_BYTES}")
        if len(buffer) - 4 < length:
            return
        body = bytes(buffer[4 : 4 + length])
        del buffer[: 4 + length]
        yield body
