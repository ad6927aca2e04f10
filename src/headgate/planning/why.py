"""Why a partition is in a plan: the way from it up to what is rebuilt for a reason of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from headgate.model.reason import Why
from headgate.planning.reach import causes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from headgate.model.mapping import Reads
    from headgate.model.plan import Plan
    from headgate.planning.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class Link:
    """A partition on the way up.

    Args:
        dataset: Name.
        index: Its index.
        why: Why it is in the plan. Only the last link has another reason than upstream.
        others: How many partitions that it reads are in the plan, beside the one of the next link.
    """

    dataset: str
    index: int
    why: Why
    others: int


def why_chain(snapshot: Snapshot, plan: Plan, dataset: str, index: int) -> tuple[Link, ...]:
    """Return a way from a partition up to a root cause; nothing if the plan does not have it.

    Of the planned partitions that one reads, the way goes through one with a reason of its own, if there is any, else
    through the first.

    Args:
        snapshot: What the plan was made from.
        plan: The plan.
        dataset: Name of a dataset.
        index: One of its partitions.
    """
    reasons = _Reasons(snapshot, plan)
    links: list[Link] = []
    at = (dataset, index) if reasons.of(dataset, index) is not Why.NONE else None
    while at is not None:
        why = reasons.of(*at)
        above = list(reasons.above(*at)) if why is Why.UPSTREAM else []
        links.append(Link(*at, why, sum(len(indices) for _, indices in above) - 1 if above else 0))
        at = reasons.nearest(above)
    return tuple(links)


def root_causes(snapshot: Snapshot, plan: Plan, dataset: str, index: int) -> dict[str, NDArray[np.int64]]:
    """Return all partitions with a reason of their own because of which a partition is in a plan, by dataset.

    Args:
        snapshot: What the plan was made from.
        plan: The plan.
        dataset: Name of a dataset.
        index: One of its partitions.

    Shape:
        Grid indices (int64), ascending.
    """
    reasons = _Reasons(snapshot, plan)
    if reasons.of(dataset, index) is Why.NONE:
        return {}
    start = np.zeros(snapshot.grids[dataset].size, dtype=bool)
    start[index] = True
    planned = {name: why != Why.NONE for name, why in reasons.why.items()}
    passed_on = {name: why == Why.UPSTREAM for name, why in reasons.why.items()}
    found = causes(snapshot, {dataset: start}, planned, passed_on)
    roots = {name: np.flatnonzero(mask & ~passed_on[name]) for name, mask in found.items()}
    return {part.name: roots[part.name] for part in plan.datasets if part.name in roots and len(roots[part.name])}


class _Reasons:
    """The reasons of a plan, by grid index."""

    def __init__(self, snapshot: Snapshot, plan: Plan) -> None:
        self._snapshot = snapshot
        self._inputs: dict[str, dict[str, list[Reads]]] = {}
        self.why: dict[str, NDArray[np.uint8]] = {}
        for part in plan.datasets:
            self.why[part.name] = np.zeros(snapshot.grids[part.name].size, dtype=np.uint8)
            self.why[part.name][part.indices] = part.why

    def of(self, dataset: str, index: int) -> Why:
        return Why(int(self.why[dataset][index])) if dataset in self.why else Why.NONE

    def above(self, dataset: str, index: int) -> Iterator[tuple[str, NDArray[np.int64]]]:
        """Yield the planned partitions that a partition reads, by dataset."""
        for name, inputs in self._inputs_of(dataset).items():
            read = sorted({above for reads in inputs for above in reads.of(index)})
            indices = np.array(read, dtype=np.int64)
            indices = indices[self.why[name][indices] != Why.NONE]
            if len(indices):
                yield name, indices

    def _inputs_of(self, dataset: str) -> dict[str, list[Reads]]:
        """Return what all partitions of a dataset read of planned datasets; ways can be long, so it is kept."""
        if dataset not in self._inputs:
            found: dict[str, list[Reads]] = {}
            for entry in self._snapshot.datasets[dataset].inputs.values():
                if entry.dataset in self.why:
                    found.setdefault(entry.dataset, []).append(self._snapshot.reads(dataset, entry))
            self._inputs[dataset] = found
        return self._inputs[dataset]

    def nearest(self, above: list[tuple[str, NDArray[np.int64]]]) -> tuple[str, int] | None:
        for name, indices in above:
            own = indices[self.why[name][indices] != Why.UPSTREAM]
            if len(own):
                return name, int(own[0])
        return (above[0][0], int(above[0][1][0])) if above else None
