"""What an attempt that runs can say to its coordinator, and hear from it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from headgate.worker.messages import Progressed


class Link(Protocol):
    """The way from a running attempt to its coordinator."""

    def report(self, message: Progressed) -> None:
        """Send progress. Whether and when it is recorded is not told.

        Raises:
            OSError: The coordinator is gone.
        """
        ...

    def is_asked(self) -> bool:
        """Return whether the attempt was asked to stop at its next batch checkpoint. Does not block."""
        ...


class NoLink:
    """Nobody listens and nobody asks."""

    def report(self, message: Progressed) -> None:
        """Do nothing."""

    def is_asked(self) -> bool:
        """Return False."""
        return False


NO_LINK = NoLink()
