"""headgate plan: what would be built, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from headgate.cli import options
from headgate.cli.text import counted, keys, moment, plain, print_json, problems_text, table
from headgate.errors import UnavailableError
from headgate.model.guard_rail import Outcome, Rule

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from headgate.drivers.proposal import Proposal
    from headgate.drivers.session import Session
    from headgate.model.plan import Request
    from headgate.views.plan import PlanView
    from headgate.views.ranges import KeyRange
    from headgate.views.stored_plan import StoredPlanView
    from headgate.views.why import WhyView

SHOWN_RANGES = 4
SHOWN_STEPS = 12
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


def plan_text(plan: PlanView) -> str:
    """Return a plan as people read it."""
    if not plan.partitions:
        return "\n".join([*plan.notes, nothing_text(plan)])
    up_to_date = plan.considered - plan.partitions
    rest = f"; {up_to_date:,} of {plan.considered:,} are up to date" if up_to_date else ""
    lines = [*plan.notes, f"{counted(plan.partitions, 'partition')} to build{rest}", ""]
    rows = []
    for part in plan.datasets:
        for reason in part.reasons:
            first = part.name if reason is part.reasons[0] else ""
            if reason.keys is None:
                rows.append((first, f"{reason.count:,}", reason.text, ranges_text(reason.ranges)))
            else:
                rows.append((first, f"{reason.count:,}", reason.text, ""))
                rows += [("", "", "", key) for key in reason.keys]
    lines.append(table(("dataset", "build", "why", "partitions"), rows, right=frozenset({1})))
    changes = [
        f"the schema of {part.name} changes: {plain(', '.join(part.schema_changes))}"
        for part in plan.datasets
        if part.schema_changes
    ]
    lines += ["", *changes] if changes else []
    if plan.blocked:
        lack = f"{plan.lacking:,} {'lacks' if plan.lacking == 1 else 'lack'} an input"
        others = plan.blocked - plan.lacking
        more = f", {others:,} more {'depends' if others == 1 else 'depend'} on {'it' if plan.lacking == 1 else 'them'}"
        lines += ["", f"{plan.blocked:,} of them cannot be built: {lack}{more if others else ''}"]
        lines.append(problems_text(plan.problems))
    if plan.forecast:
        from headgate.cli.forecast_text import forecast_lines, forecast_table

        lines += ["", *forecast_lines(plan.forecast)]
        if len(plan.forecast.datasets) > 1:
            lines += ["", forecast_table(plan.forecast.datasets)]
    if plan.verdict and plan.verdict.findings:
        from headgate.cli.plans import verdict_text

        lines += ["", verdict_text(plan.verdict)]
    return "\n".join(lines)


def next_text(stored: StoredPlanView) -> str:
    """Return what can be done with a plan that was just kept."""
    if stored.standing == "ready":
        return f"plan {stored.id}, good until {moment(stored.expires_ms)} UTC\n  {run_it(stored)}"
    if stored.standing == "pending":
        following = options.invocation("approve", stored.id, "--reason", "...")
        return f"plan {stored.id} {stored.standing_text}\n  {following}"
    denials = [finding for finding in stored.verdict.findings if finding.outcome is Outcome.DENY]
    text = f"plan {stored.id} is denied by {', '.join(dict.fromkeys(finding.rule for finding in denials))}"
    of_reason = [finding for finding in denials if finding.rule in {Rule.REQUIRE_REASON, Rule.TICKET}]
    words, tail = [], ""
    if of_reason:
        examples = dict.fromkeys(finding.example for finding in of_reason if finding.example)
        words.append(f'--reason "{plain(" ".join([*examples, "..."]))}"')
        lengths = dict.fromkeys(finding.limit for finding in of_reason if finding.rule is Rule.REQUIRE_REASON)
        tail = f" (a reason of {', '.join(lengths)})" if lengths else ""
    if len(of_reason) == len(denials):
        return f"{text}\n  plan again with {words[0]}{tail}"
    others = dict.fromkeys(finding.rule for finding in denials if finding not in of_reason)
    words += [f"--override {rule} --because ..." for rule in others]
    return f"{text}\n  to go on in spite of that, plan again with {' '.join(words)}{tail}"


def run_it(stored: StoredPlanView) -> str:
    """Return the command line that runs a plan."""
    return options.invocation("backfill", "--plan", stored.id, *(() if stored.reason else ("--reason", "...")))


def nothing_text(plan: PlanView) -> str:
    """Return that there is nothing to do, and why."""
    return f"nothing to do: {plain(plan.empty)}"


def _show_why(session: Session, request: Request, dataset: str, key: str, *, as_json: bool) -> None:
    from headgate.views.why import plan_why

    world, plan = session.plan(request)
    view = plan_why(session.store, world.snapshot, plan, dataset, key)
    print_json(view) if as_json else click.echo(why_text(view))


def why_text(view: WhyView) -> str:
    """Return why a partition is in a plan, a line for each step up, and all root causes if there are several."""
    place = plain(f"{view.dataset}/{view.key}")
    if view.absent:
        return f"{place} is not in the plan: {plain(view.absent)}"
    texts = [plain(step.text) for step in view.steps]
    if len(texts) > SHOWN_STEPS:
        texts[SHOWN_STEPS - 2 : -2] = [f"... ({len(texts) - SHOWN_STEPS:,} more steps)"]
    lines = [f"{place} is in the plan", *(f"  because {text}" for text in texts)]
    if len(view.roots) > 1 or any(root.count > 1 for root in view.roots):
        rows = [(root.dataset, f"{root.count:,}", root.text, ranges_text(root.ranges)) for root in view.roots]
        lines += ["", "root causes", table(("dataset", "", "why", "partitions"), rows, right=frozenset({1}))]
    return "\n".join(lines)


def ranges_text(ranges: Sequence[KeyRange]) -> str:
    """Return the first ranges of partitions, and how many more there are."""
    shown = [keys(one.first, one.last, one.count) for one in ranges[:SHOWN_RANGES]]
    more = [f"and {counted(len(ranges) - SHOWN_RANGES, 'more range')}"] if len(ranges) > SHOWN_RANGES else []
    return ", ".join(shown + more)
