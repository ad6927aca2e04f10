"""A stored plan as people and machines read it: who made it, what the guard rails said, what was decided."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from headgate.drivers.forecast import forecast_from_json
from headgate.drivers.plans import SHORT, Standing, approvals, standing
from headgate.drivers.proposal import schema_changes
from headgate.drivers.world import look
from headgate.errors import UsageError
from headgate.planning.codec import plan_from_json
from headgate.planning.planner import with_problems
from headgate.planning.scope import notes_on
from headgate.planning.verdict_codec import verdict_from_json
from headgate.views.plan import plan_view
from headgate.views.task import is_cut_as_then
from headgate.views.why import plan_why

if TYPE_CHECKING:
    from headgate.model.plan import Decision, StoredPlan
    from headgate.model.verdict import Verdict
    from headgate.project.load import Project
    from headgate.store.store import Store
    from headgate.views.plan import PlanView
    from headgate.views.why import WhyView


@dataclass(frozen=True, slots=True)
class StoredPlanView:
    """A stored plan.

    Args:
        id: The beginning of its hash, enough to name it.
        hash: All of it.
        author: Who made it.
        reason: Why; empty if nobody has said.
        service_class: Class of the run that it would become.
        created_ms: When it was made.
        expires_ms: When it can no longer be run.
        standing: What can be done with it, as a word: ready, pending, denied, rejected, expired, run.
        standing_text: The same in words.
        verdict: What the guard rails said.
        decisions: What was decided on it, oldest first.
        run: The run that it became, if any.
    """

    id: str
    hash: str
    author: str
    reason: str
    service_class: str
    created_ms: int
    expires_ms: int
    standing: str
    standing_text: str
    verdict: Verdict
    decisions: tuple[Decision, ...]
    run: str | None


def stored_plan_view(stored: StoredPlan, now_ms: int) -> StoredPlanView:
    """Return how a stored plan stands."""
    verdict, stands = verdict_from_json(stored.verdict), standing(stored, now_ms)
    text: str = stands.value
    if stands is Standing.PENDING:
        pending = verdict.pending(stored.author, approvals(stored))
        text = f"needs the approval of {' and of '.join(dict.fromkeys(one.group for one in pending))}"
    elif stands is Standing.RUN:
        text = f"was run as {stored.run}"
    return StoredPlanView(
        stored.hash[:SHORT],
        stored.hash,
        stored.author,
        stored.reason,
        stored.service_class,
        stored.created_ms,
        stored.expires_ms,
        stands.name.lower(),
        text,
        verdict,
        stored.decisions,
        stored.run,
    )


def as_kept(view: PlanView, stands: StoredPlanView) -> PlanView:
    """Return a plan in words, with the name under which it was kept and how it stands."""
    return replace(view, id=stands.id, expires_ms=stands.expires_ms, standing=stands.standing)


def kept_plan(project: Project, store: Store, stored: StoredPlan) -> PlanView:
    """Return a stored plan in words: what it builds is as it was made, what it lacks as things are now."""
    plan = plan_from_json(stored.body)
    snapshot = look(project, store, plan.as_of_ms).snapshot
    if all(is_cut_as_then(snapshot, part) for part in plan.datasets):
        plan = with_problems(snapshot, plan)
        with suppress(UsageError):
            # Of something that was selected, had nothing to build, and is not declared any more.
            plan = replace(plan, notes=notes_on(snapshot, plan.request))
    forecast = forecast_from_json(stored.forecast) if stored.forecast else None
    changes = schema_changes(store, snapshot, plan)
    verdict = verdict_from_json(stored.verdict)
    return plan_view(plan, snapshot, forecast=forecast, verdict=verdict, schema_changes=changes)


def kept_why(project: Project, store: Store, stored: StoredPlan, dataset: str, key: str) -> WhyView:
    """Return why a partition is in a stored plan: the reasons as they were, what stands behind them as things are now.

    Raises:
        UsageError: There is no such dataset or partition, or its partitions are others by now.
    """
    plan = plan_from_json(stored.body)
    snapshot = look(project, store, plan.as_of_ms).snapshot
    for part in plan.datasets:
        if not is_cut_as_then(snapshot, part):
            raise UsageError(
                f"the partitions of {part.name} are not those of the plan any more", hint="Plan again: headgate plan."
            )
    return plan_why(store, snapshot, plan, dataset, key)
