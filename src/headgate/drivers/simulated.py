"""The simulated driver: the production scheduler on a virtual clock, with drawn durations instead of workers.

A run is simulated many times. A task has the same drawn duration and failures in the same run of two settings, so that
what differs between them is their doing. Nothing here reads the clock, but for the time that may be spent.
"""

from __future__ import annotations

import time
from bisect import bisect_right
from dataclasses import dataclass
from enum import Enum, auto
from heapq import heappop, heappush
from itertools import accumulate
from typing import TYPE_CHECKING

import numpy as np

from headgate.core.effects import FinishRun, StartAttempt, YieldAttempt
from headgate.core.events import (
    AttemptFailed,
    AttemptSucceeded,
    AttemptYielded,
    Lane,
    RunSubmitted,
    SlotsOffered,
    Stage,
    TimePassed,
)
from headgate.core.reasons import delays
from headgate.core.scheduler import Scheduler
from headgate.drivers.setting import Binding, Simulation
from headgate.model.policy import FRESH
from headgate.model.run import TaskState

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from headgate.core.effects import Effect
    from headgate.core.events import Event
    from headgate.drivers.setting import Behaviour, Setting

RUN = "run"
LONGEST_IDLE_MS = 100 * 86_400_000
"""A run that starts nothing for so long is taken for one that never ends."""
BATCHES = 10
"""An attempt that can yield is taken to do so in so many places."""
_NEVER_SUCCEEDS = 1e-9


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
    if not looks and all(map(_is_certain, setting.behaviours)):
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
        complete=sum(run.elapsed_ms != float("inf") and not run.failed for run in ended) / len(ended),
        failed=sum(run.failed for run in ended) / len(ended),
        attempts=_means([run.attempts for run in ended]),
        busy_ms=_means([run.busy_ms for run in ended]),
        ended_ms=tuple(tuple(sorted(times)) for times in zip(*(run.ended_ms for run in ended), strict=True)),
        waits=waits,
        fresh_ms=tuple(sorted(look.delay_ms for run in ended for look in run.looks)),
    )


def _is_certain(behaviour: Behaviour) -> bool:
    """Return whether there is nothing to draw."""
    return len(set(behaviour.durations_ms)) == 1 and not behaviour.failure_rate


def _means(rows: Sequence[Sequence[int]]) -> tuple[float, ...]:
    return tuple(sum(column) / len(rows) for column in zip(*rows, strict=True))


@dataclass(slots=True)
class _Look:
    """What a run waited for at a time, and how long a fresh task that came then waited for its start."""

    at_ms: int
    bindings: frozenset[Binding]
    delay_ms: int = -1


