"""A running attempt gives its slot to a class that waits for too long; nothing is killed for it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from headgate.core.effects import StartAttempt, YieldAttempt
from headgate.core.events import AttemptSucceeded, AttemptYielded, Lane, RunSubmitted, SlotsOffered, Stage, TimePassed
from headgate.core.scheduler import Scheduler
from headgate.model.policy import BACKFILL, FRESH
from headgate.model.run import TaskState

PATIENCE_MS = FRESH.patience_ms


def stage(n: int, *, can_yield: bool = True) -> Stage:
    none = np.zeros(n, bool)
    return Stage("s", Lane.PROCESS, (), np.arange(n), np.zeros(n, np.uint8), none, none, can_yield=can_yield)


@pytest.fixture
def scheduler() -> Scheduler:
    """Two slots, both taken by a backfill."""
    made = Scheduler((FRESH, replace(BACKFILL, floor=0.0)))
    made.handle(RunSubmitted("old", [stage(5)], "backfill"), 0)
    started = made.handle(SlotsOffered(Lane.PROCESS, 2, 2), 0).effects
    assert [effect.task for effect in started] == [0, 1]
    return made


def test_the_last_started_of_the_lowest_class_is_asked_after_the_patience(scheduler):
    step = scheduler.handle(RunSubmitted("new", [stage(2)], "fresh"), 10)
    assert step.effects == []
    assert step.wake_at_ms == 10 + PATIENCE_MS
    assert scheduler.handle(TimePassed(), 9 + PATIENCE_MS).effects == []
    assert scheduler.handle(TimePassed(), 10 + PATIENCE_MS).effects == [YieldAttempt("old", 1)]
    # One at a time, and nobody twice.
    assert scheduler.handle(TimePassed(), 10 + 2 * PATIENCE_MS).effects == []


def test_who_yields_goes_on_later_and_has_used_no_try(scheduler):
    scheduler.handle(RunSubmitted("new", [stage(1)], "fresh"), 0)
    scheduler.handle(TimePassed(), PATIENCE_MS)
    scheduler.handle(AttemptYielded("old", 1), PATIENCE_MS)
    assert scheduler.runs["old"].tasks.state[1] == TaskState.READY
    step = scheduler.handle(SlotsOffered(Lane.PROCESS, 1, 2), PATIENCE_MS)
    assert [(effect.run, effect.task) for effect in step.effects] == [("new", 0)]
    scheduler.handle(AttemptSucceeded("new", 0, True), PATIENCE_MS)
    step = scheduler.handle(SlotsOffered(Lane.PROCESS, 1, 2), PATIENCE_MS)
    assert step.effects == [StartAttempt("old", 1, 0, 1, 1, 2)]


def test_the_next_one_is_asked_when_the_first_has_answered(scheduler):
    scheduler.handle(RunSubmitted("new", [stage(2)], "fresh"), 0)
    scheduler.handle(TimePassed(), PATIENCE_MS)
    scheduler.handle(AttemptYielded("old", 1), PATIENCE_MS)
    scheduler.handle(SlotsOffered(Lane.PROCESS, 1, 2), PATIENCE_MS)
    # It got a slot just now: its patience begins anew.
    assert scheduler.handle(TimePassed(), 2 * PATIENCE_MS - 1).effects == []
    assert scheduler.handle(TimePassed(), 2 * PATIENCE_MS).effects == [YieldAttempt("old", 0)]


def test_an_end_that_was_on_its_way_is_as_good(scheduler):
    scheduler.handle(RunSubmitted("new", [stage(1)], "fresh"), 0)
    scheduler.handle(TimePassed(), PATIENCE_MS)
    scheduler.handle(AttemptSucceeded("old", 1, True), PATIENCE_MS)
    step = scheduler.handle(SlotsOffered(Lane.PROCESS, 1, 2), PATIENCE_MS)
    assert [effect.run for effect in step.effects] == ["new"]


def test_nobody_yields_for_an_equal_or_lower_class(scheduler):
    scheduler.handle(RunSubmitted("other", [stage(2)], "backfill", "bob"), 0)
    assert scheduler.handle(TimePassed(), 10 * PATIENCE_MS).effects == []


def test_what_cannot_yield_is_left_alone():
    made = Scheduler((FRESH, BACKFILL))
    made.handle(RunSubmitted("old", [stage(2, can_yield=False)], "backfill"), 0)
    made.handle(SlotsOffered(Lane.PROCESS, 2, 2), 0)
    made.handle(RunSubmitted("new", [stage(1)], "fresh"), 0)
    assert made.handle(TimePassed(), 10 * PATIENCE_MS).effects == []


def test_a_class_at_its_ceiling_asks_nobody():
    made = Scheduler((replace(FRESH, slots=0), BACKFILL))
    made.handle(RunSubmitted("old", [stage(2)], "backfill"), 0)
    made.handle(SlotsOffered(Lane.PROCESS, 2, 2), 0)
    made.handle(RunSubmitted("new", [stage(1)], "fresh"), 0)
    assert made.handle(TimePassed(), 10 * PATIENCE_MS).effects == []
