"""What planning knows of the world: definitions and heads, as arrays over the grids."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, overload

import numpy as np

from headgate.model.mapping import Custom, Lists, sliding, upstream
from headgate.planning.digest import seed
from headgate.planning.graph import components

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from headgate.model.dataset import Dataset, Input, Source
    from headgate.model.grid import Grid
    from headgate.model.mapping import Mapping as Rule
    from headgate.model.mapping import Reads, Spans

KEPT_RULES, KEPT_PARTITIONS = 256, 10_000
"""How many mappings between whole grids are kept, and how large the grid that reads may be for that."""


@dataclass(frozen=True, slots=True)
class Heads:
    """The heads of one dataset or source.

    Args:
        version: Id of the head; 0 for none. A source's file that changed since it was recorded has a negative id.
        digest: `inputs_digest` of the head's checkpoint; for sources a hash of the file as it is now.
        code: Which of `codes` made it (datasets).
        codes: Code fingerprints.
        absent: For sources: index -> why its file cannot be read now.
        attempt: Which attempt the head's checkpoint is of (datasets); None if each is the one that made its version.
        failed: Indices of the partitions whose last attempt failed, with nothing published since (datasets); of those
            that are not idempotent also where it was lost in a crash, stopped in the middle, or has not ended.
        held: index -> the rollback that holds it (datasets).

    Shape:
        version (int64), digest (uint64), code (int32), attempt (int64): (grid.size,); failed (int64): (failed,).
    """

    version: NDArray[np.int64]
    digest: NDArray[np.uint64]
    code: NDArray[np.int32]
    codes: tuple[str, ...] = ()
    absent: Mapping[int, str] = field(default_factory=dict)
    attempt: NDArray[np.int64] | None = None
    failed: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    held: Mapping[int, str] = field(default_factory=dict)

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
    _loops: list[list[str]] = field(default_factory=list, init=False, repr=False, compare=False)
    _kept: dict[tuple[Rule, Grid, Grid], Reads] = field(default_factory=dict, init=False, repr=False, compare=False)

    def loops(self) -> list[list[str]]:
        """Return all datasets, upstream first; those that read each other in a loop stand together."""
        if not self._loops:
            reads = {name: [entry.dataset for entry in one.inputs.values()] for name, one in self.datasets.items()}
            self._loops.extend(components(reads))
        return self._loops

    def seed(self, parameter: str, entry: Input) -> int:
        """Return the digest's seed for an input."""
        source = self.sources.get(entry.dataset)
        return seed(parameter, entry.dataset, source.format if source else "")

    @overload
    def reads(self, dataset: str, entry: Input) -> Reads: ...

    @overload
    def reads(self, dataset: str, entry: Input, index: NDArray[np.int64]) -> Spans | Lists: ...

    def reads(self, dataset: str, entry: Input, index: NDArray[np.int64] | None = None) -> Reads:
        """Return what partitions of a dataset (all of them by default) read through one input."""
        if index is None:
            return self._whole(dataset, entry)
        if isinstance(entry.mapping, Custom):
            full = self._whole(dataset, entry)
            assert isinstance(full, Lists)
            return _taken(full, index)
        return upstream(entry.mapping, self.grids[dataset], self.grids[entry.dataset], index)

    def _whole(self, dataset: str, entry: Input) -> Reads:
        down, up = self.grids[dataset], self.grids[entry.dataset]
        key = (entry.mapping, down, up)
        found = self._kept.get(key) or sliding(*key)
        if found is None:
            found = upstream(*key, np.arange(down.size, dtype=np.int64))
            few = down.size <= KEPT_PARTITIONS and len(self._kept) < KEPT_RULES
            # A user's function is asked once for each key, however often planning looks at the answer.
            if few or isinstance(entry.mapping, Custom):
                self._kept[key] = found
        return found


def _taken(lists: Lists, index: NDArray[np.int64]) -> Lists:
    """Return the lists at some positions."""
    counts = np.diff(lists.offsets)[index]
    offsets = np.concatenate((np.zeros(1, dtype=np.int64), np.cumsum(counts)))
    at = np.repeat(lists.offsets[index] - offsets[:-1], counts) + np.arange(offsets[-1], dtype=np.int64)
    return Lists(offsets, lists.values[at], lists.beyond[index])
