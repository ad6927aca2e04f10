"""SQL over what is published: DuckDB in memory, one view for each dataset, and nothing else in reach."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa

from headgate.errors import HeadgateError, UnavailableError, UsageError
from headgate.tables import layout
from headgate.tables.opened import Piece, duckdb_select
from headgate.tables.verify import verify_file, verify_for_reading
from headgate.views.table import not_published, visible

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from headgate.model.version import File, Version
    from headgate.store.store import Store

BATCH_ROWS = 4096

_INTEGERS = {"tinyint", "smallint", "integer", "bigint", "utinyint", "usmallint", "uinteger", "ubigint"}
_WIDE_INTEGERS = {"hugeint", "uhugeint", "bignum"}
_PLAIN = _INTEGERS | {"boolean", "float", "double", "varchar"}
_NESTED = {"list", "array", "struct", "map", "union"}
# A double holds every decimal of so many digits.
_EXACT_DIGITS = 15
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_NO_TABLE = re.compile(r"Catalog Error: Table with name (.+) does not exist!")
_CHECK = "Run `headgate check --state`: it reads every data file."
_LISTING = {"show", "information_schema", "duckdb_views", "duckdb_tables", "duckdb_columns"}


# How DuckDB begins when the file may be to blame; some of what it finds in Parquet has no such beginning at all.
_OF_FILES = ("IO Error", "Invalid Input Error", "Invalid Error")


@dataclass(frozen=True, slots=True)
class _Used:
    """A data file that a query can read, and the partition that it belongs to."""

    partition: str
    path: Path
    file: File


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


def query(store: Store, data_root: Path, sql: str, *, until_ms: int | None = None) -> Answer:
    """Run one reading statement over what is published.

    Args:
        store: The state store.
        data_root: The data folder.
        sql: The statement.
        until_ms: Over what readers saw at this time; None for now.

    Raises:
        UsageError: It is not one reading statement, is wrong, or names what there is not.
        UnavailableError: A data file is missing, damaged or cannot be read.
    """

    def prepare(connection: duckdb.DuckDBPyConnection, used: list[_Used]) -> None:
        words = {word.casefold() for word in _WORD.findall(sql)}
        with store.snapshot():
            # Of several datasets: what moves together is seen together.
            named = [name for name in store.datasets() if name.casefold() in words or words & _LISTING]
            seen = [(name, visible(store, name, until_ms)) for name in named]
        for name, versions in seen:
            _show(connection, name, versions, data_root, used)
        _lock(connection, used)

    return _answer(sql, prepare, lambda text: _missing(text, store))


def query_versions(views: Mapping[str, Version], data_root: Path, sql: str) -> Answer:
    """Run one reading statement over some versions, whether they are published or not.

    Args:
        views: They, by the names that the statement calls them.
        data_root: The data folder.
        sql: The statement.

    Raises:
        UsageError: It is not one reading statement, is wrong, or names what there is not.
        UnavailableError: A data file is missing, damaged or cannot be read.
    """

    def prepare(connection: duckdb.DuckDBPyConnection, used: list[_Used]) -> None:
        for name, version in views.items():
            _show(connection, name, [version], data_root, used)
        _lock(connection, used)

    def missing(text: str) -> UsageError:
        found = _NO_TABLE.match(text)
        return UsageError(f"there is no {found[1]} here" if found else text, hint=f"There is {' and '.join(views)}.")

    return _answer(sql, prepare, missing)


class Versions:
    """Answers statements of ours over some versions and then over others, in one connection: opening one takes longest.

    Args:
        data_root: The data folder.
    """

    def __init__(self, data_root: Path) -> None:
        self._data_root = data_root
        self._connection = _connect()
        self._used: list[_Used] = []

    def show(self, views: Mapping[str, Version]) -> None:
        """Let statements mean versions by the names that are given, from now on.

        Raises:
            UnavailableError: A data file is missing or damaged.
        """
        self._used = []
        try:
            for name, version in views.items():
                _show(self._connection, name, [version], self._data_root, self._used)
        except duckdb.Error as error:
            raise _explained(str(error), self._used) from None

    def row(self, sql: str) -> tuple[Any, ...]:
        """Return the one row of a statement, which no text of a user's has got into.

        Raises:
            UnavailableError: A data file cannot be read.
        """
        try:
            (row,) = _of(self._connection.sql(sql), self._used).rows
        except duckdb.Error as error:
            raise _explained(str(error), self._used) from None
        return row

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


def _answer(
    sql: str,
    prepare: Callable[[duckdb.DuckDBPyConnection, list[_Used]], None],
    missing: Callable[[str], UsageError],
) -> Answer:
    """Run a statement.

    Args:
        sql: The statement.
        prepare: Makes the views that it can mean, and locks everything else away; adds the files that it can read.
        missing: Returns the error for a name that DuckDB does not know, from DuckDB's own.
    """
    _check(sql)
    used: list[_Used] = []
    connection = _connect()
    try:
        prepare(connection, used)
        relation = connection.sql(sql)
    except duckdb.CatalogException as error:
        raise missing(str(error)) from None
    except duckdb.Error as error:
        raise _explained(str(error), used) from None
    answer = _of(relation, used)
    return Answer(answer.columns, _closing(connection, answer.rows))


def _connect() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute("SET python_enable_replacements = false")
    return connection


def _of(relation: duckdb.DuckDBPyRelation, used: Sequence[_Used]) -> Answer:
    """Return what a statement gives."""
    columns = _unique(relation.columns)
    transports = [_transport(kind) for kind in relation.types]
    picked = ", ".join(f'{cast.format(f"#{n}")} AS "c{n}"' for n, (cast, _) in enumerate(transports, start=1))
    try:
        reader = pa.RecordBatchReader.from_stream(relation.project(picked))
    except duckdb.Error as error:
        raise _failed(error, used) from None
    return Answer(columns, _rows(reader, [decode for _, decode in transports], used))


def _closing(connection: duckdb.DuckDBPyConnection, rows: Iterator[tuple[object, ...]]) -> Iterator[tuple[object, ...]]:
    try:
        yield from rows
    finally:
        connection.close()


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


def _show(
    connection: duckdb.DuckDBPyConnection, name: str, versions: Sequence[Version], data_root: Path, used: list[_Used]
) -> None:
    """Make a view of versions, of those that have files of ours; add these."""
    readable = sorted(filter(_is_readable, versions), key=lambda version: version.key)
    files = [
        _Used(f"{version.dataset}/{version.key}", layout.resolve(data_root, file.path), file)
        for version in readable
        for file in version.files
    ]
    used += files
    if files:
        for item in {item.path: item for item in files}.values():
            _require(item)
        # Looking into every file for its columns takes longer than most queries.
        differ = len({version.schema for version in readable}) > 1
        pieces = (Piece(str(item.path), item.file.row_group) for item in files)
        connection.sql(duckdb_select(pieces, union_by_name=differ)).create_view(name)


def _lock(connection: duckdb.DuckDBPyConnection, used: Sequence[_Used]) -> None:
    """Put everything out of reach but some files."""
    connection.execute("SET allowed_paths = ?", [[str(item.path) for item in used]])
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")


def _require(item: _Used) -> None:
    """Raise if a file is not what was published, as far as its size or, if it is small, its hash say."""
    for problem in verify_for_reading(item.path, item.file):
        raise _damaged(item, problem)


def _damaged(item: _Used, what: str) -> UnavailableError:
    return UnavailableError(f"the data of {item.partition} is damaged: {what}", hint=_CHECK)


def _rows(
    reader: pa.RecordBatchReader, decoders: list[Callable[[Any], object]], used: Sequence[_Used]
) -> Iterator[tuple[object, ...]]:
    try:
        for batch in reader:
            columns = [map(decode, column.to_pylist()) for decode, column in zip(decoders, batch.columns, strict=True)]
            yield from zip(*columns, strict=True)
    except (duckdb.Error, pa.ArrowException, OSError) as error:
        # What DuckDB finds out while rows come is an OSError on this way.
        raise _failed(error, used) from None
    finally:
        reader.close()


def _is_readable(version: Version) -> bool:
    """Return whether a version has files of ours: those of sources have no schema, effects elsewhere no files."""
    return version.schema is not None and bool(version.files)


def _missing(text: str, store: Store) -> UsageError:
    """Return the error for a name that DuckDB does not know; for tables its own guesses are of no use."""
    found = _NO_TABLE.match(text)
    if found is None:
        return UsageError(text)
    same = store.spelling(found[1])
    heads = list(islice(store.heads(same), 1)) if same else []
    if same and heads and not heads[0].files:
        return UsageError(f"{same} has no files to query: what it does lies elsewhere")
    published = [name for name in store.datasets() if any(map(_is_readable, islice(store.heads(name), 1)))]
    return not_published(store, same or found[1], published)


def _failed(error: Exception, used: Sequence[_Used]) -> HeadgateError:
    """Return the error for a query that failed on its way; the rest of the text speaks of SQL around the user's."""
    return _explained(str(error).partition("\n")[0], used)


def _explained(text: str, used: Sequence[_Used] = ()) -> HeadgateError:
    if text.startswith(_OF_FILES) or " Error: " not in text:
        for item in used:
            # A query that fails so may also be wrong by itself: the hash decides.
            for what in verify_file(item.path, item.file, content=""):
                return _damaged(item, what)
    if text.startswith(("IO Error", "Out of Memory", "No space")):
        return UnavailableError(text, hint=_CHECK)
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
