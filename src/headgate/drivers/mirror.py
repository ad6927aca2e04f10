"""Mirrors: tables of other formats over the data files, which follow the heads.

A mirror is derived: at any moment it can be made again from the heads, and nothing is read from it. Whoever follows
reads which versions are heads as of one journal entry, and has the table name just their files, in one commit, however
many partitions moved meanwhile. A kill anywhere leaves the table as it was or as it should be; the next one goes on.
"""

from __future__ import annotations

import shutil
import time
from contextlib import ExitStack, contextmanager
from threading import Event, Thread
from typing import TYPE_CHECKING

from headgate.crashpoints import crash_point
from headgate.drivers.clock import now_ms
from headgate.errors import ConflictError, HeadgateError, InternalError, UsageError
from headgate.store.lead import Lead
from headgate.tables import delta, layout
from headgate.tables.delta import MirroredFile
from headgate.tables.opened import Piece, group_count
from headgate.tables.unpacked import FOLDER, Unpacking, unpack, unpacked_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from typing import Self

    from headgate.model.version import File
    from headgate.project.load import Project
    from headgate.store.mirror import ShownVersion
    from headgate.store.store import Store

EVERY_S = 0.25
"""How often a coordinator looks whether heads have moved."""
REST = 3
"""So many times as long as it took to follow, a coordinator waits before it does so again: its own work goes first."""
RETRY_S = 5.0
_LOCK = "_mirror.lock"
_WAIT_S = 30.0
_PAUSE_S = 0.05


def mirrored(project: Project) -> list[str]:
    """Return the datasets that are mirrored."""
    return [name for name, dataset in project.datasets.items() if dataset.mirror is not None]


def mirror_now(project: Project, store: Store) -> dict[str, str]:
    """Bring all mirrors to where the heads are, unless a coordinator lives, which does so by itself.

    Returns:
        What keeps mirrors from going on, by dataset.

    Raises:
        UnavailableError: The state store failed.
    """
    names = mirrored(project)
    return {} if not names or store.leader() is not None else Mirrors(project.paths.data, names, store).follow()


class Mirrors:
    """Follows the heads of datasets.

    Args:
        data_root: The data folder.
        names: The datasets.
        store: The state store.
        begun: The mirrors that this process has begun to follow; more come to it.
    """

    def __init__(self, data_root: Path, names: list[str], store: Store, begun: set[str] | None = None) -> None:
        self._store = store
        begun = set() if begun is None else begun
        self._mirrors = [_Mirror(data_root, name, begun) for name in names]
        self._seq = -1
        self._errors: dict[str, str] = {}
        self._tried_s = 0.0

    def follow(self) -> dict[str, str]:
        """Bring each mirror to where the heads are now; return what keeps some from it, by dataset.

        Raises:
            UnavailableError: The state store failed.
        """
        seq = self._store.journal_seq()
        if seq == self._seq and not (self._errors and time.monotonic() - self._tried_s >= RETRY_S):
            return self._errors
        self._tried_s = time.monotonic()
        reached: dict[str, int] = {}
        errors: dict[str, str] = {}
        for mirror in self._mirrors:
            try:
                entry = mirror.follow(self._store)
                if entry is not None:
                    reached[mirror.name] = entry
            except HeadgateError as error:
                errors[mirror.name] = f"{error.message}. {error.hint}".rstrip() if error.hint else error.message
            except Exception as error:
                # It must not take down the coordinator, whose work does not depend on it.
                errors[mirror.name] = f"{type(error).__name__}: {error}"
        with self._store.transaction() as tx:
            for name, entry in reached.items():
                tx.mirror_reached(name, entry, now_ms=now_ms())
            for name, text in errors.items():
                if self._errors.get(name) != text:
                    tx.mirror_failed(name, text)
        self._seq, self._errors = seq, errors
        return errors


