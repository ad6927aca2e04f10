"""What a compaction packs: small heads of partitions that are closed and cold, cut into packs. Changes nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from headgate.tables.opened import ROW_NUMBER
from headgate.tables.staging import GROUP_ROWS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from headgate.model.dataset import Dataset
    from headgate.model.version import Version
    from headgate.project.load import Project
    from headgate.store.store import Store

SMALL_SHARE = 8
"""A partition is small if so many of it would fit into a pack."""

MOST_GROUPS = 500
"""Partitions in a pack: whoever opens it reads the footer, which grows with each."""


class Wanted(NamedTuple):
    """What to pack.

    Args:
        older_than_ms: How long ago the window of a partition must have ended, and its head been published.
        max_file_bytes: How large a pack may get.
        min_files: How many files must go into a pack for it to be worth while.
    """

    older_than_ms: int
    max_file_bytes: int
    min_files: int


@dataclass(frozen=True, slots=True)
class PackPlan:
    """Heads of a dataset that go into one pack, in the order of its partitions."""

    dataset: str
    versions: tuple[Version, ...]

    @property
    def files(self) -> int:
        """Return how many files they have."""
        return sum(len(version.files) for version in self.versions)

    @property
    def bytes(self) -> int:
        """Return their size."""
        return sum(version.bytes for version in self.versions)


def plan_packs(project: Project, store: Store, names: Sequence[str], wanted: Wanted, at_ms: int) -> list[PackPlan]:
    """Return what there is to pack. Changes nothing.

    Args:
        project: The user's project.
        store: Its state store.
        names: The datasets.
        wanted: What to pack.
        at_ms: Now.
    """
    packs: list[PackPlan] = []
    for name in names:
        small = _small(store, project.datasets[name], wanted, at_ms)
        packs += [pack for pack in _cut(name, small, wanted) if pack.files >= wanted.min_files]
    return packs


def _small(store: Store, dataset: Dataset, wanted: Wanted, at_ms: int) -> Iterator[Version]:
    """Yield the heads that are small, cold and closed, in the order of the partitions."""
    grid = dataset.partitioning.grid(at_ms)
    cold_ms = at_ms - wanted.older_than_ms
    held = store.held_keys(dataset.name)
    found: dict[int, Version] = {}
    for version, _ in store.kept_versions(dataset.name, heads_only=True):
        index = grid.find(version.key)
        window = None if index is None else grid.window(index)
        is_closed = index is not None and (window is None or window[1] <= cold_ms)
        if is_closed and version.created_ms <= cold_ms and version.key not in held and _fits(version, wanted):
            assert index is not None
            found[index] = version
    return (found[index] for index in sorted(found))


def _fits(version: Version, wanted: Wanted) -> bool:
    """Return whether a version can be one row group of a pack: it has rows, not too many, and no pack yet."""
    return (
        version.schema is not None
        and 0 < version.rows <= GROUP_ROWS
        and version.bytes * SMALL_SHARE <= wanted.max_file_bytes
        and all(file.row_group is None for file in version.files)
        and all(name.casefold() != ROW_NUMBER for name, _ in version.schema)
    )


def _cut(dataset: str, versions: Iterable[Version], wanted: Wanted) -> Iterator[PackPlan]:
    """Yield packs of neighbours with one schema."""
    pack: list[Version] = []
    size = 0
    for version in versions:
        is_full = size + version.bytes > wanted.max_file_bytes or len(pack) == MOST_GROUPS
        if pack and (is_full or version.schema != pack[0].schema):
            yield PackPlan(dataset, tuple(pack))
            pack, size = [], 0
        pack.append(version)
        size += version.bytes
    if pack:
        yield PackPlan(dataset, tuple(pack))
