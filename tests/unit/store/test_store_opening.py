"""Opening the embedded store: schema and migrations, nothing where there is nothing, and errors for people."""

from __future__ import annotations

import resource
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import headgate.store
from headgate.errors import ConflictError, InternalError, UnavailableError, UsageError
from headgate.model.run import Run, RunKind, RunState
from headgate.store import named_sql, sqlite_open, sqlite_transaction
from headgate.store.lead import Lead
from headgate.store.named_sql import migrations, split, statements
from headgate.store.records import Command
from headgate.store.sqlite import open_store
from headgate.store.sqlite_open import connect, schema_number

if TYPE_CHECKING:
    from headgate.store.sqlite import SqliteStore

ROOM = Path(headgate.store.__file__).parent
LATEST = migrations()[-1][0]


def opened(folder: Path, *, create: bool = True) -> SqliteStore:
    return open_store(folder / "state.db", data_root=folder / "data", create=create)


def note(store: SqliteStore, text: str = "") -> None:
    with store.transaction() as tx:
        tx.journal("note", author="ada", run="", reason=text, body={}, now_ms=1)


def schema_of(script: str) -> dict[str, object]:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    for statement in split(script):
        connection.execute(statement)
    found: dict[str, object] = {}
    for kind, name, sql in connection.execute("SELECT type, name, sql FROM sqlite_master ORDER BY name"):
        columns = connection.execute(f"PRAGMA table_xinfo('{name}')").fetchall()
        indexes = connection.execute(f"PRAGMA index_xinfo('{name}')").fetchall()
        keys = connection.execute(f"PRAGMA foreign_key_list('{name}')").fetchall()
        # Columns that migrations add stand elsewhere in the text, so a table's text is compared by its parts.
        text = ("WITHOUT ROWID" in (sql or "")) if kind == "table" else " ".join((sql or "").split())
        found[f"{kind} {name}"] = (columns, indexes, keys, text)
    connection.close()
    return found


def test_the_migrations_make_the_schema() -> None:
    migrated = schema_of("".join(script for _, script in migrations()))
    assert migrated == schema_of((ROOM / "schema.sql").read_text())
    assert len(migrated) > 20


def test_every_statement_is_used_and_none_is_missing() -> None:
    code = "".join(file.read_text() for file in ROOM.glob("sqlite*.py"))
    assert [name for name in statements() if f'"{name}"' not in code] == []


HOT_READS = (
    "attempts_and_heads",
    "observed_heads",
    "heads_of_keys",
    "head_columns",
    "last_head_key",
    "heads",
    "checkpoints_of_partition",
    "lineage",
    "resting_on",
    "seen",
    "traced",
    "durations",
    "command_answer",
    "live",
    "held_before",
)
# The planner calls walking an index on which all that waits is a scan.
INDEXED = {"pending_commands": "SCAN command USING INDEX command_pending"}


PARAMETERS = (
    *("attempts", "dataset", "keys", "key", "limit", "checkpoint", "command", "run"),
    *("behind", "last", "more", "versions"),
)


