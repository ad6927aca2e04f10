"""Gates about values of columns: each asks for a few aggregates, so that all of them take one pass over the rows."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import polars as pl

from headgate.project.amounts import length_text
from headgate.worker.gates import asks
from headgate.worker.gates.examined import Finding, Measure, Unfit, all_rows, kind_text, of_rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headgate.model.gate import AcceptedValues, Freshness, InRange, NotNull, Scalar, Unique
    from headgate.worker.gates.examined import Table

COUNT = "rows"
"""A column of a gate's own, beside those that `placed` names: how often values are there."""

_SHOWN = 3
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def not_null(gate: NotNull, table: Table) -> Measure:
    """Ask how many nulls and NaN each column has."""
    table.require(*gate.columns)
    floats = [name for name in gate.columns if table.kind(name).is_float()]

    def judge(values: Sequence[Any]) -> Finding:
        meanings = [*((name, "null") for name in gate.columns), *((name, "NaN") for name in floats)]
        found = [
            f"{name} is {what} in {of_rows(count, table.examined.count)}"
            for (name, what), count in zip(meanings, values, strict=True)
            if count
        ]
        return Finding(not found, "; ".join(found) or all_rows(table.examined.count))

    return Measure([*map(asks.nulls, gate.columns), *map(asks.nans, floats)], judge)


def unique(gate: Unique, table: Table) -> Measure:
    """Ask how many different rows there are in some columns."""
    table.require(*gate.columns)

    def judge(values: Sequence[Any]) -> Finding:
        repeated = table.examined.count - values[0] if table.examined.count else 0
        if not repeated:
            return Finding(True, all_rows(table.examined.count))
        twice = table.frame.group_by(placed(gate.columns)).len(name=COUNT).filter(pl.col(COUNT) > 1)
        return Finding(False, f"{of_rows(repeated, table.examined.count)} repeat what another has: {examples(twice)}")

    return Measure([asks.different(gate.columns)], judge)


def accepted_values(gate: AcceptedValues, table: Table) -> Measure:
    """Ask how many values are in the list."""
    table.require(gate.column)
    kind = table.kind(gate.column)
    first = gate.values[0]
    is_category = isinstance(kind, pl.Categorical | pl.Enum)
    _require_comparable(gate.column, pl.String() if is_category else kind, first)

    def is_accepted(value: pl.Expr) -> pl.Expr:
        # Polars looks for values in lists of the same kind of numbers only.
        is_alike = not kind.is_numeric() or (kind.is_float() if isinstance(first, float) else kind.is_integer())
        if kind.is_temporal() or isinstance(first, Decimal) or not is_alike:
            return pl.any_horizontal(value == _literal(one, kind) for one in gate.values)
        return (value.cast(pl.String) if is_category else value).is_in(list(gate.values))

    def judge(values: Sequence[Any]) -> Finding:
        number_accepted, nulls = values
        # Of an unknown value nobody can say that it is not accepted.
        number = table.examined.count - nulls - number_accepted
        if not number:
            return Finding(True, all_rows(table.examined.count))
        value = asks.column(gate.column)
        others = table.frame.filter(value.is_not_null() & ~is_accepted(value))
        found = examples(others.group_by(placed([gate.column])).len(name=COUNT))
        return Finding(False, f"{gate.column} is something else in {of_rows(number, table.examined.count)}: {found}")

    if kind == pl.String:
        accepted = asks.among_texts(gate.column, [str(one) for one in gate.values])
    else:
        accepted = asks.Ask((gate.column,), lambda value: is_accepted(value).sum())
    return Measure([accepted, asks.nulls(gate.column)], judge)


def in_range(gate: InRange, table: Table) -> Measure:
    """Ask how far values go, and unless that tells it, how many are outside."""
    table.require(gate.column)
    kind = table.kind(gate.column)
    for bound in (gate.least, gate.most):
        if bound is not None:
            _require_comparable(gate.column, kind, bound)
    # Times and decimals are not all exact in Python, so Polars compares them.
    is_exact = kind.is_integer() or kind.is_float()
    asked = [asks.least(gate.column, kind), asks.most(gate.column, kind)]
    if kind.is_float():
        asked.append(asks.nans(gate.column))
    elif not is_exact:
        asked.append(asks.Ask((gate.column,), lambda _: pl.any_horizontal(_outside(gate, kind).values()).sum()))

    def judge(values: Sequence[Any]) -> Finding:
        least, most, *wrong = values
        reach = all_rows(table.examined.count)
        if least is not None:
            reach = f"{gate.column} is {shown(least)} to {shown(most)}"
        if not any(wrong) and (least is None or not is_exact or _is_within(gate, least, most)):
            return Finding(True, reach)
        outside = _outside(gate, kind)
        counts = table.frame.select(ask.sum().alias(how) for how, ask in outside.items()).collect().row(0, named=True)
        found = [f"{how} in {of_rows(count, table.examined.count)}" for how, count in counts.items() if count]
        return Finding(not found, f"{reach}: {', '.join(found)}" if found else reach)

    return Measure(asked, judge)


def _is_within(gate: InRange, least: Any, most: Any) -> bool:
    return (gate.least is None or least >= gate.least) and (gate.most is None or most <= gate.most)


