"""What a rollback does and did, and what is held, in ranges of partitions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from headgate.model.reason import Why
from headgate.planning.planner import stale
from headgate.views.ranges import KeyRange, key_ranges

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from headgate.drivers.rollback_gates import GateWarning, LookedAgain
    from headgate.model.grid import Grid
    from headgate.model.rollback import Move, Partition, TakeBack
    from headgate.model.run import Run
    from headgate.planning.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class Group:
    """Partitions of a dataset that fare alike.

    Args:
        dataset: Name.
        count: How many.
        ranges: Which.
    """

    dataset: str
    count: int
    ranges: tuple[KeyRange, ...]


@dataclass(frozen=True, slots=True)
class RollbackView:
    """What a rollback comes to.

    Args:
        partitions: How many heads move.
        restored: What was aimed at and shows what it showed before.
        removed: What was aimed at and has no version then.
        derived: What was made from bad versions and moves with them.
        elsewhere: What of all that was made without a table: what functions did elsewhere stays.
        dependants: What was made from bad versions and stays.
        moved_on: What something else has moved since.
        gone: What cannot go back, because vacuum has removed the files.
    """

    partitions: int
    restored: tuple[Group, ...]
    removed: tuple[Group, ...]
    derived: tuple[Group, ...]
    elsewhere: tuple[Group, ...]
    dependants: tuple[Group, ...]
    moved_on: tuple[Group, ...]
    gone: tuple[Group, ...]


@dataclass(frozen=True, slots=True)
class RolledBackView:
    """A rollback that was done.

    Args:
        run: Its id.
        moved: What it did.
        held: How many partitions are held until it is resolved.
        stale: What is stale or missing because of it.
        warnings: Gates that do not hold for what readers see again.
        not_asked: Gates that were not asked everywhere, since what they compare with is not known any more.
    """

    run: str
    moved: RollbackView
    held: int
    stale: tuple[Group, ...]
    warnings: tuple[GateWarning, ...]
    not_asked: tuple[str, ...]


def rollback_view(grids: Mapping[str, Grid], found: TakeBack, elsewhere: Sequence[Move]) -> RollbackView:
    """Return what a rollback comes to, in ranges; `elsewhere` are the moves of what was made without a table."""

    def of(partitions: Iterable[Move | Partition]) -> tuple[Group, ...]:
        return _groups(grids, [(one.dataset, one.key) for one in partitions])

    aimed = [move for move in found.moves if not move.is_derived]
    return RollbackView(
        len(found.moves),
        of(move for move in aimed if move.after is not None),
        of(move for move in aimed if move.after is None),
        of(move for move in found.moves if move.is_derived),
        of(elsewhere),
        of(found.dependants),
        of(found.moved_on),
        of(found.gone),
    )


def rolled_back_view(
    run: Run, moved: RollbackView, *, held: int, before: Snapshot, after: Snapshot, looked: LookedAgain
) -> RolledBackView:
    """Return a rollback that was done.

    Args:
        run: It.
        moved: What it did.
        held: How many partitions are held.
        before: How things stood before it.
        after: How they stand since.
        looked: What gates say of it.
    """
    stale_now = []
    for name in after.datasets:
        is_new = (stale(after, name) != Why.NONE) & (stale(before, name) == Why.NONE)
        indices = np.flatnonzero(is_new)
        if len(indices):
            stale_now.append(Group(name, len(indices), key_ranges(after.grids[name], indices)))
    return RolledBackView(run.id, moved, held, tuple(stale_now), looked.warnings, looked.not_asked)


def _groups(grids: Mapping[str, Grid], places: Sequence[tuple[str, str]]) -> tuple[Group, ...]:
    by_dataset: dict[str, list[str]] = {}
    for dataset, key in places:
        by_dataset.setdefault(dataset, []).append(key)
    return tuple(Group(name, len(keys), _ranges(grids.get(name), keys)) for name, keys in by_dataset.items())


def _ranges(grid: Grid | None, keys: list[str]) -> tuple[KeyRange, ...]:
    """Return keys as ranges; those that their dataset does not have any more one by one."""
    if grid is None:
        return tuple(KeyRange(key, key, 1) for key in keys)
    at = grid.find_all(keys)
    known = np.sort(at[at >= 0])
    unknown = [key for key, index in zip(keys, at.tolist(), strict=True) if index < 0]
    return (*key_ranges(grid, known), *(KeyRange(key, key, 1) for key in unknown))
