"""Checking published files against what their versions say."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from headgate.model.version import File

HASHED_BYTES = 8 * 1024 * 1024
"""Files of up to this size are hashed whenever somebody queries them."""


def verify_file(path: Path, expected: File, content: str) -> list[str]:
    """Return what is wrong with a data file, as sentences; nothing if it is what its version says.

    Args:
        path: Where it lies.
        expected: What the version says of the file.
        content: Content checksum of the version; empty to check the bytes only.
    """
    return verify_bytes(path, expected) or (verify_content([path], [expected], content) if content else [])


def verify_bytes(path: Path, expected: File) -> list[str]:
    """Return what is wrong with the size and the hash of a whole file, as sentences.

    Args:
        path: Where it lies.
        expected: What its version says.
    """
    try:
        size = path.stat().st_size
        if size != expected.bytes:
            return [f"{path} has {size} bytes instead of {expected.bytes}"]
        with path.open("rb", buffering=0) as file:
            found = "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        return [f"{path} cannot be read: {error.strerror}"]
    return [] if found == expected.hash else [f"{path} has the hash {found} instead of {expected.hash}"]


def verify_for_reading(path: Path, expected: File) -> list[str]:
    """Return what is wrong with a file, as sentences, before a library reads it that checks no pages: Polars, DuckDB.

    The hash is compared of files of up to `HASHED_BYTES`, the size of all.

    Args:
        path: Where it lies.
        expected: What its version says.
    """
    if expected.bytes <= HASHED_BYTES:
        return verify_bytes(path, expected)
    try:
        size = path.stat().st_size
    except OSError as error:
        return [f"{path} cannot be read: {error.strerror}"]
    return [] if size == expected.bytes else [f"{path} has {size} bytes instead of {expected.bytes}"]


def verify_content(
    paths: Sequence[Path], expected: Sequence[File], content: str, *, may_be_gone: bool = False
) -> list[str]:
    """Return what is wrong with the rows of a version, whose bytes are what it says, as sentences.

    Everything is decoded, in bounded memory.

    Args:
        paths: Where its files lie.
        expected: What it says of them, in the same order.
        content: Its content checksum; one of another algorithm, and none, are not compared.
        may_be_gone: Whether nothing is wrong with a file that is not there: somebody may remove it at any moment.
    """
    import pyarrow as pa

    from headgate.tables.checksum import ALGORITHM, combined

    found: list[str] = []
    for path, file in zip(paths, expected, strict=True):
        where = str(path) if file.row_group is None else f"row group {file.row_group} of {path}"
        try:
            rows, checksum = _decoded(path, file.row_group)
        except (OSError, pa.ArrowException) as error:
            if may_be_gone and isinstance(error, FileNotFoundError):
                return []
            return [f"{where} cannot be read: {error}"]
        if rows != file.rows:
            return [f"{where} has {rows} rows instead of {file.rows}"]
        found.append(checksum)
    if not content.startswith(f"{ALGORITHM}:") or not found:
        return []
    together = found[0] if len(found) == 1 else combined(found)
    what = where if len(found) == 1 else f"{paths[0]} and the other parts"
    verb = "has" if len(found) == 1 else "have"
    return [] if together == content else [f"{what} {verb} the content {together} instead of {content}"]


def _decoded(path: Path, row_group: int | None) -> tuple[int, str]:
    """Decode a whole Parquet file, or a row group of it; return its rows and its content checksum."""
    from headgate.tables.checksum import ContentChecksum
    from headgate.tables.opened import Piece, arrow_batches

    checksum = ContentChecksum()
    for batch in arrow_batches(Piece(str(path), row_group)):
        checksum.update(batch)
    return checksum.rows, checksum.text()
