"""The witness beside the data: how far the journal of the state store had come.

A database does not notice that its end was cut off or that an older copy took its place: SQLite opens it and calls it
sound. So after each commit the journal's head is written to a small file in the data folder. It is never newer than
the store: the store is synced first, and the file is not synced at all. If it is newer all the same, the store has
lost something, and nobody may build on it.
"""

from __future__ import annotations

import os
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from headgate.errors import ConflictError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

FILE_NAME = "journal-head"
_FORMAT = "headgate-journal-head-1"
_READ_TRIES = 5


@dataclass(frozen=True, slots=True)
class Mark:
    """Where a journal stood: the id of its store, the number and the hash of its last entry (0 and empty for none)."""

    store: str
    seq: int
    hash: str


class Witness:
    """The file with the mark.

    Args:
        data_root: The data folder.
    """

    def __init__(self, data_root: Path) -> None:
        self.data_root = data_root
        self.path = data_root / FILE_NAME
        self._fd = -1

    def read(self) -> Mark | None:
        """Return the mark; None if there is no file.

        Raises:
            ConflictError: The file is damaged.
            UnavailableError: It cannot be read.
        """
        # Another process may be in the middle of writing: a few looks tell a torn read from a damaged file.
        for _ in range(_READ_TRIES):
            try:
                text = self.path.read_bytes()
            except (FileNotFoundError, NotADirectoryError):
                return None
            except OSError as error:
                raise UnavailableError(f"{self.path} cannot be read: {error}") from error
            mark = _decoded(text)
            if mark is not None:
                return mark
        raise ConflictError(
            f"{self.path} is damaged, so nobody can tell whether the state store is complete; nothing was changed",
            hint="Restore the state store and this file from one backup.",
        )

    def create(self, mark: Mark) -> None:
        """Make the file, whole and durable or not at all.

        Raises:
            UnavailableError: It cannot be written.
        """
        new = self.path.with_name(f".{FILE_NAME}.new")
        try:
            with new.open("wb") as file:
                file.write(_encoded(mark))
                file.flush()
                os.fsync(file.fileno())
            new.replace(self.path)
            folder = os.open(self.data_root, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except OSError as error:
            raise UnavailableError(f"{self.path} cannot be written: {error}") from error

    def write(self, mark: Mark) -> None:
        """Put a mark in place of the one in the file, in one write and without syncing.

        Raises:
            UnavailableError: It cannot be written.
        """
        try:
            if self._fd < 0:
                self._fd = os.open(self.path, os.O_WRONLY)
            os.pwrite(self._fd, _encoded(mark), 0)
        except OSError as error:
            raise UnavailableError(
                f"{self.path} cannot be written: {error}; the changes that it should record are stored"
            ) from error

    def close(self) -> None:
        """Close the file. Idempotent."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def has_data(self) -> bool:
        """Return whether the data folder has data files, staged or published."""
        return any(self.data_root.rglob("*.parquet"))


def disagreement(mark: Mark | None, now: Mark, hash_at: Callable[[int], str | None], data_root: Path) -> str:
    """Return what is wrong between a witness and the journal of a store, as a sentence; empty if nothing is.

    Args:
        mark: What the witness says. It must have been read before the journal was.
        now: Where the journal stands.
        hash_at: Gives the hash of a journal entry; None if there is none of that number.
        data_root: The data folder.
    """
    if mark is None:
        if now.seq == 0:
            return ""
        return (
            f"the state store has recorded {now.seq} changes, but the data folder {data_root} has no {FILE_NAME}: "
            "the data was moved or deleted, or this is another folder"
        )
    if mark.store != now.store:
        return f"the data folder {data_root} belongs to another state store (id {mark.store}, this one is {now.store})"
    if mark.seq > now.seq:
        return (
            f"the data folder {data_root} has seen {mark.seq} changes, the state store knows only {now.seq} of them: "
            "the state store was lost, cut off (its -wal file is part of it) or replaced by an older copy"
        )
    if mark.seq > 0 and hash_at(mark.seq) != mark.hash:
        return (
            f"change {mark.seq} in the state store is not the one that the data folder {data_root} has seen: the state "
            "store was replaced by a copy that went on differently, or its journal was changed"
        )
    return ""


def _encoded(mark: Mark) -> bytes:
    # All fields have a fixed width, so that a write in place leaves nothing of the old mark behind.
    text = f"{_FORMAT} {mark.store:32} {mark.seq:020} {mark.hash or '-':64}"
    return f"{text} {zlib.crc32(text.encode()):08x}\n".encode()


def _decoded(data: bytes) -> Mark | None:
    text, _, crc = data.decode("ascii", "replace").rstrip("\n").rpartition(" ")
    fields = text.split()
    if crc != f"{zlib.crc32(text.encode()):08x}" or len(fields) != 4 or fields[0] != _FORMAT:
        return None
    return Mark(fields[1], int(fields[2]), "" if fields[3] == "-" else fields[3])
