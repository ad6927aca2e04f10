from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from headgate.drivers.live import Coordinator, now_ms
from headgate.drivers.takeover import take_over
from headgate.drivers.world import look
from headgate.executors.inline import InlineExecutor
from headgate.model.plan import Request
from headgate.model.run import RunState
from headgate.planning.planner import make_plan
from headgate.project.load import load
from headgate.store.sqlite import open_store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from headgate.project.load import Project
    from headgate.store.store import Store

PIPELINE = """
import pyarrow as pa

import headgate


@headgate.dataset(partitions=headgate.static(["a", "b", "c", "d"]))
def long(ctx: headgate.Context) -> pa.Table:
    return pa.table({"attempt": [ctx.attempt]})


@headgate.dataset(partitions=headgate.static(["a"]))
def short(ctx: headgate.Context) -> pa.Table:
    return pa.table({"attempt": [ctx.attempt]})
"""


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[tuple[Project, Store, Coordinator]]:
    (tmp_path / "headgate.toml").write_text('[project]\nmodules = ["live_pipeline"]\n')
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
