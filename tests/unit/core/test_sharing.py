"""Who is next among classes, owners and runs, where a simple order of starts shows it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from headgate.core.effects import StartAttempt
from headgate.core.events import (
    AttemptSucceeded,
    Lane,
    RunLimited,
    RunPrioritized,
    RunSubmitted,
    SlotsOffered,
    Stage,
)
from headgate.core.scheduler import Scheduler
from headgate.model.policy import ServiceClass
from headgate.model.window import TimeWindow


def stage(n: int, **kwargs) -> Stage:
    none = np.zeros(n, bool)
    return replace(Stage("s", Lane.PROCESS, (), np.arange(n), np.zeros(n, np.uint8), none, none), **kwargs)


class OneSlot:
    """A lane with one slot, in which every attempt takes a second."""

    def __init__(self, *classes: ServiceClass) -> None:
        self.scheduler = Scheduler(classes) if classes else Scheduler()
        self.now_ms = 0

    def submit(self, run: str, n: int = 1000, service_class: str = "backfill", **terms: object) -> None:
        self.scheduler.handle(RunSubmitted(run, [stage(n)], service_class, **terms), self.now_ms)

    def next(self, n: int) -> str:
        """Run so many attempts; return their runs."""
        order = ""
        for _ in range(n):
            (start,) = self.scheduler.handle(SlotsOffered(Lane.PROCESS, 1, 1), self.now_ms).effects
            order += start.run
            self.now_ms += 1000
            self.scheduler.handle(AttemptSucceeded(start.run, start.task, True), self.now_ms)
        return order


def test_runs_take_turns():
    lane = OneSlot()
    lane.submit("a")
    lane.submit("b")
    assert lane.next(6) == "ababab"


def test_a_new_run_gets_its_share_at_once_and_no_more():
    lane = OneSlot()
    lane.submit("a")
    lane.next(50)
    lane.submit("b")
    assert lane.next(6) in ("ababab", "bababa")


def test_owners_share_not_runs():
    lane = OneSlot()
    for run in "abc":
        lane.submit(run, owner="many")
    lane.submit("x", owner="one")
    assert lane.next(12).count("x") == 6


def test_priority_goes_first_among_the_runs_of_an_owner():
    lane = OneSlot()
    lane.submit("a")
    lane.submit("b", n=3, priority=1)
    assert lane.next(5) == "bbbaa"


def test_a_run_does_not_pay_for_what_one_of_another_priority_was_given():
    lane = OneSlot()
    lane.submit("h", n=100, priority=10)
    lane.submit("a")
    assert lane.next(100) == "h" * 100
    lane.submit("b")
    assert lane.next(20).count("b") == 10


def test_a_run_that_is_brought_to_another_priority_starts_where_the_others_are():
    lane = OneSlot()
    lane.submit("h", priority=10)
    lane.submit("a")
    lane.next(100)
    lane.scheduler.handle(RunPrioritized("h", 0), lane.now_ms)
    assert lane.next(20).count("h") == 10
    lane.scheduler.handle(RunPrioritized("a", 5), lane.now_ms)
    assert lane.next(3) == "aaa"


def test_a_run_at_its_limit_saves_nothing_up():
    lane = OneSlot()
    lane.submit("a")
    lane.submit("b", concurrency=0)
    lane.next(30)
    lane.scheduler.handle(RunLimited("b", None), lane.now_ms)
    assert lane.next(10).count("b") == 5


def test_classes_of_one_priority_share_by_weight_and_save_nothing_up():
    lane = OneSlot(ServiceClass("light", 5), ServiceClass("heavy", 5, weight=3.0))
    lane.submit("a", service_class="light")
    lane.next(50)
    lane.submit("b", service_class="heavy")
    assert lane.next(40).count("b") == pytest.approx(30, abs=1)


def test_slots_are_reserved_against_lower_classes_only():
    scheduler = Scheduler([ServiceClass("a", 5, reserved=2), ServiceClass("b", 5), ServiceClass("c", 1)])
    scheduler.handle(RunSubmitted("low", [stage(9)], "c"), 0)
    scheduler.handle(RunSubmitted("beside", [stage(1)], "b"), 0)
    offered = scheduler.handle(SlotsOffered(Lane.PROCESS, 4, 4), 0).effects
    assert [start.run for start in offered] == ["beside", "low"]


def test_the_last_slot_is_never_reserved():
    scheduler = Scheduler([ServiceClass("high", 5, reserved=3), ServiceClass("low", 1)])
    scheduler.handle(RunSubmitted("a", [stage(9)], "low"), 0)
    assert len(scheduler.handle(SlotsOffered(Lane.PROCESS, 3, 3), 0).effects) == 1


def test_a_floor_of_half_is_half():
    lane = OneSlot(ServiceClass("high", 5), ServiceClass("low", 1, floor=0.5))
    lane.submit("h", service_class="high")
    lane.submit("a", service_class="low")
    assert lane.next(100).count("a") == pytest.approx(50, abs=2)


def test_what_is_owed_lasts_a_minute_at_most():
    lane = OneSlot(ServiceClass("high", 5), ServiceClass("low", 1, floor=0.5))
    lane.submit("h", service_class="high")
    lane.submit("a", service_class="low", concurrency=0)
    lane.next(300)
    lane.scheduler.handle(RunLimited("a", None), lane.now_ms)
    assert lane.next(80).count("a") <= 0.5 * 80 + 60


def test_a_share_is_at_least_one_slot_and_absolute_bounds_hold_beside_it():
    scheduler = Scheduler([ServiceClass("tenth", 5, ceiling=0.1), ServiceClass("two", 1, slots=2)])
    scheduler.handle(RunSubmitted("a", [stage(9)], "tenth"), 0)
    scheduler.handle(RunSubmitted("b", [stage(9)], "two"), 0)
    starts = scheduler.handle(SlotsOffered(Lane.PROCESS, 8, 4, 2), 0).effects
    assert [start.run for start in starts if isinstance(start, StartAttempt)] == ["a", "a", "b", "b"]
    assert [start.spread for start in starts] == [1, 1, 4, 4]


def test_the_ceiling_of_a_window_goes_before_the_floor():
    closed = ServiceClass("low", 1, floor=0.3, windows=(TimeWindow("UTC", 0.0, end_minute=60),))
    lane = OneSlot(ServiceClass("high", 5), closed)
    lane.submit("h", service_class="high")
    lane.submit("a", service_class="low")
    assert lane.next(50) == "h" * 50
    lane.now_ms = 3_600_000
    assert lane.next(50).count("a") == pytest.approx(15, abs=2)
