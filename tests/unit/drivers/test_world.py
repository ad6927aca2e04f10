"""What planning sees while somebody else moves heads: all of it before the move, or all of it after it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from headgate.drivers.world import look
from headgate.model.run import Attempt, AttemptState, Run, RunKind, RunState
from headgate.model.version import File
from headgate.project.load import load
from headgate.store.records import Candidate
from headgate.store.sqlite import open_store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from headgate.store.sqlite import SqliteStore

PIPELINE = """
import pyarrow as pa
import headgate

DAYS = headgate.daily("2024-01-01", "2024-01-02")

@headgate.dataset(partitions=DAYS)
def first(ctx: headgate.Context) -> pa.Table:
    return pa.table({"n": [1]})

@headgate.dataset(partitions=DAYS)
def second(ctx: headgate.Context) -> pa.Table:
    return pa.table({"n": [1]})
"""
NAMES = ("first", "second")
KEY = "2024-01-01"
NOW_MS = 1_800_000_000_000


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "two_pipeline.py").write_text(PIPELINE)
    (tmp_path / "headgate.toml").write_text('[project]\nmodules = ["two_pipeline"]\n')
    yield tmp_path
    sys.modules.pop("two_pipeline", None)


def opened(root: Path) -> SqliteStore:
    return open_store(root / ".headgate" / "state.db", data_root=root / "data", create=True)


def move_both(store: SqliteStore) -> None:
    """Make both datasets anew, in one transaction as a rollback or a staged run does."""
    first, run = store.next_id(), f"r{store.next_id()}"
    heads = [next(store.heads(name, [KEY]), None) for name in NAMES]
    attempts = [
        Attempt(first + n, run, name, KEY, 1, AttemptState.RUNNING, f"{name}/{first + n}", head and head.id, 1)
        for n, (name, head) in enumerate(zip(NAMES, heads, strict=True))
    ]
    with store.transaction() as tx:
        tx.add_run(Run(run, RunKind.BACKFILL, RunState.RUNNING, "why", "ada", "{}", run, 1, None))
        tx.start_attempts(attempts)
        made = [
            Candidate(
                attempt=one.id, run=run, dataset=one.dataset, key=KEY, files=(File(one.path, 1, 1, f"h{one.id}"),),
                rows=1, bytes=1, content=f"h@1:1:{one.id}", schema=(("n", "int64"),), code="c", declared_version=None,
                inputs=(), inputs_digest=0, watermark_ms=None, offsets=None, started_ms=1,
            )
            for one in attempts
        ]  # fmt: skip
        tx.publish(made, author="ada", now_ms=2)


def test_heads_that_move_together_during_a_look_are_seen_together(root: Path) -> None:
    project, reading, writing = load(root), opened(root), opened(root)
    move_both(writing)
    seq, moves = writing.journal_seq(), []

    def interfere(statement: str) -> None:
        # When the first dataset has been read, and the second not yet.
        if "'second'" in statement and not moves:
            moves.append(statement)
            move_both(writing)

    reading._connection.set_trace_callback(interfere)
    world = look(project, reading, NOW_MS)
    assert moves
    assert [world.snapshot.heads[name].version.tolist() for name in NAMES] == [[1], [2]]
    assert world.journal_seq == seq
    again = look(project, reading, NOW_MS)
    assert [again.snapshot.heads[name].version.tolist() for name in NAMES] == [[3], [4]]
    reading.close()
    writing.close()
