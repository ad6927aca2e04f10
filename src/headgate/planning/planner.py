"""From a request to a plan: which partitions, why each one, and which of them lack an input."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from headgate.model.plan import MAX_PROBLEMS, Plan, PlannedDataset, Problem
from headgate.model.reason import Why
from headgate.planning import graph
from headgate.planning.digest import mixed, window_seed
from headgate.planning.holding import without_held
from headgate.planning.reach import Masks, spread
from headgate.planning.scope import notes_on, wanted_by
from headgate.planning.sets import range_max, range_sums, readers_of
from headgate.planning.snapshot import KEPT_PARTITIONS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from headgate.model.dataset import Dataset, Input
    from headgate.model.plan import Request
    from headgate.planning.snapshot import Snapshot


def make_plan(snapshot: Snapshot, request: Request) -> Plan:
    """Return what a request leads to.

    Args:
        snapshot: Definitions and heads.
        request: What somebody asks for.

    Raises:
        UsageError: An unknown dataset, a malformed date, or an end that is not after its start.
    """
    wanted, held = without_held(snapshot, wanted_by(snapshot, request), request)
    if request.only:
        why = {name: np.where(mask, np.uint8(Why.TAINTED), np.uint8(Why.NONE)) for name, mask in wanted.items()}
    else:
        why = _reasons(snapshot, wanted, forced=request.forced)
    parts = []
    for name in graph.order(snapshot.datasets, snapshot.sources, snapshot.loops()):
        if name in why and why[name].any():
            indices = np.flatnonzero(why[name])
            dataset = snapshot.datasets[name]
            spec, blocked = dataset.partitioning.spec, np.zeros(len(indices), dtype=bool)
            parts.append(PlannedDataset(name, spec, dataset.code, indices, why[name][indices], blocked))
    considered = sum(int(mask.sum()) for mask in wanted.values())
    notes = notes_on(snapshot, request) + held
    return with_problems(snapshot, Plan(request, tuple(parts), (), considered, snapshot.as_of_ms, notes))


def with_problems(snapshot: Snapshot, plan: Plan, left: Mapping[str, NDArray[np.bool_]] | None = None) -> Plan:
    """Return a plan with what cannot be built as things are, and the problems at the root of that.

    Args:
        snapshot: Definitions and heads.
        plan: The plan; what it says of blocked partitions is not looked at.
        left: Which partitions of each of its datasets have not ended; all of them if there is nothing.

    Shape:
        left: (partitions,) of each planned dataset.
    """
    sizes = {part.name: snapshot.grids[part.name].size for part in plan.datasets}
    planned = {part.name: _mask(sizes[part.name], part.indices) for part in plan.datasets}
    open_ = planned if left is None else {p.name: _mask(sizes[p.name], p.indices[left[p.name]]) for p in plan.datasets}
    roots: Masks = {}
    problems: list[Problem] = []
    for part in plan.datasets:
        indices = part.indices if left is None else part.indices[left[part.name]]
        lack, texts = lacking(snapshot, part.name, indices, planned)
        if texts:
            roots[part.name] = _mask(sizes[part.name], indices[lack])
            problems += texts
    if problems:
        blocked = spread(snapshot, roots, open_, lambda entry: not entry.allow_missing)
        parts = tuple(replace(part, blocked=blocked[part.name][part.indices]) for part in plan.datasets)
    else:
        parts = tuple(replace(part, blocked=np.zeros(len(part.indices), dtype=bool)) for part in plan.datasets)
    return replace(plan, datasets=parts, problems=tuple(problems))


def stale(snapshot: Snapshot, name: str) -> NDArray[np.uint8]:
    """Return why each partition of a dataset should be rebuilt by itself: none, or any but upstream and forced.

    Shape:
        (grid.size,), values of `Why`.
    """
    dataset, heads = snapshot.datasets[name], snapshot.heads[name]
    why = np.full(snapshot.grids[name].size, Why.MISSING, dtype=np.uint8)
    if heads.version.any():
        moved = heads.digest != current_digest(snapshot, dataset)
        why = np.where(moved, np.uint8(Why.INPUTS), np.uint8(Why.NONE))
        if any(entry.dataset in snapshot.sources for entry in dataset.inputs.values()):
            at = np.flatnonzero(moved)
            why[at[_is_late(snapshot, dataset, at)]] = Why.LATE
        if heads.codes != (dataset.code,):
            outdated = np.array([code != dataset.code for code in heads.codes] or [True], dtype=bool)
            why[outdated[heads.code]] = Why.CODE
        why[heads.version == 0] = Why.MISSING
    if len(heads.failed):
        why[heads.failed[why[heads.failed] != Why.NONE]] = Why.FAILED
    return why


def _is_late(snapshot: Snapshot, dataset: Dataset, indices: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which partitions read a file that changed or appeared after they were built.

    Attempts and versions have numbers from one sequence: what an attempt pinned has a smaller number than itself.
    """
    heads = snapshot.heads[dataset.name]
    built = (heads.version if heads.attempt is None else heads.attempt)[indices]
    late = np.zeros(len(indices), dtype=bool)
    for entry in dataset.inputs.values():
        if entry.dataset in snapshot.sources and len(indices):
            version = _versions(snapshot, entry)
            # Nobody has recorded a file with a negative number yet.
            version = np.where(version < 0, np.iinfo(np.int64).max, version)
            if version.max(initial=0) > built.min():
                late |= range_max(version, snapshot.reads(dataset.name, entry, indices)) > built
    return late


