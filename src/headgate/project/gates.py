"""The gates as projects declare them: what must hold of a partition's rows before anybody sees them.

All take `severity`: ``"block"`` (the partition is quarantined), ``"approve"`` (it is, until somebody releases it) or
``"warn"`` (it is published, and the warning is kept).
"""

from __future__ import annotations

import math
from datetime import date
from decimal import Decimal
from types import FunctionType
from typing import TYPE_CHECKING, Any

from headgate.errors import UsageError
from headgate.model.gate import (
    AcceptedValues,
    Check,
    ForeignKey,
    Freshness,
    InRange,
    Moves,
    NotNull,
    Pandera,
    RowCount,
    SchemaContract,
    Severity,
    Sql,
    SumsMatch,
    Unique,
)
from headgate.model.names import shown, shown_value
from headgate.project.amounts import length_text, span_ms
from headgate.project.functions import CONTEXT_PARAMETER, code_of, kind_of, unwrapped
from headgate.project.gate_terms import column_names, input_name, named, ordered, severity_of, share_of, shares_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from headgate.model.gate import Bound, Scalar

MOST_NEIGHBOURS = 100
_SHOWN = 60
_QUERIES = ("select", "with", "from")


def not_null(*columns: str, severity: Severity | str = Severity.BLOCK) -> NotNull:
    """Demand that every row has a value in each of some columns; NaN is none.

    Args:
        columns: Their names, at least one.
        severity: What follows if it does not hold.

    Raises:
        UsageError: Something of this cannot be.
    """
    names = column_names("not_null", columns)
    return NotNull(named("not_null", *names), severity_of("not_null", severity), names)


def unique(*columns: str, severity: Severity | str = Severity.BLOCK) -> Unique:
    """Demand that no two rows are the same in some columns together; null is a value like others.

    Args:
        columns: Their names, at least one.
        severity: What follows if it does not hold.

    Raises:
        UsageError: Something of this cannot be.
    """
    names = column_names("unique", columns)
    return Unique(named("unique", *names), severity_of("unique", severity), names)


def accepted_values(
    column: str, values: Sequence[Scalar], *, severity: Severity | str = Severity.BLOCK
) -> AcceptedValues:
    """Demand that a column has only values of a list. Null holds.

    Args:
        column: Its name.
        values: Text, numbers, dates or times, all of one type.
        severity: What follows if it does not hold.

    Raises:
        UsageError: Something of this cannot be.
    """
    what = "accepted_values"
    (name,) = column_names(what, (column,))
    if isinstance(values, str) or not hasattr(values, "__iter__") or not (listed := tuple(values)):
        raise UsageError(f"{what}({name}) takes a list of values", hint=f'Write headgate.{what}("{name}", ["a", "b"]).')
    kinds = {type(value) for value in listed}
    if len(kinds) > 1 or not all(isinstance(value, str | int | float | Decimal | date) for value in listed):
        found = ", ".join(sorted(kind.__name__ for kind in kinds))
        raise UsageError(f"{what}({name}) takes values of one type: text, numbers, dates or times; got {found}")
    return AcceptedValues(named(what, name), severity_of(what, severity), name, listed)


def in_range(
    column: str,
    min: Bound | None = None,  # noqa: A002
    max: Bound | None = None,  # noqa: A002
    *,
    severity: Severity | str = Severity.BLOCK,
) -> InRange:
    """Demand that a column's values are from `min` to `max`, both included. Null holds, NaN does not.

    Args:
        column: Its name.
        min: A number, date or datetime; None for no bound, but not both.
        max: Likewise.
        severity: What follows if it does not hold.

    Raises:
        UsageError: Something of this cannot be.
    """
    what = "in_range"
    (name,) = column_names(what, (column,))
    for bound in (min, max):
        if bound is not None and (not isinstance(bound, int | float | Decimal | date) or isinstance(bound, bool)):
            raise UsageError(f"{what}({name}) takes numbers, dates or times, got {shown_value(bound)}")
        if isinstance(bound, float | Decimal) and math.isnan(bound):
            raise UsageError(f"{what}({name}) takes bounds that values can be compared with, got NaN")
    if min is None and max is None:
        raise UsageError(f"{what}({name}) has no bound", hint=f'Write headgate.{what}("{name}", min=0).')
    ordered(f"{what}({name})", min, max)
    return InRange(named(what, name), severity_of(what, severity), name, min, max)


