"""`headgate verify` beside reading the same files and hashing them, one after another, in the same run."""

from __future__ import annotations

import hashlib
import os
import tempfile
from functools import partial
from pathlib import Path
from time import perf_counter

from bench.measure import Figure, Figures, by_turns
from headgate.model.run import Attempt, AttemptState, Run, RunKind, RunState
from headgate.model.version import File
from headgate.store.records import Candidate
from headgate.store.sqlite import open_store
from headgate.tables.layout import stage_path
from headgate.views.verification import verify

SMALL, SMALL_BYTES = 5_000, 34_000
LARGE, LARGE_BYTES = 50, 8_000_000
AT_A_TIME = 500
RUN = "20240101-000000-aaaaaa"


def _publish(folder: Path, name: str, count: int, size: int) -> None:
    """Publish partitions of a dataset, each with a file of random bytes: hashing does not look into them."""
    data = folder / "data"
    store = open_store(folder / "state.db", data_root=data, create=True)
    (data / name / RUN).mkdir(parents=True)
    first = store.next_id()
    block = os.urandom(size)
    with store.transaction() as tx:
        tx.add_run(Run(f"{RUN}{name}", RunKind.BACKFILL, RunState.RUNNING, "bench", "bench", "{}", name, 1, None))
    for start in range(0, count, AT_A_TIME):
        candidates, attempts = [], []
        for n in range(start, min(start + AT_A_TIME, count)):
            key, number = f"{n:06}", first + n
            path = stage_path(name, RUN, key, number)
            content = number.to_bytes(8, "big") + block[8:]
            (data / path).write_bytes(content)
            file = File(path, 1, size, "sha256:" + hashlib.sha256(content).hexdigest())
            run = f"{RUN}{name}"
            attempts.append(Attempt(number, run, name, key, 1, AttemptState.RUNNING, path, None, 1))
            made = ("", None, (), 0, None, None, 1)
            candidates.append(
                Candidate(number, run, name, key, (file,), 1, size, f"x@1:1:{n}", (("n", "int64"),), *made)
            )
        with store.transaction() as tx:
            tx.start_attempts(attempts)
        with store.transaction() as tx:
            tx.publish(candidates, author="bench", now_ms=2)
    store.close()


def _verify_s(folder: Path, name: str) -> float:
    began = perf_counter()
    store = open_store(folder / "state.db", data_root=folder / "data", create=False)
    found = verify(
        store, folder / "data", [name], all_versions=False, with_content=False, told=lambda _files, _bytes: None
    )
    store.close()
    assert found.ok
    return perf_counter() - began


def _plain_s(folder: Path, name: str) -> float:
    began = perf_counter()
    for path in (folder / "data" / name).rglob("*.parquet"):
        with path.open("rb") as file:
            hashlib.file_digest(file, "sha256").hexdigest()
    return perf_counter() - began


def run() -> Figures:
    figures: Figures = {}
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        for name, count, size in (("small", SMALL, SMALL_BYTES), ("large", LARGE, LARGE_BYTES)):
            _publish(folder, name, count, size)
            ours, plain = by_turns(5, partial(_verify_s, folder, name), partial(_plain_s, folder, name))
            label = "ratio_to_plain" if name == "small" else "ratio_to_plain_large"
            what = f"speed of verify by that of reading and hashing {count:,} files of {size:,} bytes"
            figures[label] = Figure(plain / ours, what, "at least 0.5")
    return figures
