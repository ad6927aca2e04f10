"""Opens a project's state store for reading, without loading its modules."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from headgate.errors import UsageError
from headgate.model.names import shown
from headgate.project.places import paths
from headgate.store.sqlite import open_store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from headgate.model.run import Run
    from headgate.project.places import Paths
    from headgate.store.store import Store

LATEST = "latest"
"""What stands for the newest run wherever the id of one is expected."""


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


def named_run(store: Store, text: str) -> Run:
    """Return the run that a text names: its id, an unambiguous beginning of it, or `latest`.

    Raises:
        UsageError: There is none, or there are several.
    """
    newest = store.runs(limit=3)
    wanted = newest[0].id if text == LATEST and newest else text
    run = store.run(wanted)
    if run is None:
        known = ", ".join(run.id for run in newest)
        raise UsageError(
            f"there is no run {shown(text)}", hint=f"The newest are {known}." if known else "There are no runs yet."
        )
    return run
