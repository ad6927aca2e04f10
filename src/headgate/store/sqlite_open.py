"""Opening the embedded store's file: connection, schema, and the refusal to build on one that lost something."""

from __future__ import annotations

import os
import sqlite3
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

from headgate.errors import ConflictError, UnavailableError
from headgate.store.lead import Lead
from headgate.store.named_sql import migrations, split, statements
from headgate.store.sqlite_errors import BUSY_TIMEOUT_S, explaining
from headgate.store.sqlite_reads import SqliteReads
from headgate.store.witness import disagreement

if TYPE_CHECKING:
    from pathlib import Path

    from headgate.store.witness import Witness

CACHE_KIB = 16_000
IMMUTABLE = "ro&immutable=1"
_PAUSE_S = 0.01
_LET_OTHERS = "Let somebody who may write there run `headgate status` first."


def lead_of(path: Path) -> Lead:
    """Return the coordinator's lock of the state store in a file."""
    return Lead(path.with_name(path.name + "-lead"))


def is_there(path: Path) -> bool:
    """Return whether a file holds anything; one of zero bytes is what a creation that was killed leaves behind."""
    try:
        return path.stat().st_size > 0
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise UnavailableError(f"state store {path} cannot be read: {error}") from error


def refusal(path: Path, witness: Witness, what: str) -> ConflictError:
    """Return the error that says why nobody may go on with this state store and this data folder."""
    return ConflictError(
        f"state store {path}: {what}. Nothing was changed.",
        hint=f"Restore the state store from a backup, or move both it and {witness.data_root} away to start anew.",
    )


def refuse_lost(path: Path, witness: Witness) -> None:
    """Refuse to go on without a state store where there was one.

    Raises:
        ConflictError: There is data, or a witness, or what belongs to a database file.
    """
    if witness.read() is not None:
        what = f"it is missing or empty, but the data folder {witness.data_root} belongs to one: it was lost"
    elif witness.has_data():
        what = f"it is missing or empty, but the data folder {witness.data_root} has data files: it was lost"
    # In this order: who makes a store writes to the database file before the log.
    elif is_there(path.with_name(path.name + "-wal")) and not is_there(path):
        what = f"it is missing, but {path.name}-wal, which is a part of it, is there: it was lost"
    else:
        return
    # Another process may have made it between the look at the file and the look at the data.
    if not _has_schema(path):
        raise refusal(path, witness, what)


def _has_schema(path: Path) -> bool:
    if not is_there(path):
        return False
    connection = connect(path, "ro")
    try:
        return schema_number(connection) > 0
    finally:
        connection.close()


def connect(path: Path, mode: str) -> sqlite3.Connection:
    """Return a connection in autocommit mode.

    Args:
        path: The file.
        mode: ``ro``, ``rw`` or ``rwc``, as in SQLite's URIs; or `IMMUTABLE`.
    """
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}", uri=True, timeout=BUSY_TIMEOUT_S, isolation_level=None
    )
    # They cost 8 % of the publishes per second, and turn a bug that would lose lineage into an error.
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
    return connection


def reading_mode(path: Path) -> str:
    """Return the mode in which a state store is opened by who has nothing to write.

    Even who reads writes: to the log's index, and in the end what is in the log to the database. Where the folder
    cannot be written, an index that is there can be read as it is. Without log and index nobody has the database open,
    and it is read as a file that does not change.
    """
    if _may_write_beside(path):
        return "rw"
    has_log = is_there(path.with_name(path.name + "-wal")) or is_there(path.with_name(path.name + "-shm"))
    return "ro" if has_log else IMMUTABLE


def _may_write_beside(path: Path) -> bool:
    return os.access(path.parent, os.W_OK | os.X_OK)


def schema_number(connection: sqlite3.Connection) -> int:
    """Return the number of the last migration that was applied; 0 for none."""
    (number,) = connection.execute("PRAGMA user_version").fetchone()
    return int(number)


