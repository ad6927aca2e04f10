"""Gates in SQL: DuckDB in memory, with the rows, the inputs that a gate names, and nothing else in reach.

Small tables are handed over as they are in memory, to one locked connection for the whole process: opening one takes
longer than most gates. Large ones are read from their files, by a connection that may read these files only.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import duckdb

from headgate.model.gate import inputs_of
from headgate.tables.opened import duckdb_select
from headgate.worker.frames import arrow, is_small, pieces
from headgate.worker.gates.examined import Finding, Unfit, all_rows, of_rows

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from headgate.model.gate import Sql
    from headgate.worker.gates.examined import Examined
    from headgate.worker.inputs import InputFiles

THIS = "this"
_SHOWN = 3

_lock = threading.Lock()
_shared: list[duckdb.DuckDBPyConnection] = []


def sql(gate: Sql, examined: Examined) -> Finding:
    """Run the expression over the rows, or the query.

    Raises:
        Unfit: It is not one reading statement.
    """
    query = gate.text
    if not gate.is_query:
        # On a line of its own: the expression may end with a comment.
        query = f"SELECT count(*) FROM {THIS} WHERE NOT (\n{gate.text}\n)"  # noqa: S608 (a project's own SQL, locked in)
    statements = duckdb.extract_statements(query)
    if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
        raise Unfit("it must be one expression, or one query that reads")
    with _connected(_tables(gate, examined)) as connection:
        if not gate.is_query:
            (wrong,) = connection.execute(query).fetchall()[0]
            if not wrong:
                return Finding(True, all_rows(examined.count))
            return Finding(False, f"{of_rows(wrong, examined.count)} do not satisfy it")
        relation = connection.execute(query)
        columns = [column[0] for column in relation.description or ()]
        found = relation.fetchmany(_SHOWN + 1)
        relation.fetchall()
    if not found:
        return Finding(True, "no rows")
    rows = "; ".join(_row(columns, values) for values in found[:_SHOWN])
    return Finding(False, f"it returns rows: {rows}{'; ...' if len(found) > _SHOWN else ''}")


def _row(columns: list[str], values: tuple[object, ...]) -> str:
    from headgate.worker.gates.values import shown

    return ", ".join(f"{name}={shown(value)}" for name, value in zip(columns, values, strict=True))


def _tables(gate: Sql, examined: Examined) -> dict[str, InputFiles]:
    """Return what the gate may name."""
    inputs = examined.inputs or {}
    tables = {name: inputs[name] for name in inputs_of(gate, tuple(inputs))}
    return tables | {THIS: examined.rows, examined.context.dataset: examined.rows}


@contextmanager
def _connected(tables: Mapping[str, InputFiles]) -> Iterator[duckdb.DuckDBPyConnection]:
    if all(is_small(files) or files.format != "parquet" for files in tables.values()):
        connection = _cursor()
        try:
            for name, files in tables.items():
                connection.register(name, arrow(files))
            yield connection
        finally:
            connection.close()
        return
    connection = _new()
    try:
        allowed: set[str] = set()
        for name, files in tables.items():
            if files.format == "parquet":
                allowed.update(files.paths)
                connection.sql(duckdb_select(pieces(files), union_by_name=True)).create_view(name)
            else:
                connection.register(name, arrow(files))
        connection.execute("SET allowed_paths = ?", [sorted(allowed)])
        _lock_away(connection)
        yield connection
    finally:
        connection.close()


def _cursor() -> duckdb.DuckDBPyConnection:
    with _lock:
        if not _shared:
            _shared.append(_new())
            _lock_away(_shared[0])
        return _shared[0].cursor()


def _new() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect(config={"python_enable_replacements": False})
    connection.execute("SET TimeZone = 'UTC'")
    return connection


def _lock_away(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")
