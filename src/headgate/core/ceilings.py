"""What share of the slots each service class may have, as time windows open and close."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headgate.model.window import ceiling_at

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headgate.model.policy import ServiceClass


class Ceilings:
    """The ceilings of all classes as the time is.

    Args:
        classes: The service classes.
    """

    def __init__(self, classes: Sequence[ServiceClass]) -> None:
        self._classes = classes
        self.shares: dict[str, float] = {}
        """By class."""
        self.windows: dict[str, tuple[float, int | None]] = {}
        """What the windows of a class alone allow, and until when that is so."""
        self.until_ms: int | None = 0
        """When any of it may change."""

    def turn(self, now_ms: int) -> bool:
        """Let it be as late as this; return whether a window may have opened or closed."""
        if self.until_ms is None or now_ms < self.until_ms:
            return False
        self.windows = {one.name: ceiling_at(one.windows, now_ms) for one in self._classes}
        self.shares = {one.name: min(one.ceiling, self.windows[one.name][0]) for one in self._classes}
        self.until_ms = min((until_ms for _, until_ms in self.windows.values() if until_ms is not None), default=None)
        return True
