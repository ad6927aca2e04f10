"""Staging: a new file, written once, made durable and read back before anybody may publish it.

The file is created exclusively under a path that no other attempt has, and fsynced here. Its directory exists already;
the coordinator fsyncs that before it publishes (`layout.fsync_directories`), once for many files.

The audit reads the file back from storage: its bytes must be those that were written, and its footer must be
readable and count the rows that went in. It does not decode the columns again: that would cost as much as all the rest,
and `headgate check --state` does it for who wants it.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from headgate.crashpoints import crash_point
from headgate.errors import UnavailableError, UsageError
from headgate.tables.checksum import ContentChecksum
from headgate.tables.recent import SMALL_BYTES, recent
from headgate.tables.schema import schema_text, stored_schema

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path
    from typing import Self

    from typing_extensions import Buffer

GROUP_ROWS = 1_048_576
GROUP_BYTES = 128 * 1024 * 1024

_DISK_HINT = "Look at the disk (free space, quotas, the system log), then retry the run."


@dataclass(frozen=True, slots=True)
class StagedTable:
    """A staged file and what it holds: fields as in `Version` and `File`."""

    path: Path
    rows: int
    bytes: int
    hash: str
    content: str
    schema: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Form:
    """How tables of one schema are stored.

    Args:
        schema: The schema of the file.
        texts: The columns that are worth a dictionary.
        text: The schema as it is recorded.
    """

    schema: pa.Schema
    texts: list[str]
    text: tuple[tuple[str, str], ...]


def stage(path: Path, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> StagedTable:
    """Write batches to a new Parquet file, fsync it, and audit it by reading it back.

    Args:
        path: A path that does not exist, in a directory that does.
        schema: The schema of every batch.
        batches: The rows; what raises there passes through, and the file is removed.

    Raises:
        UsageError: The table has no columns, two of one name, or a type that cannot be stored.
        UnavailableError: The file system refused, or what was read back is not what was written. Never retried here:
            after a failed fsync nobody knows what is on disk.
    """
    form = form_of(schema)
    # Before the next one is asked for: who yields them may fill the same memory again.
    source = (_own(_cast(batch, form.schema)) for batch in batches)
    head: list[pa.RecordBatch] = []
    head_bytes = 0
    for batch in source:
        head.append(batch)
        head_bytes += batch.get_total_buffer_size()
        if head_bytes > SMALL_BYTES:
            return _stage_stream(path, form, chain(head, source))
    return _stage_whole(path, form, pa.Table.from_batches(head, form.schema))


@lru_cache(maxsize=256)
def form_of(schema: pa.Schema) -> Form:
    """Return how tables of a schema are stored."""
    stored = stored_schema(schema)
    # A dictionary is tried on every value: half of the time for numbers that hardly repeat.
    return Form(stored, [field.name for field in stored if _is_text(field.type)], schema_text(stored))


def _stage_whole(path: Path, form: Form, table: pa.Table) -> StagedTable:
    """Stage a small table, which is encoded in memory."""
    sink = pa.BufferOutputStream()
    with writer_of(sink, form) as writer, refusals():
        writer.write_table(table)
    checksum = ContentChecksum()
    for batch in table.to_batches():
        checksum.update(batch)
    encoded = sink.getvalue()
    crash_point("worker.before_stage")
    with NewFile(path) as file:
        file.write(encoded[: len(encoded) // 2])
        file.write(encoded[len(encoded) // 2 :])
        file.fsync()
        crash_point("worker.after_write")
        staged = _audited(file, form, checksum, encoded)
    recent.keep(str(path), staged.hash, table, table.get_total_buffer_size())
    return staged


def _stage_stream(path: Path, form: Form, batches: Iterable[pa.RecordBatch]) -> StagedTable:
    """Stage a table of any size in bounded memory."""
    checksum = ContentChecksum()
    crash_point("worker.before_stage")
    with NewFile(path) as file:
        with pa.PythonFile(file, mode="w") as sink, writer_of(sink, form) as writer:
            for group in _groups(batches):
                for batch in group:
                    checksum.update(batch)
                with refusals():
                    writer.write_table(pa.Table.from_batches(group, form.schema), row_group_size=GROUP_ROWS)
        file.fsync()
        crash_point("worker.after_write")
        return _audited(file, form, checksum)


def _groups(batches: Iterable[pa.RecordBatch]) -> Iterator[list[pa.RecordBatch]]:
    """Yield batches together until they are worth a row group."""
    group: list[pa.RecordBatch] = []
    rows = size = 0
    for batch in batches:
        group.append(batch)
        rows += batch.num_rows
        size += batch.nbytes
        if rows >= GROUP_ROWS or size >= GROUP_BYTES:
            yield group
            group, rows, size = [], 0, 0
    if group:
        yield group


def _cast(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    if batch.schema.equals(schema):
        return batch
    with refusals():
        # Not `batch.cast`, which casts every column, also those that have the right type.
        columns = [
            column if column.type.equals(field.type) else column.cast(field.type)
            for column, field in zip(batch.columns, schema, strict=True)
        ]
        return pa.RecordBatch.from_arrays(columns, schema=schema)


def _own(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Return a batch in memory of its own: that of a function's may change, or be part of something large."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    own = pa.ipc.open_stream(sink.getvalue()).read_next_batch()
    if own.schema.equals(batch.schema):
        return own
    # Extension types that nobody has registered come back as what they are stored as.
    columns = [
        column if column.type.equals(field.type) else pa.ExtensionArray.from_storage(field.type, column)
        for column, field in zip(own.columns, batch.schema, strict=True)
    ]
    return pa.RecordBatch.from_arrays(columns, schema=batch.schema)


def writer_of(sink: pa.NativeFile, form: Form) -> pq.ParquetWriter:
    """Return what writes tables as they are stored."""
    with refusals():
        # Without checksums of pages a flipped bit in a column gives wrong rows, not an error: zstd notices few of them.
        return pq.ParquetWriter(
            sink, form.schema, compression="zstd", use_dictionary=form.texts, write_page_checksum=True
        )


def _is_text(kind: pa.DataType) -> bool:
    types = pa.types
    return bool(types.is_large_string(kind) or types.is_string(kind) or types.is_dictionary(kind))


@contextmanager
def refusals() -> Iterator[None]:
    """Say in a user's words what the Parquet writer cannot store."""
    try:
        yield
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError) as error:
        raise UsageError(
            f"the result cannot be stored as Parquet: {error}", hint="Convert the column to a plain type first."
        ) from error


