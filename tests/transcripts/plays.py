"""A transcript's scheduler: declarations make it, lines of events drive it, and what follows is told as text."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np

from headgate.core.edges import Edge, ListEdge, RangeEdge, SameEdge, SharedEdge
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
    Shared,
    SlotsOffered,
    Stage,
    TimePassed,
)
from headgate.core.invariants import violations
from headgate.core.scheduler import Scheduler
from headgate.core.states import ENDED
from headgate.model.policy import BreakerPolicy, Pool, RetryPolicy, ServiceClass
from headgate.model.run import ErrorClass, RunState, TaskState
from headgate.model.window import TimeWindow

if TYPE_CHECKING:
    from headgate.model.breaker import BreakerRecord

RECORDED = (TaskState.SUCCEEDED, TaskState.FAILED)
REQUESTS = {
    "drain": DrainRequested,
    "cancel": CancelRequested,
    "pause": PauseRequested,
    "continue": ContinueRequested,
    "retry": RetryRequested,
}
ENDS = {"returned": AttemptReturned, "yielded": AttemptYielded, "stopped": AttemptCancelled}


@dataclass
class PlayedRun:
    """A run of a case: how it is submitted, and what is recorded of it."""

    name: str
    terms: dict[str, object]
    stages: list[Stage] = field(default_factory=list)
    tasks: list[str] = field(default_factory=list)
    ended: RunState | None = None


class Play:
    """One case: a scheduler, its runs and the names of their tasks."""

    def __init__(self, declarations: list[str]) -> None:
        self.classes: list[ServiceClass] = []
        self.pools: dict[str, Pool] = {}
        self.total: int | None = None
        self.runs: dict[str, PlayedRun] = {}
        self.breakers: dict[str, BreakerRecord] = {}
        self.now_ms = 0
        self.wake_at_ms: int | None = None
        self._open: list[PlayedRun] = []
        self._begun: dict[str, PlayedRun] = {}
        """The runs that were submitted since the last crash."""
        for line in declarations:
            self._declare(*line.split())
        if not self.runs:
            self.runs["run"] = PlayedRun("run", {})
        self.scheduler = self._scheduler()

    def _scheduler(self) -> Scheduler:
        classes = {"classes": self.classes} if self.classes else {}
        return Scheduler(
            **classes, pools=self.pools, total=self.total, breakers=list(self.breakers.values()), traced=True
        )

    # Declarations

    def _declare(self, what: str, *words: str) -> None:
        match what, words:
            case "class", (name, priority, *rest):
                self.classes.append(ServiceClass(name, int(priority), **_class_options(rest)))
            case "pool", (name, slots, *rest):
                breaker = _breaker(_options(rest)["breaker"]) if rest else BreakerPolicy()
                self.pools[name] = Pool(name, int(slots), breaker)
            case "total", (slots,):
                self.total = int(slots)
            case "run", (name, *rest):
                self._declare_run([name], rest)
            case "runs", (name, number, *rest):
                self._declare_run([f"{name}{n}" for n in range(1, int(number) + 1)], rest)
            case "stage", (name, size, *rest):
                if not self._open:
                    self._declare_run(["run"], [])
                for run in self._open:
                    self._declare_stage(run, name, int(size), list(rest))
            case _:
                raise AssertionError(what, words)

    def _declare_run(self, names: list[str], words: list[str]) -> None:
        options = _options(words)
        terms = {
            "service_class": options.pop("class", "backfill"),
            "owner": options.pop("owner", ""),
            "priority": int(options.pop("priority", 0)),
            "concurrency": _number(options.pop("limit", None)),
        }
        if (overlap := options.pop("overlap", None)) is not None:
            assert overlap in {"join", "queue"}, overlap
            terms["joins"] = overlap == "join"
        assert not options, options
        self._open = [PlayedRun(name, terms) for name in names]
        self.runs.update({run.name: run for run in self._open})

    def _declare_stage(self, run: PlayedRun, name: str, size: int, words: list[str]) -> None:
        flags = {word for word in words if ":" not in word and "=" not in word}
        assert flags <= {"io", "skip", "yields", "gathers"}, flags
        options = _options([word for word in words if "=" in word])
        stage = Stage(
            dataset=name,
            lane=Lane.IO if "io" in flags else Lane.PROCESS,
            edges=tuple(_edge(run, word, size) for word in words if ":" in word and "=" not in word),
            priority=np.arange(size) * 100 + 99 - len(run.stages),
            states=np.zeros(size, np.uint8),
            changed=np.zeros(size, bool),
            skippable=np.full(size, "skip" in flags),
            concurrency=_number(options.pop("limit", None)),
            pools=_slots(options.pop("pool", "")),
            retry=_retry(options.pop("retry", "3:0")),
            breaker=_breaker(options.pop("breaker", "5:600000")),
            typical_ms=float(options.pop("typical", 1000)),
            can_yield="yields" in flags,
            batch=int(options.pop("batch", 1)),
            successor=np.append(np.arange(1, size), -1).astype(np.int32),
            gathers="gathers" in flags,
        )
        assert not options, options
        run.stages.append(stage)
        prefix = "" if list(self.runs) == ["run"] else f"{run.name}."
        run.tasks += [f"{prefix}{name}{i}" for i in range(size)]

    # Events

    def act(self, line: str) -> list[str]:
        """Tell the scheduler the events of a line; return what follows."""
        verb, *words = line.split()
        if verb == "crash":
            assert not words
            self._crash()
            verb = "submit"
        elif verb == "again":
            self._restore(self.runs[words[0]], set(words[1:]))
            self.scheduler.forget(words[0])
            verb, words = "submit", words[:1]
        told = []
        for event in self._events(verb, words):
            step = self.scheduler.handle(event, self.now_ms)
            told += self._told(step)
            assert violations(self.scheduler) == []
        if step.wake_at_ms != self.wake_at_ms:
            told.append("~ nothing is due" if step.wake_at_ms is None else f"~ due at {step.wake_at_ms}")
            self.wake_at_ms = step.wake_at_ms
        return told

    def _events(self, verb: str, words: list[str]) -> list[Event]:
        match verb, words:
            case "submit", _:
                return [self._submitted(run) for run in words or self.runs]
            case "offer", (lane, free, *rest):
                queue = self.scheduler.lanes[Lane(lane)]
                options = _options(rest)
                slots = int(options.get("of", int(free) + queue.used()))
                return [SlotsOffered(Lane(lane), int(free), slots, int(options.get("depth", 1)))]
            case "time", (now_ms,):
                self.now_ms = int(now_ms)
                return [TimePassed()]
            case "pool", (name, slots):
                return [PoolResized(name, int(slots))]
            case "trip", (name,):
                return [BreakerTripped(name)]
            case "reset", (name,):
                return [BreakerReset(name)]
            case "limit", (run, slots):
                return [RunLimited(run, None if slots == "none" else int(slots))]
            case "priority", (run, priority):
                return [RunPrioritized(run, int(priority))]
            case "newest", (run,):
                return [RunReordered(run, [stage.priority[::-1] for stage in self.runs[run].stages])]
        if verb in REQUESTS:
            return [REQUESTS[verb](run) for run in words or ["run"]]
        return [self._end(verb, *self._task(word)) for word in words]

    def _end(self, verb: str, run: str, task: int) -> Event:
        if verb in ("changed", "unchanged"):
            return AttemptSucceeded(run, task, verb == "changed")
        if verb == "lost":
            return AttemptFailed(run, task, ErrorClass.LOST)
        if verb.startswith("failed"):
            return AttemptFailed(run, task, ErrorClass(verb.partition(":")[2] or "permanent"))
        return ENDS[verb](run, task)

    def _task(self, name: str) -> tuple[str, int]:
        return next((run.name, run.tasks.index(name)) for run in self.runs.values() if name in run.tasks)

    def _submitted(self, name: str) -> RunSubmitted:
        run = self.runs[name]
        run.ended = None
        shared = self._shared(run) if "joins" in run.terms else []
        self._begun[name] = run
        return RunSubmitted(name, run.stages, **run.terms, shared=shared)

    def _shared(self, run: PlayedRun) -> list[Shared]:
        """Return what a run has in common with those that live: the same positions of stages of the same name."""
        return [
            Shared(number, np.arange(n), other.name, other_number, np.arange(n))
            for other in self._begun.values()
            if other is not run and other.ended is None
            for number, stage in enumerate(run.stages)
            for other_number, other_stage in enumerate(other.stages)
            if stage.dataset == other_stage.dataset
            for n in [min(len(stage.states), len(other_stage.states))]
        ]

    def _crash(self) -> None:
        for run in self.runs.values():
            self._restore(run)
        self._begun.clear()
        self.scheduler = self._scheduler()
        self.wake_at_ms = None

    def _restore(self, run: PlayedRun, again: set[str] | None = None) -> None:
        """Bring a run's stages to what is recorded, the ends of attempts; with `again`, only those tasks go again."""
        table = self.scheduler.runs[run.name].tasks
        for number, stage in enumerate(run.stages):
            for at in range(len(stage.states)):
                task = table.base[number] + at
                state = TaskState(table.state[task])
                kept = state in RECORDED or (again is not None and state in ENDED)
                if again is not None and run.tasks[task] in again:
                    kept = False
                stage.states[at] = state if kept else TaskState.WAITING
                stage.changed[at] = table.changed[task]

    # What follows

    def _told(self, step: Step) -> list[str]:
        told = []
        for state, group in groupby(step.transitions, key=lambda transition: transition.state):
            names = " ".join(self.runs[t.run].tasks[t.task] for t in group)
            told.append(f"{names} {state.name.lower().replace('_', ' ')}")
        for effect in step.effects:
            match effect:
                case StartAttempt(run, task, lead=lead) if lead is not None:
                    if task == lead:
                        told.append("! start together")
                    told[-1] += f" {self.runs[run].tasks[task]}"
                case StartAttempt(run, task, number=number):
                    told.append(f"! start {self.runs[run].tasks[task]}{f' (try {number})' if number > 1 else ''}")
                case StopAttempt(run, task):
                    told.append(f"! stop {self.runs[run].tasks[task]}")
                case YieldAttempt(run, task):
                    told.append(f"! yield {self.runs[run].tasks[task]}")
                case SaveBreaker(record):
                    self.breakers[record.name] = record
                    until = f" until {record.until_ms}" if record.until_ms else ""
                    told.append(f"! breaker {record.name} {record.state}{until}")
                case FinishRun(run, state):
                    self.runs[run].ended = state
                    told.append(f"! finish {'' if list(self.runs) == ['run'] else f'{run} '}{state}")
        return told

    def tally(self) -> str:
        """Return how many attempts of each run are running."""
        running = Counter({name: live.used for name, live in self.scheduler.runs.items()})
        return " ".join(f"{name}={n}" for name, n in sorted(running.items()) if n)


