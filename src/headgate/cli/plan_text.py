"""Plans in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headgate.cli import options
from headgate.cli.forecast_text import forecast_lines, forecast_table
from headgate.cli.text import counted, keys, moment, plain, problems_text, table
from headgate.model.guard_rail import Outcome, Rule

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from headgate.model.plan import Decision
    from headgate.model.verdict import Finding, Verdict
    from headgate.views.plan import PlanView
    from headgate.views.ranges import KeyRange
    from headgate.views.stored_plan import StoredPlanView
    from headgate.views.why import WhyView

SHOWN_RANGES = 4
SHOWN_STEPS = 12
OUTCOMES = {"allow": "allowed", "approval": "needs approval", "deny": "denied"}


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
        lines += ["", *forecast_lines(plan.forecast)]
        if len(plan.forecast.datasets) > 1:
            lines += ["", forecast_table(plan.forecast.datasets)]
    if plan.verdict and plan.verdict.findings:
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


def decision_lines(decisions: Iterable[Decision]) -> Iterator[str]:
    """Yield what was decided on a plan, by whom and why."""
    for decision in decisions:
        what = "approved" if decision.is_approval else "rejected"
        yield f"  {what} by {plain(decision.author)} at {moment(decision.at_ms)} UTC: {plain(decision.reason)}"


def verdict_text(verdict: Verdict, heading: str = "guard rails") -> str:
    """Return what the guard rails say of a plan: the outcome, and each rule with its value and its rationale."""
    return "\n".join([f"{heading}: {OUTCOMES[verdict.outcome]}", *map(_finding_text, verdict.findings)])


def _finding_text(finding: Finding) -> str:
    where = f" {finding.dataset}:" if finding.dataset else ""
    lines = [f"  {finding.rule}:{where} {plain(finding.value)}; {plain(finding.limit)} ({finding.origin})"]
    if finding.because:
        lines.append(f"    because: {plain(finding.because)}")
    if finding.is_overridden:
        lines.append(f"    overridden by {finding.overridden_by}: {plain(finding.overridden_because)}")
    if finding.outcome == "approval":
        persons = ", not its author" if finding.persons > 1 else ""
        lines.append(f"    may be approved by {finding.group} ({', '.join(finding.approvers)}{persons})")
    return "\n".join(lines)