class _Mirror:
    """The mirror of one dataset."""

    def __init__(self, data_root: Path, name: str, begun: set[str]) -> None:
        self.name = name
        self._begun = begun
        self._data_root = data_root
        self._root = data_root / name
        self._known: dict[int, ShownVersion] = {}
        self._groups: dict[str, int] = {}
        """How many row groups packs have."""
        self._apart: dict[int, MirroredFile] = {}
        """What versions in packs are as files of their own, as far as these are known to be there."""
        self._reached: frozenset[int] | None = None
        """What the table shows, as far as this process knows."""

    def follow(self, store: Store) -> int | None:
        """Have the table show the heads; return the journal entry up to which it does.

        None if the mirror was stopped since this process follows it: it was started with a declaration that is gone.
        """
        if not self._root.is_dir():
            return store.heads_now(self.name).seq
        with alone(self._root):
            if not self._is_followed(store):
                return None
            delta.check_installed()
            now = store.heads_now(self.name)
            # The table may have been taken down by somebody who was killed before making it anew.
            if now.versions != self._reached or not (self._root / delta.LOG).is_dir():
                known = {version: self._known[version] for version in now.versions if version in self._known}
                known |= {version.id: version for version in store.shown_versions(now.versions - known.keys())}
                delta.reconcile(self._root, self._wanted(store, known), now.seq)
                self._known, self._reached = known, now.versions
            return now.seq

    def _is_followed(self, store: Store) -> bool:
        """Return whether there is a mirror, and begin it if this process has never seen one."""
        if not store.has_mirror(self.name):
            if self.name in self._begun:
                return False
            # Before the table names anything, so that what it names stays.
            with store.transaction() as tx:
                tx.begin_mirror(self.name)
        if store.has_mirror(self.name):
            self._begun.add(self.name)
        return True

    def _wanted(self, store: Store, versions: dict[int, ShownVersion]) -> dict[str, MirroredFile]:
        """Return the files that the table should name, by path relative to its folder."""
        wanted: dict[str, MirroredFile] = {}
        packs: dict[str, list[tuple[ShownVersion, File]]] = {}
        for version in versions.values():
            for file in version.files:
                if file.row_group is None:
                    wanted[self._inside(file.path)] = MirroredFile(file.bytes, file.rows, version.created_ms)
                else:
                    packs.setdefault(file.path, []).append((version, file))
        apart: list[tuple[ShownVersion, File]] = []
        for path, members in packs.items():
            if path not in self._groups:
                self._groups[path] = group_count(self._absolute(path))
            if len(members) == self._groups[path]:
                rows, created_ms = sum(file.rows for _, file in members), max(one.created_ms for one, _ in members)
                wanted[self._inside(path)] = MirroredFile(members[0][1].bytes, rows, created_ms)
            else:
                # Delta has no way to leave out a row group.
                apart += members
        return wanted | self._unpacked(store, apart)

    def _unpacked(self, store: Store, members: list[tuple[ShownVersion, File]]) -> dict[str, MirroredFile]:
        paths = {version.id: unpacked_path(self.name, version.id) for version, _ in members}
        missing = [
            (version, file)
            for version, file in members
            # Whoever has the table made anew takes them away.
            if version.id not in self._apart or not layout.resolve(self._data_root, paths[version.id]).exists()
        ]
        if missing:
            with store.transaction() as tx:
                tx.add_unpacked({version.id: paths[version.id] for version, _ in missing})
            crash_point("mirror.after_intents")
            unpack(
                self._data_root,
                [
                    Unpacking(Piece(self._absolute(file.path), file.row_group), paths[version.id], version.content)
                    for version, file in missing
                ],
            )
        for version, file in missing:
            size = layout.resolve(self._data_root, paths[version.id]).stat().st_size
            self._apart[version.id] = MirroredFile(size, file.rows, version.created_ms)
        return {self._inside(path): self._apart[version] for version, path in paths.items()}

    def _absolute(self, path: str) -> str:
        return str(layout.resolve(self._data_root, path))

    def _inside(self, path: str) -> str:
        dataset, _, rest = path.partition("/")
        if dataset != self.name or not rest:
            raise InternalError(f"{path} lies outside of the folder of {self.name}")
        return rest


@contextmanager
def alone(root: Path) -> Iterator[None]:
    """Hold the lock of the mirror in a folder: nobody else writes its table meanwhile.

    Raises:
        ConflictError: Somebody holds it and does not let go.
    """
    until_s = time.monotonic() + _WAIT_S
    with ExitStack() as stack:
        while True:
            try:
                stack.enter_context(Lead(root / _LOCK).hold("mirror"))
                break
            except ConflictError as error:
                if time.monotonic() >= until_s:
                    raise ConflictError(
                        f"another process keeps the mirror in {root} busy", hint="Find out which, and stop it."
                    ) from error
                time.sleep(_PAUSE_S)
        yield


def take_down(store: Store, data_root: Path, name: str, *, forget: bool, author: str, reason: str) -> None:
    """Remove the table of a mirror, and what it has of packs as files of their own; the data files stay.

    Args:
        store: The state store.
        data_root: The data folder.
        name: The dataset.
        forget: Whether there will be no mirror of it any more.
        author: Who wants it.
        reason: Why.
    """
    root = data_root / name
    if not root.is_dir():
        raise UsageError(f"there is no mirror of {name}")
    with alone(root):
        with store.transaction() as tx:
            kind = "mirror.stopped" if forget else "mirror.rebuilt"
            tx.journal(kind, author=author, run="", reason=reason, body={"dataset": name}, now_ms=now_ms())
            tx.mirror_failed(name, "")
        log = root / delta.LOG
        if log.is_dir():
            # Away at once: a log of which half is gone would be another table.
            gone = root / FOLDER / f"log-{time.time_ns()}"
            gone.parent.mkdir(exist_ok=True)
            log.rename(gone)
        # What has rotted there is written anew with the table, and without a table nobody reads it.
        shutil.rmtree(root / FOLDER, ignore_errors=True)
        if forget:
            with store.transaction() as tx:
                tx.forget_mirror(name)


class Mirroring:
    """Follows the heads in a thread of its own as long as the block lasts, and once more in the end.

    Args:
        project: The user's project.
        open_store: Opens the state store once more.
    """

    def __init__(self, project: Project, open_store: Callable[[], Store]) -> None:
        self._data_root = project.paths.data
        self._names = mirrored(project)
        self._open = open_store
        self._begun: set[str] = set()
        self._stopping = Event()
        self._thread = Thread(target=self._run, name="headgate-mirror")

    def __enter__(self) -> Self:
        if self._names:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        if self._names:
            self._thread.join()

    def _run(self) -> None:
        store: Store | None = None
        mirrors: Mirrors | None = None
        is_last = False
        while not is_last:
            is_last = self._stopping.is_set()
            began_s = time.monotonic()
            try:
                store = store or self._open()
                mirrors = mirrors or Mirrors(self._data_root, self._names, store, self._begun)
                mirrors.follow()
            except HeadgateError:
                # Of the state store, of which the coordinator has its own opinion; `headgate mirror` shows the lag.
                mirrors = None
            self._stopping.wait(max(EVERY_S, REST * (time.monotonic() - began_s)))
        if store is not None:
            store.close()
