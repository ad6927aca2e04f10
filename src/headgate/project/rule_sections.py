"""What headgate.toml may say of guard rails: `[policies]`, `[templates.NAME]`, and those of a dataset or source."""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import date, datetime
from typing import Annotated

from pydantic import Field

from headgate.errors import UsageError
from headgate.model.calendar import parse_local
from headgate.model.guard_rail import Outcome
from headgate.project.amounts import size_bytes, span_ms
from headgate.project.section import Section, choice, reads


def _moment(value: object) -> datetime | None:
    if isinstance(value, str | date):
        with suppress(UsageError):
            return parse_local(value, "")
    return None


def _pattern(value: object) -> str | None:
    if isinstance(value, str) and value:
        with suppress(re.error):
            return re.compile(value).pattern
    return None


_Span = Annotated[int, reads(span_ms, 'a length of time with its unit, such as "45m", "6h" or "90d"')]
_Size = Annotated[int, reads(size_bytes, 'a size with its unit, such as "500MB" or "2TB", or a number of bytes')]
_Moment = Annotated[datetime, reads(_moment, "a local date or time, such as 2024-01-31 or 2024-01-31T05:00")]
_Pattern = Annotated[str, reads(_pattern, 'a regular expression, such as "OPS-[0-9]+"')]
_Count = Annotated[int, Field(ge=1, le=10**15)]


class RuleSection(Section):
    """What every rule has: what it leads to, who may approve, how many persons it takes, and its rationale."""

    verdict: Annotated[Outcome, choice(Outcome)] | None = None
    approvers: str | None = None
    persons: Annotated[int, Field(ge=1, le=2)] | None = None
    because: str | None = None


class MaxPartitionsSection(RuleSection):
    """`max_partitions`: the largest number of partitions of a plan."""

    limit: _Count | None = None


class MaxBytesSection(RuleSection):
    """`max_bytes`: the most that a plan may read and write together."""

    limit: _Size | None = None


class MaxTimeSection(RuleSection):
    """`max_time`: the longest that a plan may take, nine times of ten."""

    limit: _Span | None = None


class MaxCostSection(RuleSection):
    """`max_cost`: the most that a plan may cost, in the currency of `[rates]`."""

    limit: Annotated[float, Field(ge=0)] | None = None


class ProtectedSection(RuleSection):
    """`protected`: what must not be rebuilt, all of it or the windows of a range of local time."""

    start: _Moment | None = Field(default=None, alias="from")
    end: _Moment | None = Field(default=None, alias="until")


class RetentionSection(RuleSection):
    """`retention`: for how long a source keeps its data."""

    keep: _Span | None = None


class FreshDeadlineSection(RuleSection):
    """`fresh_deadline`: how long after the end of its window a fresh partition is due."""

    within: _Span | None = None


class RequireReasonSection(RuleSection):
    """`require_reason`: the shortest reason, in characters."""

    min_length: _Count | None = None


class TicketSection(RuleSection):
    """`ticket`: what the reason must contain."""

    pattern: _Pattern | None = None


class PoliciesSection(Section):
    """Guard rails by rule; the names are those of `headgate.model.guard_rail.Rule`."""

    max_partitions: MaxPartitionsSection | None = None
    max_bytes: MaxBytesSection | None = None
    max_time: MaxTimeSection | None = None
    max_cost: MaxCostSection | None = None
    protected: ProtectedSection | None = None
    retention: RetentionSection | None = None
    snapshot_only: RuleSection | None = None
    non_idempotent: RuleSection | None = None
    schema_change: RuleSection | None = None
    fresh_deadline: FreshDeadlineSection | None = None
    require_reason: RequireReasonSection | None = None
    ticket: TicketSection | None = None
    held: RuleSection | None = None


class GeneralPoliciesSection(PoliciesSection):
    """`[policies]`: guard rails of the project, and the group that approves where a rule names none."""

    approvers: str | None = None


class TemplateSection(Section):
    """`[templates.NAME]`: guard rails of all datasets and sources whose names match one of some patterns."""

    match: list[Annotated[str, Field(min_length=1)]] = Field(min_length=1)
    policies: PoliciesSection = Field(default_factory=PoliciesSection)


class SourceSection(Section):
    """`[sources.NAME]`: guard rails of a source."""

    policies: PoliciesSection = Field(default_factory=PoliciesSection)
