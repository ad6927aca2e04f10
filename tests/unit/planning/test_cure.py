from __future__ import annotations

import numpy as np
import pytest
from planning_worlds import built, dataset, planned, snapshot, source

from headgate.errors import UsageError
from headgate.model.mapping import Offset, Trailing
from headgate.model.partitioning import Partitioning, daily, static
from headgate.model.plan import Exactly, Request
from headgate.model.run import RunKind
from headgate.planning.codec import plan_from_json, plan_to_json
from headgate.planning.cure import same_code, staying
from headgate.planning.planner import make_plan
from headgate.planning.scope import exactly, notes_on, wanted_by

DAYS = daily("2013-01-01", "2013-01-11")


def masks(world, **which):
    found = {}
    for name, indices in which.items():
        found[name] = np.zeros(world.grids[name].size, dtype=bool)
        found[name][indices] = True
    return found


def listed(found):
    return {name: np.flatnonzero(mask).tolist() for name, mask in found.items()}


@pytest.fixture
def world():
    return built(
        snapshot(
            source("files", DAYS),
            dataset("a", DAYS, "files"),
            dataset("b", DAYS, ("a", Trailing(2)), code="other"),
            dataset("c", Partitioning(), "b"),
        )
    )


def test_everything_is_cured_once_the_cause_is_gone(world):
    tainted = masks(world, a=[3], b=[3, 4], c=[0])
    assert listed(staying(world, tainted, {})) == {"a": [], "b": [], "c": []}


def test_what_would_read_the_same_again_stays_and_all_that_reads_it(world):
    tainted = masks(world, a=[3, 7], b=[3, 4, 7, 8], c=[0])
    assert listed(staying(world, tainted, masks(world, files=[3]))) == {"a": [3], "b": [3, 4], "c": [0]}
    # A partition whose head is not tainted is not rebuilt, so nothing comes through it.
    assert listed(staying(world, masks(world, b=[4]), masks(world, files=[3]))) == {"b": []}


def test_what_the_same_code_would_make_stays(world):
    tainted = masks(world, a=[3], b=[3, 4], c=[0])
    still = same_code(world, tainted, {"other"})
    assert listed(still) == {"b": [3, 4]}
    assert listed(staying(world, tainted, still)) == {"a": [], "b": [3, 4], "c": [0]}


def test_what_reads_itself_stays_from_the_first_on():
    world = built(snapshot(source("files", DAYS), dataset("total", DAYS, "files", ("total", Offset(-1)))))
    tainted = masks(world, total=range(2, 10))
    assert listed(staying(world, tainted, masks(world, files=[5]))) == {"total": [5, 6, 7, 8, 9]}


def repair(world, **which):
    only = exactly(world, masks(world, **which))
    return Request(forced=True, kind=RunKind.REPAIR, only=only, cause="files/x.csv")


def test_a_plan_of_exact_partitions_has_these_and_no_others_upstream_first(world):
    request = repair(world, c=[0], a=[2, 3, 7], b=[])
    assert request.only == (Exactly("a", DAYS.spec, ((2, 4), (7, 8))), Exactly("c", Partitioning().spec, ((0, 1),)))
    plan = make_plan(world, request)
    assert planned(plan) == {"a": {"TAINTED": [2, 3, 7]}, "c": {"TAINTED": [0]}}
    assert (plan.considered, plan.notes, plan.size) == (4, (), 4)
    assert listed(wanted_by(world, request)) == {"a": [2, 3, 7], "c": [0]}
    assert notes_on(world, request) == ()


def test_such_a_plan_survives_being_kept(world):
    plan = make_plan(world, repair(world, a=[2, 3, 7]))
    again = plan_from_json(plan_to_json(plan))
    assert again.request == plan.request
    assert again.request.kind is RunKind.REPAIR
    assert plan_to_json(make_plan(world, again.request)) == plan_to_json(plan)


def test_an_ordinary_plan_has_the_text_that_it_always_had(world):
    text = plan_to_json(make_plan(world, Request(("a",))))
    assert "kind" not in text
    assert plan_from_json(text).request == Request(("a",))


def test_exact_partitions_are_refused_once_they_mean_others(world):
    request = repair(world, a=[2])
    other = daily("2012-12-31", "2013-01-11")
    moved = snapshot(source("files", other), dataset("a", other, "files"))
    with pytest.raises(UsageError, match="a has other partitions by now"):
        make_plan(moved, request)
    gone = snapshot(dataset("z", static(["x"])))
    with pytest.raises(UsageError, match="a is not there any more"):
        make_plan(gone, request)
