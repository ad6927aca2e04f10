"""A plan as people and machines read it: which partitions of which dataset, and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from headgate.model.reason import Why
from headgate.planning.codec import plan_hash, plan_to_json
from headgate.planning.planner import lacking
from headgate.views.ranges import KeyRange, key_ranges
from headgate.views.task import mask_of

if TYPE_CHECKING:
    from headgate.model.plan import Plan, Problem
    from headgate.planning.snapshot import Snapshot
    from headgate.views.forecast import Forecast


@dataclass(frozen=True, slots=True)
class PlannedReason:
    """The partitions of a dataset that are planned for one reason.

    Args:
        why: The reason as a word: missing, code, inputs, upstream, forced.
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
        hash: Its name: SHA-256.
        considered: Partitions that the request covers.
        partitions: Partitions to build.
        blocked: Those of them that cannot be built as things are.
        lacking: Those of the blocked that lack an input themselves; the others depend on them.
        datasets: In order of building.
        problems: What blocked partitions lack; not all of them if they are many.
        forecast: When it would be done, if that was asked for and is told quickly.
    """

    hash: str
    considered: int
    partitions: int
    blocked: int
    lacking: int
    datasets: tuple[PlannedPart, ...]
    problems: tuple[Problem, ...]
    forecast: Forecast | None


def plan_view(plan: Plan, snapshot: Snapshot, *, with_keys: bool = False, forecast: Forecast | None = None) -> PlanView:
    """Return a plan in words.

    Args:
        plan: The plan.
        snapshot: What it was made from.
        with_keys: Whether to list every key.
        forecast: When it would be done, to be shown with it.
    """
    parts = []
    for part in plan.datasets:
        grid = snapshot.grids[part.name]
        reasons = []
        for why, count in part.counts().items():
            indices = part.indices[part.why == why]
            keys = tuple(grid.keys(indices)) if with_keys else None
            reasons.append(PlannedReason(why.name.lower(), Why(why).text, count, key_ranges(grid, indices), keys))
        parts.append(PlannedPart(part.name, len(part.indices), int(part.blocked.sum()), tuple(reasons)))
    name = plan_hash(plan_to_json(plan))
    lack = _lacking(plan, snapshot) if plan.blocked else 0
    return PlanView(name, plan.considered, plan.size, plan.blocked, lack, tuple(parts), plan.problems, forecast)


def _lacking(plan: Plan, snapshot: Snapshot) -> int:
    planned = {part.name: mask_of(snapshot, part) for part in plan.datasets}
    return sum(int(lacking(snapshot, part.name, part.indices, planned)[0].sum()) for part in plan.datasets)
