"""The terms on which the tasks of a live run are taken up: its policies, and what is known of its work."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING

from headgate.drivers.history import histories
from headgate.drivers.sizing import batch_limits, sizes_of
from headgate.planning.stages import Terms

if TYPE_CHECKING:
    from headgate.drivers.world import World
    from headgate.model.plan import Plan
    from headgate.model.policy import TaskOrder
    from headgate.model.run import Run
    from headgate.project.load import Project
    from headgate.store.store import Store


def terms_of(project: Project, store: Store, world: World, plan: Plan, run: Run, *, order: TaskOrder) -> Terms:
    """Return the terms on which the tasks of a run are taken up.

    Args:
        project: The user's project.
        store: Its state store.
        world: What the plan was made from.
        plan: The plan.
        run: The run.
        order: In which order its tasks start.
    """
    effective = {
        part.name: project.policies.effective(project.datasets[part.name], run.service_class, run.author)
        for part in plan.datasets
    }
    typical_ms = {
        name: known for name, one in effective.items() if (known := _typical_ms(store, name) or one.typical_ms)
    }
    return Terms(effective, order, typical_ms, _batch_limits(store, world, plan))


def _typical_ms(store: Store, dataset: str) -> float | None:
    known = [elapsed_ms for elapsed_ms, _ in store.durations(dataset)]
    return max(1.0, median(known)) if known else None


def _batch_limits(store: Store, world: World, plan: Plan) -> dict[str, int]:
    datasets, snapshot = [part.name for part in plan.datasets], world.snapshot
    if all(snapshot.datasets[name].batch_bytes is None for name in datasets):
        return {}
    past = histories(store, datasets)
    return batch_limits(plan, snapshot, sizes_of(store, snapshot, plan, past, world.observations))
