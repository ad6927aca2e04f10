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
    """Why a task that could run some day does not run now; the first that holds, in this order."""

    NO_COORDINATOR = "no coordinator runs this run"
    UPSTREAM = "waits for upstream partitions"
    BACKING_OFF = "waits before it is tried again"
    RETRY_BUDGET = "too many attempts were retries"
    PAUSED = "the run is paused"
    DRAINING = "the run drains"
    BREAKER = "a circuit breaker is open"
    POOL = "a pool is full"
    DATASET = "as many of the dataset run as may"
    RUN = "as many of the run run as may"
    WINDOW = "the time window allows no more"
    CEILING = "the service class is at its ceiling"
    TOTAL = "as many attempts run as may"
    RESERVED = "the free slots are reserved for a higher class"
    SLOTS = "all slots are taken"
