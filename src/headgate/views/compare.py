"""Compares the rows of two versions of a partition, by DuckDB.

Columns are named by their places, so no name of a user's gets into a statement.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

from headgate.errors import UsageError
from headgate.model.names import shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from headgate.model.version import Version
    from headgate.views.query import Versions

Number = float | int | Decimal
Schema = tuple[tuple[str, str], ...]

_NUMERIC = ("int", "uint", "float", "double", "halffloat", "decimal")


@dataclass(frozen=True, slots=True)
class ColumnCounts:
    """A column on both sides; None where a side has no such column, or it has no numbers. Fields as in `ColumnDiff`."""

    changed: int | None = None
    nulls_before: int | None = None
    nulls_after: int | None = None
    sum_before: Number | None = None
    sum_after: Number | None = None

    def __add__(self, other: ColumnCounts) -> ColumnCounts:
        """Return the counts of both together."""
        return ColumnCounts(
            _plus(self.changed, other.changed),
            _plus(self.nulls_before, other.nulls_before),
            _plus(self.nulls_after, other.nulls_after),
            _plus(self.sum_before, other.sum_before),
            _plus(self.sum_after, other.sum_after),
        )


class Counts(NamedTuple):
    """Rows of one side that the other has not; with a key those that have other values; and what became of columns."""

    added: int
    removed: int
    changed: int | None
    columns: dict[str, ColumnCounts]


class _Pair(NamedTuple):
    """A column that both sides have: its name, and an expression for each of them."""

    name: str
    before: str
    after: str


def compared(
    versions: Versions, before: Version | None, after: Version | None, on: Sequence[str], *, columns: bool
) -> Counts:
    """Return in what two versions of a partition differ; None stands for one without rows.

    Args:
        versions: Reads them.
        before: What was there.
        after: What is there now.
        on: Columns that identify a row; none to compare rows as a whole.
        columns: Whether to count values of columns, too.

    Raises:
        UsageError: The columns are not there on both sides, or do not identify rows.
        UnavailableError: A file is missing or damaged.
    """
    sides = {"before": before, "after": after}
    views = {name: version for name, version in sides.items() if version is not None}
    schemas = {name: version.schema or () for name, version in views.items()}
    versions.show(views)
    pairs = _pairs(schemas["before"], schemas["after"]) if len(views) == 2 else []
    if len(views) == 2:
        _check_key(views["after"], pairs, on)
        if not pairs:
            added, removed, changed = _count(after), _count(before), None
        elif on:
            added, removed, changed = _by_key(versions, views, schemas, pairs, on)
        else:
            added, removed, changed = (*_as_a_whole(versions, schemas, pairs), None)
    else:
        added, removed, changed = _count(after), _count(before), 0 if on else None
    if not columns:
        return Counts(added, removed, changed, {})
    return Counts(added, removed, changed, _columns(versions, views, schemas, pairs, on))


def _count(version: Version | None) -> int:
    return 0 if version is None else max(version.rows, 0)


def _pairs(before: Schema, after: Schema) -> list[_Pair]:
    places = {name: (at, kind) for at, (name, kind) in enumerate(after)}
    found = []
    for at, (name, kind) in enumerate(before):
        if name in places:
            other, other_kind = places[name]
            is_alike = kind == other_kind or (_is_numeric(kind) and _is_numeric(other_kind))
            form = "{}" if is_alike else "CAST({} AS VARCHAR)"
            found.append(_Pair(name, form.format(f"b{at}"), form.format(f"a{other}")))
    return found


def _is_numeric(kind: str) -> bool:
    return kind.startswith(_NUMERIC)


def _check_key(version: Version, pairs: Sequence[_Pair], on: Sequence[str]) -> None:
    known = [pair.name for pair in pairs]
    for name in on:
        if name not in known:
            raise UsageError(
                f"{version.dataset}/{version.key} has no column {shown(name)} on both sides",
                hint=f"Both have {', '.join(known) or 'none'}.",
            )


def _as_a_whole(versions: Versions, schemas: dict[str, Schema], pairs: Sequence[_Pair]) -> tuple[int, int]:
    """Return how many rows were added and removed: the difference of multisets."""
    sql = f"SELECT {_surplus(1)}, {_surplus(-1)} FROM ({_weights(schemas, pairs)})"  # noqa: S608
    added, removed = versions.row(sql)
    return added, removed


def _surplus(sign: int) -> str:
    return f"coalesce(sum(greatest({sign} * n, 0)), 0)"


def _weights(schemas: dict[str, Schema], pairs: Sequence[_Pair]) -> str:
    """Return a SELECT of `n`: for each different row how many more of them there are now than there were."""
    after = ", ".join(f"{pair.after} AS c{n}" for n, pair in enumerate(pairs))
    before = ", ".join(pair.before for pair in pairs)
    groups = ", ".join(f"c{n}" for n in range(len(pairs)))
    return (
        f"SELECT sum(w) AS n FROM (SELECT {after}, 1 AS w FROM {_side('after', schemas)} "  # noqa: S608
        f"UNION ALL SELECT {before}, -1 FROM {_side('before', schemas)}) GROUP BY {groups}"
    )


def _side(name: str, schemas: dict[str, Schema]) -> str:
    """Return a view with its columns named by their places."""
    return f"{name} AS {name}_({', '.join(f'{name[0]}{n}' for n in range(len(schemas[name])))})"


def _by_key(
    versions: Versions,
    views: dict[str, Version],
    schemas: dict[str, Schema],
    pairs: Sequence[_Pair],
    on: Sequence[str],
) -> tuple[int, int, int]:
    """Return how many rows were added and removed by their key, and how many of the others have changed."""
    key = [pair for pair in pairs if pair.name in on]
    for name, version in views.items():
        keys = ", ".join(getattr(pair, name) for pair in key)
        (twice,) = versions.row(
            f"SELECT count(*) FROM (SELECT 1 FROM {_side(name, schemas)} GROUP BY {keys} HAVING count(*) > 1)",  # noqa: S608
        )
        if twice:
            verb = "does" if len(on) == 1 else "do"
            times = f"{twice:,} {'value comes' if twice == 1 else 'values come'} more than once"
            raise UsageError(
                f"{', '.join(on)} {verb} not identify the rows of {version.dataset}/{version.key} {name}: {times}",
                hint="Give more columns, or leave out --on to compare rows as a whole.",
            )
    differs = " OR ".join(_differs(pair) for pair in pairs if pair.name not in on) or "false"
    added, removed, changed = versions.row(
        f"SELECT count(*) FILTER (pb IS NULL), count(*) FILTER (pa IS NULL), "  # noqa: S608
        f"count(*) FILTER (pa IS NOT NULL AND pb IS NOT NULL AND ({differs})) FROM {_joined(schemas, key)}",
    )
    return added, removed, changed


def _differs(pair: _Pair) -> str:
    return f"{pair.after} IS DISTINCT FROM {pair.before}"


def _joined(schemas: dict[str, Schema], key: Sequence[_Pair]) -> str:
    same = " AND ".join(f"{pair.after} IS NOT DISTINCT FROM {pair.before}" for pair in key)
    return (
        f"(SELECT *, 1 AS pa FROM {_side('after', schemas)}) "  # noqa: S608
        f"FULL JOIN (SELECT *, 1 AS pb FROM {_side('before', schemas)}) ON {same}"
    )


def _columns(
    versions: Versions,
    views: dict[str, Version],
    schemas: dict[str, Schema],
    pairs: Sequence[_Pair],
    on: Sequence[str],
) -> dict[str, ColumnCounts]:
    """Return what became of each column."""
    changed: dict[str, int] = {}
    if on and pairs:
        key = [pair for pair in pairs if pair.name in on]
        counts = ", ".join(f"count(*) FILTER (pa IS NOT NULL AND pb IS NOT NULL AND {_differs(p)})" for p in pairs)
        found = versions.row(f"SELECT {counts} FROM {_joined(schemas, key)}")  # noqa: S608
        changed = dict(zip((pair.name for pair in pairs), found, strict=True))
    elif pairs:
        one_by_one = ", ".join(
            f"(SELECT greatest({_surplus(1)}, {_surplus(-1)}) FROM ({_weights(schemas, [pair])}))"  # noqa: S608
            for pair in pairs
        )
        found = versions.row(f"SELECT {one_by_one}")
        changed = dict(zip((pair.name for pair in pairs), found, strict=True))
    stats = {name: dict(_stats(versions, name, views[name], schemas[name])) for name in views}
    nothing: tuple[None, None] = (None, None)
    found_columns = {}
    for name in dict.fromkeys(name for side in ("after", "before") for name in stats.get(side, ())):
        (nulls_before, sum_before), (nulls_after, sum_after) = (
            stats.get(side, {}).get(name, nothing) for side in ("before", "after")
        )
        found_columns[name] = ColumnCounts(changed.get(name), nulls_before, nulls_after, sum_before, sum_after)
    return found_columns


def _stats(
    versions: Versions, name: str, version: Version, schema: Schema
) -> Iterator[tuple[str, tuple[int, Number | None]]]:
    """Yield the nulls of each column of one side, and the sum of those that are numbers."""
    if not schema:
        return
    picked = ", ".join(
        f"count(*) - count({name[0]}{n}), {f'sum({name[0]}{n})' if _is_numeric(kind) else 'NULL'}"
        for n, (_, kind) in enumerate(schema)
    )
    row = versions.row(f"SELECT {picked} FROM {_side(name, {name: schema})}")  # noqa: S608
    for n, (column, kind) in enumerate(schema):
        nulls, total = row[2 * n : 2 * n + 2]
        if total is None and _is_numeric(kind) and nulls == _count(version):
            total = 0
        yield column, (nulls, Decimal(total) if isinstance(total, str) else total)


def _plus(a: Any, b: Any) -> Any:
    if a is None or b is None:
        return b if a is None else a
    if isinstance(a, float) != isinstance(b, float):
        # A column that was a decimal in one partition and is a float in another.
        return float(a) + float(b)
    return a + b
