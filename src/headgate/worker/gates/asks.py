"""Single values that gates ask of columns: at once of small tables, of large ones in one query with what others ask.

A query of Polars takes longer than all that most gates ask of a small table, so of such a table each value is asked of
the column itself.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import polars as pl

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_MOST_COMPARED = 16
"""Up to so many texts are compared one after another faster than looked up in a list."""


class Ask(NamedTuple):
    """A value that a gate asks of a column.

    Args:
        columns: The column; several are one column of structs.
        of: Makes of the column, as an expression, an expression of the value.
        at_once: Makes of the column itself the value; None if only a query does.
    """

    columns: tuple[str, ...]
    of: Callable[[pl.Expr], pl.Expr]
    at_once: Callable[[pl.Series], Any] | None = None

    def expression(self) -> pl.Expr:
        """Return what a query asks."""
        return self.of(column(self.columns[0]) if len(self.columns) == 1 else pl.struct(map(column, self.columns)))

    def answer(self, frame: pl.DataFrame) -> Any:
        """Return the value, of a small table."""
        if self.at_once is None:
            # Not `select`: handing expressions to other threads takes as long as they do on so few rows.
            return frame.select_seq(self.expression()).item()
        asked = [frame.get_column(name) for name in self.columns]
        return self.at_once(asked[0] if len(asked) == 1 else pl.DataFrame(asked).to_struct())


def column(name: str) -> pl.Expr:
    """Return the column of just this name: to `polars.col`, `*` and ``^a.*$`` are patterns that others match."""
    return pl.selectors.by_name(name).as_expr()


def nulls(name: str) -> Ask:
    """Ask how many nulls there are."""
    return Ask((name,), pl.Expr.null_count, pl.Series.null_count)


def nans(name: str) -> Ask:
    """Ask how many NaN a column of floats has."""

    def at_once(values: pl.Series) -> Any:
        # A sum with a NaN is NaN, and says so in a tenth of the time. `is_nan` makes a query by the column's name.
        return values.alias("_").is_nan().sum() if math.isnan(values.sum()) else 0

    return Ask((name,), lambda values: values.is_nan().sum(), at_once)


def least(name: str, kind: pl.DataType) -> Ask:
    """Ask for the least value; NaN is none."""
    if kind.is_float():
        return Ask((name,), lambda values: values.fill_nan(None).min(), lambda values: _number(values.min()))
    return Ask((name,), pl.Expr.min, pl.Series.min)


def most(name: str, kind: pl.DataType) -> Ask:
    """Ask for the greatest value; NaN is none."""
    if kind.is_float():
        return Ask((name,), lambda values: values.fill_nan(None).max(), lambda values: _number(values.max()))
    return Ask((name,), pl.Expr.max, pl.Series.max)


def _number(value: Any) -> float | None:
    # What both of Polars' own return if there is nothing else.
    return None if value is None or math.isnan(value) else value


def different(names: Sequence[str]) -> Ask:
    """Ask how many different rows there are in some columns. An empty column of structs counts one."""
    return Ask(tuple(names), pl.Expr.n_unique, pl.Series.n_unique)


def among_texts(name: str, texts: Sequence[str]) -> Ask:
    """Ask how many values of a column of texts are one of some."""

    def at_once(values: pl.Series) -> Any:
        return sum((values == text).sum() for text in set(texts))

    return Ask(
        (name,), lambda values: values.is_in(list(texts)).sum(), at_once if len(texts) <= _MOST_COMPARED else None
    )


def sum_of(name: str, kind: pl.DataType) -> Ask | None:
    """Ask for the sum; None if values of this type have none.

    Integers are widened first: Polars lets sums of 32 and 64 bits overflow in silence.
    """
    wide: pl.DataType | type[pl.DataType]
    if kind.is_integer() or kind == pl.Boolean:
        wide = pl.Int128
    elif kind.is_decimal():
        wide = pl.Decimal(38, getattr(kind, "scale", 0))
    elif kind.is_float():
        wide = pl.Float64
    else:
        return None
    return Ask((name,), lambda values: values.cast(wide).sum(), lambda values: values.cast(wide).sum())
