"""What gates are told of other versions, and the gate against partitions that become empty."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

import headgate
from headgate.drivers.baseline import Wanted, wants_of
from headgate.drivers.clock import now_ms
from headgate.drivers.live import Coordinator
from headgate.drivers.takeover import take_over
from headgate.drivers.world import look
from headgate.executors.inline import InlineExecutor
from headgate.model.dataset import Dataset, Input
from headgate.model.plan import Request
from headgate.model.run import RunState
from headgate.planning.planner import make_plan
from headgate.project.load import load
from headgate.store.sqlite import open_store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DAYS = headgate.daily("2024-01-01", "2024-01-08")
TOML = """
[project]
modules = ["baseline_pipeline"]
[retry]
attempts = 1
"""
PIPELINE = """
import json
from pathlib import Path

import pyarrow as pa

import headgate

DAYS = headgate.product(headgate.daily("2024-01-01", "2024-01-08"), headgate.static(["x", "y"]))
HERE = Path(__file__).parent


def rows(key):
    counts = json.loads((HERE / "counts.json").read_text())
    return pa.table({"n": list(range(counts.get(key, counts["other"])))})


@headgate.dataset(partitions=DAYS, gates=[headgate.row_count(within=0.5, neighbours=3)])
def near(ctx: headgate.Context) -> pa.Table:
    return rows(ctx.key)


@headgate.dataset(partitions=DAYS, gates=[headgate.moves(sums={"n": 0.5}, severity="block")])
def steady(ctx: headgate.Context) -> pa.Table:
    return rows(ctx.key)


@headgate.dataset(partitions=DAYS)
def plain(ctx: headgate.Context) -> pa.Table:
    return rows(ctx.key)


@headgate.dataset(partitions=DAYS, allow_empty=True)
def hollow(ctx: headgate.Context) -> pa.Table:
    return rows(ctx.key)
"""


class Place:
    """A project whose datasets have as many rows as a file says, run in this process."""

    def __init__(self, root: Path, store, coordinator) -> None:
        self.root, self.store, self.coordinator = root, store, coordinator

    def build(self, dataset: str, counts: str) -> list[str]:
        """Build partitions, and return the failures of those that failed."""
        (self.root / "counts.json").write_text(counts)
        world = look(load(self.root), self.store, now_ms())
        request = Request((dataset,), forced=True)
        run = self.coordinator.submit(world, make_plan(world.snapshot, request), reason="a test")
        self.coordinator.drive()
        failures = [f"{one.key}: {one.failure.message}" for one in self.store.last_attempts(run) if one.failure]
        assert self.store.run(run).state is (RunState.FAILED if failures else RunState.SUCCEEDED)
        return failures

    def rows(self, dataset: str, key: str) -> int:
        return {head.key: head.rows for head in self.store.heads(dataset)}[key]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    (tmp_path / "headgate.toml").write_text(TOML)
    (tmp_path / "baseline_pipeline.py").write_text(PIPELINE)
    monkeypatch.setattr(sys, "path", sys.path.copy())
    project = load(tmp_path)
    store = open_store(project.paths.state, data_root=project.paths.data, create=True)
    executor = InlineExecutor(tmp_path)
    with store.lead():
        take_over(store, project.paths.data, now_ms(), author="ada")
        yield Place(tmp_path, store, Coordinator(project, store, executor, author="ada"))
    executor.close()
    store.close()


def test_neighbours_are_of_the_same_static_key(place):
    assert place.build("near", '{"other": 10}') == []
    changed = '{"other": 10, "2024-01-04/x": 4, "2024-01-05/y": 6}'
    assert place.build("near", changed) == [
        "2024-01-04/x: row_count(within=0.5, neighbours=3): 4 rows; 6 (60%) less than the median 10 of 3 neighbours "
        "in time: at most 50% is allowed"
    ]
    assert place.rows("near", "2024-01-04/x") == 10
    assert place.rows("near", "2024-01-05/y") == 6


def test_the_head_is_what_a_result_is_compared_with(place):
    assert place.build("steady", '{"other": 3}') == []
    assert place.build("steady", '{"other": 3, "2024-01-04/x": 4}') == [
        "2024-01-04/x: moves(sum of n): sum of n: 6, 3 (100%) more than 3"
    ]
    assert place.rows("steady", "2024-01-04/x") == 3


def test_no_partition_with_rows_becomes_empty(place):
    assert place.build("plain", '{"other": 3, "2024-01-01/x": 0}') == []
    assert place.build("plain", '{"other": 3, "2024-01-01/x": 0, "2024-01-04/x": 0}') == [
        "2024-01-04/x: not_empty: no rows, where readers see 3: declare allow_empty=True if that can be right"
    ]
    assert place.rows("plain", "2024-01-04/x") == 3


def test_unless_that_is_allowed(place):
    assert place.build("hollow", '{"other": 3}') == []
    assert place.build("hollow", '{"other": 0}') == []
    assert place.rows("hollow", "2024-01-04/x") == 0


@pytest.mark.parametrize(
    ("gates", "batch", "wanted"),
    [
        ([], 1, None),
        ([headgate.not_null("a"), headgate.row_count(min=1), headgate.sums_match("up")], 1, None),
        ([headgate.row_count(within=0.1)], 1, Wanted(True, False, 0, False)),
        ([headgate.row_count(within=0.1, neighbours=7)], 1, Wanted(False, False, 7, False)),
        ([headgate.moves(rows=0.1)], 1, Wanted(True, False, 0, False)),
        ([headgate.moves(distribution={"a": 0.1})], 1, Wanted(True, True, 0, False)),
        ([headgate.sums_match("up")], 7, Wanted(False, False, 0, True)),
        ([headgate.not_null("a")], 7, None),
    ],
)
def test_what_gates_want_to_know(gates, batch, wanted):
    dataset = Dataset("d", DAYS, {"up": Input("up")}, "m:f", "code", gates=tuple(gates), batch=batch)
    assert wants_of(dataset) == wanted
