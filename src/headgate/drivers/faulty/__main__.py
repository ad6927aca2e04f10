"""Plays one seed and prints all that happens, or many and prints what they reached."""

from __future__ import annotations

import argparse
import os
import sys
import time

from headgate.drivers.faulty.luck import RARE
from headgate.drivers.faulty.play import play
from headgate.drivers.faulty.sweep import Sweep, sweep


def main() -> int:
    """Return 1 if anything was found."""
    parser = argparse.ArgumentParser(prog="python -m headgate.drivers.faulty", description=__doc__)
    parser.add_argument("seed", type=int, nargs="?", help="play this seed and print its transcript")
    parser.add_argument("--sweep", type=int, nargs=2, metavar=("FIRST", "COUNT"), help="play so many seeds")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes for a sweep (one per core)")
    given = parser.parse_args()
    if (given.seed is None) == (given.sweep is None):
        parser.error("give a seed, or --sweep FIRST COUNT")
    if given.sweep is not None:
        if given.sweep[1] < 1 or given.jobs < 1:
            parser.error("a sweep needs at least one seed and one process")
        return _sweep(given.sweep[0], given.sweep[1], given.jobs)
    result = play(given.seed, with_transcript=True)
    print("\n".join(result.transcript))
    print(result.failure or f"seed {given.seed}: all held")
    return 1 if result.failure else 0


def _sweep(first: int, count: int, jobs: int) -> int:
    began_s = time.monotonic()

    def tell(so_far: Sweep) -> None:
        if sys.stderr.isatty():
            print(f"\r{so_far.count} of {count} seeds, {so_far.failed} failed ", end="", file=sys.stderr, flush=True)

    total = sweep(first, count, jobs=jobs, on_progress=tell)
    took_s = time.monotonic() - began_s
    if sys.stderr.isatty():
        print(file=sys.stderr)
    for branch in RARE:
        print(f"{total.seen[branch]:>9}  {branch}")
    print(f"{total.count} seeds, {total.turns} turns, {took_s:.1f} s, {total.count / took_s:.0f} seeds/s")
    for complaint in total.complaints():
        print(complaint)
    return 1 if total.complaints() else 0


if __name__ == "__main__":
    sys.exit(main())
