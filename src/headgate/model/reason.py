"""The closed lists of reasons: why a partition is in a plan, and why a task waits."""

from __future__ import annotations

from enum import IntEnum, StrEnum


class Why(IntEnum):
    """Why a plan rebuilds a partition; the first that holds, in this order."""

    NONE = 0
    MISSING = 1
    CODE = 2
    INPUTS = 3
    UPSTREAM = 4
    FORCED = 5

    @property
    def text(self) -> str:
        """Return the reason as it is shown to people."""
        return _WHY_TEXT[self]


_WHY_TEXT = {
    Why.NONE: "up to date",
    Why.MISSING: "missing",
    Why.CODE: "code changed",
    Why.INPUTS: "an input has a newer version",
    Why.UPSTREAM: "an upstream partition is in this plan",
    Why.FORCED: "forced (--all)",
}


class Wait(StrEnum):
    """Why a task that could run some day does not run now."""

    UPSTREAM = "waits for upstream partitions"
    SLOTS = "all slots are taken"
    NO_COORDINATOR = "no coordinator runs this run"
