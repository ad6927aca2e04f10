"""What the footer of a Parquet file says of its columns, as exact as a table format needs it.

A wrong bound makes a reader leave out rows without a word, so a bound that could be off is left out instead: of
floating-point columns, in which the writer skips NaN and signs of zero; of long texts; of nested columns; of times in
other units than the table has.
"""

from __future__ import annotations

import json
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from headgate.errors import UnavailableError

if TYPE_CHECKING:
    from pathlib import Path

LONGEST_BOUND = 64
"""Of texts with more characters no bound is kept: each is in the log once for every file."""


class Footer(NamedTuple):
    """What a footer says.

    Args:
        rows: Rows in the file.
        schema: Its columns.
        statistics: JSON: the rows, the nulls of each column, and the bounds of those where they are exact.
    """

    rows: int
    schema: pa.Schema
    statistics: str


def footer_of(path: Path) -> Footer:
    """Return what the footer of a file says.

    Raises:
        UnavailableError: It cannot be read.
    """
    try:
        with pa.OSFile(str(path)) as opened, pq.ParquetFile(opened, pre_buffer=False) as file:
            metadata, schema = file.metadata, file.schema_arrow
    except (OSError, pa.ArrowException) as error:
        raise UnavailableError(
            f"{path} cannot be read: {error}", hint="`headgate verify` says what else is damaged."
        ) from error
    return Footer(metadata.num_rows, schema, _statistics(metadata, schema))


def _statistics(metadata: pq.FileMetaData, schema: pa.Schema) -> str:
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    nulls: dict[str, int] = {}
    least: dict[str, Any] = {}
    most: dict[str, Any] = {}
    for number in range(metadata.num_columns):
        leaf = metadata.schema.column(number)
        if leaf.name != leaf.path:
            continue
        found = [(group.num_rows, group.column(number).statistics) for group in groups]
        if not all(one is not None and one.has_null_count for _, one in found):
            continue
        nulls[leaf.name] = sum(one.null_count for _, one in found)
        bounds = _bounds(schema.field(leaf.name).type, [one for rows, one in found if one.null_count < rows])
        if bounds is not None:
            least[leaf.name], most[leaf.name] = bounds
    said = {"numRecords": metadata.num_rows, "minValues": least, "maxValues": most, "nullCount": nulls}
    return json.dumps(said, ensure_ascii=False, separators=(",", ":"))


def _bounds(kind: pa.DataType, found: list[Any]) -> tuple[Any, Any] | None:
    """Return the least and the largest value over row groups, as JSON has them; None where they could be off."""
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if not found or not _has_exact_bounds(kind) or not all(one.has_min_max for one in found):
        return None
    try:
        least, most = min(one.min for one in found), max(one.max for one in found)
    except (ValueError, OverflowError, pa.ArrowException):
        # Such as a date before the year 1, which Python has no value for.
        return None
    low, high = _as_json(least, kind), _as_json(most, kind)
    return None if low is None or high is None else (low, high)


def _has_exact_bounds(kind: pa.DataType) -> bool:
    types = pa.types
    return bool(
        types.is_signed_integer(kind)
        or types.is_string(kind)
        or types.is_large_string(kind)
        or types.is_date32(kind)
        or (types.is_timestamp(kind) and kind.unit == "us")
    )


def _as_json(value: object, kind: pa.DataType) -> object:
    match value:
        case str():
            return value if len(value) <= LONGEST_BOUND else None
        case datetime():
            # What has a zone is UTC in the file.
            return value.replace(tzinfo=None).isoformat(timespec="microseconds") + ("Z" if kind.tz else "")
        case date():
            return value.isoformat()
        case int():
            return value
    return None
