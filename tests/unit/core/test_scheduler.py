from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from headgate.core.edges import RangeEdge, SameEdge
from headgate.core.effects import FinishRun, StartAttempt
from headgate.core.events import (
    AttemptFailed,
    AttemptLost,
    AttemptSucceeded,
    CancelRequested,
    DrainRequested,
    Pool,
    RunSubmitted,
    SlotsOffered,
    Stage,
)
from headgate.core.scheduler import Scheduler
from headgate.errors import InternalError
from headgate.model.run import RunState, TaskState


def stage(n: int, *edges, priority=None, **kwargs) -> Stage:
    order = np.arange(n) if priority is None else np.array(priority)
    made = Stage("s", Pool.PROCESS, edges, order, np.zeros(n, np.uint8), np.zeros(n, bool), np.zeros(n, bool))
    return replace(made, **kwargs)


def submitted(*stages: Stage, slots: int = 0) -> Scheduler:
    scheduler = Scheduler()
    if slots:
        scheduler.handle(SlotsOffered(Pool.PROCESS, slots), 0)
    scheduler.handle(RunSubmitted("r", stages, 3), 0)
    return scheduler


def test_smaller_priority_first_then_smaller_number():
    scheduler = submitted(stage(4, priority=[7, 2**31 - 1, 0, 7]))
    step = scheduler.handle(SlotsOffered(Pool.PROCESS, 9), 0)
    assert [start.task for start in step.effects] == [2, 0, 3, 1]


def test_an_offer_replaces_the_one_before():
    scheduler = submitted(stage(4))
    scheduler.handle(SlotsOffered(Pool.PROCESS, 1), 0)
    assert scheduler.free[Pool.PROCESS] == 0
    assert len(scheduler.handle(SlotsOffered(Pool.PROCESS, 2), 0).effects) == 2
    assert scheduler.handle(SlotsOffered(Pool.IO, 5), 0).effects == []
    assert scheduler.handle(SlotsOffered(Pool.PROCESS, -1), 0).effects == []


def test_runs_live_side_by_side():
    scheduler = submitted(stage(1))
    scheduler.handle(RunSubmitted("other", [stage(1)], 3), 0)
    step = scheduler.handle(SlotsOffered(Pool.PROCESS, 2), 0)
    assert step.effects == [StartAttempt("r", 0, 0, 0, 1), StartAttempt("other", 0, 0, 0, 1)]
    assert scheduler.handle(AttemptSucceeded("other", 0, True), 0).effects == [FinishRun("other", RunState.SUCCEEDED)]
    scheduler.forget("other")
    assert list(scheduler.runs) == ["r"]


@pytest.mark.parametrize(
    "event",
    [
        AttemptSucceeded("r", 0, changed=True),
        AttemptFailed("r", 0),
        AttemptLost("r", 1),
        AttemptFailed("unknown", 0),
        DrainRequested("unknown"),
        CancelRequested("unknown"),
        RunSubmitted("r", [], 3),
    ],
)
def test_what_cannot_happen_is_a_bug(event):
    scheduler = submitted(stage(1), stage(1, SameEdge(0)))
    with pytest.raises(InternalError):
        scheduler.handle(event, 0)


def test_an_outcome_twice_is_a_bug():
    scheduler = submitted(stage(2), slots=1)
    scheduler.handle(AttemptSucceeded("r", 0, True), 0)
    with pytest.raises(InternalError, match="task 0 in run r ended, but the task is SUCCEEDED"):
        scheduler.handle(AttemptSucceeded("r", 0, True), 0)


def test_tasks_that_wait_for_each_other_are_a_bug():
    with pytest.raises(InternalError, match="2 tasks of run r wait, the first is 0"):
        submitted(stage(1, SameEdge(1)), stage(1, SameEdge(0)))


def test_a_task_cannot_be_submitted_as_running():
    with pytest.raises(InternalError, match="neither waits nor has ended"):
        submitted(stage(1, states=np.array([TaskState.RUNNING], np.uint8)))


def test_a_run_of_ended_tasks_has_ended():
    step = Scheduler().handle(RunSubmitted("r", [stage(2, states=np.array([4, 6], np.uint8))], 3), 0)
    assert step.effects == [FinishRun("r", RunState.FAILED)]
    assert step.transitions == []


def test_requests_for_a_finished_run_change_nothing():
    scheduler = submitted(stage(1), stage(1, SameEdge(0)), slots=1)
    scheduler.handle(DrainRequested("r"), 0)
    assert scheduler.handle(AttemptSucceeded("r", 0, True), 0).effects == [FinishRun("r", RunState.INTERRUPTED)]
    for event in (CancelRequested("r"), DrainRequested("r"), SlotsOffered(Pool.PROCESS, 3)):
        step = scheduler.handle(event, 0)
        assert (step.transitions, step.effects) == ([], [])


def test_many_tries_are_counted():
    scheduler = Scheduler()
    scheduler.handle(SlotsOffered(Pool.PROCESS, 1000), 0)
    scheduler.handle(RunSubmitted("r", [stage(1)], 1000), 0)
    starts = [scheduler.handle(AttemptLost("r", 0), 0).effects for _ in range(999)]
    assert starts[-1] == [StartAttempt("r", 0, 0, 0, 1000)]
    assert scheduler.handle(AttemptLost("r", 0), 0).effects == [FinishRun("r", RunState.FAILED)]


def test_long_chains_of_skips_and_blocks_need_no_recursion():
    n = 20_000
    here = np.arange(n, dtype=np.int32)
    before = RangeEdge(0, np.maximum(here - 1, 0), here)
    skippable = np.ones(n, bool)
    scheduler = submitted(stage(n, before, skippable=skippable))
    assert scheduler.runs["r"].tasks.total(TaskState.SKIPPED) == n
    failed = np.zeros(n, np.uint8)
    failed[0] = TaskState.FAILED
    scheduler = submitted(stage(n, before, states=failed))
    assert scheduler.runs["r"].tasks.total(TaskState.BLOCKED) == n - 1
