"""How many bytes the partitions of a plan will read and write, also where what they read is not there yet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from headgate.planning.sets import count, covered, range_sums

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from headgate.model.plan import Plan
    from headgate.planning.snapshot import Snapshot
    from headgate.planning.trend import Trend


MOST_HEADS = 5_000
"""Of so many heads the sizes are looked up for each input; others are taken to be as large as their neighbours."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """What each partition of a planned dataset reads and writes, in bytes; -1 where that is not known.

    Shape:
        read, written (int64): (partitions,).
    """

    read: NDArray[np.int64]
    written: NDArray[np.int64]


def plan_sizes(
    plan: Plan,
    snapshot: Snapshot,
    head_bytes: Callable[[str, NDArray[np.int64]], NDArray[np.int64]],
    outputs: Mapping[str, Trend],
) -> dict[str, Sizes]:
    """Return what the partitions of a plan read and write.

    Args:
        plan: The plan.
        snapshot: What it was made from.
        head_bytes: Returns the bytes of heads, given a dataset and grid indices; -1 where that is not known.
        outputs: What datasets write, by what they read, as far as there is a history.
    """
    sizes: dict[str, Sizes] = {}
    # What a later dataset of the plan writes, or the same one, is not known when it is read.
    made = {part.name: (part.indices, np.full(len(part.indices), -1)) for part in plan.datasets}
    for part in plan.datasets:
        read = np.zeros(len(part.indices), dtype=np.int64)
        is_known = np.ones(len(part.indices), dtype=bool)
        for entry in snapshot.datasets[part.name].inputs.values():
            reads = snapshot.reads(part.name, entry, part.indices)
            needed = covered(reads, snapshot.grids[entry.dataset].size)
            upstream = _upstream(snapshot, entry.dataset, needed, head_bytes, made)
            read += range_sums(np.maximum(upstream, 0), reads)
            is_known &= count(upstream < 0, reads) == 0
        read[~is_known] = -1
        trend = outputs.get(part.name)
        written = np.full(len(read), -1) if trend is None else np.rint(trend.mean_at(read)).astype(np.int64)
        if trend is not None:
            read[~is_known] = round(trend.middle)
        sizes[part.name] = Sizes(read, written)
        made[part.name] = (part.indices, written)
    return sizes


def _upstream(
    snapshot: Snapshot,
    name: str,
    needed: NDArray[np.bool_],
    head_bytes: Callable[[str, NDArray[np.int64]], NDArray[np.int64]],
    made: Mapping[str, tuple[NDArray[np.int64], NDArray[np.int64]]],
) -> NDArray[np.int64]:
    """Return the bytes of what is read of a dataset or source: of the head, else of what the plan makes of it."""
    found = np.zeros(len(needed), dtype=np.int64)
    if name in made:
        indices, written = made[name]
        found[indices] = written
    heads = np.flatnonzero(needed & (snapshot.heads[name].version != 0)).astype(np.int64)
    if len(heads):
        looked_up = heads if len(heads) <= MOST_HEADS else heads[:: -(-len(heads) // MOST_HEADS)]
        known = head_bytes(name, looked_up)
        found[heads] = known[np.searchsorted(looked_up, heads, side="right") - 1]
    return found
