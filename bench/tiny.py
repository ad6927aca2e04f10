"""5,000 partitions of 1,000 rows: staged, audited and published, beside two processes that only write and fsync."""

from __future__ import annotations

import multiprocessing
import os
import tempfile
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

from bench.headgate_side import backfill_s
from bench.measure import Figure, Figures, by_turns

if TYPE_CHECKING:
    from multiprocessing.synchronize import Barrier

PARTITIONS = 5_000
PROCESSES = 2


def write_all(start: Barrier, folder: str, keys: list[str]) -> None:
    """Write and fsync one file for each key, with the rows that the project's dataset makes."""
    from bench.projects.tiny.pipeline import rows

    start.wait()
    for key in keys:
        path = f"{folder}/{key}.parquet"
        rows(key).write_parquet(path, compression="zstd")
        descriptor = os.open(path, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)


def plain_s() -> float:
    """Return the seconds that two warm processes take."""
    from bench.projects.tiny.pipeline import keys

    context = multiprocessing.get_context("spawn")
    start = context.Barrier(PROCESSES + 1)
    days = keys(PARTITIONS)
    with tempfile.TemporaryDirectory() as folder:
        processes = [
            context.Process(target=write_all, args=(start, folder, days[number::PROCESSES]))
            for number in range(PROCESSES)
        ]
        for process in processes:
            process.start()
        start.wait()
        started = perf_counter()
        for process in processes:
            process.join()
        elapsed = perf_counter() - started
        if sum(1 for _ in Path(folder).iterdir()) != PARTITIONS:
            raise SystemExit("the plain side did not write every file")
    return elapsed


def run() -> Figures:
    headgate, plain = by_turns(3, lambda: backfill_s("tiny", "tiny"), plain_s)
    return {
        "partitions_per_s": Figure(PARTITIONS / headgate, "partitions of 1,000 rows published, two workers"),
        "ratio_to_plain": Figure(
            plain / headgate, "by those of two processes that write and fsync the same rows", "at least 0.7"
        ),
    }
