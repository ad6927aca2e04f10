from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from planning_worlds import built, dataset, snapshot, source

from headgate.core.edges import ListEdge, RangeEdge, SameEdge, SharedEdge
from headgate.core.events import Lane
from headgate.model.mapping import All, Custom, Fixed, Mapping, Offset, Overlap, Trailing
from headgate.model.partitioning import UNPARTITIONED, Partitioning, daily, monthly, product, static
from headgate.model.plan import Request
from headgate.model.run import TaskState
from headgate.planning.codec import plan_from_json, plan_to_json
from headgate.planning.planner import make_plan
from headgate.planning.stages import make_stages, successor

DAYS = daily("2013-03-25")  # seven of them have ended
PORTS = static(["ewr", "jfk", "lga"])


def staged(world, request=None, plan=None, **states):
    plan = plan or make_plan(world, request or Request())
    before = {part.name: np.array(states.get(part.name, [0] * len(part.indices)), np.uint8) for part in plan.datasets}
    return {stage.dataset: stage for stage in make_stages(plan, world, before)}


def reverse(key: str) -> list[str]:
    return [f"2013-03-{56 - int(key[-2:])}"]


@pytest.mark.parametrize(
    ("up", "down", "mapping", "kind"),
    [
        (DAYS, DAYS, Overlap(), SameEdge),
        (DAYS, DAYS, Trailing(3), RangeEdge),
        (DAYS, DAYS, Offset(-1), RangeEdge),
        (DAYS, monthly("2013-02-01"), Overlap(), RangeEdge),
        (DAYS, DAYS, All(), SharedEdge),
        (DAYS, PORTS, Overlap(), SharedEdge),
        (DAYS, UNPARTITIONED, All(), RangeEdge),
        (UNPARTITIONED, DAYS, Overlap(), RangeEdge),
        (DAYS, DAYS, Fixed("2013-03-25"), RangeEdge),
        (DAYS, DAYS, Custom(reverse, "reverse"), ListEdge),
        (product(DAYS, PORTS), product(DAYS, PORTS), Overlap(), SameEdge),
        (product(DAYS, PORTS), product(DAYS, PORTS), Offset(-1), RangeEdge),
        (product(DAYS, PORTS), product(DAYS, PORTS), Trailing(2), ListEdge),
        (product(DAYS, PORTS), DAYS, Overlap(), RangeEdge),
        (product(DAYS, PORTS), DAYS, Fixed("jfk"), RangeEdge),
        (product(DAYS, PORTS), PORTS, Overlap(), ListEdge),
    ],
)
def test_each_mapping_becomes_the_cheapest_edge(up: Partitioning, down: Partitioning, mapping: Mapping, kind: type):
    world = snapshot(dataset("up", up), dataset("down", down, ("up", mapping)))
    (edge,) = staged(world)["down"].edges
    assert type(edge) is kind
    reads = world.reads("down", world.datasets["down"].inputs["p0"])
    for task in range(world.grids["down"].size):
        assert sorted(edge.upstream_of(task)) == sorted(reads.of(task))


def test_only_planned_partitions_make_edges():
    world = snapshot(
        source("files", DAYS), dataset("clean", DAYS, "files"), dataset("week", DAYS, ("clean", Trailing(7)))
    )
    built(world)
    world.heads["clean"].version[[1, 4]] = 0
    stages = staged(world)
    assert len(stages["clean"].states) == 2
    assert [list(stages["week"].edges[0].upstream_of(at)) for at in range(6)] == [[0], [0], [0], [0, 1], [0, 1], [0, 1]]


def test_the_oldest_window_first_then_what_is_furthest_downstream():
    world = snapshot(
        dataset("a", DAYS),
        dataset("b", DAYS, "a"),
        dataset("m", monthly("2013-03-01"), "b"),
        dataset("all", UNPARTITIONED),
    )
    stages = staged(world)
    order = sorted((p, name, at) for name, stage in stages.items() for at, p in enumerate(stage.priority.tolist()))
    assert [(name, at) for _, name, at in order][:5] == [("all", 0), ("b", 0), ("a", 0), ("b", 1), ("a", 1)]
    assert [name for _, name, _ in order][-3:] == ["m", "b", "a"]
    assert len({p for p, _, _ in order}) == len(order)


def test_async_functions_have_a_lane_of_their_own():
    world = snapshot(dataset("a", DAYS), replace(dataset("b", DAYS, "a"), is_async=True))
    assert [stage.lane for stage in staged(world).values()] == [Lane.PROCESS, Lane.IO]


