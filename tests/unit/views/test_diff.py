"""What a run changes: counted by DuckDB, and by a plain multiset in Python beside it."""

from __future__ import annotations

import hashlib
from collections import Counter
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

from headgate.errors import UsageError
from headgate.model.version import File, Version
from headgate.tables.schema import schema_text
from headgate.views.compare import ColumnCounts, compared
from headgate.views.query import Versions

if TYPE_CHECKING:
    from pathlib import Path

BEFORE = pl.DataFrame({"id": [1, 2, 3, 4, 4], "name": ["a", "b", None, "d", "d"], "amount": [1.0, 2.0, None, 4.0, 4.0]})


def version(root: Path, number: int, frame: pl.DataFrame) -> Version:
    path = f"sales/r/k-a{number:04d}.parquet"
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    frame.write_parquet(root / path)
    size = (root / path).stat().st_size
    hashed = f"sha256:{hashlib.sha256((root / path).read_bytes()).hexdigest()}"
    schema = schema_text(frame.to_arrow().schema)
    return Version(
        number, "sales", "k", (File(path, len(frame), size, hashed),), len(frame), size, f"c{number}", schema, 1
    )


def diff(root: Path, before: pl.DataFrame | None, after: pl.DataFrame | None, *on: str, columns: bool = False) -> Any:
    old, new = (frame if frame is None else version(root, n, frame) for n, frame in enumerate((before, after), 1))
    versions = Versions(root)
    try:
        return compared(versions, old, new, on, columns=columns)
    finally:
        versions.close()


def by_hand(before: pl.DataFrame, after: pl.DataFrame) -> tuple[int, int]:
    old, new = Counter(map(repr, before.iter_rows())), Counter(map(repr, after.iter_rows()))
    return (new - old).total(), (old - new).total()


@pytest.mark.parametrize(
    "after",
    [
        BEFORE,
        BEFORE.reverse(),
        BEFORE.head(0),
        BEFORE.head(4),
        pl.concat([BEFORE, BEFORE.head(2)]),
        BEFORE.with_columns(amount=pl.col("amount") + 1),
        BEFORE.with_columns(name=pl.lit(None, pl.String)),
        BEFORE.with_columns(amount=pl.lit(float("nan"))),
    ],
)
def test_rows_as_a_whole_are_compared_as_multisets(tmp_path: Path, after: pl.DataFrame) -> None:
    found = diff(tmp_path, BEFORE, after)
    assert (found.added, found.removed) == by_hand(BEFORE, after)
    assert found.changed is None
    back = diff(tmp_path, after, BEFORE)
    assert (back.added, back.removed) == (found.removed, found.added)


def test_nan_is_the_same_as_nan(tmp_path: Path) -> None:
    frame = pl.DataFrame({"x": [float("nan"), None, 0.0]})
    assert diff(tmp_path, frame, frame)[:2] == (0, 0)
    assert diff(tmp_path, frame.with_columns(id=pl.int_range(3)), frame.with_columns(id=pl.int_range(3)), "id")[2] == 0


def test_a_key_tells_changed_rows_from_added_and_removed_ones(tmp_path: Path) -> None:
    before = BEFORE.head(4)
    after = pl.DataFrame({"id": [2, 3, 4, 5], "name": ["b", "c", "d", "e"], "amount": [2.5, None, 4.0, 5.0]})
    found = diff(tmp_path, before, after, "id", columns=True)
    assert (found.added, found.removed, found.changed) == (1, 1, 2)
    assert found.columns == {
        "id": ColumnCounts(0, 0, 0, 10, 14),
        "name": ColumnCounts(1, 1, 0, None, None),
        "amount": ColumnCounts(1, 1, 1, 7.0, 11.5),
    }


def test_null_in_a_key_is_a_value_like_others(tmp_path: Path) -> None:
    before = pl.DataFrame({"a": [None, 1], "b": ["x", None], "n": [1, 2]})
    after = pl.DataFrame({"a": [None, 1], "b": ["x", None], "n": [1, 3]})
    found = diff(tmp_path, before, after, "a", "b")
    assert (found.added, found.removed, found.changed) == (0, 0, 1)


