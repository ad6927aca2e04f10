"""Attempts in this very process: for debugging and for tests."""

from __future__ import annotations

import asyncio
import select
import sys
from collections import deque
from typing import TYPE_CHECKING

from headgate.executors.executor import Capabilities, Capacity, Room
from headgate.executors.wake import WakePipe
from headgate.worker.messages import Cancelled

if TYPE_CHECKING:
    from pathlib import Path

    from headgate.worker.messages import Failed, Order, Progressed, Report, Split, Staged

CONCURRENCY = 1000


class InlineExecutor:
    """Runs attempts inside `poll`, so that a debugger can step into them.

    Plain functions run one for each `poll`, async functions all that wait together. Nothing that runs can be stopped:
    no time limit, no cancelling, and a function that kills its process kills this one.

    Args:
        project_root: Folder that the project's modules are imported from.
    """

    capabilities = Capabilities(can_kill=False, can_reattach=False, is_local=True)

    def __init__(self, project_root: Path) -> None:
        self._waiting: deque[Order] = deque()
        self._cancelled: list[Report] = []
        self._wake = WakePipe()
        root = str(project_root.resolve())
        if root not in sys.path:
            sys.path.insert(0, root)

    def capacity(self) -> Capacity:
        """Return how many more orders are welcome."""
        waiting_io = sum(order.is_async for order in self._waiting)
        waiting = len(self._waiting) - waiting_io
        return Capacity(Room(max(0, 1 - waiting), 1, 1), Room(max(0, CONCURRENCY - waiting_io), CONCURRENCY, 1))

    def submit(self, *orders: Order) -> None:
        """Take orders for the next calls of `poll`."""
        self._waiting.extend(orders)

    def poll(self, timeout_s: float) -> list[Report]:
        """Run what is first in line and return its outcome; wait only when there is nothing to run."""
        outcomes, self._cancelled = self._cancelled, []
        if self._waiting:
            outcomes += self._run_next()
        elif not outcomes:
            select.select([self._wake], [], [], timeout_s)
        self._wake.drain()
        return outcomes

    def cancel(self, attempt: int) -> None:
        """Stop an attempt that waits."""
        for order in self._waiting:
            if order.attempt == attempt:
                self._waiting.remove(order)
                self._cancelled.append(Cancelled(attempt))
                return

    def ask_to_yield(self, attempt: int) -> None:
        """Do nothing: what runs here runs inside `poll`."""

    def attached(self) -> set[int]:
        """Return the attempts that wait here."""
        return {order.attempt for order in self._waiting}

    def wake(self) -> None:
        """Make a `poll` that waits return soon. Safe in a signal handler."""
        self._wake.ring()

    def close(self) -> None:
        """Forget what waits. Idempotent."""
        self._waiting.clear()
        self._wake.close()

    def _run_next(self) -> list[Report]:
        from headgate.worker.attempt import run_attempt

        if not self._waiting[0].is_async:
            progress = _Progress()
            outcome = run_attempt(self._waiting.popleft(), progress)
            return [*progress.made, outcome]
        together = [order for order in self._waiting if order.is_async]
        self._waiting = deque(order for order in self._waiting if not order.is_async)
        return [*asyncio.run(_run_together(together))]


class _Progress:
    """What an attempt that runs here reports: it is passed on with its outcome."""

    def __init__(self) -> None:
        self.made: list[Progressed] = []

    def report(self, message: Progressed) -> None:
        """Keep it."""
        self.made.append(message)

    def is_asked(self) -> bool:
        """Return False: nobody can ask."""
        return False


async def _run_together(orders: list[Order]) -> list[Staged | Failed | Split]:
    from headgate.worker.attempt import run_attempt_async

    return await asyncio.gather(*(run_attempt_async(order) for order in orders))
