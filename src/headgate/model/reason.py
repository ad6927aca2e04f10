"""The closed lists of reasons: why a partition is in a plan, and why a task waits."""

from __future__ import annotations

from enum import IntEnum, StrEnum


class Why(IntEnum):
    """Why a plan rebuilds a partition; the first that holds, in this order. Stored plans keep the numbers."""

    NONE = 0
    FAILED = 6
    MISSING = 1
    CODE = 2
    LATE = 7
    INPUTS = 3
    UPSTREAM = 4
    FORCED = 5
    TAINTED = 8

    @property
    def text(self) -> str:
        """Return the reason as it is shown to people."""
        return _WHY_TEXT[self]


_WHY_TEXT = {
    Why.NONE: "up to date",
    Why.FAILED: "failed last time",
    Why.MISSING: "missing",
    Why.CODE: "code changed",
    Why.LATE: "late data: a file came or changed since",
    Why.INPUTS: "an input has a newer version",
    Why.UPSTREAM: "an upstream partition is in this plan",
    Why.FORCED: "forced (--all)",
    Why.TAINTED: "its head rests on what went wrong",
}


class Wait(StrEnum):
    """Why a task does not run now; the first that holds, in this order."""

    NO_COORDINATOR = "no coordinator runs this run"
    QUEUED = "the coordinator is about to take up the run"
    BLOCKED = "something upstream failed or is missing"
    OTHER_RUN = "another run builds the partition"
    UPSTREAM = "waits for upstream partitions"
    NEIGHBOURS = "waits for its neighbours, to be built with them"
    BACKING_OFF = "waits before it is tried again"
    RETRY_BUDGET = "too many attempts were retries"
    PAUSED = "the run is paused"
    DRAINING = "the run drains"
    BREAKER = "a circuit breaker is open"
    POOL = "a pool is full"
    DATASET = "the dataset has as many attempts as it may"
    RUN = "the run has as many attempts as it may"
    WINDOW = "the time window allows no more"
    CEILING = "the service class is at its ceiling"
    TOTAL = "there are as many attempts as there may be"
    RESERVED = "the free slots are reserved for a higher class"
    SLOTS = "all slots are taken"
