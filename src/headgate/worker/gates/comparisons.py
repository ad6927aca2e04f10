"""Gates that compare the rows with something else: other versions of the dataset, or inputs as they were pinned."""

from __future__ import annotations

import math
from decimal import Decimal
from statistics import median
from typing import TYPE_CHECKING, Any

import polars as pl

from headgate.worker.frames import is_small, polars
from headgate.worker.gates.asks import Ask, column, sum_of
from headgate.worker.gates.examined import Finding, Measure, Unfit, all_rows, kind_text, of_rows, percent, require
from headgate.worker.gates.values import COUNT, examples, placed, shown

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from headgate.model.gate import ForeignKey, Moves, RowCount, SumsMatch
    from headgate.worker.gates.examined import Examined, Table

FEWEST_NEIGHBOURS = 3
"""Of fewer neighbours a median says little; so many, or all that were asked for, must have a version."""

_LAST_DIGITS = 1e-9
"""By how much sums of floats may differ that were added up in another order."""
_VALUE, _NOW, _WAS = "value", "now", "was"
_UNKNOWN = Finding(True, "not compared: what it was made from is not known here")


def row_count(gate: RowCount, examined: Examined) -> Finding:
    """Compare the number of rows with bounds, with the version before, or with neighbours in time."""
    count, text = examined.count, all_rows(examined.count)
    found = [f"at least {gate.least:,} are wanted"] if gate.least is not None and count < gate.least else []
    found += [f"at most {gate.most:,} are allowed"] if gate.most is not None and count > gate.most else []
    if gate.within is not None:
        before, called = _usual(gate, examined)
        if before is None:
            text += f"; {called}"
        elif not (moved := _moved(before, count)) <= gate.within:
            found.append(f"{_by(before, count, moved)} {called}: at most {percent(gate.within)} is allowed")
    return Finding(not found, "; ".join([text, *found]))


def _usual(gate: RowCount, examined: Examined) -> tuple[float | None, str]:
    """Return how many rows there should be, and what that comes from; None if nobody can say, and why."""
    baseline = examined.baseline
    if not gate.neighbours:
        if baseline is None or baseline.rows is None:
            return None, "no version before it"
        return baseline.rows, f"than the {baseline.rows:,} of the version before"
    counts = [] if baseline is None else baseline.neighbours[: gate.neighbours]
    if len(counts) < min(FEWEST_NEIGHBOURS, gate.neighbours):
        return None, f"only {len(counts)} neighbours in time to compare with"
    usual = median(counts)
    return usual, f"than the median {usual:,g} of {len(counts)} neighbours in time"


def moves(gate: Moves, table: Table) -> Measure:
    """Ask for sums, and compare them and the values of columns with the version that readers see."""
    table.require(*(name for name, _ in (*gate.sums, *gate.distribution)))
    asks = [total(name, table.kind(name), "the result") for name, _ in gate.sums]

    def judge(values: Sequence[Any]) -> Finding:
        baseline = table.examined.baseline
        if baseline is None or baseline.rows is None:
            return Finding(True, "no version before it")
        found: list[str] = []
        count = table.examined.count
        if gate.rows is not None and not (moved := _moved(baseline.rows, count)) <= gate.rows:
            found.append(f"rows: {count:,}, {_by(baseline.rows, count, moved)} than {baseline.rows:,}")
        if gate.sums or gate.distribution:
            before = head_of(table.examined)
            if before is None:
                return Finding(not found, "; ".join([*found, "the version before has no files to compare with"]))
            found += _moved_sums(gate, before, values)
            found += [
                f"values of {name} moved by {percent(far)}"
                for name, allowed in gate.distribution
                if not (far := distance(table.frame, before, name)) <= allowed
            ]
        return Finding(not found, "; ".join(found) or f"near to {all_rows(baseline.rows)} of the version before")

    return Measure(asks, judge)


