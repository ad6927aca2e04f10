from __future__ import annotations

from dataclasses import replace
from datetime import UTC

import numpy as np
import pytest
from planning_worlds import built, dataset, planned, snapshot, source

from headgate.errors import UsageError
from headgate.model.calendar import at_ms
from headgate.model.mapping import All, Custom, Offset, Trailing
from headgate.model.partitioning import UNPARTITIONED, daily, hourly, monthly, product, static, weekly
from headgate.model.plan import MAX_PROBLEMS, Problem, Request
from headgate.planning.digest import window_seed
from headgate.planning.planner import lacking, make_plan, stale, with_problems

DAYS = daily("2013-03-25")  # seven of them have ended
MONTHS = monthly("2013-01-01")


def changed(world, name, *indices):
    """Return the world with other content in some partitions of a source."""
    heads = world.heads[name]
    version = heads.version.copy()
    version[list(indices)] = [-1 - i for i in indices]
    world.heads[name] = replace(heads, version=version)
    return world


def three_days(**kwargs):
    return snapshot(
        source("files", DAYS),
        dataset("clean", DAYS, "files"),
        dataset("month", monthly("2013-03-01"), "clean"),
        **kwargs,
    )


def test_everything_is_missing_at_first():
    plan = make_plan(three_days(), Request())
    assert planned(plan) == {"clean": {"MISSING": list(range(7))}, "month": {"MISSING": [0]}}
    assert (plan.considered, plan.size, plan.blocked, plan.problems) == (8, 8, 0, ())


def test_nothing_is_left_to_do_once_it_is_built():
    plan = make_plan(built(three_days()), Request())
    assert planned(plan) == {}
    assert (plan.considered, plan.size) == (8, 0)


def test_a_changed_file_is_followed_downstream():
    plan = make_plan(changed(built(three_days()), "files", 2, 5), Request())
    assert planned(plan) == {"clean": {"LATE": [2, 5]}, "month": {"UPSTREAM": [0]}}


def test_changed_code_is_followed_downstream():
    world = built(three_days())
    world.heads["clean"] = replace(world.heads["clean"], codes=("older",))
    plan = make_plan(world, Request())
    assert planned(plan) == {"clean": {"CODE": list(range(7))}, "month": {"UPSTREAM": [0]}}


def test_code_is_told_apart_partition_by_partition():
    world = built(three_days())
    code = np.array([0, 0, 1, 0, 0, 2, 0], np.int32)
    world.heads["clean"] = replace(world.heads["clean"], codes=("code", "old", "older"), code=code)
    assert stale(world, "clean").tolist() == [0, 0, 2, 0, 0, 2, 0]


def test_an_upstream_outside_the_request_is_left_alone():
    world = changed(built(three_days()), "files", 2)
    assert planned(make_plan(world, Request(("month",)))) == {}
    assert planned(make_plan(world, Request(("+month",)))) == {"clean": {"LATE": [2]}, "month": {"UPSTREAM": [0]}}
    assert planned(make_plan(world, Request((), "2013-03-28", "2013-03-30"))) == {}


def test_forced_rebuilds_what_is_up_to_date_too():
    plan = make_plan(changed(built(three_days()), "files", 2), Request(("clean",), forced=True))
    assert planned(plan) == {"clean": {"LATE": [2], "FORCED": [0, 1, 3, 4, 5, 6]}}


def test_a_new_input_makes_everything_stale():
    world = built(three_days())
    world.datasets["clean"].inputs["p1"] = replace(world.datasets["clean"].inputs["p0"])
    assert planned(make_plan(world, Request(("clean",)))) == {"clean": {"INPUTS": list(range(7))}}


def test_a_file_that_has_gone_makes_nothing_stale():
    world = built(three_days())
    heads = world.heads["files"]
    world.heads["files"] = replace(heads, absent={3: "it was deleted"})
    assert planned(make_plan(world, Request())) == {}
    forced = make_plan(world, Request(forced=True))
    assert forced.problems == (Problem("clean", "2013-03-28", "needs files/2013-03-28: it was deleted"),)
    assert (forced.size, forced.blocked) == (8, 2)


