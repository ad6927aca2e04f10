"""Three chained datasets without data: their functions do nothing and return nothing."""

from __future__ import annotations

from time import sleep

import headgate as hg

DAYS = hg.daily("2013-01-01", "2014-01-01")


@hg.dataset(partitions=hg.static(f"{number}" for number in range(20)))
def warm_up() -> None:
    """Keep every worker busy until all have started."""
    sleep(0.02)


@hg.dataset(partitions=DAYS)
def first() -> None:
    pass


@hg.dataset(partitions=DAYS)
def second(first: hg.InputFiles) -> None:
    pass


@hg.dataset(partitions=DAYS)
def third(second: hg.InputFiles) -> None:
    pass
