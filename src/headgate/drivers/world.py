"""Looks at the world for planning: definitions, heads from the store, files of sources as they are now."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from headgate.planning.digest import hash64
from headgate.planning.snapshot import Heads, Snapshot
from headgate.project.landing import Missing, observe
from headgate.project.seen_files import SeenFiles
from headgate.store.records import Observation

if TYPE_CHECKING:
    from pathlib import Path

    from headgate.model.dataset import Dataset, Source
    from headgate.model.grid import Grid
    from headgate.project.load import Project
    from headgate.store.store import Store


@dataclass(frozen=True, slots=True)
class World:
    """How things stand; what the state store knows is as of one moment.

    Args:
        snapshot: Definitions and heads.
        observations: Files of sources that the state store does not know yet.
        journal_seq: How far the journal was: while it stands there, nothing has been written.
    """

    snapshot: Snapshot
    observations: tuple[Observation, ...]
    journal_seq: int


def look(project: Project, store: Store, now_ms: int) -> World:
    """Return how things stand.

    Args:
        project: The user's project.
        store: Its state store.
        now_ms: UTC milliseconds; windows that have ended by then count.
    """
    grids = {
        name: declared.partitioning.grid(now_ms) for name, declared in (project.datasets | project.sources).items()
    }
    with store.snapshot():
        # What moves together, as a rollback has it, is seen together.
        journal_seq = store.journal_seq()
        heads = {name: _recorded(store, dataset, grids[name]) for name, dataset in project.datasets.items()}
        known = {name: _known(store, name, grids[name]) for name in project.sources}
    observations: list[Observation] = []
    seen = SeenFiles(project.paths.state.with_name(project.paths.state.name + "-seen"))
    for name, source in project.sources.items():
        heads[name], fresh = _observed(project.root, source, grids[name], known[name], seen)
        observations += fresh
    seen.save()
    snapshot = Snapshot(project.datasets, project.sources, grids, heads, now_ms)
    return World(snapshot, tuple(observations), journal_seq)


def _recorded(store: Store, dataset: Dataset, grid: Grid) -> Heads:
    name, heads = dataset.name, Heads.empty(grid.size)
    attempt = np.zeros(grid.size, dtype=np.int64)
    codes: dict[str, int] = {}
    for some in store.head_columns(name):
        found = grid.find_column(some.keys)
        known = found >= 0
        at = found[known]
        renumbered = np.array([codes.setdefault(one, len(codes)) for one in some.codes], dtype=np.int32)
        heads.version[at] = some.version[known]
        heads.digest[at] = some.inputs_digest[known]
        heads.code[at] = renumbered[some.code[known]]
        attempt[at] = some.attempt[known]
    # Of what must not happen twice an attempt that was lost counts, too: nobody knows how far it came.
    failed = grid.find_all(one.key for one in store.failed_partitions(name, unsure=not dataset.idempotent))
    return Heads(
        heads.version,
        heads.digest,
        heads.code,
        tuple(codes),
        attempt=None if np.array_equal(attempt, heads.version) else attempt,
        failed=failed[failed >= 0],
        held={index: run for key, run in store.held(name) if (index := grid.find(key)) is not None},
    )


class _Known(NamedTuple):
    """A recorded version of a source's partition, and the hash and the path of its file."""

    version: int
    hash: str
    path: str


_UNKNOWN = _Known(0, "", "")


def _known(store: Store, source: str, grid: Grid) -> dict[int, _Known]:
    found = {}
    for version in store.heads(source):
        index = grid.find(version.key)
        if index is not None:
            found[index] = _Known(version.id, version.files[0].hash, version.files[0].path)
    return found


def _observed(
    root: Path, source: Source, grid: Grid, known: dict[int, _Known], seen: SeenFiles
) -> tuple[Heads, list[Observation]]:
    recorded = Heads.empty(grid.size)
    for index, before in known.items():
        recorded.version[index] = before.version
    fresh: list[Observation] = []
    absent: dict[int, str] = {}
    for index, found in observe(root, source, grid, range(grid.size), seen):
        if isinstance(found, Missing):
            absent[index] = found.text
            continue
        recorded.digest[index] = hash64(found.hash)
        before = known.get(index, _UNKNOWN)
        if before.hash != found.hash:
            # Nobody has numbered this version yet: any number that no recorded version has will do.
            recorded.version[index] = -1 - index
        if (before.hash, before.path) != (found.hash, found.path):
            fresh.append(Observation(source.name, grid.key(index), found))
    return Heads(recorded.version, recorded.digest, np.zeros(grid.size, np.int32), (), absent), fresh
