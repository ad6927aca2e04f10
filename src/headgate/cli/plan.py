"""headgate plan: what would be built, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from headgate.cli import options
from headgate.cli.text import counted, duration, keys, print_json, problems_text, table

if TYPE_CHECKING:
    from pathlib import Path

    from headgate.views.forecast import Forecast
    from headgate.views.plan import PlanView

SHOWN_RANGES = 4
SHOWN_NAMES = 6


@click.command("plan")
@options.request
@click.option("--keys", "with_keys", is_flag=True, help="List every partition.")
@options.as_json
@options.folder
@click.pass_obj
def command(
    root: Path,
    *,
    select: tuple[str, ...],
    start: str | None,
    end: str | None,
    forced: bool,
    with_keys: bool,
    as_json: bool,
) -> None:
    """Show what a backfill would build, in which order and why. Changes nothing.

    SELECT names datasets: NAME, +NAME (and what it is made from), NAME+ (and what is made from it), 2+NAME (two
    steps); none means all of them.
    """
    from headgate.drivers.session import Session, author
    from headgate.model.plan import Request
    from headgate.views.forecast import forecast
    from headgate.views.plan import plan_view

    session = Session(root)
    try:
        world, plan = session.plan(Request(select, start, end, forced))
        done = forecast(session.project, session.store, world.snapshot, plan, owner=author())
    finally:
        session.close()
    view = plan_view(plan, world.snapshot, with_keys=with_keys, forecast=done)
    print_json(view) if as_json else click.echo(plan_text(view))


def plan_text(plan: PlanView) -> str:
    """Return a plan as people read it."""
    if not plan.partitions:
        return nothing_text(plan)
    up_to_date = plan.considered - plan.partitions
    rest = f"; {up_to_date:,} of {plan.considered:,} are up to date" if up_to_date else ""
    lines = [f"{counted(plan.partitions, 'partition')} to build{rest}", ""]
    rows = []
    for part in plan.datasets:
        for reason in part.reasons:
            ranges = [keys(r.first, r.last, r.count) for r in reason.ranges[:SHOWN_RANGES]]
            if len(reason.ranges) > SHOWN_RANGES:
                ranges.append(f"and {counted(len(reason.ranges) - SHOWN_RANGES, 'more range')}")
            first = part.name if reason is part.reasons[0] else ""
            if reason.keys is None:
                rows.append((first, f"{reason.count:,}", reason.text, ", ".join(ranges)))
            else:
                rows.append((first, f"{reason.count:,}", reason.text, ""))
                rows += [("", "", "", key) for key in reason.keys]
    lines.append(table(("dataset", "build", "why", "partitions"), rows, right=frozenset({1})))
    if plan.blocked:
        lack = f"{plan.lacking:,} {'lacks' if plan.lacking == 1 else 'lack'} an input"
        others = plan.blocked - plan.lacking
        more = f", {others:,} more {'depends' if others == 1 else 'depend'} on {'it' if plan.lacking == 1 else 'them'}"
        lines += ["", f"{plan.blocked:,} of them cannot be built: {lack}{more if others else ''}"]
        lines.append(problems_text(plan.problems))
    if plan.forecast:
        lines += ["", forecast_text(plan.forecast)]
    return "\n".join(lines)


def forecast_text(found: Forecast) -> str:
    """Return when a plan would be done, in one line."""
    runs = counted(found.runs, "simulated run")
    if found.p50_ms is None or found.p90_ms is None:
        return f"would not end ({runs}): see `headgate simulate`"
    sure = f", 90 % sure below {duration(found.p90_ms / 1000)}" if found.p90_ms > found.p50_ms else ""
    assumed = f"; {no_history_text(found.assumed, found.assumed_ms)}" if found.assumed else ""
    return f"about {duration(found.p50_ms / 1000)}{sure} ({runs}){assumed}"


def no_history_text(names: tuple[str, ...], assumed_ms: int) -> str:
    """Return that a duration is assumed, and of what."""
    shown = ", ".join(names[:SHOWN_NAMES])
    more = f" and {counted(len(names) - SHOWN_NAMES, 'more dataset')}" if len(names) > SHOWN_NAMES else ""
    return f"no history of {shown}{more}: assumed {assumed_ms / 1000:g} s for each attempt"


def nothing_text(plan: PlanView) -> str:
    """Return that there is nothing to do, and why."""
    if not plan.considered:
        return "nothing to do: no partition is in this range"
    which = "the only partition is" if plan.considered == 1 else f"all {plan.considered:,} partitions are"
    return f"nothing to do: {which} up to date"