def test_reads_of_the_hot_path_scan_no_table() -> None:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    for _, script in migrations():
        for statement in split(script):
            connection.execute(statement)
    for name in HOT_READS:
        parameters = dict.fromkeys(PARAMETERS)
        plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {statements()[name]}", parameters)]
        scans = [step for step in plan if step.startswith("SCAN") and step != "SCAN CONSTANT ROW"]
        assert [step for step in scans if "VIRTUAL TABLE" not in step] == [], name
        # In the order of an index, so that a limit ends the walk.
        assert [step for step in plan if "TEMP B-TREE" in step and name == "durations"] == []
    failed = connection.execute(
        f"EXPLAIN QUERY PLAN {statements()['failed_partitions']}", dict.fromkeys(PARAMETERS)
    ).fetchall()
    assert any("SEARCH attempt USING INDEX attempt_failure" in row[3] for row in failed)
    again = connection.execute(f"EXPLAIN QUERY PLAN {statements()['held_before']}", dict.fromkeys(PARAMETERS))
    assert any("USING INDEX attempt_failed_partition (dataset=? AND key=?" in row[3] for row in again)
    for name, step in INDEXED.items():
        assert [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {statements()[name]}")] == [step]
    connection.close()


@pytest.fixture
def next_migration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a room of SQL files with one migration more."""
    room = tmp_path / "room"
    (room / "migrations").mkdir(parents=True)
    for number, script in migrations():
        (room / "migrations" / f"{number:04}_x.sql").write_text(script)
    last = room / "migrations" / f"{number + 1:04}_y.sql"
    last.write_text("CREATE TABLE extra (a);\nINSERT INTO extra\nVALUES (';');\n")
    monkeypatch.setattr(named_sql, "_HERE", room)
    return last


@pytest.mark.parametrize("create", [True, False])
def test_an_older_schema_is_brought_up_to_date_unless_a_coordinator_is_alive(
    tmp_path: Path, next_migration: Path, monkeypatch: pytest.MonkeyPatch, *, create: bool
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(named_sql, "_HERE", ROOM)
        store = opened(tmp_path)
        note(store)
    with store.lead("run x"), pytest.raises(ConflictError) as caught:
        opened(tmp_path, create=create)
    assert f"has schema {LATEST}, this Headgate needs {LATEST + 1}" in caught.value.message
    assert "another coordinator" in caught.value.message
    assert "run x" in caught.value.message
    again = opened(tmp_path, create=create)
    assert again._connection.execute("SELECT a FROM extra").fetchall() == [(";",)]
    assert again.check() == []
    # From then on nobody needs the lead to open it.
    with again.lead("run y"):
        opened(tmp_path, create=create).close()
    again.close()
    store.close()


def test_what_the_first_schema_held_is_there_in_the_newest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = migrations()[:1]
    with monkeypatch.context() as patch:
        patch.setattr(sqlite_open, "migrations", lambda: first)
        store = opened(tmp_path)
        old = store._connection
        for n, plan in enumerate(("{}", "x" * 100_000), 1):
            old.execute(
                "INSERT INTO run VALUES (?, ?, 'backfill', 'running', '', 'ada', 'ph', ?, NULL, ?)",
                (n, f"r{n}", n, plan),
            )
        old.execute("INSERT INTO dataset VALUES (1, 'flights')")
        old.execute(
            "INSERT INTO attempt (id, run, dataset, key, number, state, path, started_ms) "
            "VALUES (1, 2, 1, 'k', 1, 'failed', '', 1)"
        )
        old.execute("INSERT INTO command VALUES (7, 5, 'r2', 'cancel', 'bob', 'why')")
        note(store)
        store.close()
    store = opened(tmp_path)
    assert schema_number(store._connection) == LATEST
    expected = Run("r2", RunKind.BACKFILL, RunState.RUNNING, "", "ada", "x" * 100_000, "ph", 2, None, "backfill", "")
    assert store.run("r2") == expected
    assert [run.id for run in store.runs()] == ["r2", "r1"]
    assert [attempt.run for attempt in store.attempts("r2")] == ["r2"]
    with store.transaction() as tx:
        assert tx.pending_commands() == [Command(7, "r2", "cancel", "bob", "why")]
        tx.settle_commands([(7, "")])
        assert tx.add_command("r2", "cancel", author="ada", reason="", now_ms=6) == 8
    assert store.command_answer(7) == ""
    assert store.check() == []
    store.close()


def test_the_plan_stands_last_so_that_runs_are_listed_without_reading_it(tmp_path: Path) -> None:
    store = opened(tmp_path)
    assert store._connection.execute("PRAGMA table_info(run)").fetchall()[-1][1] == "plan"
    store.close()


@pytest.mark.parametrize("create", [True, False])
def test_an_older_copy_with_an_older_schema_is_refused_as_it_is(
    tmp_path: Path, next_migration: Path, monkeypatch: pytest.MonkeyPatch, *, create: bool
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(named_sql, "_HERE", ROOM)
        opened(tmp_path).close()
        copy = (tmp_path / "state.db").read_bytes()
        store = opened(tmp_path)
        note(store)
        store.close()
    (tmp_path / "state.db").write_bytes(copy)
    with pytest.raises(ConflictError, match=r"replaced by an older copy.*Nothing was changed"):
        opened(tmp_path, create=create)
    connection = connect(tmp_path / "state.db", "ro")
    assert schema_number(connection) == LATEST
    connection.close()


def test_who_finds_it_brought_up_to_date_by_another_goes_on(
    tmp_path: Path, next_migration: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(named_sql, "_HERE", ROOM)
        opened(tmp_path).close()
    hold = Lead.hold

    def overtaken(lead: Lead, doing: str) -> None:
        monkeypatch.setattr(Lead, "hold", hold)
        opened(tmp_path, create=False).close()
        raise ConflictError(f"{lead.path} is held by who was faster with {doing}")

    monkeypatch.setattr(Lead, "hold", overtaken)
    store = opened(tmp_path, create=False)
    assert store._connection.execute("SELECT a FROM extra").fetchall() == [(";",)]
    store.close()


def test_an_interrupt_before_the_first_write_ends_the_transaction(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    store = opened(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(sqlite_transaction, "SqliteTransaction", interrupted)
        with pytest.raises(KeyboardInterrupt):
            note(store)
    note(store)
    assert store.journal_seq() == 1
    store.close()


def test_two_that_make_it_at_once_wait_for_each_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = connect(tmp_path / "state.db", "rwc")
    other.execute("BEGIN IMMEDIATE")
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        other.execute("ROLLBACK")

    monkeypatch.setattr(sqlite_open.time, "sleep", pause)
    store = opened(tmp_path)
    assert len(pauses) == 1
    note(store)
    store.close()
    other.close()


def test_a_migration_that_fails_changes_nothing(
    tmp_path: Path, next_migration: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(named_sql, "_HERE", ROOM)
        opened(tmp_path).close()
    next_migration.write_text("CREATE TABLE extra (a);\nINSERT INTO nowhere VALUES (1);\n")
    with pytest.raises(InternalError, match="nowhere"):
        opened(tmp_path)
    monkeypatch.setattr(named_sql, "_HERE", ROOM)
    store = opened(tmp_path)
    assert store._connection.execute("SELECT name FROM sqlite_master WHERE name = 'extra'").fetchall() == []
    store.close()


def test_a_migration_that_ends_inside_a_statement_and_a_gap_in_the_numbers_are_bugs(next_migration: Path) -> None:
    with pytest.raises(InternalError, match="ends inside a statement"):
        list(split("CREATE TABLE extra (a"))
    next_migration.rename(next_migration.with_name("0099_z.sql"))
    with pytest.raises(InternalError, match="not numbered"):
        migrations()


def test_a_newer_schema_is_refused(tmp_path: Path) -> None:
    store = opened(tmp_path)
    store._connection.execute("PRAGMA user_version = 99")
    store.close()
    for create in (True, False):
        with pytest.raises(
            ConflictError, match=f"has schema 99, this Headgate knows schemas up to {LATEST}$"
        ) as caught:
            opened(tmp_path, create=create)
        assert "newer Headgate" in caught.value.hint


def test_where_there_is_no_store_readers_see_an_empty_one_and_make_nothing(tmp_path: Path) -> None:
    store = opened(tmp_path / "new", create=False)
    assert store.runs() == store.datasets() == store.check() == []
    assert (store.next_id(), store.leader(), store.run("x")) == (1, None, None)
    with pytest.raises(UsageError, match=r"there is no state store at .*state\.db yet"), store.transaction():
        pass
    with pytest.raises(UsageError, match="there is no state store"), store.lead():
        pass
    store.close()
    assert list(tmp_path.iterdir()) == []


def test_a_reader_may_leave_a_command(tmp_path: Path) -> None:
    maker = opened(tmp_path)
    with maker.transaction() as tx:
        tx.add_run(Run("r", RunKind.BACKFILL, RunState.RUNNING, "why not", "ada", "{}", "ph", 1, None))
    maker.close()
    reader = opened(tmp_path, create=False)
    with reader.transaction() as tx:
        assert tx.add_command("r", "cancel", author="ada", reason="", now_ms=1) == 1
    reader.close()


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    (tmp_path / "state.db").write_bytes(b"hello, this is not a database at all" * 200)
    for create in (True, False):
        with pytest.raises(UnavailableError, match=r"state store .*state\.db: it is damaged or not a state store"):
            opened(tmp_path, create=create)


def test_a_folder_in_the_place_of_the_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "state.db").mkdir()
    with pytest.raises(UnavailableError, match=r"state\.db: it cannot be opened"):
        opened(tmp_path)


def test_a_file_in_the_place_of_a_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UnavailableError, match=r"file.* cannot be made"):
        open_store(tmp_path / "file" / "state.db", data_root=tmp_path / "data", create=True)
    with pytest.raises(UnavailableError, match=r"file.* cannot be made"):
        open_store(tmp_path / "state.db", data_root=tmp_path / "file" / "data", create=True)


def test_paths_with_odd_characters_work(tmp_path: Path) -> None:
    folder = tmp_path / "a b?c#d%20e\u00e9'\""
    store = opened(folder)
    note(store)
    store.close()
    assert len(list(opened_and_read(folder))) == 1
    assert (folder / "state.db").exists()


def opened_and_read(folder: Path) -> list[str]:
    store = opened(folder, create=False)
    try:
        return [entry.kind for entry in store.journal_entries()]
    finally:
        store.close()


def test_a_write_that_does_not_fit_is_absent_and_its_cause_is_named(tmp_path: Path) -> None:
    store = opened(tmp_path)
    note(store)
    (pages,) = store._connection.execute("PRAGMA page_count").fetchone()
    store._connection.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(UnavailableError, match=r"state\.db: the disk is full"):
        note(store, "x" * 1_000_000)
    store._connection.execute("PRAGMA max_page_count = 1000000")
    note(store)
    assert len(list(store.journal_entries())) == 2
    assert store.check() == []
    store.close()


COMMIT_FAILS = """
import resource, signal, sys
from pathlib import Path
from headgate.errors import UnavailableError
from headgate.store.sqlite import open_store
folder = Path(sys.argv[1])
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
store = open_store(folder / "state.db", data_root=folder / "data", create=True)
size = (folder / "state.db-wal").stat().st_size
try:
    with store.transaction() as tx:
        tx.journal("note", author="ada", run="", reason="x" * 100_000, body={}, now_ms=1)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 10_000, resource.RLIM_INFINITY))
