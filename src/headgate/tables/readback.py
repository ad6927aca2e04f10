"""Reading data files back from storage to see what they really hold."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from headgate.tables.checksum import ContentChecksum

if TYPE_CHECKING:
    from pathlib import Path

SMALL_BYTES = 8 * 1024 * 1024
BATCH_ROWS = 65_536


@dataclass(frozen=True, slots=True)
class ReadBack:
    """What a file holds: its size, ``sha256:hex`` of its bytes, and rows and content of what they decode to.

    `table` is what was decoded, for small files only.
    """

    bytes: int
    hash: str
    rows: int
    content: str
    table: pa.Table | None


def hash_file(path: Path) -> str:
    """Return ``sha256:hex`` of the bytes of a file.

    Raises:
        OSError: It cannot be read.
    """
    with path.open("rb") as file:
        return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()


def read_back(path: Path) -> ReadBack:
    """Read a Parquet file from storage and decode all of it, in bounded memory.

    Raises:
        OSError: It cannot be read.
        pa.ArrowException: It is no Parquet file, or a damaged one.
    """
    checksum = ContentChecksum()
    encoded = _read_small(path)
    if encoded is not None:
        table = _open(pa.BufferReader(encoded)).read(use_threads=False)
        for batch in table.to_batches():
            checksum.update(batch)
        digest = "sha256:" + hashlib.sha256(encoded).hexdigest()
        return ReadBack(len(encoded), digest, checksum.rows, checksum.text(), table)
    digest = hash_file(path)
    with pa.OSFile(str(path)) as file:
        for batch in _open(file).iter_batches(batch_size=BATCH_ROWS, use_threads=False):
            checksum.update(batch)
    return ReadBack(path.stat().st_size, digest, checksum.rows, checksum.text(), None)


def _read_small(path: Path) -> bytes | None:
    """Return the bytes of a file; None if it is large."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        size = os.fstat(descriptor).st_size
        return os.read(descriptor, size) if size <= SMALL_BYTES else None
    finally:
        os.close(descriptor)


def _open(file: pa.NativeFile) -> pq.ParquetFile:
    return pq.ParquetFile(file, pre_buffer=False)
