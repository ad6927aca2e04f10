"""100,000 hours that wait for one task, which waits for the benchmark."""

from __future__ import annotations

from pathlib import Path

import headgate as hg

HERE = Path(__file__).parent
HOURS = hg.hourly("2000-01-01", "2011-05-29T16:00")


@hg.dataset
def gate() -> None:
    """Open two pipes in turn: the first tells the benchmark that this runs, the second lets it go on."""
    (HERE / "running.pipe").write_text("")
    (HERE / "go.pipe").read_text()


@hg.dataset(partitions=HOURS)
def hour(gate: hg.InputFiles) -> None:
    pass
