"""The embedded state store: SQLite, in one file with a write-ahead log."""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from headgate.errors import InternalError, UnavailableError, UsageError
from headgate.store.sqlite_errors import explained, explaining
from headgate.store.sqlite_interned import Interned
from headgate.store.sqlite_lineage import SqliteLineage
from headgate.store.sqlite_mirror import SqliteMirrors
from headgate.store.sqlite_open import lead_of, migrate, open_file, refusal
from headgate.store.witness import Mark, Witness, disagreement

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from headgate.model.rollback import Aim, TakeBack
    from headgate.store.housekeeping import Keep, Removable
    from headgate.store.sqlite_transaction import SqliteTransaction


def open_store(path: Path, *, data_root: Path, create: bool) -> SqliteStore:
    """Open the state store in a file, and make sure that it is not older than the data beside it.

    Args:
        path: The file; beside it SQLite keeps PATH-wal and PATH-shm, and the coordinator's lock is PATH-lead.
        data_root: The data folder, which holds the witness.
        create: Whether to make the store if there is none. Without it nothing is made, and where there is no store
            the result is an empty one that refuses writes. An older schema is brought up to date in either case.

    Raises:
        ConflictError: The store was lost or is older than the data; or its schema is newer than this Headgate, or
            older while a coordinator is alive.
        UnavailableError: It cannot be opened.
    """
    # A later change of the working directory must not lead to another store.
    path, witness = path.absolute(), Witness(data_root.absolute())
    connection = open_file(path, witness, create=create)
    is_absent = connection is None
    if connection is None:
        connection = sqlite3.connect(":memory:", isolation_level=None)
        migrate(connection, 0)
    try:
        store = SqliteStore(connection, path, witness, is_absent=is_absent)
        if not is_absent:
            store.settle_witness(create=create)
    except BaseException:
        connection.close()
        raise
    return store


class SqliteStore(SqliteLineage, SqliteMirrors):
    """A state store in one SQLite file; the contract is `store.Store`. Made by `open_store`.

    Args:
        connection: With the current schema, in autocommit mode.
        path: Its file.
        witness: The witness beside the data.
        is_absent: Whether there is no such file, so that this is an empty store in memory.
    """

    def __init__(self, connection: sqlite3.Connection, path: Path, witness: Witness, *, is_absent: bool) -> None:
        super().__init__(connection, path)
        self._witness = witness
        self._is_absent = is_absent
        self._lead = lead_of(path)
        self._interned = Interned(connection)
        row = self._row("store_id")
        if row is None:
            raise InternalError(f"state store {path} has no id")
        self._store_id: str = row[0]

    @contextmanager
    def transaction(self) -> Iterator[SqliteTransaction]:
        """Open a write transaction: committed and durable at the end of the block, absent if the block raises.

        Raises:
            UnavailableError: It could not be opened; or it is unknown whether the commit took place; or the changes
                are stored, but the witness could not be written. The message says which.
        """
        # Only here: who reads, as `status` does, is quicker without it.
        from headgate.store.sqlite_transaction import SqliteTransaction

        self._refuse_absent()
        if self._connection.in_transaction:
            raise InternalError("a transaction was opened inside another one")
        try:
            with explaining(self._path):
                self._connection.execute("BEGIN IMMEDIATE")
                transaction = SqliteTransaction(self._connection, self._interned, self._store_id)
                yield transaction
            self._commit()
        except BaseException:
            self._roll_back()
            raise
        if transaction.appended:
            self._witness.write(transaction.journal_head())

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Have all reads inside of the block see the store as it was at one moment."""
        with explaining(self._path):
            self._connection.execute("BEGIN")
        try:
            yield
        finally:
            self._connection.execute("ROLLBACK")

    def _commit(self) -> None:
        try:
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            cause = explained(error, self._path)
            raise UnavailableError(
                f"{cause.message}; whether the last changes were stored is not known", hint=cause.hint
            ) from error

    def _roll_back(self) -> None:
        self._interned.forget()
        if self._connection.in_transaction:
            # What matters is the error that led here; closing the connection rolls back as well.
            with suppress(sqlite3.Error):
                self._connection.execute("ROLLBACK")

    def _refuse_absent(self) -> None:
        if self._is_absent:
            raise UsageError(f"there is no state store at {self._path} yet", hint="A backfill makes it.")

    def settle_witness(self, *, create: bool) -> None:
        """Refuse a store that is older than the data; give a new one its witness.

        Raises:
            ConflictError: It is older, or another one.
        """
        problem = self._disagreement()
        if problem:
            raise refusal(self._path, self._witness, problem)
        if create and self._witness.read() is None:
            with explaining(self._path):
                # The write lock keeps others from appending to the journal between the look and the file.
                self._connection.execute("BEGIN IMMEDIATE")
                try:
                    if self._witness.read() is None and self._head().seq == 0:
                        self._witness.create(Mark(self._store_id, 0, ""))
                finally:
                    self._connection.execute("ROLLBACK")

    def _head(self) -> Mark:
        return self.journal_head(self._store_id)

    def _disagreement(self) -> str:
        mark = self._witness.read()
        return disagreement(mark, self._head(), self.journal_hash, self._witness.data_root)

    def take_back(self, aim: Aim) -> TakeBack:
        """Return what a rollback would come to now. Changes nothing."""
        from headgate.store.sqlite_rollback import take_back

        with explaining(self._path):
            return take_back(self._connection, aim)

    def removable(self, keep: Keep, first: int, last: int) -> list[Removable]:
        """Return the versions with numbers from first to last that nobody needs, but for those in packs."""
        from headgate.store.sqlite_housekeeping import removable

        with explaining(self._path):
            return removable(self._connection, keep, (first, last))

    def removable_packed(self, keep: Keep) -> list[Removable]:
        """Return the versions in packs of which nobody needs any version."""
        from headgate.store.sqlite_housekeeping import removable

        with explaining(self._path):
            return removable(self._connection, keep, None)

    def journal_seq(self) -> int:
        """Return the number of the newest journal entry, 0 if there is none."""
        return self._head().seq

    def check(self) -> list[str]:
        """Return what is wrong inside the store, as sentences."""
        from headgate.store.sqlite_check import problems

        is_led = self._is_absent or self.leader() is not None
        problem = "" if self._is_absent else self._disagreement()
        with explaining(self._path):
            self._connection.execute("BEGIN")
            try:
                found = problems(self._connection, self._store_id, is_led=is_led)
            finally:
                self._connection.execute("ROLLBACK")
        return [problem, *found] if problem else found

    def check_journal(self) -> list[str]:
        """Return where the journal's hash chain is broken, as sentences."""
        from headgate.store.sqlite_check import journal_problems

        problem = "" if self._is_absent else self._disagreement()
        with explaining(self._path):
            found = journal_problems(self._connection, self._store_id)
        return [problem, *found] if problem else found

    @contextmanager
    def lead(self, doing: str = "") -> Iterator[None]:
        """Hold the coordinator's lock, which dies with this process."""
        self._refuse_absent()
        with self._lead.hold(doing):
            # A kill between a commit and its mark leaves the mark behind.
            self.settle_witness(create=True)
            self._witness.write(self._head())
            yield

    def leader(self) -> str | None:
        """Return who holds the coordinator's lock now, as text; None if nobody."""
        return self._lead.holder()

    def close(self) -> None:
        """Close it. Idempotent."""
        self._witness.close()
        self._connection.close()
