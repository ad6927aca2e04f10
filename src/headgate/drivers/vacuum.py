"""Removes the files of versions that nobody needs any more, and what attempts left behind that nobody recorded.

It works beside a live coordinator: what is needed is looked at again in the transaction that decides, and only paths
that such a transaction wrote down are unlinked. Killed anywhere, it is run again and goes on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from headgate.crashpoints import crash_point
from headgate.drivers.takeover import take_over
from headgate.errors import ConflictError
from headgate.tables import layout

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from headgate.store.housekeeping import Keep, Removable
    from headgate.store.store import Store

STEP = 2_000
"""Numbers of versions that one transaction looks at."""

FOLDERS_STEP = 200
"""Folders that are removed in one transaction, for which everybody else waits."""

VACUUMING = "vacuum"


@dataclass(frozen=True, slots=True)
class Vacuumed:
    """What vacuum removed, or would remove.

    Args:
        versions: The versions.
        orphans: Files that belong to no version, relative to the data root.
        folders: Folders of runs in which nothing was left; beforehand, those in which nothing is already.
        resumed: Files that an earlier vacuum had decided on before it was killed.
        led_by: The coordinator that lives, if one does: orphans are left to it.
    """

    versions: tuple[Removable, ...]
    orphans: tuple[str, ...]
    folders: int
    resumed: int
    led_by: str

    @property
    def files(self) -> int:
        """Return how many files the versions have."""
        return len({path for one in self.versions for path in one.paths})

    @property
    def bytes(self) -> int:
        """Return the size of the versions."""
        return sum(one.bytes for one in self.versions)


def look(store: Store, data_root: Path, keep: Keep) -> Vacuumed:
    """Return what `vacuum` would remove now. Changes nothing."""
    found = [one for ids in _ranges(store) for one in store.removable(keep, *ids)]
    found += store.removable_packed(keep)
    led_by = store.leader() or ""
    orphans = () if led_by else tuple(_orphans(store, data_root))
    folders = len(store.resting_folders(layout.empty_folders(data_root)))
    return Vacuumed(tuple(found), orphans, folders, len(store.doomed()), led_by)


def vacuum(store: Store, data_root: Path, keep: Keep, *, author: str, reason: str, now_ms: int) -> Vacuumed:
    """Remove the files that nobody needs.

    Args:
        store: The state store.
        data_root: The data folder.
        keep: What to keep beside what something else needs.
        author: Who wants it, for the journal.
        reason: Why.
        now_ms: UTC milliseconds.

    Raises:
        UnavailableError: A file cannot be removed; what was removed by then is recorded.
        ConflictError: The state store is older than the data folder.
    """
    resumed = store.doomed()
    _unlink(store, data_root, resumed)
    # Before anything is decided: attempts whose coordinator died would keep what they read.
    orphans, led_by = _collect(store, data_root, author=author, now_ms=now_ms)
    removed: list[Removable] = []
    for ids in (*_ranges(store), None):
        # Most ranges have nothing, and a look needs no lock.
        if not (store.removable_packed(keep) if ids is None else store.removable(keep, *ids)):
            continue
        with store.transaction() as tx:
            gone = tx.doom(keep, ids, author=author, reason=reason, now_ms=now_ms)
        crash_point("vacuum.after_doom")
        _unlink(store, data_root, {path for one in gone for path in one.paths})
        removed += gone
    folders = _remove_empty_folders(store, data_root)
    return Vacuumed(tuple(removed), orphans, folders, len(resumed), led_by)


def _ranges(store: Store) -> Iterator[tuple[int, int]]:
    for first in range(1, store.next_id(), STEP):
        yield first, first + STEP - 1


def _unlink(store: Store, data_root: Path, paths: Iterable[str]) -> None:
    """Unlink paths that were written down, and forget them."""
    gone = sorted(paths)
    if not gone:
        return
    for path in gone:
        layout.collect(data_root, path)
        crash_point("vacuum.mid_unlink")
    crash_point("vacuum.after_unlink")
    with store.transaction() as tx:
        tx.forget_doomed(gone)


def _remove_empty_folders(store: Store, data_root: Path) -> int:
    """Remove the folders of runs in which nothing is left; return how many went."""
    folders, gone = sorted(store.resting_folders(layout.empty_folders(data_root))), 0
    for first in range(0, len(folders), FOLDERS_STEP):
        # Nobody begins to stage there as long as this transaction is open, and who does later makes the folder anew.
        with store.transaction() as tx:
            resting = tx.resting_folders(folders[first : first + FOLDERS_STEP])
            gone += sum(layout.remove_empty(data_root, folder) for folder in resting)
    return gone


def _collect(store: Store, data_root: Path, *, author: str, now_ms: int) -> tuple[tuple[str, ...], str]:
    """Remove what attempts left behind; return that, and who leads if that keeps it from being done."""
    try:
        with store.lead(VACUUMING):
            take_over(store, data_root, now_ms, author=author)
            orphans = tuple(_orphans(store, data_root))
            for path in orphans:
                layout.collect(data_root, path)
            return orphans, ""
    except ConflictError:
        led_by = store.leader()
        if led_by is None:
            raise
        return (), led_by


def _orphans(store: Store, data_root: Path) -> Iterator[str]:
    """Yield the files on disk that an attempt of ours made and nothing refers to."""
    on_disk = list(layout.attempts_on_disk(data_root))
    ours = store.stage_folders(attempt for _, attempt in on_disk)
    needed = store.needed_paths() if on_disk else set()
    for path, attempt in sorted(on_disk):
        if path not in needed and ours.get(attempt) == path.rpartition("/")[0]:
            yield path
