"""The coordinator's lock: a file lock, which the kernel drops when its holder dies, however it dies."""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from headgate.errors import ConflictError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_TRIES = 10
_PAUSE_S = 0.02
_held: set[int] = set()


def _close_in_child() -> None:
    """Close what a forked child inherited: it would keep the lock alive when the coordinator is dead."""
    for fd in _held:
        os.close(fd)
    _held.clear()


os.register_at_fork(after_in_child=_close_in_child)


class Lead:
    """The lock on one state store.

    Args:
        path: The lock file. It stays when the lock is released: unlinking it would let two processes lock two files.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @contextmanager
    def hold(self, doing: str) -> Iterator[None]:
        """Hold the lock for the length of the block.

        Args:
            doing: What for, for the message that others get; may be empty.

        Raises:
            ConflictError: Somebody else holds it.
            UnavailableError: The lock file cannot be opened.
        """
        fd = self._open(os.O_RDWR | os.O_CREAT)
        _held.add(fd)
        try:
            self._lock(fd)
            text = f"process {os.getpid()} on {os.uname().nodename}, since {datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC"
            self._describe(fd, f"{text}, {doing}" if doing else text)
            yield
        finally:
            # In a forked child it is closed already, and the number may stand for another file.
            if fd in _held:
                _held.discard(fd)
                os.close(fd)

    def holder(self) -> str | None:
        """Return who holds the lock, as text; None if nobody."""
        if not self.path.exists():
            return None
        fd = self._open(os.O_RDONLY)
        try:
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return os.pread(fd, 4096, 0).decode("utf-8", "replace") or "a process that has just started"
        finally:
            os.close(fd)
        return None

    def _open(self, flags: int) -> int:
        try:
            return os.open(self.path, flags, 0o666)
        except OSError as error:
            raise UnavailableError(f"{self.path} cannot be opened: {error}") from error

    def _lock(self, fd: int) -> None:
        # `holder` takes a shared lock for a moment, which must not look like a coordinator: so try again for a while.
        for _ in range(_TRIES):
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                time.sleep(_PAUSE_S)
        holder = os.pread(fd, 4096, 0).decode("utf-8", "replace") or "a process that has just started"
        raise ConflictError(
            f"another coordinator ({holder}) runs on this state store",
            hint="Wait until it is done, or stop it; `headgate status` shows what it does.",
        )

    def _describe(self, fd: int, text: str) -> None:
        try:
            os.ftruncate(fd, 0)
            os.pwrite(fd, text.encode(), 0)
        except OSError as error:
            raise UnavailableError(f"{self.path} cannot be written: {error}") from error
