"""How the schema of a dataset may change, judged when results come back, by runs in this process."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from headgate.drivers.clock import now_ms
from headgate.drivers.live import Coordinator
from headgate.drivers.quarantine import release
from headgate.drivers.takeover import take_over
from headgate.drivers.world import look
from headgate.executors.inline import InlineExecutor
from headgate.model.plan import Request
from headgate.model.run import Publication
from headgate.planning.planner import make_plan
from headgate.project.load import load
from headgate.store.sqlite import open_store
from headgate.worker import attempt

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PIPELINE = """
import json
from pathlib import Path

import pyarrow as pa

import headgate

DAYS = headgate.daily("2024-01-01", "2024-01-05")
HERE = Path(__file__).parent


def columns(key):
    said = json.loads((HERE / "columns.json").read_text())
    names = said.get(key, said["other"]).split()
    return {name: pa.array([1], pa.int64()).cast(kind) for name, _, kind in (one.partition(":") for one in names)}


@headgate.dataset(partitions=DAYS)
def open_(ctx: headgate.Context) -> pa.Table:
    return pa.table(columns(ctx.key))


@headgate.dataset(partitions=DAYS, schema="additive")
def growing(ctx: headgate.Context) -> pa.Table:
    return pa.table(columns(ctx.key))


@headgate.dataset(partitions=DAYS, schema="fixed", gates=[headgate.not_null("n")])
def fixed(ctx: headgate.Context) -> pa.Table:
    return pa.table(columns(ctx.key))


@headgate.dataset(partitions=DAYS, schema="additive", batch=4, partition_column="day")
def together(ctx: headgate.Context) -> pa.Table:
    found = {name: pa.concat_arrays([array] * len(ctx.keys)) for name, array in columns("other").items()}
    return pa.table({"day": list(ctx.keys), **found})


@headgate.dataset(partitions=DAYS, schema="additive", batches=0)
def piecemeal(ctx: headgate.Context):
    for n in range(ctx.resume_from or 0, 2):
        yield headgate.Batch(pa.table(columns(ctx.key)), offset=n + 1)


@headgate.dataset(partitions=DAYS, schema="fixed")
def effect(ctx: headgate.Context) -> None:
    return None