def head_of(examined: Examined) -> pl.LazyFrame | None:
    """Return the rows of the version that readers see; None without files."""
    from headgate.worker.inputs import InputFiles

    if examined.baseline is None or not examined.baseline.files:
        return None
    rows = examined.rows
    return InputFiles(rows.dataset, rows.keys, "parquet", tuple(examined.baseline.files), immutable=True).polars()


def _moved_sums(gate: Moves, before: pl.LazyFrame, values: Sequence[Any]) -> list[str]:
    schema = before.collect_schema()
    # A column that was not there before has moved from nothing.
    asks = [total(name, schema[name], "the version before") for name, _ in gate.sums if name in schema]
    sums = before.select(ask.expression() for ask in asks).collect().row(0, named=True) if asks else {}
    return [
        f"sum of {name}: {shown(now)}, {_by(was, now, moved)} than {shown(was)}"
        for (name, allowed), now in zip(gate.sums, values, strict=True)
        if not (moved := _moved(was := sums.get(name, 0), now)) <= allowed
    ]


def distance(rows: pl.LazyFrame, before: pl.LazyFrame, name: str) -> float:
    """Return how far values of a column have moved between two tables, 0 to 1.

    Of numbers and times the largest difference of the cumulative shares (Kolmogorov-Smirnov), of others half the sum
    of the differences of the shares (total variation). A null is a value.
    """
    was_kind = before.collect_schema().get(name)
    if was_kind is None:
        return 1.0
    kind = rows.collect_schema()[name]
    was = column(name) if was_kind == kind else column(name).cast(kind)
    both = (
        _shares(rows, column(name), _NOW)
        .join(_shares(before, was, _WAS), on=_VALUE, how="full", coalesce=True, nulls_equal=True)
        .with_columns(pl.col(_NOW, _WAS).fill_null(0.0))
    )
    difference = pl.col(_NOW) - pl.col(_WAS)
    if kind.is_numeric() or kind.is_temporal():
        far = both.sort(_VALUE).select(difference.cum_sum().abs().max())
    else:
        # What came is as much as what went, unless there are no rows on one side.
        far = both.select(pl.max_horizontal(difference.clip(0).sum(), (-difference).clip(0).sum()))
    return float(far.collect().item() or 0.0)


def _shares(frame: pl.LazyFrame, value: pl.Expr, side: str) -> pl.LazyFrame:
    """Return the different values of a frame, and which share of its rows has each of them."""
    counts = frame.group_by(value.alias(_VALUE)).agg(pl.len().cast(pl.Float64).alias(side))
    return counts.with_columns(pl.col(side) / pl.col(side).sum())


def foreign_key(gate: ForeignKey, table: Table) -> Finding:
    """Look for rows without a partner in an input."""
    table.require(*gate.columns)
    if table.examined.inputs is None:
        return _UNKNOWN
    mine = table.frame.select(placed(gate.columns)).drop_nulls()
    keys = mine.collect_schema().names()
    mine = mine.group_by(keys).len(name=COUNT)
    files = table.examined.inputs.get(gate.input)
    if files is not None:
        upstream = files.polars()
        theirs = upstream.collect_schema()
        try:
            require(theirs, *gate.of)
        except Unfit as error:
            raise Unfit(f"{gate.input}: {error}") from None
        partners = upstream.select(placed(gate.of)).unique()
        mine, partners = _alike(mine, partners, keys)
        mine = mine.join(partners, on=keys, how="anti")
    lonely = mine.collect()
    if lonely.is_empty():
        return Finding(True, all_rows(table.examined.count))
    where = f"{gate.input}.{', '.join(gate.of)}"
    text = f"{of_rows(int(lonely[COUNT].sum()), table.examined.count)} have no partner in {where}"
    return Finding(False, f"{text}: {examples(lonely.lazy())}")


