"""Rows spoiled on purpose, as bad code or bad sources spoil them: what drills publish in a copy of a project."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

EVERY = 3
"""Of so many rows one is dropped or doubled; the first always is."""


class Corruption(StrEnum):
    """How rows are spoiled."""

    DROPPED = "rows dropped"
    DOUBLED = "rows doubled"
    NULLED = "a column nulled"


def spoiled_schema(schema: pa.Schema, corruption: Corruption, column: str) -> pa.Schema:
    """Return the schema of rows of a schema when they are spoiled; arguments as for `spoiled`."""
    if corruption is not Corruption.NULLED:
        return schema
    at = schema.get_field_index(column)
    return schema.set(at, schema.field(at).with_nullable(True))


def spoiled(batches: Iterable[pa.RecordBatch], corruption: Corruption, column: str) -> Iterator[pa.RecordBatch]:
    """Yield rows, spoiled, in bounded memory.

    Args:
        batches: The rows.
        corruption: How they are spoiled.
        column: Which column becomes null, if one does.
    """
    seen = 0
    for batch in batches:
        chosen = (np.arange(seen, seen + batch.num_rows) % EVERY) == 0
        seen += batch.num_rows
        match corruption:
            case Corruption.DROPPED:
                yield batch.filter(pa.array(~chosen))
            case Corruption.DOUBLED:
                yield batch
                yield batch.filter(pa.array(chosen))
            case Corruption.NULLED:
                yield _without(batch, column)


def _without(batch: pa.RecordBatch, column: str) -> pa.RecordBatch:
    schema = spoiled_schema(batch.schema, Corruption.NULLED, column)
    nulls = pa.nulls(batch.num_rows, schema.field(column).type)
    columns = [nulls if name == column else values for name, values in zip(schema.names, batch.columns, strict=True)]
    return pa.RecordBatch.from_arrays(columns, schema=schema)
