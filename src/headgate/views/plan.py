"""A plan as people and machines read it: which partitions of which dataset, and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from headgate.model.reason import Why
from headgate.planning.codec import plan_hash, plan_to_json
from headgate.planning.empty import empty_because
from headgate.planning.planner import lacking
from headgate.views.ranges import KeyRange, key_ranges
from headgate.views.task import is_cut_as_then, mask_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headgate.drivers.proposal import Proposal
    from headgate.model.forecast import Forecast
    from headgate.model.plan import Plan, Problem
    from headgate.model.schema_diff import SchemaDiff
    from headgate.model.verdict import Verdict
    from headgate.planning.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class PlannedReason:
    """The partitions of a dataset that are planned for one reason.

    Args:
        why: The reason as a word: failed, missing, code, late, inputs, upstream, forced, tainted.
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
    """What a plan does to one dataset.

    Args:
        name: Its name.
        partitions: How many it builds.
        blocked: How many of them lack an input.
        reasons: Why.
        schema_changes: What is known to be different of the schema then, in words.
    """

    name: str
    partitions: int
    blocked: int
    reasons: tuple[PlannedReason, ...]
    schema_changes: tuple[str, ...] = ()


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
    schema_changes: Mapping[str, SchemaDiff] | None = None,
) -> PlanView:
    """Return a plan in words.

    Args:
        plan: The plan.
        snapshot: What it was made from.
        with_keys: Whether to list every key.
        forecast: When it would be done, to be shown with it.
        verdict: What the guard rails say, likewise.
        schema_changes: What is known to be different of schemas then, by dataset.
    """
    changes = schema_changes or {}
    parts = []
    for part in plan.datasets:
        # Keys of a dataset that is gone, or cut otherwise by now, cannot be told.
        grid = snapshot.grids[part.name] if is_cut_as_then(snapshot, part) else None
        reasons = []
        for why, count in part.counts().items():
            indices = part.indices[part.why == why]
            keys = tuple(grid.keys(indices)) if with_keys and grid else None
            ranges = key_ranges(grid, indices) if grid else ()
            text = f"its head rests on {plan.request.cause}" if why is Why.TAINTED else why.text
            reasons.append(PlannedReason(why.name.lower(), text, count, ranges, keys))
        sentences = tuple(changes[part.name].sentences()) if part.name in changes else ()
        blocked = int(part.blocked.sum())
        parts.append(PlannedPart(part.name, len(part.indices), blocked, tuple(reasons), sentences))
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


def proposed_plan(proposal: Proposal, *, with_keys: bool = False) -> PlanView:
    """Return a plan in words, with all that people decide on it by; with `with_keys` every key is listed."""
    return plan_view(
        proposal.plan,
        proposal.world.snapshot,
        with_keys=with_keys,
        forecast=proposal.forecast,
        verdict=proposal.verdict,
        schema_changes=proposal.schema_changes,
    )


def _lacking(plan: Plan, snapshot: Snapshot) -> int:
    planned = {part.name: mask_of(snapshot, part) for part in plan.datasets}
    return sum(int(lacking(snapshot, part.name, part.indices, planned)[0].sum()) for part in plan.datasets)
