"""The guard rail `retention`: nothing is built from what a source no longer holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from headgate.model.guard_rail import Rule, Setting
from headgate.model.verdict import Finding
from headgate.planning.sets import count
from headgate.planning.wording import instant_text, which_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from headgate.model.guard_rail import GuardRails
    from headgate.model.plan import Plan, PlannedDataset
    from headgate.planning.snapshot import Snapshot


def no_longer_held(plan: Plan, snapshot: Snapshot, rails: GuardRails, now_ms: int) -> Iterator[Finding]:
    """Yield the objections to building from what a source no longer holds; what is blocked is not built.

    Args:
        plan: The plan.
        snapshot: What it was made from.
        rails: The guard rails of the project: for how long each source holds what.
        now_ms: When the plan would begin, UTC.
    """
    for part in plan.datasets:
        for source in dict.fromkeys(entry.dataset for entry in snapshot.datasets[part.name].inputs.values()):
            if source in snapshot.sources:
                setting = rails.sources.get(source) or Setting(Rule.RETENTION, Rule.RETENTION.outcome)
                yield from _too_old(snapshot, part, source, setting, now_ms)
                yield from _gone(snapshot, part, source, setting)


def _too_old(snapshot: Snapshot, part: PlannedDataset, source: str, setting: Setting, now_ms: int) -> Iterator[Finding]:
    grid = snapshot.grids[source]
    if setting.limit is None or grid.bounds is None:
        return
    since_ms = now_ms - round(setting.limit)
    held = int(np.searchsorted(grid.bounds[:-1], since_ms))
    readers = _readers(snapshot, part, source, np.arange(grid.size) < held * grid.n_statics)
    if len(readers):
        which = which_text(snapshot.grids[part.name], readers)
        value = f"{which} from {source} before {instant_text(since_ms)}"
        yield Finding.of(setting, part.name, value, f"{source} keeps {setting.written}", len(readers))


def _gone(snapshot: Snapshot, part: PlannedDataset, source: str, setting: Setting) -> Iterator[Finding]:
    grid, heads = snapshot.grids[source], snapshot.heads[source]
    gone = [index for index in heads.absent if heads.version[index] != 0]
    mask = np.zeros(grid.size, dtype=bool)
    mask[gone] = True
    readers = _readers(snapshot, part, source, mask)
    if len(readers):
        first = min(gone)
        which = which_text(snapshot.grids[part.name], readers)
        value = f"{which} without files of {source} that were there before"
        yield Finding.of(setting, part.name, value, f"{grid.key(first)}: {heads.absent[first]}", len(readers))


def _readers(snapshot: Snapshot, part: PlannedDataset, source: str, mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the partitions that would be built and read any of some partitions of a source."""
    indices = part.indices[~part.blocked]
    if not mask.any() or not len(indices):
        return indices[:0]
    hit = np.zeros(len(indices), dtype=bool)
    for entry in snapshot.datasets[part.name].inputs.values():
        if entry.dataset == source:
            hit |= count(mask, snapshot.reads(part.name, entry, indices)) > 0
    return indices[hit]
