"""Headgate's side of the benchmarks that go through the library: the one file here that knows its inner names.

    python -m bench.headgate_side MODULE FOLDER [ARGUMENT ...]

Calls `measure(folder, *arguments)` of a module of this package in a process of its own, as a coordinator is, and prints
what it returns as JSON.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from headgate.drivers.live import Coordinator
    from headgate.drivers.progress import Progress, RunSummary
    from headgate.drivers.world import World
    from headgate.executors.executor import Executor
    from headgate.model.plan import Plan
    from headgate.project.load import Project
    from headgate.store.store import Store

PROJECTS = Path(__file__).with_name("projects")
HEADGATE = Path(sys.executable).with_name("headgate")


@contextmanager
def fresh_copy(project: str) -> Iterator[Path]:
    """Make a copy of a project in a folder of its own, and remove it again."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / project
        shutil.copytree(PROJECTS / project, copy, ignore=shutil.ignore_patterns("__pycache__"))
        yield copy


def side(project: str, module: str, *arguments: str) -> Any:
    """Return what `measure` of a module says, called in a process of its own on a fresh copy of a project."""
    with fresh_copy(project) as copy:
        command = [sys.executable, "-m", "bench.headgate_side", module, str(copy), *arguments]
        done = subprocess.run(command, check=False, stdout=subprocess.PIPE, text=True, cwd=PROJECTS.parents[1])
        if done.returncode:
            raise SystemExit(f"Headgate's side of {project} ended with exit code {done.returncode}")
        return json.loads(done.stdout)


def backfill_s(project: str, dataset: str) -> float:
    """Return the seconds that a run takes in a fresh copy of a project, workers started."""
    return float(side(project, "bench.headgate_side", dataset))


def measure(root: Path, dataset: str) -> float:
    """Return the seconds from submitting a run of everything up to a dataset until it has ended."""
    with opened(root) as (project, store, executor):
        warm_up(project, store, executor)
        world = world_of(project, store)
        driver = coordinator(project, store, executor)
        plan = plan_of(world, f"+{dataset}")
        started = perf_counter()
        driver.submit(world, plan, reason="benchmark")
        summary = driver.drive()
        elapsed = perf_counter() - started
        check(summary, plan)
    return elapsed


@contextmanager
def opened(root: Path) -> Iterator[tuple[Project, Store, Executor]]:
    """Open a project as a coordinator does."""
    from headgate.drivers.clock import now_ms
    from headgate.drivers.takeover import take_over
    from headgate.executors.local import LocalExecutor
    from headgate.project.load import load
    from headgate.store.sqlite import open_store

    project = load(root)
    paths, workers = project.paths, project.config.workers
    store = open_store(paths.state, data_root=paths.data, create=True)
    executor = LocalExecutor(project.root, processes=workers.processes, io_concurrency=workers.io_concurrency)
    try:
        with store.lead():
            take_over(store, paths.data, now_ms(), author="bench")
            yield project, store, executor
    finally:
        executor.close()
        store.close()


def warm_up(project: Project, store: Store, executor: Executor) -> None:
    """Start the workers, with a run of the project's `warm_up`."""
    world = world_of(project, store)
    plan = plan_of(world, "warm_up")
    driver = coordinator(project, store, executor)
    driver.submit(world, plan, reason="benchmark")
    check(driver.drive(), plan)


class Watching:
    """Passes the progress of a run on to a function."""

    def __init__(self, on_progress: Callable[[Progress], None]) -> None:
        self.progressed = on_progress

    def started(self, run: str, *, is_followed: bool) -> None:
        """Nothing follows from that."""

    def ended(self, summary: RunSummary, others: int) -> None:
        """Nothing follows from that."""

    def interrupted(self, runs: Sequence[str]) -> None:
        """Nothing follows from that."""


def coordinator(
    project: Project, store: Store, executor: Executor, on_progress: Callable[[Progress], None] | None = None
) -> Coordinator:
    """Return a coordinator that tells its progress."""
    from headgate.drivers.live import Coordinator

    watcher = Watching(on_progress) if on_progress else None
    return Coordinator(project, store, executor, author="bench", watcher=watcher)


def world_of(project: Project, store: Store) -> World:
    """Return how things stand."""
    from headgate.drivers.clock import now_ms
    from headgate.drivers.world import look

    return look(project, store, now_ms())


def plan_of(world: World, select: str, start: str | None = None, end: str | None = None) -> Plan:
    """Return the plan of a selection."""
    from headgate.model.plan import Request
    from headgate.planning.planner import make_plan

    return make_plan(world.snapshot, Request(select=(select,), start=start, end=end))


def check(summary: RunSummary, plan: Plan) -> None:
    """Refuse a run that did not do all of its plan."""
    from headgate.model.run import RunState

    if summary.state is not RunState.SUCCEEDED or summary.progress.ended != plan.size:
        failures = [f"{task.dataset}/{task.key}: {task.failure.message}" for task in summary.failures[:3]]
        raise SystemExit(f"the run has {summary.state}\n" + "\n".join(failures))


if __name__ == "__main__":
    print(json.dumps(import_module(sys.argv[1]).measure(Path(sys.argv[2]), *sys.argv[3:])))
