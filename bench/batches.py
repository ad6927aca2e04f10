"""One partition that is read for twelve seconds: what saving its progress costs, by how often that is."""

from __future__ import annotations

from functools import partial

from bench.headgate_side import backfill_s
from bench.measure import Figure, Figures, by_turns

DATASETS = ("whole", "every_10s", "every_1s", "every_100ms", "every_batch")
MEANINGS = {
    "every_10s": "a checkpoint every 10 s",
    "every_1s": "a checkpoint every second",
    "every_100ms": "a checkpoint every 0.1 s",
    "every_batch": "a checkpoint after every batch of 1,000 rows, 10 ms apart",
}


def run() -> Figures:
    whole, *others = by_turns(3, *(partial(backfill_s, "batches", dataset) for dataset in DATASETS))
    return {
        dataset: Figure(seconds / whole, f"time with {MEANINGS[dataset]}, by that without any")
        for dataset, seconds in zip(DATASETS[1:], others, strict=True)
    }
