"""Whether input files still are what was pinned.

Headgate's own data files never change, so a look at size and time is enough for them. What somebody else may write to
is hashed before anything of it counts, and watched while it is used.
"""

from __future__ import annotations

import hashlib
import time
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from headgate.model.run import ErrorClass
from headgate.project.seen_files import FileState, state_of
from headgate.worker.failures import AttemptError

if TYPE_CHECKING:
    from headgate.worker.messages import FilePin

SETTLED_NS = 2_000_000_000
"""A file that changed more recently may change again without its times telling: clocks of file systems are coarse."""

REMEMBERED = 4096
_SHA256 = "sha256:"


def look(path: str, *, immutable: bool) -> FileState:
    """Return the state of a file; of an immutable one without what a backup or a copy changes.

    Raises:
        AttemptError: It is gone.
    """
    try:
        status = Path(path).stat()
    except OSError as error:
        raise AttemptError(
            ErrorClass.DATA, f"{path} cannot be read: {error.strerror}", hint="Bring it back, or plan again."
        ) from error
    if immutable:
        return FileState(0, 0, status.st_size, status.st_mtime_ns, 0)
    return state_of(status)


def check_size(file: FilePin, size: int) -> None:
    """Check the size of a file.

    Raises:
        AttemptError: It is another one.
    """
    if 0 <= file.bytes != size:
        raise changed(f"{file.path} changed since the plan: {size} bytes instead of {file.bytes}")


def check_digest(file: FilePin, digest: str) -> None:
    """Check the SHA-256 of a file's bytes, hexadecimal.

    Raises:
        AttemptError: It is another one.
    """
    if is_hashed(file) and file.hash != _SHA256 + digest:
        raise changed(f"{file.path} changed since the plan: its content is another one")


def check_content(file: FilePin, state: FileState) -> None:
    """Check the bytes of a file by its hash, once for each state of it in this process.

    Raises:
        AttemptError: They are others, or cannot be read.
    """
    if not is_hashed(file):
        return
    is_settled = time.time_ns() - state.ctime_ns > SETTLED_NS
    try:
        digest = _hash_in(file.path, state) if is_settled else _hash(file.path)
    except OSError as error:
        raise AttemptError(ErrorClass.DATA, f"{file.path} cannot be read: {error.strerror}") from error
    check_digest(file, digest)


def is_hashed(file: FilePin) -> bool:
    """Return whether a pin says what the bytes of its file are."""
    return file.hash.startswith(_SHA256)


def changed(message: str) -> AttemptError:
    """Return the failure for a file that is not what was pinned any more."""
    return AttemptError(ErrorClass.DATA, message, hint="Plan again: the new file will be seen as a new version.")


def _hash(path: str) -> str:
    with Path(path).open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


@lru_cache(REMEMBERED)
def _hash_in(path: str, _state: FileState) -> str:
    return _hash(path)
