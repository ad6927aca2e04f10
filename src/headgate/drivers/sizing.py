"""How much the partitions of a plan read and write, by the history, and how many of them an attempt takes by that."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from headgate.planning.sizes import Sizes, plan_sizes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from headgate.drivers.history import History
    from headgate.model.plan import Plan
    from headgate.planning.snapshot import Snapshot
    from headgate.store.records import Observation
    from headgate.store.store import Store


def sizes_of(
    store: Store, snapshot: Snapshot, plan: Plan, past: Mapping[str, History], observations: Sequence[Observation]
) -> dict[str, Sizes]:
    """Return what the partitions of each dataset of a plan read and write.

    Args:
        store: The state store.
        snapshot: What the plan was made from.
        plan: The plan.
        past: What the newest attempts of datasets were like.
        observations: Files of sources as they were found, which the store does not know yet.
    """
    outputs = {name: history.outputs for name, history in past.items()}
    return plan_sizes(plan, snapshot, _head_bytes(store, snapshot, observations), outputs)


def batch_limits(plan: Plan, snapshot: Snapshot, sizes: Mapping[str, Sizes]) -> dict[str, int]:
    """Return how many partitions an attempt takes at most, for datasets of a plan where that goes by their size.

    One where nothing is known of the size.
    """
    found = {}
    for part in plan.datasets:
        dataset = snapshot.datasets[part.name]
        if dataset.batch_bytes is not None:
            read = sizes[part.name].read
            known = read[read >= 0]
            typical = max(1, int(np.median(known))) if len(known) else dataset.batch_bytes
            found[part.name] = max(1, min(dataset.batch, dataset.batch_bytes // typical))
    return found


def _head_bytes(
    store: Store, snapshot: Snapshot, observations: Sequence[Observation]
) -> Callable[[str, NDArray[np.int64]], NDArray[np.int64]]:
    """Return how the bytes of heads are looked up, also of files that the store does not know yet."""
    found: dict[str, dict[str, int]] = {}
    for observation in observations:
        found.setdefault(observation.dataset, {})[observation.key] = observation.file.bytes

    def head_bytes(name: str, index: NDArray[np.int64]) -> NDArray[np.int64]:
        keys = list(snapshot.grids[name].keys(index))
        known = {**store.head_bytes(name, keys), **found.get(name, {})}
        return np.array([known.get(key, -1) for key in keys], dtype=np.int64)

    return head_bytes
