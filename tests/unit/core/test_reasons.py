"""Why tasks do not run: one literal case for each reason that the scheduler gives."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from headgate.core.edges import Edge, ListEdge, SameEdge
from headgate.core.events import (
    AttemptFailed,
    AttemptSucceeded,
    BreakerTripped,
    DrainRequested,
    Event,
    Lane,
    PauseRequested,
    RunSubmitted,
    Shared,
    SlotsOffered,
    Stage,
)
from headgate.core.reasons import Delay, delays
from headgate.core.scheduler import Scheduler
from headgate.model.policy import BreakerPolicy, Pool, RetryPolicy, ServiceClass
from headgate.model.reason import Wait
from headgate.model.run import ErrorClass
from headgate.model.window import TimeWindow

MORNING_MS = 9 * 3_600_000
EVENING_MS = 18 * 3_600_000
FRESH = ServiceClass("fresh", 100)
PLAIN = ServiceClass("backfill", 50)


def stage(n: int, name: str = "day", *edges: Edge, **kwargs: Any) -> Stage:
    none = np.zeros(n, bool)
    return replace(Stage(name, Lane.PROCESS, edges, np.arange(n), np.zeros(n, np.uint8), none, none), **kwargs)


def submitted(*stages: Stage, run: str = "b", **terms: Any) -> RunSubmitted:
    return RunSubmitted(run, stages, **terms)


def offered(free: int, slots: int, depth: int = 1) -> SlotsOffered:
    return SlotsOffered(Lane.PROCESS, free, slots, depth)


def told(scheduler: Scheduler, *events: Event, now_ms: int = MORNING_MS) -> list[Delay]:
    """Return why the tasks of run b wait after these events."""
    for event in events:
        scheduler.handle(event, now_ms)
    return delays(scheduler, "b")


def office_hours(ceiling: float) -> TimeWindow:
    return TimeWindow("UTC", ceiling, start_minute=480, end_minute=1080)


# What keeps a task from being ready


def test_what_waits_for_upstream() -> None:
    scheduler = Scheduler()
    up, down = stage(2, "raw"), stage(2, "clean", SameEdge(0))
    assert told(scheduler, submitted(up, down), offered(2, 2)) == [Delay(1, Wait.UPSTREAM, 2)]


def test_what_another_run_builds() -> None:
    """What waits for another run is not said to wait for upstream, too."""
    shared = [Shared(1, np.arange(2), "a", 0, np.arange(2))]
    raw, day, total = stage(3, "raw"), stage(3, "day", SameEdge(0)), stage(3, "total", SameEdge(1))
    events = (submitted(stage(2), run="a"), submitted(raw, day, total, shared=shared), offered(5, 5))
    assert told(Scheduler(), *events) == [
        Delay(1, Wait.OTHER_RUN, 2, "a"),
        Delay(1, Wait.UPSTREAM, 1),
        Delay(2, Wait.UPSTREAM, 3),
    ]


def test_what_waits_for_its_neighbours() -> None:
    up = stage(2, "raw")
    edge = ListEdge.build(0, 2, np.array([0, 1, 2], np.int64), np.array([0, 1], np.int32))
    down = stage(2, "clean", edge, batch=2, successor=np.array([1, -1], np.int32), gathers=True)
    events = (submitted(up, down), offered(2, 2), AttemptSucceeded("b", 0, True))
    assert told(Scheduler(), *events) == [Delay(1, Wait.UPSTREAM, 1), Delay(1, Wait.NEIGHBOURS, 1)]


def test_what_backs_off_says_when_the_first_is_due() -> None:
    retry = RetryPolicy(3, backoff_ms=60_000)
    scheduler = Scheduler()
    told(scheduler, submitted(stage(2, retry=retry)), offered(2, 2))
    due_ms = []
    for task in range(2):
        scheduler.handle(AttemptFailed("b", task, ErrorClass.TRANSIENT), MORNING_MS)
        due_ms.append(scheduler.runs["b"].due_ms[task])
    assert MORNING_MS <= min(due_ms) < max(due_ms) <= MORNING_MS + 60_000
    assert delays(scheduler, "b") == [Delay(0, Wait.BACKING_OFF, 2, "", min(due_ms))]


def test_what_waits_for_the_retry_budget() -> None:
    retry = RetryPolicy(3, backoff_ms=0, budget=0.0, budget_min=0)
    events = (submitted(stage(2, retry=retry)), offered(2, 2), AttemptFailed("b", 0, ErrorClass.TRANSIENT))
    assert told(Scheduler(), *events) == [Delay(0, Wait.RETRY_BUDGET, 1, "day")]


# What keeps a ready task from starting


def test_what_is_paused() -> None:
    assert told(Scheduler(), submitted(stage(2)), PauseRequested("b"), offered(2, 2)) == [Delay(0, Wait.PAUSED, 2)]


def test_what_drains() -> None:
    """A run that drains does not say that it is paused, too."""
    events = (submitted(stage(3)), offered(1, 1), PauseRequested("b"), DrainRequested("b"))
    assert told(Scheduler(), *events) == [Delay(0, Wait.DRAINING, 2)]


def test_what_an_open_breaker_holds_says_until_when() -> None:
    breaker = BreakerPolicy(5, cooldown_ms=7_000)
    events = (submitted(stage(2, breaker=breaker)), BreakerTripped("dataset:day"), offered(2, 2))
    assert told(Scheduler(), *events) == [Delay(0, Wait.BREAKER, 2, "dataset:day", MORNING_MS + 7_000)]


def test_what_waits_for_a_probe_does_not_know_until_when() -> None:
    scheduler = Scheduler()
    breaker = BreakerPolicy(5, cooldown_ms=7_000)
    told(scheduler, submitted(stage(2, breaker=breaker)), BreakerTripped("dataset:day"), offered(2, 2))
    assert told(scheduler, offered(2, 2), now_ms=MORNING_MS + 7_000) == [Delay(0, Wait.BREAKER, 1, "dataset:day")]


def test_what_waits_for_a_pool() -> None:
    scheduler = Scheduler(pools={"warehouse": Pool("warehouse", 3)})
    events = (submitted(stage(3, pools=(("warehouse", 2),))), offered(3, 3))
    assert told(scheduler, *events) == [Delay(0, Wait.POOL, 2, "warehouse")]


def test_what_waits_for_attempts_of_its_dataset() -> None:
    assert told(Scheduler(), submitted(stage(3, concurrency=1)), offered(3, 3)) == [Delay(0, Wait.DATASET, 2, "day")]


def test_what_waits_for_attempts_of_its_run() -> None:
    assert told(Scheduler(), submitted(stage(3), concurrency=2), offered(3, 3)) == [Delay(0, Wait.RUN, 1)]


def test_what_waits_since_others_have_as_many_attempts_as_there_may_be() -> None:
    events = (submitted(stage(4), run="f", service_class="fresh"), offered(3, 3), submitted(stage(2)))
    assert told(Scheduler(total=2), *events) == [Delay(0, Wait.TOTAL, 2)]


def test_a_class_that_has_all_there_may_be_does_not_wait_for_its_ceiling() -> None:
    assert told(Scheduler((FRESH, PLAIN), total=1), submitted(stage(3)), offered(3, 3)) == [Delay(0, Wait.TOTAL, 2)]


@pytest.mark.parametrize("windows", [(), (office_hours(0.5),), (office_hours(0.75),)])
def test_a_class_is_at_its_ceiling_of_what_there_may_be(windows: tuple[TimeWindow, ...]) -> None:
    scheduler = Scheduler((FRESH, replace(PLAIN, ceiling=0.5, windows=windows)), total=4)
    assert told(scheduler, submitted(stage(9)), offered(8, 8)) == [Delay(0, Wait.CEILING, 7, "backfill")]


def test_the_time_window_allows_no_more_of_what_there_may_be() -> None:
    scheduler = Scheduler((FRESH, replace(PLAIN, windows=(office_hours(0.25),))), total=4)
    assert told(scheduler, submitted(stage(9)), offered(8, 8)) == [Delay(0, Wait.WINDOW, 8, "backfill", EVENING_MS)]


def test_what_would_take_a_reserved_slot() -> None:
    scheduler = Scheduler((replace(FRESH, reserved=1), PLAIN))
    assert told(scheduler, submitted(stage(3)), offered(3, 3)) == [Delay(0, Wait.RESERVED, 1)]


def test_what_would_take_a_reserved_place_among_all_there_may_be() -> None:
    scheduler = Scheduler((replace(FRESH, reserved=1), PLAIN), total=2)
    assert told(scheduler, submitted(stage(3)), offered(3, 3)) == [Delay(0, Wait.RESERVED, 2)]


# The time window, the ceiling of the class, or simply all slots


@pytest.mark.parametrize(
    ("slots", "depth", "ready"),
    [
        pytest.param(2, 1, 3, id="each slot has one"),
        pytest.param(2, 2, 1, id="each slot has two"),
    ],
)
def test_a_class_that_has_every_slot_waits_for_slots(slots: int, depth: int, ready: int) -> None:
    events = (submitted(stage(5)), offered(slots * depth, slots, depth))
    assert told(Scheduler((FRESH, PLAIN)), *events) == [Delay(0, Wait.SLOTS, ready)]


def test_a_class_below_its_ceiling_waits_for_the_slots_that_others_have() -> None:
    scheduler = Scheduler((FRESH, replace(PLAIN, ceiling=0.5, windows=(office_hours(0.25),))))
    events = (submitted(stage(4), run="f", service_class="fresh"), offered(4, 4), submitted(stage(1)))
    assert told(scheduler, *events) == [Delay(0, Wait.SLOTS, 1)]


CEILINGS = [
    pytest.param(replace(PLAIN, ceiling=0.5), 1, 2, id="a share"),
    pytest.param(replace(PLAIN, slots=1), 1, 1, id="a number"),
    pytest.param(replace(PLAIN, slots=5), 2, 5, id="a number, of slots that hold two"),
    pytest.param(replace(PLAIN, ceiling=0.5, windows=(office_hours(0.5),)), 1, 2, id="a window that allows as much"),
    pytest.param(replace(PLAIN, ceiling=0.5, windows=(office_hours(0.75),)), 1, 2, id="a window that allows more"),
    pytest.param(replace(PLAIN, slots=1, windows=(office_hours(0.5),)), 1, 1, id="a number below the window"),
    pytest.param(replace(PLAIN, slots=3, windows=(office_hours(0.5),)), 2, 3, id="a number below a window of two each"),
]


@pytest.mark.parametrize(("service_class", "depth", "running"), CEILINGS)
def test_a_class_is_at_its_ceiling(service_class: ServiceClass, depth: int, running: int) -> None:
    scheduler = Scheduler((FRESH, service_class))
    events = (submitted(stage(10)), offered(4 * depth, 4, depth))
    assert told(scheduler, *events) == [Delay(0, Wait.CEILING, 10 - running, "backfill")]


WINDOWS = [
    pytest.param(replace(PLAIN, windows=(office_hours(0.25),)), 1, 1, id="less than all"),
    pytest.param(replace(PLAIN, ceiling=0.75, windows=(office_hours(0.5),)), 1, 2, id="less than the ceiling"),
    pytest.param(replace(PLAIN, windows=(office_hours(0.25),)), 2, 2, id="slots that hold two"),
    pytest.param(replace(PLAIN, slots=3, windows=(office_hours(0.5),)), 1, 2, id="less than a number"),
    pytest.param(replace(PLAIN, windows=(office_hours(0.0),)), 1, 0, id="nothing"),
]


@pytest.mark.parametrize(("service_class", "depth", "running"), WINDOWS)
def test_the_time_window_allows_no_more_and_says_until_when(
    service_class: ServiceClass, depth: int, running: int
) -> None:
    scheduler = Scheduler((FRESH, service_class))
    events = (submitted(stage(10)), offered(4 * depth, 4, depth))
    assert told(scheduler, *events) == [Delay(0, Wait.WINDOW, 10 - running, "backfill", EVENING_MS)]


def test_outside_its_hours_a_window_is_no_reason() -> None:
    scheduler = Scheduler((FRESH, replace(PLAIN, ceiling=0.5, windows=(office_hours(0.25),))))
    events = (submitted(stage(10)), offered(4, 4))
    assert told(scheduler, *events, now_ms=EVENING_MS) == [Delay(0, Wait.CEILING, 8, "backfill")]
