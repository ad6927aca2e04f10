"""What may run when, how much of it at a time, and what follows a failure: values, resolved from headgate.toml."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from headgate.model.run import ErrorClass

if TYPE_CHECKING:
    from headgate.model.window import TimeWindow

RETRIABLE = frozenset({ErrorClass.TRANSIENT, ErrorClass.RESOURCE, ErrorClass.TIMEOUT, ErrorClass.LOST})
"""Classes of errors that another attempt may well not meet, unless a policy says otherwise."""


class TaskOrder(StrEnum):
    """In which order a run starts its tasks; by age a partition's chain of datasets goes depth first."""

    OLDEST = "oldest"
    NEWEST = "newest"
    CRITICAL = "critical"


class OnOverlap(StrEnum):
    """What becomes of partitions that another run, of no lower class, is building.

    REFUSE: the run is not taken. JOIN: it waits for them and takes them as they are made; what is not made in the end
    it makes itself. QUEUE: it makes them itself once the other has ended with them.
    """

    REFUSE = "refuse"
    JOIN = "join"
    QUEUE = "queue"


@dataclass(frozen=True, slots=True)
class ServiceClass:
    """A class of runs.

    Args:
        name: Its name.
        priority: Larger is served first.
        ceiling: Share of the slots that its attempts may take, from 0 to 1.
        slots: How many attempts at a time at most; None for no bound.
        floor: Share of the slot time that it is guaranteed while it has something to start.
        reserved: Slots that classes of a smaller priority leave free for it.
        weight: Its share beside classes of the same priority.
        patience_ms: How long it waits for a slot before attempts of a smaller priority are asked to yield theirs.
        windows: Times with ceilings of their own; where several hold, the smallest counts.
    """

    name: str
    priority: int
    ceiling: float = 1.0
    slots: int | None = None
    floor: float = 0.0
    reserved: int = 0
    weight: float = 1.0
    patience_ms: int = 30_000
    windows: tuple[TimeWindow, ...] = ()


FRESH = ServiceClass("fresh", 100)
BACKFILL = ServiceClass("backfill", 50, floor=0.1)
MAINTENANCE = ServiceClass("maintenance", 10, floor=0.05)


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """When a failed attempt is followed by another.

    Args:
        attempts: How many attempts a task gets, the first included.
        backoff_ms: Upper bound of the wait before the second attempt; it doubles with each further one.
        backoff_max_ms: What it never exceeds.
        on: Classes of errors that are worth another attempt.
        budget: Share of the attempts of a dataset in a run that may be retries.
        budget_min: Retries that are allowed in any case.
    """

    attempts: int = 3
    backoff_ms: int = 1_000
    backoff_max_ms: int = 300_000
    on: frozenset[ErrorClass] = RETRIABLE
    budget: float = 0.1
    budget_min: int = 10


@dataclass(frozen=True, slots=True)
class BreakerPolicy:
    """When attempts stop being made because too many have failed.

    Args:
        failures: Consecutive failures that open the breaker.
        cooldown_ms: How long it stays open the first time; twice as long after each failed probe.
        cooldown_max_ms: What that never exceeds.
    """

    failures: int = 5
    cooldown_ms: int = 600_000
    cooldown_max_ms: int = 14_400_000


@dataclass(frozen=True, slots=True)
class Effective:
    """The policies that hold for the tasks of one dataset in one run, and where each value came from.

    Args:
        retry: Retries.
        breaker: The breaker of the dataset.
        concurrency: Attempts of the dataset at a time, over all runs; None for no bound.
        run_concurrency: Attempts of the run at a time; None for no bound.
        pools: Slots that an attempt takes, by pool.
        typical_ms: How long an attempt is said to take, for as long as there is no history; None if nobody says.
        origins: Name of a value, such as ``retry.attempts``, -> where it is set: a table of headgate.toml,
            ``@dataset`` with its place, or ``default``.
    """

    retry: RetryPolicy = RetryPolicy()
    breaker: BreakerPolicy = BreakerPolicy()
    concurrency: int | None = None
    run_concurrency: int | None = None
    pools: dict[str, int] = field(default_factory=dict)
    typical_ms: int | None = None
    origins: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FailureMode:
    """A way in which a function is known to fail.

    Args:
        exception: Name of the exception's class, with or without its module; classes derived from it match too.
        error_class: What kind of failure it is.
        remedy: What a person should try.
        contains: Text that the message must contain; empty for any.
    """

    exception: str
    error_class: ErrorClass
    remedy: str
    contains: str = ""


@dataclass(frozen=True, slots=True)
class Pool:
    """A named resource with slots, and the breaker that protects it."""

    name: str
    slots: int
    breaker: BreakerPolicy = BreakerPolicy()
