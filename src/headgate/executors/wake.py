"""A pipe that makes a waiting `select` return."""

from __future__ import annotations

import contextlib
import os


class WakePipe:
    """Has something to read after `ring`, until `drain`."""

    def __init__(self) -> None:
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._reader, False)
        os.set_blocking(self._writer, False)

    def fileno(self) -> int:
        """Return the descriptor to wait on."""
        return self._reader

    def ring(self) -> None:
        """Wake whoever waits. Safe in a signal handler and after `close`."""
        with contextlib.suppress(OSError):  # Full: it will wake anyway. Closed: nobody waits.
            os.write(self._writer, b"\0")

    def drain(self) -> bool:
        """Return whether anybody rang since the last time."""
        rang = False
        with contextlib.suppress(BlockingIOError):
            while os.read(self._reader, 1024):
                rang = True
        return rang

    def close(self) -> None:
        """Release both ends. Idempotent."""
        reader, writer = self._reader, self._writer
        self._reader = self._writer = -1
        for end in (reader, writer):
            if end >= 0:
                os.close(end)
