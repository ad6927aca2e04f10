"""Which attempt starts next: service classes with ceilings, floors and reserved slots, and fair shares within them.

For each free slot of a lane, in this order: a class that its floor owes more slot time than its next attempt will take;
else the class of the highest priority that is below its ceiling and leaves to higher ones what is reserved for them; of
equal priority the one that has been charged least for its weight. Within the class owners and runs share (`queues`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from headgate.core.queues import MOST_CREDIT_MS, ClassQueue, OwnerQueue

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from headgate.core.breaker import Task
    from headgate.core.events import Lane
    from headgate.core.in_all import InAll
    from headgate.core.queues import RunQueue, StageQueue
    from headgate.model.policy import ServiceClass


class LaneQueue:
    """The classes of one lane, and the slots that its executor offers.

    Args:
        lane: Which lane.
        classes: All service classes.
        in_all: The bound over all lanes.
    """

    def __init__(self, lane: Lane, classes: Sequence[ServiceClass], in_all: InAll) -> None:
        self.lane = lane
        self._in_all = in_all
        self.free = 0
        self.slots = 0
        self.depth = 1
        # In the order in which they are served.
        ordered = sorted(classes, key=lambda one: (-one.priority, one.name))
        self.classes = [ClassQueue(service_class, n) for n, service_class in enumerate(ordered)]
        self._floored = [(queue, queue.service_class.floor) for queue in self.classes if queue.service_class.floor > 0]
        self.by_name = {queue.service_class.name: queue for queue in self.classes}
        self.owners: dict[tuple[str, str], OwnerQueue] = {}
        self._served: dict[int, float] = {}
        """What the class that was served last had been charged, by priority."""

    def owner(self, service_class: str, name: str, weight: float) -> OwnerQueue:
        """Return the queue of an owner in a class."""
        key = (service_class, name)
        if key not in self.owners:
            self.owners[key] = OwnerQueue(name, weight, self.by_name[service_class])
        return self.owners[key]

    def offer(self, free: int, slots: int, depth: int, ceilings: Mapping[str, float]) -> None:
        """Take what the executor offers, and work out what each class may have of it.

        Args:
            free: Attempts that it takes now.
            slots: Attempts that run at the same time.
            depth: Attempts that a slot may hold.
            ceilings: The ceiling of each class as the time is.
        """
        self.free, self.slots, self.depth = free, slots, depth
        for queue in self.classes:
            service_class = queue.service_class
            share = ceilings[service_class.name]
            # A share that is not nothing is at least one slot, on the smallest machine too.
            spread = max(1, int(share * slots + 1e-9)) if share > 0 else 0
            queue.spread = min(spread, slots)
            queue.allowed = queue.spread * depth
            if service_class.slots is not None:
                queue.allowed = min(queue.allowed, service_class.slots)

    def first(self) -> tuple[ClassQueue, OwnerQueue, RunQueue, StageQueue] | None:
        """Return who is next, if a slot is free for somebody who has something to start."""
        owed = self._owed()
        if owed is not None:
            return owed
        chosen: tuple[ClassQueue, OwnerQueue, RunQueue, StageQueue] | None = None
        reserved = beside_reserved = 0
        priority: int | None = None
        for queue in self.classes:
            service_class = queue.service_class
            if service_class.priority != priority:
                priority = service_class.priority
                reserved += beside_reserved
                beside_reserved = 0
            if not queue.owners or not self._asks(queue):
                queue.is_away = True
            elif (
                (chosen is None or self._goes_before(queue, chosen[0]))
                and self._leaves(reserved)
                and self._in_all.leaves_reserved(service_class)
            ):
                found = queue.first()
                if found is not None:
                    chosen = (queue, *found)
            if service_class.reserved:
                beside_reserved += max(0, service_class.reserved - -(-queue.used // self.depth))
        return chosen

    def _owed(self) -> tuple[ClassQueue, OwnerQueue, RunQueue, StageQueue] | None:
        """Return who is next of a class that its floor owes the attempt.

        A class that has nothing to start loses what it was owed, unless others have taken all of what it needs.
        """
        for queue, _ in self._floored:
            if queue.credit > 0 and self._asks(queue):
                found = queue.first()
                if found is not None:
                    if queue.owes(found[2]):
                        return queue, *found
                elif not queue.n_held:
                    queue.credit = 0.0
        return None

    def _asks(self, queue: ClassQueue) -> bool:
        """Return whether a class may have something to start, and is below its ceiling."""
        if not queue.owners or queue.used >= queue.allowed or not self._in_all.lets_in(queue.service_class):
            return False
        if queue.is_away:
            # Who comes back starts where the others are: nobody saves up.
            queue.is_away = False
            queue.charged = max(queue.charged, self._served.get(queue.service_class.priority, 0.0))
        return True

    def _leaves(self, reserved: int) -> bool:
        # On the smallest machine too one slot is for everybody, or nothing but the highest class ever ran.
        return reserved == 0 or self.used() < max(1, self.slots - reserved) * self.depth

    @staticmethod
    def _goes_before(queue: ClassQueue, other: ClassQueue) -> bool:
        return queue.service_class.priority == other.service_class.priority and queue.charged < other.charged

    def used(self) -> int:
        """Return how many attempts are in the lane."""
        return sum(queue.used for queue in self.classes)

    def charge(self, chosen: tuple[ClassQueue, OwnerQueue, RunQueue, StageQueue]) -> None:
        """Charge a start to everybody whom `first` returned, and credit those whom a floor owes a part of it."""
        queue, owner, line, stage = chosen
        cost_ms = stage.typical_ms
        queue.charge(owner, line, cost_ms)
        self._served[queue.service_class.priority] = queue.charged
        queue.charged += cost_ms / queue.service_class.weight
        queue.waits_since_ms = None
        self.free -= 1
        for other, floor in self._floored:
            if (other.owners or other.n_held) and other.used < other.allowed:
                credit = other.credit + floor * cost_ms
                other.credit = credit if credit < MOST_CREDIT_MS else MOST_CREDIT_MS
        queue.used += 1  # Not before: a floor is a share of its own starts too, also of the one that fills its ceiling.
        # What it is owed is paid, and owes in turn if that was more; what it gets anyway makes no debts.
        if queue.credit > 0:
            queue.credit = queue.credit - cost_ms if queue.owes(stage) else max(0.0, queue.credit - cost_ms)

    def impatient(self, now_ms: int) -> tuple[list[Task], int | None]:
        """Return which attempts shall yield their slots, and when the next class loses its patience.

        A class waits while it could start something if only a slot were free. After its patience the attempt of the
        smallest priority that was started last is asked to yield, one at a time.
        """
        asked: list[Task] = []
        due_ms: int | None = None
        for queue in self.classes:
            lower = [other for other in self.classes[queue.order + 1 :] if other.yielding]
            if not lower or not queue.owners or queue.used >= queue.allowed or queue.first() is None:
                queue.waits_since_ms = None
                continue
            if queue.waits_since_ms is None:
                queue.waits_since_ms = now_ms
            at_ms = queue.waits_since_ms + queue.service_class.patience_ms
            if now_ms < at_ms:
                due_ms = at_ms if due_ms is None else min(due_ms, at_ms)
            elif not queue.asked and lower[-1].service_class.priority < queue.service_class.priority:
                task, _ = lower[-1].yielding.popitem()
                queue.asked[task] = None
                asked.append(task)
        return asked, due_ms

    def ended(self, queue: ClassQueue, task: Task) -> None:
        """Forget an attempt that could yield and has ended."""
        queue.yielding.pop(task, None)
        for other in self.classes:
            if task in other.asked:
                del other.asked[task]
                other.waits_since_ms = None  # Its slot is about to be offered.

    def leaves_reserved(self, queue: ClassQueue) -> bool:
        """Return whether a class could start something without taking what is reserved for higher ones."""
        higher = [one for one in self.classes if one.service_class.priority > queue.service_class.priority]
        return self._in_all.leaves_reserved(queue.service_class) and self._leaves(
            sum(max(0, h.service_class.reserved - -(-h.used // self.depth)) for h in higher)
        )
