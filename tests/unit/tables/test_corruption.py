"""Rows spoiled on purpose."""

from __future__ import annotations

import pyarrow as pa
import pytest

from headgate.tables.corruption import Corruption, spoiled, spoiled_schema

SCHEMA = pa.schema(
    [pa.field("n", pa.int64(), nullable=False), pa.field("name", pa.dictionary(pa.int32(), pa.string()))]
)


def batches(*sizes: int) -> list[pa.RecordBatch]:
    """Return batches that count on."""
    found, first = [], 0
    for size in sizes:
        names = pa.array([f"n{n}" for n in range(size)]).dictionary_encode()
        found.append(pa.RecordBatch.from_arrays([pa.array(range(first, first + size)), names], schema=SCHEMA))
        first += size
    return found


def numbers(corruption: Corruption, *sizes: int, column: str = "name") -> list[int | None]:
    made = pa.Table.from_batches(
        spoiled(batches(*sizes), corruption, column), spoiled_schema(SCHEMA, corruption, column)
    )
    values: list[int | None] = made["n"].to_pylist()
    return values


@pytest.mark.parametrize("sizes", [(7,), (2, 2, 3), (1,) * 7, (0, 7, 0)])
def test_every_third_row_is_dropped_or_doubled_however_the_rows_come(sizes: tuple[int, ...]) -> None:
    assert numbers(Corruption.DROPPED, *sizes) == [1, 2, 4, 5]
    assert sorted(n for n in numbers(Corruption.DOUBLED, *sizes) if n is not None) == [0, 0, 1, 2, 3, 3, 4, 5, 6, 6]


def test_a_single_row_is_dropped_or_doubled_too() -> None:
    assert numbers(Corruption.DROPPED, 1) == []
    assert numbers(Corruption.DOUBLED, 1) == [0, 0]


def test_a_column_becomes_null_even_if_it_may_have_none_and_the_others_stay() -> None:
    assert numbers(Corruption.NULLED, 2, 1, column="n") == [None, None, None]
    assert numbers(Corruption.NULLED, 2, 1, column="name") == [0, 1, 2]
    (made,) = spoiled(batches(2), Corruption.NULLED, "name")
    assert made["name"].to_pylist() == [None, None]
    assert made.schema.field("name").type == SCHEMA.field("name").type


def test_only_a_nulled_column_changes_the_schema() -> None:
    assert spoiled_schema(SCHEMA, Corruption.DROPPED, "n") == SCHEMA
    assert spoiled_schema(SCHEMA, Corruption.DOUBLED, "n") == SCHEMA
    assert spoiled_schema(SCHEMA, Corruption.NULLED, "n").field("n").nullable
