"""headgate backfill: build what is missing or stale."""

from __future__ import annotations

import signal
import sys
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import click

from headgate.cli import options
from headgate.cli.text import counted, print_json
from headgate.errors import UsageError
from headgate.model.guard_rail import Outcome
from headgate.model.names import shown

if TYPE_CHECKING:
    from headgate.drivers.plans import Moved
    from headgate.drivers.proposal import Proposal
    from headgate.drivers.session import Session
    from headgate.drivers.world import World
    from headgate.model.plan import Plan, Request, StoredPlan
    from headgate.model.run import Publication
    from headgate.model.verdict import Override
    from headgate.views.plan import PlanView


@click.command("backfill")
@options.request
@click.option("--plan", "plan_id", metavar="PLAN", help="Run exactly this plan, as `headgate plan` showed it.")
@click.option("--replan", is_flag=True, help="With --plan: plan the same anew as things are now, and show that.")
@options.reason(required=False)
@options.service_class
@options.overrides
@click.option(
    "--overlap",
    type=click.Choice(["refuse", "join", "queue"]),
    default="refuse",
    help="Partitions that another run builds: refuse (if not given), join (take its result), queue (build after it).",
)
@click.option(
    "--publish",
    type=click.Choice(["each", "together"]),
    help="Readers see each partition as soon as it has passed (if not given), or all together, when all have passed.",
)
@click.option(
    "--approve-first", is_flag=True, help="Publish together, and not before somebody says `headgate publish`."
)
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@options.as_json
@options.folder
@click.pass_context
def command(
    context: click.Context,
    *,
    select: tuple[str, ...],
    start: str | None,
    end: str | None,
    forced: bool,
    plan_id: str | None,
    replan: bool,
    reason: str | None,
    service_class: str,
    overrides: tuple[str, ...],
    because: tuple[str, ...],
    overlap: str,
    publish: str | None,
    approve_first: bool,
    yes: bool,
    as_json: bool,
) -> int:
    """Build what is missing or stale: plan it, show the plan, ask, and run it.

    SELECT names datasets: NAME, +NAME (and what it is made from), NAME+ (and what is made from it), 2+NAME (two
    steps); none means all of them. With --plan nothing is selected: that plan is run, or refused if the world has
    moved since. Ctrl-C once lets running tasks end, twice stops at once; either way `headgate resume` goes on.
    """
    from headgate.drivers.session import Session
    from headgate.model.plan import Request

    if plan_id is None and replan:
        raise UsageError("--replan is about a plan that was kept", hint="Name it: --plan PLAN.")
    if plan_id is None and reason is None:
        raise UsageError("--reason is missing", hint="Say why: it is kept in the journal.")
    publication = _publication(publish, approve_first=approve_first)
    session = Session(context.obj)
    try:
        chosen = options.chosen(overrides, because)
        ready: _Ready | int
        if plan_id is None:
            request = Request(select, start, end, forced)
            ready = _made(session, request, reason or "", service_class, chosen, as_json=as_json)
        else:
            _refuse_selection(context, is_replan=replan)
            stored = session.stored_plan(plan_id)
            if replan:
                return _replanned(session, stored, reason, chosen, as_json=as_json)
            ready = _taken(session, stored, reason, as_json=as_json)
        if isinstance(ready, int):
            return ready
        if not _confirmed(ready, yes=yes, as_json=as_json):
            click.echo("nothing was started", err=True)
            return 1
        ready = _settled(session, ready, was_asked=not yes, as_json=as_json)
        if isinstance(ready, int):
            return ready
        return _run(session, ready, overlap=overlap, publication=publication, as_json=as_json)
    finally:
        session.close()


@dataclass(frozen=True, slots=True)
class _Ready:
    """A plan that may be run.

    Args:
        source: What it was made as just now, or the kept plan that it is.
        world: What it was made from.
        plan: It.
        view: It in words.
        reason: Why it is run.
        service_class: Class of the run.
    """

    source: Proposal | StoredPlan
    world: World
    plan: Plan
    view: PlanView
    reason: str
    service_class: str


def _refuse_selection(context: click.Context, *, is_replan: bool) -> None:
    """Refuse what would make another plan than the one that was named."""
    named = {"select": "SELECT", "start": "--start", "end": "--end", "forced": "--all", "service_class": "--class"}
    if not is_replan:
        named |= {"overrides": "--override", "because": "--because"}
    given = [
        shown
        for name, shown in named.items()
        if context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE
    ]
    if given:
        raise UsageError(
            f"--plan runs a plan as it is: {', '.join(given)} cannot be given with it",
            hint="Make another plan with headgate plan.",
        )


def _made(
    session: Session,
    request: Request,
    reason: str,
    service_class: str,
    overrides: tuple[Override, ...],
    *,
    as_json: bool,
) -> _Ready | int:
    """Plan; return what may be run, or the exit code if there is nothing to run or it may not be run."""
    from headgate.views.plan import proposed_plan

    proposal = session.propose(request, reason=reason, service_class=service_class, overrides=overrides)
    plan = proposal.plan
    view = proposed_plan(proposal)
    if plan.blocked == plan.size:
        return _nothing(view, as_json=as_json)
    if proposal.verdict.outcome is not Outcome.ALLOW:
        return _refused(session.keep(proposal), view, as_json=as_json)
    return _Ready(proposal, proposal.world, plan, view, reason, service_class)


