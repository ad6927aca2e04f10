"""Rows as PostgreSQL's COPY takes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headgate.errors import UsageError
from headgate.worker.failures import text_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import pyarrow as pa


def copy_text(schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> Iterator[bytes]:
    """Yield rows as PostgreSQL's CSV: texts in quotes, so that an empty one is not null.

    Raises:
        UsageError: A column has a type that CSV cannot say.
    """
    import pyarrow as pa
    from pyarrow import csv

    from headgate.tables.schema import stored_schema

    options = csv.WriteOptions(include_header=False, quoting_style="needed")
    stored = stored_schema(schema)
    plain = pa.schema([field.with_type(_plain(field.type)) for field in stored])
    try:
        for batch in batches:
            sink = pa.BufferOutputStream()
            csv.write_csv(pa.Table.from_batches([batch], schema).cast(stored).cast(plain), sink, options)
            yield sink.getvalue().to_pybytes()
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError) as error:
        raise UsageError(
            f"load_postgres: the rows cannot be sent: {text_of(error)}",
            hint="Convert nested and binary columns to text first.",
        ) from None


def _plain(kind: pa.DataType) -> pa.DataType:
    """Return the type of the values that a dictionary encodes; any other type as it is."""
    import pyarrow as pa

    return kind.value_type if pa.types.is_dictionary(kind) else kind
