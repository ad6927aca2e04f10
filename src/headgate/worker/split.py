"""The result of a ranged attempt, taken apart by partition: a column says where each row belongs.

One that is tried alone, since others of its company failed, gets only rows that belong to it by the same column.

The column holds keys (text), local dates, or times. A date or a time belongs to the partition whose window it is in;
without a time zone of its own it is read in that of the dataset. The rows of a partition keep their order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headgate.model.run import ErrorClass
from headgate.worker.failures import AttemptError
from headgate.worker.messages import Member

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from headgate.worker.messages import Order

_SHOWN = 3


def split(order: Order, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> Iterator[tuple[Member, pa.Table]]:
    """Yield each member of a ranged attempt with its rows: none for one that the result does not mention.

    The whole result is held in memory meanwhile.

    Raises:
        AttemptError: There is no such column, or only one of another type, or a row belongs to no member.
    """
    table = _table(schema, batches)
    owner = _owners(order, order.members, table)
    if (np.diff(owner) < 0).any():
        by_member = np.argsort(owner, kind="stable")
        table, owner = table.take(pa.array(by_member)), owner[by_member]
    bounds = np.searchsorted(owner, np.arange(len(order.members) + 1)).tolist()
    for member, start, stop in zip(order.members, bounds[:-1], bounds[1:], strict=True):
        yield member, table.slice(start, stop - start)


def own(order: Order, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Yield the result of an attempt for one partition, batch by batch.

    Raises:
        AttemptError: As for `split`.
    """
    members = [Member(order.attempt, order.key, order.window, order.number, order.stage)]
    _owners(order, members, schema.empty_table())
    for batch in batches:
        _owners(order, members, pa.Table.from_batches([batch], schema))
        yield batch


def _table(schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> pa.Table:
    """Return batches as one table without views, which Polars gives and Arrow can neither look up nor reorder."""
    plain = {pa.string_view(): pa.large_string(), pa.binary_view(): pa.large_binary()}
    fields = [field.with_type(plain.get(field.type, field.type)) for field in schema]
    return pa.Table.from_batches(batches, schema).cast(pa.schema(fields))


def _owners(order: Order, members: Sequence[Member], table: pa.Table) -> NDArray[np.int64]:
    """Return to which member each row belongs.

    Raises:
        AttemptError: As for `split`.
    """
    name = order.partition_column
    if table.schema.names.count(name) != 1:
        raise AttemptError(
            ErrorClass.DATA,
            f"{order.dataset} returned no column {name}, which says to which partition a row belongs",
            hint=f"Return it, or name another one: partition_column=... ({', '.join(table.schema.names)}).",
        )
    column = table.column(name).combine_chunks()
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_string_view(column.type):
        column = column.cast(pa.large_string())
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        keys = pa.array([member.key for member in members], column.type)
        found = pc.index_in(column, keys)
    else:
        found = _by_time(order, members, column)
    owners: NDArray[np.int64] = pc.fill_null(found, -1).cast(pa.int64()).to_numpy(zero_copy_only=False)
    strangers = np.flatnonzero(owners < 0)
    if len(strangers):
        some = ", ".join(dict.fromkeys(str(column[at].as_py()) for at in strangers[:_SHOWN].tolist()))
        first, last = members[0].key, members[-1].key
        where = f"belong to none of the partitions {first} to {last}"
        if len(members) == 1:
            where = f"do not belong to partition {first}"
        raise AttemptError(
            ErrorClass.DATA,
            f"{len(strangers):,} rows of {order.dataset} {where}: {name} is {some}",
            hint="Return only rows of ctx.keys.",
        )
    return owners


def _by_time(order: Order, members: Sequence[Member], column: pa.Array) -> pa.Array:
    windows = [member.window for member in members]
    starts = np.array([window[0] for window in windows if window is not None], dtype=np.int64)
    stops = np.array([window[1] for window in windows if window is not None], dtype=np.int64)
    if len(starts) < len(windows) or len(np.unique(starts)) < len(starts):
        wanted = "text: the key of the partition"
    else:
        wanted = "text (the key), a date or a time"
        if pa.types.is_date(column.type):
            column = column.cast(pa.timestamp("s"))
        if pa.types.is_timestamp(column.type):
            at_ms = _instants(order, column)
            owner = np.searchsorted(starts, at_ms, side="right") - 1
            inside = (owner >= 0) & (at_ms < stops[owner])
            return pa.array(np.where(inside, owner, -1), mask=column.is_null().to_numpy(zero_copy_only=False))
    raise AttemptError(
        ErrorClass.DATA,
        f"column {order.partition_column} of {order.dataset} is {column.type}",
        hint=f"To say to which partition a row belongs it must be {wanted}.",
    )


def _instants(order: Order, column: pa.Array) -> NDArray[np.int64]:
    """Return times as UTC milliseconds, rounded down; null is 0."""
    if column.type.tz is None:
        try:
            column = pc.assume_timezone(column, order.zone)
        except pa.ArrowInvalid as error:
            raise AttemptError(
                ErrorClass.DATA,
                f"column {order.partition_column} of {order.dataset} has a local time that does not name one instant "
                f"in {order.zone}: {error}",
                hint="Give the column a time zone.",
            ) from error
    per_ms = {"s": (1000, 1), "ms": (1, 1), "us": (1, 1000), "ns": (1, 1_000_000)}
    times, parts = per_ms[column.type.unit]
    ticks: NDArray[np.int64] = pc.fill_null(column.cast(pa.int64()), 0).to_numpy(zero_copy_only=False)
    return ticks * times // parts
