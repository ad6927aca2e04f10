"""What the history says of the attempts of datasets: how long they take, how much they write, how many fail."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

import numpy as np

from headgate.drivers.setting import Behaviour
from headgate.model.policy import RETRIABLE
from headgate.model.run import ErrorClass
from headgate.planning.trend import trend_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from headgate.planning.trend import Trend
    from headgate.store.records import PastAttempt
    from headgate.store.store import Store


@dataclass(frozen=True, slots=True)
class History:
    """What the newest attempts of a dataset were like.

    Args:
        durations: How long those that were published took, in ms by the bytes read.
        outputs: What they wrote, in bytes by the bytes read.
        failure_rate: Which share of all failed in a way that another attempt may not meet.
        error_class: The most frequent way.
        warm_up_ms: How much longer the first attempts of a run took: a worker loads the project and its libraries once.
    """

    durations: Trend
    outputs: Trend
    failure_rate: float = 0.0
    error_class: ErrorClass = ErrorClass.TRANSIENT
    warm_up_ms: int = 0

    def behaviour(self, read: NDArray[np.int64]) -> Behaviour:
        """Return what the next attempts will be like.

        Args:
            read: The bytes that each will read, -1 where that is not known; at least one.
        """
        expected = self.durations.at(read)
        typical = max(1.0, float(np.median(expected)))
        known = np.maximum(1, np.rint(self.durations.ratios * typical)).astype(np.int64)
        factors = expected / typical if self.durations.slope else None
        return Behaviour(known, self.failure_rate, self.error_class, self.warm_up_ms, factors)


def histories(store: Store, datasets: Iterable[str]) -> dict[str, History]:
    """Return what the newest attempts of datasets were like; nothing for those without any."""
    found = {name: _history(store, name) for name in datasets}
    return {name: history for name, history in found.items() if history is not None}


def assumed(typical_ms: float) -> Behaviour:
    """Return what is assumed of attempts of which nothing is known."""
    return Behaviour(np.array([max(1, round(typical_ms))], dtype=np.int64))


def _history(store: Store, dataset: str) -> History | None:
    past = store.past_attempts(dataset)
    if not past:
        return None
    cold, warm = _cold_starts(past)
    read = [attempt.read_bytes for attempt in warm]
    durations = trend_of(read, [max(1, attempt.elapsed_ms) for attempt in warm])
    outputs = trend_of([attempt.read_bytes for attempt in past], [max(0, attempt.bytes) for attempt in past])
    warm_up_ms = round(median(one.elapsed_ms for one in cold) - median(one.elapsed_ms for one in warm)) if cold else 0
    # What a person has to mend is no chance: it says nothing of the next run.
    failures = store.failures(dataset, min(attempt.attempt for attempt in past))
    failed = {error_class: n for error_class, n in failures.items() if error_class in RETRIABLE}
    rate = sum(failed.values()) / (sum(failed.values()) + len(past))
    frequent = max(sorted(failed), key=lambda error_class: failed[error_class], default=ErrorClass.TRANSIENT)
    return History(durations, outputs, rate, ErrorClass(frequent), warm_up_ms)


def _cold_starts(past: Sequence[PastAttempt]) -> tuple[list[PastAttempt], list[PastAttempt]]:
    """Return attempts that were the first of a worker, and the others.

    Those that began before anything of their run was published may have been; if they took longer than all others,
    they were.
    """
    longest_ms = max((one.elapsed_ms for one in past if not one.is_first), default=None)
    if longest_ms is None:
        return [], list(past)
    cold = [one for one in past if one.is_first and one.elapsed_ms > longest_ms]
    return cold, [one for one in past if not (one.is_first and one.elapsed_ms > longest_ms)]
