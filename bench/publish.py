"""Publishing 5,000 partitions in groups of 100 in the state store, and mirroring them as a Delta table group by group.

Beside it, what table formats offer: one Delta commit for each partition, for as many as there is patience for.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from deltalake import DeltaTable, write_deltalake

from bench.measure import Figure, Figures
from headgate.drivers.mirror import Mirrors
from headgate.model.run import Attempt, AttemptState, Run, RunKind, RunState
from headgate.model.version import File
from headgate.store.records import Candidate, Published
from headgate.store.sqlite import open_store
from headgate.tables.staging import stage

if TYPE_CHECKING:
    from headgate.store.store import Store
    from headgate.tables.staging import StagedTable

PARTITIONS = 5_000
GROUP = 100
ROWS = 200
REPETITIONS = 5
ALONE = 200
"""Partitions of the reference."""


def run() -> Figures:
    with tempfile.TemporaryDirectory() as folder:
        published_s = median(_published_s(Path(folder) / str(turn)) for turn in range(REPETITIONS))
        grown_s, replaced_s, early_s = _mirrored_s(Path(folder) / "mirrored")
        alone_s = _alone_s(Path(folder) / "alone")
    groups = f"a group of {GROUP} into a table of up to {PARTITIONS:,} files: heads, footers, log"
    return {
        "partitions_per_s": Figure(
            PARTITIONS / published_s, f"{PARTITIONS:,} partitions in groups of {GROUP}, durable", "at least 20,000"
        ),
        "mirror_commit_ms": Figure(median(grown_s) * 1e3, f"{groups}; median", "below 150"),
        "mirror_commit_max_ms": Figure(max(grown_s) * 1e3, "the slowest of these"),
        "mirror_replace_ms": Figure(
            median(replaced_s) * 1e3, f"{GROUP} of {PARTITIONS:,} files for others; median", "below 150"
        ),
        "mirror_nothing_ms": Figure(median(early_s) * 1e3, "when no head has moved"),
        "mirror_partitions_per_s": Figure(GROUP / median(grown_s), "partitions by such groups"),
        "alone_partitions_per_s": Figure(ALONE / alone_s, f"one Delta commit each, the first {ALONE} partitions"),
    }


def _published_s(folder: Path) -> float:
    """Return the seconds that the state store takes to publish all partitions."""
    store = open_store(folder / "state.db", data_root=folder / "data", create=True)
    try:
        groups = [_attempts("r", first) for first in range(0, PARTITIONS, GROUP)]
        with store.transaction() as tx:
            tx.add_run(_run("r"))
            for attempts in groups:
                tx.start_attempts(attempts)
        staged = File("", 1_000, 50_000, f"sha256:{0:064}")
        candidates = [[_candidate(attempt, staged, (), "h@1:1") for attempt in attempts] for attempts in groups]
        started = perf_counter()
        for group in candidates:
            _publish(store, group)
        return perf_counter() - started
    finally:
        store.close()


def _mirrored_s(folder: Path) -> tuple[list[float], list[float], list[float]]:
    """Return the seconds that a mirror takes for each group: a table that grows, one that changes, and no change."""
    store = open_store(folder / "state.db", data_root=folder / "data", create=True)
    try:
        mirrors = Mirrors(folder / "data", ["d"], store)
        taken: tuple[list[float], list[float], list[float]] = ([], [], [])
        for turn, run in enumerate(("first", "second")):
            with store.transaction() as tx:
                tx.add_run(_run(run))
            (folder / "data" / "d" / run).mkdir(parents=True)
            for first in range(0, PARTITIONS if turn == 0 else 20 * GROUP, GROUP):
                attempts = _attempts(run, first, offset=turn * PARTITIONS)
                with store.transaction() as tx:
                    tx.start_attempts(attempts)
                staged = [(one, _staged(folder / "data" / one.path, one.id)) for one in attempts]
                _publish(store, [_candidate(one, _file(made), made.schema, made.content) for one, made in staged])
                taken[turn].append(_follow_s(mirrors))
                with store.transaction() as tx:
                    tx.journal("bench", author="bench", run="", reason="", body={}, now_ms=1)
                taken[2].append(_follow_s(mirrors))
        table = DeltaTable(str(folder / "data" / "d"))
        if table.count() != PARTITIONS * ROWS:
            raise SystemExit(f"the mirror has {table.count()} rows")
        return taken
    finally:
        store.close()


def _follow_s(mirrors: Mirrors) -> float:
    started = perf_counter()
    if errors := mirrors.follow():
        raise SystemExit(str(errors))
    return perf_counter() - started


def _alone_s(folder: Path) -> float:
    folder.mkdir()
    tables = [_table(number) for number in range(ALONE)]
    started = perf_counter()
    for table in tables:
        write_deltalake(str(folder), table, mode="append")
    return perf_counter() - started


def _publish(store: Store, candidates: list[Candidate]) -> None:
    with store.transaction() as tx:
        verdicts = tx.publish(candidates, author="bench", now_ms=2)
    if set(verdicts) != {Published.NEW}:
        raise SystemExit(f"not all were published: {set(verdicts)}")


def _run(run: str) -> Run:
    return Run(run, RunKind.BACKFILL, RunState.RUNNING, "benchmark", "bench", "{}", "", 1, None)


def _attempts(run: str, first: int, offset: int = 0) -> list[Attempt]:
    return [
        Attempt(
            *(offset + n + 1, run, "d", f"{n:05}", 1, AttemptState.RUNNING),
            *(f"d/{run}/{n:05}-a{offset + n + 1:04}.parquet", n + 1 if offset else None, 1),
        )
        for n in range(first, first + GROUP)
    ]


def _candidate(attempt: Attempt, staged: File, schema: tuple[tuple[str, str], ...], content: str) -> Candidate:
    files = (File(attempt.path, staged.rows, staged.bytes, staged.hash),)
    made = (f"{content}:{attempt.id}", schema, "code", None, (), 0, None, None, 1)
    return Candidate(attempt.id, attempt.run, "d", attempt.key, files, staged.rows, staged.bytes, *made)


def _file(made: StagedTable) -> File:
    return File("", made.rows, made.bytes, made.hash)


def _staged(path: Path, number: int) -> StagedTable:
    table = _table(number)
    return stage(path, table.schema, table.to_batches())


def _table(number: int) -> pa.Table:
    n = np.arange(number * ROWS, (number + 1) * ROWS)
    return pa.table(
        {
            "id": n,
            "value": n * 0.5,
            "quantity": (n % 100).astype(np.int32),
            "name": [f"n{one % 50}" for one in n],
            "at": pa.array(n * 1_000_000, pa.timestamp("us")),
            "day": [f"{number:05}"] * ROWS,
        }
    )
