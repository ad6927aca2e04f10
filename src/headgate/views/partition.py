"""Finds a partition by the name and key that a person gives."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from headgate.project.load import load
from headgate.views.names import unknown_dataset

if TYPE_CHECKING:
    from pathlib import Path


def canonical_key(root: Path, dataset: str, key: str | None) -> str | None:
    """Return a key as it is recorded; an hour may be written in other ways, too.

    Raises:
        UsageError: The project has no such dataset, or the dataset no such partition.
    """
    project = load(root)
    declared = project.datasets.get(dataset) or project.sources.get(dataset)
    if declared is None:
        raise unknown_dataset(dataset, [*project.datasets, *project.sources])
    if key is None:
        return None
    grid = declared.partitioning.grid(time.time_ns() // 1_000_000)
    return grid.key(grid.index(key, dataset))
