"""5,000 days of 1,000 rows of six columns."""

from __future__ import annotations

from datetime import date, timedelta
from time import sleep

import numpy as np
import polars as pl

import headgate as hg

ROWS = 1_000
FIRST = date(2000, 1, 1)
COUNT = 5_000


def keys(count: int) -> list[str]:
    return [(FIRST + timedelta(days=number)).isoformat() for number in range(count)]


def rows(key: str) -> pl.DataFrame:
    """Return the rows of a day; the same for the same day."""
    number = date.fromisoformat(key).toordinal()
    random = np.random.default_rng(number)
    return pl.DataFrame(
        {
            "id": np.arange(number * ROWS, (number + 1) * ROWS),
            "value": random.normal(size=ROWS),
            "qty": random.integers(0, 100, ROWS, dtype=np.int32),
            "name": pl.Series(random.integers(0, 1_000_000, ROWS)).cast(pl.String),
            "ts": np.datetime64(key, "us") + np.sort(random.integers(0, 86_400_000_000, ROWS)),
        }
    ).with_columns(day=pl.lit(key))


@hg.dataset(partitions=hg.static(f"{number}" for number in range(20)))
def warm_up() -> pl.DataFrame:
    """Keep every worker busy until all have started."""
    sleep(0.02)
    return rows("2000-01-01")


@hg.dataset(partitions=hg.daily(FIRST, FIRST + timedelta(days=COUNT)))
def tiny(ctx: hg.Context) -> pl.DataFrame:
    return rows(ctx.key)