def test_what_is_up_to_date_may_be_skipped():
    world = built(snapshot(source("files", DAYS), dataset("a", DAYS, "files"), dataset("b", DAYS, "a")))
    world.heads["files"].version[2:] += 500
    world.heads["b"].version[3] = 0
    stages = staged(world)
    assert stages["a"].skippable.tolist() == [False] * 5
    assert stages["b"].skippable.tolist() == [True, False, True, True, True]
    assert not staged(world, Request(forced=True))["b"].skippable.any()


def test_what_became_stale_since_it_was_planned_is_not_skipped():
    world = built(snapshot(source("files", DAYS), dataset("a", DAYS, "files"), dataset("b", DAYS, "a")))
    world.heads["files"].version[2:4] += 500
    plan = plan_from_json(plan_to_json(make_plan(world, Request())))
    world.heads["a"].version[2] += 500  # another run has built it meanwhile
    assert staged(world, plan=plan)["b"].skippable.tolist() == [False, True]
    world.datasets["b"] = replace(world.datasets["b"], code="newer")
    assert not staged(world, plan=plan)["b"].skippable.any()


def test_blocked_partitions_are_submitted_as_blocked_unless_they_have_ended():
    world = snapshot(source("files", DAYS), dataset("a", DAYS, "files"), absent={"files": {1: "-", 2: "-"}})
    ended = [TaskState.WAITING, TaskState.WAITING, TaskState.SUCCEEDED, *[TaskState.WAITING] * 4]
    states = staged(world, a=ended)["a"].states.tolist()
    assert states == [TaskState.WAITING, TaskState.BLOCKED, TaskState.SUCCEEDED, *[TaskState.WAITING] * 4]


def test_a_tolerant_input_does_not_wait_for_what_cannot_be_built():
    world = snapshot(
        source("files", DAYS),
        dataset("a", DAYS, "files"),
        dataset("strict", DAYS, "a"),
        dataset("tolerant", DAYS, "strict", tolerant=True),
        absent={"files": {1: "-"}},
    )
    stages = staged(world)
    assert [at for at in range(7) if not list(stages["tolerant"].edges[0].upstream_of(at))] == [1]
    assert stages["strict"].states.tolist() == [0, TaskState.BLOCKED, 0, 0, 0, 0, 0]
    assert stages["tolerant"].states.tolist() == [0] * 7


def test_what_yields_batches_can_stop_early():
    batched = replace(dataset("b", DAYS, "a"), batches_ms=0)
    stages = staged(snapshot(dataset("a", DAYS), batched))
    assert {name: stage.can_yield for name, stage in stages.items()} == {"a": False, "b": True}


def test_an_empty_plan_has_no_stages():
    assert staged(snapshot(dataset("a", daily("2014-01-01")))) == {}


def neighbours(partitioning: Partitioning, *, without: tuple[int, ...] = ()) -> list[tuple[int, int]]:
    world = snapshot(replace(dataset("d", partitioning), batch=3))
    plan = make_plan(world, Request())
    (part,) = plan.datasets
    kept = np.setdiff1d(part.indices, without)
    found = successor(world.grids["d"], kept)
    assert len(found) == len(kept)
    return [(int(kept[at]), int(kept[to])) for at, to in enumerate(found) if to >= 0]


def test_neighbours_have_the_next_window_and_the_same_static_key():
    assert neighbours(DAYS) == [(n, n + 1) for n in range(6)]
    assert neighbours(DAYS, without=(2, 5)) == [(0, 1), (3, 4)]
    assert neighbours(PORTS) == [(0, 1), (1, 2)]
    assert neighbours(product(DAYS, PORTS), without=(3,)) == [(n, n + 3) for n in range(18) if n not in (0, 3)]
    assert neighbours(UNPARTITIONED) == []


def test_only_what_takes_several_partitions_at_once_knows_neighbours():
    world = snapshot(dataset("one", DAYS), replace(dataset("many", DAYS), batch=3))
    stages = staged(world)
    assert (stages["one"].batch, stages["one"].successor) == (1, None)
    assert stages["many"].batch == 3
    assert stages["many"].successor.tolist() == [1, 2, 3, 4, 5, 6, -1]


def test_neighbours_are_gathered_but_where_they_may_need_each_other():
    world = snapshot(
        source("files", DAYS),
        dataset("clean", DAYS, "files"),
        dataset("running", DAYS, "clean", ("running", Offset(-1))),
        dataset("there", DAYS, ("back", Offset(-1))),
        dataset("back", DAYS, "there"),
    )
    found = {name: stage.gathers for name, stage in staged(world).items()}
    assert found == {"clean": True, "running": False, "there": False, "back": False}
