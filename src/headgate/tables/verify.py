"""Checking published files against what their versions say."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from headgate.model.version import File


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
    from headgate.tables.readback import hash_file, read_back

    try:
        found_hash = hash_file(path)
        if found_hash != expected.hash:
            return [f"{path} has the hash {found_hash} instead of {expected.hash}"]
        if not content:
            return []
        found = read_back(path)
    except (OSError, pa.ArrowException) as error:
        return [f"{path} cannot be read: {error}"]
    if found.rows != expected.rows:
        return [f"{path} has {found.rows} rows instead of {expected.rows}"]
    if content.startswith(f"{ALGORITHM}:") and found.content != content:
        return [f"{path} has the content {found.content} instead of {content}"]
    return []