def migrate(connection: sqlite3.Connection, above: int) -> None:
    """Apply the migrations above a number, inside the caller's transaction."""
    for number, script in migrations():
        if number > above:
            for statement in split(script):
                connection.execute(statement)
            # A pragma takes no parameters; the number is an integer of ours.
            connection.execute(f"PRAGMA user_version = {number:d}")
    if above == 0:
        connection.execute(statements()["add_meta"], {"store": os.urandom(16).hex()})


def open_file(path: Path, witness: Witness, *, create: bool) -> sqlite3.Connection | None:
    """Return a connection to a state store with the current schema.

    Returns:
        None if there is no state store and none is to be made.

    Raises:
        ConflictError: It was lost, its schema is newer than this Headgate knows, or older while a coordinator is alive.
        UnavailableError: It cannot be opened.
    """
    if not is_there(path):
        refuse_lost(path, witness)
        if not create:
            return None
        for folder in (path.parent, witness.data_root):
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise UnavailableError(f"folder {folder} cannot be made: {error}") from error
    with explaining(path):
        connection = connect(path, "rwc") if create else _connect_to_read(path)
        try:
            usable = _settle_schema(connection, path, witness, create=create)
        except BaseException:
            connection.close()
            raise
        if not usable:
            connection.close()
            return None
    return connection


def _connect_to_read(path: Path) -> sqlite3.Connection:
    mode = reading_mode(path)
    try:
        return connect(path, mode)
    except sqlite3.OperationalError as error:
        if mode != "ro" or error.sqlite_errorcode != sqlite3.SQLITE_CANTOPEN:
            raise
        raise UnavailableError(
            f"state store {path}: its last changes are in {path.name}-wal, and only who may write to its folder can "
            f"read them ({error})",
            hint=_LET_OTHERS,
        ) from error


def _settle_schema(connection: sqlite3.Connection, path: Path, witness: Witness, *, create: bool) -> bool:
    latest = migrations()[-1][0]
    number = schema_number(connection)
    if number > latest:
        raise ConflictError(
            f"state store {path} has schema {number}, this Headgate knows schemas up to {latest}",
            hint="Use the newer Headgate that wrote it, or a newer one still.",
        )
    if number == latest:
        return True
    if number == 0:
        if not create:
            refuse_lost(path, witness)
            return False
        _use_wal(connection, path)
        _apply(connection, path, witness)
        return True
    if not _may_write_beside(path):
        raise UnavailableError(
            f"state store {path} has schema {number}, this Headgate needs {latest}, and you may not write there",
            hint=_LET_OTHERS,
        )
    with ExitStack() as stack:
        try:
            stack.enter_context(lead_of(path).hold("bringing the state store up to date"))
        except ConflictError as error:
            # Who holds the lead may be another process that brings it up to date, and be done by now.
            if schema_number(connection) == latest:
                return True
            raise ConflictError(
                f"state store {path} has schema {number}, this Headgate needs {latest}, but {error.message}",
                hint="Wait until it is done, or stop it; then any command brings the state store up to date.",
            ) from error
        _apply(connection, path, witness)
    return True


def _refuse_older(connection: sqlite3.Connection, path: Path, witness: Witness) -> None:
    (store_id,) = connection.execute(statements()["store_id"]).fetchone()
    reads = SqliteReads(connection, path)
    problem = disagreement(witness.read(), reads.journal_head(store_id), reads.journal_hash, witness.data_root)
    if problem:
        raise refusal(path, witness, problem)


def _use_wal(connection: sqlite3.Connection, path: Path) -> None:
    deadline = time.monotonic() + BUSY_TIMEOUT_S
    while True:
        try:
            (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
            break
        except sqlite3.OperationalError as error:
            # SQLite does not wait here, where another process makes the same store at this moment.
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(_PAUSE_S)
    if mode != "wal":
        raise UnavailableError(
            f"state store {path}: its file system has no shared memory, which the write-ahead log needs",
            hint="Keep the state store on a local disk.",
        )


def _apply(connection: sqlite3.Connection, path: Path, witness: Witness) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        # Another process may have done it while this one waited for its turn.
        number = schema_number(connection)
        if number == 0:
            refuse_lost(path, witness)
        migrate(connection, number)
        if number > 0:
            # Before the commit, so that what is refused stays as it was.
            _refuse_older(connection, path, witness)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
