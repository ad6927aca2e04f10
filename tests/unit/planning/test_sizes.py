from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from headgate.model.dataset import Dataset, Format, Input, Source
from headgate.model.mapping import Offset, Trailing
from headgate.model.partitioning import daily
from headgate.model.plan import Request
from headgate.planning.planner import make_plan
from headgate.planning.sizes import MOST_HEADS, plan_sizes
from headgate.planning.snapshot import Heads, Snapshot
from headgate.planning.trend import Trend

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from headgate.planning.sizes import Sizes

DAYS = daily("2024-01-01", "2024-01-05")
HALF = Trend(0.0, 0.5, np.ones(1), 80.0)
ALWAYS_9 = Trend(9.0, 0.0, np.ones(1), 80.0)


def sized(
    datasets: Mapping[str, dict[str, Input]], outputs: Mapping[str, Trend], *, built: Mapping[str, int] | None = None
) -> dict[str, Sizes]:
    # `landed` has 100, 200, 300 and 400 bytes; heads of datasets that are built have the bytes that are given.
    grid = DAYS.grid(4_000_000_000_000)
    made = {name: Dataset(name, DAYS, inputs, "m:f", "c") for name, inputs in datasets.items()}
    landed = Source("landed", DAYS, "{key}.csv", Format.CSV)
    heads = {name: Heads.empty(grid.size) for name in made}
    for name in built or {}:
        heads[name].version[:] = 1
    heads["landed"] = Heads(np.arange(1, 5), np.zeros(4, np.uint64), np.zeros(4, np.int32))
    snapshot = Snapshot(made, {"landed": landed}, dict.fromkeys([*made, "landed"], grid), heads, 0)

    def head_bytes(name: str, index: NDArray[np.int64]) -> NDArray[np.int64]:
        return (index + 1) * 100 if name == "landed" else np.full(len(index), (built or {})[name])

    return plan_sizes(make_plan(snapshot, Request(forced=True)), snapshot, head_bytes, outputs)


def test_sizes_flow_down_the_plan() -> None:
    found = sized({"a": {"landed": Input("landed")}, "b": {"a": Input("a", Trailing(2))}}, {"a": HALF, "b": ALWAYS_9})
    assert found["a"].read.tolist() == [100, 200, 300, 400]
    assert found["a"].written.tolist() == [50, 100, 150, 200]
    assert found["b"].read.tolist() == [50, 150, 250, 350]
    assert found["b"].written.tolist() == [9, 9, 9, 9]


def test_what_nobody_knows_is_not_known() -> None:
    found = sized({"a": {"landed": Input("landed")}, "b": {"a": Input("a")}, "c": {"b": Input("b")}}, {"c": HALF})
    assert found["a"].read.tolist() == [100, 200, 300, 400]
    assert found["a"].written.tolist() == found["b"].read.tolist() == [-1] * 4
    # With a history, what was read in the middle of it stands in.
    assert (found["c"].read.tolist(), found["c"].written.tolist()) == ([80] * 4, [40] * 4)


def test_a_head_says_more_than_a_forecast() -> None:
    found = sized({"a": {"landed": Input("landed")}, "b": {"a": Input("a")}}, {"a": HALF}, built={"a": 7})
    assert found["b"].read.tolist() == [7] * 4


def test_a_dataset_that_reads_itself_reads_what_it_wrote_before() -> None:
    found = sized({"a": {"a": Input("a", Offset(-1), allow_missing=True)}}, {"a": ALWAYS_9})
    assert found["a"].written.tolist() == [9] * 4
    assert found["a"].read.tolist() == [0, 80, 80, 80]
    assert sized({"a": {"a": Input("a", Offset(-1))}}, {}, built={"a": 3})["a"].read.tolist() == [0, 3, 3, 3]


def test_of_many_heads_some_are_looked_up() -> None:
    many = daily("1900-01-01", "1960-01-01")
    grid = many.grid(4_000_000_000_000)
    landed = Source("landed", many, "{key}.csv", Format.CSV)
    dataset = Dataset("a", many, {"landed": Input("landed")}, "m:f", "c")
    heads = Heads(np.arange(1, grid.size + 1), np.zeros(grid.size, np.uint64), np.zeros(grid.size, np.int32))
    snapshot = Snapshot(
        {"a": dataset},
        {"landed": landed},
        {"a": grid, "landed": grid},
        {"a": Heads.empty(grid.size), "landed": heads},
        0,
    )
    asked: list[int] = []

    def head_bytes(_: str, index: NDArray[np.int64]) -> NDArray[np.int64]:
        asked.append(len(index))
        return index

    read = plan_sizes(make_plan(snapshot, Request()), snapshot, head_bytes, {})["a"].read
    assert len(asked) == 1
    assert asked[0] <= MOST_HEADS < grid.size
    assert (np.abs(read - np.arange(grid.size)) < 5).all()
