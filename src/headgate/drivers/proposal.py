"""What a plan is shown with: its forecast, and what the guard rails say of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from headgate.drivers.forecast import forecast, forecast_to_json
from headgate.model.guard_rail import Rule
from headgate.model.schema_diff import schema_diff
from headgate.planning.guard_rails import Amounts, Facts, judge

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from headgate.drivers.world import World
    from headgate.model.forecast import DatasetForecast, Forecast
    from headgate.model.plan import Plan
    from headgate.model.schema_diff import SchemaDiff
    from headgate.model.verdict import Override, Verdict
    from headgate.planning.snapshot import Snapshot
    from headgate.project.load import Project
    from headgate.store.store import Store


@dataclass(frozen=True, slots=True)
class Proposal:
    """A plan with what people decide on it by.

    Args:
        world: What it was made from.
        plan: The plan.
        forecast: When it would be done and what it would take; None if it builds nothing.
        verdict: What the guard rails say.
        overrides: What of them its author overrode.
        author: Who made it.
        reason: Why; empty if nobody has said.
        service_class: Class of the run that it would become.
        schema_changes: As the function of that name returns them.
    """

    world: World
    plan: Plan
    forecast: Forecast | None
    verdict: Verdict
    overrides: tuple[Override, ...]
    author: str
    reason: str
    service_class: str
    schema_changes: Mapping[str, SchemaDiff] = field(default_factory=dict)

    @property
    def forecast_json(self) -> str:
        """Return the forecast as it is recorded; empty for none."""
        return forecast_to_json(self.forecast) if self.forecast else ""


def propose(
    project: Project,
    store: Store,
    world: World,
    plan: Plan,
    *,
    author: str,
    reason: str,
    service_class: str,
    overrides: Sequence[Override] = (),
) -> Proposal:
    """Forecast a plan and hold it to the guard rails.

    Args:
        project: The user's project.
        store: Its state store.
        world: What the plan was made from.
        plan: The plan.
        author: Who makes it.
        reason: Why; empty if nobody has said.
        service_class: Class of the run that it would become.
        overrides: Rules that the author goes on in spite of.

    Raises:
        UsageError: There is no such class, or an override of a rule that does not deny the plan.
    """
    found = forecast(
        project,
        store,
        world.snapshot,
        plan,
        owner=author,
        service_class=service_class,
        observations=world.observations,
    )
    facts = facts_of(project, store, plan, found)
    verdict = judge(plan, world.snapshot, project.guard_rails, facts, reason=reason, overrides=overrides)
    changes = schema_changes(store, world.snapshot, plan)
    return Proposal(world, plan, found, verdict, tuple(overrides), author, reason, service_class, changes)


def schema_changes(store: Store, snapshot: Snapshot, plan: Plan) -> dict[str, SchemaDiff]:
    """Return how schemas are known to change, by dataset: what its code has made is not as other heads are."""
    found = {}
    for part in plan.datasets:
        # With heads of both codes the store finds them at once. What a kept plan names may be gone.
        heads = snapshot.heads.get(part.name)
        if heads is not None and part.code in heads.codes and len(heads.codes) > 1:
            known = store.schema_change(part.name, part.code)
            if known is not None and (difference := schema_diff(*known)):
                found[part.name] = difference
    return found


def facts_of(project: Project, store: Store, plan: Plan, found: Forecast | None) -> Facts:
    """Return what guard rails need to know of a plan beside it, as of when it was made."""
    rails, schemas = project.guard_rails, {}
    for part in plan.datasets:
        # A question to the store for each dataset: only where somebody asks for the answer.
        if Rule.SCHEMA_CHANGE in rails.general or rails.own(Rule.SCHEMA_CHANGE, part.name):
            change = store.schema_change(part.name, part.code)
            if change is not None:
                schemas[part.name] = change
    if found is None:
        return Facts(plan.as_of_ms, Amounts(0, 0, 0.0), schemas=schemas)
    cost = found.cost
    return Facts(
        plan.as_of_ms,
        Amounts(
            found.p90_ms,
            None if found.unsized else (found.read_bytes or 0) + (found.written_bytes or 0),
            None if cost is None or cost.is_partial else cost.amount,
        ),
        {one.name: _amounts(one) for one in found.datasets},
        schemas,
        cost.currency if cost else "",
    )


def _amounts(one: DatasetForecast) -> Amounts:
    """Return what one dataset takes: its time is that from the start of the run until all of it is done."""
    known = one.read_bytes is not None and one.written_bytes is not None
    return Amounts(
        one.p90_ms,
        (one.read_bytes or 0) + (one.written_bytes or 0) if known else None,
        None if one.cost is None or one.cost.is_partial else one.cost.amount,
    )