def row_count(
    *,
    min: int | None = None,  # noqa: A002
    max: int | None = None,  # noqa: A002
    within: float | str | None = None,
    neighbours: int = 0,
    severity: Severity | str = Severity.BLOCK,
) -> RowCount:
    """Demand a number of rows: between bounds, or near to that of the version before or of partitions near in time.

    Args:
        min: How many at least.
        max: How many at most.
        within: How far, as a share (0.2 or ``"20%"``), it may be from the number of rows that readers see now.
        neighbours: Compare with the median of so many nearest partitions in time instead.
        severity: What follows if it does not hold.

    Raises:
        UsageError: Something of this cannot be.
    """
    what = "row_count"
    for name, bound in (("min", min), ("max", max)):
        if bound is not None and (not isinstance(bound, int) or isinstance(bound, bool) or bound < 0):
            raise UsageError(f"{what}: {name} must be a whole number of at least 0, got {shown(repr(bound))}")
    ordered(what, min, max)
    if not isinstance(neighbours, int) or isinstance(neighbours, bool) or not 0 <= neighbours <= MOST_NEIGHBOURS:
        raise UsageError(f"{what}: neighbours must be a number up to {MOST_NEIGHBOURS}, got {shown(repr(neighbours))}")
    if neighbours and within is None:
        raise UsageError(f"{what}: neighbours={neighbours} says not how near", hint="Add within=0.5.")
    if min is None and max is None and within is None:
        raise UsageError(f"{what} has no bound", hint="Write headgate.row_count(min=1), or within=0.2.")
    near = None if within is None else share_of(f"{what}: within", within)
    parts = [f"{name}={value}" for name, value in (("min", min), ("max", max), ("within", near)) if value is not None]
    parts += [f"neighbours={neighbours}"] if neighbours else []
    return RowCount(named(what, *parts), severity_of(what, severity), min, max, near, neighbours)


def freshness(column: str, within: str, *, severity: Severity | str = Severity.BLOCK) -> Freshness:
    """Demand that the newest value of a column is at most so long before the end of the partition's window.

    Args:
        column: Times or dates; a date counts to its end. What has no time zone is in that of the dataset.
        within: A length of time such as ``"90m"``, ``"6h"`` or ``"2d"`` (days of 24 hours).
        severity: What follows if it does not hold.

    Raises:
        UsageError: Something of this cannot be.
    """
    what = "freshness"
    (name,) = column_names(what, (column,))
    within_ms = span_ms(within)
    if within_ms is None:
        raise UsageError(
            f"{what}({name}): within {shown(repr(within))} is no length of time", hint='Write within="6h", or "2d".'
        )
    return Freshness(named(what, name, length_text(within_ms)), severity_of(what, severity), name, within_ms)


def foreign_key(
    columns: str | Sequence[str],
    input: str,  # noqa: A002
    of: str | Sequence[str] | None = None,
    *,
    severity: Severity | str = Severity.BLOCK,
) -> ForeignKey:
    """Demand that every row has a partner in an input, in the version that the attempt has read.

    Args:
        columns: The column here, or several. A row with a null in any of them holds.
        input: The input: a parameter of the function.
        of: The column there, or several; by default of the same name.
        severity: What follows if it does not hold.

    Raises:
        UsageError: Something of this cannot be.
    """
    what = "foreign_key"
    names = column_names(what, (columns,) if isinstance(columns, str) else columns)
    theirs = names if of is None else column_names(what, (of,) if isinstance(of, str) else of)
    if len(theirs) != len(names):
        raise UsageError(f"{what}: {len(names)} columns here are not {len(theirs)} columns of {input}")
    partner = input_name(what, input)
    name = named(what, ", ".join(names), f"{partner}.{', '.join(theirs)}")
    return ForeignKey(name, severity_of(what, severity), names, partner, theirs)