def test_a_key_that_identifies_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="id does not identify the rows of sales/k before: 1 value comes"):
        diff(tmp_path, BEFORE, BEFORE.head(4), "id")
    with pytest.raises(UsageError, match="no column 'nope'") as caught:
        diff(tmp_path, BEFORE, BEFORE.head(4), "nope")
    assert caught.value.hint == "Both have id, name, amount."


def test_without_a_key_a_column_counts_values_that_one_side_has_only(tmp_path: Path) -> None:
    found = diff(tmp_path, BEFORE, BEFORE.with_columns(name=pl.Series(["a", "b", "c", "d", "x"])), columns=True)
    assert {name: one.changed for name, one in found.columns.items()} == {"id": 0, "name": 2, "amount": 0}


def test_only_columns_of_both_sides_are_compared(tmp_path: Path) -> None:
    after = BEFORE.select("amount", "id", pl.lit(1).alias("extra"))
    found = diff(tmp_path, BEFORE, after, columns=True)
    assert (found.added, found.removed) == (0, 0)
    assert found.columns["extra"] == ColumnCounts(None, None, 0, None, 5)
    assert found.columns["name"] == ColumnCounts(None, 1, None, None, None)
    nothing = diff(tmp_path, BEFORE, BEFORE.select(pl.col("id").alias("other")))
    assert (nothing.added, nothing.removed) == (5, 5)


def test_another_type_of_the_same_numbers_is_no_difference(tmp_path: Path) -> None:
    found = diff(tmp_path, BEFORE, BEFORE.with_columns(pl.col("id").cast(pl.Float64)))
    assert (found.added, found.removed) == (0, 0)
    texts = diff(tmp_path, BEFORE.select("id"), BEFORE.select(pl.col("id").cast(pl.String)))
    assert (texts.added, texts.removed) == (0, 0)


@pytest.mark.parametrize("name", ['a"b', "c0", "w", "n", "select", "it's", "a;--", "Ä"])
def test_names_of_columns_never_get_into_a_statement(tmp_path: Path, name: str) -> None:
    before, after = pl.DataFrame({name: [1, 2], "k": [1, 2]}), pl.DataFrame({name: [1, 3], "k": [1, 2]})
    assert diff(tmp_path, before, after)[:2] == (1, 1)
    assert diff(tmp_path, before, after, "k", columns=True).columns[name].changed == 1


def test_names_that_differ_in_case_only_are_two_columns(tmp_path: Path) -> None:
    before, after = pl.DataFrame({"a": [1], "A": [2]}), pl.DataFrame({"a": [1], "A": [3]})
    found = diff(tmp_path, before, after, columns=True)
    assert {name: one.changed for name, one in found.columns.items()} == {"a": 0, "A": 1}


def test_sums_of_decimals_are_exact_and_partitions_add_up(tmp_path: Path) -> None:
    money = pl.DataFrame({"m": [Decimal("0.10")] * 3}, schema={"m": pl.Decimal(30, 2)})
    found = diff(tmp_path, money.head(0), money, columns=True)
    assert found.columns["m"] == ColumnCounts(3, 0, 0, 0, Decimal("0.30"))
    assert found.columns["m"] + found.columns["m"] == ColumnCounts(6, 0, 0, 0, Decimal("0.60"))
    assert ColumnCounts() + found.columns["m"] == found.columns["m"]
    assert (found.columns["m"] + ColumnCounts(sum_after=0.5)).sum_after == pytest.approx(0.8)


def test_what_was_not_there_before_is_all_added(tmp_path: Path) -> None:
    found = diff(tmp_path, None, BEFORE, columns=True)
    assert found[:3] == (5, 0, None)
    assert found.columns["id"] == ColumnCounts(None, None, 0, None, 14)
    assert diff(tmp_path, BEFORE, None, "id") == (0, 5, 0, {})
