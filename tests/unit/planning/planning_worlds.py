"""Snapshots made by hand."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np

from headgate.model.dataset import Dataset, Format, Input, Source
from headgate.model.mapping import Mapping, Overlap
from headgate.model.reason import Why
from headgate.planning.planner import current_digest
from headgate.planning.snapshot import Heads, Snapshot

if TYPE_CHECKING:
    from headgate.model.partitioning import Partitioning
    from headgate.model.plan import Plan


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


def source(name: str, partitioning: Partitioning) -> Source:
    return Source(name, partitioning, "x", Format.CSV)


def dataset(
    name: str, partitioning: Partitioning, *reads: str | tuple[str, Mapping], tolerant: bool = False, code: str = "code"
) -> Dataset:
    pairs = [(one, Overlap()) if isinstance(one, str) else one for one in reads]
    inputs = {f"p{n}": Input(other, mapping, tolerant) for n, (other, mapping) in enumerate(pairs)}
    return Dataset(name, partitioning, inputs, "m:f", code)


def snapshot(*declared: Dataset | Source, as_of: str = "2013-04-01", absent: dict[str, dict[int, str]] | None = None):
    """Return a world in which every file has arrived, but for the absent ones, and nothing is built."""
    at = ms(as_of)
    grids = {one.name: one.partitioning.grid(at) for one in declared}
    heads = {name: Heads.empty(grid.size) for name, grid in grids.items()}
    datasets = {one.name: one for one in declared if isinstance(one, Dataset)}
    sources = {one.name: one for one in declared if isinstance(one, Source)}
    for n, name in enumerate(sources, start=1):
        missing = (absent or {}).get(name, {})
        version = np.arange(grids[name].size, dtype=np.int64) + n * 1000
        version[list(missing)] = 0
        heads[name] = Heads(version, heads[name].digest, heads[name].code, (), missing)
    return Snapshot(datasets, sources, grids, heads, at)


def built(world: Snapshot) -> Snapshot:
    """Return the world with everything built from what is there."""
    for n, name in enumerate(world.datasets, start=1):
        version = np.arange(world.grids[name].size, dtype=np.int64) + n * 1_000_000
        world.heads[name] = replace(world.heads[name], version=version)
    for name, declared in world.datasets.items():
        digest = current_digest(world, declared)
        world.heads[name] = replace(world.heads[name], digest=digest, codes=(declared.code,))
    return world


def planned(plan: Plan) -> dict[str, dict[str, list[int]]]:
    """Return a plan as dataset -> reason -> indices."""
    return {
        part.name: {w.name: part.indices[part.why == w].tolist() for w in Why if (part.why == w).any()}
        for part in plan.datasets
    }
