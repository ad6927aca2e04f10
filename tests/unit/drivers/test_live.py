from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest

from headgate.drivers.clock import now_ms
from headgate.drivers.live import Coordinator
from headgate.drivers.takeover import take_over
from headgate.drivers.world import look
from headgate.executors.inline import InlineExecutor
from headgate.model.plan import Request
from headgate.model.run import AttemptState, RunState
from headgate.planning.planner import make_plan
from headgate.project.load import load
from headgate.store.sqlite import open_store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from headgate.project.load import Project
    from headgate.store.store import Store

TOML = """
[project]
modules = ["live_pipeline"]
[retry]
budget = 0
budget_min = 2
backoff = 0.001
[breaker]
failures = 100
[datasets.bad.breaker]
failures = 2
cooldown = 0.001
"""
PIPELINE = """
import pyarrow as pa

import headgate


@headgate.dataset(partitions=headgate.static(["a", "b", "c", "d"]))
def long(ctx: headgate.Context) -> pa.Table:
    return pa.table({"attempt": [ctx.attempt]})


@headgate.dataset(partitions=headgate.static(["a", "b", "c", "d"]))
def busy(ctx: headgate.Context) -> pa.Table:
    raise ConnectionError("they are busy")


@headgate.dataset(partitions=headgate.static(["a", "b", "c"]))
def bad(ctx: headgate.Context) -> pa.Table:
    raise ValueError("no good")


@headgate.dataset(partitions=headgate.static(["a"]))
def short(ctx: headgate.Context) -> pa.Table:
    return pa.table({"attempt": [ctx.attempt]})
"""


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[tuple[Project, Store, Coordinator]]:
    (tmp_path / "headgate.toml").write_text(TOML)
    (tmp_path / "live_pipeline.py").write_text(PIPELINE)
    project = load(tmp_path)
    paths = project.paths
    store = open_store(paths.state, data_root=paths.data, create=True)
    executor = InlineExecutor(tmp_path)
    with store.lead():
        take_over(store, paths.data, now_ms(), author="ada")
        yield project, store, Coordinator(project, store, executor, author="ada")
    executor.close()
    store.close()


def submit(opened: tuple[Project, Store, Coordinator], dataset: str) -> str:
    project, store, coordinator = opened
    world = look(project, store, now_ms())
    return coordinator.submit(world, make_plan(world.snapshot, Request((dataset,), forced=True)), reason="a test")


def test_a_head_that_moved_while_a_run_was_alone_is_no_surprise_for_the_next(opened):
    _, store, coordinator = opened
    runs = [submit(opened, "long"), submit(opened, "short")]
    coordinator.drive()
    for _ in range(2):
        runs.append(submit(opened, "short"))
        coordinator.drive()
    assert [store.run(run).state for run in runs] == [RunState.SUCCEEDED] * 4
    assert len(store.checkpoints("short")) == 3


def test_what_is_given_up_because_too_much_was_retried_has_failed(opened):
    _, store, coordinator = opened
    run = submit(opened, "busy")
    assert coordinator.drive().state is RunState.FAILED
    states = Counter(attempt.state for attempt in store.attempts(run))
    assert states == {AttemptState.RETRIED: 2, AttemptState.FAILED: 4}
    assert {attempt.state for attempt in store.last_attempts(run)} == {AttemptState.FAILED}
    assert all(attempt.failure.message == "ConnectionError: they are busy" for attempt in store.attempts(run))


def test_a_breaker_that_opens_by_itself_is_in_the_journal_once_and_so_is_a_probe_that_fails(opened):
    _, store, coordinator = opened
    submit(opened, "bad")
    assert coordinator.drive().state is RunState.FAILED
    assert [(entry.kind, entry.author, entry.reason) for entry in store.journal_entries(kind="breaker")] == [
        ("breaker.opened", "ada", "2 failures in a row"),
        ("breaker.reopened", "ada", "its probe did not succeed"),
    ]
    assert [record.name for record in store.breakers()] == ["dataset:bad"]