except UnavailableError as error:
    print(error.message)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
print(len(list(store.journal_entries())), store.check())
with store.transaction() as tx:
    tx.journal("note", author="ada", run="", reason="", body={}, now_ms=1)
print(len(list(store.journal_entries())), store.check())
"""


def test_a_commit_that_fails_says_that_its_outcome_is_unknown(tmp_path: Path) -> None:
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[1] == resource.RLIM_INFINITY
    done = subprocess.run(
        [sys.executable, "-c", COMMIT_FAILS, str(tmp_path)], check=True, capture_output=True, text=True
    )
    message, *counts = done.stdout.splitlines()
    assert message.startswith(f"state store {tmp_path / 'state.db'}: ")
    assert message.endswith("whether the last changes were stored is not known")
    assert counts == ["0 []", "1 []"]


def test_a_locked_store_is_named(tmp_path: Path) -> None:
    store = opened(tmp_path)
    other = opened(tmp_path)
    other._connection.execute("PRAGMA busy_timeout = 0")
    with store.transaction(), pytest.raises(UnavailableError, match="another process has kept it locked"):
        note(other)
    note(other)
    other.close()
    store.close()


def test_the_driver_keeps_its_promises(tmp_path: Path) -> None:
    store = opened(tmp_path)
    pragmas = {"journal_mode": "wal", "synchronous": 2, "busy_timeout": 10_000, "foreign_keys": 1}
    for pragma, value in pragmas.items():
        assert store._connection.execute(f"PRAGMA {pragma}").fetchone() == (value,)
    store.close()


HEAVY = ("numpy", "polars", "pyarrow", "duckdb", "pydantic", "asyncio", "msgspec", "importlib.resources")


def test_reading_runs_imports_nothing_heavy(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from headgate.store.sqlite import open_store; f = Path(sys.argv[1]); "
        "s = open_store(f / 'state.db', data_root=f / 'data', create=False); s.runs(); s.leader(); s.close(); "
        f"print([m for m in {HEAVY} if m in sys.modules])"
    )
    opened(tmp_path).close()
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"
