from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from headgate.core.edges import RangeEdge
from headgate.core.events import Lane
from headgate.drivers.setting import Behaviour, Setting
from headgate.drivers.simulated import simulate
from headgate.model.dataset import Dataset, Input
from headgate.model.mapping import All, Custom, Offset, Trailing
from headgate.model.partitioning import daily, monthly
from headgate.model.plan import Request
from headgate.planning.coarse import buildable, coarse_plan
from headgate.planning.planner import make_plan
from headgate.planning.snapshot import Heads, Snapshot
from headgate.planning.stages import Terms, make_stages

if TYPE_CHECKING:
    from headgate.model.plan import Plan
    from headgate.planning.coarse import CoarsePlan

DAYS = daily("2020-01-01", "2024-01-01")
MONTHS = monthly("2020-01-01", "2024-01-01")
NOW_MS = 4_000_000_000_000


def planned(*datasets: Dataset) -> tuple[Snapshot, Plan]:
    grids = {one.name: one.partitioning.grid(NOW_MS) for one in datasets}
    heads = {name: Heads.empty(grid.size) for name, grid in grids.items()}
    snapshot = Snapshot({one.name: one for one in datasets}, {}, grids, heads, NOW_MS)
    return snapshot, make_plan(snapshot, Request())


def dataset(name: str, partitioning=DAYS, **inputs: Input) -> Dataset:
    return Dataset(name, partitioning, inputs, "m:f", "c")


def coarse(snapshot: Snapshot, plan: Plan, most: int = 100) -> CoarsePlan:
    return coarse_plan(plan, snapshot, Terms(), most)


def both_ms(snapshot: Snapshot, plan: Plan, *, slots: int, most: int = 300) -> tuple[float, float]:
    # How long the whole plan takes and how long its chunks take, a second for each partition.
    second = Behaviour(np.array([1000]))
    states = {part.name: np.zeros(len(part.indices), np.uint8) for part in plan.datasets}
    stages = make_stages(plan, snapshot, states)
    lanes = {Lane.PROCESS: slots, Lane.IO: 10}
    whole = simulate(Setting(stages, [second] * len(stages), lanes), runs=1, looks=0)
    chunked = coarse(snapshot, plan, most)
    behaviours = [
        replace(second, chunks=starts, partitions=len(part.indices))
        for starts, part in zip(chunked.starts, plan.datasets, strict=True)
    ]
    rough = simulate(Setting(chunked.stages, behaviours, lanes), runs=1, looks=0)
    assert rough.attempts == whole.attempts
    assert rough.busy_ms == whole.busy_ms
    return whole.elapsed_ms[0], rough.elapsed_ms[0]


def test_chunks_wait_for_the_chunks_that_hold_what_they_read() -> None:
    snapshot, plan = planned(dataset("a"), dataset("b", a=Input("a")), dataset("m", MONTHS, b=Input("b")))
    found = coarse(snapshot, plan)
    assert [len(starts) for starts in found.starts] == [49, 49, 33]
    (same,) = found.stages[1].edges
    assert (same.upstream, same.lo.tolist(), same.hi.tolist()) == (0, list(range(49)), list(range(1, 50)))
    (months,) = found.stages[2].edges
    # January has 31 days, in chunks of 29 or 30.
    assert (months.lo[0], months.hi[0]) == (0, 2)
    assert (months.lo[-1] >= 46, months.hi[-1]) == (True, 49)


def test_a_dataset_that_reads_itself_waits_for_its_earlier_chunks() -> None:
    snapshot, plan = planned(dataset("a", a=Input("a", Offset(-1), allow_missing=True)))
    (edge,) = coarse(snapshot, plan).stages[0].edges
    assert isinstance(edge, RangeEdge)
    assert (edge.hi - edge.lo).tolist() == [0, *[1] * 99]
    assert edge.hi.tolist() == list(range(100))


def test_small_datasets_stay_as_they_are() -> None:
    snapshot, plan = planned(dataset("a"), dataset("total", daily("2024-01-01", "2024-01-11"), a=Input("a", All())))
    found = coarse(snapshot, plan)
    assert len(found.stages[1].states) == 10
    (edge,) = found.stages[1].edges
    assert (edge.lo.tolist(), edge.hi.tolist()) == ([0] * 10, [len(found.starts[0])] * 10)


def test_custom_mappings_and_what_reads_nothing() -> None:
    def read(key: str) -> list[str]:
        return [key] if key < "2021" else []

    snapshot, plan = planned(dataset("a"), dataset("b", a=Input("a", Custom(read, "read"))))
    (edge,) = coarse(snapshot, plan).stages[1].edges
    counts = edge.hi - edge.lo
    assert counts.min() >= 0
    assert counts[0] == 1
    assert counts[-1] == 0


def test_what_cannot_be_built_is_left_out() -> None:
    snapshot, plan = planned(dataset("a"), dataset("b", a=Input("a")))
    blocked = np.arange(len(plan.datasets[0].indices)) % 2 == 0
    part = replace(plan.datasets[0], blocked=blocked)
    all_blocked = replace(plan.datasets[1], blocked=np.ones(len(blocked), bool))
    left = buildable(replace(plan, datasets=(part, all_blocked)))
    assert [(one.name, one.indices.tolist()[:2]) for one in left.datasets] == [("a", [1, 3])]
    assert sum(len(stage.states) for stage in coarse(snapshot, left).stages) == 100


@pytest.mark.parametrize("slots", [1, 3, 8])
def test_chunks_take_about_as_long_as_the_whole(slots: int) -> None:
    snapshot, plan = planned(
        dataset("a"), dataset("b", a=Input("a", Trailing(7))), dataset("m", MONTHS, b=Input("b")), dataset("c")
    )
    whole_ms, rough_ms = both_ms(snapshot, plan, slots=slots)
    assert rough_ms == pytest.approx(whole_ms, rel=0.05)


def test_a_chain_takes_as_long_in_chunks() -> None:
    snapshot, plan = planned(dataset("a", a=Input("a", Offset(-1), allow_missing=True)))
    assert both_ms(snapshot, plan, slots=8) == (len(plan.datasets[0].indices) * 1000,) * 2


def test_datasets_in_a_circle_come_to_an_end() -> None:
    first = dataset("a", b=Input("b", Offset(-1), allow_missing=True))
    snapshot, plan = planned(first, dataset("b", a=Input("a")))
    _, rough_ms = both_ms(snapshot, plan, slots=8)
    assert rough_ms < float("inf")
