"""What a plan was made from, and in what two plans differ."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from planning_worlds import built, dataset, snapshot, source

from headgate.model.mapping import Custom, Trailing
from headgate.model.partitioning import daily
from headgate.model.plan import Plan, Request
from headgate.planning.binding import Change, basis, changes
from headgate.planning.planner import make_plan

if TYPE_CHECKING:
    from headgate.planning.snapshot import Snapshot

DAYS = daily("2013-03-01")
MARCH = Request(("daily+",), "2013-03-01", "2013-03-11", forced=True)


@pytest.fixture
def world() -> Snapshot:
    raw = source("raw", DAYS)
    return built(snapshot(raw, dataset("daily", DAYS, "raw"), dataset("totals", DAYS, "daily"), as_of="2013-03-21"))


def moved(world: Snapshot, name: str, index: int) -> Snapshot:
    heads = world.heads[name]
    version, digest = heads.version.copy(), heads.digest.copy()
    version[index] += 77_000_000
    digest[index] ^= np.uint64(1)
    return replace(world, heads={**world.heads, name: replace(heads, version=version, digest=digest)})


def compared(first: Snapshot, second: Snapshot, request: Request = MARCH) -> dict[str, Change]:
    plans = make_plan(first, request), make_plan(second, request)
    return {change.dataset: change for change in changes(*plans, basis(first, plans[0]), basis(second, plans[1]))}


def test_the_same_world_gives_the_same_plan(world: Snapshot) -> None:
    assert compared(world, world) == {}


def test_what_the_plan_neither_reads_nor_replaces_does_not_count(world: Snapshot) -> None:
    assert compared(world, moved(world, "raw", 10)) == {}
    assert compared(world, moved(world, "totals", 10)) == {}


@pytest.mark.parametrize(("name", "seen"), [("raw", {"daily"}), ("daily", {"daily", "totals"}), ("totals", {"totals"})])
def test_an_input_or_a_head_that_moved_counts(world: Snapshot, name: str, seen: set[str]) -> None:
    found = compared(world, moved(world, name, 9))
    assert {dataset for dataset, change in found.items() if change.inputs_moved} == seen


def test_partitions_that_come_go_and_change_their_reason(world: Snapshot) -> None:
    request = replace(MARCH, forced=False)
    heads = world.heads["daily"]
    version = heads.version.copy()
    version[[2, 3]] = 0
    first = replace(world, heads={**world.heads, "daily": replace(heads, version=version)})
    version = heads.version.copy()
    version[3] = 0
    digest = heads.digest.copy()
    digest[[2, 4]] += np.uint64(1)
    second = replace(world, heads={**world.heads, "daily": replace(heads, version=version, digest=digest)})
    change = compared(first, second, request)["daily"]
    assert (change.added.tolist(), change.removed.tolist(), change.other_reason.tolist()) == ([4], [], [2])
    back = compared(second, first, request)["daily"]
    assert (back.added.tolist(), back.removed.tolist(), back.other_reason.tolist()) == ([], [4], [2])


def test_a_dataset_that_only_one_plan_has(world: Snapshot) -> None:
    both = make_plan(world, MARCH)
    one = make_plan(world, replace(MARCH, select=("daily",)))
    (change,) = changes(one, both, {}, {})
    assert (change.dataset, change.added.tolist(), change.removed.tolist()) == ("totals", list(range(10)), [])
    (change,) = changes(both, one, {}, {})
    assert (change.dataset, change.added.tolist(), change.removed.tolist()) == ("totals", [], list(range(10)))


def test_changed_code_and_another_cut_are_named(world: Snapshot) -> None:
    plan = make_plan(world, replace(MARCH, select=("daily",)))

    def other(**fields: str) -> Plan:
        return replace(plan, datasets=(replace(plan.datasets[0], **fields),))

    (change,) = changes(plan, other(code="new"), {}, {})
    assert (change.code, change.partitioning, len(change.added)) == (("code", "new"), None, 0)
    (change,) = changes(plan, other(partitioning="hourly"), {}, {})
    assert change.partitioning == (plan.datasets[0].partitioning, "hourly")
    assert (len(change.added), len(change.removed)) == (10, 10)


def test_another_mapping_counts_also_before_anything_is_built() -> None:
    raw, seen = source("raw", DAYS), dataset("daily", DAYS, "raw")
    before, after = (
        snapshot(raw, seen, dataset("totals", DAYS, ("daily", mapping)), as_of="2013-03-21")
        for mapping in (Trailing(3), Trailing(4))
    )
    request = replace(MARCH, select=("daily", "totals"))
    found = compared(before, after, request)
    assert [(one.dataset, one.inputs_moved) for one in found.values()] == [("totals", True)]
    assert compared(before, before, request) == {}


def test_so_does_another_answer_of_a_function() -> None:
    raw, seen = source("raw", DAYS), dataset("daily", DAYS, "raw")
    own, first = Custom(lambda key: [key], "own"), Custom(lambda _: ["2013-03-01"], "first")
    before, after = (
        snapshot(raw, seen, dataset("totals", DAYS, ("daily", mapping)), as_of="2013-03-21") for mapping in (own, first)
    )
    request = replace(MARCH, select=("daily", "totals"))
    assert [(one.dataset, one.inputs_moved) for one in compared(before, after, request).values()] == [("totals", True)]
    assert compared(before, before, request) == {}


def test_an_input_that_may_be_missing_now_counts() -> None:
    raw = source("raw", DAYS)
    before, after = (
        snapshot(raw, dataset("daily", DAYS, "raw", tolerant=tolerant), as_of="2013-03-21")
        for tolerant in (False, True)
    )
    assert compared(before, after)["daily"].inputs_moved


def test_of_other_partitions_nothing_is_said_of_what_they_read(world: Snapshot) -> None:
    plans = [make_plan(world, replace(MARCH, end=end)) for end in ("2013-03-11", "2013-03-12")]
    found = changes(plans[0], plans[1], basis(world, plans[0]), basis(world, plans[1]))
    assert [(one.dataset, one.added.tolist(), one.inputs_moved) for one in found] == [
        ("daily", [10], False),
        ("totals", [10], False),
    ]
