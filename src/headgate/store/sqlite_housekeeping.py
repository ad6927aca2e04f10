"""Housekeeping in the embedded store; the contract is in `store.housekeeping`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headgate.crashpoints import crash_point
from headgate.store.housekeeping import Removable
from headgate.store.named_sql import statements
from headgate.store.sqlite_publishing import Publishing
from headgate.store.sqlite_rows import array, checkpoint_of, files_from_text

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Sequence

    from headgate.model.version import Checkpoint
    from headgate.store.housekeeping import Keep

VACUUM = "vacuum"
"""Kind of the journal entries that say which versions were removed."""

_EVERY = (0, 2**62)


def removable(connection: sqlite3.Connection, keep: Keep, ids: tuple[int, int] | None) -> list[Removable]:
    """Return the versions that nobody needs, of those with numbers in a range; of those in packs for None."""
    found = _removable(connection, keep, ids or _EVERY, is_packed=ids is None)
    if ids is not None or not found:
        return found
    goes = {one.version for one in found}
    needed = {
        file.path
        for version, files in connection.execute(statements()["packed_files"])
        if version not in goes
        for file in files_from_text(files)
    }
    return [one for one in found if needed.isdisjoint(one.paths)]


def _removable(connection: sqlite3.Connection, keep: Keep, ids: tuple[int, int], *, is_packed: bool) -> list[Removable]:
    values = {
        "since_ms": keep.since_ms,
        "versions": keep.versions,
        "first": ids[0],
        "last": ids[1],
        "is_packed": is_packed,
    }
    found = []
    for version, dataset, key, size, files, unpacked in connection.execute(statements()["removable"], values):
        paths = [file.path for file in files_from_text(files)] + ([unpacked] if unpacked else [])
        found.append(Removable(version, dataset, key, size, tuple(paths)))
    return found


class Housekeeping(Publishing):
    """What a transaction does for housekeeping."""

    def doom(
        self, keep: Keep, ids: tuple[int, int] | None, *, author: str, reason: str, now_ms: int
    ) -> list[Removable]:
        """Mark the versions that nobody needs at this moment as removed; write down their paths."""
        found = removable(self._connection, keep, ids)
        if not found:
            return found
        self._connection.executemany(self._sql["remove_version"], [(now_ms, one.version) for one in found])
        crash_point("vacuum.inside_doom")
        paths = {path for one in found for path in one.paths}
        self._connection.executemany(self._sql["doom"], [(path,) for path in paths])
        # What is written down as going needs no second place where it is noted.
        self._connection.executemany(self._sql["forget_unpacked"], [(one.version,) for one in found])
        versions = [one.version for one in found]
        body: dict[str, object] = {
            "versions": len(versions),
            "files": len(paths),
            "bytes": sum(one.bytes for one in found),
            "first": min(versions),
            "last": max(versions),
        }
        self.journal(VACUUM, author=author, run="", reason=reason, body=body, now_ms=now_ms)
        return found

    def head_checkpoints(self, dataset: str, keys: Sequence[str]) -> dict[str, Checkpoint]:
        """Return the checkpoints that the heads of partitions rest on, by key."""
        rows = self._connection.execute(self._sql["head_checkpoints"], {"dataset": dataset, "keys": array(keys)})
        return {found.key: found for found in map(checkpoint_of, rows)}

    def pinned(self, checkpoint: int) -> tuple[int, ...]:
        """Return the numbers of the versions that a checkpoint pinned as inputs."""
        rows = self._connection.execute(self._sql["pinned"], {"checkpoint": checkpoint})
        return tuple(version for (version,) in rows)

    def resting_folders(self, folders: Iterable[str]) -> list[str]:
        """Return which of some folders belong to runs that nobody has in hand."""
        rows = self._connection.execute(self._sql["resting_folders"], {"folders": array(folders)})
        return [folder for (folder,) in rows]

    def forget_doomed(self, paths: Iterable[str]) -> None:
        """Forget paths that are unlinked. Idempotent."""
        self._connection.executemany(self._sql["forget_doomed"], [(path,) for path in paths])
