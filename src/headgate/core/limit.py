"""A number of slots that attempts take and give back: of a pool, or what may run of a dataset at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from headgate.core.queues import StageQueue
    from headgate.model.reason import Wait


class Limit:
    """A limit, and the stages that wait for room in it.

    Args:
        name: Of the pool or the dataset.
        wait: What a task that meets it waits for.
        capacity: How many slots there are.
    """

    __slots__ = ("capacity", "held", "name", "used", "wait")

    def __init__(self, name: str, wait: Wait, capacity: int) -> None:
        self.name = name
        self.wait = wait
        self.capacity = capacity
        self.used = 0
        self.held: list[StageQueue] = []
