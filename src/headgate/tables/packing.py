"""Packs: many small files as one, with one row group for each partition.

A pack is written, made durable and read back like any staged file. Then every row group is decoded from storage: its
content checksum must be the one that was recorded when the partition was published, or it is not packed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa

from headgate.crashpoints import crash_point
from headgate.errors import UnavailableError
from headgate.tables.checksum import ContentChecksum
from headgate.tables.opened import Piece, arrow, arrow_batches, arrow_schema, group_bytes
from headgate.tables.staging import NewFile, form_of, refusals, writer_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class PackedFile:
    """A pack as it lies on disk.

    Args:
        bytes: Its size.
        hash: ``sha256:hex`` of its bytes.
        groups: Its row groups, one for each partition, in order.
    """

    bytes: int
    hash: str
    groups: tuple[Group, ...]


@dataclass(frozen=True, slots=True)
class Group:
    """A row group as it reads back: its rows, the size of its columns in the file, and its content checksum."""

    rows: int
    bytes: int
    content: str


def write_pack(path: Path, partitions: Sequence[Sequence[Piece]]) -> PackedFile:
    """Write partitions to a new file, one row group each, fsync it, and decode what was written.

    Args:
        path: A path that does not exist, in a directory that does.
        partitions: The files of each, whose columns have the same names and kinds in all.

    Returns:
        What the file holds: whether that is what it should hold, the caller compares.

    Raises:
        UnavailableError: The file system refused, or a file cannot be read.
    """
    form = form_of(arrow_schema(partitions[0][0]))
    with NewFile(path) as file:
        with pa.PythonFile(file, mode="w") as sink, writer_of(sink, form) as writer:
            for table in _tables(partitions, form.schema):
                with refusals():
                    writer.write_table(table, row_group_size=max(1, table.num_rows))
                crash_point("compact.mid_pack")
        file.fsync()
        crash_point("compact.after_pack")
        try:
            groups = tuple(_group(path, number) for number in range(len(partitions)))
            return PackedFile(path.stat().st_size, file.hash(), groups)
        except (OSError, pa.ArrowException) as error:
            raise UnavailableError(f"{path} cannot be read back: {error}") from error


def _tables(partitions: Sequence[Sequence[Piece]], schema: pa.Schema) -> Iterator[pa.Table]:
    for pieces in partitions:
        try:
            tables = [arrow(piece) for piece in pieces]
        except (OSError, pa.ArrowException) as error:
            raise UnavailableError(f"{pieces[0].path} cannot be read: {error}") from error
        with refusals():
            # They differ in encoding only, which is no part of a recorded schema.
            yield pa.concat_tables(table.cast(schema) for table in tables).combine_chunks()


def _group(path: Path, number: int) -> Group:
    checksum = ContentChecksum()
    for batch in arrow_batches(Piece(str(path), number)):
        checksum.update(batch)
    return Group(checksum.rows, group_bytes(str(path), number), checksum.text())
