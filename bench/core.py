"""The scheduler's core alone, without any I/O: a million tasks wait while attempts end and others start."""

from __future__ import annotations

from pathlib import Path
from resource import getpagesize
from time import perf_counter

import numpy as np

from bench.measure import Figure, Figures
from headgate.core.edges import SameEdge
from headgate.core.effects import StartAttempt
from headgate.core.events import AttemptSucceeded, Lane, RunSubmitted, SlotsOffered, Stage
from headgate.core.scheduler import Scheduler

TASKS = 1_000_000
COMPLETIONS = 200_000
SLOTS, DEPTH = 8, 8
TURN = 32
"""Completions between two offers of an executor, as in a turn of the live driver."""


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * getpagesize()


def stages() -> list[Stage]:
    """Return two datasets, of which the second reads the first partition by partition, one window after another."""
    n = TASKS // 2
    order = np.arange(n, dtype=np.int64) * 2
    states, none = np.zeros(n, np.uint8), np.zeros(n, bool)
    return [
        Stage("first", Lane.PROCESS, (), order + 1, states, none, none),
        Stage("second", Lane.PROCESS, (SameEdge(0),), order, states, none, none),
    ]


def run() -> Figures:
    submitted = stages()
    before = _resident_bytes()
    scheduler = Scheduler()
    scheduler.handle(RunSubmitted("run", submitted, owner="bench"), 0)
    held = _resident_bytes() - before
    return {
        "completions_per_s": Figure(
            COMPLETIONS / _completions_s(scheduler), "with a million tasks", "at least 100,000"
        ),
        "bytes_per_waiting_task": Figure(held / TASKS, "resident memory of the scheduler by task", "below 100"),
    }


def _completions_s(scheduler: Scheduler) -> float:
    capacity = SLOTS * DEPTH
    started = perf_counter()
    ended = 0
    running = _starts(scheduler, capacity)
    while ended < COMPLETIONS:
        turn, running = running[:TURN], running[TURN:]
        now_ms = ended // 100
        for task in turn:
            scheduler.handle(AttemptSucceeded("run", task, changed=True), now_ms)
        ended += len(turn)
        running += _starts(scheduler, capacity - len(running))
    return perf_counter() - started


def _starts(scheduler: Scheduler, free: int) -> list[int]:
    step = scheduler.handle(SlotsOffered(Lane.PROCESS, free, SLOTS, DEPTH), 0)
    scheduler.handle(SlotsOffered(Lane.PROCESS, 0, SLOTS, DEPTH), 0)
    return [effect.task for effect in step.effects if isinstance(effect, StartAttempt)]
