"""From a request to a plan: which partitions, why each one, and which of them lack an input."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np

from headgate.errors import UsageError
from headgate.model.calendar import instant, parse_local, zone_of
from headgate.model.plan import MAX_PROBLEMS, Plan, PlannedDataset, Problem, Request
from headgate.model.reason import Why
from headgate.planning import graph
from headgate.planning.digest import mixed, window_seed
from headgate.planning.reach import Masks, downwards, spread, upwards
from headgate.planning.sets import count, range_sums

if TYPE_CHECKING:
    from collections.abc import Mapping
    from zoneinfo import ZoneInfo

    from numpy.typing import NDArray

    from headgate.model.dataset import Dataset
    from headgate.planning.snapshot import Snapshot


def make_plan(snapshot: Snapshot, request: Request) -> Plan:
    """Return what a request leads to.

    Args:
        snapshot: Definitions and heads.
        request: What somebody asks for.

    Raises:
        UsageError: An unknown dataset, a malformed date, or an end that is not after its start.
    """
    wanted = wanted_by(snapshot, request)
    why = _reasons(snapshot, wanted, forced=request.forced)
    parts = []
    for name in graph.order(snapshot.datasets, snapshot.sources):
        if name in why and why[name].any():
            indices = np.flatnonzero(why[name]).astype(np.int64)
            dataset = snapshot.datasets[name]
            spec, blocked = dataset.partitioning.spec, np.zeros(len(indices), dtype=bool)
            parts.append(PlannedDataset(name, spec, dataset.code, indices, why[name][indices], blocked))
    considered = sum(int(mask.sum()) for mask in wanted.values())
    return with_problems(snapshot, Plan(request, tuple(parts), (), considered, snapshot.as_of_ms))


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
        indices = np.flatnonzero(open_[part.name]).astype(np.int64)
        lack, texts = lacking(snapshot, part.name, indices, planned)
        roots[part.name] = _mask(sizes[part.name], indices[lack])
        problems += texts
    blocked = spread(snapshot, roots, open_, lambda entry: not entry.allow_missing)
    parts = tuple(replace(part, blocked=blocked[part.name][part.indices]) for part in plan.datasets)
    return replace(plan, datasets=parts, problems=tuple(problems))


def stale(snapshot: Snapshot, name: str) -> NDArray[np.uint8]:
    """Return why each partition of a dataset should be rebuilt by itself: missing, code, inputs, or none.

    Shape:
        (grid.size,), values of `Why`.
    """
    dataset, heads = snapshot.datasets[name], snapshot.heads[name]
    why = np.zeros(snapshot.grids[name].size, dtype=np.uint8)
    why[heads.digest != current_digest(snapshot, dataset)] = Why.INPUTS
    outdated = np.array([code != dataset.code for code in heads.codes] or [True], dtype=bool)
    why[outdated[heads.code]] = Why.CODE
    why[heads.version == 0] = Why.MISSING
    return why


def current_digest(snapshot: Snapshot, dataset: Dataset) -> NDArray[np.uint64]:
    """Return what the inputs digest of each partition would be if it were built from the present heads."""
    total = np.full(snapshot.grids[dataset.name].size, window_seed(dataset.partitioning), dtype=np.uint64)
    for parameter, entry in dataset.inputs.items():
        heads = snapshot.heads[entry.dataset]
        # A file that is gone makes nothing stale, unless it would be built without it.
        version = np.where(heads.readable(), heads.version, 0) if entry.allow_missing else heads.version
        weight = mixed(snapshot.seed(parameter, entry), version)
        total += range_sums(weight, snapshot.reads(dataset.name, entry))
    return total


def lacking(
    snapshot: Snapshot, name: str, indices: NDArray[np.int64], planned: Masks
) -> tuple[NDArray[np.bool_], list[Problem]]:
    """Return which partitions lack an input that nothing in the plan makes, and what they lack.

    Args:
        snapshot: Definitions and heads.
        name: The dataset.
        indices: Its partitions that would be built.
        planned: Partitions that would be built, for each dataset of the plan.
    """
    blocked = np.zeros(len(indices), dtype=bool)
    problems: list[Problem] = []
    for entry in snapshot.datasets[name].inputs.values():
        if entry.allow_missing:
            continue
        reads = snapshot.reads(name, entry, indices)
        unmade = ~snapshot.heads[entry.dataset].readable()
        if entry.dataset in planned:
            unmade &= ~planned[entry.dataset]
        bad = (count(unmade, reads) > 0) | reads.beyond
        for position in np.flatnonzero(bad & ~blocked)[: MAX_PROBLEMS - len(problems)].tolist():
            first = next((u for u in reads.of(position) if unmade[u]), None)
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
    return f"needs {upstream}/{key}, which has no version and is not in this plan"


def _reasons(snapshot: Snapshot, wanted: Masks, *, forced: bool) -> dict[str, NDArray[np.uint8]]:
    """Return why each partition is in the plan; `Why.NONE` for those that are not."""
    own = {name: np.where(mask, stale(snapshot, name), np.uint8(Why.NONE)) for name, mask in wanted.items()}
    reached = spread(snapshot, {name: why > 0 for name, why in own.items()}, wanted, lambda _: True)
    why = {name: np.where((own[name] == 0) & reached[name], np.uint8(Why.UPSTREAM), own[name]) for name in own}
    if forced:
        for name, mask in wanted.items():
            why[name][mask & (why[name] == 0)] = Why.FORCED
    return why


def wanted_by(snapshot: Snapshot, request: Request) -> Masks:
    """Return which partitions of which datasets a request covers, whether they need a rebuild or not.

    Raises:
        UsageError: An unknown dataset, a malformed date, or an end that is not after its start.
    """
    wanted: Masks = {}
    for selection in graph.select(request.select, snapshot.datasets, snapshot.sources):
        base = {selection.name: in_range(snapshot, selection.name, request)}
        for found in (upwards(snapshot, base, selection.up), downwards(snapshot, base, selection.down)):
            for name, mask in found.items():
                if name in snapshot.datasets:
                    wanted[name] = wanted[name] | mask if name in wanted else mask
    return wanted


def in_range(snapshot: Snapshot, name: str, request: Request) -> NDArray[np.bool_]:
    """Return which partitions of a dataset overlap the request's range, read in the dataset's own time zone.

    Raises:
        UsageError: A date is malformed, or the end is not after the start.
    """
    grid = snapshot.grids[name]
    zone = zone_of(grid.axis.zone if grid.axis else "UTC")
    start, end = _moment(request.start, "--start"), _moment(request.end, "--end")
    start_ms = None if start is None else _instant(start, zone)
    end_ms = None if end is None else _instant(end, zone)
    # Two local times can be one instant: a day that this zone skipped is an empty range and no mistake.
    if start_ms is not None and end_ms is not None and (end_ms < start_ms or end == start):
        raise UsageError(
            f"--end {request.end} is not after --start {request.start}",
            hint="The end is exclusive: for one day give the day after as --end.",
        )
    mask = np.zeros(grid.size, dtype=bool)
    times = grid.times_in(start_ms, end_ms)
    mask[times.start * grid.n_statics : times.stop * grid.n_statics] = True
    return mask


def _moment(text: str | None, what: str) -> datetime | None:
    if text is None:
        return None
    with suppress(ValueError):
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is not None:
            return moment
    return parse_local(text, what)


def _instant(moment: datetime, zone: ZoneInfo) -> int:
    if moment.tzinfo is None:
        return instant(moment, zone)
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


def _mask(size: int, indices: NDArray[np.int64]) -> NDArray[np.bool_]:
    mask = np.zeros(size, dtype=bool)
    mask[indices] = True
    return mask
