"""Taking back a run of 5,000 partitions in the state store: worked out, moved, held, journaled, committed."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING

from bench.measure import Figure, Figures
from headgate.model.rollback import Aim
from headgate.model.run import Attempt, AttemptState, Run, RunKind, RunState
from headgate.model.version import File
from headgate.store.records import Candidate
from headgate.store.sqlite import open_store

if TYPE_CHECKING:
    from collections.abc import Iterator

    from headgate.store.store import Store

PARTITIONS = 5_000
RUNS = 4
"""So many times each partition of both datasets was built."""
REPETITIONS = 5


def run() -> Figures:
    with tempfile.TemporaryDirectory() as folder:
        filled = Path(folder) / "filled"
        with _opened(filled) as store:
            _fill(store)
        alone = [_back_s(filled, downstream=False) for _ in range(REPETITIONS)]
        both = [_back_s(filled, downstream=True) for _ in range(REPETITIONS)]
    what = f"a run of {PARTITIONS:,} partitions"
    return {
        "ms": Figure(median(done for done, _ in alone) * 1e3, f"{what}, taken back in one transaction", "below 100"),
        "shown_ms": Figure(median(seen for _, seen in alone) * 1e3, "to say before what that would move"),
        "downstream_ms": Figure(median(done for done, _ in both) * 1e3, f"the same with {PARTITIONS:,} dependants"),
    }


@contextmanager
def _opened(folder: Path) -> Iterator[Store]:
    store = open_store(folder / "state.db", data_root=folder / "data", create=True)
    try:
        yield store
    finally:
        store.close()


def _back_s(filled: Path, *, downstream: bool) -> tuple[float, float]:
    """Return the seconds that a rollback takes, and those to say what it would do, in a copy of a store."""
    aim = Aim(run=f"first-{RUNS - 1}", downstream=downstream)
    rollback = Run("back", RunKind.ROLLBACK, RunState.SUCCEEDED, "benchmark", "bench", "", "", 1, 1)
    with tempfile.TemporaryDirectory() as copy:
        shutil.copytree(filled, copy, dirs_exist_ok=True)
        with _opened(Path(copy)) as store:
            started = perf_counter()
            shown = store.take_back(aim)
            between = perf_counter()
            with store.transaction() as tx:
                tx.add_run(rollback)
                tx.roll_back(rollback, aim, shown)
            ended = perf_counter()
    if len(shown.moves) != PARTITIONS * (1 + downstream):
        raise SystemExit(f"{len(shown.moves)} heads were moved")
    return ended - between, between - started


def _fill(store: Store) -> None:
    number = 0
    for turn in range(RUNS):
        read: list[int] = []
        for dataset in ("first", "second"):
            first = number + 1
            number += PARTITIONS
            _publish(store, f"{dataset}-{turn}", dataset, range(first, number + 1), read)
            read = list(range(first, number + 1))


def _publish(store: Store, run: str, dataset: str, numbers: range, read: list[int]) -> None:
    attempts = [
        Attempt(number, run, dataset, f"{n:05}", 1, AttemptState.RUNNING, f"{dataset}/{run}/{n:05}.parquet", None, 1)
        for n, number in enumerate(numbers)
    ]
    with store.transaction() as tx:
        tx.add_run(Run(run, RunKind.BACKFILL, RunState.RUNNING, "benchmark", "bench", "{}", "", 1, None))
        tx.start_attempts(attempts)
        tx.publish([_candidate(one, read, n) for n, one in enumerate(attempts)], author="bench", now_ms=2)
        tx.set_run_state(run, RunState.SUCCEEDED, author="bench", reason="", now_ms=3)


def _candidate(attempt: Attempt, read: list[int], n: int) -> Candidate:
    """Return what an attempt made; it has read seven partitions, as a trailing week does."""
    inputs = tuple(read[max(0, n - 6) : n + 1])
    files = (File(attempt.path, 1_000, 50_000, f"sha256:{attempt.id:064x}"),)
    schema = (("day", "date"), ("n", "int64"))
    made = (f"h@1:1000:{attempt.id}", schema, "code", None, inputs, 0, None, None, 1)
    return Candidate(attempt.id, attempt.run, attempt.dataset, attempt.key, files, 1_000, 50_000, *made)
