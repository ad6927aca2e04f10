"""Events in, what follows out, as text: read a case in tests/transcripts/*.txt like a story.

A case begins with comments and its stages, one a line:

    stage NAME TASKS [io] [skip] [UP:same | UP:before | UP:last3 | UP:all | UP:0,1/2/-] ...

`io` puts its attempts into the pool of async functions, `skip` lets its tasks be skipped when nothing upstream has
changed; the rest says what its tasks read of a stage: the same position, the one before, the last three, all, or a list
for each task. Then come events, each after `>`, and below each what the scheduler does: states that tasks move to, and
effects. `crash` forgets everything but the ends of attempts and submits the run again.

HEADGATE_REWRITE=1 writes what follows anew, for review with git diff.
"""

from __future__ import annotations

import os
from itertools import groupby
from pathlib import Path

import numpy as np
import pytest

from headgate.core.edges import Edge, ListEdge, RangeEdge, SameEdge, SharedEdge
from headgate.core.effects import FinishRun, StartAttempt, Step, StopAttempt
from headgate.core.events import (
    AttemptCancelled,
    AttemptFailed,
    AttemptLost,
    AttemptReturned,
    AttemptSucceeded,
    CancelRequested,
    DrainRequested,
    Event,
    Pool,
    RunSubmitted,
    SlotsOffered,
    Stage,
)
from headgate.core.invariants import violations
from headgate.core.scheduler import Scheduler
from headgate.model.run import TaskState

CASES = sorted(Path(__file__).parent.glob("*.txt"))
MAX_TRIES = 3
RUN = "run"
RECORDED = (TaskState.SUCCEEDED, TaskState.FAILED)


class Play:
    """One case: a scheduler, and the names of its tasks."""

    def __init__(self, declarations: list[str]) -> None:
        words = [line.split()[1:] for line in declarations]
        self.sizes = {name: int(size) for name, size, *_ in words}
        self.stages: list[Stage] = []
        for name, _, *rest in words:
            self._declare(name, rest)
        self.names = [f"{name}{i}" for name, size in self.sizes.items() for i in range(size)]
        self.scheduler = Scheduler()

    def _declare(self, name: str, words: list[str]) -> None:
        size = self.sizes[name]
        options = [word for word in words if ":" not in word]
        assert set(options) <= {"io", "skip"}, options
        self.stages.append(
            Stage(
                dataset=name,
                pool=Pool.IO if "io" in options else Pool.PROCESS,
                edges=tuple(self._edge(word, size) for word in words if ":" in word),
                priority=np.arange(size) * 100 + 99 - len(self.stages),
                states=np.zeros(size, np.uint8),
                changed=np.zeros(size, bool),
                skippable=np.full(size, "skip" in options),
            )
        )

    def _edge(self, word: str, size: int) -> Edge:
        name, _, what = word.partition(":")
        above, n = list(self.sizes).index(name), self.sizes[name]
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

    def act(self, line: str) -> list[str]:
        """Tell the scheduler the events of a line; return what follows."""
        verb, *words = line.split()
        if verb == "crash":
            self._crash()
            verb = "submit"
        steps = []
        for event in self._events(verb, words):
            steps.append(self.scheduler.handle(event, 0))
            assert violations(self.scheduler) == []
        return [text for step in steps for text in self._told(step)]

    def _events(self, verb: str, words: list[str]) -> list[Event]:
        match verb:
            case "submit":
                return [RunSubmitted(RUN, self.stages, MAX_TRIES)]
            case "offer":
                return [SlotsOffered(Pool(words[0]), int(words[1]))]
            case "drain":
                return [DrainRequested(RUN)]
            case "cancel":
                return [CancelRequested(RUN)]
        tasks = [self.names.index(word) for word in words]
        if verb in ("changed", "unchanged"):
            return [AttemptSucceeded(RUN, task, verb == "changed") for task in tasks]
        ended = {"failed": AttemptFailed, "lost": AttemptLost, "returned": AttemptReturned, "stopped": AttemptCancelled}
        return [ended[verb](RUN, task) for task in tasks]

    def _crash(self) -> None:
        table = self.scheduler.runs[RUN].tasks
        for number, stage in enumerate(self.stages):
            for at in range(len(stage.states)):
                state = table.state[table.base[number] + at]
                stage.states[at] = state if state in RECORDED else TaskState.WAITING
                stage.changed[at] = table.changed[table.base[number] + at]
        self.scheduler = Scheduler()

    def _told(self, step: Step) -> list[str]:
        told = []
        for state, group in groupby(step.transitions, key=lambda transition: transition.state):
            told.append(f"{' '.join(self.names[t.task] for t in group)} {state.name.lower().replace('_', ' ')}")
        for effect in step.effects:
            match effect:
                case StartAttempt(task=task, number=number):
                    told.append(f"! start {self.names[task]}{f' (try {number})' if number > 1 else ''}")
                case StopAttempt(task=task):
                    told.append(f"! stop {self.names[task]}")
                case FinishRun(state=state):
                    told.append(f"! finish {state}")
        return told


def played(text: str) -> str:
    """Return a case with what follows each event as it is now."""
    lines = [line for line in text.splitlines() if not line.startswith("    ")]
    play = Play([line for line in lines if line.startswith("stage ")])
    out = []
    for line in lines:
        out.append(line)
        if line.startswith("> "):
            out += [f"    {told}" for told in play.act(line[2:].partition("#")[0])]
    return "\n".join(out) + "\n"


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_transcript(case: Path) -> None:
    text = case.read_text()
    now = played(text)
    if os.environ.get("HEADGATE_REWRITE"):
        case.write_text(now)
    else:
        assert now == text


def test_there_are_transcripts() -> None:
    assert len(CASES) >= 11
