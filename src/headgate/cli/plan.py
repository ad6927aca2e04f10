"""headgate plan: what would be built, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from headgate.cli import options
from headgate.cli.plan_text import next_text, plan_text, why_text
from headgate.cli.text import plain, print_json
from headgate.errors import UnavailableError

if TYPE_CHECKING:
    from pathlib import Path

    from headgate.drivers.proposal import Proposal
    from headgate.drivers.session import Session
    from headgate.model.plan import Request
    from headgate.views.plan import PlanView

KEPT = {"list": "list_command", "show": "show_command", "diff": "diff_command"}
"""Words after `plan` that are about plans that were kept."""


class _PlanCommand(click.Command):
    """Makes a plan, unless its first word that is no option is one of `KEPT`."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """Read the command line, as this command or as the one that its first word names."""
        at = 0
        while args[at : at + 1] in (["--json"], ["-C"]):
            at += 1 if args[at] == "--json" else 2
        if at >= len(args) or args[at] not in KEPT:
            return super().make_context(info_name, args, parent, **extra)
        from headgate.cli import plans

        word, rest = args[at], args[:at] + args[at + 1 :]
        other: click.Command = getattr(plans, KEPT[word])
        return other.make_context(f"{info_name} {word}", rest, parent, **extra)


@click.command("plan", cls=_PlanCommand)
@options.request
@click.option("--keys", "with_keys", is_flag=True, help="List every partition.")
@click.option("--why", nargs=2, metavar="DATASET KEY", help="Show why one partition is in the plan, up to the cause.")
@options.service_class
@options.reason(required=False)
@options.overrides
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
    why: tuple[str, str] | None,
    service_class: str,
    reason: str | None,
    overrides: tuple[str, ...],
    because: tuple[str, ...],
    as_json: bool,
) -> None:
    """Show what a backfill would build, in which order, why, and what it would take; and keep the plan.

    SELECT names datasets: NAME, +NAME (and what it is made from), NAME+ (and what is made from it), 2+NAME (two
    steps); none means all of them. `headgate backfill --plan` runs exactly what is shown.

    `plan list`, `plan show PLAN` and `plan diff PLAN PLAN` are about plans that were kept. (For a dataset of such a
    name write 0+list.)
    """
    from headgate.drivers.session import Session
    from headgate.model.plan import Request
    from headgate.views.plan import proposed_plan

    session = Session(root)
    try:
        request = Request(select, start, end, forced)
        if why is not None:
            _show_why(session, request, *why, as_json=as_json)
            return
        chosen = options.chosen(overrides, because)
        proposal = session.propose(request, reason=reason or "", service_class=service_class, overrides=chosen)
        show_proposed(session, proposal, proposed_plan(proposal, with_keys=with_keys), as_json=as_json)
    finally:
        session.close()


def show_proposed(session: Session, proposal: Proposal, view: PlanView, *, as_json: bool) -> None:
    """Keep a plan that somebody asked for, if it builds anything, and show it with what can be done with it."""
    view, following = keep_to_show(session, proposal, view)
    print_json(view) if as_json else click.echo(plan_text(view) + following)


def keep_to_show(session: Session, proposal: Proposal, view: PlanView) -> tuple[PlanView, str]:
    """Keep a plan, if it builds anything; return it as it was kept, and in words what can be done with it."""
    from headgate.drivers.clock import now_ms
    from headgate.views.stored_plan import as_kept, stored_plan_view

    stands = None
    if view.partitions:
        try:
            stands = stored_plan_view(session.keep(proposal), now_ms())
        except UnavailableError as error:
            # Who may only look gets to see it all the same.
            unkept = f"this plan was not kept, so nobody can approve it or run it by its name: {plain(error.message)}"
            click.echo(unkept, err=True)
    return (as_kept(view, stands), f"\n\n{next_text(stands)}") if stands else (view, "")


def _show_why(session: Session, request: Request, dataset: str, key: str, *, as_json: bool) -> None:
    from headgate.views.why import plan_why

    world, plan = session.plan(request)
    view = plan_why(session.store, world.snapshot, plan, dataset, key)
    print_json(view) if as_json else click.echo(why_text(view))
