"""365 days x 3 chained no-ops: durable tasks beside a bare process pool that remembers nothing."""

from __future__ import annotations

from concurrent.futures import Future, ProcessPoolExecutor
from threading import Event
from time import perf_counter

from bench.headgate_side import backfill_s
from bench.measure import Figure, Figures, by_turns

DAYS = 365
CHAIN = 3
TASKS = DAYS * CHAIN


def noop() -> None:
    pass


def pool_s() -> float:
    """Return the seconds that a warm pool of two takes, each callback submitting the next of its chain."""
    left = TASKS
    finished = Event()

    def submit(position: int) -> None:
        pool.submit(noop).add_done_callback(lambda future: done(future, position))

    def done(future: Future[None], position: int) -> None:
        nonlocal left
        future.result()
        left -= 1
        if position + 1 < CHAIN:
            submit(position + 1)
        elif left == 0:
            finished.set()

    with ProcessPoolExecutor(2) as pool:
        list(pool.map(abs, range(100)))
        started = perf_counter()
        for _ in range(DAYS):
            submit(0)
        finished.wait()
        return perf_counter() - started


def run() -> Figures:
    headgate, pool = by_turns(7, lambda: backfill_s("noop", "third"), pool_s)
    return {
        "tasks_per_s": Figure(TASKS / headgate, "durable tasks of Headgate, two workers"),
        "pool_tasks_per_s": Figure(TASKS / pool, "the same no-ops in ProcessPoolExecutor(2) with callbacks"),
        "ratio": Figure(pool / headgate, "the first by the second", "at least 1"),
    }
