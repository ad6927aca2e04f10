"""Planning by itself: a million partitions and more, wide and long graphs, each in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from statistics import median
from typing import Any

from bench.measure import Figure, Figures

REPETITIONS = 3
MILLION = 1_000_000


def run() -> Figures:
    full, incremental = _scene("full", MILLION), _scene("incremental", MILLION)
    ten_full, ten_incremental = _scene("full", 10 * MILLION), _scene("incremental", 10 * MILLION)
    look = _scene("look", repetitions=1)
    three = "3 datasets x 1,000,000 hours"
    return {
        "full_s": Figure(full["s"], f"{three}, nothing built: grids, plan and hash", "below 1"),
        "incremental_s": Figure(incremental["s"], f"{three}, 1,000 scattered ones stale", "below 1"),
        "rss_mb": Figure(max(full["mb"], incremental["mb"]), "most resident memory of either process", "below 200"),
        "full_10m_s": Figure(ten_full["s"], "3 datasets x 10,000,000 minutes, nothing built", "below 10"),
        "incremental_10m_s": Figure(ten_incremental["s"], "the same, 1,000 scattered ones stale", "below 10"),
        "rss_10m_mb": Figure(max(ten_full["mb"], ten_incremental["mb"]), "resident memory for that"),
        "look_us_per_head": Figure(look["s"] / 300_000 * 1e6, "reading 3 x 100,000 heads from SQLite, by head"),
        "fan_in_s": Figure(
            _scene("fan_in")["s"], "41,000 partitions read 7,000 each, stale ones among them", "below 1"
        ),
        "chain_s": Figure(_scene("chain")["s"], "1,000 datasets, each reads the one before, a year of days", "below 1"),
        "random_graph_s": Figure(_scene("random_graph")["s"], "5,000 datasets, random edges and mappings", "below 1"),
    }


def _scene(name: str, size: int = 0, *, repetitions: int = REPETITIONS) -> dict[str, float]:
    """Return the median seconds of a scene of `bench.plan_scenes` and its most memory."""
    command = [sys.executable, "-m", "bench.plan_scenes", name, str(size)]
    found: list[dict[str, Any]] = []
    for _ in range(repetitions):
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[1])
        found.append(json.loads(done.stdout))
    return {"s": median(one["s"] for one in found), "mb": max(one["mb"] for one in found)}
