"""Random runs, what must become of them by a plain model, and a world that drives a scheduler through one.

Everything follows from seeds, so a failing seed is the whole story of a failure.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Enum
from random import Random

import numpy as np

from headgate.core.edges import Edge, ListEdge, RangeEdge, SameEdge, SharedEdge
from headgate.core.effects import FinishRun, StartAttempt, Step, StopAttempt
from headgate.core.events import (
    AttemptCancelled,
    AttemptFailed,
    AttemptReturned,
    AttemptSucceeded,
    Event,
    Lane,
    RunSubmitted,
    SlotsOffered,
    Stage,
)
from headgate.core.invariants import violations
from headgate.core.scheduler import Scheduler
from headgate.core.states import DONE, ENDED, HALTED, MOVES
from headgate.model.policy import BreakerPolicy, RetryPolicy
from headgate.model.run import ErrorClass, RunState, TaskState

RUN = "r"
MAX_TRIES = 3
RETRY = RetryPolicy(MAX_TRIES, backoff_ms=0)
NO_BREAKER = BreakerPolicy(10**9)


class Outcome(Enum):
    """What an attempt of a task comes to, always the same."""

    CHANGED = "changed"
    UNCHANGED = "unchanged"
    FAILS = "fails"
    POISON = "poison"


@dataclass(frozen=True)
class Scene:
    """A run: its stages, what each stage reads as plain lists, and what each task comes to."""

    stages: tuple[Stage, ...]
    reads: tuple[tuple[tuple[int, tuple[tuple[int, ...], ...]], ...], ...]
    outcomes: tuple[tuple[Outcome, ...], ...]

    def as_lists(self) -> tuple[Stage, ...]:
        """Return the same stages with every edge written out."""
        sizes = [len(stage.states) for stage in self.stages]
        return tuple(
            replace(stage, edges=tuple(listed(above, sizes[above], lists) for above, lists in reads))
            for stage, reads in zip(self.stages, self.reads, strict=True)
        )

    def resubmitted(self, states: list[list[int]], changed: list[list[bool]]) -> Scene:
        """Return the scene as it is submitted again with what is recorded of it."""
        stages = tuple(
            replace(stage, states=np.array(s, np.uint8), changed=np.array(c, bool))
            for stage, s, c in zip(self.stages, states, changed, strict=True)
        )
        return replace(self, stages=stages)


def listed(above: int, size: int, lists: tuple[tuple[int, ...], ...]) -> ListEdge:
    offsets = np.array([0, *np.cumsum([len(one) for one in lists])], np.int64)
    return ListEdge.build(above, size, offsets, np.array([p for one in lists for p in one], np.int32))


def make_scene(seed: int, *, n_stages: int, n_tasks: int, ended: bool) -> Scene:
    """Return a random scene; with `ended`, some of its tasks have ended before, in any way."""
    random = Random(seed)
    sizes = [random.randint(0, n_tasks) for _ in range(n_stages)]
    looped = random.randrange(n_stages - 1) if n_stages > 1 and random.random() < 0.4 else None
    if looped is not None:
        sizes[looped + 1] = sizes[looped]
    stages, reads, outcomes = [], [], []
    for number, size in enumerate(sizes):
        pairs = [
            _same(above, size) if above == looped == number - 1 else _edge(random, above, sizes[above], size)
            for above in range(number)
            if random.random() < 0.6
        ]
        if random.random() < 0.25:
            pairs.append(_back(random, number, size))
        if number == looped:
            pairs.append(_back(random, number + 1, size))
        states = [_ended(random) if ended and random.random() < 0.3 else TaskState.WAITING for _ in range(size)]
        stages.append(
            Stage(
                dataset=f"s{number}",
                lane=random.choice(list(Lane)),
                edges=tuple(edge for edge, _ in pairs),
                priority=np.array([random.randrange(5) for _ in range(size)], np.int64),
                states=np.array(states, np.uint8),
                changed=np.array([s == TaskState.SUCCEEDED and random.random() < 0.5 for s in states], bool),
                skippable=np.array([random.random() < 0.6 for _ in range(size)], bool),
                retry=RETRY,
                breaker=NO_BREAKER,
            )
        )
        reads.append(tuple((edge.upstream, lists) for edge, lists in pairs))
        outcomes.append(tuple(random.choices(list(Outcome), weights=(5, 5, 1, 1), k=size)))
    return Scene(tuple(stages), tuple(reads), tuple(outcomes))


def _ended(random: Random) -> TaskState:
    return random.choice(sorted(ENDED))


Pair = tuple[Edge, tuple[tuple[int, ...], ...]]


def _edge(random: Random, above: int, n: int, size: int) -> Pair:
    kind = random.choice(("same", "range", "list", "shared", "all"))
    if kind == "same" and n == size:
        return _same(above, size)
    if kind in ("shared", "all"):
        members = np.array([kind == "all" or random.random() < 0.5 for _ in range(n)], bool)
        return SharedEdge(above, size, members), (tuple(np.flatnonzero(members).tolist()),) * size
    if kind == "list":
        lists = tuple(tuple(sorted(random.sample(range(n), random.randint(0, min(n, 3))))) for _ in range(size))
        return listed(above, n, lists), lists
    cuts = [sorted(random.randint(0, n) for _ in range(size)) for _ in range(2)]
    return _range(
        above, [min(a, b) for a, b in zip(*cuts, strict=True)], [max(a, b) for a, b in zip(*cuts, strict=True)]
    )


def _same(above: int, size: int) -> Pair:
    return SameEdge(above), tuple((i,) for i in range(size))


def _back(random: Random, above: int, size: int) -> Pair:
    """Return an edge to earlier positions only."""
    if random.random() < 0.5:
        width = random.randint(1, 3)
        return _range(above, [max(0, i - width) for i in range(size)], list(range(size)))
    lists = tuple(tuple(sorted(random.sample(range(i), random.randint(0, min(i, 2))))) for i in range(size))
    return listed(above, size, lists), lists


def _range(above: int, lo: list[int], hi: list[int]) -> Pair:
    lists = tuple(tuple(range(a, b)) for a, b in zip(lo, hi, strict=True))
    return RangeEdge(above, np.array(lo, np.int32), np.array(hi, np.int32)), lists


def expected(scene: Scene) -> list[list[TaskState]]:
    """Return how each task must end, by following what it reads."""
    states: dict[tuple[int, int], TaskState] = {}
    changed: dict[tuple[int, int], bool] = {}

    def settle(stage: int, at: int) -> None:
        declared = scene.stages[stage]
        submitted = TaskState(declared.states[at])
        if submitted in ENDED:
            states[stage, at], changed[stage, at] = submitted, bool(declared.changed[at])
            return
        upstream = [(above, p) for above, lists in scene.reads[stage] for p in lists[at]]
        for one in upstream:
            if one not in states:
                settle(*one)
        outcome = scene.outcomes[stage][at]
        changed[stage, at] = False
        if any(states[one] in HALTED for one in upstream):
            states[stage, at] = TaskState.BLOCKED
        elif declared.skippable[at] and not any(changed[one] for one in upstream):
            states[stage, at] = TaskState.SKIPPED
        elif outcome in (Outcome.FAILS, Outcome.POISON):
            states[stage, at] = TaskState.FAILED
        else:
            states[stage, at], changed[stage, at] = TaskState.SUCCEEDED, outcome is Outcome.CHANGED

    for stage, declared in enumerate(scene.stages):
        for at in range(len(declared.states)):
            if (stage, at) not in states:
                settle(stage, at)
    return [[states[n, at] for at in range(len(stage.states))] for n, stage in enumerate(scene.stages)]


@dataclass
class World:
    """Executors with room for a few attempts, around a scheduler: it checks every step that the scheduler takes.

    Args:
        scene: The run that is driven.
        random: Decides what happens next.
        room: Attempts that each lane can take.
    """

    scene: Scene
    random: Random
    room: dict[Lane, int]
    scheduler: Scheduler = field(default_factory=lambda: Scheduler(traced=True))
    running: dict[int, Lane] = field(default_factory=dict)
    stopping: set[int] = field(default_factory=set)
    known: dict[int, TaskState] = field(default_factory=dict)
    ended: RunState | None = None
    closed: bool = False
    log: list[str] = field(default_factory=list)

    def submit(self, stages: tuple[Stage, ...] | None = None) -> Step:
        stages = self.scene.stages if stages is None else stages
        submitted = [TaskState(state) for stage in stages for state in stage.states.tolist()]
        self.known = dict(enumerate(submitted))
        return self.tell(RunSubmitted(RUN, stages))

    def tell(self, event: Event) -> Step:
        step = self.scheduler.handle(event, 0)
        self.log.append(f"{type(event).__name__} {[str(part) for part in event[1:] if not isinstance(part, tuple)]}")
        for transition in step.transitions:
            assert transition.state in MOVES[self.known[transition.task]], transition
            self.known[transition.task] = transition.state
            self.log.append(f"  {transition.task} {transition.state.name}")
        for effect in step.effects:
            self._carry_out(effect)
            self.log.append(f"  {effect}")
        table = self.table
        assert dict(enumerate(table.state)) == self.known
        assert table.tasks_in(TaskState.RUNNING) == sorted(self.running)
        for lane, room in self.room.items():
            assert sum(one is lane for one in self.running.values()) <= room
        found = violations(self.scheduler)
        assert not found, found
        return step

    @property
    def table(self):
        return self.scheduler.runs[RUN].tasks

    def _carry_out(self, effect: object) -> None:
        match effect:
            case StartAttempt(run, task, stage, position, number, spread):
                assert run == RUN
                assert not self.closed
                assert task not in self.running
                assert self.table.stage_of(task) == (stage, position)
                assert number == self.table.tries[task]
                self.running[task] = lane = self.scene.stages[stage].lane
                assert spread == self.room[lane]
            case StopAttempt(_, task):
                assert task in self.running
                self.stopping.add(task)
            case FinishRun(_, state):
                assert self.ended is None
                assert not self.running
                self.ended = state

    def offer(self) -> Step:
        lane = self.random.choice([lane for lane in Lane if self.room[lane]])
        busy = sum(one is lane for one in self.running.values())
        return self.tell(SlotsOffered(lane, self.room[lane] - busy, self.room[lane]))

    def end_one(self) -> Step:
        """Let one attempt come back: mostly with its outcome, sometimes lost or returned."""
        task = self.random.choice(sorted(self.running))
        return self.tell(self._end(task))

    def _end(self, task: int) -> Event:
        del self.running[task]
        stage, position = self.table.stage_of(task)
        outcome = self.scene.outcomes[stage][position]
        luck = self.random.random()
        if task in self.stopping and luck < 0.7:
            return AttemptCancelled(RUN, task)
        if luck < 0.1:
            return AttemptReturned(RUN, task)
        if outcome is Outcome.POISON or (luck < 0.2 and self.table.tries[task] < MAX_TRIES):
            return AttemptFailed(RUN, task, ErrorClass.LOST)
        if outcome is Outcome.FAILS:
            return AttemptFailed(RUN, task, ErrorClass.DATA)
        return AttemptSucceeded(RUN, task, outcome is Outcome.CHANGED)

    def step(self) -> Step:
        """Let something happen."""
        if self.running and self.random.random() < 0.7:
            return self.end_one()
        return self.offer()

    def drive(self, *, most: int = 100_000) -> bool:
        """Go on until the run has ended, or for a number of steps; return whether it has ended."""
        for _ in range(most):
            if self.ended is not None:
                return True
            self.step()
        return self.ended is not None

    def recorded(self) -> Scene:
        """Return what is left of the run when everything but records is lost: what ended by an attempt."""
        states, changed = [], []
        for number, stage in enumerate(self.scene.stages):
            base = self.table.base[number]
            now = [TaskState(self.table.state[base + at]) for at in range(len(stage.states))]
            kept = (TaskState.SUCCEEDED, TaskState.FAILED)
            states.append(
                [
                    state if state in kept or submitted in ENDED else TaskState.WAITING
                    for state, submitted in zip(now, stage.states.tolist(), strict=True)
                ]
            )
            changed.append([bool(self.table.changed[base + at]) for at in range(len(now))])
        return self.scene.resubmitted(states, changed)

    def final(self) -> list[list[TaskState]]:
        return [
            [TaskState(self.table.state[self.table.base[n] + at]) for at in range(len(stage.states))]
            for n, stage in enumerate(self.scene.stages)
        ]


def make_world(scene: Scene, seed: int) -> World:
    random = Random(seed)
    return World(scene, random, {lane: random.randint(1, 3) for lane in Lane})


def verdict(states: list[list[TaskState]]) -> RunState:
    """Return what a run that nobody interrupted must end as."""
    return RunState.SUCCEEDED if {s for row in states for s in row} <= DONE else RunState.FAILED


def story(seed: int) -> str:
    """Return all that happens in one random run, as text."""
    world = make_world(make_scene(seed, n_stages=4, n_tasks=6, ended=False), seed)
    world.submit()
    world.drive()
    return "\n".join(world.log)


if __name__ == "__main__":
    print("\n".join(story(seed) for seed in range(30)))
