"""Many partitions in few words: ranges of neighbours, named by their first and last key."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headgate.model.grid import Grid


@dataclass(frozen=True, slots=True)
class KeyRange:
    """Neighbouring partitions, from the first to the last of them, both included."""

    first: str
    last: str
    count: int


def key_ranges(grid: Grid, indices: NDArray[np.int64]) -> tuple[KeyRange, ...]:
    """Return ascending indices as ranges of neighbours."""
    if not len(indices):
        return ()
    return tuple(
        KeyRange(grid.key(run[0]), grid.key(run[-1]), len(run))
        for run in np.split(indices, np.flatnonzero(np.diff(indices) != 1) + 1)
    )
