"""Many seeds, in several processes; what they reached, and how to replay the ones that failed."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from typing import TYPE_CHECKING

from headgate.drivers.faulty.luck import RARE
from headgate.drivers.faulty.play import play

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

CHUNK = 50
ENOUGH = 2_000
"""A sweep of so many seeds must reach every rare branch."""
KEPT = 10


@dataclass(slots=True)
class Sweep:
    """What came of a range of seeds.

    Args:
        count: How many were played.
        failures: What must not be and was, by seed; the first few.
        failed: How many failed.
        seen: Rare branches that were taken, and how often.
        turns: Turns of coordinators.
    """

    count: int = 0
    failures: dict[int, str] = field(default_factory=dict)
    failed: int = 0
    seen: Counter[str] = field(default_factory=Counter)
    turns: int = 0

    def add(self, other: Sweep) -> None:
        """Take in what another part of the range came to."""
        self.count += other.count
        self.failed += other.failed
        self.turns += other.turns
        self.seen += other.seen
        self.failures = dict(sorted((self.failures | other.failures).items())[:KEPT])

    def missed(self) -> list[str]:
        """Return the rare branches that no seed reached."""
        return [branch for branch in RARE if not self.seen[branch]]

    def complaints(self) -> list[str]:
        """Return what is wrong, each failed seed with the command that replays it."""
        found = [f"seed {seed}: {failure}\n  replay: {replay(seed)}" for seed, failure in self.failures.items()]
        if self.failed > len(self.failures):
            found.append(f"and {self.failed - len(self.failures)} more")
        if self.count >= ENOUGH:
            found += [f"no seed reached: {branch}" for branch in self.missed()]
        return found


def replay(seed: int) -> str:
    """Return the command that plays a seed again and prints all that happens."""
    return f"python -m headgate.drivers.faulty {seed}"


def sweep(first: int, count: int, *, jobs: int = 1, on_progress: Callable[[Sweep], None] | None = None) -> Sweep:
    """Play a range of seeds.

    Args:
        first: The first seed.
        count: How many.
        jobs: Processes.
        on_progress: Called now and then with what came of those so far.
    """
    end = first + count
    chunks = [range(at, min(at + CHUNK, end)) for at in range(first, end, CHUNK)]
    total = Sweep()

    def take(parts: Iterable[Sweep]) -> None:
        for part in parts:
            total.add(part)
            if on_progress is not None:
                on_progress(total)

    if jobs == 1:
        take(map(_some, chunks))
        return total
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as processes:
        take(processes.map(_some, chunks))
    return total


def _some(seeds: range) -> Sweep:
    part = Sweep()
    # Not with `map`: a `StopIteration` out of a play would end that without a word.
    for seed in seeds:
        result = play(seed)
        part.count += 1
        part.turns += result.turns
        part.seen += result.seen
        if result.failure:
            part.failed += 1
            part.failures[result.seed] = result.failure
    return part
