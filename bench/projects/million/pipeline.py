"""A million hours that wait, and a few days that must not wait behind them."""

from __future__ import annotations

from pathlib import Path
from time import sleep, time_ns

import headgate as hg

HOURS = hg.hourly("1900-01-01", "2014-01-30T16:00")
"""A million of them."""
DAYS = hg.daily("2013-01-01", "2014-01-01")
STARTS = Path(__file__).with_name("starts")


@hg.dataset(partitions=hg.static(f"{number}" for number in range(20)))
def warm_up() -> None:
    """Keep every worker busy until all have started."""
    sleep(0.02)


@hg.dataset(partitions=HOURS)
def old(ctx: hg.Context) -> None:
    """Take a while, so that every slot of a backfill is always taken."""
    _mark(ctx)
    sleep(0.05)


@hg.dataset(partitions=DAYS)
def new(ctx: hg.Context) -> None:
    """Say when it started."""
    _mark(ctx)


def _mark(ctx: hg.Context) -> None:
    (STARTS / f"{ctx.dataset}-{ctx.key}").write_text(str(time_ns()))
