"""Worlds to plan in.

    python -m bench.plan_scenes SCENE SIZE

Prints the seconds that planning takes and the most resident memory of the process, in millions of bytes, as JSON.
"""

from __future__ import annotations

import json
import resource
import sqlite3
import sys
from dataclasses import replace
from random import Random
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np

from bench.headgate_side import fresh_copy
from headgate.drivers.world import look
from headgate.model.dataset import Dataset, Input
from headgate.model.mapping import All, Mapping, Offset, Overlap, Trailing
from headgate.model.partitioning import Partitioning, Unit, daily, hourly, minutely, monthly, weekly
from headgate.model.plan import Request
from headgate.planning.codec import plan_hash, plan_to_json
from headgate.planning.planner import current_digest, make_plan
from headgate.planning.snapshot import Heads, Snapshot
from headgate.project.load import load
from headgate.store.sqlite import open_store

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NOW_MS = 1_767_225_600_000
"""The beginning of 2026."""

HOURS, MINUTES = hourly("1911-12-04T08:00"), minutely("2006-12-27T13:20")
"""A million hours and ten million minutes up to then."""

STALE = 1000


def three(size: int) -> dict[str, Dataset]:
    """Return three datasets, each of which reads the one before window by window."""
    windows = HOURS if size <= 1_000_000 else MINUTES
    names = ("first", "second", "third")
    return {
        name: Dataset(name, windows, {"above": Input(names[n - 1])} if n else {}, "m:f", "code")
        for n, name in enumerate(names)
    }


def empty(datasets: dict[str, Dataset]) -> Snapshot:
    """Return a world in which nothing is built."""
    grids = {name: dataset.partitioning.grid(NOW_MS) for name, dataset in datasets.items()}
    return Snapshot(datasets, {}, grids, {name: Heads.empty(grid.size) for name, grid in grids.items()}, NOW_MS)


def built(datasets: dict[str, Dataset], stale: int) -> Snapshot:
    """Return a world in which everything is up to date, but for some partitions of the first dataset."""
    world = empty(datasets)
    heads = dict(world.heads)
    first = 1
    for name, grid in world.grids.items():
        heads[name].version[:] = np.arange(first, first + grid.size)
        first += grid.size
    for name, dataset in datasets.items():
        heads[name] = replace(heads[name], digest=current_digest(world, dataset), codes=(dataset.code,))
    name = next(iter(datasets))
    size = world.grids[name].size
    scattered = np.random.default_rng(1).choice(size, min(stale, size), replace=False)
    heads[name].digest[scattered] += np.uint64(1)
    return replace(world, heads=heads)


def full(size: int) -> float:
    datasets = three(size)
    started = perf_counter()
    plan = make_plan(empty(datasets), Request())
    plan_hash(plan_to_json(plan))
    took_s = perf_counter() - started
    assert plan.size >= 3 * size
    return took_s


def incremental(size: int) -> float:
    world = built(three(size), STALE)
    started = perf_counter()
    plan = make_plan(world, Request())
    plan_hash(plan_to_json(plan))
    took_s = perf_counter() - started
    assert plan.size == 3 * STALE
    return took_s


def fan_in(_: int) -> float:
    """Days that read the 7,000 hours up to their end, and one that reads all."""
    days = daily("1911-12-05")
    datasets = {
        "hours": Dataset("hours", HOURS, {}, "m:f", "code"),
        "days": Dataset("days", days, {"hours": Input("hours", Trailing(7000))}, "m:f", "code"),
        "all": Dataset("all", days, {"hours": Input("hours", All())}, "m:f", "code"),
    }
    world = built(datasets, STALE)
    started = perf_counter()
    plan = make_plan(world, Request())
    took_s = perf_counter() - started
    assert plan.size > 2 * world.grids["days"].size * 0.9
    return took_s


