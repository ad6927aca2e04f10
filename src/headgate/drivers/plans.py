"""Plans that people were shown: kept, decided on, and run exactly as they were shown, or not at all."""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from headgate.drivers.world import look
from headgate.errors import ConflictError, UsageError
from headgate.model.guard_rail import Outcome
from headgate.model.names import shown
from headgate.model.plan import Decision, StoredPlan
from headgate.model.verdict import may_approve
from headgate.planning.binding import basis, changes
from headgate.planning.codec import plan_from_json, plan_hash, plan_to_json
from headgate.planning.planner import make_plan
from headgate.planning.verdict_codec import verdict_from_json, verdict_to_json

if TYPE_CHECKING:
    from headgate.drivers.proposal import Proposal
    from headgate.drivers.world import World
    from headgate.model.plan import Plan
    from headgate.planning.binding import Change
    from headgate.project.load import Project
    from headgate.store.store import Store

SHORT = 12
"""How much of a plan's hash is shown: enough to name it."""


class Standing(StrEnum):
    """What can be done with a stored plan."""

    READY = "can be run"
    PENDING = "needs approval"
    DENIED = "denied"
    REJECTED = "rejected"
    EXPIRED = "expired"
    RUN = "was run"


@dataclass(frozen=True, slots=True)
class Moved:
    """Why a stored plan is not what its request leads to now.

    Args:
        changes: In what the plan of now differs.
        guard_rails: Whether the guard rails were changed.
        world: How things stand now.
        then: The stored plan.
        now: What its request leads to now.
    """

    changes: tuple[Change, ...]
    guard_rails: bool
    world: World
    then: Plan
    now: Plan


@dataclass(frozen=True, slots=True)
class Redeemed:
    """A stored plan that still holds, with the world that it will run in."""

    world: World
    plan: Plan


def keep(store: Store, project: Project, proposal: Proposal, now_ms: int) -> StoredPlan:
    """Keep a plan as it is shown, and journal what was overridden for it.

    Args:
        store: The state store.
        project: The user's project.
        proposal: The plan, with what people decide on it by.
        now_ms: UTC milliseconds.
    """
    text = plan_to_json(proposal.plan)
    heads = basis(proposal.world.snapshot, proposal.plan)
    made_from = {"heads": heads, "guard_rails": project.guard_rails.fingerprint}
    stored = StoredPlan(
        hash=plan_hash(text),
        project=project.config.project.name,
        author=proposal.author,
        reason=proposal.reason,
        service_class=proposal.service_class,
        created_ms=now_ms,
        expires_ms=now_ms + project.config.plans.expire,
        basis=json.dumps(made_from, sort_keys=True),
        verdict=verdict_to_json(proposal.verdict),
        forecast=proposal.forecast_json,
        body=text,
    )
    with store.transaction() as tx:
        tx.add_plan(stored)
        for override in proposal.overrides:
            body: dict[str, object] = {"plan": stored.hash, "rule": override.rule}
            tx.journal(
                "plan.override", author=override.author, run="", reason=override.because, body=body, now_ms=now_ms
            )
    return stored


def named_plan(store: Store, project: Project, text: str) -> StoredPlan:
    """Return the stored plan that a text names: the beginning of its hash.

    Raises:
        UsageError: There is none, there are several, or it is another project's.
    """
    found = store.plan(text)
    if found is None:
        newest = ", ".join(plan.hash[:SHORT] for plan in store.plans(limit=3))
        hint = f"The newest are {newest}." if newest else "`headgate plan` makes one."
        raise UsageError(f"there is no plan {shown(text)} in the state store of this project", hint=hint)
    if found.project != project.config.project.name:
        raise UsageError(
            f"plan {found.hash[:SHORT]} is for project {found.project}, not for {project.config.project.name}",
            hint="Run it from the folder of its project.",
        )
    return found


def standing(stored: StoredPlan, now_ms: int) -> Standing:
    """Return what can be done with a stored plan, as things are recorded."""
    verdict = verdict_from_json(stored.verdict)
    if stored.run is not None:
        return Standing.RUN
    if stored.decisions and not stored.decisions[-1].is_approval:
        return Standing.REJECTED
    if now_ms >= stored.expires_ms:
        return Standing.EXPIRED
    if verdict.outcome is Outcome.DENY:
        return Standing.DENIED
    return Standing.PENDING if verdict.pending(stored.author, approvals(stored)) else Standing.READY


def approvals(stored: StoredPlan) -> tuple[str, ...]:
    """Return who has approved a plan."""
    return tuple(decision.author for decision in stored.decisions if decision.is_approval)


def decide(
    store: Store, project: Project, text: str, *, is_approval: bool, author: str, reason: str, now_ms: int
) -> StoredPlan:
    """Approve or reject a plan.

    Returns:
        It, with the decision.

    Raises:
        UsageError: There is no such plan.
        ConflictError: There is nothing to decide, or this person may not.
    """
    stored = named_plan(store, project, text)
    name = stored.hash[:SHORT]
    stands = standing(stored, now_ms)
    if stands in {Standing.RUN, Standing.REJECTED, Standing.EXPIRED}:
        raise ConflictError(f"plan {name} {_stands(stored, stands)}", hint=_again(stands))
    if is_approval:
        refused = may_approve(verdict_from_json(stored.verdict), stored.author, author, reason, approvals(stored))
        if refused is not None:
            raise ConflictError(f"plan {name}: {refused}", hint=f"Look at `headgate plan show {name}`.")
    with store.transaction() as tx:
        decided = tx.decide_plan(stored.hash, Decision(author, is_approval, reason, now_ms))
    if not decided:
        raise ConflictError(f"plan {name} has just become a run", hint="Look at headgate status.")
    return named_plan(store, project, stored.hash)


def redeem(store: Store, project: Project, stored: StoredPlan, now_ms: int) -> Redeemed | Moved:
    """Return a stored plan to be run exactly as it was shown, or in what the world has moved since.

    Raises:
        ConflictError: It was run already, rejected, has expired, or lacks an approval.
    """
    stands = standing(stored, now_ms)
    if stands is not Standing.READY:
        raise ConflictError(f"plan {stored.hash[:SHORT]} {_stands(stored, stands)}", hint=_again(stands))
    then = plan_from_json(stored.body)
    world = look(project, store, then.as_of_ms)
    now = make_plan(world.snapshot, then.request)
    made_from = json.loads(stored.basis)
    found = changes(then, now, made_from["heads"], basis(world.snapshot, now))
    is_other = made_from["guard_rails"] != project.guard_rails.fingerprint
    if found or is_other:
        return Moved(found, is_other, world, then, now)
    return Redeemed(world, now)


def _stands(stored: StoredPlan, stands: Standing) -> str:
    if stands is Standing.RUN:
        return f"was run already, as run {stored.run}"
    if stands is Standing.REJECTED:
        last = stored.decisions[-1]
        return f"was rejected by {last.author}: {last.reason}"
    if stands is Standing.PENDING:
        pending = verdict_from_json(stored.verdict).pending(stored.author, approvals(stored))
        groups = dict.fromkeys(finding.group for finding in pending)
        return f"needs the approval of {' and of '.join(groups)}"
    return "is denied by the guard rails" if stands is Standing.DENIED else "has expired"


def _again(stands: Standing) -> str:
    match stands:
        case Standing.PENDING:
            return "headgate approve PLAN --reason TEXT"
        case Standing.DENIED:
            return "Look at `headgate plan show`; --override RULE --because TEXT goes on in spite of one rule."
        case _:
            return "Plan again: `headgate plan`, or `headgate backfill --plan PLAN --replan`."
