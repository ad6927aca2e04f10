"""Puts a partition into a table of PostgreSQL: all of it or nothing, once, whatever crashes in between.

One transaction of that database locks the partition's row in a ledger beside the table, copies the rows into a
temporary table, deletes what the partition had in the table, inserts the new rows and writes the attempt into the
ledger. Whoever was overtaken finds a larger attempt there and changes nothing; whoever lost the connection while it
committed asks the ledger what became of it.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any, cast
from zoneinfo import ZoneInfo

from headgate.crashpoints import crash_point
from headgate.errors import UsageError
from headgate.model.names import shown
from headgate.model.run import ErrorClass
from headgate.worker.failures import AttemptError, text_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    import psycopg
    from psycopg.sql import Composable

    from headgate.project.context import Context

LEDGER = "headgate_ledger"
CONNECT_TIMEOUT_S = 30

_TABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_$]{0,62}(\.[A-Za-z_][A-Za-z0-9_$]{0,62})?")
_STAGE = "headgate_stage"


@dataclass(frozen=True, slots=True)
class _Target:
    """A table of the user's.

    Args:
        schema: Its schema.
        name: Its name in there.
        columns: Its columns and their types, but for generated ones.
    """

    schema: str
    name: str
    columns: Mapping[str, str]

    def identifier(self) -> Composable:
        """Return its name as SQL."""
        from psycopg.sql import Identifier

        return Identifier(self.schema, self.name)

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}"


def load_postgres(
    ctx: Context,
    data: object,
    *,
    table: str,
    dsn_env: str,
    time_column: str | None = None,
    where: Mapping[str, object] | None = None,
) -> None:
    """Replace the rows of a partition in a table of PostgreSQL, in one transaction with a row in a ledger.

    To be called at the end of a dataset's function, which then returns nothing. Other partitions of the table are
    not touched; readers see the old rows or the new ones. The ledger is the table `headgate_ledger` in the schema of
    the table, made when it is first needed.

    Args:
        ctx: The attempt's context: its partitions, its window and its number, which fences older attempts.
        data: The rows: a table of Polars, Arrow, DuckDB or pandas, or an iterator of tables of one schema. Columns
            go by name.
        table: An existing table, as ``name`` or ``schema.name``; without a schema, that of the search path.
        dsn_env: Environment variable with the connection, such as ``postgresql://...``; for the workers, so that it
            is in no file.
        time_column: Column of type date, timestamp or timestamptz that says to which window a row belongs. Dates and
            times without a zone are in the zone of the dataset.
        where: Columns that have one value in the whole partition, such as ``{"origin": ctx.static_key}``; ``{}`` says
            that every row of the table belongs to it.

    Raises:
        UsageError: An argument cannot be, the table is not there, or has not these columns.
        AttemptError: A row does not belong to the partition (data); the database refused the rows (data) or cannot be
            reached (transient); a newer attempt has loaded this partition (permanent).
    """
    psycopg = _psycopg()
    dsn = _dsn(dsn_env)
    _check_arguments(ctx, table, time_column, where)
    is_committing = False
    try:
        with _connected(psycopg, dsn) as connection:
            target = _target(connection, table)
            _make_ledger(connection, target.schema)
            with connection.cursor() as cursor:
                if not _lock_ledger(cursor, target, ctx):
                    return
                belongs = _belongs(target, ctx, time_column, where or {})
                rows = _replace(cursor, target, data, belongs, ctx)
                _write_ledger(cursor, target, ctx, rows)
            is_committing = True
            crash_point("worker.before_load")
            connection.commit()
            crash_point("worker.after_load")
    except psycopg.Error as error:
        if is_committing and isinstance(error, psycopg.OperationalError) and _has_landed(psycopg, dsn, table, ctx):
            return
        raise _explained(psycopg, error, table) from None


def _psycopg() -> Any:
    try:
        import psycopg
    except ImportError:
        raise UsageError(
            "load_postgres needs psycopg, which is not installed", hint='Install it: pip install "headgate[postgres]".'
        ) from None
    return psycopg


def _dsn(variable: str) -> str:
    if not isinstance(variable, str) or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", variable):
        # Not shown: whoever puts the connection here instead of a name puts a password here.
        raise UsageError("load_postgres: dsn_env must be the name of an environment variable", hint='Such as "PG_DSN".')
    dsn = os.environ.get(variable, "")
    if not dsn:
        raise UsageError(
            f"load_postgres: the environment variable {variable} is not set",
            hint=f"Set it where headgate runs: export {variable}=postgresql://user@host/database",
        )
    return dsn


def _check_arguments(ctx: Context, table: object, time_column: object, where: object) -> None:
    if not isinstance(table, str) or not _TABLE.fullmatch(table):
        raise UsageError(f"load_postgres: {shown(str(table))} is no name of a table", hint='Such as "public.flights".')
    if time_column is not None and not isinstance(time_column, str):
        raise UsageError(f"load_postgres: time_column must be text, got {type(time_column).__name__}")
    if where is not None and (not isinstance(where, dict) or not all(isinstance(name, str) for name in where)):
        raise UsageError("load_postgres: where must be a dict of column names and values")
    if time_column is not None and ctx.window is None:
        raise UsageError(f"load_postgres: {ctx.dataset} has no windows, so that time_column says nothing")
    if ctx.window is not None and time_column is None:
        raise UsageError(
            f"load_postgres: nothing says which rows of {table} belong to the window of {ctx.dataset}",
            hint='Give it time_column="...", a column of type date, timestamp or timestamptz.',
        )
    if where is None and (ctx.window is None or "/" in ctx.key):
        raise UsageError(
            f"load_postgres: nothing says which rows of {table} belong to {shown(ctx.key)}",
            hint='Give it where={"column": ctx.static_key}, or where={} if all of them do.',
        )


def _connected(driver: Any, dsn: str) -> psycopg.Connection[Any]:
    try:
        opened = driver.connect(dsn, connect_timeout=CONNECT_TIMEOUT_S, application_name="headgate")
    except driver.ProgrammingError:
        # What it says quotes the text, and a password may be in that.
        raise UsageError(
            "load_postgres: what dsn_env names is no connection of PostgreSQL",
            hint="It looks like postgresql://user:password@host:5432/database",
        ) from None
    return cast("psycopg.Connection[Any]", opened)


def _target(connection: psycopg.Connection[Any], table: str) -> _Target:
    """Look a table up.

    Raises:
        UsageError: It is not there.
    """
    quoted = ".".join(f'"{part}"' for part in table.split("."))
    rows = connection.execute(
        "SELECT n.nspname, c.relname, a.attname, t.typname"
        " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''"
        " JOIN pg_type t ON t.oid = a.atttypid"
        " WHERE c.oid = to_regclass(%s) AND c.relkind IN ('r', 'p')",
        (quoted,),
    ).fetchall()
    if not rows:
        raise UsageError(f"load_postgres: there is no table {table} in this database", hint="Create it first.")
    return _Target(rows[0][0], rows[0][1], {name: kind for _, _, name, kind in rows})


def _make_ledger(connection: psycopg.Connection[Any], schema: str) -> None:
    """Make the ledger, in a transaction of its own. Idempotent."""
    from psycopg.sql import SQL, Identifier

    found = connection.execute(
        "SELECT 1 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE n.nspname = %s AND c.relname = %s",
        (schema, LEDGER),
    ).fetchone()
    if found is None:
        # Of several that make it at a time, all but one would fail in spite of IF NOT EXISTS.
        connection.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", (f"{schema}.{LEDGER}",))
        connection.execute(
            SQL(
                "CREATE TABLE IF NOT EXISTS {} (target text, dataset text, key text, attempt bigint NOT NULL,"
                " run text NOT NULL, rows bigint NOT NULL, loaded_at timestamptz,"
                " PRIMARY KEY (target, dataset, key))"
            ).format(Identifier(schema, LEDGER))
        )
    connection.commit()


def _lock_ledger(cursor: psycopg.Cursor[Any], target: _Target, ctx: Context) -> bool:
    """Lock the partitions' rows of the ledger until the end of the transaction.

    Returns:
        Whether there is something to do: not if this very attempt has loaded them already.

    Raises:
        AttemptError: A newer attempt has loaded one of them.
    """
    from psycopg.sql import SQL, Identifier

    ledger = Identifier(target.schema, LEDGER)
    loaded = []
    for key in sorted(ctx.keys):
        of = {"target": target.name, "dataset": ctx.dataset, "key": key}
        cursor.execute(
            SQL(
                "INSERT INTO {} (target, dataset, key, attempt, run, rows)"
                " VALUES (%(target)s, %(dataset)s, %(key)s, 0, '', 0) ON CONFLICT DO NOTHING"
            ).format(ledger),
            of,
        )
        cursor.execute(
            SQL(
                "SELECT attempt FROM {}"
                " WHERE target = %(target)s AND dataset = %(dataset)s AND key = %(key)s FOR UPDATE"
            ).format(ledger),
            of,
        )
        (attempt,) = cast("tuple[int]", cursor.fetchone())
        if attempt > ctx.attempt:
            raise AttemptError(
                ErrorClass.PERMANENT,
                f"attempt {attempt}, which is newer than {ctx.attempt}, has loaded {ctx.dataset} {key} into {target}",
                hint=f"If the state store was made anew, delete that row of {target.schema}.{LEDGER} first.",
            )
        loaded.append(attempt == ctx.attempt)
    return not all(loaded)


def _belongs(target: _Target, ctx: Context, time_column: str | None, where: Mapping[str, object]) -> Composable:
    """Return the condition that says which rows belong to the partition.

    Raises:
        UsageError: A column is not there or has no type for it, or the window cannot be said in it.
    """
    from psycopg.sql import SQL, Identifier, Literal

    conditions: list[Composable] = []
    for name in [*([time_column] if time_column else []), *where]:
        if name not in target.columns:
            raise UsageError(
                f"load_postgres: {target} has no column {shown(name)}", hint=f"It has {', '.join(target.columns)}."
            )
    if time_column is not None:
        assert ctx.start is not None
        assert ctx.end is not None
        kind = target.columns[time_column]
        start, end = (_as_kind(kind, moment, ctx.zone) for moment in (ctx.start, ctx.end))
        if start is None or end is None:
            raise UsageError(
                f"load_postgres: column {time_column} of {target} has the type {kind}",
                hint="A time_column has the type date, timestamp or timestamptz.",
            )
        if start == end:
            raise UsageError(
                f"load_postgres: the window of {ctx.key} begins and ends with {start} in column {time_column} ({kind})",
                hint="Use a column of type timestamptz: it tells all windows apart.",
            )
        column = Identifier(time_column)
        conditions.append(
            SQL("({column} >= {start} AND {column} < {end})").format(
                column=column, start=Literal(start), end=Literal(end)
            )
        )
    conditions += [SQL("{} = {}").format(Identifier(name), Literal(value)) for name, value in where.items()]
    return SQL(" AND ").join(conditions) if conditions else SQL("true")


def _as_kind(kind: str, moment: datetime, zone: str) -> date | datetime | None:
    local = moment.astimezone(ZoneInfo(zone))
    match kind:
        case "date":
            return local.date()
        case "timestamp":
            return local.replace(tzinfo=None)
        case "timestamptz":
            return moment.astimezone(UTC)
        case _:
            return None


def _replace(cursor: psycopg.Cursor[Any], target: _Target, data: object, belongs: Composable, ctx: Context) -> int:
    """Put the rows into the place of those that the partition had; return how many there are.

    Raises:
        AttemptError: One of them does not belong to it.
    """
    from psycopg.sql import SQL, Identifier

    from headgate.worker.copy_text import copy_text
    from headgate.worker.results import open_result

    schema, batches = open_result(data, ctx.dataset)
    unknown = [name for name in schema.names if name not in target.columns]
    if unknown:
        raise UsageError(
            f"load_postgres: {target} has no column {shown(unknown[0])}", hint=f"It has {', '.join(target.columns)}."
        )
    stage, columns = Identifier("pg_temp", _STAGE), SQL(", ").join(Identifier(name) for name in schema.names)
    cursor.execute(
        SQL("CREATE TEMPORARY TABLE {} ON COMMIT DROP AS SELECT {} FROM {} WITH NO DATA").format(
            Identifier(_STAGE), columns, target.identifier()
        )
    )
    with cursor.copy(SQL("COPY {} ({}) FROM STDIN (FORMAT csv)").format(stage, columns)) as copy:
        for text in copy_text(schema, batches):
            copy.write(text)
    cursor.execute(SQL("SELECT count(*), count(*) FILTER (WHERE {}) FROM {}").format(belongs, stage))
    rows, inside = cast("tuple[int, int]", cursor.fetchone())
    if inside < rows:
        raise AttemptError(
            ErrorClass.DATA,
            f"{rows - inside} of {rows} rows do not belong to {ctx.dataset} {ctx.key}, so they were not loaded",
            hint="Rows outside of the partition would be there twice once theirs is loaded: filter them out.",
        )
    cursor.execute(SQL("DELETE FROM {} WHERE {}").format(target.identifier(), belongs))
    cursor.execute(SQL("INSERT INTO {} ({}) SELECT {} FROM {}").format(target.identifier(), columns, columns, stage))
    return rows


def _write_ledger(cursor: psycopg.Cursor[Any], target: _Target, ctx: Context, rows: int) -> None:
    from psycopg.sql import SQL, Identifier

    cursor.execute(
        SQL(
            "UPDATE {} SET attempt = %s, run = %s, rows = %s, loaded_at = now()"
            " WHERE target = %s AND dataset = %s AND key = ANY(%s)"
        ).format(Identifier(target.schema, LEDGER)),
        (ctx.attempt, ctx.run, rows, target.name, ctx.dataset, list(ctx.keys)),
    )


def _has_landed(psycopg: Any, dsn: str, table: str, ctx: Context) -> bool:
    """Return whether the ledger has this attempt: the connection broke while it committed."""
    try:
        with _connected(psycopg, dsn) as connection, connection.cursor() as cursor:
            return not _lock_ledger(cursor, _target(connection, table), ctx)
    except psycopg.Error:
        # The next attempt replaces the rows again, which changes nothing.
        return False


def _explained(psycopg: Any, error: psycopg.Error, table: str) -> AttemptError:
    """Return an error of the database as the failure of an attempt. What it says has no password in it."""
    diagnosis = error.diag.message_primary
    text = f"PostgreSQL refused {table}: {diagnosis}" if diagnosis else f"PostgreSQL: {text_of(error)}"
    match error:
        case psycopg.errors.DiskFull() | psycopg.errors.OutOfMemory():
            return AttemptError(ErrorClass.RESOURCE, text, hint="Look at the disk and memory of the database.")
        case psycopg.DataError() | psycopg.IntegrityError():
            return AttemptError(ErrorClass.DATA, text, hint="Compare the columns and types of the rows and the table.")
        case psycopg.OperationalError() | psycopg.InterfaceError():
            return AttemptError(ErrorClass.TRANSIENT, text, hint="Look whether the database is up and reachable.")
        case _:
            return AttemptError(ErrorClass.PERMANENT, text)