def sums_match(
    input: str,  # noqa: A002
    column: str | None = None,
    of: str | None = None,
    *,
    within: float | str = 0.0,
    severity: Severity | str = Severity.BLOCK,
) -> SumsMatch:
    """Demand that nothing got lost or doubled on the way from an input, in the version that the attempt has read.

    ``sums_match("bookings")`` compares numbers of rows, ``sums_match("bookings", "amount", of="amount")`` sums, and
    ``sums_match("bookings", "count")`` the sum of a column here with the number of rows there.

    Args:
        input: The input: a parameter of the function.
        column: The column here whose values are added up; None for the number of rows.
        of: The column there; None for the number of rows.
        within: By which share they may differ. Sums of floats always may by the last digits.
        severity: What follows if it does not hold.

    Raises:
        UsageError: Something of this cannot be.
    """
    what = "sums_match"
    for name in (column, of):
        if name is not None:
            column_names(what, (name,))
    partner = input_name(what, input)
    name = named(what, column or "rows", f"{partner}.{of}" if of else f"rows of {partner}")
    return SumsMatch(name, severity_of(what, severity), partner, column, of, share_of(f"{what}: within", within))


def schema_contract(
    columns: Mapping[str, str | None], *, extra: bool = False, severity: Severity | str = Severity.BLOCK
) -> SchemaContract:
    """Demand columns and their types.

    Args:
        columns: Column -> its type as `headgate history` shows it, such as ``"int64"``, ``"double"``, ``"string"`` or
            ``"timestamp[us, tz=UTC]"``; None for any type.
        extra: Whether there may be other columns.
        severity: What follows if it does not hold.

    Raises:
        UsageError: Something of this cannot be.
    """
    what = "schema_contract"
    if not isinstance(columns, dict) or not columns:
        raise UsageError(f"{what} takes columns and their types", hint='Write {"id": "int64", "name": "string"}.')
    names = column_names(what, tuple(columns))
    for name, kind in columns.items():
        if kind is not None and (not isinstance(kind, str) or not kind):
            raise UsageError(f"{what}: the type of {name} must be text, got {shown_value(kind)}", hint='Write "int64".')
    if not isinstance(extra, bool):
        raise UsageError(f"{what}: extra must be True or False, got {shown(repr(extra))}")
    label = named(what, *(names if len(names) < 4 else (*names[:3], "...")))
    return SchemaContract(label, severity_of(what, severity), tuple(columns.items()), extra)


def sql(text: str, *, name: str = "", severity: Severity | str = Severity.BLOCK) -> Sql:
    """Demand what SQL says, in DuckDB's dialect.

    Args:
        text: An expression that no row may contradict (null does not), such as ``"arr_time > dep_time"``; or a query
            that must return no rows. Queries name the rows as the dataset or `this`, and inputs as the function does.
        name: How results call it; by default the text.
        severity: What follows if it does not hold.

    Raises:
        UsageError: Something of this cannot be.
    """
    if not isinstance(text, str) or not text.strip():
        raise UsageError(f"sql takes an expression or a query, got {shown(repr(text))}")
    if not isinstance(name, str):
        raise UsageError(f"sql: name must be text, got {type(name).__name__}")
    line = " ".join(text.split()).removesuffix(";").rstrip()
    label = name or named("sql", line if len(line) <= _SHOWN else f"{line[: _SHOWN - 3]}...")
    is_query = line.casefold().startswith(tuple(f"{word} " for word in _QUERIES))
    return Sql(label, severity_of("sql", severity), text.strip().removesuffix(";").rstrip(), is_query)


