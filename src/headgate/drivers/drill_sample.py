"""What a drill rehearses on: the newest published partitions, and what was made from them."""

from __future__ import annotations

from dataclasses import dataclass
from heapq import nlargest
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from headgate.errors import UsageError
from headgate.store.lineage import Visibility

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from headgate.model.grid import Grid
    from headgate.model.version import Version
    from headgate.planning.snapshot import Snapshot
    from headgate.store.store import Store

DATASETS = 5
"""So many datasets are rehearsed on, if none are named."""
DERIVED = 5
"""For each partition that is chosen, at most so many that were made from them are taken along."""
_SPARE = 4


@dataclass(frozen=True, slots=True)
class Sample:
    """Partitions for a drill: what readers see of each.

    Args:
        chosen: The newest of each dataset.
        derived: Heads that were made from these.
        skipped: What was left out, as sentences.
    """

    chosen: tuple[Version, ...]
    derived: tuple[Version, ...]
    skipped: tuple[str, ...]

    @property
    def versions(self) -> tuple[Version, ...]:
        """Return all of them."""
        return self.chosen + self.derived


def nothing_to_rehearse_on(why: str = "") -> UsageError:
    """Return the error that says why there can be no drill."""
    why = why or "nothing is published yet"
    return UsageError(f"there is nothing to rehearse on: {why}", hint="Build something first: headgate backfill")


def take_sample(store: Store, snapshot: Snapshot, names: Sequence[str], limit: int) -> Sample:
    """Choose partitions; of the same state always the same.

    Args:
        store: The state store.
        snapshot: Definitions and grids.
        names: Datasets; those with the newest heads, if none are named.
        limit: How many partitions to choose.

    Raises:
        UsageError: Nothing is published that has rows in files.
    """
    skipped: list[str] = []
    ranked: list[tuple[int, list[Version]]] = []
    for name in names or snapshot.datasets:
        newest = _newest(store, snapshot.grids[name], name, limit * _SPARE)
        usable = [version for _, version in newest if version.files and version.rows > 0]
        if usable:
            ranked.append((newest[0][0], usable))
        elif newest:
            skipped.append(f"{name}: its newest versions have no rows in files")
        elif names:
            skipped.append(f"{name}: nothing of it is published")
    if not ranked:
        raise nothing_to_rehearse_on("; ".join(skipped))
    ranked.sort(key=lambda one: -one[0])
    if not names and len(ranked) > DATASETS:
        others = ", ".join(usable[0].dataset for _, usable in ranked[DATASETS:])
        skipped.append(f"{DATASETS} datasets are enough, others: {others}")
        del ranked[DATASETS:]
    chosen = tuple(islice(_in_turn([usable for _, usable in ranked]), limit))
    derived, more = _derived(store, snapshot, chosen, limit * DERIVED)
    if more:
        skipped.append(f"more than {len(derived):,} partitions were made from those chosen: the newest are enough")
    return Sample(chosen, derived, tuple(skipped))


def _newest(store: Store, grid: Grid, name: str, limit: int) -> list[tuple[int, Version]]:
    """Return the heads that were published last, each with its checkpoint, newest first."""
    found: list[tuple[int, str]] = []
    for some in store.head_columns(name):
        known = np.flatnonzero(grid.find_column(some.keys) >= 0)
        newest = known[np.argsort(-some.attempt[known], kind="stable")[:limit]]
        found += [(int(some.attempt[at]), some.keys[at].decode()) for at in newest]
    found = nlargest(limit, found)
    versions = {version.key: version for version in store.heads(name, [key for _, key in found])}
    return [(checkpoint, versions[key]) for checkpoint, key in found if key in versions]


def _in_turn(lists: Sequence[Sequence[Version]]) -> Iterator[Version]:
    """Yield the first of each list, then the second of each, to the end of all."""
    for at in range(max(map(len, lists))):
        yield from (one[at] for one in lists if at < len(one))


def _derived(
    store: Store, snapshot: Snapshot, chosen: Sequence[Version], limit: int
) -> tuple[tuple[Version, ...], bool]:
    """Return the newest heads that were made from some, and whether there are more."""
    have = {(version.dataset, version.key) for version in chosen}
    numbers = {one.version for one in store.made_of([version.identity for version in chosen])}
    found: list[Version] = []
    for one in store.traced(sorted(numbers, reverse=True)):
        if one.visibility is not Visibility.HEAD or one.shown_as is None or (one.dataset, one.key) in have:
            continue
        version = store.version(one.shown_as)
        is_usable = version is not None and version.files and version.rows > 0
        if version is None or not is_usable or one.dataset not in snapshot.datasets:
            continue
        if snapshot.grids[one.dataset].find(one.key) is None:
            continue
        if len(found) == limit:
            return tuple(found), True
        found.append(version)
    return tuple(found), False
