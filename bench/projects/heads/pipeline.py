"""Three datasets of 100,000 hours, which the benchmark writes into the state store itself."""

from __future__ import annotations

import headgate as hg

HOURS = hg.hourly("2000-01-01", "2011-05-29T16:00")


@hg.dataset(partitions=HOURS)
def first() -> None:
    pass


@hg.dataset(partitions=HOURS)
def second(first: hg.InputFiles) -> None:
    pass


@hg.dataset(partitions=HOURS)
def third(second: hg.InputFiles) -> None:
    pass
