from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import threading
from contextlib import suppress
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import psycopg
import pyarrow as pa
import pytest
from postgres_server import Server, binaries

from headgate import Context, HeadgateError, UsageError, load_postgres
from headgate.model.run import ErrorClass
from headgate.worker.failures import AttemptError

if TYPE_CHECKING:
    from collections.abc import Iterator

PROGRAMS = binaries()
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(PROGRAMS is None, reason="no PostgreSQL server is installed"),
]
DAY_MS = 86_400_000
NEW_YEAR_MS = 1_704_067_200_000


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    assert PROGRAMS is not None
    server = Server(PROGRAMS)
    yield server
    server.close()


@pytest.fixture
def database(server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[psycopg.Connection[Any]]:
    monkeypatch.setenv("TARGET", server.dsn())
    with psycopg.connect(server.dsn(), autocommit=True) as connection:
        connection.execute("DROP SCHEMA IF EXISTS public CASCADE; CREATE SCHEMA public")
        connection.execute("CREATE TABLE sales (day date, shop text, amount bigint)")
        yield connection


def of_day(n: int, attempt: int, **more: Any) -> Context:
    start = NEW_YEAR_MS + (n - 1) * DAY_MS
    return Context("sales_pg", f"2024-01-{n:02d}", (start, start + DAY_MS), attempt, **more)


def sales(n: int, *amounts: int) -> pa.Table:
    return pa.table({"amount": list(amounts), "day": [date(2024, 1, n)] * len(amounts), "shop": ["s"] * len(amounts)})


def load(context: Context, data: object, **more: Any) -> None:
    load_postgres(context, data, **{"table": "sales", "dsn_env": "TARGET", "time_column": "day", **more})


def amounts(database: psycopg.Connection[Any]) -> list[tuple[int, int]]:
    return database.execute("SELECT extract(day FROM day)::int, amount FROM sales ORDER BY 1, 2").fetchall()


def ledger(database: psycopg.Connection[Any]) -> list[tuple[str, int, int]]:
    return database.execute("SELECT key, attempt, rows FROM headgate_ledger ORDER BY key").fetchall()


def test_a_partition_is_replaced_and_others_are_not(database: psycopg.Connection[Any]) -> None:
    load(of_day(1, 10), sales(1, 1, 2, 3))
    load(of_day(2, 11), sales(2, 7))
    load(of_day(1, 12), sales(1, 5))
    assert amounts(database) == [(1, 5), (2, 7)]
    assert ledger(database) == [("2024-01-01", 12, 1), ("2024-01-02", 11, 1)]
    load(of_day(2, 13), sales(2))
    assert amounts(database) == [(1, 5)]


def test_an_overtaken_attempt_changes_nothing(database: psycopg.Connection[Any]) -> None:
    load(of_day(1, 20), sales(1, 2))
    with pytest.raises(
        AttemptError, match="attempt 20, which is newer than 19, has loaded sales_pg 2024-01-01"
    ) as told:
        load(of_day(1, 19), sales(1, 1))
    assert told.value.error_class is ErrorClass.PERMANENT
    assert amounts(database) == [(1, 2)]


def test_the_same_attempt_loads_once(database: psycopg.Connection[Any]) -> None:
    load(of_day(1, 20), sales(1, 2))
    load(of_day(1, 20), sales(1, 3))
    assert amounts(database) == [(1, 2)]


def test_rows_of_another_partition_are_refused(database: psycopg.Connection[Any]) -> None:
    load(of_day(1, 1), sales(1, 2))
    strays = pa.concat_tables(
        [sales(1, 3), sales(2, 4), pa.table({"amount": [1], "day": [None], "shop": ["s"]})],
        promote_options="permissive",
    )
    with pytest.raises(AttemptError, match="2 of 3 rows do not belong to sales_pg 2024-01-01") as told:
        load(of_day(1, 2), strays)
    assert told.value.error_class is ErrorClass.DATA
    assert amounts(database) == [(1, 2)]
    assert ledger(database) == [("2024-01-01", 1, 1)]


def test_an_error_in_the_middle_changes_nothing(database: psycopg.Connection[Any]) -> None:
    load(of_day(1, 1), sales(1, 2))

    def broken() -> Iterator[pa.Table]:
        yield sales(1, 3)
        assert amounts(database) == [(1, 2)]
        raise ValueError("no more")

    with pytest.raises(ValueError, match="no more"):
        load(of_day(1, 2), broken())
    assert amounts(database) == [(1, 2)]
    assert ledger(database) == [("2024-01-01", 1, 1)]


def test_windows_and_statics(database: psycopg.Connection[Any]) -> None:
    for attempt, shop in enumerate(("east", "west"), 1):
        context = Context("by_shop", f"2024-01-01/{shop}", (NEW_YEAR_MS, NEW_YEAR_MS + DAY_MS), attempt)
        rows = pa.table({"day": [date(2024, 1, 1)], "shop": [shop], "amount": [attempt]})
        with pytest.raises(UsageError, match="which rows of sales belong"):
            load(context, rows)
        load(context, rows, where={"shop": context.static_key})
    assert amounts(database) == [(1, 1), (1, 2)]


def test_the_whole_table(database: psycopg.Connection[Any]) -> None:
    context = Context("everything", "all", None, 1)
    with pytest.raises(UsageError, match="nothing says which rows of sales belong to 'all'"):
        load(context, sales(1, 1), time_column=None)
    load(context, sales(1, 1), time_column=None, where={})
    load(Context("everything", "all", None, 2), sales(2, 9), time_column=None, where={})
    assert amounts(database) == [(2, 9)]


def test_dates_are_local_and_instants_are_not(database: psycopg.Connection[Any]) -> None:
    database.execute("CREATE TABLE seen (local date, at timestamp, instant timestamptz)")
    start = datetime(2024, 1, 1, 5, tzinfo=UTC)
    window = (int(start.timestamp() * 1000), int(start.timestamp() * 1000) + DAY_MS)
    last = datetime(2024, 1, 2, 4, 59, 59, tzinfo=UTC)
    rows = pa.table({"local": [date(2024, 1, 1)], "at": [datetime(2024, 1, 1, 23, 59, 59)], "instant": [last]})
    for n, column in enumerate(rows.column_names, 1):
        context = Context("seen", "2024-01-01", window, n, zone="America/New_York")
        load(context, rows, table="public.seen", time_column=column)
    assert database.execute("SELECT count(*), max(instant) FROM seen").fetchone() == (1, last)


def test_a_window_that_a_column_cannot_say(database: psycopg.Connection[Any]) -> None:
    hour = Context("hourly", "2024-01-01T05:00Z", (NEW_YEAR_MS, NEW_YEAR_MS + 3_600_000), 1)
    with pytest.raises(UsageError, match="begins and ends with 2024-01-01 in column day") as told:
        load(hour, sales(1, 1))
    assert "timestamptz" in told.value.hint


def test_values_arrive_as_they_are(database: psycopg.Connection[Any]) -> None:
    database.execute(
        "CREATE TABLE odd (t text, f float8, n numeric(12, 3), b boolean, at timestamptz, big bigint,"
        " twice bigint GENERATED ALWAYS AS (big * 2) STORED)"
    )
    at = datetime(2024, 1, 1, 0, 0, 0, 123456, tzinfo=UTC)
    values = {
        "t": ["", None, 'a "quoted", one\nand \\N a second line', "\\.", "ünï"],
        "f": [1.5, None, float("inf"), -0.0, 1e-300],
        "n": [Decimal("123456789.125"), None, Decimal("0.001"), Decimal("-1.000"), Decimal("0.000")],
        "b": [True, None, False, True, False],
        "at": [at, None, at, at, at],
        "big": [2**61, None, -(2**61), 0, 1],
    }
    load(Context("odd", "all", None, 1), pa.table(values), table="odd", time_column=None, where={})
    found = database.execute("SELECT t, f, n, b, at, big FROM odd").fetchall()
    assert sorted(found, key=repr) == sorted(zip(*values.values(), strict=True), key=repr)


@pytest.mark.parametrize("kind", [pl.String, pl.Categorical, pl.Enum(["s", "t"])])
def test_texts_of_polars(database: psycopg.Connection[Any], kind: Any) -> None:
    rows = pl.DataFrame({"day": [date(2024, 1, 1)] * 2, "shop": pl.Series(["s", None], dtype=kind), "amount": [1, 2]})
    load(of_day(1, 1), rows)
    assert database.execute("SELECT shop, amount FROM sales ORDER BY amount").fetchall() == [("s", 1), (None, 2)]


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"table": "nowhere"}, "there is no table nowhere"),
        ({"table": 'x"; drop table sales; --'}, "is no name of a table"),
        ({"dsn_env": "postgresql://me:secret@host/db"}, "must be the name of an environment variable"),
        ({"dsn_env": "NOT_SET"}, "the environment variable NOT_SET is not set"),
        ({"dsn_env": "BROKEN"}, "is no connection of PostgreSQL"),
        ({"time_column": "amount"}, "column amount of public.sales has the type int8"),
        ({"time_column": "year"}, "public.sales has no column 'year'"),
        ({"time_column": None}, "nothing says which rows of sales belong to the window"),
        ({"where": {"city": "x"}}, "public.sales has no column 'city'"),
        ({"where": ["city"]}, "where must be a dict"),
    ],
)
def test_what_cannot_be(
    database: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch, change: dict[str, Any], text: str
) -> None:
    monkeypatch.setenv("BROKEN", "postgresql//me:secret@host")
    with pytest.raises(UsageError, match=text) as told:
        load(of_day(1, 1), sales(1, 1), **change)
    assert "secret" not in told.value.message + told.value.hint
    assert amounts(database) == []


