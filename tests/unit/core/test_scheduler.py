from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from headgate.core.edges import RangeEdge, SameEdge
from headgate.core.effects import FinishRun, SaveBreaker, StartAttempt, Step
from headgate.core.events import (
    AttemptCancelled,
    AttemptFailed,
    AttemptReturned,
    AttemptSucceeded,
    AttemptYielded,
    BreakerReset,
    BreakerTripped,
    CancelRequested,
    DrainRequested,
    Lane,
    PauseRequested,
    PoolResized,
    RetryRequested,
    RunSubmitted,
    SlotsOffered,
    Stage,
    TimePassed,
)
from headgate.core.scheduler import Scheduler
from headgate.errors import InternalError
from headgate.model.breaker import BreakerRecord, BreakerState
from headgate.model.policy import BreakerPolicy, Pool, RetryPolicy
from headgate.model.run import ErrorClass, RunState, TaskState


def stage(n: int, *edges, priority=None, **kwargs) -> Stage:
    order = np.arange(n) if priority is None else np.array(priority)
    made = Stage("s", Lane.PROCESS, edges, order, np.zeros(n, np.uint8), np.zeros(n, bool), np.zeros(n, bool))
    return replace(made, **kwargs)


def submitted(*stages: Stage, slots: int = 0) -> Scheduler:
    scheduler = Scheduler(traced=True)
    if slots:
        scheduler.handle(SlotsOffered(Lane.PROCESS, slots, slots), 0)
    scheduler.handle(RunSubmitted("r", stages), 0)
    return scheduler


def started(step: Step) -> list[tuple[str, int]]:
    return [(effect.run, effect.task) for effect in step.effects if isinstance(effect, StartAttempt)]


def test_smaller_priority_first_then_smaller_number():
    scheduler = submitted(stage(4, priority=[7, 2**31 - 1, 0, 7]))
    step = scheduler.handle(SlotsOffered(Lane.PROCESS, 9, 9), 0)
    assert [start.task for start in step.effects] == [2, 0, 3, 1]


def test_an_offer_replaces_the_one_before():
    scheduler = submitted(stage(4))
    scheduler.handle(SlotsOffered(Lane.PROCESS, 1, 1), 0)
    assert scheduler.lanes[Lane.PROCESS].free == 0
    assert len(scheduler.handle(SlotsOffered(Lane.PROCESS, 2, 3), 0).effects) == 2
    assert scheduler.handle(SlotsOffered(Lane.IO, 5, 5), 0).effects == []
    assert scheduler.handle(SlotsOffered(Lane.PROCESS, -1, 0), 0).effects == []


def test_runs_live_side_by_side():
    scheduler = submitted(stage(1))
    scheduler.handle(RunSubmitted("other", [stage(1)]), 0)
    step = scheduler.handle(SlotsOffered(Lane.PROCESS, 2, 2), 0)
    assert step.effects == [StartAttempt("r", 0, 0, 0, 1, 2), StartAttempt("other", 0, 0, 0, 1, 2)]
    assert scheduler.handle(AttemptSucceeded("other", 0, True), 0).effects == [FinishRun("other", RunState.SUCCEEDED)]
    scheduler.forget("other")
    assert list(scheduler.runs) == ["r"]


