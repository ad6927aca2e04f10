"""Circuit breakers: after too many failures in a row nothing more is started for a while, then one attempt probes.

Source: M. Nygard, Release It!, 2nd edition (2018), chapter 5.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from headgate.model.breaker import BreakerRecord, BreakerState
from headgate.model.reason import Wait
from headgate.model.run import ErrorClass

if TYPE_CHECKING:
    from headgate.core.queues import StageQueue
    from headgate.model.policy import BreakerPolicy

Task = tuple[str, int]
"""A run and a task of it."""

BLAMED_ON_RESOURCE = frozenset({ErrorClass.TRANSIENT, ErrorClass.RESOURCE, ErrorClass.TIMEOUT})
"""Failures that count against a pool; the others show that it answers."""


_CLOSED = BreakerState.CLOSED
_HALF_OPEN = BreakerState.HALF_OPEN


class Breaker:
    """A breaker, and the stages that it holds back.

    closed --failures in a row--> open --time--> half open --the probe succeeds--> closed
                                   ^------------------------- the probe fails: open for twice as long

    Args:
        name: ``pool:NAME`` or ``dataset:NAME``.
        policy: Its numbers.
        record: How it stood, if that is known.
    """

    __slots__ = ("cooldown_ms", "failures", "held", "name", "policy", "probe", "state", "until_ms")

    wait = Wait.BREAKER

    def __init__(self, name: str, policy: BreakerPolicy, record: BreakerRecord | None = None) -> None:
        self.name = name
        self.policy = policy
        self.state = record.state if record else BreakerState.CLOSED
        self.failures = record.failures if record else 0
        self.cooldown_ms = record.cooldown_ms if record else policy.cooldown_ms
        self.until_ms = record.until_ms if record else 0
        self.probe: Task | None = None
        self.held: list[StageQueue] = []

    def record(self) -> BreakerRecord:
        """Return it as the state store keeps it."""
        return BreakerRecord(self.name, self.state, self.failures, self.cooldown_ms, self.until_ms)

    def hold(self, stage: StageQueue) -> None:
        """Let a stage wait."""
        self.held.append(stage)

    def let_go(self) -> list[StageQueue]:
        """Return who waits, and forget them."""
        held, self.held = self.held, []
        return held

    def lets_through(self) -> bool:
        """Return whether an attempt may start now."""
        return self.state is _CLOSED or (self.state is _HALF_OPEN and self.probe is None)

    def is_probing(self) -> bool:
        """Return whether the next attempt to start is a probe."""
        return self.state is _HALF_OPEN

    def succeeded(self, task: Task) -> bool:
        """Take note of a success; return whether the breaker closed."""
        if self.state is BreakerState.CLOSED:
            self.failures = 0
            return False
        if self.probe != task:
            return False  # It started before the breaker opened, and says nothing about now.
        self.reset()
        return True

    def failed(self, task: Task, now_ms: int) -> bool:
        """Take note of a failure; return whether the breaker opened."""
        if self.state is BreakerState.CLOSED:
            self.failures += 1
            if self.failures < self.policy.failures:
                return False
        elif self.probe != task:
            return False
        self.trip(now_ms)
        return True

    def gave_up(self, task: Task) -> bool:
        """Take note that an attempt ended without an answer; return whether another may probe."""
        if self.probe != task:
            return False
        self.probe = None
        return True

    def trip(self, now_ms: int) -> None:
        """Open it; the next time for twice as long."""
        if self.state is BreakerState.CLOSED:
            self.cooldown_ms = self.policy.cooldown_ms  # The policy may be another than when it closed.
        self.state = BreakerState.OPEN
        self.probe = None
        self.until_ms = now_ms + self.cooldown_ms
        self.cooldown_ms = min(2 * self.cooldown_ms, self.policy.cooldown_max_ms)

    def reset(self) -> None:
        """Close it and forget what was."""
        self.state = BreakerState.CLOSED
        self.probe = None
        self.failures = 0
        self.until_ms = 0
        self.cooldown_ms = self.policy.cooldown_ms

    def elapse(self, now_ms: int) -> bool:
        """Let one attempt probe if the time has come; return whether it has."""
        if self.state is not BreakerState.OPEN or now_ms < self.until_ms:
            return False
        self.state = BreakerState.HALF_OPEN
        self.until_ms = 0
        return True
