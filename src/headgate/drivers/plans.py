"""Plans that people were shown: kept, decided on, and run exactly as they were shown, or not at all."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from headgate.drivers.forecast import forecast, forecast_from_json, forecast_to_json
from headgate.drivers.naming import LATEST
from headgate.drivers.proposal import facts_of
from headgate.drivers.world import look
from headgate.errors import ConflictError, UsageError, intact
from headgate.model.guard_rail import Outcome, Rule
from headgate.model.names import shown
from headgate.model.plan import Decision, StoredPlan
from headgate.model.run import TaskState
from headgate.model.verdict import Verdict, may_approve
from headgate.planning.binding import basis, changes
from headgate.planning.codec import plan_from_json, plan_hash, plan_to_json
from headgate.planning.guard_rails import Amounts, Facts, judge
from headgate.planning.overrides import unheard
from headgate.planning.planner import make_plan
from headgate.planning.verdict_codec import verdict_from_json, verdict_to_json
from headgate.planning.wording import objection_text

if TYPE_CHECKING:
    from headgate.drivers.proposal import Proposal
    from headgate.drivers.resume import Recorded
    from headgate.drivers.world import World
    from headgate.model.plan import Plan
    from headgate.model.run import Run
    from headgate.planning.binding import Change
    from headgate.project.load import Project
    from headgate.store.store import Store

SHORT = 12
"""How much of a plan's hash is shown: enough to name it."""
_ASKED_AGAIN = frozenset({Rule.PROTECTED, Rule.RETENTION, Rule.SNAPSHOT_ONLY, Rule.NON_IDEMPOTENT})
"""Rules about the partitions that are built, which may object to a run that goes on though they did not to its plan."""


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
    """Keep a plan as it is shown, journal what was overridden for it, and return it as it was kept.

    Args:
        store: The state store.
        project: The user's project.
        proposal: The plan, with what people decide on it by.
        now_ms: UTC milliseconds.
    """
    text = plan_to_json(proposal.plan)
    stored = StoredPlan(
        hash=plan_hash(text),
        project=project.config.project.name,
        author=proposal.author,
        reason=proposal.reason,
        service_class=proposal.service_class,
        created_ms=now_ms,
        expires_ms=now_ms + project.config.plans.expire,
        basis=_made_from(project, proposal.world, proposal.plan),
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
    return store.plan(stored.hash) or stored


def keep_rest(store: Store, project: Project, shown: Plan, world: World, rest: Plan, *, now_ms: int) -> None:
    """Keep what is left of a plan of which others have built a part, so that what was decided stands with its run.

    The verdict is that of the plan that was shown, which it was decided by; the forecast is of what is left.

    Args:
        store: The state store.
        project: The user's project.
        shown: The plan as it was shown; if it was not kept, what is left is not kept either.
        world: How things stand now.
        rest: What is left of it.
        now_ms: UTC milliseconds.
    """
    stored = store.plan(plan_hash(plan_to_json(shown)))
    if stored is None:
        return
    found = forecast(
        project,
        store,
        world.snapshot,
        rest,
        owner=stored.author,
        service_class=stored.service_class,
        observations=world.observations,
    )
    text = plan_to_json(rest)
    kept = replace(
        stored,
        hash=plan_hash(text),
        created_ms=now_ms,
        basis=_made_from(project, world, rest),
        forecast=forecast_to_json(found) if found else "",
        body=text,
    )
    with store.transaction() as tx:
        tx.add_plan(kept)


def _made_from(project: Project, world: World, plan: Plan) -> str:
    made_from = {
        "heads": basis(world.snapshot, plan),
        "guard_rails": project.guard_rails.fingerprint,
        "declared": _declared(project, plan),
    }
    return json.dumps(made_from, sort_keys=True)


def made_from_of(stored: StoredPlan) -> dict[str, Any]:
    """Return the state of the world that a plan was made from.

    Raises:
        UnavailableError: It cannot be read.
    """
    with intact(f"what plan {stored.hash} was made from"):
        body = json.loads(stored.basis)
        return {name: body[name] for name in ("heads", "guard_rails", "declared")}


def named_plan(store: Store, project: Project, text: str) -> StoredPlan:
    """Return the stored plan that a text names: the beginning of its hash.

    Raises:
        UsageError: There is none, there are several, or it is another project's.
    """
    found = store.plan(text)
    if found is None:
        newest = [plan.hash[:SHORT] for plan in store.plans(project=project.config.project.name, limit=3)]
        are = "are" if len(newest) > 1 else "is"
        hint = f"The newest {are} {', '.join(newest)}." if newest else "`headgate plan` makes one."
        raise UsageError(f"there is no plan {shown(text)} in the state store of this project", hint=hint)
    if found.project != project.config.project.name:
        raise UsageError(
            f"plan {found.hash[:SHORT]} is for project {found.project}, and this is {project.config.project.name}",
            hint="Run it from the folder of its project, or plan again.",
        )
    return found


def looked_up(store: Store, project: Project, text: str) -> StoredPlan:
    """Return the stored plan that somebody wants to look at: as `named_plan` does, and `latest` is the newest one.

    Who runs or decides on a plan says which: another may have been made since they looked.

    Raises:
        UsageError: There is none, there are several, or it is another project's.
    """
    newest = store.plans(project=project.config.project.name, limit=1) if text == LATEST else ()
    return named_plan(store, project, newest[0].hash if newest else text)


def standing(stored: StoredPlan, now_ms: int) -> Standing:
    """Return what can be done with a stored plan, as things are recorded."""
    if stored.run is not None:
        return Standing.RUN
    if any(not decision.is_approval for decision in stored.decisions):
        return Standing.REJECTED
    if now_ms >= stored.expires_ms:
        return Standing.EXPIRED
    verdict = verdict_from_json(stored.verdict)
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
        raise _refusal(stored, stands)
    if is_approval:
        refused = may_approve(verdict_from_json(stored.verdict), stored.author, author, reason, approvals(stored))
        if refused is not None:
            raise ConflictError(f"plan {name}: {refused}", hint=f"Look at `headgate plan show {name}`.")
    with store.transaction() as tx:
        decided = tx.decide_plan(stored.hash, Decision(author, is_approval, reason, now_ms))
    if not decided:
        raise ConflictError(f"plan {name} has just become a run", hint="Look at headgate status.")
    return named_plan(store, project, stored.hash)


def check_standing(stored: StoredPlan, now_ms: int) -> None:
    """Refuse a stored plan that cannot be run.

    Raises:
        ConflictError: It was run already, rejected, has expired, is denied, or lacks an approval.
    """
    stands = standing(stored, now_ms)
    if stands is not Standing.READY:
        raise _refusal(stored, stands)


def redeem(store: Store, project: Project, stored: StoredPlan, now_ms: int) -> Redeemed | Moved:
    """Return a stored plan to be run exactly as it was shown, or in what the world has moved since.

    Raises:
        ConflictError: It was run already, rejected, has expired, is denied, or lacks an approval.
    """
    check_standing(stored, now_ms)
    then = plan_from_json(stored.body)
    world = look(project, store, then.as_of_ms)
    now = make_plan(world.snapshot, then.request)
    made_from = made_from_of(stored)
    found = changes(then, now, made_from["heads"], basis(world.snapshot, now))
    rails = project.guard_rails.fingerprint, _declared(project, then)
    is_other = (made_from["guard_rails"], made_from["declared"]) != rails
    if found or is_other:
        return Moved(found, is_other, world, then, now)
    _judge_again(store, project, stored, then, now_ms)
    # What is up to date beside it may have come or gone. The hash covers how much that is, and has to stay the same.
    return Redeemed(world, replace(now, considered=then.considered))


def _judge_again(store: Store, project: Project, stored: StoredPlan, plan: Plan, now_ms: int) -> None:
    """Hold a plan to the guard rails as late as it is now: windows have ended since it was made.

    What a rule had said already was seen then; the forecast counts as it was shown.

    Raises:
        ConflictError: A rule objects that did not.
    """
    forecast = forecast_from_json(stored.forecast) if stored.forecast else None
    facts = replace(facts_of(project, store, plan, forecast), now_ms=now_ms)
    snapshot = look(project, store, now_ms).snapshot
    verdict = judge(plan, snapshot, project.guard_rails, facts, reason=stored.reason)
    new = unheard(verdict, verdict_from_json(stored.verdict))
    if new:
        name = stored.hash[:SHORT]
        raise ConflictError(
            f"plan {name} does not hold any more: {objection_text(new[0])}", hint=_again(name, Standing.EXPIRED)
        )


def judge_rest(project: Project, store: Store, world: World, run: Run, recorded: Recorded) -> None:
    """Hold what is left to do of a run to the guard rails, as things are now.

    Windows have ended since, files are gone, attempts have failed. What the verdict of its plan let pass still
    passes, overrides included. Rules of amounts and of reasons were asked of the plan as a whole, and are not asked
    again.

    Args:
        project: The user's project.
        store: Its state store.
        world: How things stand now.
        run: The run.
        recorded: What is recorded of it, for a retry without what has failed.

    Raises:
        ConflictError: A rule objects that did not.
    """
    parts = []
    for part in recorded.plan.datasets:
        left = (recorded.states[part.name] == TaskState.WAITING) & ~part.blocked
        if part.name in recorded.inherited:
            left &= ~recorded.inherited[part.name]
        if left.any():
            parts.append(replace(part, indices=part.indices[left], why=part.why[left], blocked=part.blocked[left]))
    rest = replace(recorded.plan, datasets=tuple(parts))
    stored = store.plan(run.plan_hash)
    said = verdict_from_json(stored.verdict) if stored else Verdict.of(())
    facts = Facts(world.snapshot.as_of_ms, Amounts(0, 0, 0.0))
    found = judge(rest, world.snapshot, project.guard_rails, facts, reason=run.reason)
    new = [finding for finding in unheard(found, said) if finding.rule in _ASKED_AGAIN]
    if new:
        more = f" (and {len(new) - 1} more)" if len(new) > 1 else ""
        names = " ".join(dict.fromkeys(one.dataset or "" for one in new))
        overrides = " ".join(f'--override {rule} --because "..."' for rule in dict.fromkeys(one.rule for one in new))
        raise ConflictError(
            f"run {run.id} must not go on: {objection_text(new[0])}{more}",
            hint=f'Plan what is left without it, or in spite of that: headgate plan {names} --reason "..." {overrides}',
        )


def _declared(project: Project, plan: Plan) -> dict[str, list[bool]]:
    """Return what the code says that guard rails ask for, of the datasets of a plan."""
    found = {part.name: project.datasets.get(part.name) for part in plan.datasets}
    return {name: [one.snapshot_only, one.idempotent] for name, one in found.items() if one is not None}


def _refusal(stored: StoredPlan, stands: Standing) -> ConflictError:
    name = stored.hash[:SHORT]
    return ConflictError(f"plan {name} {_stands(stored, stands)}", hint=_again(name, stands))


def _stands(stored: StoredPlan, stands: Standing) -> str:
    if stands is Standing.RUN:
        return f"was run already, as run {stored.run}"
    if stands is Standing.REJECTED:
        no = next(decision for decision in stored.decisions if not decision.is_approval)
        return f"was rejected by {no.author}: {no.reason}"
    if stands is Standing.PENDING:
        pending = verdict_from_json(stored.verdict).pending(stored.author, approvals(stored))
        groups = dict.fromkeys(finding.group for finding in pending)
        return f"needs the approval of {' and of '.join(groups)}"
    return "is denied by the guard rails" if stands is Standing.DENIED else "has expired"


def _again(name: str, stands: Standing) -> str:
    match stands:
        case Standing.PENDING:
            return f"`headgate approve {name} --reason TEXT`; `headgate plan show {name}` says who may."
        case Standing.DENIED:
            return f"`headgate plan show {name}` says by what."
        case _:
            return f"Plan again: `headgate plan`, or `headgate backfill --plan {name} --replan`."
