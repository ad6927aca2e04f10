from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from test_simulated import setting, stage

from headgate.core.events import Lane
from headgate.drivers.history import assumed
from headgate.drivers.what_if import changed
from headgate.errors import UsageError
from headgate.model.partitioning import daily
from headgate.model.plan import Plan, PlannedDataset, Request
from headgate.model.policy import BACKFILL, FRESH, Pool, TaskOrder
from headgate.planning.snapshot import Heads, Snapshot

if TYPE_CHECKING:
    from headgate.drivers.setting import Setting

GRID = daily("2024-01-01", "2024-01-05").grid(4_000_000_000_000)
SNAPSHOT = Snapshot({}, {}, {"s": GRID}, {"s": Heads.empty(4)}, 0)
PART = PlannedDataset("s", "", "", np.arange(4), np.ones(4, np.uint8), np.zeros(4, bool))
PLAN = Plan(Request(), (PART,), (), 4, 0)


def tried(*changes: str, default_floors: dict[str, float] | None = None, **given: object) -> Setting:
    one = setting(stage(4, pools=(("warehouse", 2),)), pools={"warehouse": Pool("warehouse", 8)})
    return changed(replace(one, **given), changes, PLAN, SNAPSHOT, default_floors=default_floors or {})


def floor_of(made: Setting, name: str) -> float:
    return next(known.floor for known in made.classes if known.name == name)


def test_bounds_of_the_run_and_of_everything():
    assert tried("concurrency=3").concurrency == 3
    assert tried("concurrency=none", concurrency=5).concurrency is None
    assert tried("total=7").total == 7
    assert tried("dataset.s.concurrency=2").stages[0].concurrency == 2
    assert tried("processes=9", "io_concurrency=4").slots == {Lane.PROCESS: 9, Lane.IO: 4}
    assert tried("pool.warehouse=2").pools["warehouse"] == Pool("warehouse", 2)


def test_values_of_a_class():
    changes = ("ceiling=50%", "slots=3", "floor=0.2", "reserved=0", "priority=-5", "weight=2.5")
    made = tried(*(f"class.backfill.{change}" for change in changes))
    backfill = next(known for known in made.classes if known.name == "backfill")
    assert (backfill.ceiling, backfill.slots, backfill.floor) == (0.5, 3, 0.2)
    assert (backfill.reserved, backfill.priority, backfill.weight) == (0, -5, 2.5)
    assert [known.name for known in made.classes] == ["fresh", "backfill", "maintenance"]


@pytest.mark.parametrize(("ceiling", "floor"), [("0", 0.0), ("5%", 0.05), ("1", 0.1)])
def test_a_floor_that_nobody_set_gives_way_to_the_ceiling_as_in_headgate_toml(ceiling, floor):
    made = tried(f"class.backfill.ceiling={ceiling}", default_floors={"backfill": 0.1})
    assert floor_of(made, "backfill") == floor


def test_a_floor_that_is_set_does_not_give_way():
    assert floor_of(tried("class.backfill.floor=0.3", default_floors={"backfill": 0.1}), "backfill") == 0.3
    with pytest.raises(UsageError) as refused:
        tried("class.backfill.ceiling=0.2", "class.backfill.floor=0.3", default_floors={"backfill": 0.1})
    assert (refused.value.message, refused.value.hint) == (
        "the floor of class backfill, 0.3, is above its ceiling, 0.2",
        "",
    )


def test_a_floor_above_the_ceiling_of_headgate_toml_names_that():
    with pytest.raises(UsageError) as refused:
        tried("class.backfill.floor=0.9", classes=(FRESH, replace(BACKFILL, ceiling=0.5)))
    assert refused.value.message == "the floor of class backfill, 0.9, is above its ceiling, 0.5"
    assert refused.value.hint == "Set class.backfill.ceiling, too."


def test_durations_and_failures():
    made = tried("duration=5s", "failures.s=2%")
    (behaviour,) = made.behaviours
    assert (behaviour.durations_ms.tolist(), behaviour.failure_rate) == ([5000], 0.02)
    assert made.stages[0].typical_ms == 5000
    assert tried("duration.s=1.5").behaviours[0].durations_ms.tolist() == [1500]
    assert tried("failures=0.5").behaviours[0].failure_rate == 0.5
    assert assumed(1000.0).durations_ms.tolist() == [1000]


def test_the_order_makes_new_priorities():
    assert tried("order=newest").stages[0].priority.tolist() == [3, 2, 1, 0]
    made = tried("order=oldest", "order=critical")
    assert made.order is TaskOrder.CRITICAL
    assert made.stages[0].priority.tolist() == [0, 0, 0, 0]


def test_of_several_changes_of_one_value_the_last_counts():
    assert tried("total=7", "total=none").total is None


@pytest.mark.parametrize(
    ("change", "message", "hint"),
    [
        ("concurrency", "--set 'concurrency' has no value", "concurrency=32"),
        ("speed=3", "--set does not know 'speed'", "There are concurrency, total,"),
        ("pool=3", "--set does not know 'pool'", "pool.NAME"),
        ("pool.wearhouse=3", "there is no pool 'wearhouse'", "Did you mean warehouse?"),
        ("class.fast.ceiling=1", "there is no service class 'fast'", "There are fresh, backfill, maintenance."),
        ("class.fresh.speed=1", "there is no value of a class 'speed'", "There are ceiling, slots,"),
        ("duration.t=1s", "there is no dataset in this plan 't'", "There are s."),
        ("order=random", "--set order must be one of oldest, newest, critical, got 'random'", ""),
        ("concurrency=0", "--set concurrency must be a whole number from 1 to 1000000, got '0'", ""),
        ("processes=\N{SUPERSCRIPT TWO}", "--set processes must be a whole number", ""),
        ("class.fresh.ceiling=150%", "--set class.fresh.ceiling must be a share", ""),
        ("class.fresh.ceiling=nan", "--set class.fresh.ceiling must be a share", ""),
        ("class.fresh.weight=nan", "--set class.fresh.weight must be a number", ""),
        ("failures=x", "--set failures must be a share", ""),
        ("duration=soon", "--set duration must be a length of time", ""),
        ("class.backfill.ceiling=0.05", "the floor of class backfill, 0.1, is above", "Set class.backfill.floor, too."),
        ("class.fresh.floor=1", "the floors of all classes add up to more than 100 %", ""),
        ("pool.warehouse=1", "an attempt of s takes 2 slots of pool warehouse, which would have 1", ""),
    ],
)
def test_what_cannot_be_is_refused(change, message, hint):
    with pytest.raises(UsageError) as refused:
        tried(change)
    assert refused.value.message.startswith(message)
    assert hint in refused.value.hint