def _versions(snapshot: Snapshot, entry: Input) -> NDArray[np.int64]:
    """Return the versions that would be read through an input."""
    heads = snapshot.heads[entry.dataset]
    # A file that is gone makes nothing stale, unless it would be built without it.
    if entry.allow_missing and heads.absent:
        return np.where(heads.readable(), heads.version, 0)
    return heads.version


def current_digest(snapshot: Snapshot, dataset: Dataset) -> NDArray[np.uint64]:
    """Return what the inputs digest of each partition would be if it were built from the present heads."""
    total = np.full(snapshot.grids[dataset.name].size, window_seed(dataset.partitioning), dtype=np.uint64)
    for parameter, entry in dataset.inputs.items():
        weight = mixed(snapshot.seed(parameter, entry), _versions(snapshot, entry))
        total += range_sums(weight, snapshot.reads(dataset.name, entry))
    return total


def lacking(
    snapshot: Snapshot, name: str, indices: NDArray[np.int64], planned: Masks
) -> tuple[NDArray[np.bool_], list[Problem]]:
    """Return which partitions lack an input that nothing in the plan makes, and what they lack.

    Args:
        snapshot: Definitions and heads.
        name: The dataset.
        indices: Its partitions that would be built, ascending.
        planned: Partitions that would be built, for each dataset of the plan.
    """
    blocked = np.zeros(len(indices), dtype=bool)
    problems: list[Problem] = []
    for entry in snapshot.datasets[name].inputs.values():
        if entry.allow_missing:
            continue
        made = snapshot.heads[entry.dataset].readable()
        unmade = ~(made | planned[entry.dataset] if entry.dataset in planned else made)
        # What all partitions read is at hand for small grids, and for others little more work than for many of them.
        size = snapshot.grids[name].size
        is_whole = size <= KEPT_PARTITIONS or len(indices) > size // 8
        reads = snapshot.reads(name, entry) if is_whole else snapshot.reads(name, entry, indices)
        bad = (readers_of(unmade, reads) | reads.beyond) if unmade.any() else reads.beyond
        if not bad.any():
            continue
        bad = bad[indices] if is_whole else bad
        for position in np.flatnonzero(bad & ~blocked)[: MAX_PROBLEMS - len(problems)].tolist():
            read = reads.of(int(indices[position]) if is_whole else position)
            first = next((u for u in read if unmade[u]), None)
            text = _lack(snapshot, entry.dataset, first)
            problems.append(Problem(name, snapshot.grids[name].key(int(indices[position])), text))
        blocked |= bad
    return blocked, problems


def _lack(snapshot: Snapshot, upstream: str, index: int | None) -> str:
    if index is None:
        return f"needs windows of {upstream} that have not ended yet"
    key = snapshot.grids[upstream].key(index)
    absent = snapshot.heads[upstream].absent.get(index)
    if absent is not None:
        return f"needs {upstream}/{key}: {absent}"
    held = snapshot.heads[upstream].held.get(index)
    why = f": rollback {held} holds it" if held else ""
    return f"needs {upstream}/{key}, which has no version and is not in this plan{why}"


def _reasons(snapshot: Snapshot, wanted: Masks, *, forced: bool) -> dict[str, NDArray[np.uint8]]:
    """Return why each partition is in the plan; `Why.NONE` for those that are not."""
    own = {name: np.where(mask, stale(snapshot, name), np.uint8(Why.NONE)) for name, mask in wanted.items()}
    reached = spread(snapshot, {name: why > 0 for name, why in own.items()}, wanted, lambda _: True)
    why = {name: np.where((own[name] == 0) & reached[name], np.uint8(Why.UPSTREAM), own[name]) for name in own}
    if forced:
        for name, mask in wanted.items():
            why[name][mask & (why[name] == 0)] = Why.FORCED
    return why


def _mask(size: int, indices: NDArray[np.int64]) -> NDArray[np.bool_]:
    mask = np.zeros(size, dtype=bool)
    mask[indices] = True
    return mask