@pytest.mark.parametrize(
    "event",
    [
        AttemptSucceeded("r", 0, changed=True),
        AttemptFailed("r", 0, ErrorClass.DATA),
        AttemptFailed("r", 1, ErrorClass.LOST),
        AttemptFailed("unknown", 0, ErrorClass.DATA),
        DrainRequested("unknown"),
        CancelRequested("unknown"),
        RunSubmitted("r", []),
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
    step = Scheduler().handle(RunSubmitted("r", [stage(2, states=np.array([4, 6], np.uint8))]), 0)
    assert step.effects == [FinishRun("r", RunState.FAILED)]
    assert step.transitions == []


def test_requests_for_a_finished_run_change_nothing():
    scheduler = submitted(stage(1), stage(1, SameEdge(0)), slots=1)
    scheduler.handle(DrainRequested("r"), 0)
    assert scheduler.handle(AttemptSucceeded("r", 0, True), 0).effects == [FinishRun("r", RunState.INTERRUPTED)]
    for event in (CancelRequested("r"), DrainRequested("r"), SlotsOffered(Lane.PROCESS, 3, 3)):
        step = scheduler.handle(event, 0)
        assert (step.transitions, step.effects) == ([], [])


def test_many_tries_are_counted():
    scheduler = Scheduler()
    scheduler.handle(SlotsOffered(Lane.PROCESS, 1000, 1000), 0)
    scheduler.handle(RunSubmitted("r", [stage(1, retry=RetryPolicy(1000, backoff_ms=0))]), 0)
    starts = [scheduler.handle(AttemptFailed("r", 0, ErrorClass.LOST), 0).effects for _ in range(999)]
    assert starts[-1] == [StartAttempt("r", 0, 0, 0, 1000, 1000)]
    assert scheduler.handle(AttemptFailed("r", 0, ErrorClass.LOST), 0).effects == [FinishRun("r", RunState.FAILED)]


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


def test_each_run_keeps_its_own_bound_of_a_dataset_and_all_attempts_count():
    scheduler = submitted(stage(9, concurrency=2))
    scheduler.handle(RunSubmitted("wide", [stage(9, concurrency=3)], priority=1), 0)
    scheduler.handle(RunSubmitted("open", [stage(1)], priority=2), 0)
    first = scheduler.handle(SlotsOffered(Lane.PROCESS, 9, 9), 0)
    assert started(first) == [("open", 0), ("wide", 0), ("wide", 1)]
    # Two of the others are left: as many as the narrow one bears.
    assert started(scheduler.handle(AttemptSucceeded("open", 0, True), 0)) == [("wide", 2)]
    assert started(scheduler.handle(PauseRequested("wide"), 0)) == []
    assert started(scheduler.handle(AttemptSucceeded("wide", 0, True), 0)) == []
    assert started(scheduler.handle(AttemptSucceeded("wide", 1, True), 0)) == [("r", 0)]
    assert started(scheduler.handle(RunSubmitted("late", [stage(2)]), 0)) == [("late", 0), ("late", 1)]


@pytest.mark.parametrize("bounds", [(None, 1), (1, None), (1, 2), (2, 1)])
def test_the_order_of_submissions_does_not_change_a_bound_of_a_dataset(bounds):
    scheduler = Scheduler()
    for number, concurrency in enumerate(bounds):
        scheduler.handle(RunSubmitted(f"r{number}", [stage(4, concurrency=concurrency)], priority=-number), 0)
    starts = started(scheduler.handle(SlotsOffered(Lane.PROCESS, 6, 6), 0))
    # The first run goes as far as its own bound, the second as far as is left of its.
    mine = 4 if bounds[0] is None else bounds[0]
    theirs = 4 if bounds[1] is None else max(0, bounds[1] - mine)
    assert [run for run, _ in starts] == ["r0"] * mine + ["r1"] * theirs


def test_a_larger_pool_lets_those_go_on_who_waited_for_it():
    scheduler = Scheduler(pools={"p": Pool("p", 1)})
    scheduler.handle(SlotsOffered(Lane.PROCESS, 9, 9), 0)
    scheduler.handle(RunSubmitted("r", [stage(4, pools=(("p", 1),))]), 0)
    assert started(scheduler.handle(PoolResized("p", 3), 0)) == [("r", 1), ("r", 2)]


def test_a_task_that_backs_off_starts_by_itself_when_it_is_due():
    scheduler = submitted(stage(1, retry=RetryPolicy(backoff_ms=1000)), slots=2)
    due_ms = scheduler.handle(AttemptFailed("r", 0, ErrorClass.TRANSIENT), 50).wake_at_ms
    assert 50 < due_ms <= 1050
    assert scheduler.handle(TimePassed(), due_ms - 1).effects == []
    assert started(scheduler.handle(TimePassed(), due_ms)) == [("r", 0)]


def test_a_timer_of_an_earlier_submission_means_nothing_to_the_next():
    def again() -> Stage:
        return stage(1, retry=RetryPolicy(backoff_ms=300_000))

    scheduler = submitted(again(), slots=9)
    first_ms = scheduler.handle(AttemptFailed("r", 0, ErrorClass.TRANSIENT), 0).wake_at_ms
    scheduler.handle(CancelRequested("r"), 0)
    scheduler.forget("r")
    scheduler.handle(RunSubmitted("r", [again()]), 10)
    scheduler.handle(AttemptFailed("r", 0, ErrorClass.TRANSIENT), first_ms - 1)
    step = scheduler.handle(TimePassed(), first_ms)
    assert step.effects == []
    assert started(scheduler.handle(TimePassed(), step.wake_at_ms)) == [("r", 0)]


def test_a_timer_of_a_drained_run_changes_nothing():
    scheduler = submitted(stage(1, retry=RetryPolicy(backoff_ms=1000)), slots=1)
    due_ms = scheduler.handle(AttemptFailed("r", 0, ErrorClass.TRANSIENT), 0).wake_at_ms
    assert scheduler.handle(DrainRequested("r"), 0).effects == [FinishRun("r", RunState.INTERRUPTED)]
    assert scheduler.handle(TimePassed(), due_ms).transitions == []


def test_a_clock_that_is_set_back_stands_still():
    scheduler = submitted(stage(1, retry=RetryPolicy(backoff_ms=1000)), slots=1)
    scheduler.handle(TimePassed(), 1_000_000)
    step = scheduler.handle(AttemptFailed("r", 0, ErrorClass.TRANSIENT), 5)
    assert step.wake_at_ms > 1_000_000


@pytest.mark.parametrize("event", [CancelRequested("r"), AttemptFailed("r", 0, ErrorClass.DATA)])
def test_what_is_cancelled_or_has_ended_is_not_retried(event):
    scheduler = submitted(stage(1), slots=2)
    scheduler.handle(event, 0)
    step = scheduler.handle(RetryRequested("r"), 0)
    assert (step.transitions, step.effects) == ([], [])


def test_a_retry_leaves_alone_what_cannot_be_made():
    blocked = np.array([TaskState.BLOCKED, 0, 0], np.uint8)
    scheduler = submitted(stage(3, states=blocked), stage(3, SameEdge(0)), slots=3)
    scheduler.handle(AttemptFailed("r", 1, ErrorClass.DATA), 0)
    step = scheduler.handle(RetryRequested("r"), 0)
    assert started(step) == [("r", 1)]
    assert [TaskState(state).name for state in scheduler.runs["r"].tasks.state] == (
        ["BLOCKED", "RUNNING", "RUNNING", "BLOCKED", "WAITING", "WAITING"]
    )


def test_parked_tasks_get_what_room_the_budget_has_before_they_are_given_up():
    retry = RetryPolicy(2, backoff_ms=0, budget=0.5, budget_min=1)
    scheduler = submitted(stage(3, retry=retry), slots=1)
    ends = [ErrorClass.TRANSIENT, ErrorClass.TRANSIENT, ErrorClass.TRANSIENT, ErrorClass.DATA]
    for task, error_class in zip([0, 0, 1, 2], ends, strict=True):
        scheduler.handle(AttemptFailed("r", task, error_class), 0)
        step = scheduler.handle(SlotsOffered(Lane.PROCESS, 1, 1), 0)
    assert started(step) == [("r", 1)]


def test_a_returned_attempt_teaches_nothing_about_durations_and_makes_no_room_in_the_budget():
    scheduler = submitted(stage(1), slots=1)
    scheduler.handle(AttemptReturned("r", 0), 100_000)
    returned = scheduler.runs["r"].stages[0]
    assert (returned.typical_ms, returned.attempts) == (1000.0, 0)


def test_a_breaker_that_closed_under_one_policy_opens_by_the_next():
    scheduler = submitted(stage(1), slots=1)
    scheduler.handle(AttemptSucceeded("r", 0, True), 0)
    quick = BreakerPolicy(1, cooldown_ms=7)
    scheduler.handle(RunSubmitted("other", [stage(1, breaker=quick)]), 0)
    scheduler.handle(SlotsOffered(Lane.PROCESS, 1, 1), 0)
    step = scheduler.handle(AttemptFailed("other", 0, ErrorClass.PERMANENT), 0)
    opened = BreakerRecord("dataset:s", BreakerState.OPEN, 1, 14, 7)
    assert step.effects[0] == SaveBreaker(opened)


@pytest.mark.parametrize(
    "end",
    [
        AttemptReturned("r", 0),
        AttemptFailed("r", 0, ErrorClass.LOST),
        AttemptCancelled("r", 0),
    ],
)
def test_a_probe_without_an_answer_leaves_the_probe_to_the_next(end):
    record = BreakerRecord("dataset:s", BreakerState.HALF_OPEN, 5, 20, 0)
    scheduler = Scheduler(breakers=[record])
    scheduler.handle(SlotsOffered(Lane.PROCESS, 9, 9), 0)
    step = scheduler.handle(RunSubmitted("r", [stage(3, retry=RetryPolicy(backoff_ms=0))]), 0)
    assert len(started(step)) == 1
    step = scheduler.handle(end, 0)
    assert len(started(step)) == 1
    assert not [effect for effect in step.effects if isinstance(effect, SaveBreaker)]


def test_a_probe_that_yields_is_an_answer():
    record = BreakerRecord("dataset:s", BreakerState.HALF_OPEN, 5, 20, 0)
    scheduler = Scheduler(breakers=[record])
    scheduler.handle(SlotsOffered(Lane.PROCESS, 9, 9), 0)
    scheduler.handle(RunSubmitted("r", [stage(3)]), 0)
    assert len(started(scheduler.handle(AttemptYielded("r", 0), 0))) == 3


def test_an_open_breaker_stays_open_over_a_restart():
    record = BreakerRecord("dataset:s", BreakerState.OPEN, 5, 20, 700)
    scheduler = Scheduler(breakers=[record])
    scheduler.handle(SlotsOffered(Lane.PROCESS, 9, 9), 0)
    step = scheduler.handle(RunSubmitted("r", [stage(2)]), 0)
    assert (step.effects, step.wake_at_ms) == ([], 700)
    assert started(scheduler.handle(TimePassed(), 700)) == [("r", 0)]


@pytest.mark.parametrize("event", [BreakerTripped("dataset:x"), BreakerReset("dataset:x")])
def test_a_breaker_that_does_not_exist_is_a_bug(event):
    with pytest.raises(InternalError, match="no breaker dataset:x"):
        Scheduler().handle(event, 0)
