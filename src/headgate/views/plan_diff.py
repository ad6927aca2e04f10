"""In what two plans differ, as people and machines read it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from headgate.drivers.forecast import forecast_from_json
from headgate.drivers.plans import SHORT, looked_up, made_from_of
from headgate.planning.binding import changes
from headgate.planning.codec import plan_from_json
from headgate.planning.verdict_codec import verdict_from_json
from headgate.views.ranges import KeyRange, key_ranges

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from headgate.drivers.plans import Moved
    from headgate.model.plan import StoredPlan
    from headgate.planning.binding import Change
    from headgate.project.load import Project
    from headgate.store.store import Store


@dataclass(frozen=True, slots=True)
class PartitionSet:
    """Some partitions of a dataset; without ranges where keys cannot be told any more."""

    count: int
    ranges: tuple[KeyRange, ...]


@dataclass(frozen=True, slots=True)
class DatasetDiff:
    """In what one dataset differs.

    Args:
        name: The dataset.
        added: Partitions that only the second plan has.
        removed: Partitions that only the first one has.
        other_reason: Partitions that both have, for another reason.
        code: Code fingerprints in the first and in the second, if they differ.
        partitioning: Likewise how it is cut into partitions.
        inputs_moved: Whether the same partitions read other ones, or read or replace other versions.
    """

    name: str
    added: PartitionSet
    removed: PartitionSet
    other_reason: PartitionSet
    code: tuple[str, str] | None
    partitioning: tuple[str, str] | None
    inputs_moved: bool


@dataclass(frozen=True, slots=True)
class PlanSide:
    """One of two plans: how much it builds, what the guard rails said, and when it was said to be done."""

    id: str
    partitions: int
    outcome: str
    p50_ms: int | None
    p90_ms: int | None


@dataclass(frozen=True, slots=True)
class PlanDiff:
    """In what the second plan differs from the first.

    Args:
        first: The one.
        second: The other; None if it is what the request of the first leads to now.
        guard_rails: Whether the guard rails were changed between them.
        datasets: Only those that differ.
    """

    first: PlanSide
    second: PlanSide | None
    guard_rails: bool
    datasets: tuple[DatasetDiff, ...]


def plan_diff(project: Project, store: Store, first: str, second: str) -> PlanDiff:
    """Return in what one stored plan differs from another.

    Raises:
        UsageError: There is no such plan.
    """
    one, other = looked_up(store, project, first), looked_up(store, project, second)
    made_from = made_from_of(one), made_from_of(other)
    plans = plan_from_json(one.body), plan_from_json(other.body)
    as_of_ms = max(plan.as_of_ms for plan in plans)
    found = changes(*plans, made_from[0]["heads"], made_from[1]["heads"])
    return PlanDiff(
        _side(one, plans[0].size),
        _side(other, plans[1].size),
        made_from[0]["guard_rails"] != made_from[1]["guard_rails"],
        tuple(_dataset_diff(project, change, as_of_ms) for change in found),
    )


def moved_diff(project: Project, stored: StoredPlan, moved: Moved) -> PlanDiff:
    """Return in what things have moved since a plan was made."""
    datasets = tuple(_dataset_diff(project, change, moved.now.as_of_ms) for change in moved.changes)
    return PlanDiff(_side(stored, moved.then.size), None, moved.guard_rails, datasets)


def _side(stored: StoredPlan, partitions: int) -> PlanSide:
    forecast = forecast_from_json(stored.forecast) if stored.forecast else None
    outcome = verdict_from_json(stored.verdict).outcome
    times = (forecast.p50_ms, forecast.p90_ms) if forecast else (None, None)
    return PlanSide(stored.hash[:SHORT], partitions, outcome, *times)


def _dataset_diff(project: Project, change: Change, as_of_ms: int) -> DatasetDiff:
    dataset = project.datasets.get(change.dataset)
    # Under another cut the same numbers are other windows: then only how many there are can be told.
    grid = dataset.partitioning.grid(as_of_ms) if dataset and change.partitioning is None else None

    def some(indices: NDArray[np.int64]) -> PartitionSet:
        within = grid is not None and (not len(indices) or int(indices[-1]) < grid.size)
        return PartitionSet(len(indices), key_ranges(grid, indices) if grid is not None and within else ())

    return DatasetDiff(
        change.dataset,
        some(change.added),
        some(change.removed),
        some(change.other_reason),
        change.code,
        change.partitioning,
        change.inputs_moved,
    )
