"""headgate backfill: build what is missing or stale."""

from __future__ import annotations

import signal
import sys
from typing import TYPE_CHECKING

import click

from headgate.cli import options
from headgate.cli.text import counted, print_json
from headgate.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from headgate.drivers.session import Session
    from headgate.drivers.world import World
    from headgate.model.plan import Plan
    from headgate.views.plan import PlanView


@click.command("backfill")
@options.request
@options.reason(required=True)
@click.option(
    "--class", "service_class", metavar="NAME", default="backfill", help="Service class; backfill if not given."
)
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
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
    reason: str,
    service_class: str,
    yes: bool,
    as_json: bool,
) -> int:
    """Build what is missing or stale: plan it, show the plan, ask, and run it.

    SELECT names datasets: NAME, +NAME (and what it is made from), NAME+ (and what is made from it), 2+NAME (two
    steps); none means all of them. Ctrl-C once lets running tasks end, twice stops at once; either way `headgate
    resume` goes on.
    """
    from headgate.drivers.session import Session, author
    from headgate.model.plan import Request
    from headgate.views.forecast import forecast
    from headgate.views.plan import plan_view

    session = Session(root)
    try:
        session.project.policies.service_class(service_class)
        world, plan = session.plan(Request(select, start, end, forced))
        # Who does not look at the plan does not wait for what it says.
        done = (
            None
            if yes
            else forecast(
                session.project, session.store, world.snapshot, plan, owner=author(), service_class=service_class
            )
        )
        view = plan_view(plan, world.snapshot, forecast=done)
        if plan.blocked == plan.size:
            return _nothing(view, as_json=as_json)
        if not _confirmed(view, yes=yes, as_json=as_json):
            click.echo("nothing was started", err=True)
            return 1
        return _run(session, world, plan, reason=reason, service_class=service_class, as_json=as_json)
    finally:
        session.close()


def _run(session: Session, world: World, plan: Plan, *, reason: str, service_class: str, as_json: bool) -> int:
    from headgate.cli.going import run

    return run(
        lambda on_start, on_progress, on_end: session.backfill(
            world,
            plan,
            reason=reason,
            service_class=service_class,
            on_start=on_start,
            on_progress=on_progress,
            on_end=on_end,
        ),
        as_json=as_json,
    )


def _nothing(view: PlanView, *, as_json: bool) -> int:
    """Say that there is nothing to run: all is up to date, or nothing of the rest can be built."""
    from headgate.cli.plan import plan_text
    from headgate.views.summary import Summary

    if as_json:
        print_json(Summary(None, 0.0, (), (), view.problems))
    click.echo(plan_text(view), err=as_json)
    if view.blocked:
        click.echo(f"\nnothing was started: {counted(view.blocked, 'partition')} cannot be built", err=as_json)
    return 1 if view.blocked else 0


def _confirmed(view: PlanView, *, yes: bool, as_json: bool) -> bool:
    from headgate.cli.plan import plan_text

    if not yes and not sys.stdin.isatty():
        raise UsageError("nobody is there to confirm the plan", hint="Look at it with `headgate plan`, then add --yes.")
    click.echo(plan_text(view) + "\n", err=as_json)
    # Polars takes over Ctrl-C when it is imported, and then the system would go on waiting for an answer.
    signal.siginterrupt(signal.SIGINT, True)
    return yes or click.confirm("Run this plan?", err=True)
