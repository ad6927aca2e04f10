"""What the guard rails say of a plan, and who may approve it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from headgate.model.guard_rail import Outcome, Rule

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from headgate.model.guard_rail import Setting


@dataclass(frozen=True, slots=True)
class Override:
    """Somebody's decision to go on although a rule denies it.

    Args:
        rule: Name of the rule, as typed.
        because: Why.
        author: Who decided so.
    """

    rule: str
    because: str
    author: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    """An objection of one rule.

    Args:
        rule: The rule.
        outcome: What it leads to, after an override if there is one.
        dataset: The dataset that it is about; None for the plan as a whole.
        value: What the plan would do, in words.
        limit: What the rule asks for, in words.
        partitions: How many partitions it is about; 0 for the plan as a whole.
        origin: ``file:line`` where the rule is set; ``default`` if nowhere.
        because: The rationale of the rule; empty if nobody gave one.
        group: The group that may approve; empty if nobody may.
        approvers: Its members.
        persons: How many persons it takes, the author included.
        overridden_by: Who overrode it; empty if nobody did.
        overridden_because: Why.
        example: What the reason could have in it to please the rule; empty where that is not known.
    """

    rule: Rule
    outcome: Outcome
    dataset: str | None
    value: str
    limit: str
    partitions: int = 0
    origin: str = "default"
    because: str = ""
    group: str = ""
    approvers: tuple[str, ...] = ()
    persons: int = 1
    overridden_by: str = ""
    overridden_because: str = ""
    example: str = ""

    @staticmethod
    def of(setting: Setting, dataset: str | None, value: str, limit: str, partitions: int = 0) -> Finding:
        """Return an objection of a rule as it is set."""
        return Finding(
            setting.rule,
            setting.outcome,
            dataset,
            value,
            limit,
            partitions,
            setting.origin,
            setting.because,
            setting.group,
            setting.approvers,
            setting.persons,
        )

    @property
    def is_overridden(self) -> bool:
        """Return whether somebody decided to go on in spite of it."""
        return bool(self.overridden_because)

    def is_approved_by(self, approver: str, author: str) -> bool:
        """Return whether somebody's approval of a plan of an author is what this asks for."""
        return approver in self.approvers and (self.persons < 2 or approver != author)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the guard rails say of a plan.

    Args:
        outcome: Allow, needs approval, or deny: the most severe of the findings'.
        findings: What the rules object to, in the order of the rules; those that were overridden, too.
    """

    outcome: Outcome
    findings: tuple[Finding, ...]

    @staticmethod
    def of(findings: Iterable[Finding]) -> Verdict:
        """Return the verdict that findings add up to."""
        found = tuple(findings)
        outcomes = (finding.outcome for finding in found)
        return Verdict(max(outcomes, key=lambda outcome: outcome.severity, default=Outcome.ALLOW), found)

    def pending(self, author: str, approved_by: Collection[str] = ()) -> tuple[Finding, ...]:
        """Return the findings that still ask for an approval; different groups may each have to give one.

        Args:
            author: The author of the plan.
            approved_by: Who has approved it so far.
        """
        return tuple(
            finding
            for finding in self.findings
            if finding.outcome is Outcome.APPROVAL
            and not any(finding.is_approved_by(approver, author) for approver in approved_by)
        )


def may_approve(
    verdict: Verdict, author: str, approver: str, reason: str, approved_by: Collection[str] = ()
) -> str | None:
    """Return why somebody may not approve a plan; None if they may.

    Args:
        verdict: The verdict of the plan.
        author: The author of the plan.
        approver: Who wants to approve it.
        reason: Why.
        approved_by: Who has approved it so far.
    """
    denied = [finding.rule for finding in verdict.findings if finding.outcome is Outcome.DENY]
    if denied:
        return f"the plan is denied by {_listed(denied)}, and no approval lifts that"
    pending = verdict.pending(author, approved_by)
    if not pending:
        return "the plan needs no approval" if not approved_by else "the plan has all approvals that it needs"
    if not reason.strip():
        return "an approval needs a reason"
    if any(finding.is_approved_by(approver, author) for finding in pending):
        return None
    if approver == author and any(approver in finding.approvers for finding in pending):
        rules = _listed(finding.rule for finding in pending if approver in finding.approvers)
        return f"{author} is the author of the plan, and {rules} takes two persons"
    groups = dict.fromkeys(f"{finding.group} ({', '.join(finding.approvers)})" for finding in pending)
    return f"{approver} may not approve it: that is for {' and '.join(groups)}"


def _listed(rules: Iterable[Rule]) -> str:
    return ", ".join(dict.fromkeys(rules))