"""
ALL = '{"other": "n:int64"}'
WIDER = '{"other": "n:int64 m:int64"}'
RETYPED = '{"other": "n:string"}'


class Place:
    """A project whose datasets have the columns that a file says."""

    def __init__(self, root: Path, store, project, coordinator) -> None:
        self.root, self.store, self.project, self.coordinator = root, store, project, coordinator
        self.run = ""

    def build(self, dataset: str, columns: str, *, start=None, end=None, publication=Publication.EACH) -> list[str]:
        """Build partitions, and return the failures of those that failed."""
        (self.root / "columns.json").write_text(columns)
        world = look(self.project, self.store, now_ms())
        plan = make_plan(world.snapshot, Request((dataset,), start, end, forced=True))
        self.run = self.coordinator.submit(world, plan, reason="a test", publication=publication)
        self.coordinator.drive()
        return [f"{one.key}: {one.failure.message}" for one in self.store.last_attempts(self.run) if one.failure]

    def columns(self, dataset: str) -> dict[str, str]:
        """Return the columns of heads, by key."""
        heads = self.store.heads(dataset)
        return {head.key: " ".join(f"{name}:{kind}" for name, kind in head.schema or ()) for head in heads}

    def warnings(self, dataset: str) -> dict[str, str]:
        """Return what gates warned of in the last run, by key."""
        made = [one for one in self.store.run_checkpoints(self.run) if one.dataset == dataset]
        audits = self.store.audits(one.attempt for one in made)
        return {
            one.key: "; ".join(f"{gate.gate}: {gate.text}" for gate in audits[one.attempt].failed)
            for one in made
            if one.attempt in audits
        }


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    (tmp_path / "headgate.toml").write_text('[project]\nmodules = ["schemas_pipeline"]\n')
    (tmp_path / "schemas_pipeline.py").write_text(PIPELINE)
    monkeypatch.setattr(sys, "path", sys.path.copy())
    # Each test has the same functions in another folder.
    monkeypatch.setattr(attempt, "_entries", {})
    project = load(tmp_path)
    store = open_store(project.paths.state, data_root=project.paths.data, create=True)
    executor = InlineExecutor(tmp_path)
    with store.lead():
        take_over(store, project.paths.data, now_ms(), author="ada")
        yield Place(tmp_path, store, project, Coordinator(project, store, executor, author="ada"))
    executor.close()
    store.close()


def test_columns_may_come_where_the_rule_is_additive(place):
    assert place.build("growing", ALL) == []
    assert place.build("growing", WIDER) == []
    assert set(place.columns("growing").values()) == {"n:int64 m:int64"}
    assert place.warnings("growing") == {}


def test_but_they_may_not_go_or_change_their_type(place):
    assert place.build("growing", WIDER) == []
    changed = '{"other": "n:int64 m:int64", "2024-01-02": "n:string m:int64", "2024-01-03": "n:int64"}'
    assert place.build("growing", changed) == [
        "2024-01-02: schema(additive): column n: int64 is string now",
        "2024-01-03: schema(additive): column m is gone (int64)",
    ]
    assert set(place.columns("growing").values()) == {"n:int64 m:int64"}
    (held, _) = place.store.quarantined()
    assert [(gate.gate, gate.severity, gate.passed) for gate in held.candidate.gates] == [
        ("schema(additive)", "block", False)
    ]


def test_fixed_allows_another_order_only(place):
    assert place.build("fixed", WIDER) == []
    assert place.build("fixed", '{"other": "m:int64 n:int64", "2024-01-01": "n:int64 m:int64 k:int64"}') == [
        "2024-01-01: schema(fixed): column k is new (int64)"
    ]
    assert place.columns("fixed")["2024-01-02"] == "m:int64 n:int64"


def test_any_warns_of_what_is_not_additive_once_for_each_partition(place):
    assert place.build("open_", ALL) == []
    assert place.build("open_", '{"other": "n:int64 m:int64", "2024-01-02": "n:string"}') == []
    assert place.warnings("open_") == {"2024-01-02": "schema(any): column n: int64 is string now"}
    assert place.build("open_", '{"other": "n:int64 m:int64", "2024-01-02": "n:string"}') == []
    assert place.warnings("open_") == {}


def test_a_new_partition_is_compared_with_what_its_run_has_found(place):
    assert place.build("growing", ALL, end="2024-01-02") == []
    assert place.build("growing", '{"other": "n:int64 m:int64", "2024-01-03": "m:int64 n:string"}') == [
        "2024-01-03: schema(additive): beside 2024-01-01: column n: int64 is string now"
    ]
    assert place.build("growing", ALL, start="2024-01-03", end="2024-01-04") == [
        "2024-01-03: schema(additive): beside 2024-01-04: column m is gone (int64)"
    ]


def test_of_a_new_dataset_the_first_result_that_can_be_published_is_what_others_are_compared_with(place):
    said = '{"other": "n:int64 m:int64", "2024-01-01": "k:int64", "2024-01-03": "n:int64"}'
    failures = place.build("fixed", said)
    assert failures[0].startswith("2024-01-01: not_null(n): ")
    assert failures[1:] == ["2024-01-03: schema(fixed): beside 2024-01-02: column m is gone (int64)"]
    assert place.build("fixed", '{"other": "k:int64 n:int64"}', start="2024-01-02", end="2024-01-03") == [
        "2024-01-02: schema(fixed): column m is gone (int64), column k is new (int64)"
    ]


def test_what_was_refused_is_published_when_it_is_released(place):
    assert place.build("growing", ALL) == []
    assert len(place.build("growing", RETYPED, start="2024-01-02", end="2024-01-03")) == 1
    (held,) = place.store.quarantined()
    number = held.candidate.attempt
    release(place.store, place.project, [number], author="ada", reason="they know", now_ms=now_ms())
    assert place.columns("growing")["2024-01-02"] == "n:string"
    assert place.build("growing", RETYPED, start="2024-01-02", end="2024-01-03") == []


@pytest.mark.parametrize("dataset", ["together", "piecemeal"])
def test_each_partition_of_a_ranged_attempt_and_what_came_in_batches(place, dataset):
    assert place.build(dataset, ALL) == []
    failures = place.build(dataset, RETYPED)
    assert [one.partition(": ")[2] for one in failures] == ["schema(additive): column n: int64 is string now"] * 4
    assert len(place.store.quarantined()) == 4
    assert place.build(dataset, WIDER) == []


def test_a_staged_run_is_compared_with_what_readers_see(place):
    staged = Publication.TOGETHER
    assert place.build("growing", WIDER, publication=staged) == []
    assert place.build("growing", '{"other": "n:int64 m:int64", "2024-01-02": "n:int64"}', publication=staged) == [
        "2024-01-02: schema(additive): column m is gone (int64)"
    ]


def test_of_a_new_dataset_what_the_run_itself_has_staged_counts(place):
    said = '{"other": "n:int64", "2024-01-03": "n:string"}'
    assert place.build("growing", said, publication=Publication.TOGETHER) == [
        "2024-01-03: schema(additive): beside 2024-01-01: column n: int64 is string now"
    ]


def test_an_effect_elsewhere_has_no_schema(place):
    assert place.build("effect", ALL) == []
    assert place.build("effect", ALL) == []
