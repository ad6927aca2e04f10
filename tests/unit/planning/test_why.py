from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from planning_worlds import built, dataset, snapshot, source

from headgate.model.mapping import All, Offset, Trailing
from headgate.model.partitioning import UNPARTITIONED, daily, monthly
from headgate.model.plan import Request
from headgate.model.reason import Why
from headgate.planning.planner import make_plan, stale
from headgate.planning.why import Link, root_causes, why_chain

DAYS = daily("2013-03-25")  # seven of them have ended


def stale_at(world, name, *indices):
    """Let partitions look as if an input of theirs had moved."""
    world.heads[name].digest[list(indices)] += np.uint64(1)
    return world


def week():
    return built(
        snapshot(
            source("files", DAYS),
            dataset("clean", DAYS, "files"),
            dataset("trend", DAYS, ("clean", Trailing(2))),
            dataset("month", monthly("2013-03-01"), "trend", "clean"),
            dataset("told", UNPARTITIONED, ("month", All())),
        )
    )


def roots(world, plan, name, index):
    return {dataset: indices.tolist() for dataset, indices in root_causes(world, plan, name, index).items()}


def test_the_way_leads_to_what_has_a_reason_of_its_own():
    world = stale_at(week(), "clean", 2, 5)
    plan = make_plan(world, Request())
    assert why_chain(world, plan, "told", 0) == (
        Link("told", 0, Why.UPSTREAM, 0),
        # It reads four planned days of trend, and two of clean: those have a reason of their own.
        Link("month", 0, Why.UPSTREAM, 5),
        Link("clean", 2, Why.INPUTS, 0),
    )
    assert why_chain(world, plan, "trend", 6) == (Link("trend", 6, Why.UPSTREAM, 0), Link("clean", 5, Why.INPUTS, 0))
    assert roots(world, plan, "told", 0) == {"clean": [2, 5]}
    assert roots(world, plan, "trend", 3) == {"clean": [2]}


def test_a_partition_outside_of_the_plan_has_no_way():
    world = stale_at(week(), "clean", 2)
    plan = make_plan(world, Request())
    assert why_chain(world, plan, "clean", 3) == ()
    assert roots(world, plan, "clean", 3) == {}
    assert why_chain(world, make_plan(world, Request(("told",))), "clean", 2) == ()


def test_root_causes_are_listed_in_the_order_of_the_graph():
    world = stale_at(stale_at(week(), "clean", 2), "trend", 0, 3)
    plan = make_plan(world, Request())
    assert roots(world, plan, "told", 0) == {"clean": [2], "trend": [0, 3]}
    # A partition with a reason of its own needs no other.
    assert roots(world, plan, "trend", 3) == {"trend": [3]}


def test_a_chain_inside_one_dataset():
    world = built(snapshot(source("files", DAYS), dataset("sum", DAYS, "files", ("sum", Offset(-1)))))
    world = stale_at(world, "sum", 1, 4)
    plan = make_plan(world, Request())
    assert [(link.index, link.why) for link in why_chain(world, plan, "sum", 6)] == [
        (6, Why.UPSTREAM),
        (5, Why.UPSTREAM),
        (4, Why.INPUTS),
    ]
    assert roots(world, plan, "sum", 6) == {"sum": [4]}
    assert roots(world, plan, "sum", 3) == {"sum": [1]}


def test_the_last_failure_counts_only_where_something_is_to_do():
    world = stale_at(week(), "clean", 2, 5)
    world.heads["clean"].version[6] = 0
    world.heads["clean"] = replace(world.heads["clean"], failed=np.array([1, 2, 6]))
    reasons = {index: Why(why) for index, why in enumerate(stale(world, "clean").tolist()) if why}
    assert reasons == {2: Why.FAILED, 5: Why.INPUTS, 6: Why.FAILED}


def file_at(world, index, version):
    heads = world.heads["files"]
    numbers = heads.version.copy()
    numbers[index] = version
    world.heads["files"] = replace(heads, version=numbers)
    return world


@pytest.mark.parametrize(
    ("version", "expected"),
    [(-3, Why.LATE), (5_000_000, Why.LATE), (1_500, Why.INPUTS)],
    ids=["not recorded yet", "recorded since", "recorded before, and not read then"],
)
def test_data_is_late_if_it_came_after_the_partition_was_built(version, expected):
    world = file_at(week(), 2, version)
    assert stale(world, "clean").tolist() == [0, 0, expected, 0, 0, 0, 0]


def test_what_was_built_again_without_a_change_was_built_later():
    world = week()
    attempt = world.heads["clean"].version.copy()
    attempt[2] = 6_000_000
    world.heads["clean"] = replace(world.heads["clean"], attempt=attempt)
    assert stale(file_at(world, 2, 5_000_000), "clean").tolist() == [0, 0, Why.INPUTS, 0, 0, 0, 0]
    assert stale(file_at(world, 2, 7_000_000), "clean").tolist() == [0, 0, Why.LATE, 0, 0, 0, 0]