def _outside(gate: InRange, kind: pl.DataType) -> dict[str, pl.Expr]:
    """Return what says of a value that it is outside, for each way to be."""
    value = asks.column(gate.column)
    number = value.fill_nan(None) if kind.is_float() else value
    outside: dict[str, pl.Expr] = {}
    least, most = gate.least, gate.most
    if kind.is_integer():
        # Polars compares integers with floats as floats, which have not all of them.
        least = math.ceil(least) if isinstance(least, float | Decimal) and math.isfinite(least) else least
        most = math.floor(most) if isinstance(most, float | Decimal) and math.isfinite(most) else most
    if gate.least is not None and least is not None:
        outside[f"less than {shown(gate.least)}"] = number < _literal(least, kind)
    if gate.most is not None and most is not None:
        outside[f"more than {shown(gate.most)}"] = number > _literal(most, kind)
    if kind.is_float():
        outside["NaN"] = value.is_nan()
    return outside


def freshness(gate: Freshness, table: Table) -> Measure:
    """Ask for the newest value."""
    table.require(gate.column)
    kind = table.kind(gate.column)
    if not isinstance(kind, pl.Datetime | pl.Date):
        raise Unfit(f"{gate.column} is {kind_text(kind)}, which is no date and no time")
    if table.examined.context.window is None:
        raise Unfit("the partition has no window in time")
    end = _EPOCH + timedelta(milliseconds=table.examined.context.window[1])

    def judge(values: Sequence[Any]) -> Finding:
        newest = values[0]
        if newest is None:
            return Finding(False, f"{gate.column} has no value")
        age_ms = (end - _instant(newest, table.examined.context.zone)) // timedelta(milliseconds=1)
        text = f"the newest {gate.column} is {shown(newest)}"
        if age_ms <= gate.within_ms:
            return Finding(True, text)
        ago, wanted = length_text(age_ms // 1000 * 1000), length_text(gate.within_ms)
        return Finding(False, f"{text}, {ago} before the end of the window: at most {wanted} are allowed")

    return Measure([asks.most(gate.column, kind)], judge)


def placed(names: Sequence[str]) -> list[pl.Expr]:
    """Return columns, named by their places: so no name of a user's meets one of ours."""
    return [asks.column(name).alias(f"_{n}") for n, name in enumerate(names)]


def examples(found: pl.LazyFrame) -> str:
    """Return the most frequent values of a frame of values and how often they are there: `COUNT`, the last column."""
    in_order = [name for name, kind in found.collect_schema().items() if name != COUNT and not kind.is_nested()]
    first = found.sort([COUNT, *in_order], descending=[True, *(False for _ in in_order)]).head(_SHOWN + 1).collect()
    shown_values = [
        f"{', '.join(shown(value) for value in values)} ({count:,})" for *values, count in first.head(_SHOWN).rows()
    ]
    return "; ".join(shown_values) + ("; ..." if first.height > _SHOWN else "")


def shown(value: object) -> str:
    """Return a value of a column as results name it: on one line, not too long."""
    text = value.isoformat() if isinstance(value, date) else str(value)
    line = " ".join(ascii(text)[1:-1].split()) if not text.isprintable() else text
    return line if len(line) <= 60 else f"{line[:57]}..."


def _instant(value: date, zone: str) -> datetime:
    """Return a time in UTC: of a date its end, of a time without zone what clocks of the dataset show."""
    if not isinstance(value, datetime):
        value = datetime.combine(value + timedelta(days=1), datetime.min.time())
    if value.tzinfo is None:
        value = value.replace(tzinfo=ZoneInfo(zone))
    return value.astimezone(UTC)


def _require_comparable(name: str, kind: pl.DataType, value: Scalar) -> None:
    """Raise unless values of a type can be compared with a value.

    Raises:
        Unfit: They cannot.
    """
    match value:
        case bool():
            fits = kind == pl.Boolean
        case int() | float() | Decimal():
            fits = kind.is_numeric()
        case date():
            fits = isinstance(kind, pl.Date | pl.Datetime)
        case _:
            fits = kind == pl.String
    if isinstance(value, datetime) and value.tzinfo is not None and getattr(kind, "time_zone", None) is None:
        fits = False
    if not fits and kind != pl.Null:
        raise Unfit(f"{name} is {kind_text(kind)}, which cannot be compared with {shown(value)}")


def _literal(value: Scalar, kind: pl.DataType) -> pl.Expr:
    """Return a value as an expression that compares exactly with a column."""
    if isinstance(kind, pl.Decimal) and isinstance(value, int | float):
        return pl.lit(Decimal(str(value)))
    if isinstance(kind, pl.Datetime) and isinstance(value, date):
        moment = value if isinstance(value, datetime) else datetime.combine(value, datetime.min.time())
        if kind.time_zone is None:
            return pl.lit(moment, dtype=pl.Datetime("us"))
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=ZoneInfo(kind.time_zone))
        in_utc = pl.lit(moment.astimezone(UTC).replace(tzinfo=None), dtype=pl.Datetime("us"))
        return in_utc.dt.replace_time_zone("UTC").dt.convert_time_zone(kind.time_zone)
    return pl.lit(value)
