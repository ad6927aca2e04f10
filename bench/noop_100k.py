"""100,000 durable no-ops: does it go on as fast as it began?"""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING

from bench.headgate_side import side
from bench.measure import Figure, Figures

if TYPE_CHECKING:
    from pathlib import Path

    from headgate.drivers.progress import Progress

TASKS = 100_000
PART = 0.2
"""Share of the tasks that the start and the end are measured over."""


def run() -> Figures:
    ends: list[tuple[float, int]] = side("noop_100k", "bench.noop_100k")
    total_s = ends[-1][0]
    start_s = next(at_s for at_s, ended in ends if ended >= PART * TASKS)
    end_s = total_s - next(at_s for at_s, ended in ends if ended >= (1 - PART) * TASKS)
    return {
        "end_to_start": Figure(start_s / end_s, "rate of the last fifth by that of the first", "0.8 to 1.2"),
        "tasks_per_s": Figure(TASKS / total_s, "durable tasks, two workers"),
    }


def measure(root: Path) -> list[tuple[float, int]]:
    """Return when how many tasks had ended."""
    from bench.headgate_side import check, coordinator, opened, plan_of, warm_up, world_of

    ends: list[tuple[float, int]] = []

    def on_progress(progress: Progress) -> None:
        ends.append((perf_counter() - started, progress.ended))

    with opened(root) as (project, store, executor):
        warm_up(project, store, executor)
        world = world_of(project, store)
        plan = plan_of(world, "hours")
        driver = coordinator(project, store, executor, on_progress)
        started = perf_counter()
        driver.submit(world, plan, reason="benchmark")
        check(driver.drive(), plan)
    return ends
