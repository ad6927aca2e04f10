"""Which heads rest on something that went wrong (a file, code, a version, a run), and which of them a rebuild cures."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from headgate.model.plan import Request
from headgate.model.run import RunKind
from headgate.planning.cure import same_code, staying
from headgate.planning.graph import order
from headgate.planning.scope import exactly
from headgate.store.lineage import Visibility
from headgate.views.ranges import KeyRange, key_ranges

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from headgate.model.grid import Grid
    from headgate.planning.reach import Masks
    from headgate.planning.snapshot import Snapshot
    from headgate.store.lineage import Seen
    from headgate.store.store import Store
    from headgate.views.cause import Cause

UNDECLARED = "is not in the project as it is now"
SAME_FILE = "would rest on the same file again, as it is"
SAME_CODE = "would rest on the same code again"


@dataclass(frozen=True, slots=True)
class Staying:
    """Tainted heads of a dataset that a rebuild would not cure, and why not: a clause that can stand behind them."""

    why: str
    count: int
    ranges: tuple[KeyRange, ...]


@dataclass(frozen=True, slots=True)
class ImpactedDataset:
    """What is tainted of a dataset or source.

    Args:
        name: Its name.
        is_source: Whether it is a source: then its files are mended, not built.
        heads: How many heads are tainted.
        ranges: Which these are.
        first_step: How many steps the nearest version that is tainted is away from the cause; 0 for the cause itself.
        last_step: Likewise the farthest.
        curable: How many of the heads a rebuild cures.
        staying: The others, by why not.
        staged: Versions that will be heads when their runs are published.
        former: Versions that are no heads any more.
    """

    name: str
    is_source: bool
    heads: int
    ranges: tuple[KeyRange, ...]
    first_step: int
    last_step: int
    curable: int
    staying: tuple[Staying, ...]
    staged: int
    former: int


@dataclass(frozen=True, slots=True)
class Impact:
    """What rests on something that went wrong.

    Args:
        cause: It.
        datasets: What is tainted, upstream first.
        heads: How many heads of datasets are tainted.
        curable: How many of them a rebuild cures.
        former: How many versions of datasets are tainted and no heads.
    """

    cause: Cause
    datasets: tuple[ImpactedDataset, ...]
    heads: int
    curable: int
    former: int


@dataclass(frozen=True, slots=True)
class _Cure:
    """Which tainted heads of a dataset a rebuild cures, and which it does not, by why not."""

    cured: NDArray[np.bool_]
    staying: Mapping[str, NDArray[np.bool_]]


def impact(store: Store, snapshot: Snapshot, cause: Cause) -> tuple[Impact, Request]:
    """Return what is tainted, and the request for the plan that cures what can be cured.

    Args:
        store: The state store.
        snapshot: How things stand.
        cause: What went wrong.
    """
    steps = _steps(store, cause.versions)
    by_dataset: defaultdict[str, list[Seen]] = defaultdict(list)
    for one in store.seen(steps):
        by_dataset[one.dataset].append(one)
    tainted = {
        name: _heads(snapshot.grids[name], found) for name, found in by_dataset.items() if name in snapshot.grids
    }
    of_datasets = {name: mask for name, mask in tainted.items() if name in snapshot.datasets}
    stay_file = staying(snapshot, of_datasets, _same_files(snapshot, steps, tainted))
    stay_code = staying(snapshot, of_datasets, same_code(snapshot, of_datasets, cause.codes))
    cured = {name: mask & ~stay_file[name] & ~stay_code[name] for name, mask in of_datasets.items()}
    names = [name for name in order(snapshot.datasets, snapshot.sources, snapshot.loops()) if name in by_dataset]
    names += sorted(name for name in by_dataset if name not in snapshot.grids)
    parts = []
    for name in names:
        cure = None
        if name in of_datasets:
            cure = _Cure(cured[name], {SAME_FILE: stay_file[name], SAME_CODE: stay_code[name] & ~stay_file[name]})
        parts.append(_part(snapshot, by_dataset[name], steps, cure))
    datasets = [part for part in parts if not part.is_source]
    found = Impact(
        cause,
        tuple(parts),
        sum(part.heads for part in datasets),
        sum(part.curable for part in datasets),
        sum(part.former + part.staged for part in datasets),
    )
    request = Request(forced=True, kind=RunKind.REPAIR, only=exactly(snapshot, cured), cause=cause.text)
    return found, request


def _steps(store: Store, versions: tuple[int, ...]) -> dict[int, int]:
    """Return all versions that rest on some, and how many steps each is away, the shortest way."""
    steps = dict.fromkeys(versions, 0)
    frontier, step = list(steps), 0
    while frontier:
        step += 1
        frontier = [version for version in store.resting_on(frontier) if version not in steps]
        steps.update(dict.fromkeys(frontier, step))
    return steps


def _heads(grid: Grid, found: list[Seen]) -> NDArray[np.bool_]:
    mask = np.zeros(grid.size, dtype=bool)
    at = grid.find_all(one.key for one in found if one.visibility is Visibility.HEAD)
    mask[at[at >= 0]] = True
    return mask


def _same_files(snapshot: Snapshot, steps: Mapping[int, int], tainted: Masks) -> Masks:
    """Return the partitions of sources that are tainted, and whose files are now as they were then."""
    bad = np.fromiter(steps, dtype=np.int64, count=len(steps))
    masks = {}
    for name in snapshot.sources:
        if name in tainted:
            heads = snapshot.heads[name]
            masks[name] = tainted[name] & np.isin(heads.version, bad) & heads.readable()
    return masks


def _part(snapshot: Snapshot, found: list[Seen], steps: Mapping[int, int], cure: _Cure | None) -> ImpactedDataset:
    name = found[0].dataset
    grid, is_source = snapshot.grids.get(name), name in snapshot.sources
    heads = [one.key for one in found if one.visibility is Visibility.HEAD]
    staged = sum(one.visibility is Visibility.STAGED for one in found)
    distances = [steps[one.version] for one in found]
    reasons: list[Staying] = []
    known: tuple[KeyRange, ...] = ()
    unknown = sorted(heads)
    if grid is not None:
        at = np.sort(grid.find_all(heads))
        known, unknown = key_ranges(grid, at[at >= 0]), sorted(key for key in heads if grid.find(key) is None)
        for why, mask in cure.staying.items() if cure else ():
            if mask.any():
                reasons.append(Staying(why, int(mask.sum()), key_ranges(grid, np.flatnonzero(mask))))
    loose = tuple(KeyRange(key, key, 1) for key in unknown)
    if loose and not is_source:
        reasons.append(Staying(UNDECLARED, len(loose), loose))
    return ImpactedDataset(
        name,
        is_source,
        len(heads),
        (*known, *loose),
        min(distances),
        max(distances),
        int(cure.cured.sum()) if cure else 0,
        tuple(reasons),
        staged,
        len(found) - len(heads) - staged,
    )
