"""What gates look at."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from headgate.tables.schema import schema_text

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    import polars as pl

    from headgate.project.context import Context
    from headgate.worker.gates.asks import Ask
    from headgate.worker.inputs import InputFiles
    from headgate.worker.messages import Baseline


@dataclass(frozen=True, slots=True)
class Examined:
    """The content of one partition, and what gates compare it with.

    Args:
        rows: Its files: staged ones, or those of a version.
        count: How many rows they have.
        schema: Their columns and types, as versions record them.
        context: Its dataset, key, window and time zone, as checks of the project's own get it.
        baseline: Other versions; None if there is nothing to compare with, or no gate wants it.
        inputs: What it was made from, by parameter, without those that had no files; None if nobody knows any more:
            then gates about inputs hold.
    """

    rows: InputFiles
    count: int
    schema: Sequence[tuple[str, str]]
    context: Context
    baseline: Baseline | None = None
    inputs: Mapping[str, InputFiles] | None = None


class Table:
    """The rows as Polars has them, opened when a gate asks for them.

    Args:
        examined: What gates look at.
        columns: The columns that they name: of a small table no others are made.
    """

    def __init__(self, examined: Examined, columns: Collection[str]) -> None:
        self.examined = examined
        self.kinds = dict(examined.schema)
        self._columns = columns

    def require(self, *names: str) -> None:
        """Raise unless gates can ask something of columns.

        Raises:
            Unfit: One is not there, or nothing here can read it.
        """
        require(self.kinds, *names)
        for name in names:
            if "decimal256" in self.kinds[name]:
                raise Unfit(f"{name} is {self.kinds[name]}: gates read decimals of at most 38 digits")

    @cached_property
    def small(self) -> pl.DataFrame | None:
        """Return the rows if they are read whole."""
        from headgate.worker import frames

        if not frames.is_small(self.examined.rows):
            return None
        asked = [name for name, kind in self.kinds.items() if name in self._columns and "decimal256" not in kind]
        return frames.columns(self.examined.rows, asked)

    @cached_property
    def frame(self) -> pl.LazyFrame:
        """Return the rows."""
        return self.examined.rows.polars() if self.small is None else self.small.lazy()

    def kind(self, name: str) -> pl.DataType:
        """Return the type of a column."""
        return self._schema[name] if self.small is None else self.small.get_column(name).dtype

    @cached_property
    def _schema(self) -> pl.Schema:
        return self.frame.collect_schema()


class Finding(NamedTuple):
    """Whether a gate holds, and what was found, for people."""

    holds: bool
    text: str


class Measure(NamedTuple):
    """What a gate asks of the rows, together with other gates in one pass.

    Args:
        asks: What it asks.
        judge: Says from their values whether the gate holds.
    """

    asks: Sequence[Ask]
    judge: Callable[[Sequence[Any]], Finding]


class Unfit(Exception):
    """A gate does not hold since its question makes no sense for these rows; the text says why."""


def require(there: Collection[str], *names: str) -> None:
    """Raise if a column is not there.

    Raises:
        Unfit: One is not.
    """
    lacking = [name for name in names if name not in there]
    if lacking:
        raise Unfit(f"there is no column {', '.join(lacking)}; there are {', '.join(there)}")


def kind_text(kind: pl.DataType) -> str:
    """Return a type as versions record it."""
    import polars as pl

    return schema_text(pl.Series("_", [], dtype=kind).to_frame().to_arrow().schema)[0][1]


def of_rows(number: int, count: int) -> str:
    """Return so many of all rows, in words."""
    return f"{number:,} of {count:,} {'row' if count == 1 else 'rows'}"


def all_rows(count: int) -> str:
    """Return a number of rows, in words."""
    return f"{count:,} {'row' if count == 1 else 'rows'}"


def percent(part: float) -> str:
    """Return a share in percent."""
    if part >= 1e6:
        return "without bound"
    return f"{part * 100:,.3g}%" if part < 9.995 else f"{part * 100:,.0f}%"
