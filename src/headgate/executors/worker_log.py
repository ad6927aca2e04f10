"""Where worker processes write what they print."""

from __future__ import annotations

import os
from pathlib import Path

TAIL_BYTES = 4000


class WorkerLog:
    """The log of the workers: a file of ours, or a descriptor of somebody else's.

    Args:
        target: The file, to which is appended, or the descriptor.

    Raises:
        OSError: The file cannot be opened.
    """

    def __init__(self, target: Path | int) -> None:
        self._path = target if isinstance(target, Path) else None
        self.fd = target if isinstance(target, int) else os.open(target, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def __str__(self) -> str:
        return "the worker's standard error" if self._path is None else str(self._path)

    def last_line(self) -> str:
        """Return the last line of the file; empty if there is none, or no file of ours."""
        if self._path is None:
            return ""
        with self._path.open("rb") as log:
            log.seek(max(0, log.seek(0, os.SEEK_END) - TAIL_BYTES))
            lines = log.read().decode("utf-8", "replace").strip().splitlines()
        return lines[-1] if lines else ""

    def close(self) -> None:
        """Close the file."""
        if self._path is not None:
            os.close(self.fd)
