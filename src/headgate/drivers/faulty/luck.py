"""What goes wrong, and what was seen to have happened."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from headgate.drivers.faulty.scene import Scene

RARE = (
    "asked to yield",
    "backed off and tried again",
    "blocked",
    "blocked by the plan",
    "breaker open after a crash",
    "breaker opened",
    "breaker reset by hand",
    "breaker tripped by hand",
    "built after another run",
    "cancelled while it ran",
    "cancelled while nobody ran it",
    "change refused",
    "class at its ceiling",
    "clock set back",
    "clock set forward",
    "commit failed",
    "commit unknown and it had happened",
    "commit unknown and it had not",
    "crash after the orders",
    "crash at any moment",
    "crash before the commit",
    "crash before the transaction",
    "crash between commit and orders",
    "crash between two orders",
    "crash while taking over",
    "dataset full",
    "drained and taken up again",
    "failed after its last try",
    "failed at once",
    "failed in a ranged attempt",
    "floor served before a higher class",
    "hung and declared lost",
    "in line again after a crash",
    "joined",
    "limited",
    "made half open again after a crash",
    "parked for the retry budget",
    "parked then given up",
    "parked then let go",
    "paused and continued",
    "pool full",
    "pool shrank below what was taken",
    "prioritized",
    "probe failed",
    "probe gave no answer",
    "probe succeeded",
    "ranged",
    "ranged and failed in part",
    "reordered",
    "result doubled",
    "result late",
    "result lost",
    "retry of a live run",
    "retry of an ended run",
    "revived into a line",
    "run at its limit",
    "skipped",
    "slots all taken",
    "slots kept free for a higher class",
    "stopped and ended all the same",
    "stopped for another run",
    "stopped for another run and ended all the same",
    "superseded",
    "taken over by a higher class",
    "total reached",
    "unchanged",
    "waits for another run",
    "waits for its neighbours",
    "window closed while something ran",
    "window opened for who waited",
    "worker died",
    "worker gave back what it had not begun",
    "yielded and taken up again",
    "zombie after a crash fenced",
    "zombie fenced",
)
"""What a large sweep must have met, or it attacks less than it says."""


class Luck:
    """Decides what goes wrong, and counts what came of it.

    Args:
        scene: Whose rates hold until it heals.
    """

    def __init__(self, scene: Scene) -> None:
        self.random = Random(f"play {scene.seed}")
        self.seen: Counter[str] = Counter()
        self.unlucky: set[tuple[str, int]] = set()
        """Tasks that met a failure which was not their fate."""
        self._rates = scene.rates
        self.has_healed = False

    def strikes(self, kind: str) -> bool:
        """Return whether something goes wrong at this opportunity."""
        rate = self._rates[kind]
        return not self.has_healed and rate > 0 and self.random.random() < rate

    def note(self, branch: str) -> None:
        """Count that a rare branch was taken."""
        self.seen[branch] += 1