@pytest.mark.parametrize(
    ("rows", "kind", "text"),
    [
        (pa.table({"nope": [1]}), None, "public.sales has no column 'nope'"),
        (pa.table({"amount": ["many"], "day": [date(2024, 1, 1)]}), ErrorClass.DATA, "invalid input syntax"),
        (pa.table({"shop": [[1, 2]], "day": [date(2024, 1, 1)]}), None, "cannot be sent"),
    ],
)
def test_rows_that_do_not_fit(
    database: psycopg.Connection[Any], rows: pa.Table, kind: ErrorClass | None, text: str
) -> None:
    with pytest.raises(HeadgateError, match=text) as told:
        load(of_day(1, 1), rows)
    assert getattr(told.value, "error_class", None) is kind


def test_a_server_that_is_down_is_a_passing_failure(
    database: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TARGET", f"postgresql://headgate:secret@/postgres?host={tmp_path}")
    with pytest.raises(AttemptError) as told:
        load(of_day(1, 1), sales(1, 1))
    assert told.value.error_class is ErrorClass.TRANSIENT
    assert "secret" not in told.value.message


class Cut:
    """Stands between a client and the server, and ends the connection once a commit has gone through."""

    def __init__(self, server: Server, folder: Path) -> None:
        self.commits = 0
        self._server = server
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(folder / ".s.PGSQL.5432"))
        self._listener.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.socket(socket.AF_UNIX)
            server.connect(str(self._server.socket))
            threading.Thread(target=self._answers, args=(server, client), daemon=True).start()
            threading.Thread(target=self._questions, args=(client, server), daemon=True).start()

    def _questions(self, client: socket.socket, server: socket.socket) -> None:
        while data := client.recv(65536):
            if b"COMMIT\0" in data:
                self.commits += 1
                if self.commits == 2:  # The first one is that of the ledger.
                    # The answer to it never reaches the client.
                    client.shutdown(socket.SHUT_RDWR)
            server.sendall(data)
        server.shutdown(socket.SHUT_WR)

    @staticmethod
    def _answers(server: socket.socket, client: socket.socket) -> None:
        with server, client, suppress(OSError):
            while data := server.recv(65536):
                client.sendall(data)

    def close(self) -> None:
        self._listener.close()