class _End(Enum):
    """How an attempt ends."""

    SUCCESS = auto()
    FAILURE = auto()
    YIELD = auto()


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
        self.ended_ms: list[float] = [0.0] * len(setting.stages)
        """When the last attempt of each stage has ended so far."""
        self.looks: list[_Look] = []
        self._scheduler = Scheduler(setting.classes, setting.pools, total=setting.total, breakers=setting.breakers)
        self._now_ms = setting.start_ms
        self._wake_at_ms: int | None = None
        self._free = dict(setting.slots)
        self._cold = dict(setting.slots)
        """Slots that no attempt of the run has had yet."""
        self._ends: list[tuple[int, int, str, int, int, _End]] = []
        """When attempts end, in the order of their starts: run, task, stage, how."""
        self._n_started = 0
        self._yielding: dict[int, tuple[int, int, int]] = {}
        """Attempts that can yield, by task: when they began, when they end, and which start it was."""
        self._leads: dict[int, int] = {}
        """The first task of the ranged attempt that takes each, for those that run in one."""
        self._left: dict[int, int] = {}
        """How many tasks of ranged attempts have not ended, by the first."""
        self._yielded: set[int] = set()
        """Starts that have ended earlier than was set."""
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
            if next_ms is None or (not self._ends and next_ms - active_ms > LONGEST_IDLE_MS):
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
        else:
            self.ended_ms = [float("inf")] * len(setting.stages)
        self.looks = [look for look in self.looks if look.delay_ms >= 0 or not self._is_over]

    def _draw(self, rng: np.random.Generator) -> None:
        """Draw how long the attempts of each task take, and how many of them fail before one succeeds."""
        stages, behaviours = self.setting.stages, self.setting.behaviours
        self._base = [0, *accumulate(len(stage.states) for stage in stages)]
        self._durations: list[int] = []
        self._failures: list[int] | None = None
        self._tries: list[int] | None = None
        is_chunked = any(behaviour.chunks is not None for behaviour in behaviours)
        is_failing = any(behaviour.failure_rate for behaviour in behaviours)
        failures: list[int] = []
        tries: list[int] = []
        for stage, behaviour in zip(stages, behaviours, strict=True):
            n = len(stage.states) if behaviour.chunks is None else behaviour.partitions
            # Few durations say little of what is typical: that is drawn, too.
            known = rng.choice(behaviour.durations_ms, len(behaviour.durations_ms))
            drawn = rng.choice(known, n)
            if behaviour.factors is not None:
                drawn = np.maximum(1, np.rint(drawn * behaviour.factors)).astype(np.int64)
            failed = np.zeros(n, dtype=np.int64)
            if is_failing:
                succeed = max(_NEVER_SUCCEEDS, 1 - behaviour.failure_rate)
                failed = rng.geometric(succeed, n) - 1
            if behaviour.chunks is not None:
                most = stage.retry.attempts if behaviour.error_class in stage.retry.on else 1
                tried = np.minimum(failed + 1, most)
                self.failed += int((failed >= most).sum())
                drawn = -(-np.add.reduceat(drawn * tried, behaviour.chunks) // behaviour.together)
                calls = -(-np.diff(behaviour.chunks, append=n) // behaviour.together)
                tries += (calls + np.add.reduceat(tried - 1, behaviour.chunks)).tolist()
                failed = np.zeros(len(drawn), dtype=np.int64)
            self._durations += drawn.tolist()
            failures += failed.tolist()
        if is_failing and not is_chunked:
            self._failures = failures
        if is_chunked:
            self._tries = tries

    def _shortest_ms(self) -> float:
        """Return a time that the run takes at least, if nothing fails."""
        work = dict.fromkeys(Lane, 0)
        for number, stage in enumerate(self.setting.stages):
            work[stage.lane] += sum(self._durations[self._base[number] : self._base[number + 1]]) // stage.batch
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
        ranged: dict[int, list[StartAttempt]] = {}
        for effect in effects:
            match effect:
                case StartAttempt(run, task, stage, _, number, lead=lead):
                    if lead is None:
                        self._begin(run, task, stage, number)
                    else:
                        ranged.setdefault(lead, []).append(effect)
                case YieldAttempt(_, task):
                    self._ask_to_yield(task)
                case FinishRun(run):
                    if run == RUN:
                        tasks = self._scheduler.runs[RUN].tasks
                        hopeless = sum(int((stage.states == TaskState.BLOCKED).sum()) for stage in self.setting.stages)
                        self.failed += tasks.total(TaskState.FAILED, TaskState.BLOCKED) - hopeless
                        self._is_over = True
                    else:
                        self._scheduler.forget(run)
                case _:
                    pass  # Nobody stops an attempt here, and how breakers stand is not kept.
        for members in ranged.values():
            self._begin_ranged(members)

    def _begin_ranged(self, members: Sequence[StartAttempt]) -> None:
        """Begin an attempt of several tasks. It takes as long as the longest of them: history is of whole attempts."""
        lead, stage = members[0].task, members[0].stage
        took_ms = max(self._durations[member.task] for member in members) + self._warm_up_ms(stage)
        self.attempts[stage] += 1
        self.busy_ms[stage] += took_ms
        self._free[self.setting.stages[stage].lane] -= 1
        self._left[lead] = len(members)
        for member in members:
            end = _End.SUCCESS
            if self._failures is not None and self._failures[member.task]:
                # It costs no try.
                self._failures[member.task] -= 1
                end = _End.FAILURE
            self._leads[member.task] = lead
            self._n_started += 1
            heappush(self._ends, (self._now_ms + took_ms, self._n_started, RUN, member.task, stage, end))

    def _warm_up_ms(self, stage: int) -> int:
        """Return how much longer an attempt takes that starts now, because it is the first of its slot."""
        lane = self.setting.stages[stage].lane
        if not self._cold[lane]:
            return 0
        self._cold[lane] -= 1
        return self.setting.behaviours[stage].warm_up_ms

    def _begin(self, run: str, task: int, stage: int, number: int) -> None:
        self._n_started += 1
        end = _End.SUCCESS
        if run == RUN:
            took_ms = self._durations[task] + self._warm_up_ms(stage)
            if self._failures is not None and number <= self._failures[task]:
                end = _End.FAILURE
            lane = self.setting.stages[stage].lane
            self.attempts[stage] += 1 if self._tries is None else self._tries[task]
            self.busy_ms[stage] += took_ms
            if self.setting.stages[stage].can_yield:
                self._yielding[task] = (self._now_ms, self._now_ms + took_ms, self._n_started)
        else:
            look = self._probed.pop(run)
            look.delay_ms = self._now_ms - look.at_ms
            # It gives the slot back at once: what follows is as if it had not been.
            took_ms, lane = 0, self._probe.lane
        self._free[lane] -= 1
        heappush(self._ends, (self._now_ms + took_ms, self._n_started, run, task, stage, end))

    def _ask_to_yield(self, task: int) -> None:
        """Let an attempt end where the next one can go on, unless it is done by then."""
        start_ms, end_ms, started = self._yielding[task]
        batch_ms = max(1, (end_ms - start_ms) // BATCHES)
        at_ms = start_ms + -(-(self._now_ms - start_ms) // batch_ms) * batch_ms
        if at_ms >= end_ms:
            return
        stage = bisect_right(self._base, task) - 1
        self._yielded.add(started)
        self._durations[task] = end_ms - at_ms
        self.attempts[stage] -= 1
        self.busy_ms[stage] -= end_ms - at_ms
        heappush(self._ends, (at_ms, started, RUN, task, stage, _End.YIELD))

    def _end_attempts(self) -> None:
        """End the attempts whose time has come, then offer their slots."""
        ends, now_ms, stages = self._ends, self._now_ms, self.setting.stages
        touched: dict[Lane, None] = {}
        while ends and ends[0][0] <= now_ms:
            _, started, run, task, stage, end = heappop(ends)
            if started in self._yielded and end is not _End.YIELD:
                self._yielded.discard(started)
                continue
            lane = stages[stage].lane if run == RUN else self._probe.lane
            if run == RUN:
                self.ended_ms[stage] = now_ms - self.setting.start_ms
            touched[lane] = None
            self._free[lane] += self._gives_back(task) if run == RUN and self._leads else 1
            if self._yielding and run == RUN:
                self._yielding.pop(task, None)
            match end:
                case _End.SUCCESS:
                    self._handle(AttemptSucceeded(run, task, changed=True))
                case _End.FAILURE:
                    self._handle(AttemptFailed(run, task, self.setting.behaviours[stage].error_class))
                case _End.YIELD:
                    self._handle(AttemptYielded(run, task))
        for lane in touched:
            self._handle(SlotsOffered(lane, self._free[lane], self.setting.slots[lane]))

    def _gives_back(self, task: int) -> int:
        """Return how many slots are free because a task has ended: none while others of its ranged attempt run."""
        lead = self._leads.pop(task, None)
        if lead is None:
            return 1
        self._left[lead] -= 1
        if self._left[lead]:
            return 0
        del self._left[lead]
        return 1

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
