"""Two thousand async attempts that sleep for a second, in flight at the same time."""

from __future__ import annotations

from bench.headgate_side import backfill_s
from bench.measure import Figure, Figures, by_turns


def run() -> Figures:
    (wall_s,) = by_turns(3, lambda: backfill_s("sleepers", "sleepers"))
    return {"wall_s": Figure(wall_s, "2,000 durable attempts that sleep for a second", "below 2")}
