"""100,000 hours without data."""

from __future__ import annotations

from time import sleep

import headgate as hg

HOURS = hg.hourly("2013-01-01", "2024-05-29T16:00")


@hg.dataset(partitions=hg.static(f"{number}" for number in range(20)))
def warm_up() -> None:
    """Keep every worker busy until all have started."""
    sleep(0.02)


@hg.dataset(partitions=HOURS)
def hours() -> None:
    pass
