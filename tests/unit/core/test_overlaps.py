"""Runs that have partitions in common: who builds them, who waits, and what becomes of who waits."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from headgate.core.edges import SameEdge
from headgate.core.effects import FinishRun, StartAttempt, Step, StopAttempt
from headgate.core.events import (
    AttemptCancelled,
    AttemptFailed,
    AttemptSucceeded,
    CancelRequested,
    DrainRequested,
    Event,
    Lane,
    RetryRequested,
    RunSubmitted,
    Shared,
    SlotsOffered,
    Stage,
)
from headgate.core.invariants import violations
from headgate.core.reasons import delays
from headgate.core.scheduler import Scheduler
from headgate.model.policy import RetryPolicy
from headgate.model.reason import Wait
from headgate.model.run import ErrorClass, RunState, TaskState

ONCE = RetryPolicy(attempts=1)


def stages(days: int) -> list[Stage]:
    """Return two datasets, each day of the second made from that of the first: tasks 0 .. days, days .. 2 * days."""
    none, zeros = np.zeros(days, bool), np.zeros(days, np.uint8)
    return [
        Stage(name, Lane.PROCESS, edges, np.arange(days), zeros, none, none, retry=ONCE)
        for name, edges in (("raw", ()), ("clean", (SameEdge(0),)))
    ]


def same(run: str, days: int) -> tuple[Shared, ...]:
    every = np.arange(days)
    return tuple(Shared(stage, every, run, stage, every) for stage in (0, 1))


class Driver:
    """A scheduler whose invariants hold after every event."""

    def __init__(self) -> None:
        self.scheduler = Scheduler()
        self.seen: list[object] = []

    def tell(self, event: Event) -> Step:
        step = self.scheduler.handle(event, 0)
        assert violations(self.scheduler) == []
        self.seen += step.effects
        return step

    def offer(self, slots: int) -> set[tuple[str, int]]:
        """Offer slots; return what was started."""
        step = self.tell(SlotsOffered(Lane.PROCESS, slots, 9))
        self.tell(SlotsOffered(Lane.PROCESS, 0, 9))
        return {(start.run, start.task) for start in step.effects if isinstance(start, StartAttempt)}

    def succeed(self, run: str, task: int) -> Step:
        return self.tell(AttemptSucceeded(run, task, changed=True))

    def state(self, run: str, task: int) -> TaskState:
        return TaskState(self.scheduler.runs[run].tasks.state[task])

    def ends(self) -> list[tuple[str, RunState]]:
        return [(one.run, one.state) for one in self.seen if isinstance(one, FinishRun)]


@pytest.fixture
def driver() -> Driver:
    made = Driver()
    made.tell(RunSubmitted("a", stages(1)))
    return made


def test_who_joins_takes_what_the_other_makes(driver: Driver) -> None:
    driver.tell(RunSubmitted("b", stages(1), shared=same("a", 1), joins=True))
    assert driver.offer(9) == {("a", 0)}
    assert [(one.wait, one.tasks, one.what) for one in delays(driver.scheduler, "b")] == [
        (Wait.OTHER_RUN, 1, "a"),
        (Wait.OTHER_RUN, 1, "a"),
    ]
    driver.succeed("a", 0)
    assert driver.state("b", 0) is TaskState.SKIPPED
    assert driver.offer(9) == {("a", 1)}
    driver.succeed("a", 1)
    assert driver.ends() == [("a", RunState.SUCCEEDED), ("b", RunState.SUCCEEDED)]


def test_who_joins_builds_what_the_other_could_not(driver: Driver) -> None:
    driver.tell(RunSubmitted("b", stages(1), shared=same("a", 1), joins=True))
    assert driver.offer(9) == {("a", 0)}
    driver.tell(AttemptFailed("a", 0, ErrorClass.PERMANENT))
    assert driver.ends() == [("a", RunState.FAILED)]
    assert driver.offer(9) == {("b", 0)}


def test_who_queues_builds_after_the_other(driver: Driver) -> None:
    driver.tell(RunSubmitted("b", stages(1), shared=same("a", 1)))
    assert driver.offer(9) == {("a", 0)}
    driver.succeed("a", 0)
    assert driver.offer(9) == {("a", 1), ("b", 0)}
    driver.succeed("b", 0)
    assert driver.offer(9) == set()
    driver.succeed("a", 1)
    assert driver.offer(9) == {("b", 1)}


@pytest.mark.parametrize("request_", [CancelRequested, DrainRequested])
def test_who_waits_goes_on_when_the_other_is_stopped(driver: Driver, request_: type[CancelRequested]) -> None:
    driver.tell(RunSubmitted("b", stages(1), shared=same("a", 1), joins=True))
    driver.tell(request_("a"))
    assert driver.offer(9) == {("b", 0)}


def test_a_higher_class_takes_over_what_has_not_started(driver: Driver) -> None:
    driver.tell(RunSubmitted("f", stages(1), "fresh", shared=same("a", 1)))
    assert driver.offer(9) == {("f", 0)}
    driver.succeed("f", 0)
    assert driver.state("a", 0) is TaskState.SKIPPED
    assert driver.offer(9) == {("f", 1)}
    driver.succeed("f", 1)
    assert driver.ends() == [("f", RunState.SUCCEEDED), ("a", RunState.SUCCEEDED)]


def test_a_higher_class_stops_an_attempt_before_it_starts_its_own(driver: Driver) -> None:
    assert driver.offer(9) == {("a", 0)}
    step = driver.tell(RunSubmitted("f", stages(1), "fresh", shared=same("a", 1)))
    assert step.effects == [StopAttempt("a", 0)]
    assert driver.offer(9) == set()
    driver.tell(AttemptCancelled("a", 0))
    assert driver.state("a", 0) is TaskState.WAITING
    assert driver.offer(9) == {("f", 0)}
    driver.succeed("f", 0)
    assert driver.state("a", 0) is TaskState.SKIPPED


def test_an_attempt_that_was_quicker_than_its_end_counts_and_is_built_again(driver: Driver) -> None:
    driver.offer(9)
    driver.tell(RunSubmitted("f", stages(1), "fresh", shared=same("a", 1)))
    driver.succeed("a", 0)
    assert driver.state("a", 0) is TaskState.SUCCEEDED
    assert driver.offer(9) == {("f", 0)}


def test_a_cancelled_run_stays_cancelled_when_its_attempt_was_being_stopped(driver: Driver) -> None:
    driver.offer(9)
    driver.tell(RunSubmitted("f", stages(1), "fresh", shared=same("a", 1)))
    driver.tell(CancelRequested("a"))
    driver.tell(AttemptCancelled("a", 0))
    assert driver.ends() == [("a", RunState.CANCELLED)]
    assert driver.offer(9) == {("f", 0)}


def test_who_was_stopped_goes_on_when_the_other_is_gone_before_it_has_ended(driver: Driver) -> None:
    driver.offer(9)
    driver.tell(RunSubmitted("f", stages(1), "fresh", shared=same("a", 1)))
    driver.tell(CancelRequested("f"))
    driver.tell(AttemptCancelled("a", 0))
    assert driver.state("a", 0) is TaskState.READY
    assert driver.offer(9) == {("a", 0)}


def test_what_was_skipped_as_unchanged_is_not_taken_for_made(driver: Driver) -> None:
    raw, clean = stages(1)
    f = [raw, replace(clean, skippable=np.ones(1, bool))]
    driver.tell(RunSubmitted("f", f, "fresh", shared=same("a", 1)))
    assert driver.offer(9) == {("f", 0)}
    driver.tell(AttemptSucceeded("f", 0, changed=False))
    assert driver.state("f", 1) is TaskState.SKIPPED
    assert driver.offer(9) == {("a", 1)}


def test_what_was_made_is_taken_past_one_that_had_nothing_to_build(driver: Driver) -> None:
    raw, clean = stages(1)
    driver.tell(RunSubmitted("f", stages(1), "fresh", shared=same("a", 1)))
    g = [raw, replace(clean, skippable=np.ones(1, bool))]
    driver.tell(RunSubmitted("g", g, "fresh", shared=[*same("a", 1), *same("f", 1)]))
    assert driver.offer(9) == {("f", 0)}
    driver.succeed("f", 0)
    assert driver.offer(9) == {("f", 1), ("g", 0)}
    driver.tell(AttemptSucceeded("g", 0, changed=False))
    driver.succeed("f", 1)
    assert (driver.state("g", 1), driver.state("a", 1)) == (TaskState.SKIPPED, TaskState.SKIPPED)


def test_what_was_made_is_taken_past_one_that_could_not_make_it_again(driver: Driver) -> None:
    driver.tell(RunSubmitted("b", stages(1), shared=same("a", 1)))
    driver.tell(RunSubmitted("c", stages(1), shared=same("a", 1), joins=True))
    assert driver.offer(9) == {("a", 0)}
    driver.succeed("a", 0)
    assert driver.offer(9) == {("a", 1), ("b", 0)}
    assert driver.state("c", 0) is TaskState.WAITING
    driver.tell(AttemptFailed("b", 0, ErrorClass.PERMANENT))
    assert driver.state("c", 0) is TaskState.SKIPPED


@pytest.mark.parametrize("is_new", [True, False])
def test_what_was_taken_is_built_once_more_only_if_what_it_reads_changes_after_all(
    driver: Driver, is_new: bool
) -> None:
    one = np.arange(1)
    clean = replace(stages(1)[1], edges=())
    driver.tell(RunSubmitted("f", [clean], "fresh", shared=[Shared(0, one, "a", 1, one)]))
    assert driver.offer(9) == {("a", 0), ("f", 0)}
    driver.succeed("f", 0)
    assert driver.state("a", 1) is TaskState.WAITING
    driver.tell(AttemptSucceeded("a", 0, changed=is_new))
    if is_new:
        assert driver.offer(9) == {("a", 1)}
        driver.tell(AttemptSucceeded("a", 1, changed=False))
    else:
        assert driver.state("a", 1) is TaskState.SKIPPED
    assert driver.scheduler.runs["a"].tasks.changed[1], "the other run has made new content of it"
    assert ("a", RunState.SUCCEEDED) in driver.ends()


def test_what_was_taken_is_blocked_if_what_it_reads_fails(driver: Driver) -> None:
    one = np.arange(1)
    driver.tell(RunSubmitted("f", [replace(stages(1)[1], edges=())], "fresh", shared=[Shared(0, one, "a", 1, one)]))
    assert driver.offer(9) == {("a", 0), ("f", 0)}
    driver.succeed("f", 0)
    driver.tell(AttemptFailed("a", 0, ErrorClass.PERMANENT))
    assert driver.state("a", 1) is TaskState.BLOCKED


def test_the_reason_is_told_although_something_that_waited_was_blocked(driver: Driver) -> None:
    driver.tell(RunSubmitted("a2", stages(2)))
    driver.tell(RunSubmitted("b", stages(2), shared=same("a2", 2)[1:], joins=True))
    assert driver.offer(9) == {("a", 0), ("a2", 0), ("a2", 1), ("b", 0), ("b", 1)}
    driver.tell(AttemptFailed("b", 0, ErrorClass.PERMANENT))
    assert driver.state("b", 2) is TaskState.BLOCKED
    driver.succeed("a2", 0)
    assert driver.offer(9) == {("a2", 2)}
    driver.succeed("a2", 2)
    (delay,) = delays(driver.scheduler, "b")
    assert (delay.wait, delay.tasks, delay.what) == (Wait.OTHER_RUN, 1, "a2")


def test_neighbours_that_wait_for_other_runs_are_not_gathered() -> None:
    driver = Driver()
    raw, clean = stages(2)
    month = replace(clean, batch=2, gathers=True, successor=np.array([1, -1], np.int32))
    days = np.arange(2)
    driver.tell(RunSubmitted("a", [raw, month]))
    driver.tell(RunSubmitted("b", [replace(month, edges=())], shared=[Shared(0, days, "a", 1, days)]))
    assert driver.offer(9) == {("a", 0), ("a", 1)}
    driver.tell(AttemptFailed("a", 1, ErrorClass.PERMANENT))
    driver.tell(RetryRequested("a"))
    # Each run is first in one of the lines: if both waited for the other day, they would for ever.
    assert driver.offer(9) == {("a", 1), ("b", 1)}
    driver.succeed("a", 0)
    driver.succeed("a", 1)
    assert driver.offer(9) == {("a", 2)}


def test_what_gets_another_chance_waits_for_who_builds_it_by_now(driver: Driver) -> None:
    driver.tell(RunSubmitted("a2", stages(2)))
    driver.tell(RunSubmitted("b", stages(2), shared=same("a2", 2), joins=True))
    assert driver.offer(2) == {("a", 0), ("a2", 0)}
    driver.tell(AttemptFailed("a2", 0, ErrorClass.PERMANENT))
    assert driver.offer(9) == {("a2", 1), ("b", 0)}
    driver.tell(RetryRequested("a2"))
    assert driver.state("a2", 0) is TaskState.WAITING
    driver.succeed("b", 0)
    assert driver.state("a2", 0) is TaskState.SKIPPED
