"""What planning knows of the world: definitions and heads, as arrays over the grids."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from headgate.model.mapping import Custom, Lists, upstream
from headgate.planning.digest import seed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from headgate.model.dataset import Dataset, Input, Source
    from headgate.model.grid import Grid
    from headgate.model.mapping import Spans


@dataclass(frozen=True, slots=True)
class Heads:
    """The heads of one dataset or source.

    Args:
        version: Id of the head; 0 for none. A source's file that changed since it was recorded has a negative id.
        digest: `inputs_digest` of the head's checkpoint (datasets).
        code: Which of `codes` made it (datasets).
        codes: Code fingerprints.
        absent: For sources: index -> why its file cannot be read now.

    Shape:
        version (int64), digest (uint64), code (int32): (grid.size,).
    """

    version: NDArray[np.int64]
    digest: NDArray[np.uint64]
    code: NDArray[np.int32]
    codes: tuple[str, ...] = ()
    absent: Mapping[int, str] = field(default_factory=dict)

    @staticmethod
    def empty(size: int) -> Heads:
        """Return the heads of a dataset that nobody has built."""
        return Heads(np.zeros(size, np.int64), np.zeros(size, np.uint64), np.zeros(size, np.int32))

    def readable(self) -> NDArray[np.bool_]:
        """Return which partitions can be read now."""
        mask: NDArray[np.bool_] = self.version != 0
        if self.absent:
            mask[list(self.absent)] = False
        return mask


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Definitions, grids and heads at one instant."""

    datasets: Mapping[str, Dataset]
    sources: Mapping[str, Source]
    grids: Mapping[str, Grid]
    heads: Mapping[str, Heads]
    as_of_ms: int
    _custom: dict[tuple[str, Input], Lists] = field(default_factory=dict, init=False, repr=False, compare=False)

    def seed(self, parameter: str, entry: Input) -> int:
        """Return the digest's seed for an input."""
        source = self.sources.get(entry.dataset)
        return seed(parameter, entry.dataset, source.format if source else "")

    def reads(self, dataset: str, entry: Input, index: NDArray[np.int64] | None = None) -> Spans | Lists:
        """Return what partitions of a dataset (all of them by default) read through one input."""
        grid = self.grids[dataset]
        if not isinstance(entry.mapping, Custom):
            index = np.arange(grid.size, dtype=np.int64) if index is None else index
            return upstream(entry.mapping, grid, self.grids[entry.dataset], index)
        # A user's function is asked once for each key, however often planning looks at the answer.
        full = self._custom.get((dataset, entry))
        if full is None:
            found = upstream(entry.mapping, grid, self.grids[entry.dataset], np.arange(grid.size, dtype=np.int64))
            assert isinstance(found, Lists)
            full = self._custom[dataset, entry] = found
        return full if index is None else _taken(full, index)


def _taken(lists: Lists, index: NDArray[np.int64]) -> Lists:
    """Return the lists at some positions."""
    counts = np.diff(lists.offsets)[index]
    offsets = np.concatenate((np.zeros(1, dtype=np.int64), np.cumsum(counts)))
    at = np.repeat(lists.offsets[index] - offsets[:-1], counts) + np.arange(offsets[-1], dtype=np.int64)
    return Lists(offsets, lists.values[at], lists.beyond[index])
