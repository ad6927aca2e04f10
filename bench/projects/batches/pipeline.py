"""Twelve seconds of reading, a thousand rows at a time, with checkpoints of several granularities."""

from __future__ import annotations

from time import sleep
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

import headgate as hg

if TYPE_CHECKING:
    from collections.abc import Iterator

ROWS = 1_000
COUNT = 1_200
PAUSE_S = 0.01
"""What a page of something far away takes."""


def page(number: int) -> pl.DataFrame:
    sleep(PAUSE_S)
    random = np.random.default_rng(number)
    ids = np.arange(number * ROWS, (number + 1) * ROWS)
    return pl.DataFrame({"id": ids, "value": random.normal(size=ROWS), "qty": random.integers(0, 100, ROWS)})


def pages(ctx: hg.Context) -> Iterator[hg.Batch]:
    for number in range(int(ctx.resume_from or 0), COUNT):
        yield hg.Batch(page(number), offset=number + 1)


@hg.dataset(partitions=hg.static(f"{number}" for number in range(20)))
def warm_up() -> pl.DataFrame:
    """Keep every worker busy until all have started."""
    return page(0)


@hg.dataset
def whole() -> Iterator[pl.DataFrame]:
    for number in range(COUNT):
        yield page(number)


@hg.dataset(batches="10s")
def every_10s(ctx: hg.Context) -> Iterator[hg.Batch]:
    yield from pages(ctx)


@hg.dataset(batches="1s")
def every_1s(ctx: hg.Context) -> Iterator[hg.Batch]:
    yield from pages(ctx)


@hg.dataset(batches=0.1)
def every_100ms(ctx: hg.Context) -> Iterator[hg.Batch]:
    yield from pages(ctx)


@hg.dataset(batches=0)
def every_batch(ctx: hg.Context) -> Iterator[hg.Batch]:
    yield from pages(ctx)
