"""Bytes of the state store that were changed by nobody: every command says so, and none takes it for a bug."""

from __future__ import annotations

import random
import shutil
import sqlite3
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from headgate.cli.main import main

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result

FLIPS = 8
"""Bytes that are changed of each column, one at a time."""
TOML = '[project]\nmodules = ["damaged_pipeline"]\n[policies.max_partitions]\nlimit = 100\nverdict = "deny"\n'
PIPELINE = """
import pyarrow as pa

import headgate

DAYS = headgate.daily("2024-01-01", end="2024-01-05")


@headgate.dataset(partitions=DAYS)
def orders(ctx: headgate.Context) -> pa.Table:
    return pa.table({"n": [1]})


@headgate.dataset(partitions=DAYS)
def totals(ctx: headgate.Context, orders: pa.Table) -> pa.Table:
    if ctx.key == "2024-01-03":
        raise ValueError("no good")
    return orders
"""
CONTROLS = '{"is_paused": true, "concurrency": 2, "order": "newest"}'
SAID = '[["totals", "POOL", 3, "warehouse", null, 4]]'
"""What was set of the run and said of it while it lived."""
PLAN = [("plan", "show", "latest"), ("plan", "diff", "latest", "latest"), ("backfill", "--plan", "latest")]
RUN = [("status", "latest"), ("runs", "show", "latest"), ("explain", "totals", "2024-01-03"), ("retry", "latest")]
KEPT = [
    ("run", "plan", RUN),
    ("run", "controls", [("status", "latest"), ("runs", "list"), ("retry", "latest")]),
    ("live", "body", [("status", "latest", "--why"), ("explain", "totals", "2024-01-03")]),
    ("plan", "body", PLAN),
    ("plan", "basis", PLAN),
    ("plan", "verdict", [("plan", "list"), ("approve", "latest", "--reason", "r"), *PLAN]),
    ("plan", "forecast", [("plan", "show", "latest"), *RUN]),
    ("journal", "body", [("journal",), ("runs", "show", "latest"), ("check", "--state"), ("retry", "latest")]),
    ("parameters", "body", [("lineage", "totals", "2024-01-01"), ("plan", "--all")]),
    ("version", "files", [("lineage", "totals", "2024-01-01"), ("query", "select * from totals"), ("verify",)]),
    ("schema", "body", [("query", "select * from totals"), ("history", "totals", "2024-01-01"), ("plan", "--all")]),
]


def headgate(root: Path, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["-C", str(root), *arguments])


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("damaged")
    (root / "headgate.toml").write_text(TOML)
    (root / "damaged_pipeline.py").write_text(PIPELINE)
    assert headgate(root, "backfill", "--all", "--yes", "--reason", "first").exit_code == 1
    assert headgate(root, "plan", "--all", "--reason", "again").exit_code == 0
    connection = sqlite3.connect(root / ".headgate" / "state.db")
    with connection:
        connection.execute("UPDATE run SET controls = ?", [CONTROLS])
        connection.execute("INSERT OR REPLACE INTO live SELECT id, 1, ? FROM run", [SAID])
    connection.close()
    return root


@pytest.mark.slow
@pytest.mark.parametrize(("table", "column", "commands"), KEPT, ids=[f"{table}.{column}" for table, column, _ in KEPT])
def test_no_changed_byte_is_taken_for_a_bug(
    built: Path, tmp_path: Path, table: str, column: str, commands: list[tuple[str, ...]]
) -> None:
    generator = random.Random(f"{table}.{column}")
    for flip in range(FLIPS):
        root = shutil.copytree(built, tmp_path / f"{flip}")
        changed = _change_a_byte(root / ".headgate" / "state.db", table, column, generator)
        for command in commands:
            said = headgate(root, *command)
            assert "bug in Headgate" not in said.output, (changed, command, said.output)
            assert said.exception is None or isinstance(said.exception, SystemExit), (changed, command)


def _change_a_byte(state: Path, table: str, column: str, generator: random.Random) -> str:
    """Change one byte of the column in one row; return what was there and what is there now."""
    connection = sqlite3.connect(state)
    with connection:
        rows = connection.execute(f"SELECT rowid, {column} FROM {table} WHERE {column} != ''").fetchall()
        row, text = generator.choice(rows)
        at = generator.randrange(len(text))
        now = text[:at] + chr(ord(text[at]) ^ 1 << generator.randrange(5)) + text[at + 1 :]
        connection.execute(f"UPDATE {table} SET {column} = ? WHERE rowid = ?", [now, row])
    connection.close()
    return f"{text} -> {now}"
