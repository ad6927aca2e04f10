"""What the run of a plan would meet, and what is known of its work: where forecasts set out from."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from headgate.core.events import Lane
from headgate.drivers.history import assumed, histories
from headgate.drivers.setting import Setting
from headgate.drivers.sizing import batch_limits, sizes_of
from headgate.model.run import TaskState
from headgate.planning.coarse import buildable, coarse_plan
from headgate.planning.stages import UNKNOWN_MS, Terms, make_stages

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from headgate.core.events import Stage
    from headgate.drivers.setting import Behaviour
    from headgate.model.plan import Plan
    from headgate.planning.sizes import Sizes
    from headgate.planning.snapshot import Snapshot
    from headgate.project.load import Project
    from headgate.store.records import Observation
    from headgate.store.store import Store


@dataclass(frozen=True, slots=True)
class Outset:
    """What a run of a plan would meet, and what is known of its work.

    Args:
        plan: The plan, or of one that is simulated in chunks the last partition of each.
        snapshot: What it was made from.
        setting: What the run would meet if it had the system to itself.
        sizes: What the partitions of each dataset read and write.
        assumed: Datasets of which nothing is known, so that a duration is assumed.
        declared: Datasets without a history, of which headgate.toml says a duration.
    """

    plan: Plan
    snapshot: Snapshot
    setting: Setting
    sizes: Mapping[str, Sizes]
    assumed: tuple[str, ...]
    declared: tuple[str, ...]

    @property
    def is_coarse(self) -> bool:
        """Whether it is simulated in chunks."""
        return any(behaviour.chunks is not None for behaviour in self.setting.behaviours)


def as_it_is(
    project: Project,
    store: Store,
    snapshot: Snapshot,
    plan: Plan,
    *,
    service_class: str,
    owner: str,
    start_ms: int,
    observations: Sequence[Observation] = (),
    most_tasks: int | None = None,
) -> Outset:
    """Return what a run of a plan would meet.

    Args:
        project: The user's project.
        store: Its state store.
        snapshot: What the plan was made from.
        plan: The plan.
        service_class: Class of the run.
        owner: Author of the run.
        start_ms: When the run would be submitted.
        observations: Files of sources as they were found, which the store does not know yet.
        most_tasks: A plan with more tasks is taken in chunks, about so many; None for never.

    Raises:
        UsageError: There is no such class.
    """
    policies = project.policies
    policies.service_class(service_class)
    is_chunked = most_tasks is not None and plan.size > most_tasks
    if is_chunked:
        plan = buildable(plan)
    names = [part.name for part in plan.datasets]
    effective = {name: policies.effective(project.datasets[name], service_class, owner) for name in names}
    past = histories(store, names)
    sizes = sizes_of(store, snapshot, plan, past, observations)
    behaviours = [
        past[name].behaviour(sizes[name].read) if name in past else assumed(effective[name].typical_ms or UNKNOWN_MS)
        for name in names
    ]
    typical_ms = {name: float(np.median(one.durations_ms)) for name, one in zip(names, behaviours, strict=True)}
    terms = Terms(effective, policies.order, typical_ms, batch_limits(plan, snapshot, sizes))
    if is_chunked:
        plan, stages, behaviours = _in_chunks(plan, snapshot, terms, behaviours, most_tasks or 1)
    else:
        states = {part.name: np.full(len(part.indices), TaskState.WAITING, np.uint8) for part in plan.datasets}
        stages = make_stages(plan, snapshot, states, terms)
    workers = project.config.workers
    setting = Setting(
        stages=stages,
        behaviours=behaviours,
        slots={Lane.PROCESS: workers.processes, Lane.IO: workers.io_concurrency},
        start_ms=start_ms,
        classes=tuple(policies.classes.values()),
        pools=policies.pools,
        total=policies.total,
        breakers=store.breakers(),
        service_class=service_class,
        concurrency=next((one.run_concurrency for one in effective.values()), None),
        order=policies.order,
    )
    unknown = [name for name in names if name not in past]
    return Outset(
        plan,
        snapshot,
        setting,
        sizes,
        assumed=tuple(name for name in unknown if effective[name].typical_ms is None),
        declared=tuple(name for name in unknown if effective[name].typical_ms is not None),
    )


def _in_chunks(
    plan: Plan, snapshot: Snapshot, terms: Terms, behaviours: Sequence[Behaviour], most_tasks: int
) -> tuple[Plan, Sequence[Stage], list[Behaviour]]:
    """Return a plan, its stages and how its datasets behave when neighbours go as one task, about so many in all."""
    coarse = coarse_plan(plan, snapshot, terms, most_tasks)
    chunked = [
        replace(
            one,
            chunks=starts,
            partitions=len(part.indices),
            together=terms.batch.get(part.name, snapshot.datasets[part.name].batch),
        )
        for one, starts, part in zip(behaviours, coarse.starts, plan.datasets, strict=True)
    ]
    return coarse.plan, coarse.stages, chunked
