"""A large plan for a forecast: neighbouring partitions taken together as chunks that run one after another.

Many chunks still fill all slots for nearly all of the time, so the finish is as good as that of the whole, and a
million partitions cost no more than a thousand. What is lost: a partition waits for the chunks that hold what it
reads, not for single partitions; datasets that read each other in a circle do not wait for the later of them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from headgate.core.edges import RangeEdge
from headgate.core.events import Lane, Stage
from headgate.model.mapping import Custom, Lists
from headgate.model.policy import Effective
from headgate.model.run import TaskState
from headgate.planning.stages import UNKNOWN_MS, Terms, priorities_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from headgate.core.edges import Edge
    from headgate.model.dataset import Input
    from headgate.model.plan import Plan, PlannedDataset
    from headgate.planning.snapshot import Snapshot

_DEFAULTS = Effective()


@dataclass(frozen=True, slots=True)
class CoarsePlan:
    """A plan in chunks.

    Args:
        plan: Of each chunk the last partition, without those that cannot be built: by these chunks are ordered.
        stages: Its stages; a task is a chunk.
        starts: Where the chunks of each stage begin, counted in its partitions that can be built.
    """

    plan: Plan
    stages: Sequence[Stage]
    starts: Sequence[NDArray[np.int64]]


def buildable(plan: Plan) -> Plan:
    """Return a plan without what cannot be built as things are."""
    parts = [
        replace(part, indices=part.indices[kept], why=part.why[kept], blocked=part.blocked[kept])
        for part in plan.datasets
        if (kept := ~part.blocked).any()
    ]
    return replace(plan, datasets=tuple(parts))


def coarse_plan(plan: Plan, snapshot: Snapshot, terms: Terms, most: int) -> CoarsePlan:
    """Return a plan in chunks.

    Args:
        plan: A plan of which everything can be built.
        snapshot: What it was made from.
        terms: What holds beside the plan; `typical_ms` is that of a partition.
        most: About how many chunks to make; small datasets stay as they are.
    """
    share, whole = most // max(1, len(plan.datasets)), max(1, plan.size)
    starts, parts = [], []
    for part in plan.datasets:
        n = len(part.indices)
        chunks = min(n, max(1, share, n * most // whole))
        starts.append(np.arange(chunks, dtype=np.int64) * n // chunks)
        last = np.append(starts[-1][1:], n) - 1
        parts.append(replace(part, indices=part.indices[last], why=part.why[last], blocked=part.blocked[last]))
    number = {part.name: n for n, part in enumerate(plan.datasets)}
    stages = []
    for n, part in enumerate(plan.datasets):
        dataset = snapshot.datasets[part.name]
        effective = terms.effective.get(part.name, _DEFAULTS)
        edges: list[Edge] = []
        for entry in dataset.inputs.values():
            above = number.get(entry.dataset)
            if above is not None and above <= n:
                bounds = _bounds(snapshot, part, entry, starts[n])
                edge = _edge(above, plan.datasets[above].indices, starts[above], *bounds)
                edges.append(_earlier(edge) if above == n else edge)
        chunks = len(starts[n])
        stages.append(
            Stage(
                dataset=part.name,
                lane=Lane.IO if dataset.is_async else Lane.PROCESS,
                edges=tuple(edges),
                priority=np.zeros(chunks, dtype=np.int64),
                states=np.full(chunks, TaskState.WAITING, dtype=np.uint8),
                changed=np.zeros(chunks, dtype=bool),
                skippable=np.zeros(chunks, dtype=bool),
                concurrency=effective.concurrency,
                pools=tuple(sorted(effective.pools.items())),
                retry=effective.retry,
                breaker=effective.breaker,
                typical_ms=terms.typical_ms.get(part.name, UNKNOWN_MS) * len(part.indices) / chunks,
            )
        )
    chunked = replace(plan, datasets=tuple(parts))
    priorities = priorities_of(chunked, snapshot, stages, terms.order)
    ordered = [replace(stage, priority=priority) for stage, priority in zip(stages, priorities, strict=True)]
    return CoarsePlan(chunked, ordered, starts)


def _bounds(
    snapshot: Snapshot, part: PlannedDataset, entry: Input, starts: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return for each chunk the first upstream index that it reads, and the end of them; equal for nothing."""
    stops = np.append(starts[1:], len(part.indices))
    if isinstance(entry.mapping, Custom):
        reads = snapshot.reads(part.name, entry, part.indices)
        assert isinstance(reads, Lists)
        first, end = reads.offsets[starts], reads.offsets[stops]
        lo, hi = np.zeros(len(starts), dtype=np.int64), np.zeros(len(starts), dtype=np.int64)
        some = np.flatnonzero(end > first)
        if len(some):
            # What lies between the chunks that read something belongs to none: those read nothing.
            lo[some] = np.minimum.reduceat(reads.values, first[some])
            hi[some] = np.maximum.reduceat(reads.values, first[some]) + 1
        return lo, hi
    found = []
    for index in (part.indices[starts], part.indices[stops - 1]):
        reads = snapshot.reads(part.name, entry, index)
        assert not isinstance(reads, Lists)
        found.append((reads.start, np.where(reads.stop > reads.start, reads.stop - reads.step + 1, reads.start)))
    (lo, hi), (other_lo, other_hi) = found
    return np.minimum(lo, other_lo), np.maximum(hi, other_hi)


def _edge(
    above: int,
    members: NDArray[np.int64],
    starts: NDArray[np.int64],
    lo: NDArray[np.int64],
    hi: NDArray[np.int64],
) -> RangeEdge:
    """Return what chunks wait for: all chunks that hold something of what they read."""
    first, end = np.searchsorted(members, lo), np.searchsorted(members, hi)
    lows = np.searchsorted(starts, first, side="right") - 1
    highs = np.where(end > first, np.searchsorted(starts, end), 0)
    lows = np.where(end > first, lows, len(starts))
    return _monotone(above, lows, highs)


def _earlier(edge: RangeEdge) -> RangeEdge:
    """Return the edge of a stage to itself, with nothing but what lies before each chunk."""
    return _monotone(edge.upstream, edge.lo, np.minimum(edge.hi, np.arange(len(edge.hi))))


def _monotone(above: int, lo: NDArray[np.integer], hi: NDArray[np.integer]) -> RangeEdge:
    """Return the narrowest edge around ranges whose bounds never decrease."""
    hi = np.maximum.accumulate(hi)
    lo = np.minimum(np.minimum.accumulate(lo[::-1])[::-1], hi)
    return RangeEdge(above, lo.astype(np.int32), hi.astype(np.int32))