def _taken(session: Session, stored: StoredPlan, reason: str | None, *, as_json: bool) -> _Ready | int:
    """Take a plan that was kept; return it if it may be run, or the exit code."""
    from headgate.drivers.clock import now_ms
    from headgate.drivers.plans import Moved, check_standing
    from headgate.views.stored_plan import kept_plan

    check_standing(stored, now_ms())
    if stored.reason and reason not in {None, stored.reason}:
        raise UsageError(
            f"the plan has a reason already: {shown(stored.reason)}", hint="Leave out --reason, or plan again with it."
        )
    if not stored.reason and reason is None:
        raise UsageError("--reason is missing", hint="Nobody has said yet why: it is kept in the journal.")
    redeemed = session.redeem(stored)
    if isinstance(redeemed, Moved):
        return _moved(session, stored, redeemed, as_json=as_json)
    view = kept_plan(session.project, session.store, stored)
    if redeemed.plan.blocked == redeemed.plan.size:
        return _nothing(view, as_json=as_json)
    return _Ready(stored, redeemed.world, redeemed.plan, view, stored.reason or reason or "", stored.service_class)


def _settled(session: Session, ready: _Ready, *, was_asked: bool, as_json: bool) -> _Ready | int:
    """Keep a plan that is new; look once more at one that was kept, if somebody was asked about it meanwhile."""
    from headgate.drivers.plans import Moved
    from headgate.drivers.proposal import Proposal

    if isinstance(ready.source, Proposal):
        session.keep(ready.source)
        return ready
    if not was_asked:
        return ready
    stored = session.stored_plan(ready.source.hash)
    redeemed = session.redeem(stored)
    if isinstance(redeemed, Moved):
        return _moved(session, stored, redeemed, as_json=as_json)
    return replace(ready, world=redeemed.world, plan=redeemed.plan)


def _moved(session: Session, stored: StoredPlan, moved: Moved, *, as_json: bool) -> int:
    """Say in what the world has moved since a plan was made; return the exit code."""
    from headgate.cli.plans import diff_text
    from headgate.views.plan_diff import moved_diff

    diff = moved_diff(session.project, stored, moved)
    if as_json:
        print_json({"run": None, "moved": diff})
    click.echo(diff_text(diff), err=as_json)
    again = options.invocation("backfill", "--plan", diff.first.id, "--replan")
    click.echo(f"\nnothing was started: the world has moved since this plan was made\n  {again}", err=True)
    return 1


def _replanned(
    session: Session, stored: StoredPlan, reason: str | None, overrides: tuple[Override, ...], *, as_json: bool
) -> int:
    """Make a plan anew from the same request, keep and show it; return the exit code."""
    from headgate.cli.plan import show_proposed
    from headgate.planning.codec import plan_from_json
    from headgate.views.plan import proposed_plan

    proposal = session.propose(
        plan_from_json(stored.body).request,
        reason=reason or stored.reason,
        service_class=stored.service_class,
        overrides=overrides,
    )
    show_proposed(session, proposal, proposed_plan(proposal), as_json=as_json)
    return 0


def _refused(stored: StoredPlan, view: PlanView, *, as_json: bool) -> int:
    """Say that the guard rails do not let a plan be run now; return the exit code."""
    from headgate.cli.plan_text import next_text, plan_text
    from headgate.drivers.clock import now_ms
    from headgate.views.stored_plan import stored_plan_view

    stands = stored_plan_view(stored, now_ms())
    if as_json:
        print_json({"run": None, "plan": stands})
    click.echo(plan_text(view), err=as_json)
    click.echo(f"\nnothing was started: {next_text(stands)}", err=True)
    return 1


def _publication(publish: str | None, *, approve_first: bool) -> Publication:
    from headgate.model.run import Publication

    if not approve_first:
        return Publication(publish or "each")
    if publish == "each":
        raise UsageError(
            "--approve-first is about what is published together",
            hint="Leave out --publish each: what is approved becomes visible all at once.",
        )
    return Publication.APPROVED


def _run(session: Session, ready: _Ready, *, overlap: str, publication: Publication, as_json: bool) -> int:
    from headgate.cli.going import run
    from headgate.model.plan import StoredPlan
    from headgate.model.policy import OnOverlap

    return run(
        lambda watcher: session.backfill(
            ready.world,
            ready.plan,
            reason=ready.reason,
            service_class=ready.service_class,
            overlap=OnOverlap(overlap),
            publication=publication,
            is_exact=isinstance(ready.source, StoredPlan),
            watcher=watcher,
        ),
        as_json=as_json,
    )


def _nothing(view: PlanView, *, as_json: bool) -> int:
    """Say that there is nothing to run: all is up to date, or nothing of the rest can be built."""
    from headgate.cli.plan_text import plan_text
    from headgate.views.summary import Summary

    if as_json:
        print_json(Summary(None, 0.0, (), (), view.problems))
    click.echo(plan_text(view), err=as_json)
    if view.blocked:
        click.echo(f"\nnothing was started: {counted(view.blocked, 'partition')} cannot be built", err=as_json)
    return 1 if view.blocked else 0


def _confirmed(ready: _Ready, *, yes: bool, as_json: bool) -> bool:
    from headgate.cli.plan_text import decision_lines, plan_text
    from headgate.model.plan import StoredPlan

    if not yes and not sys.stdin.isatty():
        raise UsageError("nobody is there to confirm the plan", hint="Look at it with `headgate plan`, then add --yes.")
    decisions = ready.source.decisions if isinstance(ready.source, StoredPlan) else ()
    click.echo("\n".join([plan_text(ready.view), *decision_lines(decisions), ""]), err=as_json)
    # Polars takes over Ctrl-C when it is imported, and then the system would go on waiting for an answer.
    signal.siginterrupt(signal.SIGINT, True)
    return yes or click.confirm("Run this plan?", err=True)
