"""Workers that answer late, twice, out of order, after they were given up, or never."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING, NamedTuple

from headgate.drivers.faulty.scene import LONGEST_MS
from headgate.model.run import ErrorClass

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from headgate.core.events import Lane
    from headgate.drivers.faulty.luck import Luck
    from headgate.drivers.faulty.scene import Partition, Scene


class Kind(Enum):
    """What an answer says."""

    STAGED = auto()
    FAILED = auto()
    LOST = auto()
    RETURNED = auto()
    YIELDED = auto()
    CANCELLED = auto()


class Order(NamedTuple):
    """What a worker gets: pure input, and the attempt's number as its token."""

    attempt: int
    run: str
    lane: Lane
    partition: Partition
    can_yield: bool


class Answer(NamedTuple):
    """What comes back of an attempt; `session` is of the executor that it comes through."""

    session: int
    attempt: int
    kind: Kind
    error: ErrorClass | None = None
    content: str = ""


@dataclass(slots=True)
class Job:
    """An attempt that the executor holds a slot for."""

    order: Order
    call: int
    """The first attempt of those that the same call makes."""
    is_asked_to_stop: bool = False


class Workers:
    """One executor after another, and whatever their workers go on doing.

    Args:
        scene: What attempts come to.
        luck: What goes wrong.
        later: Puts an answer on the agenda, so many ms from now.
    """

    def __init__(self, scene: Scene, luck: Luck, later: Callable[[int, Answer], None]) -> None:
        self._scene = scene
        self._luck = luck
        self._later = later
        self.session = 0
        self.jobs: dict[int, Job] = {}
        self._dead: set[int] = set()
        self._calls: Counter[Partition] = Counter()

    def restart(self) -> None:
        """Begin with new workers; some of the old ones do not notice."""
        self._dead |= {attempt for attempt in self.jobs if not self._luck.strikes("outlives a crash")}
        self.jobs.clear()
        self.session += 1

    def free(self, lane: Lane) -> int:
        """Return how many more attempts a lane takes."""
        slots, depth = self._scene.lanes[lane]
        return slots * depth - len({job.call for job in self.jobs.values() if job.order.lane is lane})

    def submit(self, orders: Sequence[Order]) -> None:
        """Begin an attempt; if it is a ranged one, with the orders of all its tasks."""
        first = orders[0]
        assert self.free(first.lane) > 0, f"attempt {first.attempt} was sent to a full lane"
        self.jobs |= {order.attempt: Job(order, first.attempt) for order in orders}
        luck, random = self._luck, self._luck.random
        took_ms = random.randrange(1, LONGEST_MS) // random.choice((1, 4, 20)) + 1
        if luck.strikes("worker slow"):
            took_ms *= 10
        limit_ms = self._scene.heartbeat_ms
        if luck.strikes("returned"):
            self._answer_all(orders, took_ms, Kind.RETURNED)
        elif luck.strikes("worker dies"):
            self._answer_all(orders, random.randrange(took_ms) + 1, Kind.LOST, ErrorClass.LOST)
            luck.note("worker died")
        elif luck.strikes("worker hangs"):
            self._answer_all(orders, limit_ms, Kind.LOST, ErrorClass.LOST)
            luck.note("hung and declared lost")
            if luck.strikes("zombie"):
                self._finish_all(orders, limit_ms + took_ms)
        elif luck.strikes("result lost"):
            self._answer_all(orders, took_ms + limit_ms, Kind.LOST, ErrorClass.LOST)
            luck.note("result lost")
        elif first.can_yield and luck.strikes("yields"):
            self._answer_all(orders, took_ms, Kind.YIELDED)
        else:
            if luck.strikes("result late"):
                took_ms += random.randrange(LONGEST_MS)
                luck.note("result late")
            answers = self._finish_all(orders, took_ms)
            if luck.strikes("result doubled"):
                for answer in answers:
                    self._later(took_ms + random.randrange(LONGEST_MS), answer)
                luck.note("result doubled")

    def stop(self, attempt: int) -> None:
        """Ask an attempt to stop; it may have ended, or go on all the same."""
        job = self.jobs.get(attempt)
        if job is None or job.is_asked_to_stop:
            return
        job.is_asked_to_stop = True
        if self._luck.strikes("ignores a stop"):
            return
        after_ms = self._luck.random.randrange(1_000)
        for other in [one for one in self.jobs.values() if one.call == job.call]:
            # The others of the same call end with it, and have not failed.
            self._answer(other.order, after_ms, Kind.CANCELLED if other.is_asked_to_stop else Kind.RETURNED)

    def ask_to_yield(self, attempt: int) -> None:
        """Ask an attempt to stop where it can go on later; it may end before it gets there."""
        job = self.jobs.get(attempt)
        if job is not None and not self._luck.strikes("ignores a stop"):
            self._answer(job.order, self._luck.random.randrange(1_000), Kind.YIELDED)

    def delivers(self, answer: Answer) -> bool:
        """Take an answer that arrives; return whether the coordinator gets to see it."""
        if answer.session == self.session:
            self.jobs.pop(answer.attempt, None)
            return True
        # Nobody is left to find out that a worker of an executor that is gone was lost.
        return answer.kind is Kind.STAGED and answer.attempt not in self._dead

    def _finish_all(self, orders: Sequence[Order], took_ms: int) -> list[Answer]:
        """Let an attempt come to what the fates of its partitions are; one that fails may take the others with it."""
        errors = {order.attempt: self._error(order) for order in orders}
        failed = [error for error in errors.values() if error is not None]
        if failed and (ErrorClass.LOST in failed or self._luck.random.random() < 0.5):
            worst = ErrorClass.LOST if ErrorClass.LOST in failed else failed[0]
            return self._answer_all(orders, took_ms, Kind.LOST if worst is ErrorClass.LOST else Kind.FAILED, worst)
        if failed and len(failed) < len(orders):
            self._luck.note("ranged and failed in part")
        answers = []
        for order in orders:
            error, changes = errors[order.attempt], self._scene.fates[order.partition].changes
            if error is not None:
                answers.append(self._answer(order, took_ms, Kind.FAILED, error))
            else:
                content = f"{order.run} {order.partition}" if changes else f"same {order.partition}"
                answers.append(self._answer(order, took_ms, Kind.STAGED, None, content))
            took_ms += self._luck.random.choice((0, 0, 0, 300))
        return answers

    def _error(self, order: Order) -> ErrorClass | None:
        """Return what a partition fails with this time."""
        fate = self._scene.fates[order.partition]
        self._calls[order.partition] += 1
        return fate.error if self._calls[order.partition] <= fate.failures else None

    def _answer_all(
        self, orders: Sequence[Order], after_ms: int, kind: Kind, error: ErrorClass | None = None
    ) -> list[Answer]:
        return [self._answer(order, after_ms, kind, error) for order in orders]

    def _answer(
        self, order: Order, after_ms: int, kind: Kind, error: ErrorClass | None = None, content: str = ""
    ) -> Answer:
        answer = Answer(self.session, order.attempt, kind, error, content)
        self._later(after_ms, answer)
        return answer