def check(function: Callable[..., object], *, name: str = "", severity: Severity | str = Severity.BLOCK) -> Check:
    """Demand what a function of the project's own finds.

    Args:
        function: It gets the rows by its first parameter, as what that is annotated (a Polars DataFrame by default),
            the context if it has a parameter `ctx`, and inputs of the dataset by further parameters. It holds with
            True or None; it does not with False, with a text that says why, or with an AssertionError.
        name: How results call it; by default the function's name.
        severity: What follows if it does not hold.

    Raises:
        UsageError: Something of this cannot be.
    """
    if not isinstance(function, FunctionType):
        raise UsageError(f"check takes a function, got {shown_value(function)}")
    inner = unwrapped(function)
    code = code_of(inner)
    label = function.__name__ if function.__name__.isidentifier() else f"line {code.co_firstlineno}"
    where = named("check", label)
    if code.co_flags & 0x0C or code.co_posonlyargcount > 1:
        raise UsageError(f"{where}: its function takes *args or **kwargs", hint="Name what it takes.")
    if code.co_flags & 0x280 or code.co_flags & 0x20:
        raise UsageError(f"{where}: its function is a generator or async", hint="Make it a plain function.")
    parameters = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    if not code.co_argcount or parameters[0] == CONTEXT_PARAMETER:
        raise UsageError(f"{where}: its function takes no rows", hint="Give it a first parameter, such as frame.")
    for parameter in parameters:
        if parameter != CONTEXT_PARAMETER:
            kind_of(inner, parameter)
    if not isinstance(name, str):
        raise UsageError(f"{where}: name must be text, got {type(name).__name__}")
    inputs = tuple(parameter for parameter in parameters[1:] if parameter != CONTEXT_PARAMETER)
    return Check(name or where, severity_of("check", severity), function, inputs, CONTEXT_PARAMETER in parameters)


def pandera(schema: Any, *, name: str = "", severity: Severity | str = Severity.BLOCK) -> Pandera:
    """Demand what a Pandera schema or model says, one for Polars or for pandas. Pandera is an extra of Headgate.

    Args:
        schema: What has a `validate` for the rows as one frame.
        name: How results call it; by default the name of the schema.
        severity: What follows if it does not hold.

    Raises:
        UsageError: Something of this cannot be.
    """
    if not callable(getattr(schema, "validate", None)):
        raise UsageError(f"pandera takes a schema or a model, got {shown_value(schema)}")
    if not isinstance(name, str):
        raise UsageError(f"pandera: name must be text, got {type(name).__name__}")
    label = (schema.__name__ if isinstance(schema, type) else getattr(schema, "name", None)) or "schema"
    return Pandera(name or named("pandera", str(label)), severity_of("pandera", severity), schema)


def moves(
    *,
    rows: float | str | None = None,
    sums: Mapping[str, float | str] | None = None,
    distribution: Mapping[str, float | str] | None = None,
    severity: Severity | str = Severity.APPROVE,
) -> Moves:
    """Demand that the content is near to what readers see now; by default what moves more waits for approval.

    Args:
        rows: By which share the number of rows may move: 0.2 or ``"20%"``.
        sums: Column -> by which share its sum may move.
        distribution: Column -> how far its values may move, 0 to 1: of numbers and times the Kolmogorov-Smirnov
            distance, of others the total variation distance (the share of rows that would have to change).
        severity: What follows if it does not hold.

    Raises:
        UsageError: Something of this cannot be.
    """
    what = "moves"
    shares = None if rows is None else share_of(f"{what}: rows", rows)
    of_sums, of_values = shares_of(what, "sums", sums), shares_of(what, "distribution", distribution)
    if shares is None and not of_sums and not of_values:
        raise UsageError(f"{what} has no bound", hint="Write headgate.moves(rows=0.2).")
    parts = [] if shares is None else ["rows"]
    parts += [f"sum of {column}" for column, _ in of_sums] + [f"values of {column}" for column, _ in of_values]
    return Moves(named(what, *parts), severity_of(what, severity), shares, of_sums, of_values)