def test_a_missing_file_blocks_exactly_what_needs_it():
    plan = make_plan(three_days(absent={"files": {1: "no such file"}}), Request())
    blocked = {part.name: part.indices[part.blocked].tolist() for part in plan.datasets}
    assert blocked == {"clean": [1], "month": [0]}
    assert plan.problems == (Problem("clean", "2013-03-26", "needs files/2013-03-26: no such file"),)


def test_an_upstream_that_is_neither_there_nor_selected_is_named():
    plan = make_plan(three_days(), Request(("month",)))
    text = "needs clean/2013-03-25, which has no version and is not in this plan"
    assert plan.problems == (Problem("month", "2013-03", text),)
    assert plan.blocked == 1


def test_allow_missing_goes_on_without():
    world = snapshot(
        source("files", DAYS),
        dataset("clean", DAYS, "files"),
        dataset("report", DAYS, ("clean", Trailing(2)), tolerant=True),
        absent={"files": {1: "no such file"}},
    )
    plan = make_plan(world, Request())
    blocked = {part.name: part.indices[part.blocked].tolist() for part in plan.datasets}
    assert blocked == {"clean": [1], "report": []}
    assert make_plan(world, Request(("report",))).blocked == 0


def test_windows_that_have_not_ended_are_named():
    world = snapshot(dataset("clean", DAYS), dataset("ahead", DAYS, ("clean", Offset(1))))
    plan = make_plan(world, Request())
    assert [part.blocked.sum() for part in plan.datasets] == [0, 1]
    assert plan.problems == (Problem("ahead", "2013-03-31", "needs windows of clean that have not ended yet"),)


def test_problems_are_listed_up_to_a_limit_for_each_dataset():
    hours = hourly("2013-03-01")
    world = snapshot(dataset("a", hours), dataset("b", hours, "a", "a"), dataset("c", hours, "a"))
    plan = make_plan(world, Request(("b", "c")))
    assert plan.blocked == plan.size == 2 * 744
    assert [p.dataset for p in plan.problems] == ["b"] * MAX_PROBLEMS + ["c"] * MAX_PROBLEMS


def test_lacking_looks_only_at_the_partitions_given():
    world = three_days(absent={"files": {1: "gone", 4: "gone"}})
    blocked, problems = lacking(world, "clean", np.array([0, 4, 5]), {})
    assert blocked.tolist() == [False, True, False]
    assert [problem.key for problem in problems] == ["2013-03-29"]


def test_problems_of_what_is_left_of_a_run():
    world = three_days(absent={"files": {1: "gone", 4: "gone"}})
    plan = make_plan(three_days(), Request())
    left = {"clean": np.array([True, False, True, True, True, True, True]), "month": np.array([True])}
    now = with_problems(world, plan, left)
    assert [part.indices[part.blocked].tolist() for part in now.datasets] == [[4], [0]]
    assert [problem.key for problem in now.problems] == ["2013-03-29"]
    assert with_problems(three_days(), now).blocked == 0


def test_a_partition_that_reads_the_one_before_follows_its_chain():
    world = built(snapshot(source("files", DAYS), dataset("sum", DAYS, "files", ("sum", Offset(-1)))))
    assert planned(make_plan(world, Request())) == {}
    world = changed(world, "files", 4)
    assert planned(make_plan(world, Request())) == {"sum": {"LATE": [4], "UPSTREAM": [5, 6]}}
    assert planned(make_plan(world, Request((), None, "2013-03-31"))) == {"sum": {"LATE": [4], "UPSTREAM": [5]}}


def test_a_missing_file_blocks_the_rest_of_a_chain():
    world = snapshot(
        source("files", DAYS), dataset("sum", DAYS, "files", ("sum", Offset(-1))), absent={"files": {3: "-"}}
    )
    plan = make_plan(world, Request())
    assert plan.datasets[0].blocked.tolist() == [False] * 3 + [True] * 4
    assert len(plan.problems) == 1


