"""What a run changes in the data, or has changed: what it staged or published beside what was there before.

Partitions are compared one after another. What has the same checksum is not read.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from itertools import groupby
from typing import TYPE_CHECKING

from headgate.errors import UsageError
from headgate.model.names import shown
from headgate.model.schema_diff import schema_diff
from headgate.tables.layout import resolve
from headgate.views.compare import compared
from headgate.views.names import known_names
from headgate.views.query import Versions

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from headgate.model.run import Run
    from headgate.model.version import Version
    from headgate.store.staged import Change
    from headgate.store.store import Store
    from headgate.views.compare import ColumnCounts


@dataclass(frozen=True, slots=True)
class PartitionDiff:
    """A partition that is not what it was.

    Args:
        key: Partition key.
        rows_before: Rows that were there; None if there was no version.
        rows_after: Rows that are there now.
        added: Rows that were not there; None if that cannot be said, because files are gone.
        removed: Rows that are not there any more; None likewise.
        changed: Rows that have the same key and other values; None without a key, and as above.
    """

    key: str
    rows_before: int | None
    rows_after: int
    added: int | None
    removed: int | None
    changed: int | None


@dataclass(frozen=True, slots=True)
class ColumnDiff:
    """A column over all partitions that are not what they were.

    Args:
        name: Its name.
        changed: With a key, in how many rows it has another value; without one, how many of its values one side has and
            the other has not, the larger number of the two. None for a column that only one side has.
        nulls_before: Nulls that were there; None for a column that was not there.
        nulls_after: Nulls that are there now; None for a column that is gone.
        sum_before: Sum of what was there, of numbers; text where a JSON number could not hold it.
        sum_after: Sum of what is there now.
    """

    name: str
    changed: int | None
    nulls_before: int | None
    nulls_after: int | None
    sum_before: float | int | str | None
    sum_after: float | int | str | None


@dataclass(frozen=True, slots=True)
class DatasetDiff:
    """The partitions of one dataset.

    Args:
        name: The dataset.
        partitions: How many the run has made.
        new: Those that had no version before.
        same: Those whose content is what it was.
        differ: The others.
        gone: Those of the others that cannot be compared, because files are not there any more.
        rows_before: Rows that were there.
        rows_after: Rows that are there now.
        added: As in `PartitionDiff`, together, of those that could be compared.
        removed: Likewise.
        changed: Likewise; None without a key.
        schema: What is different in columns, in words.
        parts: Those that are not the same, in order of their keys.
        columns: Columns; none if nobody has asked for them.
    """

    name: str
    partitions: int
    new: int
    same: int
    differ: int
    gone: int
    rows_before: int
    rows_after: int
    added: int
    removed: int
    changed: int | None
    schema: tuple[str, ...]
    parts: tuple[PartitionDiff, ...]
    columns: tuple[ColumnDiff, ...]


@dataclass(slots=True)
class _Sums:
    """What is added up over the partitions of a dataset."""

    same: int = 0
    gone: int = 0
    parts: list[PartitionDiff] = field(default_factory=list)
    schema: dict[str, None] = field(default_factory=dict)
    columns: dict[str, ColumnCounts] = field(default_factory=dict)
    rows_before: int = 0
    rows_after: int = 0


def run_diff(
    store: Store,
    data_root: Path,
    run: Run,
    dataset: str | None = None,
    *,
    key: str | None = None,
    on: Sequence[str] = (),
    columns: bool = False,
) -> tuple[DatasetDiff, ...]:
    """Return what a run has published or staged beside what was there before, by dataset.

    Args:
        store: The state store.
        data_root: The data folder.
        run: The run.
        dataset: Only this one.
        key: Only this partition of it.
        on: Columns that identify a row in a partition. Without them rows are the same or not, as a whole.
        columns: Whether to count values of columns, too.

    Raises:
        UsageError: The run has not made this dataset or partition, or the columns do not identify rows of it.
        UnavailableError: A data file is damaged.
    """
    changes = [change for change in store.changes(run.id, dataset) if key is None or change.key == key]
    if not changes and dataset is not None:
        made = [part.dataset for part in store.made(run.id)]
        if dataset not in made:
            raise UsageError(f"run {run.id} has not made {shown(dataset)}", hint=known_names(dataset, made))
        keys = [change.key for change in store.changes(run.id, dataset)]
        raise UsageError(f"run {run.id} has not made {shown(f'{dataset}/{key}')}", hint=known_names(str(key), keys))
    versions = Versions(data_root)
    try:
        return tuple(
            _dataset_diff(name, list(group), versions, data_root, on, columns=columns)
            for name, group in groupby(changes, key=lambda change: change.dataset)
        )
    finally:
        versions.close()


def _dataset_diff(
    name: str, changes: Sequence[Change], versions: Versions, data_root: Path, on: Sequence[str], *, columns: bool
) -> DatasetDiff:
    sums = _Sums()
    for change in changes:
        _add(sums, change, versions, data_root, on, columns=columns)
    new = sum(part.rows_before is None for part in sums.parts)
    return DatasetDiff(
        name=name,
        partitions=len(changes),
        new=new,
        same=sums.same,
        differ=len(sums.parts) - new,
        gone=sums.gone,
        rows_before=sums.rows_before,
        rows_after=sums.rows_after,
        added=sum(part.added or 0 for part in sums.parts),
        removed=sum(part.removed or 0 for part in sums.parts),
        changed=sum(part.changed or 0 for part in sums.parts) if on else None,
        schema=tuple(sums.schema),
        parts=tuple(sums.parts),
        columns=tuple(_column(column, counts) for column, counts in sums.columns.items()),
    )


def _add(sums: _Sums, change: Change, versions: Versions, data_root: Path, on: Sequence[str], *, columns: bool) -> None:
    """Compare one partition, and add what is different to the sums."""
    before, after = change.before, change.after
    rows_before, rows_after = (0 if side is None else max(side.rows, 0) for side in (before, after))
    sums.rows_before += rows_before
    sums.rows_after += rows_after
    if before is not None and _is_same(before, after):
        sums.same += 1
        return
    if before is not None and before.schema is not None and after.schema is not None:
        sums.schema.update(dict.fromkeys(schema_diff(before.schema, after.schema).sentences()))
    was = None if before is None else rows_before
    old, new = (side if side is not None and side.files else None for side in (before, after))
    if not all(side is None or _is_there(side, data_root) for side in (old, new)):
        sums.gone += 1
        sums.parts.append(PartitionDiff(change.key, was, rows_after, None, None, None))
        return
    counts = compared(versions, old, new, on, columns=columns)
    for column, one in counts.columns.items():
        sums.columns[column] = sums.columns[column] + one if column in sums.columns else one
    sums.parts.append(PartitionDiff(change.key, was, rows_after, counts.added, counts.removed, counts.changed))


def _is_same(before: Version, after: Version) -> bool:
    return before.id == after.id or (
        bool(after.content) and before.content == after.content and before.schema == after.schema
    )


def _is_there(version: Version, data_root: Path) -> bool:
    return all(resolve(data_root, file.path).exists() for file in version.files)


def _column(name: str, counts: ColumnCounts) -> ColumnDiff:
    return ColumnDiff(
        name,
        counts.changed,
        counts.nulls_before,
        counts.nulls_after,
        _as_json(counts.sum_before),
        _as_json(counts.sum_after),
    )


def _as_json(total: float | Decimal | None) -> float | int | str | None:
    return str(total) if isinstance(total, Decimal) else total