def _audited(file: NewFile, form: Form, checksum: ContentChecksum, encoded: pa.Buffer | None = None) -> StagedTable:
    """Read a file back and compare its bytes and rows with what was written.

    Args:
        file: The file.
        form: How its table is stored.
        checksum: That of the rows.
        encoded: Its bytes if they are in memory still; without them hashes are compared.

    Raises:
        UnavailableError: It cannot be read, or holds something else.
    """
    try:
        with file.path.open("rb") as opened:
            if encoded is None:
                source: Any = opened
                is_same = "sha256:" + hashlib.file_digest(opened, "sha256").hexdigest() == file.hash()
            else:
                source = pa.py_buffer(opened.read())
                is_same = encoded.equals(source)
            size = os.fstat(opened.fileno()).st_size
            rows = pq.ParquetFile(source, pre_buffer=False).metadata.num_rows
    except (OSError, pa.ArrowException) as error:
        raise UnavailableError(f"{file.path} cannot be read back: {error}", hint=_DISK_HINT) from error
    if not is_same or rows != checksum.rows:
        raise UnavailableError(
            f"{file.path} does not read back as it was written: {rows} of {checksum.rows} rows, "
            f"{'the same' if is_same else 'other'} bytes",
            hint=_DISK_HINT,
        )
    crash_point("worker.after_audit")
    return StagedTable(file.path, rows, size, file.hash(), checksum.text(), form.text)


class NewFile:
    """A file created exclusively and removed again unless the block ends well."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor = -1
        self._digest = hashlib.sha256()
        self._written = False

    def __enter__(self) -> Self:
        try:
            self._descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise self._failed("create", error) from error
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        os.close(self._descriptor)
        if kind is not None:
            with suppress(OSError):
                self.path.unlink()

    def write(self, data: Buffer) -> int:
        """Write all of the data."""
        rest = memoryview(data).cast("B")
        size = len(rest)
        self._digest.update(rest)
        try:
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
        except OSError as error:
            raise self._failed("write", error) from error
        if not self._written:
            self._written = True
            crash_point("worker.mid_write")
        return size

    def fsync(self) -> None:
        """Make it durable. After a failure nobody knows what is on disk."""
        try:
            os.fsync(self._descriptor)
        except OSError as error:
            raise self._failed("fsync", error) from error

    def hash(self) -> str:
        """Return ``sha256:hex`` of what was written."""
        return f"sha256:{self._digest.hexdigest()}"

    def _failed(self, what: str, error: OSError) -> UnavailableError:
        return UnavailableError(f"cannot {what} {self.path}: {error.strerror}", hint=_DISK_HINT)

    # What pa.PythonFile asks of a file beside `write`.
    closed = False

    def flush(self) -> None:
        """Do nothing: nothing is buffered."""

    def close(self) -> None:
        """Do nothing: the block closes it."""
