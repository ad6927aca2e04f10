"""Ranged attempts, where a transcript is too coarse."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from headgate.core.effects import FinishRun, StartAttempt, Step, StopAttempt
from headgate.core.events import (
    AttemptCancelled,
    AttemptFailed,
    AttemptReturned,
    AttemptSucceeded,
    BreakerTripped,
    CancelRequested,
    Lane,
    RetryRequested,
    RunReordered,
    RunSubmitted,
    SlotsOffered,
    Stage,
    TimePassed,
)
from headgate.core.invariants import violations
from headgate.core.ranged import Chain
from headgate.core.scheduler import Scheduler
from headgate.model.breaker import BreakerState
from headgate.model.policy import BreakerPolicy, RetryPolicy
from headgate.model.run import ErrorClass, RunState, TaskState

NO_WAIT = RetryPolicy(backoff_ms=0)


def stage(n: int, *, priority=None, **kwargs) -> Stage:
    order = np.arange(n) if priority is None else np.array(priority)
    none = np.zeros(n, bool)
    successor = np.append(np.arange(1, n), -1).astype(np.int32)
    made = Stage("s", Lane.PROCESS, (), order, np.zeros(n, np.uint8), none, none, batch=3, successor=successor)
    return replace(made, **{"retry": NO_WAIT, **kwargs})


class Driver:
    """A scheduler with one run, whose invariants hold after every event."""

    def __init__(self, *stages: Stage, slots: int = 1, **terms) -> None:
        self.scheduler = Scheduler(**terms)
        self.offer(slots)
        self.step = self.tell(RunSubmitted("r", stages))

    @property
    def run(self):
        return self.scheduler.runs["r"]

    def tell(self, *events, now_ms: int = 0) -> Step:
        for event in events:
            self.step = self.scheduler.handle(event, now_ms)
            assert violations(self.scheduler) == []
        return self.step

    def offer(self, free: int) -> list[list[int]]:
        self.tell(SlotsOffered(Lane.PROCESS, free, free + self.scheduler.used))
        return self.started()

    def started(self) -> list[list[int]]:
        """Return the tasks that the latest step started, those of one attempt together."""
        found: list[list[int]] = []
        for start in self.step.effects:
            if isinstance(start, StartAttempt):
                if start.lead in (None, start.task):
                    found.append([])
                assert len(found[-1]) == 0 or found[-1][0] == start.lead
                found[-1].append(start.task)
        return found


@pytest.mark.parametrize(
    ("position", "most", "closed", "found"),
    [
        (0, 3, (), [0, 1, 2]),
        (2, 3, (), [2, 3, 4]),
        (4, 9, (), [2, 3, 4]),
        (4, 2, (), [3, 4]),
        (1, 9, (2,), [0, 1]),
        (5, 9, (), [5]),
        (8, 9, (6,), [8]),
        (6, 9, (), [6, 8]),
    ],
)
def test_neighbours_are_those_after_then_those_before(position, most, closed, found):
    chain = Chain(np.array([1, 2, -1, -1, -1, -1, 8, -1, -1], np.int32))
    if position in (2, 4):
        chain = Chain(np.array([-1, -1, 3, 4, -1, -1, 8, -1, -1], np.int32))
    assert chain.around(position, most, lambda at: at not in closed) == found


def test_tasks_from_the_midst_of_the_queue_join_and_are_not_started_again():
    driver = Driver(stage(6, priority=[0, 5, 4, 3, 2, 1]))
    assert driver.started() == [[0, 1, 2]]
    assert driver.offer(9) == [[3, 4, 5]]


def test_the_newest_first_takes_those_before_it():
    driver = Driver(stage(5, priority=[4, 3, 2, 1, 0]))
    assert driver.started() == [[2, 3, 4]]
    assert driver.offer(9) == [[0, 1]]


def test_what_was_taken_from_the_midst_comes_back_where_it_was():
    driver = Driver(stage(6, priority=[0, 5, 4, 3, 2, 1]))
    driver.tell(*(AttemptReturned("r", task) for task in (2, 1, 0)))
    assert driver.offer(1) == [[0, 1, 2]]
    assert driver.offer(9) == [[3, 4, 5]]


def test_what_came_back_may_be_in_another_company_before_the_rest_has_ended():
    driver = Driver(stage(3))
    driver.tell(AttemptReturned("r", 0), AttemptReturned("r", 1))
    assert driver.offer(1) == [[0, 1]]
    assert (driver.run.used, driver.scheduler.used) == (2, 2)
    driver.tell(AttemptSucceeded("r", 0, True), AttemptSucceeded("r", 2, True))
    assert driver.run.used == 1
    assert driver.tell(AttemptSucceeded("r", 1, True)).effects == [FinishRun("r", RunState.SUCCEEDED)]


def test_another_order_forgets_what_was_taken_from_the_midst():
    driver = Driver(stage(6, priority=[0, 5, 4, 3, 2, 1]))
    driver.tell(RunReordered("r", [np.arange(6)]))
    assert driver.run.tasks.taken == set()
    driver.tell(AttemptFailed("r", 1, ErrorClass.DATA))
    assert driver.offer(9) == [[1], [3, 4, 5]]


def test_a_ranged_attempt_that_comes_back_unstarted_costs_nothing():
    driver = Driver(stage(3))
    driver.tell(*(AttemptReturned("r", task) for task in range(3)))
    assert driver.run.stages[0].attempts == 0
    assert driver.run.stages[0].typical_ms == 1000.0
    assert driver.offer(1) == [[0, 1, 2]]


def test_its_first_task_may_run_alone_while_the_others_have_not_ended():
    driver = Driver(stage(3), slots=5)
    driver.tell(AttemptFailed("r", 0, ErrorClass.DATA))
    assert driver.started() == [[0]]
    assert (driver.run.used, driver.scheduler.used) == (2, 2)
    driver.tell(AttemptSucceeded("r", 1, True), AttemptSucceeded("r", 2, True))
    assert driver.run.used == 1
    driver.tell(AttemptSucceeded("r", 0, True))
    assert driver.step.effects == [FinishRun("r", RunState.SUCCEEDED)]
    assert driver.scheduler.used == 0


def test_a_failure_in_it_costs_no_try_whatever_its_class_and_comes_once():
    driver = Driver(stage(2, retry=RetryPolicy(1)), slots=1)
    driver.tell(AttemptFailed("r", 0, ErrorClass.DATA), AttemptFailed("r", 1, ErrorClass.LOST), now_ms=5000)
    due_ms = driver.step.wake_at_ms
    assert due_ms is not None
    driver.tell(TimePassed(), now_ms=10_000)
    starts = [driver.offer(2), [start.number for start in driver.step.effects]]
    assert sorted(starts[0]) == [[0], [1]]
    assert starts[1] == [1, 1]
    driver.tell(AttemptFailed("r", 0, ErrorClass.DATA), AttemptSucceeded("r", 1, True), now_ms=10_000)
    assert driver.step.effects == [FinishRun("r", RunState.FAILED)]


def test_a_breaker_counts_it_once_and_only_if_all_of_it_failed():
    driver = Driver(stage(9, breaker=BreakerPolicy(2, 1000, 1000)), slots=9)
    breaker = driver.scheduler.breakers["dataset:s"]
    driver.offer(0)
    driver.tell(AttemptFailed("r", 0, ErrorClass.PERMANENT), AttemptSucceeded("r", 1, True))
    driver.tell(AttemptFailed("r", 2, ErrorClass.PERMANENT))
    assert (breaker.state, breaker.failures) == (BreakerState.CLOSED, 0)
    driver.tell(*(AttemptFailed("r", task, ErrorClass.PERMANENT) for task in (3, 4, 5)))
    assert (breaker.state, breaker.failures) == (BreakerState.CLOSED, 1)
    driver.tell(*(AttemptFailed("r", task, ErrorClass.PERMANENT) for task in (6, 7, 8)))
    assert breaker.state is BreakerState.OPEN


@pytest.mark.parametrize(
    ("events", "state"),
    [
        ([AttemptFailed("r", 0, ErrorClass.PERMANENT), AttemptSucceeded("r", 1, True)], BreakerState.CLOSED),
        ([AttemptSucceeded("r", 0, True), AttemptFailed("r", 1, ErrorClass.PERMANENT)], BreakerState.CLOSED),
        ([AttemptFailed("r", 0, ErrorClass.PERMANENT), AttemptReturned("r", 1)], BreakerState.OPEN),
        ([AttemptReturned("r", 0), AttemptReturned("r", 1)], BreakerState.HALF_OPEN),
    ],
)
def test_it_may_be_a_probe(events, state):
    driver = Driver(stage(2, breaker=BreakerPolicy(1, 1000, 1000)), slots=0)
    driver.tell(BreakerTripped("dataset:s"))
    driver.tell(TimePassed(), now_ms=1000)
    assert driver.offer(1) == [[0, 1]]
    assert driver.offer(1) == []
    driver.tell(SlotsOffered(Lane.PROCESS, 0, 1), *events, now_ms=1000)
    assert driver.scheduler.breakers["dataset:s"].state is state


def test_each_of_its_tasks_is_stopped():
    driver = Driver(stage(3))
    assert driver.tell(CancelRequested("r")).effects == [StopAttempt("r", task) for task in range(3)]
    driver.tell(AttemptCancelled("r", 0), AttemptFailed("r", 1, ErrorClass.LOST), AttemptSucceeded("r", 2, True))
    assert driver.step.effects == [FinishRun("r", RunState.CANCELLED)]
    assert driver.run.tasks.tasks_in(TaskState.CANCELLED) == [0, 1]


def test_a_retry_by_hand_finds_what_was_taken_from_the_midst():
    driver = Driver(stage(4, priority=[0, 3, 2, 1]))
    assert driver.started() == [[0, 1, 2]]
    driver.tell(AttemptFailed("r", 1, ErrorClass.DATA), AttemptSucceeded("r", 0, True), AttemptSucceeded("r", 2, True))
    assert driver.offer(2) == [[3], [1]]
    driver.tell(AttemptFailed("r", 1, ErrorClass.DATA), RetryRequested("r"))
    assert driver.offer(1) == [[1]]


def test_what_can_yield_goes_alone():
    assert Driver(stage(3, can_yield=True)).started() == [[0]]
