"""What attempts take and give back: slots of a pool, and places among the attempts of a dataset."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from headgate.model.reason import Wait

if TYPE_CHECKING:
    from headgate.core.queues import StageQueue


class Limit:
    """The attempts of a dataset, over all runs, and the stages that wait until there are fewer.

    All of them are counted; how many may be is a stage's own affair (`Stage.concurrency`), since policies may bound
    the same dataset differently for each class and owner.

    Args:
        name: Of the dataset.
    """

    __slots__ = ("held", "name", "used")

    wait = Wait.DATASET

    def __init__(self, name: str) -> None:
        self.name = name
        self.used = 0
        self.held: list[StageQueue] = []

    def hold(self, stage: StageQueue) -> None:
        """Let a stage wait."""
        self.held.append(stage)
        stage.line.owner.class_queue.n_held += 1

    def let_go(self) -> list[StageQueue]:
        """Return who waits, and forget them."""
        held, self.held = self.held, []
        for stage in held:
            stage.line.owner.class_queue.n_held -= 1
        return held


class PoolLimit(Limit):
    """The slots of a pool.

    Who takes one slot at a time would always be before who needs several at once. So what becomes free is kept for the
    stage that was the first to find no room: who comes after it takes only what it does not need. That lasts until an
    attempt gives back slots of the pool, when all who wait ask again, in their order. So it never outlasts what runs,
    and nobody waits for who waits.

    Args:
        name: Of the pool.
        capacity: How many slots there are.
    """

    __slots__ = ("_first", "_kept", "_kept_from", "capacity")

    wait = Wait.POOL

    def __init__(self, name: str, capacity: int) -> None:
        super().__init__(name)
        self.capacity = capacity
        self._first: StageQueue | None = None
        self._kept = 0
        self._kept_from = 0.0

    def has_room(self, stage: StageQueue, slots: int) -> bool:
        """Return whether a stage may take slots."""
        free = self.capacity - self.used
        if self._first not in (None, stage) and stage.priority <= self._kept_from:
            free -= self._kept
        return slots <= free

    def hold(self, stage: StageQueue) -> None:
        """Let a stage wait for slots."""
        super().hold(stage)
        slots = next(slots for pool, slots in stage.pools if pool is self)
        # What needs more than there is holds back nobody.
        if self._first is None and slots <= self.capacity:
            self._first, self._kept = stage, slots
            # A higher class comes before it, unless a floor owes it the attempt.
            self._kept_from = inf if stage.line.owner.class_queue.owes(stage) else stage.priority

    def let_go(self) -> list[StageQueue]:
        """Return who waits, and forget them."""
        self._first = None
        return super().let_go()
