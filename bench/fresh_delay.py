"""How long a fresh task waits to start while a million backfill tasks wait and every slot of theirs is taken."""

from __future__ import annotations

from itertools import pairwise
from statistics import quantiles
from time import monotonic, time_ns
from typing import TYPE_CHECKING

from bench.headgate_side import side
from bench.measure import Figure, Figures

if TYPE_CHECKING:
    from pathlib import Path

    from headgate.drivers.progress import Progress

SAMPLES = 200
EVERY_S = 0.05


def run() -> Figures:
    delays_ms = sorted(side("million", "bench.fresh_delay"))
    cuts = quantiles(delays_ms, n=100, method="inclusive")
    meaning = f"from submitting a fresh run to the start of its function, {len(delays_ms)} times"
    return {
        "p50_ms": Figure(cuts[49], meaning, "below 5"),
        "p99_ms": Figure(cuts[98], meaning, "below 25"),
    }


def measure(root: Path) -> list[float]:
    """Return the delays, ms."""
    from bench.headgate_side import coordinator, opened, plan_of, warm_up, world_of

    (root / "starts").mkdir()
    days = [f"2013-{1 + n // 28:02}-{1 + n % 28:02}" for n in range(SAMPLES + 1)]
    submitted: dict[str, int] = {}
    with opened(root) as (project, store, executor):
        warm_up(project, store, executor)
        world = world_of(project, store)
        fresh = [(day, plan_of(world, "new", start=day, end=after)) for day, after in pairwise(days)]
        next_at_s = monotonic() + EVERY_S

        def on_progress(_progress: Progress) -> None:
            nonlocal next_at_s
            if monotonic() < next_at_s:
                return
            next_at_s = monotonic() + EVERY_S
            if not fresh:
                driver.drain()
                return
            day, plan = fresh.pop()
            submitted[day] = time_ns()
            driver.submit(world, plan, reason="benchmark", service_class="fresh")

        driver = coordinator(project, store, executor, on_progress)
        driver.submit(world, plan_of(world, "old"), reason="benchmark")
        driver.drive()
    marks = {day: root / "starts" / f"new-{day}" for day in submitted}
    return [(int(mark.read_text()) - submitted[day]) / 1e6 for day, mark in marks.items()]
