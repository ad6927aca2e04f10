"""What this process has just made of small data files, so that who needs it next need not make it again.

A data file never changes, and a source's file is kept only if its bytes had the hash that it was pinned with, so path
and hash name the content for good.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    import pyarrow as pa

Table = TypeVar("Table")

LIMIT_BYTES = 64 * 1024 * 1024

SMALL_BYTES = 8 * 1024 * 1024
"""Tables of up to this size are written and read whole."""


class Recent(Generic[Table]):
    """The tables used last, up to a limit of bytes. Safe in threads.

    Args:
        limit_bytes: How much to keep; a table above a quarter of it is never kept.
    """

    def __init__(self, limit_bytes: int = LIMIT_BYTES) -> None:
        self._limit_bytes = limit_bytes
        self._bytes = 0
        self._tables: OrderedDict[tuple[str, str], tuple[Table, int]] = OrderedDict()
        self._lock = threading.Lock()

    def keep(self, path: str, digest: str, table: Table, size: int) -> None:
        """Keep the table, of so many bytes, that a file with this path and hash is known to hold."""
        if size > self._limit_bytes // 4:
            return
        with self._lock:
            self._drop((path, digest))
            self._tables[path, digest] = (table, size)
            self._bytes += size
            while self._bytes > self._limit_bytes:
                self._drop(next(iter(self._tables)))

    def find(self, path: str, digest: str) -> Table | None:
        """Return the table of a file; None if it is not kept."""
        with self._lock:
            if (path, digest) not in self._tables:
                return None
            self._tables.move_to_end((path, digest))
            return self._tables[path, digest][0]

    def _drop(self, name: tuple[str, str]) -> None:
        if name in self._tables:
            self._bytes -= self._tables.pop(name)[1]


recent: Recent[pa.Table] = Recent()
"""Tables as Arrow holds them."""
