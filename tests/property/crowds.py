"""Many runs of several classes that share pools, limits and breakers, and a world that drives them through anything.

Everything follows from a seed. First the world makes trouble: attempts fail in all ways, people pause, cancel, resize
and trip. Then it heals, and everything must end.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from random import Random

import numpy as np
from scheduler_scenes import make_scene

from headgate.core.effects import FinishRun, SaveBreaker, StartAttempt, Step, StopAttempt, YieldAttempt
from headgate.core.events import (
    AttemptCancelled,
    AttemptFailed,
    AttemptReturned,
    AttemptSucceeded,
    AttemptYielded,
    BreakerReset,
    BreakerTripped,
    CancelRequested,
    ContinueRequested,
    DrainRequested,
    Event,
    Lane,
    PauseRequested,
    PoolResized,
    RetryRequested,
    RunLimited,
    RunPrioritized,
    RunReordered,
    RunSubmitted,
    SlotsOffered,
    Stage,
    TimePassed,
)
from headgate.core.invariants import unlawful_starts, violations
from headgate.core.scheduler import Scheduler
from headgate.core.states import HALTED, MOVES
from headgate.model.policy import BreakerPolicy, Pool, RetryPolicy, ServiceClass
from headgate.model.run import ErrorClass, TaskState
from headgate.model.window import TimeWindow

POOLS = ("p0", "p1", "p2")
MOST_SLOTS = 3
OWNERS = ("ann", "ben", "cem")
HOUR_MS = 3_600_000


def make_classes(random: Random) -> list[ServiceClass]:
    """Return four classes, two of one priority, with random bounds."""
    classes = []
    for name, priority in (("fresh", 100), ("backfill", 50), ("repair", 50), ("maintenance", 10)):
        windows = (
            TimeWindow("UTC", random.choice((0.0, 0.3)), start_minute=random.randrange(720), end_minute=800),
        ) * random.randrange(2)
        classes.append(
            ServiceClass(
                name,
                priority,
                ceiling=random.choice((1.0, 1.0, 0.6, 0.2)),
                slots=random.choice((None, None, 2)),
                floor=random.choice((0.0, 0.1, 0.2)),
                reserved=random.choice((0, 0, 1)) if name == "fresh" else 0,
                weight=random.choice((1.0, 2.5)),
                windows=windows,
                patience_ms=random.choice((0, 1, 50, 30_000)),
            )
        )
    return classes


def _looped(stages: tuple[Stage, ...]) -> set[int]:
    """Return the stages that may wait for themselves, directly or through others."""
    back = [(edge.upstream, number) for number, stage in enumerate(stages) for edge in stage.edges]
    return {between for above, number in back if above >= number for between in range(number, above + 1)}


@dataclass
class Crowd:
    """Executors, people and faults around a scheduler; every step is checked."""

    seed: int
    log: list[str] = field(default_factory=list)
    seen: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.random = Random(self.seed)
        self.now_ms = 0
        self.wake_at_ms: int | None = None
        self.room = {lane: self.random.randint(1, 6) for lane in Lane}
        self.depth = self.random.choice((1, 1, 2))
        self.pools = {name: Pool(name, self.random.randint(0, MOST_SLOTS), _breaker(self.random)) for name in POOLS}
        self.runs: dict[str, tuple[Stage, ...]] = {}
        self.running: dict[tuple[str, int], Stage] = {}
        self.attempt_of: dict[tuple[str, int], int] = {}
        """The number of the attempt that makes each; those of a ranged one end one by one."""
        self.started = 0
        self.stopping: set[tuple[str, int]] = set()
        self.states: dict[tuple[str, int], TaskState] = {}
        self.ended: dict[str, str] = {}
        self.scheduler = Scheduler(
            make_classes(self.random),
            self.pools,
            total=self.random.choice((None, None, 5)),
            owner_weights={"ann": 3.0},
            traced=True,
        )

    # Trouble

    def trouble(self) -> None:
        """Let anything happen."""
        luck = self.random.random()
        if luck < 0.35 and self.running:
            self.tell(self._end(self.random.choice(sorted(self.running))))
        elif luck < 0.6:
            self.offer(self.random.choice(list(Lane)))
        elif luck < 0.75:
            self.pass_time()
        elif luck < 0.82 and len(self.runs) < 7:
            self.submit()
        else:
            event = self._control()
            if event is not None:
                self.tell(event)

    def submit(self) -> None:
        run = f"r{len(self.runs)}"
        scene = make_scene(self.random.randrange(2**32), n_stages=3, n_tasks=5, ended=self.random.random() < 0.3)
        looped = _looped(scene.stages)
        self.runs[run] = stages = tuple(
            replace(self._terms(stage), gathers=number not in looped and self.random.random() < 0.5)
            for number, stage in enumerate(scene.stages)
        )
        submitted = (state for stage in stages for state in stage.states.tolist())
        self.states.update({(run, task): TaskState(state) for task, state in enumerate(submitted)})
        service_class = self.random.choice(("fresh", "backfill", "repair", "maintenance"))
        owner, limit = self.random.choice(OWNERS), self.random.choice((None, None, 1, 3))
        self.tell(RunSubmitted(run, stages, service_class, owner, self.random.randrange(2), limit))

    def _terms(self, stage: Stage) -> Stage:
        random = self.random
        return replace(
            stage,
            concurrency=random.choice((None, None, 1, 2)),
            pools=tuple((name, random.randint(1, MOST_SLOTS)) for name in POOLS if random.random() < 0.3),
            retry=RetryPolicy(
                random.randint(1, 4),
                backoff_ms=random.choice((0, 500)),
                budget=random.choice((0.1, 1.0)),
                budget_min=random.randrange(3),
            ),
            breaker=_breaker(random),
            typical_ms=random.choice((10.0, 1000.0)),
            can_yield=random.random() < 0.6,
            batch=random.choice((1, 2, 3)),
            successor=self._successor(len(stage.states)),
        )

    def _successor(self, n: int) -> np.ndarray:
        """Return who follows whom: the next position or the one after that, with gaps."""
        stride = self.random.choice((1, 1, 2))
        return np.array(
            [i + stride if i + stride < n and self.random.random() < 0.8 else -1 for i in range(n)], np.int32
        )

    def attempts(self) -> list[Stage]:
        """Return the stage of each attempt that runs."""
        return list({self.attempt_of[task]: stage for task, stage in self.running.items()}.values())

    def _end(self, attempt: tuple[str, int]) -> Event:
        del self.running[attempt]
        if attempt in self.stopping and self.random.random() < 0.7:
            return AttemptCancelled(*attempt)
        luck = self.random.random()
        if luck < 0.1:
            return AttemptReturned(*attempt)
        if luck < 0.2:
            return AttemptYielded(*attempt)
        if luck < 0.5:
            return AttemptFailed(*attempt, self.random.choice(list(ErrorClass)))
        return AttemptSucceeded(*attempt, luck < 0.8)

    def _control(self) -> Event | None:
        random, live = self.random, [run for run in self.runs if run not in self.ended]
        pool = random.choice(POOLS)
        breaker = random.choice(sorted(self.scheduler.breakers))
        anywhere = [PoolResized(pool, random.randint(0, MOST_SLOTS)), BreakerTripped(breaker), BreakerReset(breaker)]
        if not live or random.random() < 0.3:
            return random.choice(anywhere)
        run = random.choice(live)
        priorities = [stage.priority[::-1].copy() for stage in self.runs[run]]
        kinds = [PauseRequested(run), ContinueRequested(run), RetryRequested(run), RunReordered(run, priorities)]
        kinds += [RunLimited(run, random.choice((None, 0, 2))), RunPrioritized(run, random.randrange(3))]
        if random.random() < 0.15:
            kinds = [CancelRequested(run), DrainRequested(run)]
        return random.choice(kinds)

    def pass_time(self) -> None:
        due_ms = self.wake_at_ms
        jump_ms = self.random.choice((1, 100, HOUR_MS))
        if due_ms is not None and self.random.random() < 0.5:
            jump_ms = max(0, due_ms - self.now_ms)
        self.now_ms += jump_ms
        self.tell(TimePassed())

    def offer(self, lane: Lane) -> None:
        busy = sum(stage.lane is lane for stage in self.attempts())
        slots = self.room[lane]
        self.tell(SlotsOffered(lane, slots * self.depth - busy, slots, self.depth))

    # Healing

    def heal(self) -> None:
        """Take back what people did, let every attempt succeed, and demand that all runs end."""
        for name in POOLS:
            self.tell(PoolResized(name, MOST_SLOTS))
        for run in [run for run in self.runs if run not in self.ended]:
            for event in (ContinueRequested(run), RunLimited(run, None)):
                if run not in self.ended:
                    self.tell(event)
        # Each round ends all that runs, or passes time to a timer or a window's end.
        for _ in range(500):
            if len(self.ended) == len(self.runs):
                break
            for lane in Lane:
                self.offer(lane)
            if not self.running:
                assert self.wake_at_ms is not None, "nothing runs, and nothing is due"
                self.now_ms = max(self.now_ms, self.wake_at_ms)
                self.tell(TimePassed())
            for attempt in sorted(self.running):
                del self.running[attempt]
                self.tell(AttemptSucceeded(*attempt, True))
        assert len(self.ended) == len(self.runs)
        assert self.scheduler.used == 0
        assert not any(limit.used for limit in self.scheduler.pools.values())
        assert not any(queue.used for lane in self.scheduler.lanes.values() for queue in lane.classes)

    # Checks

    def tell(self, event: Event) -> Step:
        self.seen[type(event).__name__] += 1
        before = {name: limit.capacity for name, limit in self.scheduler.pools.items()}
        step = self.scheduler.handle(event, self.now_ms)
        self.log.append(f"{self.now_ms} {type(event).__name__} {event[:2] if len(event) < 4 else event[0]}")
        for run, task, state in step.transitions:
            revived = isinstance(event, RetryRequested) and state is TaskState.WAITING
            allowed = HALTED if revived else {now for now, moves in MOVES.items() if state in moves}
            assert self.states[run, task] in allowed, (run, task, state)
            self.states[run, task] = state
            self.seen[f"to {state.name}"] += 1
        for effect in step.effects:
            self._carry_out(effect)
            self.log.append(f"  {effect}")
        self._count(step, before)
        self.wake_at_ms = step.wake_at_ms
        found = [*violations(self.scheduler), *unlawful_starts(self.scheduler, step)]
        assert not found, found
        return step

    def _carry_out(self, effect: object) -> None:
        match effect:
            case StartAttempt(run, task, stage, lead=lead):
                assert (run, task) not in self.running
                assert run not in self.ended
                self.running[run, task] = self.runs[run][stage]
                self.started += lead in (None, task)
                self.attempt_of[run, task] = self.started
                self.seen["started together"] += lead is not None
            case StopAttempt(run, task):
                assert (run, task) in self.running
                self.stopping.add((run, task))
            case YieldAttempt(run, task):
                assert self.running[run, task].can_yield
                self.seen["yield"] += 1
            case SaveBreaker(record):
                self.seen[f"breaker {record.state}"] += 1
            case FinishRun(run, state):
                assert run not in self.ended
                self.ended[run] = state
                self.seen[f"run {state}"] += 1

    def _count(self, step: Step, capacity: dict[str, int]) -> None:
        """Add up by hand what the running attempts take."""
        taken: Counter[str] = Counter()
        attempts = self.attempts()
        for stage in attempts:
            for name, slots in stage.pools:
                taken[name] += slots
        starts = [one for one in step.effects if isinstance(one, StartAttempt) and one.lead in (None, one.task)]
        for name, limit in self.scheduler.pools.items():
            assert limit.used == taken[name]
            # Only a pool that shrank holds more than it has; nothing was started into it then.
            if any(name in dict(self.runs[start.run][start.stage].pools) for start in starts):
                assert taken[name] <= limit.capacity, capacity
        for lane, room in self.room.items():
            assert sum(stage.lane is lane for stage in attempts) <= room * self.depth
        running = Counter(stage.dataset for stage in attempts)
        for start in reversed(starts):
            mine = self.runs[start.run][start.stage]
            assert mine.concurrency is None or running[mine.dataset] <= mine.concurrency
            running[mine.dataset] -= 1  # As it was before: others may have a wider bound.


def _breaker(random: Random) -> BreakerPolicy:
    return BreakerPolicy(random.choice((1, 3, 10**6)), cooldown_ms=random.choice((50, 5000)), cooldown_max_ms=20_000)


def make_crowd(seed: int, *, steps: int) -> Crowd:
    """Return a crowd after some trouble."""
    crowd = Crowd(seed)
    for _ in range(2):
        crowd.submit()
    for _ in range(steps):
        crowd.trouble()
    return crowd


def story(seed: int) -> str:
    """Return all that happens in one crowd, as text."""
    crowd = make_crowd(seed, steps=60)
    crowd.heal()
    return "\n".join(crowd.log)


if __name__ == "__main__":
    print("\n".join(story(seed) for seed in range(8)))
