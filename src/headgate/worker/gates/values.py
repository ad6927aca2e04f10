"""Gates about values of columns: each asks for a few aggregates, so that all of them take one pass over the rows."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import polars as pl

from headgate.project.amounts import length_text
from headgate.worker.gates.examined import Finding, Measure, Unfit, all_rows, column, of_rows

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from headgate.model.gate import AcceptedValues, Freshness, InRange, NotNull, Scalar, Unique
    from headgate.worker.gates.examined import Table

COUNT = "rows"
"""A column of a gate's own, beside those that `placed` names: how often values are there."""

_SHOWN = 3
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def not_null(gate: NotNull, table: Table) -> Measure | Finding:
    """Ask how many nulls and NaN each column has."""
    require(table.names, *gate.columns)
    floats = [name for name in gate.columns if table.schema[name].is_float()]

    def judge(values: Sequence[Any]) -> Finding:
        meanings = [*((name, "null") for name in gate.columns), *((name, "NaN") for name in floats)]
        found = [
            f"{name} is {what} in {of_rows(count, table.examined.count)}"
            for (name, what), count in zip(meanings, values, strict=True)
            if count
        ]
        return Finding(not found, "; ".join(found) or all_rows(table.examined.count))

    if table.small is not None and not floats:
        # Polars knows it already: to ask in a query would cost more than all else.
        return judge([table.small[name].null_count() for name in gate.columns])
    nulls = [column(name).null_count() for name in gate.columns]
    return Measure([*nulls, *(column(name).is_nan().sum() for name in floats)], judge)


def unique(gate: Unique, table: Table) -> Measure:
    """Ask how many different rows there are in some columns."""
    require(table.names, *gate.columns)
    key = column(gate.columns[0]) if len(gate.columns) == 1 else pl.struct(map(column, gate.columns))

    def judge(values: Sequence[Any]) -> Finding:
        # An empty frame of structs counts one.
        repeated = table.examined.count - values[0] if table.examined.count else 0
        if not repeated:
            return Finding(True, all_rows(table.examined.count))
        twice = table.frame.group_by(placed(gate.columns)).len(name=COUNT).filter(pl.col(COUNT) > 1)
        return Finding(False, f"{of_rows(repeated, table.examined.count)} repeat what another has: {examples(twice)}")

    return Measure([key.n_unique()], judge)


def accepted_values(gate: AcceptedValues, table: Table) -> Measure:
    """Ask how many values are not in the list."""
    require(table.names, gate.column)
    kind = table.schema[gate.column]
    value = column(gate.column)
    if isinstance(kind, pl.Categorical | pl.Enum):
        value, kind = value.cast(pl.String), pl.String()
    first = gate.values[0]
    _require_comparable(gate.column, kind, first)
    # Polars looks for values in lists of the same kind of numbers only.
    is_alike = not kind.is_numeric() or (kind.is_float() if isinstance(first, float) else kind.is_integer())
    if kind.is_temporal() or isinstance(first, Decimal) or not is_alike:
        accepted = pl.any_horizontal(value == _literal(one, kind) for one in gate.values)
    else:
        accepted = value.is_in(list(gate.values))
    # Of an unknown value nobody can say that it is not accepted.
    others = value.is_not_null() & ~accepted

    def judge(values: Sequence[Any]) -> Finding:
        if not values[0]:
            return Finding(True, all_rows(table.examined.count))
        found = table.frame.filter(others).group_by(placed([gate.column])).len(name=COUNT)
        text = f"{gate.column} is something else in {of_rows(values[0], table.examined.count)}"
        return Finding(False, f"{text}: {examples(found)}")

    return Measure([others.sum()], judge)


def in_range(gate: InRange, table: Table) -> Measure:
    """Ask how many values are outside, and how far they go."""
    require(table.names, gate.column)
    kind = table.schema[gate.column]
    value = column(gate.column).fill_nan(None) if kind.is_float() else column(gate.column)
    outside: dict[str, pl.Expr] = {}
    if gate.least is not None:
        _require_comparable(gate.column, kind, gate.least)
        outside[f"less than {shown(gate.least)}"] = value < _literal(gate.least, kind)
    if gate.most is not None:
        _require_comparable(gate.column, kind, gate.most)
        outside[f"more than {shown(gate.most)}"] = value > _literal(gate.most, kind)
    if kind.is_float():
        outside["NaN"] = column(gate.column).is_nan()

    def judge(values: Sequence[Any]) -> Finding:
        number, least, most = values
        reach = all_rows(table.examined.count) if least is None else f"{gate.column} is {shown(least)} to {shown(most)}"
        if not number:
            return Finding(True, reach)
        counts = table.frame.select(ask.sum().alias(how) for how, ask in outside.items()).collect().row(0, named=True)
        found = [f"{how} in {of_rows(count, table.examined.count)}" for how, count in counts.items() if count]
        return Finding(False, f"{reach}: {', '.join(found)}")

    return Measure([pl.any_horizontal(outside.values()).sum(), value.min(), value.max()], judge)


def freshness(gate: Freshness, table: Table) -> Measure:
    """Ask for the newest value."""
    require(table.names, gate.column)
    if not isinstance(table.schema[gate.column], pl.Datetime | pl.Date):
        raise Unfit(f"{gate.column} is {table.schema[gate.column]}, which is no date and no time")
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

    return Measure([column(gate.column).max()], judge)


def require(names: Collection[str], *columns: str) -> None:
    """Raise if a column is not there.

    Raises:
        Unfit: One is not.
    """
    lacking = [name for name in columns if name not in names]
    if lacking:
        raise Unfit(f"there is no column {', '.join(lacking)}; there are {', '.join(names)}")


def placed(names: Sequence[str]) -> list[pl.Expr]:
    """Return columns, named by their places: so no name of a user's meets one of ours."""
    return [column(name).alias(f"_{n}") for n, name in enumerate(names)]


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
        raise Unfit(f"{name} is {kind}, which cannot be compared with {shown(value)}")


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
