"""Finds a partition by the name and key that a person gives."""

from __future__ import annotations

import time
from difflib import get_close_matches
from typing import TYPE_CHECKING

from headgate.errors import UsageError
from headgate.model.names import shown
from headgate.project.load import load
from headgate.views.names import unknown_dataset

if TYPE_CHECKING:
    from pathlib import Path

    from headgate.model.grid import Grid

_COMPARED = 5_000
"""Keys of so many partitions are compared with one that is not there: difflib is slow."""


def only_key(root: Path, dataset: str) -> str:
    """Return the key of a dataset without partitions.

    Raises:
        UsageError: The project has no such dataset, or it has partitions.
    """
    grid = _grid(root, dataset)
    return grid.key(grid.index(None, dataset))


def canonical_key(root: Path, dataset: str, key: str | None) -> str | None:
    """Return a key as it is recorded; an hour may be written in other ways, too.

    Raises:
        UsageError: The project has no such dataset, or the dataset no such partition.
    """
    grid = _grid(root, dataset)
    if key is None:
        return None
    index = grid.find(key)
    if index is None:
        near = get_close_matches(key, grid.keys(range(grid.size)), n=1) if grid.size <= _COMPARED else []
        hint = f"Did you mean {near[0]}? " if near else ""
        raise UsageError(f"{dataset} has no partition {shown(key)}", hint=hint + grid.describe())
    return grid.key(index)


def _grid(root: Path, dataset: str) -> Grid:
    project = load(root)
    declared = project.datasets.get(dataset) or project.sources.get(dataset)
    if declared is None:
        raise unknown_dataset(dataset, [*project.datasets, *project.sources])
    return declared.partitioning.grid(time.time_ns() // 1_000_000)
