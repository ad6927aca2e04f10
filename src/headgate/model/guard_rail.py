"""Guard rails: the rules that every plan is held to, and what they are set to."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime


class Outcome(StrEnum):
    """What a rule that objects leads to, the mildest first."""

    ALLOW = "allow"
    APPROVAL = "approval"
    DENY = "deny"

    @property
    def severity(self) -> int:
        """Return its place in the order; the largest of several counts."""
        return list(Outcome).index(self)


class Rule(StrEnum):
    """What a plan can be held to."""

    MAX_PARTITIONS = "max_partitions"
    MAX_BYTES = "max_bytes"
    MAX_TIME = "max_time"
    MAX_COST = "max_cost"
    PROTECTED = "protected"
    RETENTION = "retention"
    SNAPSHOT_ONLY = "snapshot_only"
    NON_IDEMPOTENT = "non_idempotent"
    SCHEMA_CHANGE = "schema_change"
    FRESH_DEADLINE = "fresh_deadline"
    REQUIRE_REASON = "require_reason"
    TICKET = "ticket"
    HELD = "held"

    @property
    def outcome(self) -> Outcome:
        """Return what it leads to where nobody says otherwise."""
        return Outcome.APPROVAL if self in _BY_APPROVAL else Outcome.DENY


_BY_APPROVAL = {
    Rule.MAX_PARTITIONS,
    Rule.MAX_BYTES,
    Rule.MAX_TIME,
    Rule.MAX_COST,
    Rule.SCHEMA_CHANGE,
    Rule.FRESH_DEADLINE,
}
ALWAYS_ON = frozenset({Rule.RETENTION, Rule.SNAPSHOT_ONLY, Rule.NON_IDEMPOTENT, Rule.HELD})
"""Rules that hold without being set: the code, the record of a source or a rollback says where."""


@dataclass(frozen=True, slots=True)
class Setting:
    """A rule as it is set for the project or for one dataset or source.

    Args:
        rule: The rule.
        outcome: What it leads to when it objects.
        limit: Its number: partitions, bytes, milliseconds (max_time, retention, fresh_deadline), money, or characters
            of a reason; None for rules without one.
        written: That number as somebody wrote it.
        pattern: Regular expression that the reason must contain (ticket).
        start: Local time from which on windows are protected; None for no bound.
        end: Its exclusive end, likewise.
        group: Name of the group that may approve; empty if there is none.
        approvers: Its members.
        persons: How many persons it takes, the author included.
        because: Its rationale, in the words of who set it.
        origin: ``file:line`` where it is set; ``default`` if nowhere.
    """

    rule: Rule
    outcome: Outcome
    limit: float | None = None
    written: str = ""
    pattern: str = ""
    start: datetime | None = None
    end: datetime | None = None
    group: str = ""
    approvers: tuple[str, ...] = ()
    persons: int = 1
    because: str = ""
    origin: str = "default"


@dataclass(frozen=True, slots=True)
class GuardRails:
    """All guard rails of a project.

    A dataset is held to its own setting of a rule or else to that of the project, which counts together all datasets
    without a setting of their own.

    Args:
        general: Settings of the project.
        datasets: Settings of a dataset's own, from templates and from its tables.
        sources: How long each source keeps its data, where that is said.
        fingerprint: Changes when what headgate.toml says of guard rails and approvers changes.
    """

    general: Mapping[Rule, Setting] = field(default_factory=dict)
    datasets: Mapping[str, Mapping[Rule, Setting]] = field(default_factory=dict)
    sources: Mapping[str, Setting] = field(default_factory=dict)
    fingerprint: str = ""

    def own(self, rule: Rule, dataset: str) -> Setting | None:
        """Return a dataset's own setting of a rule, if it has one."""
        return self.datasets.get(dataset, {}).get(rule)

    def common(self, rule: Rule) -> Setting | None:
        """Return what holds for datasets without a setting of their own; None if the rule is not in force."""
        if rule in self.general:
            return self.general[rule]
        return Setting(rule, rule.outcome) if rule in ALWAYS_ON else None
