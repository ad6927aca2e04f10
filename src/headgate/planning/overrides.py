"""Overrides of guard rails: each names one rule and says why. There is none for all. And for how long they count."""

from __future__ import annotations

from dataclasses import replace
from difflib import get_close_matches
from typing import TYPE_CHECKING

from headgate.errors import UsageError
from headgate.model.guard_rail import Outcome, Rule
from headgate.model.names import shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from headgate.model.verdict import Finding, Override, Verdict


def overridden(findings: Sequence[Finding], overrides: Iterable[Override]) -> list[Finding]:
    """Return findings as they are after overrides.

    Args:
        findings: What the rules object to.
        overrides: Each lifts all denials of one rule: they become approvals if the rule names approvers.

    Raises:
        UsageError: There is no such rule or it denies nothing, one is overridden twice, or one has no because.
    """
    done: dict[str, Override] = {}
    for override in overrides:
        _check_override(findings, override)
        if override.rule in done:
            raise UsageError(f"{override.rule} is overridden twice", hint="Give one --override of it.")
        done[override.rule] = override
    return [
        _lifted(finding, done[finding.rule]) if finding.rule in done and finding.outcome is Outcome.DENY else finding
        for finding in findings
    ]


def unheard(found: Verdict, said: Verdict) -> tuple[Finding, ...]:
    """Return the findings of a verdict that an earlier one has not let pass: by approval, by override, or as allowed.

    Args:
        found: The verdict of now, without overrides.
        said: The earlier one.
    """
    passed = {
        (finding.rule, finding.dataset): Outcome.DENY if finding.is_overridden else finding.outcome
        for finding in said.findings
    }
    return tuple(
        finding
        for finding in found.findings
        if finding.outcome.severity > passed.get((finding.rule, finding.dataset), Outcome.ALLOW).severity
    )


def _check_override(findings: Sequence[Finding], override: Override) -> None:
    name = override.rule
    if name not in set(Rule):
        close = get_close_matches(name, list(Rule), n=1)
        hint = f"Did you mean {close[0]}?" if close else f"There are {', '.join(Rule)}."
        raise UsageError(f"there is no guard rail {shown(name)}", hint=hint)
    outcomes = {finding.outcome for finding in findings if finding.rule == name}
    if not outcomes:
        raise UsageError(f"{name} did not object", hint=f"Leave --override {name} out.")
    if Outcome.DENY not in outcomes:
        outcome = "asks for approval" if Outcome.APPROVAL in outcomes else "allows it"
        raise UsageError(f"{name} does not deny this plan: it {outcome}", hint=f"Leave --override {name} out.")
    if not override.because.strip():
        raise UsageError(f"the override of {name} says no reason", hint='Say why: --because "...".')


def _lifted(finding: Finding, override: Override) -> Finding:
    outcome = Outcome.APPROVAL if finding.approvers else Outcome.ALLOW
    return replace(finding, outcome=outcome, overridden_by=override.author, overridden_because=override.because.strip())