def _options(words: list[str]) -> dict[str, str]:
    return dict(word.split("=", 1) for word in words)


def _number(text: str | None) -> int | None:
    return None if text is None else int(text)


def _class_options(words: list[str]) -> dict[str, object]:
    kinds = {"ceiling": float, "slots": int, "floor": float, "reserved": int, "weight": float}
    options = _options(words)
    window = options.pop("window", None)
    made: dict[str, object] = {name: kinds[name](value) for name, value in options.items()}
    if window:
        start, end, ceiling = window.split(":")
        made["windows"] = (TimeWindow("UTC", float(ceiling), start_minute=int(start), end_minute=int(end)),)
    return made


def _slots(text: str) -> tuple[tuple[str, int], ...]:
    pairs = [pair.partition(":") for pair in text.split(",") if pair]
    return tuple((name, int(slots or 1)) for name, _, slots in pairs)


def _retry(text: str) -> RetryPolicy:
    attempts, backoff_ms, *budget = text.split(":")
    share = {"budget": float(budget[0]), "budget_min": int(budget[1])} if budget else {}
    return RetryPolicy(int(attempts), backoff_ms=int(backoff_ms), **share)


def _breaker(text: str) -> BreakerPolicy:
    failures, cooldown_ms = text.split(":")
    return BreakerPolicy(int(failures), int(cooldown_ms))


def _edge(run: PlayedRun, word: str, size: int) -> Edge:
    name, _, what = word.partition(":")
    names = [stage.dataset for stage in run.stages]
    # A stage that is declared further down has as many tasks.
    above = names.index(name) if name in names else len(names) + 1
    n = len(run.stages[above].states) if name in names else size
    here = np.arange(size, dtype=np.int32)
    if what == "same":
        return SameEdge(above)
    if what == "before":
        return RangeEdge(above, np.maximum(here - 1, 0), here)
    if what.startswith("last"):
        return RangeEdge(above, np.maximum(here + 1 - int(what[4:]), 0).astype(np.int32), here + 1)
    if what == "all":
        return SharedEdge(above, size, np.ones(n, bool))
    lists = [[] if one == "-" else list(map(int, one.split(","))) for one in what.split("/")]
    offsets = np.array([0, *np.cumsum([len(one) for one in lists])], np.int64)
    return ListEdge.build(above, n, offsets, np.array([p for one in lists for p in one], np.int32))
