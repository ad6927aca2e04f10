"""A copy of the embedded store, made while others write to it: a store of its own, with a witness of its own."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from headgate.errors import UnavailableError
from headgate.store.named_sql import statements
from headgate.store.sqlite_errors import explaining
from headgate.store.sqlite_open import connect, reading_mode
from headgate.store.sqlite_reads import SqliteReads
from headgate.store.witness import Witness

if TYPE_CHECKING:
    import sqlite3
    from pathlib import Path

_PAGES = 4096
"""So many pages are copied before an interruption is noticed."""


def copy_store(path: Path, to: Path, data_root: Path) -> None:
    """Copy a state store as it is at one instant, and give the copy its witness. The store itself is only read.

    Args:
        path: Its file.
        to: The file of the copy, in a folder that exists.
        data_root: The data folder of the copy, which is made.

    Raises:
        UnavailableError: It cannot be read, or the copy cannot be written.
    """
    with explaining(path), closing(connect(path, reading_mode(path))) as source, closing(connect(to, "rwc")) as copy:
        # In one transaction of its own, or it would begin anew whenever somebody else commits.
        source.execute("BEGIN")
        source.execute(statements()["store_id"]).fetchone()
        source.backup(copy, pages=_PAGES)
        _add_witness(copy, to, data_root)


def _add_witness(copy: sqlite3.Connection, path: Path, data_root: Path) -> None:
    (store_id,) = copy.execute(statements()["store_id"]).fetchone()
    try:
        data_root.mkdir(parents=True)
    except OSError as error:
        raise UnavailableError(f"folder {data_root} cannot be made: {error}") from error
    Witness(data_root).create(SqliteReads(copy, path).journal_head(store_id))
