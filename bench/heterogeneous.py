"""Runs whose tasks take very different times: the longest remaining path first, beside the oldest first.

Made workflows in the shapes that scientific ones have (fork and join, and the stages of a Montage mosaic), with
durations that differ by dataset over orders of magnitude, through the simulated driver.
"""

from __future__ import annotations

from dataclasses import replace
from math import exp, log
from statistics import fmean

import numpy as np

from bench.measure import Figure, Figures
from headgate.core.edges import Edge, ListEdge, SharedEdge
from headgate.core.events import Lane, Stage
from headgate.drivers.setting import Behaviour, Setting
from headgate.drivers.simulated import simulate
from headgate.planning.critical import longest_left

WORKFLOWS = 60
SLOTS = 16
SPREAD = 0.3
"""How much attempts of one dataset differ: sigma of a lognormal distribution."""


def stage(name: str, n: int, typical_ms: float, *edges: Edge) -> Stage:
    nothing = np.zeros(n, dtype=bool)
    order = np.arange(n, dtype=np.int64)
    return Stage(name, Lane.PROCESS, edges, order, np.zeros(n, np.uint8), nothing, nothing, typical_ms=typical_ms)


def all_of(upstream: int, n_upstream: int, n: int = 1) -> SharedEdge:
    return SharedEdge(upstream, n, np.ones(n_upstream, dtype=bool))


def pairs(random: np.random.Generator, upstream: int, n_upstream: int, n: int) -> ListEdge:
    offsets = np.arange(n + 1, dtype=np.int64) * 2
    values = np.concatenate([np.sort(random.choice(n_upstream, 2, replace=False)) for _ in range(n)])
    return ListEdge.build(upstream, n_upstream, offsets, values.astype(np.int32))


def heavy_ms(random: np.random.Generator) -> float:
    return float(np.clip(random.lognormal(log(10_000), 1.5), 100, 1_000_000))


def fork_join(random: np.random.Generator) -> list[Stage]:
    """Return branches of different lengths that meet in one task."""
    stages: list[Stage] = []
    ends = []
    for branch in range(int(random.integers(6, 20))):
        n = int(random.integers(4, 12))
        for step in range(int(random.integers(1, 7))):
            edges = (all_of(len(stages) - 1, n, n),) if step else ()
            stages.append(stage(f"b{branch}_{step}", n, heavy_ms(random), *edges))
        ends.append((len(stages) - 1, n))
    stages.append(stage("join", 1, heavy_ms(random), *(all_of(end, n) for end, n in ends)))
    return stages


def montage(random: np.random.Generator) -> list[Stage]:
    """Return images that are projected, compared in pairs, corrected together and added up: a few mosaics at a time."""
    stages: list[Stage] = []
    for mosaic in range(int(random.integers(2, 8))):
        images, base = int(random.integers(8, 40)), len(stages)
        differences = 2 * images
        stages += [
            stage(f"project{mosaic}", images, heavy_ms(random)),
            stage(f"difference{mosaic}", differences, heavy_ms(random), pairs(random, base, images, differences)),
            stage(f"model{mosaic}", 1, heavy_ms(random), all_of(base + 1, differences)),
            stage(f"correct{mosaic}", images, heavy_ms(random), all_of(base + 2, 1, images)),
            stage(f"add{mosaic}", 1, heavy_ms(random), all_of(base + 3, images)),
        ]
    return stages


def elapsed_ms(stages: list[Stage], seed: int) -> float:
    random = np.random.default_rng(seed)
    factors = np.exp(random.normal(0, SPREAD, 200))
    behaviours = [Behaviour(np.maximum(1, stage.typical_ms * factors).astype(np.int64)) for stage in stages]
    return fmean(simulate(Setting(stages, behaviours, {Lane.PROCESS: SLOTS}), runs=3, seed=seed, looks=0).elapsed_ms)


def by_age(stages: list[Stage]) -> list[Stage]:
    """Return what all have in one window: what is further downstream first."""
    last = len(stages) - 1
    return [replace(one, priority=np.full(len(one.states), last - n)) for n, one in enumerate(stages)]


def by_path(stages: list[Stage]) -> list[Stage]:
    left = longest_left(stages)
    ranks = np.split(
        np.unique(-np.concatenate(left), return_inverse=True)[1], np.cumsum([len(ways) for ways in left])[:-1]
    )
    return [replace(one, priority=rank.astype(np.int64)) for one, rank in zip(stages, ranks, strict=True)]


def run() -> Figures:
    gains = []
    for seed in range(WORKFLOWS):
        stages = (fork_join, montage)[seed % 2](np.random.default_rng(seed))
        gains.append(elapsed_ms(by_age(stages), seed) / elapsed_ms(by_path(stages), seed))
    return {
        "ratio": Figure(exp(fmean(map(log, gains))), "makespan oldest first by longest path first, geometric mean"),
        "best": Figure(max(gains), "of the workflow where the order matters most"),
        "worst": Figure(min(gains), "of the workflow where it matters least"),
    }
