"""SQL over what is published: DuckDB in memory, one view for each dataset, and nothing else in reach."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa

from headgate.errors import HeadgateError, UnavailableError, UsageError
from headgate.tables import layout

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from headgate.store.store import Store

BATCH_ROWS = 4096
SHOWN_NAMES = 20

_INTEGERS = {"tinyint", "smallint", "integer", "bigint", "utinyint", "usmallint", "uinteger", "ubigint"}
_WIDE_INTEGERS = {"hugeint", "uhugeint", "bignum"}
_PLAIN = _INTEGERS | {"boolean", "float", "double", "varchar"}
_NESTED = {"list", "array", "struct", "map", "union"}
# A double holds every decimal of so many digits.
_EXACT_DIGITS = 15
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_LISTING = {"show", "information_schema", "duckdb_views", "duckdb_tables", "duckdb_columns"}


@dataclass(frozen=True, slots=True)
class Answer:
    """The rows of a query as they come.

    Args:
        columns: Names, each once.
        rows: Values that JSON has: text, numbers, true and false, null, lists, objects. Times are text; decimals of
            more than 15 digits, too.
    """

    columns: tuple[str, ...]
    rows: Iterator[tuple[object, ...]]


def query(store: Store, data_root: Path, sql: str) -> Answer:
    """Run one reading statement over the published heads.

    Args:
        store: The state store.
        data_root: The data folder.
        sql: The statement.

    Raises:
        UsageError: It is not one reading statement, is wrong, or names what there is not.
        UnavailableError: A data file cannot be read.
    """
    _check(sql)
    connection = duckdb.connect()
    try:
        known = _prepare(connection, store, data_root, sql)
        relation = connection.sql(sql)
        columns = _unique(relation.columns)
        transports = [_transport(kind) for kind in relation.types]
        picked = ", ".join(f'{cast.format(f"#{n}")} AS "c{n}"' for n, (cast, _) in enumerate(transports, start=1))
        reader = pa.RecordBatchReader.from_stream(relation.project(picked))
    except duckdb.CatalogException as error:
        listed = ", ".join(known[:SHOWN_NAMES]) + (" ..." if len(known) > SHOWN_NAMES else "")
        hint = f"There are {listed}." if known else "Nothing is published yet: run `headgate backfill`."
        raise UsageError(str(error), hint=hint) from None
    except duckdb.Error as error:
        raise _explained(str(error)) from None
    return Answer(columns, _rows(connection, reader, [decode for _, decode in transports]))


def _check(sql: str) -> None:
    try:
        sql.encode()
        statements = duckdb.extract_statements(sql)
    except UnicodeEncodeError:
        raise UsageError("the query is not valid Unicode") from None
    except duckdb.Error as error:
        raise _explained(str(error)) from None
    if len(statements) != 1:
        what = "several statements" if statements else "no statement"
        raise UsageError(f"the query holds {what}", hint="Give one, such as: select count(*) from DATASET")
    kind = statements[0].type
    if kind not in {duckdb.StatementType.SELECT, duckdb.StatementType.MULTI}:
        raise UsageError(
            f"the query is {kind.name}: only reading is allowed", hint="Start it with select, from, with or describe."
        )


def _prepare(connection: duckdb.DuckDBPyConnection, store: Store, data_root: Path, sql: str) -> list[str]:
    """Make the views that a query can mean, and lock everything else away; return what is published."""
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute("SET python_enable_replacements = false")
    known, readable = [], []
    words = {word.casefold() for word in _WORD.findall(sql)}
    for name in store.datasets():
        is_meant = name.casefold() in words or bool(words & _LISTING)
        versions = [version for version in store.heads(name) if version.schema is not None] if is_meant else []
        versions.sort(key=lambda version: version.key)
        files = [str(layout.resolve(data_root, file.path)) for version in versions for file in version.files]
        if not is_meant or files:
            known.append(name)
        if files:
            # Looking into every file for its columns takes longer than most queries.
            differ = len({version.schema for version in versions}) > 1
            connection.read_parquet(files, union_by_name=differ, hive_partitioning=False).create_view(name)
            readable += files
    connection.execute("SET allowed_paths = ?", [readable])
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")
    return known


def _rows(
    connection: duckdb.DuckDBPyConnection, reader: pa.RecordBatchReader, decoders: list[Callable[[Any], object]]
) -> Iterator[tuple[object, ...]]:
    try:
        for batch in reader:
            columns = [map(decode, column.to_pylist()) for decode, column in zip(decoders, batch.columns, strict=True)]
            yield from zip(*columns, strict=True)
    except (duckdb.Error, pa.ArrowException, OSError) as error:
        # What DuckDB finds out while rows come is an OSError on this way.
        raise _explained(str(error)) from None
    finally:
        reader.close()
        connection.close()


def _explained(text: str) -> HeadgateError:
    if text.startswith(("IO Error", "Out of Memory", "No space")):
        return UnavailableError(text, hint="`headgate check --state` looks whether all data files are there.")
    return UsageError(text)


def _unique(names: list[str]) -> tuple[str, ...]:
    """Return names of columns, with a number added to those that came before: an object has a key once."""
    unique: dict[str, None] = {}
    for name in names:
        candidate, number = name, 1
        while candidate in unique:
            number += 1
            candidate = f"{name}_{number}"
        unique[candidate] = None
    return tuple(unique)


def _transport(kind: duckdb.sqltypes.DuckDBPyType) -> tuple[str, Callable[[Any], object]]:
    """Return how values of a type leave DuckDB, and how what arrives becomes a value that JSON has.

    Arrow's own values do not do: of times many cannot be Python objects (infinity, the year 20000, nanoseconds).
    """
    if kind.id in _PLAIN:
        return "{}", _finite if kind.id in {"float", "double"} else _same
    if kind.id in _WIDE_INTEGERS:
        return "CAST({} AS VARCHAR)", _integer
    if kind.id == "decimal":
        precision = next(value for name, value in kind.children if name == "precision")
        return (
            "CAST({} AS DOUBLE)" if isinstance(precision, int) and precision <= _EXACT_DIGITS else "CAST({} AS VARCHAR)"
        ), _same
    if kind.id in _NESTED:
        return "CAST(to_json({}) AS VARCHAR)", _nested
    return "CAST({} AS VARCHAR)", _iso if kind.id.startswith("timestamp") else _same


def _same(value: object) -> object:
    return value


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _integer(text: str | None) -> int | None:
    return None if text is None else int(text)


def _iso(text: str | None) -> str | None:
    return None if text is None else text.replace(" ", "T", 1).replace("+00", "Z", 1)


def _nested(text: str | None) -> object:
    # DuckDB writes NaN and infinities as such, which JSON does not have.
    return None if text is None else json.loads(text, parse_constant=lambda _: None)