def chain(_: int) -> float:
    days = daily("2025-01-01")
    names = [f"d{n:04}" for n in range(1000)]
    datasets = {
        name: Dataset(name, days, {"above": Input(names[n - 1])} if n else {}, "m:f", "code")
        for n, name in enumerate(names)
    }
    return _planned_s(datasets)


def random_graph(_: int) -> float:
    random = Random(1)
    cuts: list[Partitioning] = [daily("2025-01-01"), weekly("2024-12-30"), monthly("2025-01-01")]
    mappings: list[Mapping] = [Overlap(), Overlap(), Trailing(7), Trailing(2, Unit.WEEK), Offset(-1)]
    datasets: dict[str, Dataset] = {}
    for n in range(5000):
        names = list(datasets)
        inputs = {
            f"p{number}": Input(other, random.choice(mappings))
            for number, other in enumerate(random.sample(names, min(random.randint(0, 4), len(names))))
        }
        datasets[f"d{n:04}"] = Dataset(f"d{n:04}", random.choice(cuts) if n else cuts[0], inputs, "m:f", "code")
    return _planned_s(datasets)


def _planned_s(datasets: dict[str, Dataset]) -> float:
    """Return the seconds of the slower of two plans: of everything, and of what follows from some stale partitions."""
    took_s = []
    for world in (empty(datasets), built(datasets, 100)):
        started = perf_counter()
        plan = make_plan(world, Request())
        took_s.append(perf_counter() - started)
        assert plan.size
    return max(took_s)


def look_at(_: int) -> float:
    """Look at 100,000 heads of each of three datasets in a state store."""
    with fresh_copy("heads") as root:
        project = load(root)
        paths = project.paths
        open_store(paths.state, data_root=paths.data, create=True).close()
        _fill(paths.state, project.datasets)
        store = open_store(paths.state, data_root=paths.data, create=False)
        started = perf_counter()
        world = look(project, store, NOW_MS)
        took_s = perf_counter() - started
        store.close()
    assert sum(int((heads.version > 0).sum()) for heads in world.snapshot.heads.values()) == 300_000
    return took_s


def _fill(path: Path, datasets: dict[str, Dataset]) -> None:
    """Write a head of each partition into a state store as publishing leaves them, but without journal."""
    random = np.random.default_rng(1)
    with sqlite3.connect(path) as connection:
        connection.execute("INSERT INTO run VALUES (1, 'r', 'backfill', 'succeeded', '', '', '', 0, 0, '', '', '')")
        for number, (name, dataset) in enumerate(datasets.items()):
            size = dataset.partitioning.grid(NOW_MS).size
            keys = dataset.partitioning.grid(NOW_MS).keys(range(size))
            digests = random.integers(-(2**63), 2**63 - 1, size).tolist()
            ids = range(number * size + 1, (number + 1) * size + 1)
            connection.execute("INSERT INTO dataset VALUES (?, ?)", (number, name))
            connection.executemany(
                "INSERT INTO version VALUES (?, ?, ?, '[]', 1, 1, '', NULL, 1, NULL, NULL)",
                ((id_, number, key) for id_, key in zip(ids, keys, strict=True)),
            )
            connection.executemany(
                "INSERT INTO checkpoint VALUES (?, 1, ?, ?, ?, NULL, ?, NULL, ?, NULL, NULL, 1, 1, 1, NULL)",
                ((i, number, key, i, "c0de" * 8, d) for i, key, d in zip(ids, keys, digests, strict=True)),
            )
            connection.executemany(
                "INSERT INTO head VALUES (?, ?, ?, ?)",
                ((number, key, id_, id_) for id_, key in zip(ids, keys, strict=True)),
            )
    connection.close()


SCENES: dict[str, Callable[[int], float]] = {
    "full": full,
    "incremental": incremental,
    "fan_in": fan_in,
    "chain": chain,
    "random_graph": random_graph,
    "look": look_at,
}

if __name__ == "__main__":
    seconds = SCENES[sys.argv[1]](int(sys.argv[2]))
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    print(json.dumps({"s": seconds, "mb": peak_mb}))
