"""Holds a plan to the guard rails of the project. Arithmetic on ranges: a million partitions cost next to nothing."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from headgate.model.calendar import instant, shifted, zone_of
from headgate.model.forecast import COST_DIGITS
from headgate.model.guard_rail import Outcome, Rule
from headgate.model.names import shown
from headgate.model.schema_diff import schema_diff
from headgate.model.verdict import Finding, Verdict
from headgate.planning.example import example_of
from headgate.planning.holding import held_by
from headgate.planning.overrides import overridden
from headgate.planning.retention import no_longer_held
from headgate.planning.wording import (
    bytes_text,
    cost_text,
    count_text,
    instant_text,
    length_text,
    moment_text,
    which_text,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from datetime import datetime

    from numpy.typing import NDArray

    from headgate.model.grid import Grid
    from headgate.model.guard_rail import GuardRails, Setting
    from headgate.model.plan import Plan, PlannedDataset
    from headgate.model.verdict import Override
    from headgate.planning.snapshot import Snapshot

Schema = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Amounts:
    """What a plan, or a dataset of it, is forecast to take; None for what is not known.

    Args:
        p90_ms: Nine of ten times it is done so long after the start of the run.
        bytes: Read and written together.
        cost: In the currency of the declared rates.
    """

    p90_ms: int | None = None
    bytes: int | None = None
    cost: float | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """What plan and snapshot do not say.

    Args:
        now_ms: When the plan would begin, UTC.
        plan: Forecast of the whole plan.
        datasets: Forecast of each dataset of it, where there is one.
        schemas: For datasets whose code has made a version already: the schema of the head that an earlier code made,
            and that of the newest version that the present code made.
        currency: In which costs are counted.
    """

    now_ms: int
    plan: Amounts = field(default_factory=Amounts)
    datasets: Mapping[str, Amounts] = field(default_factory=dict)
    schemas: Mapping[str, tuple[Schema, Schema]] = field(default_factory=dict)
    currency: str = ""


@dataclass(frozen=True, slots=True)
class _Case:
    """What is judged.

    Args:
        plan: The plan.
        snapshot: What it was made from.
        rails: The guard rails of the project.
        facts: What those do not say.
        reason: What the author gave as reason.
    """

    plan: Plan
    snapshot: Snapshot
    rails: GuardRails
    facts: Facts
    reason: str


@dataclass(frozen=True, slots=True)
class _Scope:
    """Datasets of the plan that one setting governs together.

    Args:
        setting: The setting.
        parts: The datasets.
        dataset: The dataset whose own setting it is; None for that of the project.
    """

    setting: Setting
    parts: tuple[PlannedDataset, ...]
    dataset: str | None

    def finding(self, value: str, limit: str, part: PlannedDataset | None = None, partitions: int = 0) -> Finding:
        """Return an objection to these datasets together, or to one of them."""
        return Finding.of(self.setting, part.name if part else self.dataset, value, limit, partitions)


def judge(
    plan: Plan,
    snapshot: Snapshot,
    rails: GuardRails,
    facts: Facts,
    *,
    reason: str,
    overrides: Iterable[Override] = (),
) -> Verdict:
    """Return what the guard rails say of a plan.

    Partitions that are blocked count too, since a retry may build them; but not for retention: what is not built is not
    built empty.

    Args:
        plan: The plan.
        snapshot: What it was made from.
        rails: The guard rails of the project.
        facts: Forecast, schemas and the time.
        reason: What the author gave as reason.
        overrides: Rules that somebody decided to override. One that denies becomes one that needs approval if it
            names approvers, and otherwise allows.

    Raises:
        UsageError: An override of a rule that there is not or that does not deny the plan, twice of the same, or
            without a because.
    """
    case = _Case(plan, snapshot, rails, facts, reason)
    findings: list[Finding] = []
    for rule in Rule:
        if rule is Rule.RETENTION:
            findings += no_longer_held(plan, snapshot, rails, facts.now_ms)
        else:
            for scope in _scopes(case, rule):
                findings += _CHECKS[rule](case, scope)
    return Verdict.of(overridden(findings, overrides))


def _scopes(case: _Case, rule: Rule) -> Iterator[_Scope]:
    common: list[PlannedDataset] = []
    for part in case.plan.datasets:
        own = case.rails.own(rule, part.name)
        if own is None:
            common.append(part)
        else:
            yield _Scope(own, (part,), part.name)
    setting = case.rails.common(rule)
    if setting is not None and common:
        yield _Scope(setting, tuple(common), None)


def _max_partitions(_: _Case, scope: _Scope) -> Iterator[Finding]:
    size = sum(len(part.indices) for part in scope.parts)
    if _exceeds(size, scope.setting):
        yield scope.finding(count_text(size), _at_most(scope.setting), partitions=size)


def _max_bytes(case: _Case, scope: _Scope) -> Iterator[Finding]:
    yield from _quantity(case, scope, lambda amounts: amounts.bytes, sum, bytes_text)


def _max_time(case: _Case, scope: _Scope) -> Iterator[Finding]:
    # Each counts from the start of the run: they are done when the last one is.
    yield from _quantity(case, scope, lambda amounts: amounts.p90_ms, max, length_text)


def _max_cost(case: _Case, scope: _Scope) -> Iterator[Finding]:
    def together(costs: list[float]) -> float:
        return round(sum(costs), COST_DIGITS)

    def text(cost: float) -> str:
        return cost_text(cost, case.facts.currency)

    yield from _quantity(case, scope, lambda amounts: amounts.cost, together, text)


def _quantity(
    case: _Case,
    scope: _Scope,
    of: Callable[[Amounts], float | None],
    together: Callable[[list[float]], float],
    text: Callable[[float], str],
) -> Iterator[Finding]:
    """Yield the objection to a forecast quantity.

    Args:
        case: What is judged.
        scope: The datasets whose quantity counts.
        of: Takes the quantity from a forecast.
        together: Makes one of those of several datasets.
        text: Says it in words.
    """
    whole = of(case.facts.plan)
    if len(scope.parts) == len(case.plan.datasets):
        value = whole
    else:
        each = [of(case.facts.datasets.get(part.name, Amounts())) for part in scope.parts]
        known = [amount for amount in each if amount is not None]
        value = together(known) if len(known) == len(each) else None
    if value is not None and _exceeds(value, scope.setting):
        yield scope.finding(f"forecast {text(value)}", _at_most(scope.setting))
    # What a part takes is not more than what the whole does.
    elif value is None and (whole is None or _exceeds(whole, scope.setting)):
        yield _unknown(scope.finding("not known: there is no forecast", _at_most(scope.setting)))


def _protected(case: _Case, scope: _Scope) -> Iterator[Finding]:
    start, end = scope.setting.start, scope.setting.end
    for part in scope.parts:
        grid = case.snapshot.grids[part.name]
        inside = part.indices
        if start is not None or end is not None:
            if grid.axis is None:
                continue
            zone = zone_of(grid.axis.zone)
            times = grid.times_in(
                None if start is None else instant(start, zone), None if end is None else instant(end, zone)
            )
            inside = _between(part.indices, times.start * grid.n_statics, times.stop * grid.n_statics)
        if len(inside):
            yield scope.finding(which_text(grid, inside), _protected_text(start, end, grid), part, len(inside))


def _protected_text(start: datetime | None, end: datetime | None, grid: Grid) -> str:
    """Return what is protected, in the local time of a dataset."""
    bounds = [f"{word} {moment_text(at)}" for word, at in (("from", start), ("until", end)) if at is not None]
    zone = [f"({grid.axis.zone})"] if bounds and grid.axis is not None else []
    return " ".join(["protected", *bounds, *zone])


def _snapshot_only(case: _Case, scope: _Scope) -> Iterator[Finding]:
    for part in scope.parts:
        grid = case.snapshot.grids[part.name]
        if not case.snapshot.datasets[part.name].snapshot_only or grid.axis is None:
            continue
        # Also the newest window is past once another one has ended after the end of the partitioning.
        is_current = grid.is_open or _next_end_ms(grid) > case.facts.now_ms
        current = (grid.n_times - is_current) * grid.n_statics
        past = _between(part.indices, 0, current)
        if len(past):
            limit = f"only the current window can be built: {grid.key(current)}" if is_current else "no window is left"
            yield scope.finding(which_text(grid, past), limit, part, len(past))


def _non_idempotent(case: _Case, scope: _Scope) -> Iterator[Finding]:
    for part in scope.parts:
        if case.snapshot.datasets[part.name].idempotent:
            continue
        heads = case.snapshot.heads[part.name]
        # An attempt that failed may have had some of its effects.
        tried = heads.version != 0
        tried[heads.failed] = True
        again = part.indices[tried[part.indices]]
        if len(again):
            value = f"{which_text(case.snapshot.grids[part.name], again)} once more"
            yield scope.finding(value, "its effects must not happen twice", part, len(again))


def _schema_change(case: _Case, scope: _Scope) -> Iterator[Finding]:
    for part in scope.parts:
        before, after = case.facts.schemas.get(part.name, ((), ()))
        if before != after:
            value = ", ".join(schema_diff(before, after).sentences()) or "the columns are in another order"
            yield scope.finding(value, "the schema that is published", part, len(part.indices))


def _fresh_deadline(case: _Case, scope: _Scope) -> Iterator[Finding]:
    p90_ms, within_ms = case.facts.plan.p90_ms, scope.setting.limit
    for part in scope.parts:
        grid = case.snapshot.grids[part.name]
        if not grid.is_open or within_ms is None:
            continue
        deadline_ms = _next_end_ms(grid) + round(within_ms)
        limit = f"done by {instant_text(deadline_ms)}, when the next window of {part.name} is due"
        if p90_ms is None:
            yield _unknown(scope.finding("not known: there is no forecast", limit, part))
        elif case.facts.now_ms + p90_ms > deadline_ms:
            yield scope.finding(f"forecast to be done by {instant_text(case.facts.now_ms + p90_ms)}", limit, part)


def _require_reason(case: _Case, scope: _Scope) -> Iterator[Finding]:
    length, least = len(case.reason.strip()), scope.setting.limit or 1
    if length < least:
        value = f"a reason of {length} character{'' if length == 1 else 's'}" if length else "no reason"
        yield scope.finding(value, f"at least {least:.0f} characters")


def _ticket(case: _Case, scope: _Scope) -> Iterator[Finding]:
    if not re.search(scope.setting.pattern, case.reason):
        value = f"the reason {shown(case.reason)}" if case.reason else "no reason"
        finding = scope.finding(value, f"a reason with a ticket, {scope.setting.pattern}")
        yield replace(finding, example=example_of(scope.setting.pattern))


def _held(case: _Case, scope: _Scope) -> Iterator[Finding]:
    for part in scope.parts:
        held = case.snapshot.heads[part.name].held
        inside = np.array([index for index in part.indices.tolist() if index in held] if held else [], dtype=np.int64)
        if len(inside):
            runs = " and ".join(held_by(case.snapshot, part.name, inside))
            value = f"{which_text(case.snapshot.grids[part.name], inside)} held by rollback {runs}"
            finding = scope.finding(value, "not built before the cause is resolved", part, len(inside))
            # Nothing that is set makes it milder: such a plan is made only for who overrides it.
            yield replace(finding, outcome=Outcome.DENY)


_CHECKS: dict[Rule, Callable[[_Case, _Scope], Iterator[Finding]]] = {
    Rule.MAX_PARTITIONS: _max_partitions,
    Rule.MAX_BYTES: _max_bytes,
    Rule.MAX_TIME: _max_time,
    Rule.MAX_COST: _max_cost,
    Rule.PROTECTED: _protected,
    Rule.SNAPSHOT_ONLY: _snapshot_only,
    Rule.NON_IDEMPOTENT: _non_idempotent,
    Rule.SCHEMA_CHANGE: _schema_change,
    Rule.FRESH_DEADLINE: _fresh_deadline,
    Rule.REQUIRE_REASON: _require_reason,
    Rule.TICKET: _ticket,
    Rule.HELD: _held,
}


def _unknown(finding: Finding) -> Finding:
    """Return an objection to what is not known: it asks for a person to look, where a person is named."""
    ask = finding.outcome is Outcome.DENY and finding.approvers
    return replace(finding, outcome=Outcome.APPROVAL) if ask else finding


def _exceeds(value: float, setting: Setting) -> bool:
    return setting.limit is not None and value > setting.limit


def _at_most(setting: Setting) -> str:
    return f"at most {setting.written}"


def _between(indices: NDArray[np.int64], start: int, stop: int) -> NDArray[np.int64]:
    """Return those of ascending indices that lie in ``[start, stop)``."""
    return indices[np.searchsorted(indices, start) : np.searchsorted(indices, stop)]


def _next_end_ms(grid: Grid) -> int:
    """Return when the window after the last one of a grid ends."""
    assert grid.axis is not None
    assert grid.bounds is not None
    return int(shifted(grid.bounds[-1:], grid.axis.unit, 1, grid.axis.zone)[0])
