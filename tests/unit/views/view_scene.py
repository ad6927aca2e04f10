"""A small project that runs inside the test's process."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from headgate.drivers.clock import now_ms
from headgate.drivers.live import Coordinator
from headgate.drivers.takeover import take_over
from headgate.drivers.world import look
from headgate.executors.inline import InlineExecutor
from headgate.model.plan import Request
from headgate.planning.planner import make_plan
from headgate.project.load import load
from headgate.store.sqlite import open_store

if TYPE_CHECKING:
    from pathlib import Path

    from headgate.drivers.progress import RunSummary
    from headgate.planning.snapshot import Snapshot
    from headgate.project.load import Project
    from headgate.store.store import Store

PIPELINE = '''
import pyarrow as pa

import headgate

DAYS = headgate.daily("2024-01-01", "2024-01-06", tz="Europe/Berlin")

headgate.source("landed", path="landing/{key}.csv", partitions=DAYS)


@headgate.dataset(partitions=DAYS)
def sales(landed: pa.Table) -> pa.Table:
    """Sales of a day."""
    if "bad" in landed.column("name").to_pylist():
        raise ValueError("a bad row")
    return landed


@headgate.dataset(partitions=DAYS, inputs={"sales": headgate.trailing(2)})
def trend(sales: pa.Table) -> pa.Table:
    return sales.group_by("name").aggregate([("value", "sum")])


@headgate.dataset
def total(trend: pa.Table) -> pa.Table:
    return pa.table({"rows": [trend.num_rows]})


@headgate.dataset
def told(total) -> None:
    return None
'''


class Shop:
    """A project in a folder: five days of sales, their trend, their total, and an effect."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir(exist_ok=True)
        (root / "headgate.toml").write_text('[project]\nmodules = ["shop_pipeline"]\n')
        (root / "shop_pipeline.py").write_text(PIPELINE)
        (root / "landing").mkdir()
        for day in range(1, 6):
            self.land(day, f"a,{day}\nb,{day * 2}\n")

    def land(self, day: int, rows: str) -> None:
        """Write the landed file of a day of January."""
        (self.root / "landing" / f"2024-01-{day:02}.csv").write_text("name,value\n" + rows)

    def edit(self, old: str, new: str) -> None:
        """Change the code."""
        path = self.root / "shop_pipeline.py"
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))

    def project(self) -> Project:
        """Load it."""
        path = sys.path.copy()
        try:
            return load(self.root)
        finally:
            sys.path[:] = path

    def store(self, *, create: bool = False) -> Store:
        """Open its state store."""
        return open_store(self.root / ".headgate" / "state.db", data_root=self.root / "data", create=create)

    def snapshot(self, store: Store) -> Snapshot:
        """Return how things stand."""
        return look(self.project(), store, now_ms()).snapshot

    def backfill(
        self, *select: str, forced: bool = False, drain: bool = False, executor: type[InlineExecutor] = InlineExecutor
    ) -> RunSummary:
        """Build what is missing or stale; with `drain` only what starts first."""
        project = self.project()
        store = self.store(create=True)
        path = sys.path.copy()
        try:
            with store.lead():
                take_over(store, project.paths.data, now_ms(), author="ada")
                world = look(project, store, now_ms())
                plan = make_plan(world.snapshot, Request(select, forced=forced))
                runs_in = executor(self.root)
                coordinator = Coordinator(project, store, runs_in, author="ada")
                coordinator.submit(world, plan, reason="a test")
                if drain:
                    coordinator.drain()
                summary = coordinator.drive()
                runs_in.close()
                return summary
        finally:
            sys.path[:] = path
            store.close()
