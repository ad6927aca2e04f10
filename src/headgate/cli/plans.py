"""headgate plan list, show and diff: plans that were kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from headgate.cli import options
from headgate.cli.forecast_text import length
from headgate.cli.plan_text import OUTCOMES, decision_lines, plan_text, ranges_text, why_text
from headgate.cli.text import counted, moment, plain, print_json, table
from headgate.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from headgate.views.plan_diff import PlanDiff, PlanSide
    from headgate.views.stored_plan import StoredPlanView

LISTED = 20
SHORT_CODE = 8


@click.command("list")
@options.as_json
@options.folder
@click.pass_obj
def list_command(root: Path, *, as_json: bool) -> None:
    """Show the newest plans of this project and how they stand."""
    from headgate.drivers.clock import now_ms
    from headgate.project.config import read_config
    from headgate.views.reading import reading
    from headgate.views.stored_plan import stored_plan_view

    project = read_config(root).project.name
    with reading(root) as (_, store):
        views = [stored_plan_view(plan, now_ms()) for plan in store.plans(project=project, limit=LISTED)]
    if as_json:
        print_json({"plans": views})
        return
    if not views:
        click.echo("there are no plans yet: headgate plan makes one")
        return
    rows = [(view.id, moment(view.created_ms), view.author, view.standing_text, view.reason) for view in views]
    click.echo(table(("plan", "made (UTC)", "by", "stands", "reason"), rows))


@click.command("show")
@click.argument("plan")
@click.option("--why", nargs=2, metavar="DATASET KEY", help="Show why one partition is in the plan, up to the cause.")
@options.as_json
@options.folder
@click.pass_obj
def show_command(root: Path, *, plan: str, why: tuple[str, str] | None, as_json: bool) -> None:
    """Show a plan as it was kept, what the guard rails said of it, and what was decided.

    PLAN begins its name, or is `latest`.
    """
    from headgate.drivers.clock import now_ms
    from headgate.drivers.plans import looked_up
    from headgate.drivers.session import Session
    from headgate.views.stored_plan import as_kept, kept_plan, kept_why, stored_plan_view

    session = Session(root)
    try:
        stored = looked_up(session.store, session.project, plan)
        if why is not None:
            found = kept_why(session.project, session.store, stored, *why)
            print_json(found) if as_json else click.echo(why_text(found))
            return
        stands = stored_plan_view(stored, now_ms())
        view = as_kept(kept_plan(session.project, session.store, stored), stands)
    finally:
        session.close()
    if as_json:
        print_json({"plan": view, "record": stands})
        return
    click.echo(f"{record_text(stands)}\n\n{plan_text(view)}")


@click.command("diff")
@click.argument("first", metavar="PLAN", required=False)
@click.argument("second", metavar="PLAN", required=False)
@options.as_json
@options.folder
@click.pass_obj
def diff_command(root: Path, *, first: str | None, second: str | None, as_json: bool) -> None:
    """Show in what the second PLAN differs from the first. Each is the beginning of a plan's name, or `latest`."""
    from headgate.drivers.session import Session
    from headgate.views.plan_diff import plan_diff

    if first is None or second is None:
        given = f": {plain(first)} is one, the other is missing" if first else ""
        raise UsageError(
            f"plan diff compares two plans{given}",
            hint=f"Name both, such as headgate plan diff {plain(first or '4dc3a13148b0')} bb20b54fcac6; "
            "`headgate plan list` shows them.",
        )
    session = Session(root)
    try:
        found = plan_diff(session.project, session.store, first, second)
    finally:
        session.close()
    print_json(found) if as_json else click.echo(diff_text(found))


def record_text(view: StoredPlanView) -> str:
    """Return who made a plan, how it stands, and what was decided on it."""
    lines = [f"plan {view.id} {view.standing_text}", f"  made by {plain(view.author)} at {moment(view.created_ms)} UTC"]
    if view.reason:
        lines.append(f"  reason: {plain(view.reason)}")
    if view.standing in {"ready", "pending"}:
        lines.append(f"  expires at {moment(view.expires_ms)} UTC")
    return "\n".join([*lines, *decision_lines(view.decisions)])


def diff_text(found: PlanDiff) -> str:
    """Return in what two plans differ, in words."""
    other = "what it would be now" if found.second is None else f"plan {found.second.id}"
    if not found.datasets and not found.guard_rails:
        return f"plan {found.first.id} and {other} do the same"
    lines = [f"from {_side_text(found.first)}", f"to   {_side_text(found.second) if found.second else other}", ""]
    rows = []
    for part in found.datasets:
        sets = (("added", part.added), ("removed", part.removed), ("another reason", part.other_reason))
        said = [(f"{some.count:,}", what, ranges_text(some.ranges)) for what, some in sets if some.count]
        if part.code:
            said.append(("", "code changed", f"{part.code[0][:SHORT_CODE]} to {part.code[1][:SHORT_CODE]}"))
        if part.partitioning:
            said.append(("", "cut otherwise", f"{part.partitioning[0]} to {part.partitioning[1]}"))
        if part.inputs_moved:
            said.append(("", "reads or replaces others than before", ""))
        rows += [(part.name if n == 0 else "", *one) for n, one in enumerate(said)]
    if rows:
        lines.append(table(("dataset", "", "change", "partitions"), rows, right=frozenset({1})))
    if found.guard_rails:
        lines += [*([""] if rows else []), "  the guard rails in headgate.toml were changed"]
    return "\n".join(lines)


def _side_text(side: PlanSide) -> str:
    done = "" if side.p50_ms is None else f", about {length(side.p50_ms)}"
    return f"plan {side.id}: {counted(side.partitions, 'partition')}{done}, {OUTCOMES[side.outcome]}"
