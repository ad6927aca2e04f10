"""The contract of executors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from headgate.worker.messages import Order, Report


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What an executor can do; policy and pages say so where a stop cannot be enforced.

    Args:
        can_kill: A running attempt can be stopped alone.
        can_reattach: Attempts survive their coordinator and are found again by `attached`.
        is_local: Attempts see the coordinator's file system.
    """

    can_kill: bool
    can_reattach: bool
    is_local: bool


class Room(NamedTuple):
    """What a lane can take.

    Args:
        free: How many more orders are welcome now.
        slots: How many run at the same time.
        depth: How many orders each slot may hold, the running one included.
    """

    free: int
    slots: int
    depth: int


class Capacity(NamedTuple):
    """The room in each of two lanes that do not compete.

    Args:
        process: For plain functions.
        io: For `async def` functions (`Order.is_async`).
    """

    process: Room
    io: Room


class Executor(Protocol):
    """Runs attempts somewhere and reports each outcome.

    Ordering: none between attempts; the outcome of each submitted attempt is reported exactly once, unless the
    coordinator dies first. What one has progressed comes before that, in order.
    No attempt is ever repeated behind the coordinator's back. Not thread-safe: one thread drives it.
    """

    capabilities: Capabilities

    def capacity(self) -> Capacity:
        """Return how many more orders are welcome now; never negative. Does not block.

        More than that may be submitted: they wait here. Orders of one service class are spread among `Order.spread`
        workers at most, so that the others are free for other classes.
        """
        ...

    def submit(self, *orders: Order) -> None:
        """Take orders; their intents are already durable.

        Pre: no attempt number twice. Post: each will be reported by `poll`. Does not block on the attempts.
        """
        ...

    def poll(self, timeout_s: float) -> list[Report]:
        """Return the outcomes and the progress that have arrived, waiting up to `timeout_s` for the first.

        Also watches heartbeats and time limits: a hung or overdue attempt is killed and reported. May return early
        with nothing (a signal, a call of `wake`).

        Raises:
            UnavailableError: No worker can start. What waited for one has been returned by the poll before; what
                runs still runs. Until something is submitted, capacity is zero and every poll without outcomes says
                so again.
        """
        ...

    def cancel(self, attempt: int) -> None:
        """Stop an attempt, as far as `capabilities` allow; its outcome is still reported. Idempotent."""
        ...

    def ask_to_yield(self, attempt: int) -> None:
        """Have an attempt stop at its next batch checkpoint, or give it back if it has not started.

        As far as that is possible here; its outcome is still reported, whatever it is. Idempotent.
        """
        ...

    def attached(self) -> set[int]:
        """Return the attempts that run or wait here."""
        ...

    def wake(self) -> None:
        """Make a `poll` that waits return soon. Safe in a signal handler."""
        ...

    def close(self) -> None:
        """Stop everything at once, without reports. Idempotent."""
        ...
