"""From a plan to what the scheduler takes: stages of tasks, with the edges between them as arrays."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from headgate.core.events import Lane, Stage
from headgate.model.policy import Effective, TaskOrder
from headgate.model.reason import Why
from headgate.model.run import TaskState
from headgate.planning.critical import longest_left
from headgate.planning.edges import edge_between
from headgate.planning.planner import stale

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from headgate.core.edges import Edge
    from headgate.model.grid import Grid
    from headgate.model.plan import Plan, PlannedDataset
    from headgate.planning.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class Terms:
    """What holds for the tasks of a run, beside its plan.

    Args:
        effective: The policies of each dataset in the plan; the defaults for those that are not there.
        order: In which order tasks start.
        typical_ms: How long an attempt of each dataset takes, as far as that is known.
        batch: How many partitions an attempt takes at most, for datasets where that goes by size.
    """

    effective: Mapping[str, Effective] = field(default_factory=dict)
    order: TaskOrder = TaskOrder.OLDEST
    typical_ms: Mapping[str, float] = field(default_factory=dict)
    batch: Mapping[str, int] = field(default_factory=dict)


UNKNOWN_MS = 1000.0
"""What an attempt is expected to take when nothing is known."""

_DEFAULTS = Effective()


def make_stages(
    plan: Plan,
    snapshot: Snapshot,
    states: Mapping[str, NDArray[np.uint8]],
    terms: Terms | None = None,
    *,
    inherited: Mapping[str, NDArray[np.bool_]] | None = None,
    changed: Mapping[str, NDArray[np.bool_]] | None = None,
) -> list[Stage]:
    """Return the stages of a plan, in its order.

    A task is skippable if its partition is up to date as things are: then only new content upstream is a reason to
    build it. If the request asks for everything, that holds only for what another run has made since.

    Args:
        plan: What is to be built.
        snapshot: Definitions and heads as they are now, at submission.
        states: `TaskState` of each task as an earlier session of the run left it, for each dataset.
        terms: What holds beside the plan; the defaults, if None.
        inherited: Which partitions another run has made since this one was submitted, for each dataset; none, if None.
        changed: Which tasks have succeeded with new content that the heads do not show, for each dataset; none, if
            None. What else an earlier session made is in the heads, by which a task is skippable or not.
    """
    terms = terms or Terms()
    number = {part.name: n for n, part in enumerate(plan.datasets)}
    # Neighbours that need each other cannot wait for each other.
    in_loops = {name for loop in snapshot.loops() for name in loop if len(loop) > 1}
    in_loops |= {name for name in number if any(e.dataset == name for e in snapshot.datasets[name].inputs.values())}
    stages = []
    for part in plan.datasets:
        dataset = snapshot.datasets[part.name]
        effective = terms.effective.get(part.name, _DEFAULTS)
        state = states[part.name].copy()
        state[(state == TaskState.WAITING) & part.blocked] = TaskState.BLOCKED
        made = None if inherited is None else inherited.get(part.name)
        none = np.zeros(len(part.indices), dtype=bool)
        skippable = stale(snapshot, part.name)[part.indices] == Why.NONE
        if plan.request.forced:
            skippable &= False if made is None else made
        stages.append(
            Stage(
                dataset=part.name,
                lane=Lane.IO if dataset.is_async else Lane.PROCESS,
                edges=tuple(_edges(plan, snapshot, part, number)),
                priority=np.zeros(len(part.indices), dtype=np.int64),
                states=state,
                changed=none if changed is None else changed.get(part.name, none),
                skippable=skippable,
                concurrency=effective.concurrency,
                pools=tuple(sorted(effective.pools.items())),
                retry=effective.retry,
                breaker=effective.breaker,
                typical_ms=terms.typical_ms.get(part.name, UNKNOWN_MS),
                can_yield=dataset.batches_ms is not None,
                batch=terms.batch.get(part.name, dataset.batch),
                successor=successor(snapshot.grids[part.name], part.indices) if dataset.batch > 1 else None,
                gathers=part.name not in in_loops,
                inherited=made,
            )
        )
    priorities = priorities_of(plan, snapshot, stages, terms.order)
    return [replace(stage, priority=priority) for stage, priority in zip(stages, priorities, strict=True)]


def _edges(plan: Plan, snapshot: Snapshot, part: PlannedDataset, number: Mapping[str, int]) -> Iterator[Edge]:
    """Yield what the tasks of a dataset wait for in a plan, of which each dataset has a number."""
    for entry in snapshot.datasets[part.name].inputs.values():
        above = number.get(entry.dataset)
        if above is not None:
            upstream = plan.datasets[above]
            ignored = upstream.blocked if entry.allow_missing else None
            yield edge_between(above, upstream.indices, snapshot.reads(part.name, entry, part.indices), ignored)


def successor(grid: Grid, indices: NDArray[np.integer]) -> NDArray[np.int32]:
    """Return for each of some ascending partitions where among them its neighbour is, -1 if it is not there.

    The neighbour has the next window and the same static key; without a time axis it has the next static key.
    """
    step = grid.n_statics if grid.bounds is not None else 1
    at = np.searchsorted(indices, indices + step)
    at[at == len(indices)] = 0  # It holds nothing that is larger.
    return np.where(indices[at] == indices + step, at, -1).astype(np.int32)


def priorities_of(plan: Plan, snapshot: Snapshot, stages: Sequence[Stage], order: TaskOrder) -> list[NDArray[np.int64]]:
    """Return the priority of each task: smaller starts earlier.

    By age: one window after another, and in a window what is further downstream first, so that finished partitions
    become usable early. By the critical path: what has the longest way to go first.

    Args:
        plan: The plan.
        snapshot: Its definitions.
        stages: Its stages; only their edges and typical durations count.
        order: What comes first.
    """
    n = len(stages)
    if order is TaskOrder.CRITICAL:
        left = longest_left(stages)
        ranks = np.unique(-np.concatenate(left), return_inverse=True)[1] if n else np.zeros(0, dtype=np.int64)
    else:
        ends = np.concatenate([_ends(part, snapshot) for part in plan.datasets]) if n else np.zeros(0, dtype=np.int64)
        ranks = np.unique(-ends if order is TaskOrder.NEWEST else ends, return_inverse=True)[1]
    split = np.split(ranks, np.cumsum([len(part.indices) for part in plan.datasets])[:-1]) if n else []
    return [rank.astype(np.int64) * n + (n - 1 - depth) for depth, rank in enumerate(split)]


def _ends(part: PlannedDataset, snapshot: Snapshot) -> NDArray[np.int64]:
    grid = snapshot.grids[part.name]
    if grid.bounds is None:
        return np.zeros(len(part.indices), dtype=np.int64)
    return grid.bounds[part.indices // grid.n_statics + 1]
