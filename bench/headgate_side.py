"""Headgate's side of the benchmarks that go through the library: the one file here that knows its inner names.

    python -m bench.headgate_side FOLDER DATASET

Runs in a process of its own, as a coordinator does, and prints the seconds from submitting a run of everything up to
DATASET until it has ended. Before that a run of the project's `warm_up` starts the workers.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from headgate.executors.executor import Executor
    from headgate.project.load import Project
    from headgate.store.store import Store

PROJECTS = Path(__file__).with_name("projects")
HEADGATE = Path(sys.executable).with_name("headgate")


def backfill_s(project: str, dataset: str) -> float:
    """Return the seconds that a run takes in a fresh copy of a project, workers started."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / project
        shutil.copytree(PROJECTS / project, copy, ignore=shutil.ignore_patterns("__pycache__"))
        command = [sys.executable, "-m", "bench.headgate_side", str(copy), dataset]
        done = subprocess.run(command, check=False, stdout=subprocess.PIPE, text=True, cwd=PROJECTS.parents[1])
        if done.returncode:
            raise SystemExit(f"Headgate's side of {project} ended with exit code {done.returncode}")
        return float(done.stdout)


def main(root: Path, dataset: str) -> None:
    from headgate.drivers.live import now_ms
    from headgate.drivers.takeover import take_over
    from headgate.executors.local import LocalExecutor
    from headgate.project.load import load
    from headgate.store.sqlite import open_store

    project = load(root)
    paths = project.paths
    store = open_store(paths.state, data_root=paths.data, create=True)
    executor = LocalExecutor(project.root, processes=project.config.workers.processes)
    try:
        with store.lead():
            take_over(store, paths.data, now_ms(), author="bench")
            _run_s(project, store, executor, "warm_up")
            print(_run_s(project, store, executor, f"+{dataset}"))
    finally:
        executor.close()
        store.close()


def _run_s(project: Project, store: Store, executor: Executor, select: str) -> float:
    from headgate.drivers.live import Coordinator, now_ms
    from headgate.drivers.world import look
    from headgate.model.plan import Request
    from headgate.model.run import RunState
    from headgate.planning.planner import make_plan

    world = look(project, store, now_ms())
    plan = make_plan(world.snapshot, Request(select=(select,)))
    coordinator = Coordinator(project, store, executor, author="bench")
    started = perf_counter()
    coordinator.submit(world, plan, reason="benchmark")
    summary = coordinator.drive()
    elapsed = perf_counter() - started
    if summary.state is not RunState.SUCCEEDED or summary.progress.ended != plan.size:
        failures = [f"{task.dataset}/{task.key}: {task.failure.message}" for task in summary.failures[:3]]
        raise SystemExit(f"{select}: the run has {summary.state}\n" + "\n".join(failures))
    return elapsed


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
