"""How a circuit breaker stands."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class BreakerState(StrEnum):
    """Where a breaker stands."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half open"


class BreakerRecord(NamedTuple):
    """A breaker as the state store keeps it.

    Args:
        name: ``pool:NAME`` or ``dataset:NAME``.
        state: Where it stands.
        failures: Failures in a row.
        cooldown_ms: How long it stays open the next time.
        until_ms: When it lets a probe through; 0 unless it is open.
    """

    name: str
    state: BreakerState
    failures: int
    cooldown_ms: int
    until_ms: int
