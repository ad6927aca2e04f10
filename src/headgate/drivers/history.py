"""What the history says of the attempts of datasets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from headgate.drivers.simulated import Behaviour
from headgate.model.policy import RETRIABLE
from headgate.model.run import ErrorClass
from headgate.planning.stages import UNKNOWN_MS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from headgate.store.store import Store

_MIDDLE = (0.01, 0.99)
"""Durations outside of this share of the history count as its ends: a laptop that slept says nothing of its work."""


def behaviours(store: Store, datasets: Iterable[str]) -> dict[str, Behaviour | None]:
    """Return what the newest attempts of datasets were like, in the given order; None without any."""
    ends = store.outcomes()
    return {
        name: _behaviour([took_ms for took_ms, _ in store.durations(name)], ends.get(name, {})) for name in datasets
    }


def assumed() -> Behaviour:
    """Return what is assumed of attempts of which nothing is known."""
    return Behaviour(np.array([UNKNOWN_MS], dtype=np.int64))


def _behaviour(durations_ms: list[int], ends: dict[str, int]) -> Behaviour | None:
    if not durations_ms:
        return None
    low, high = np.quantile(durations_ms, _MIDDLE)
    clipped = np.clip(durations_ms, max(1, low), max(1, high)).astype(np.int64)
    # What a person has to mend is no chance: it says nothing of the next run.
    failed = {error_class: n for error_class, n in ends.items() if error_class in RETRIABLE}
    if not failed:
        return Behaviour(clipped)
    rate = sum(failed.values()) / (sum(failed.values()) + ends.get("", 0))
    return Behaviour(clipped, rate, ErrorClass(max(sorted(failed), key=lambda error_class: failed[error_class])))