def test_two_datasets_that_read_each_other_day_by_day():
    world = snapshot(
        source("files", DAYS), dataset("tick", DAYS, "files", ("tock", Offset(-1))), dataset("tock", DAYS, "tick")
    )
    assert planned(make_plan(built(world), Request())) == {}
    plan = make_plan(changed(world, "files", 4), Request())
    assert planned(plan) == {"tick": {"LATE": [4], "UPSTREAM": [5, 6]}, "tock": {"UPSTREAM": [4, 5, 6]}}


@pytest.mark.parametrize(
    "partitioning",
    [hourly("2004-01-01"), product(hourly("2013-01-01"), static(list("abcdefgh"))), daily("2012-04-01")],
    ids=["80,000 hours", "8 chains of 2,000 hours", "365 days"],
)
def test_long_chains_are_followed_in_time(partitioning):
    world = built(snapshot(dataset("sum", partitioning, ("sum", Offset(-1)))))
    grid = world.grids["sum"]
    world.heads["sum"].version[0] = 0
    plan = make_plan(world, Request())
    last = np.arange(grid.n_statics, grid.size, grid.n_statics)
    assert planned(plan) == {"sum": {"MISSING": [0], "INPUTS": [last[0]], "UPSTREAM": last[1:].tolist()}}
    assert make_plan(world, Request(("+sum",), "2013-03-31T23:00")).considered == grid.size
    first_end = at_ms(int(grid.bounds[1]), UTC).isoformat()
    assert make_plan(world, Request(("sum+",), None, first_end)).considered == grid.size


def test_no_window_has_ended_yet():
    later = daily("2013-05-01")
    world = snapshot(
        source("files", later),
        dataset("a", later, "files", ("a", Offset(-1))),
        dataset("b", product(monthly("2013-05-01"), static(["x", "y"])), ("a", Trailing(3))),
        dataset("c", static(["x", "y"]), "b"),
        dataset("d", UNPARTITIONED, ("a", All())),
        dataset("e", later, ("b", Custom(lambda key: [], "none"))),
    )
    for request in (Request(), Request(forced=True), Request(("+c", "+d+", "files+"), "2013-01-01", "2013-06-01")):
        plan = make_plan(world, request)
        assert planned(plan) == {"c": {"MISSING": [0, 1]}, "d": {"MISSING": [0]}}
        assert plan.problems == ()


def test_a_custom_mapping_is_asked_once_for_each_key():
    asked: list[str] = []

    def same(key: str) -> list[str]:
        asked.append(key)
        return [key]

    world = snapshot(source("files", DAYS), dataset("a", DAYS, ("files", Custom(same, "same"))))
    make_plan(world, Request(("+a+",)))
    assert sorted(asked) == world.grids["a"].keys(range(7))
    assert planned(make_plan(changed(built(world), "files", 6), Request())) == {"a": {"LATE": [6]}}
    assert len(asked) == 7


def test_the_order_is_that_of_the_graph():
    world = snapshot(dataset("a", DAYS, "z"), dataset("z", DAYS), dataset("m", DAYS, "a", "z"))
    assert [part.name for part in make_plan(world, Request(("m", "z", "a"))).datasets] == ["z", "a", "m"]


def test_an_unknown_dataset_is_refused():
    with pytest.raises(UsageError, match="there is no dataset 'cleen'"):
        make_plan(three_days(), Request(("cleen",)))


def test_another_zone_makes_every_day_stale_though_its_key_is_the_same():
    utc, kolkata = daily("2013-03-25"), daily("2013-03-25", tz="Asia/Kolkata")
    assert window_seed(utc) != window_seed(kolkata)
    assert window_seed(daily("2013-01-01", "2014-01-01")) == window_seed(utc)
    assert window_seed(weekly("2013-03-25")) == window_seed(weekly("2013-01-07"))
    assert window_seed(weekly("2013-03-25")) != window_seed(weekly("2013-03-26"))
    assert window_seed(static(["a"])) == 0
