"""A scratch copy of a project: its state, and the data files of some partitions. The project itself is only read."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from headgate.errors import UnavailableError
from headgate.project.places import Paths
from headgate.store.sqlite import open_store
from headgate.store.sqlite_copy import copy_store
from headgate.tables import layout

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from headgate.model.version import Version
    from headgate.project.load import Project
    from headgate.store.store import Store

_HINT = "Copies go into a temporary folder: give it room, or choose another one with the variable TMPDIR."


@dataclass(frozen=True, slots=True)
class Scratch:
    """A copy of a project's state, and the place for some of its data.

    Args:
        folder: Where everything of it is.
        project: The project, with state and data there.
        store: The copy of the state store.
        original: The data folder that it was copied from.
    """

    folder: Path
    project: Project
    store: Store
    original: Path

    @property
    def data(self) -> Path:
        """Return the data folder of the copy."""
        return self.project.paths.data


@contextmanager
def scratch_copy(project: Project, *, keep: bool) -> Iterator[Scratch]:
    """Copy the state of a project, without data, and remove all of it at the end of the block.

    Args:
        project: The project; others may write to its state store at the same time.
        keep: Whether it stays, unless the block raises.

    Raises:
        UnavailableError: The state store cannot be read, or there is no room for the copy.
    """
    try:
        folder = Path(tempfile.mkdtemp(prefix="headgate-drill-"))
    except OSError as error:
        raise UnavailableError(f"no temporary folder can be made: {error}", hint=_HINT) from error
    try:
        places = Paths(folder / "state.db", folder / "data")
        copy_store(project.paths.state, places.state, places.data)
        store = open_store(places.state, data_root=places.data, create=False)
        try:
            yield Scratch(folder, replace(project, paths=places), store, project.paths.data)
        finally:
            store.close()
    except BaseException:
        shutil.rmtree(folder)
        raise
    if not keep:
        shutil.rmtree(folder)


def copy_files(scratch: Scratch, versions: Iterable[Version]) -> tuple[int, int]:
    """Copy the data files of versions; return how many there are and their bytes.

    Always a copy and never a hard link: whatever happens to it, the original stays what it is. A file that is not
    there is not copied either.

    Raises:
        UnavailableError: The file system refused.
    """
    files = {file.path: file for version in versions for file in version.files}
    layout.make_directories(scratch.data, files)
    for path in files:
        with suppress(FileNotFoundError):
            try:
                shutil.copyfile(layout.resolve(scratch.original, path), layout.resolve(scratch.data, path))
            except FileNotFoundError:
                raise
            except OSError as error:
                raise UnavailableError(f"{path} cannot be copied: {error}", hint=_HINT) from error
    return len(files), sum(file.bytes for file in files.values())
