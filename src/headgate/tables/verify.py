"""Checking published files against what their versions say."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from headgate.model.version import File

BATCH_ROWS = 65_536


def verify_file(path: Path, expected: File, content: str) -> list[str]:
    """Return what is wrong with a data file, as sentences; nothing if it is what its version says.

    Args:
        path: Where it lies.
        expected: What the version says of the file.
        content: Content checksum of the version; empty to check the bytes only.
    """
    try:
        size = path.stat().st_size
    except OSError as error:
        return [f"{path} cannot be read: {error.strerror}"]
    if size != expected.bytes:
        return [f"{path} has {size} bytes instead of {expected.bytes}"]

    import pyarrow as pa

    from headgate.tables.checksum import ALGORITHM

    try:
        with path.open("rb") as file:
            found_hash = "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()
        if found_hash != expected.hash:
            return [f"{path} has the hash {found_hash} instead of {expected.hash}"]
        if not content:
            return []
        rows, found = _decoded(path)
    except (OSError, pa.ArrowException) as error:
        return [f"{path} cannot be read: {error}"]
    if rows != expected.rows:
        return [f"{path} has {rows} rows instead of {expected.rows}"]
    if content.startswith(f"{ALGORITHM}:") and found != content:
        return [f"{path} has the content {found} instead of {content}"]
    return []


def verify_parts(paths: Sequence[Path], content: str) -> list[str]:
    """Return what is wrong with the content of a version in several files, whose bytes are what it says.

    Args:
        paths: Where they lie.
        content: Content checksum of the version.
    """
    import pyarrow as pa

    from headgate.tables.checksum import ALGORITHM, combined

    if not content.startswith(f"{ALGORITHM}:"):
        return []
    try:
        found = combined(_decoded(path)[1] for path in paths)
    except (OSError, pa.ArrowException) as error:
        return [f"{paths[0]} and the other parts cannot be read: {error}"]
    return [] if found == content else [f"{paths[0]} and the other parts have the content {found} instead of {content}"]


def _decoded(path: Path) -> tuple[int, str]:
    """Decode a whole Parquet file in bounded memory; return its rows and its content checksum."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from headgate.tables.checksum import ContentChecksum

    checksum = ContentChecksum()
    with pa.OSFile(str(path)) as file:
        for batch in pq.ParquetFile(file, pre_buffer=False).iter_batches(batch_size=BATCH_ROWS, use_threads=False):
            checksum.update(batch)
    return checksum.rows, checksum.text()
