"""What is simulated, and what it came to."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import ceil
from typing import TYPE_CHECKING, NamedTuple

from headgate.model.policy import BACKFILL, FRESH, MAINTENANCE, TaskOrder
from headgate.model.run import ErrorClass

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from headgate.core.events import Lane, Stage
    from headgate.model.breaker import BreakerRecord
    from headgate.model.policy import Pool, ServiceClass
    from headgate.model.reason import Wait


@dataclass(frozen=True, slots=True)
class Behaviour:
    """What attempts of a stage are like.

    Args:
        durations_ms: How long they take, each as likely as the others; at least 1.
        failure_rate: Which share of them fails.
        error_class: With what kind of error.
        warm_up_ms: How much longer those take that are the first of a slot in the run.
        factors: How much longer an attempt of each partition takes than that; None if none is different.
        chunks: Where the tasks begin, if each of them is a chunk of partitions that run one after another; None if
            each is one partition. Failures of chunks only take time, and nothing waits in vain for what fails.
        partitions: How many partitions the chunks are of.
        together: How many of them one attempt takes.

    Shape:
        factors: (partitions,); chunks: (tasks,).
    """

    durations_ms: NDArray[np.int64]
    failure_rate: float = 0.0
    error_class: ErrorClass = ErrorClass.TRANSIENT
    warm_up_ms: int = 0
    factors: NDArray[np.float64] | None = None
    chunks: NDArray[np.int64] | None = None
    partitions: int = 0
    together: int = 1


@dataclass(frozen=True, slots=True)
class Setting:
    """A run, and what it meets.

    Args:
        stages: The tasks of the run.
        behaviours: What their attempts are like, for each stage.
        slots: Attempts that run at a time, in each lane.
        start_ms: When the run is submitted, UTC.
        classes: The service classes; one of them is `fresh`.
        pools: The pools, by name.
        total: How many attempts may run at a time in all; None for no bound.
        breakers: How breakers stand.
        service_class: The class of the run.
        concurrency: How many attempts of the run may run at a time; None for no bound.
        order: By what the priorities of the stages were made.
    """

    stages: Sequence[Stage]
    behaviours: Sequence[Behaviour]
    slots: Mapping[Lane, int]
    start_ms: int = 0
    classes: Sequence[ServiceClass] = (FRESH, BACKFILL, MAINTENANCE)
    pools: Mapping[str, Pool] = field(default_factory=dict)
    total: int | None = None
    breakers: Sequence[BreakerRecord] = ()
    service_class: str = "backfill"
    concurrency: int | None = None
    order: TaskOrder = TaskOrder.OLDEST


class Binding(NamedTuple):
    """What held tasks back: a reason and, where it does not say all, the pool, breaker, class or dataset."""

    wait: Wait
    what: str


@dataclass(frozen=True, slots=True)
class Simulation:
    """What simulated runs came to.

    Args:
        elapsed_ms: How long each run took, ascending; infinite for one that never ended.
        complete: In which share of the runs everything was built that could be from the start.
        failed: Partitions that could be built from the start and were not in the end, the mean over the runs.
        attempts: Attempts of each stage, the mean over the runs; a ranged one counts once.
        busy_ms: What the attempts of each stage took together, the mean over the runs.
        ended_ms: When the last attempt of each stage ended, counted from the start of the run: for each stage one time
            a run, ascending; infinite for a run that never ended.
        waits: In which share of the time at least one task waited for what.
        fresh_ms: How long tasks of the class `fresh` that came at random times waited for their start, ascending.
    """

    elapsed_ms: tuple[float, ...]
    complete: float
    failed: float
    attempts: tuple[float, ...]
    busy_ms: tuple[float, ...]
    ended_ms: tuple[tuple[float, ...], ...]
    waits: Mapping[Binding, float]
    fresh_ms: tuple[int, ...]

    @property
    def runs(self) -> int:
        """Return how many runs were simulated."""
        return len(self.elapsed_ms)


def quantile(ascending: Sequence[float], share: float) -> float | None:
    """Return the smallest of some values that is not below a share of them; None if it is infinite or there is none."""
    if not ascending:
        return None
    value = ascending[max(0, ceil(share * len(ascending)) - 1)]
    return None if value == float("inf") else value
