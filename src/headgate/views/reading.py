"""Opens a project's state store for reading, without loading its modules."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from headgate.project.places import paths
from headgate.store.sqlite import open_store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from headgate.project.places import Paths
    from headgate.store.store import Store


@contextmanager
def reading(root: Path) -> Iterator[tuple[Paths, Store]]:
    """Open the state store of the project in a folder; an empty one if there is none yet.

    Raises:
        UsageError: The folder holds no project, or its headgate.toml is broken.
        ConflictError: The state store was lost or is older than the data.
    """
    places = paths(root)
    store = open_store(places.state, data_root=places.data, create=False)
    try:
        yield places, store
    finally:
        store.close()
