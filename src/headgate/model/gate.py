"""Gates: checks of data that must hold before a version is published.

Each is declared with the dataset and evaluated by the worker on what it has staged (`worker.gates`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

Bound = int | float | Decimal | date | datetime
"""What a column can be compared with."""
Scalar = str | bool | Bound

_WORD = re.compile(r"\w+")


class Severity(StrEnum):
    """What a gate that does not hold means for the partition.

    `block`: it is quarantined and its task fails. `approve`: it is quarantined until somebody releases it. `warn`: it
    is published, and the warning is recorded with it.
    """

    BLOCK = "block"
    APPROVE = "approve"
    WARN = "warn"


@dataclass(frozen=True, slots=True)
class _Gate:
    """What every gate has.

    Args:
        name: How it is called in results: as it was declared, such as ``not_null(dep_delay)``.
        severity: What it means if it does not hold.
    """

    name: str
    severity: Severity


@dataclass(frozen=True, slots=True)
class NotNull(_Gate):
    """No row lacks a value in any of some columns; NaN is none."""

    columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Unique(_Gate):
    """No two rows are the same in some columns; null is a value like others."""

    columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AcceptedValues(_Gate):
    """A column has only values of a list; null holds."""

    column: str
    values: tuple[Scalar, ...]


@dataclass(frozen=True, slots=True)
class InRange(_Gate):
    """A column's values are from `least` to `most`, both included; null holds, NaN does not."""

    column: str
    least: Bound | None
    most: Bound | None


@dataclass(frozen=True, slots=True)
class RowCount(_Gate):
    """There are neither too few rows nor too many.

    Args:
        name: See `_Gate`.
        severity: See `_Gate`.
        least: How many at least.
        most: How many at most.
        within: How far, as a share, they may be from those of the version before, or of the neighbours.
        neighbours: To how many of the nearest partitions in time, by their median; 0 for the version before.
    """

    least: int | None
    most: int | None
    within: float | None
    neighbours: int


@dataclass(frozen=True, slots=True)
class Freshness(_Gate):
    """The newest value of a column is at most `within_ms` before the end of the partition's window."""

    column: str
    within_ms: int


@dataclass(frozen=True, slots=True)
class ForeignKey(_Gate):
    """Every row has a partner in an input, by some columns here and `of` there; a null in any of them holds."""

    columns: tuple[str, ...]
    input: str
    of: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SumsMatch(_Gate):
    """The sum of a column is that of a column of an input.

    Args:
        name: See `_Gate`.
        severity: See `_Gate`.
        input: The input.
        column: The column here; None for the number of rows.
        of: The column there; None for the number of rows.
        within: By which share of the sum there they may differ.
    """

    input: str
    column: str | None
    of: str | None
    within: float


@dataclass(frozen=True, slots=True)
class SchemaContract(_Gate):
    """There are these columns, of these types (as versions record them; None for any), and no others unless `extra`."""

    columns: tuple[tuple[str, str | None], ...]
    extra: bool


@dataclass(frozen=True, slots=True)
class Sql(_Gate):
    """An expression that no row contradicts (null does not), or a query that returns no rows."""

    text: str
    is_query: bool


@dataclass(frozen=True, slots=True)
class Check(_Gate):
    """A function of the project's own.

    Args:
        name: See `_Gate`.
        severity: See `_Gate`.
        function: It gets the rows by its first parameter.
        inputs: Its other parameters but the context: inputs of the dataset.
        wants_context: Whether it has a parameter for the context.
    """

    function: Callable[..., object]
    inputs: tuple[str, ...]
    wants_context: bool


@dataclass(frozen=True, slots=True)
class Pandera(_Gate):
    """A Pandera schema or model, for Polars or pandas."""

    schema: Any


@dataclass(frozen=True, slots=True)
class Moves(_Gate):
    """The content is not too far from what readers see now.

    Args:
        name: See `_Gate`.
        severity: See `_Gate`.
        rows: By which share the number of rows may move.
        sums: By which share the sum of a column may move, for some columns.
        distribution: How far the values of a column may move, for some columns: of numbers and times the
            Kolmogorov-Smirnov distance, of others the total variation distance; both are 0 to 1.
    """

    rows: float | None
    sums: tuple[tuple[str, float], ...]
    distribution: tuple[tuple[str, float], ...]


Gate = (
    NotNull
    | Unique
    | AcceptedValues
    | InRange
    | RowCount
    | Freshness
    | ForeignKey
    | SumsMatch
    | SchemaContract
    | Sql
    | Check
    | Pandera
    | Moves
)


def inputs_of(gate: Gate, parameters: tuple[str, ...]) -> tuple[str, ...]:
    """Return the inputs that a gate looks into, among the parameters of its dataset."""
    match gate:
        case ForeignKey() | SumsMatch():
            return (gate.input,)
        case Check():
            return gate.inputs
        case Sql():
            words = {word.casefold() for word in _WORD.findall(gate.text)}
            return tuple(parameter for parameter in parameters if parameter.casefold() in words)
        case _:
            return ()


def columns_of(gate: Gate) -> tuple[str, ...]:
    """Return the columns whose values a gate asks for together with other gates."""
    match gate:
        case NotNull() | Unique() | ForeignKey():
            return gate.columns
        case AcceptedValues() | InRange() | Freshness():
            return (gate.column,)
        case SumsMatch():
            return () if gate.column is None else (gate.column,)
        case Moves():
            return tuple(column for column, _ in (*gate.sums, *gate.distribution))
        case _:
            return ()
