"""A plan as people and machines read it: which partitions of which dataset, and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from headgate.model.reason import Why
from headgate.planning.codec import plan_hash, plan_to_json
from headgate.planning.planner import lacking
from headgate.planning.scope import empty_because
from headgate.views.ranges import KeyRange, key_ranges
from headgate.views.task import is_cut_as_then, mask_of

if TYPE_CHECKING:
    from headgate.model.forecast import Forecast
    from headgate.model.plan import Plan, Problem
    from headgate.model.verdict import Verdict
    from headgate.planning.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class PlannedReason:
    """The partitions of a dataset that are planned for one reason.

    Args:
        why: The reason as a word: failed, missing, code, late, inputs, upstream, forced.
        text: The reason in words.
        count: How many partitions.
        ranges: Which ones.
        keys: All of their keys, if they were asked for.
    """

    why: str
    text: str
    count: int
    ranges: tuple[KeyRange, ...]
    keys: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class PlannedPart:
    """What a plan does to one dataset; of its partitions some may be blocked: an input is missing."""

    name: str
    partitions: int
    blocked: int
    reasons: tuple[PlannedReason, ...]


@dataclass(frozen=True, slots=True)
class PlanView:
    """A plan.

    Args:
        hash: Its name: SHA-256; its beginning is enough wherever a plan is named.
        considered: Partitions that the request covers.
        partitions: Partitions to build.
        blocked: Those of them that cannot be built as things are.
        lacking: Those of the blocked that lack an input themselves; the others depend on them.
        datasets: In order of building.
        problems: What blocked partitions lack; not all of them if they are many.
        forecast: When it would be done and what it would take, if that was asked for.
        verdict: What the guard rails say, if they were asked.
        notes: What was made of the request, such as a start that was cut.
        empty: Why there is nothing to build; empty if there is something.
        id: The beginning of its hash, enough to name it; None if it was not kept.
        expires_ms: When it can no longer be run, likewise.
        standing: What can be done with it, as in `StoredPlanView`, likewise.
    """

    hash: str
    considered: int
    partitions: int
    blocked: int
    lacking: int
    datasets: tuple[PlannedPart, ...]
    problems: tuple[Problem, ...]
    forecast: Forecast | None
    verdict: Verdict | None
    notes: tuple[str, ...]
    empty: str
    id: str | None = None
    expires_ms: int | None = None
    standing: str | None = None


def plan_view(
    plan: Plan,
    snapshot: Snapshot,
    *,
    with_keys: bool = False,
    forecast: Forecast | None = None,
    verdict: Verdict | None = None,
) -> PlanView:
    """Return a plan in words.

    Args:
        plan: The plan.
        snapshot: What it was made from.
        with_keys: Whether to list every key.
        forecast: When it would be done, to be shown with it.
        verdict: What the guard rails say, likewise.
    """
    parts = []
    for part in plan.datasets:
        # Keys of a dataset that is gone, or cut otherwise by now, cannot be told.
        grid = snapshot.grids[part.name] if is_cut_as_then(snapshot, part) else None
        reasons = []
        for why, count in part.counts().items():
            indices = part.indices[part.why == why]
            keys = tuple(grid.keys(indices)) if with_keys and grid else None
            ranges = key_ranges(grid, indices) if grid else ()
            reasons.append(PlannedReason(why.name.lower(), Why(why).text, count, ranges, keys))
        parts.append(PlannedPart(part.name, len(part.indices), int(part.blocked.sum()), tuple(reasons)))
    name = plan_hash(plan_to_json(plan))
    lack = _lacking(plan, snapshot) if plan.blocked else 0
    return PlanView(
        name,
        plan.considered,
        plan.size,
        plan.blocked,
        lack,
        tuple(parts),
        plan.problems,
        forecast,
        verdict,
        plan.notes,
        "" if plan.size else empty_because(snapshot, plan.request, plan),
    )


def _lacking(plan: Plan, snapshot: Snapshot) -> int:
    planned = {part.name: mask_of(snapshot, part) for part in plan.datasets}
    return sum(int(lacking(snapshot, part.name, part.indices, planned)[0].sum()) for part in plan.datasets)
