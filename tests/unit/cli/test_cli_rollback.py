"""What a rollback says before it moves anything."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from headgate.cli.main import main
from headgate.drivers.rollback import done_elsewhere
from headgate.model.rollback import Aim
from headgate.model.run import Attempt, AttemptState, Run, RunKind, RunState
from headgate.model.version import File
from headgate.store.records import Candidate, Published
from headgate.store.sqlite import open_store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SCHEMA = (("n", "int64"),)
CODE = """
import headgate as hg

@hg.dataset
def sales(): ...

@hg.dataset
def sales_in_a_warehouse(sales) -> None: ...
"""


@pytest.fixture(autouse=True)
def import_path() -> Iterator[None]:
    before = sys.path.copy()
    yield
    sys.path[:] = before
    sys.modules.pop("loaded_elsewhere", None)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A project whose run has published a table and loaded it elsewhere, on top of an earlier run."""
    (tmp_path / "headgate.toml").write_text('[project]\nmodules = ["loaded_elsewhere"]\n')
    (tmp_path / "loaded_elsewhere.py").write_text(CODE)
    store = open_store(tmp_path / ".headgate" / "state.db", data_root=tmp_path / "data", create=True)
    for run, first in (("r1", 1), ("r2", 11)):
        with store.transaction() as tx:
            tx.add_run(Run(run, RunKind.BACKFILL, RunState.RUNNING, "", "ada", '{"datasets": []}', run, first, None))
        for number, name in enumerate(("sales", "sales_in_a_warehouse"), start=first):
            path = f"{name}/{number}.parquet"
            file = File(path, 1, 10, f"sha256:{number:064x}")
            (head,) = list(store.heads(name)) or [None]
            files, schema = ((file,), SCHEMA) if name == "sales" else ((), None)
            attempt = Attempt(
                number, run, name, "all", 1, AttemptState.RUNNING, path, head.id if head else None, number
            )
            made = Candidate(
                number, run, name, "all", files, 1, 10, str(number), schema, "c", None, (), 0, None, None, number
            )
            with store.transaction() as tx:
                tx.start_attempts([attempt])
                assert tx.publish([made], author="ada", now_ms=number) == [Published.NEW]
        with store.transaction() as tx:
            tx.set_run_state(run, RunState.SUCCEEDED, author="ada", reason="", now_ms=first + 5)
    store.close()
    return tmp_path


def test_what_was_done_elsewhere_is_named_since_it_stays(root: Path) -> None:
    told = CliRunner().invoke(main, ["-C", str(root), "rollback", "r2", "--reason", "bad"])
    assert told.exit_code == 2, told.output
    lines = told.stdout.splitlines()
    assert lines[1:3] == ["  sales                1 partition: all", "  sales_in_a_warehouse 1 partition: all"]
    assert [line.split()[0] for line in lines] == [
        "goes",
        "sales",
        "sales_in_a_warehouse",
        "was",
        "sales_in_a_warehouse",
    ]
    assert lines[3] == "was done elsewhere, too, where it stays until it is built again:"
    done = CliRunner().invoke(main, ["-C", str(root), "rollback", "r2", "--reason", "bad", "--yes", "--json"])
    assert done.exit_code == 0, done.output
    moved = json.loads(done.stdout)["moved"]
    assert [(group["dataset"], group["count"]) for group in moved["elsewhere"]] == [("sales_in_a_warehouse", 1)]


def test_only_what_was_made_without_a_table_was_done_elsewhere(tmp_path: Path) -> None:
    store = open_store(tmp_path / "state.db", data_root=tmp_path / "data", create=True)
    with store.transaction() as tx:
        tx.add_run(Run("r1", RunKind.BACKFILL, RunState.RUNNING, "", "ada", "{}", "", 1, None))
    made = []
    # A function may return a table for one partition and None for another.
    for number, schema in ((1, SCHEMA), (2, None), (3, SCHEMA)):
        path = f"sales/{number}.parquet"
        attempt = Attempt(number, "r1", "sales", f"k{number}", 1, AttemptState.RUNNING, path, None, 2)
        files = (File(path, 1, 10, f"sha256:{number:064x}"),) if schema else ()
        values = (files, 1, 10, str(number), schema, "c", None, (), 0, None, None, 2)
        made.append(Candidate(number, "r1", "sales", f"k{number}", *values))
        with store.transaction() as tx:
            tx.start_attempts([attempt])
    with store.transaction() as tx:
        tx.publish(made, author="ada", now_ms=3)
        tx.set_run_state("r1", RunState.SUCCEEDED, author="ada", reason="", now_ms=4)
    moves = store.take_back(Aim(run="r1")).moves
    assert [move.key for move in moves] == ["k1", "k2", "k3"]
    assert [move.key for move in done_elsewhere(store, moves)] == ["k2"]
    store.close()


def test_a_version_that_was_only_confirmed_stays_and_history_says_so(root: Path) -> None:
    store = open_store(root / ".headgate" / "state.db", data_root=root / "data", create=False)
    (head,) = store.heads("sales")
    with store.transaction() as tx:
        tx.add_run(Run("r3", RunKind.BACKFILL, RunState.RUNNING, "", "ada", '{"datasets": []}', "r3", 21, None))
        path = "sales/21.parquet"
        tx.start_attempts([Attempt(21, "r3", "sales", "all", 1, AttemptState.RUNNING, path, head.id, 21)])
        file = File(path, 1, 10, f"sha256:{21:064x}")
        again = (head.content, SCHEMA, "c", None, (), 0, None, None, 21)
        made = Candidate(21, "r3", "sales", "all", (file,), 1, 10, *again)
        assert tx.publish([made], author="ada", now_ms=21) == [Published.UNCHANGED]
        tx.set_run_state("r3", RunState.SUCCEEDED, author="ada", reason="", now_ms=22)
    store.close()
    done = CliRunner().invoke(main, ["-C", str(root), "rollback", "r3", "--reason", "bad", "--yes"])
    assert done.exit_code == 0, done.output
    told = CliRunner().invoke(main, ["-C", str(root), "history", "sales"])
    assert f"all  version {head.id} stays, with the inputs it had before  by " in told.stdout
