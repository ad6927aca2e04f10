"""Any number of runs over the same partitions, through anything: never two attempts of one, and everything ends."""

from __future__ import annotations

from random import Random

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from headgate.core.edges import RangeEdge, SameEdge
from headgate.core.effects import FinishRun, StartAttempt, Step, StopAttempt
from headgate.core.events import (
    AttemptCancelled,
    AttemptFailed,
    AttemptReturned,
    AttemptSucceeded,
    CancelRequested,
    ContinueRequested,
    DrainRequested,
    Event,
    Lane,
    PauseRequested,
    RetryRequested,
    RunSubmitted,
    Shared,
    SlotsOffered,
    Stage,
    TimePassed,
)
from headgate.core.invariants import violations
from headgate.core.scheduler import Scheduler
from headgate.model.policy import BreakerPolicy, RetryPolicy
from headgate.model.run import ErrorClass

DAYS = 6
CLASSES = ("fresh", "backfill", "maintenance")
NEVER = BreakerPolicy(failures=1_000_000)
POLICY = RetryPolicy(attempts=2, backoff_ms=1, backoff_max_ms=3)


class World:
    """Runs that each have a range of the same days, of two or three datasets, and what befalls them."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.scheduler = Scheduler()
        self.now_ms = 0
        self.ranges: dict[str, tuple[int, int, int]] = {}
        self.running: dict[tuple[str, int], tuple[int, int]] = {}
        self.stopping: set[tuple[str, int]] = set()
        self.live: set[str] = set()
        self.paused: set[str] = set()

    def tell(self, event: Event) -> None:
        step: Step = self.scheduler.handle(event, self.now_ms)
        assert violations(self.scheduler) == []
        for effect in step.effects:
            match effect:
                case StartAttempt(run=run, task=task):
                    partition = self.partition(run, task)
                    assert partition not in self.running.values(), f"{partition} has two attempts"
                    self.running[run, task] = partition
                case StopAttempt(run, task):
                    self.stopping.add((run, task))
                case FinishRun(run=run):
                    self.live.discard(run)
                    assert not any(owner == run for owner, _ in self.running)
                case _:
                    pass
        for run in [run for run in self.scheduler.runs if run not in self.live]:
            self.scheduler.forget(run)

    def partition(self, run: str, task: int) -> tuple[int, int]:
        first, last, _ = self.ranges[run]
        stage, position = divmod(task, last - first)
        return stage, first + position

    def submit(self) -> None:
        run, datasets = f"r{len(self.ranges)}", self.random.choice((2, 3))
        first = self.random.randrange(DAYS)
        last = self.random.randrange(first, DAYS) + 1
        self.ranges[run] = first, last, datasets
        self.live.add(run)
        shared = []
        for other in sorted(self.live - {run}):
            low, high = max(first, self.ranges[other][0]), min(last, self.ranges[other][1])
            days = np.arange(low, high) if low < high else np.zeros(0, int)
            for stage in range(min(datasets, self.ranges[other][2])):
                shared.append(Shared(stage, days - first, other, stage, days - self.ranges[other][0]))
        n = last - first
        zeros, none = np.zeros(n, np.uint8), np.zeros(n, bool)
        position = np.arange(n, dtype=np.int32)
        edges = [(), (SameEdge(0),), (RangeEdge(1, np.maximum(position - 1, 0), position + 1),)]
        skippable = np.array([self.random.random() < 0.2 for _ in range(n)])
        stages = [
            Stage(
                f"d{k}",
                Lane.PROCESS,
                edges[k],
                position.astype(np.int64),
                zeros,
                none,
                skippable & (k > 0),
                retry=POLICY,
                breaker=NEVER,
            )
            for k in range(datasets)
        ]
        joins = self.random.random() < 0.5
        self.tell(RunSubmitted(run, stages, self.random.choice(CLASSES), shared=shared, joins=joins))

    def end_one(self, *, healed: bool) -> None:
        key = self.random.choice(sorted(self.running))
        del self.running[key]
        was_stopping = key in self.stopping
        self.stopping.discard(key)
        run, task = key
        draw = self.random.random()
        if was_stopping and draw < 0.8:
            self.tell(AttemptCancelled(run, task))
        elif healed or draw < 0.6:
            self.tell(AttemptSucceeded(run, task, changed=self.random.random() < 0.7))
        elif draw < 0.7:
            self.tell(AttemptReturned(run, task))
        else:
            self.tell(AttemptFailed(run, task, self.random.choice((ErrorClass.TRANSIENT, ErrorClass.PERMANENT))))

    def step(self) -> None:
        draw = self.random.random()
        some = sorted(self.live)
        if draw < 0.1 and len(self.ranges) < 7:
            self.submit()
        elif draw < 0.35:
            self.tell(SlotsOffered(Lane.PROCESS, self.random.randrange(4), 9))
        elif draw < 0.75 and self.running:
            self.end_one(healed=False)
        elif draw < 0.85:
            self.now_ms += self.random.randrange(4)
            self.tell(TimePassed())
        elif some:
            run = self.random.choice(some)
            kinds = (RetryRequested, RetryRequested, PauseRequested, ContinueRequested, CancelRequested, DrainRequested)
            kind = self.random.choice(kinds)
            if kind is PauseRequested:
                self.paused.add(run)
            self.tell(kind(run))

    def heal(self) -> None:
        for run in sorted(self.paused & self.live):
            self.tell(ContinueRequested(run))
        for _ in range(2_000):
            if not self.live:
                return
            self.now_ms += 5
            self.tell(TimePassed())
            self.tell(SlotsOffered(Lane.PROCESS, 9, 9))
            while self.running:
                self.end_one(healed=True)
        raise AssertionError(f"{self.live} never end")


@given(st.integers(0, 2**32))
@settings(max_examples=300, deadline=None)
def test_no_partition_has_two_attempts_and_every_run_ends(seed: int) -> None:
    world = World(seed)
    world.submit()
    for _ in range(world.random.randrange(10, 80)):
        world.step()
    world.heal()
    assert not world.scheduler.overlaps