def _alike(mine: pl.LazyFrame, theirs: pl.LazyFrame, keys: Sequence[str]) -> tuple[pl.LazyFrame, pl.LazyFrame]:
    """Return two frames with keys of the same types, so that no value is changed by comparing it."""
    ours, others = mine.collect_schema(), theirs.collect_schema()
    casts: list[pl.Expr] = []
    for key in keys:
        kinds = (ours[key], others[key])
        if kinds[0] == kinds[1]:
            continue
        if any(kind.is_numeric() for kind in kinds) != all(kind.is_numeric() for kind in kinds):
            raise Unfit(f"{kind_text(kinds[0])} here and {kind_text(kinds[1])} there cannot be compared")
        both = pl.concat([pl.Series([], dtype=kind).to_frame("_") for kind in kinds], how="vertical_relaxed")
        casts.append(pl.col(key).cast(both.schema["_"]))
    return (mine.with_columns(casts), theirs.with_columns(casts)) if casts else (mine, theirs)


def sums_match(gate: SumsMatch, table: Table) -> Measure:
    """Ask for a sum, and compare it with one of an input."""
    asks: list[Ask] = []
    if gate.column is not None:
        table.require(gate.column)
        asks.append(total(gate.column, table.kind(gate.column), "the result"))

    def judge(values: Sequence[Any]) -> Finding:
        if table.examined.inputs is None:
            return _UNKNOWN
        now = values[0] if values else table.examined.count
        was = _total_of_input(gate, table.examined)
        mine = all_rows(table.examined.count) if gate.column is None else f"sum of {gate.column} {shown(now)}"
        theirs = f"{all_rows(was)} of {gate.input}" if gate.of is None else f"{shown(was)} of {gate.input}.{gate.of}"
        is_float = isinstance(now, float) or isinstance(was, float)
        allowed = max(gate.within, _LAST_DIGITS) if is_float else gate.within
        if (moved := _moved(was, now)) <= allowed:
            return Finding(True, f"{mine}, {theirs}")
        return Finding(False, f"{mine}, {_by(was, now, moved)} than {theirs}")

    return Measure(asks, judge)


def _total_of_input(gate: SumsMatch, examined: Examined) -> Any:
    files = (examined.inputs or {}).get(gate.input)
    if files is None:
        return 0
    if is_small(files):
        # Whoever made the rows has read them, so they are kept.
        frame = polars(files)
        if gate.of is None:
            return frame.height
        _require_of(gate, frame.columns)
        return total(gate.of, frame.get_column(gate.of).dtype, gate.input).answer(frame)
    upstream = files.polars()
    if gate.of is None:
        return upstream.select(pl.len()).collect().item()
    schema = upstream.collect_schema()
    _require_of(gate, schema)
    return upstream.select(total(gate.of, schema[gate.of], gate.input).expression()).collect().item()


def _require_of(gate: SumsMatch, names: Collection[str]) -> None:
    if gate.of not in names:
        raise Unfit(f"there is no column {gate.of} in {gate.input}; there are {', '.join(names)}")


def total(name: str, kind: pl.DataType, where: str) -> Ask:
    """Ask for the sum of a column.

    Raises:
        Unfit: It has none.
    """
    ask = sum_of(name, kind)
    if ask is None:
        raise Unfit(f"{name} of {where} is {kind_text(kind)}, which has no sum")
    return ask


def _moved(was: Any, now: Any) -> float:
    """Return by which share a number is another one; infinite from 0."""
    was, now = was or 0, now or 0
    if was == now:
        return 0.0
    if isinstance(was, float) or isinstance(now, float):
        was, now = float(was), float(now)
    elif isinstance(was, Decimal) or isinstance(now, Decimal):
        was, now = Decimal(was), Decimal(now)
    return float(abs(now - was) / abs(was)) if was else math.inf


def _by(was: Any, now: Any, moved: float) -> str:
    direction = "more" if (now or 0) > (was or 0) else "less"
    if isinstance(was, int) and isinstance(now, int):
        amount = f"{abs(now - was):,}"
        return f"{amount} {direction}" if math.isinf(moved) else f"{amount} ({percent(moved)}) {direction}"
    return direction if math.isinf(moved) else f"{percent(moved)} {direction}"
