"""What the files of sources held when they were last read, so that only those are read again that may have changed.

Whatever writes to a file changes its time of change (ctime), which nobody can set, or it is another file (inode). Times
lie where a file was changed again within the same tick of its file system's clock, or through a mapping into memory
whose pages were not yet written back, at most half a minute by Linux' defaults. So what changed in the minute before
it was read counts as unknown: git's index treats what it calls racy entries in this way. File systems over a network
may make such times up. So each file is read at least once a day, and what an attempt is given is hashed in any case.

The record is nothing but a saving of time: where it is lost, damaged or cannot be written, files are read.
"""

from __future__ import annotations

import json
import time
import zlib
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import os
    from collections.abc import Callable
    from pathlib import Path

SETTLED_NS = 60 * 10**9
READ_AGAIN_NS = 24 * 60 * 60 * 10**9
_FORMAT = "headgate-seen-files-1"


class FileState(NamedTuple):
    """What the file system says of a file; everything that writes to it changes some of this."""

    device: int
    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int


def state_of(status: os.stat_result) -> FileState:
    """Return the state of a file."""
    return FileState(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


class Seen(NamedTuple):
    """A file that was read: its state before and after, when that began, and the hash of its bytes."""

    state: FileState
    at_ns: int
    hash: str


class SeenFiles:
    """The record of one project.

    Args:
        path: Where it lies; it need not be there.
        clock: Returns nanoseconds since 1970.
    """

    def __init__(self, path: Path, clock: Callable[[], int] = time.time_ns) -> None:
        self._path = path
        self._clock = clock
        self._before = _read(path)
        self._now: dict[str, Seen] = {}

    def now_ns(self) -> int:
        """Return the time, to be asked for before the state of a file is."""
        return self._clock()

    def hash_of(self, file: str, state: FileState) -> str | None:
        """Return the hash of a file's bytes if it is known, by the state that it is in.

        Args:
            file: Its absolute path.
            state: Its state now.
        """
        seen = self._before.get(file)
        if seen is None or seen.state != state or not 0 <= self._clock() - seen.at_ns < READ_AGAIN_NS:
            return None
        self._now[file] = seen
        return seen.hash

    def note(self, file: str, seen: Seen) -> None:
        """Remember a file that was read, unless it may change again without its times telling."""
        if seen.at_ns - seen.state.ctime_ns > SETTLED_NS:
            self._now[file] = seen

    def save(self) -> None:
        """Write down what was asked for and what was noted, if that is not what is written there already."""
        if self._now == self._before:
            return
        body = json.dumps([[file, *seen.state, seen.at_ns, seen.hash] for file, seen in self._now.items()])
        draft = self._path.with_name(f"{self._path.name}-draft")
        # Where two processes mix up their drafts, the sum in the first line does not fit, and files are read.
        with suppress(OSError):
            draft.write_text(f"{_head(body)}\n{body}", encoding="utf-8")
            draft.replace(self._path)


def _read(path: Path) -> dict[str, Seen]:
    try:
        head, _, body = path.read_text(encoding="utf-8").partition("\n")
        if head != _head(body):
            return {}
        return {file: Seen(FileState(*state), at_ns, digest) for file, *state, at_ns, digest in json.loads(body)}
    except (OSError, ValueError, TypeError):
        return {}


def _head(body: str) -> str:
    return f"{_FORMAT} {zlib.crc32(body.encode()):08x}"
