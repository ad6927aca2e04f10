"""What a function returned, as a schema and batches to stage."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from headgate.errors import UsageError
from headgate.model.run import ErrorClass
from headgate.project.batch import Batch
from headgate.tables.schema import schema_text
from headgate.worker.failures import AttemptError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    Schema = tuple[tuple[str, str], ...]

_WANTED = "return a table (Polars, Arrow, DuckDB, pandas), yield such tables, or return None"


def open_result(value: object, dataset: str) -> tuple[pa.Schema, Iterable[pa.RecordBatch]]:
    """Return the schema and the batches of what a function returned, read while they are taken.

    Args:
        value: A table, or an iterator of tables of one schema.
        dataset: Name, for messages.

    Raises:
        UsageError: It is neither, or an iterator without any table.
    """
    if not hasattr(value, "__next__"):
        reader = reader_of(value, f"{dataset} returned")
        return reader.schema, reader
    readers = (reader_of(item, f"{dataset} yielded") for item in value)  # type: ignore[attr-defined]
    first = next(readers, None)
    if first is None:
        raise UsageError(f"{dataset} yielded nothing", hint="Yield at least one table, if need be an empty one.")
    return first.schema, _of_one_schema(chain([first], readers), first.schema, dataset)


def _of_one_schema(
    readers: Iterable[pa.RecordBatchReader], schema: pa.Schema, dataset: str
) -> Iterator[pa.RecordBatch]:
    expected = schema_text(schema)
    for number, reader in enumerate(readers, 1):
        check_schema(dataset, "tables", number, reader.schema, expected)
        yield from reader


def check_schema(dataset: str, what: str, number: int, schema: pa.Schema, expected: Schema) -> None:
    """Raise unless what a function yielded has the schema of what it yielded before.

    Raises:
        AttemptError: It has another one.
    """
    found = schema_text(schema)
    if found != expected:
        raise AttemptError(
            ErrorClass.DATA,
            f"{dataset} yielded {what} of different schemas: number {number} has {_columns(found, expected)}, "
            f"the first one {_columns(expected, found)}",
            hint="Cast every table to one schema before yielding it.",
        )


def _columns(these: tuple[tuple[str, str], ...], those: tuple[tuple[str, str], ...]) -> str:
    different = [f"{name}: {kind}" for name, kind in these if (name, kind) not in those]
    return ", ".join(different) or ("the same columns in the order " + ", ".join(name for name, _ in these))


def reader_of(value: Any, did: str) -> pa.RecordBatchReader:
    """Return the rows of a table.

    Args:
        value: The table.
        did: What the function did, for messages.

    Raises:
        UsageError: It is none.
        AttemptError: A column cannot be stored.
    """
    if isinstance(value, Batch):
        raise UsageError(
            f"{did} Batch, but is declared without batches=",
            hint='Declare it with @headgate.dataset(batches="30s"), or yield the data alone.',
        )
    library = type(value).__module__.partition(".")[0]
    if library == "polars" and type(value).__name__ == "LazyFrame":
        value = value.collect()
    elif library == "pandas" and type(value).__name__ == "DataFrame":
        value = _from_pandas(value)
    if isinstance(value, type) or not hasattr(value, "__arrow_c_stream__"):
        raise UsageError(f"{did} {type(value).__name__}; {_WANTED}")
    if library == "polars":
        _refuse_objects(value, did)
    try:
        return pa.RecordBatchReader.from_stream(value)
    except pa.ArrowInvalid as error:
        if "non-struct" in str(error):
            # A column or series has the interface too, but is no table.
            raise UsageError(f"{did} {type(value).__name__}, which is no table; {_WANTED}") from None
        raise UsageError(
            f"{did} a table that cannot be stored: {error}", hint="Convert its columns to plain types first."
        ) from error


def _refuse_objects(frame: Any, did: str) -> None:
    # Polars exports a column of Python objects as their addresses in memory.
    for name, kind in getattr(frame, "schema", {}).items():
        if "Object" in repr(kind):
            raise AttemptError(
                ErrorClass.DATA,
                f"{did} a table whose column {name} holds Python objects",
                hint="Convert the column to a type that can be stored.",
            )


def _from_pandas(frame: Any) -> pa.Table:
    # Levels with a name are data; the nameless default index is not.
    if any(name is not None for name in frame.index.names):
        frame = frame.reset_index()
    return pa.Table.from_pandas(frame, preserve_index=False)
