"""The simulated driver: the production scheduler on a virtual clock, with drawn durations instead of workers.

A run is simulated many times. A task has the same drawn duration and failures in the same run of two settings, so that
what differs between them is their doing. Nothing here reads the clock, but for the time that may be spent.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import accumulate
from math import ceil
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from headgate.core.effects import FinishRun, StartAttempt
from headgate.core.events import (
    AttemptFailed,
    AttemptSucceeded,
    Lane,
    RunSubmitted,
    SlotsOffered,
    Stage,
    TimePassed,
)
from headgate.core.reasons import delays
from headgate.core.scheduler import Scheduler
from headgate.model.policy import BACKFILL, FRESH, MAINTENANCE, TaskOrder
from headgate.model.run import ErrorClass, TaskState

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from headgate.core.effects import Effect
    from headgate.core.events import Event
    from headgate.model.breaker import BreakerRecord
    from headgate.model.policy import Pool, ServiceClass
    from headgate.model.reason import Wait

RUN = "run"
LONGEST_IDLE_MS = 100 * 86_400_000
"""A run that starts nothing for so long is taken for one that never ends."""
_NEVER_SUCCEEDS = 1e-9


@dataclass(frozen=True, slots=True)
class Behaviour:
    """What attempts of a stage are like.

    Args:
        durations_ms: How long they take, each as likely as the others; at least 1.
        failure_rate: Which share of them fails.
        error_class: With what kind of error.
    """

    durations_ms: NDArray[np.int64]
    failure_rate: float = 0.0
    error_class: ErrorClass = ErrorClass.TRANSIENT


@dataclass(frozen=True, slots=True)
class Setting:
    """A run, and what it meets.

    Args:
        stages: The tasks of the run.
        behaviours: What their attempts are like, for each stage.
        slots: Attempts that run at a time, in each lane.
        start_ms: When the run is submitted, UTC.
        classes: The service classes; one of them is `fresh`.
        pools: The pools, by name.
        total: How many attempts may run at a time in all; None for no bound.
        breakers: How breakers stand.
        service_class: The class of the run.
        concurrency: How many attempts of the run may run at a time; None for no bound.
        order: By what the priorities of the stages were made.
    """

    stages: Sequence[Stage]
    behaviours: Sequence[Behaviour]
    slots: Mapping[Lane, int]
    start_ms: int = 0
    classes: Sequence[ServiceClass] = (FRESH, BACKFILL, MAINTENANCE)
    pools: Mapping[str, Pool] = field(default_factory=dict)
    total: int | None = None
    breakers: Sequence[BreakerRecord] = ()
    service_class: str = "backfill"
    concurrency: int | None = None
    order: TaskOrder = TaskOrder.OLDEST


class Binding(NamedTuple):
    """What held tasks back: a reason and, where it does not say all, the pool, breaker, class or dataset."""

    wait: Wait
    what: str


@dataclass(frozen=True, slots=True)
class Simulation:
    """What simulated runs came to.

    Args:
        elapsed_ms: How long each run took, ascending; infinite for one that never ended.
        failed: Tasks that failed or were blocked in the end, the mean over the runs.
        attempts: Attempts of each stage, the mean over the runs.
        busy_ms: What the attempts of each stage took together, the mean over the runs.
        waits: In which share of the time at least one task waited for what.
        fresh_ms: How long tasks of the class `fresh` that came at random times waited for their start, ascending.
    """

    elapsed_ms: tuple[float, ...]
    failed: float
    attempts: tuple[float, ...]
    busy_ms: tuple[float, ...]
    waits: Mapping[Binding, float]
    fresh_ms: tuple[int, ...]

    @property
    def runs(self) -> int:
        """Return how many runs were simulated."""
        return len(self.elapsed_ms)


def quantile(ascending: Sequence[float], share: float) -> float | None:
    """Return the smallest of some values that is not below a share of them; None if it is infinite or there is none."""
    if not ascending:
        return None
    value = ascending[max(0, ceil(share * len(ascending)) - 1)]
    return None if value == float("inf") else value


def simulate(
    setting: Setting, *, runs: int = 200, seed: int = 0, looks: int = 16, budget_s: float = float("inf")
) -> Simulation:
    """Simulate a run some times. The result follows from the setting, the seed and the number of runs.

    Args:
        setting: The run, and what it meets.
        runs: How many times, at least 1.
        seed: For what is drawn.
        looks: How often, at least, each run is looked at: what its tasks wait for, and what a fresh task would.
        budget_s: After so much time no further run is begun.
    """
    if not looks and all(len(set(known.durations_ms)) == 1 and not known.failure_rate for known in setting.behaviours):
        runs = 1  # Nothing is drawn.
    until_s = time.monotonic() + budget_s
    ended: list[_Run] = []
    while len(ended) < runs and (not ended or time.monotonic() < until_s):
        run = _Run(setting, np.random.default_rng((seed, len(ended))), looks)
        run.drive()
        ended.append(run)
    waits: dict[Binding, float] = {}
    looked = [run for run in ended if run.looks]
    for run in looked:
        for look in run.looks:
            for binding in look.bindings:
                waits[binding] = waits.get(binding, 0.0) + 1 / len(run.looks) / len(looked)
    return Simulation(
        elapsed_ms=tuple(sorted(run.elapsed_ms for run in ended)),
        failed=sum(run.failed for run in ended) / len(ended),
        attempts=_means([run.attempts for run in ended]),
        busy_ms=_means([run.busy_ms for run in ended]),
        waits=waits,
        fresh_ms=tuple(sorted(look.delay_ms for run in ended for look in run.looks)),
    )


def _means(rows: Sequence[Sequence[int]]) -> tuple[float, ...]:
    return tuple(sum(column) / len(rows) for column in zip(*rows, strict=True))


@dataclass(slots=True)
class _Look:
    """What a run waited for at a time, and how long a fresh task that came then waited for its start."""

    at_ms: int
    bindings: frozenset[Binding]
    delay_ms: int = -1


class _Run:
    """One simulated run.

    Args:
        setting: The run, and what it meets.
        rng: For what is drawn.
        looks: How often, at least, it is looked at.
    """

    def __init__(self, setting: Setting, rng: np.random.Generator, looks: int) -> None:
        self.setting = setting
        self.elapsed_ms = float("inf")
        self.failed = 0
        self.attempts = [0] * len(setting.stages)
        self.busy_ms = [0] * len(setting.stages)
        self.looks: list[_Look] = []
        self._scheduler = Scheduler(setting.classes, setting.pools, total=setting.total, breakers=setting.breakers)
        self._now_ms = setting.start_ms
        self._wake_at_ms: int | None = None
        self._free = dict(setting.slots)
        self._ends: list[tuple[int, int, str, int, int, bool]] = []
        """When attempts end, in the order of their starts: run, task, stage, whether it succeeds."""
        self._n_started = 0
        self._is_over = False
        self._draw(rng)
        self._probed: dict[str, _Look] = {}
        self._n_probes = 0
        self._probe = _probe(setting)
        self._most_looks = 2 * looks
        # At least one look in each of `looks` parts of the shortest time that the run can take. If it takes longer,
        # the parts grow, and every second look is forgotten.
        self._part_ms = self._shortest_ms() / looks if looks else 0.0
        self._moments = rng
        self._part_start_ms = float(setting.start_ms)
        self._look_at_ms = float("inf")
        if looks:
            self._plan_look()

    def drive(self) -> None:
        """Run it to its end, or until nothing more can happen."""
        setting = self.setting
        for lane, slots in setting.slots.items():
            self._handle(SlotsOffered(lane, slots, slots))
        self._handle(RunSubmitted(RUN, setting.stages, setting.service_class, concurrency=setting.concurrency))
        active_ms = self._now_ms
        while not self._is_over:
            next_ms = self._next_ms()
            if next_ms is None or next_ms - active_ms > LONGEST_IDLE_MS:
                break
            if self._look_at_ms < next_ms:
                self._now_ms = max(self._now_ms, int(self._look_at_ms))
                self._look()
                continue
            self._now_ms = next_ms
            if self._ends and self._ends[0][0] <= next_ms:
                self._end_attempts()
                active_ms = next_ms
            else:
                self._handle(TimePassed())
        if self._is_over:
            self.elapsed_ms = self._now_ms - setting.start_ms
            # What waits still would start now.
            for look in self._probed.values():
                look.delay_ms = self._now_ms - look.at_ms
        self.looks = [look for look in self.looks if look.delay_ms >= 0 or not self._is_over]

    def _draw(self, rng: np.random.Generator) -> None:
        """Draw how long the attempts of each task take, and how many of them fail before one succeeds."""
        stages = self.setting.stages
        self._base = [0, *accumulate(len(stage.states) for stage in stages)]
        self._durations: list[int] = []
        self._failures: list[int] | None = None
        failing = any(behaviour.failure_rate for behaviour in self.setting.behaviours)
        failures: list[int] = []
        for stage, behaviour in zip(stages, self.setting.behaviours, strict=True):
            n, known = len(stage.states), behaviour.durations_ms
            # Few durations say little of what is typical: that is drawn, too.
            known = rng.choice(known, len(known))
            self._durations += rng.choice(known, n).tolist()
            if failing:
                succeed = max(_NEVER_SUCCEEDS, 1 - behaviour.failure_rate)
                failures += (rng.geometric(succeed, n) - 1).tolist()
        if failing:
            self._failures = failures

    def _shortest_ms(self) -> float:
        """Return a time that the run takes at least, if nothing fails."""
        work = dict.fromkeys(Lane, 0)
        for number, stage in enumerate(self.setting.stages):
            work[stage.lane] += sum(self._durations[self._base[number] : self._base[number + 1]])
        return max(1.0, *(work[lane] / max(1, slots) for lane, slots in self.setting.slots.items()))

    def _next_ms(self) -> int | None:
        """Return when the next thing happens."""
        if not self._ends:
            return self._wake_at_ms
        end_ms = self._ends[0][0]
        return end_ms if self._wake_at_ms is None else min(end_ms, self._wake_at_ms)

    def _handle(self, event: Event) -> None:
        step = self._scheduler.handle(event, self._now_ms)
        self._wake_at_ms = step.wake_at_ms
        if step.effects:
            self._carry_out(step.effects)

    def _carry_out(self, effects: Iterable[Effect]) -> None:
        for effect in effects:
            match effect:
                case StartAttempt(run, task, stage, _, number):
                    self._begin(run, task, stage, number)
                case FinishRun(run):
                    if run == RUN:
                        tasks = self._scheduler.runs[RUN].tasks
                        self.failed = tasks.total(TaskState.FAILED, TaskState.BLOCKED)
                        self._is_over = True
                    else:
                        self._scheduler.forget(run)
                case _:
                    pass  # Nobody stops an attempt here, and how breakers stand is not kept.

    def _begin(self, run: str, task: int, stage: int, number: int) -> None:
        if run == RUN:
            took_ms = self._durations[task]
            succeeds = self._failures is None or number > self._failures[task]
            self.attempts[stage] += 1
            self.busy_ms[stage] += took_ms
            lane = self.setting.stages[stage].lane
        else:
            look = self._probed.pop(run)
            look.delay_ms = self._now_ms - look.at_ms
            # It gives the slot back at once: what follows is as if it had not been.
            took_ms, succeeds, lane = 0, True, self._probe.lane
        self._free[lane] -= 1
        self._n_started += 1
        heappush(self._ends, (self._now_ms + took_ms, self._n_started, run, task, stage, succeeds))

    def _end_attempts(self) -> None:
        """End the attempts whose time has come, then offer their slots."""
        ends, now_ms, stages = self._ends, self._now_ms, self.setting.stages
        touched: dict[Lane, None] = {}
        while ends and ends[0][0] <= now_ms:
            _, _, run, task, stage, succeeds = heappop(ends)
            lane = stages[stage].lane if run == RUN else self._probe.lane
            touched[lane] = None
            self._free[lane] += 1
            if succeeds:
                self._handle(AttemptSucceeded(run, task, changed=True))
            else:
                self._handle(AttemptFailed(run, task, self.setting.behaviours[stage].error_class))
        for lane in touched:
            self._handle(SlotsOffered(lane, self._free[lane], self.setting.slots[lane]))

    # Looking

    def _plan_look(self) -> None:
        self._look_at_ms = self._part_start_ms + self._moments.random() * self._part_ms
        self._part_start_ms += self._part_ms

    def _look(self) -> None:
        """Note what tasks wait for, and let a fresh task come."""
        found = frozenset(Binding(delay.wait, delay.what) for delay in delays(self._scheduler, RUN))
        look = _Look(self._now_ms, found)
        self.looks.append(look)
        self._n_probes += 1
        name = f"probe {self._n_probes}"
        self._probed[name] = look
        self._handle(RunSubmitted(name, (self._probe,), FRESH.name, "probe"))
        if len(self.looks) >= self._most_looks:
            self.looks = self.looks[::2]
            self._part_ms *= 2
        self._plan_look()


def _probe(setting: Setting) -> Stage:
    """Return a task that takes no time, in the lane where the run has its work."""
    lanes = {stage.lane for stage in setting.stages}
    lane = Lane.PROCESS if Lane.PROCESS in lanes or not lanes else Lane.IO
    nothing = np.zeros(1, dtype=bool)
    return Stage("", lane, (), np.zeros(1, np.int64), np.zeros(1, np.uint8), nothing, nothing, typical_ms=1.0)