def test_a_commit_whose_answer_is_lost_is_looked_up(
    server: Server, database: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(tempfile.mkdtemp(dir="/tmp"))
    cut = Cut(server, folder)
    monkeypatch.setenv("TARGET", server.dsn(str(folder)))
    load(of_day(1, 5), sales(1, 4))
    assert cut.commits >= 2
    assert amounts(database) == [(1, 4)]
    cut.close()


PIPELINE = """
import polars as pl

import headgate

DAYS = headgate.daily("2024-01-01", "2024-01-07")


@headgate.dataset(partitions=DAYS)
def sales(ctx):
    return pl.DataFrame({"day": [ctx.start.date()] * 50, "shop": ["s"] * 50, "amount": list(range(50))})


@headgate.dataset(partitions=DAYS)
def sales_pg(sales: pl.DataFrame, ctx) -> None:
    headgate.load_postgres(ctx, sales, table="sales", dsn_env="TARGET", time_column="day")
"""


def backfill(root: Path, crash_at: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "headgate", "-C", str(root), "backfill", "--yes", "--reason", "x"],
        env={**os.environ, "HEADGATE_CRASH_AT": crash_at},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        text=True,
        timeout=120,
    )


@pytest.mark.parametrize("point", ["worker.before_load:1", "worker.after_load:1", "worker.after_load:2"])
def test_a_kill_around_the_commit_neither_doubles_nor_drops_rows(
    database: psycopg.Connection[Any], tmp_path: Path, point: str
) -> None:
    (tmp_path / "headgate.toml").write_text(
        '[project]\nname = "load"\nmodules = ["load_pipeline"]\n[breaker]\nfailures = 1000000\n'
    )
    (tmp_path / "load_pipeline.py").write_text(PIPELINE)
    done = threading.Event()
    seen: set[tuple[int, int]] = set()

    def read() -> None:
        with psycopg.connect(os.environ["TARGET"], autocommit=True) as reader:
            while not done.is_set():
                seen.update(reader.execute("SELECT count(*), sum(amount) FROM sales GROUP BY day").fetchall())

    watching = threading.Thread(target=read)
    watching.start()
    try:
        killed = backfill(tmp_path, crash_at=point)
        assert killed.returncode == 1 or not point.endswith(":1"), "nobody was killed"
        again = backfill(tmp_path)
        assert again.returncode == 0, again.stdout + again.stderr
    finally:
        done.set()
        watching.join()
    assert seen <= {(50, sum(range(50)))}
    assert database.execute("SELECT count(*), sum(amount), count(DISTINCT day) FROM sales").fetchone() == (
        300,
        6 * sum(range(50)),
        6,
    )
    assert len(ledger(database)) == 6
