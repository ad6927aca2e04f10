"""One kind of workers: what waits for them, and how much each of them should hold."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from headgate.executors.executor import Room

if TYPE_CHECKING:
    from headgate.executors.worker_process import WorkerProcess
    from headgate.worker.messages import Order

QUEUED_MS = 15.0
"""Work that should wait in a worker: enough to bridge the coordinator's turn, little enough to lose."""

DEEPEST = 64
LONG_MS = 500.0

BOOT_TRIES = 3
BOOT_BACKOFF_S = 0.1
BOOT_BACKOFF_MAX_S = 5.0


class Pace:
    """How many orders a worker for plain functions should hold, from how long attempts take.

    At first 2: one runs, one waits. Short attempts raise it slowly, long ones lower it at once.
    """

    def __init__(self) -> None:
        self._typical_ms = QUEUED_MS
        self.depth = 2

    def learn(self, elapsed_ms: float) -> None:
        """Take the duration of an attempt into account; what is no duration is ignored."""
        if not elapsed_ms >= 0:
            return
        elapsed_ms = min(elapsed_ms, 1000 * LONG_MS)
        if elapsed_ms > 2 * self._typical_ms:
            self._typical_ms = elapsed_ms
        else:
            self._typical_ms += 0.2 * (elapsed_ms - self._typical_ms)
        if self._typical_ms > LONG_MS:
            self.depth = 1
        else:
            self.depth = min(DEEPEST, 1 + max(1, round(QUEUED_MS / max(self._typical_ms, 0.1))))


class _Seat:
    """A worker while orders are dealt."""

    def __init__(self, worker: WorkerProcess, *, is_shut: bool) -> None:
        self.worker = worker
        self.is_shut = is_shut
        self.held = len(worker.held)
        self.classes = {order.service_class for order in worker.held.values()}
        self.orders: list[Order] = []

    def take(self, order: Order) -> None:
        """Seat an order."""
        self.held += 1
        self.classes.add(order.service_class)
        self.orders.append(order)


class Lane:
    """Workers of one kind and the orders that no worker holds yet.

    Args:
        size: How many workers there should be.
        depth: How many orders each may hold; None to find out.
        is_io: Whether it is for async functions.
    """

    def __init__(self, size: int, depth: int | None, *, is_io: bool) -> None:
        self.size = size
        self.is_io = is_io
        self.pace = Pace()
        self.workers: list[WorkerProcess] = []
        self.backlog: deque[Order] = deque()
        self.boot_failures = 0
        """Workers in a row that died before their first beat."""
        self.spawn_at = 0.0
        self.why_shut = ""
        """Why no worker could start, until somebody submits again."""
        self._depth = depth

    @property
    def depth(self) -> int:
        """Return how many orders a worker may hold."""
        return self.pace.depth if self._depth is None else self._depth

    def room(self) -> Room:
        """Return what the workers that run, start or are yet to start can take."""
        slots, depth = (self.depth, 1) if self.is_io else (self.size, self.depth)
        if self.why_shut:
            return Room(0, slots, depth)
        missing = self.size - len(self.workers)
        free = sum(self._room(worker) for worker in self.workers) + missing * self.depth
        return Room(max(0, free - len(self.backlog)), slots, depth)

    def deal(self) -> list[tuple[WorkerProcess, list[Order]]]:
        """Take from the backlog what workers have room for: the least busy worker first."""
        # A worker gets nothing before its first beat, so one that cannot start costs no attempt; and nothing should
        # queue behind others while it starts.
        seats = [_Seat(worker, is_shut=self._is_shut(worker)) for worker in self.workers if worker.has_beaten]
        most = self.depth if len(seats) == len(self.workers) else 1
        left: deque[Order] = deque()
        while self.backlog:
            order = self.backlog.popleft()
            open_seats = [seat for seat in seats if seat.held < most and not seat.is_shut]
            if not open_seats:
                left.append(order)
                break
            if 0 < order.spread < len(self.workers):
                mine = [seat for seat in seats if order.service_class in seat.classes]
                if len(mine) >= order.spread:
                    open_seats = [seat for seat in open_seats if seat in mine]
            if open_seats:
                min(open_seats, key=lambda seat: seat.held).take(order)
            else:
                left.append(order)
        self.backlog = left + self.backlog
        return [(seat.worker, seat.orders) for seat in seats if seat.orders]

    def boot_failed(self, why: str, now: float) -> list[Order]:
        """Take note that a worker died before its first beat, and put off the next one.

        Returns:
            The backlog, if no worker is left and this was one time too many: then the lane is shut.
        """
        self.boot_failures += 1
        self.spawn_at = now + min(BOOT_BACKOFF_S * 2**self.boot_failures, BOOT_BACKOFF_MAX_S)
        if self.workers or not self.backlog or self.boot_failures < BOOT_TRIES:
            return []
        self.why_shut = why
        given_up = list(self.backlog)
        self.backlog.clear()
        return given_up

    def _room(self, worker: WorkerProcess) -> int:
        return 0 if self._is_shut(worker) else max(0, self.depth - len(worker.held))

    def _is_shut(self, worker: WorkerProcess) -> bool:
        return worker.stopping is not None or worker.is_stalled
