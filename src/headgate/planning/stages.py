"""From a plan to what the scheduler takes: stages of tasks, with the edges between them as arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from headgate.core.events import Pool, Stage
from headgate.model.reason import Why
from headgate.model.run import TaskState
from headgate.planning.edges import edge_between
from headgate.planning.planner import stale

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from headgate.core.edges import Edge
    from headgate.model.plan import Plan
    from headgate.planning.snapshot import Snapshot


def make_stages(
    plan: Plan,
    snapshot: Snapshot,
    states: Mapping[str, NDArray[np.uint8]],
) -> list[Stage]:
    """Return the stages of a plan, in its order.

    A task is skippable if its partition is up to date as things are: then only new content upstream is a reason to
    build it. Nothing is skippable if the request asks for everything.

    Args:
        plan: What is to be built.
        snapshot: Definitions and heads as they are now, at submission.
        states: `TaskState` of each task as an earlier session of the run left it, for each dataset.
    """
    number = {part.name: n for n, part in enumerate(plan.datasets)}
    priorities = _priorities(plan, snapshot)
    stages = []
    for n, part in enumerate(plan.datasets):
        dataset = snapshot.datasets[part.name]
        edges: list[Edge] = []
        for entry in dataset.inputs.values():
            if entry.dataset in number:
                above = number[entry.dataset]
                upstream = plan.datasets[above]
                reads = snapshot.reads(part.name, entry, part.indices)
                ignored = upstream.blocked if entry.allow_missing else None
                edges.append(edge_between(above, upstream.indices, reads, ignored))
        state = states[part.name].copy()
        state[(state == TaskState.WAITING) & part.blocked] = TaskState.BLOCKED
        skippable = (stale(snapshot, part.name)[part.indices] == Why.NONE) & (not plan.request.forced)
        stages.append(
            Stage(
                dataset=part.name,
                pool=Pool.IO if dataset.is_async else Pool.PROCESS,
                edges=tuple(edges),
                priority=priorities[n],
                states=state,
                # What an earlier session published is in the heads already, by which a task is skippable or not.
                changed=np.zeros(len(part.indices), dtype=bool),
                skippable=skippable,
            )
        )
    return stages


def _priorities(plan: Plan, snapshot: Snapshot) -> list[NDArray[np.int64]]:
    """Return the order of starting: oldest window first, and in a window what is further downstream first."""
    ends = []
    for part in plan.datasets:
        grid = snapshot.grids[part.name]
        if grid.bounds is None:
            ends.append(np.zeros(len(part.indices), dtype=np.int64))
        else:
            ends.append(grid.bounds[part.indices // grid.n_statics + 1])
    ranks = np.unique(np.concatenate(ends), return_inverse=True)[1] if ends else np.zeros(0, dtype=np.int64)
    n = len(ends)
    split = np.split(ranks, np.cumsum([len(e) for e in ends])[:-1]) if ends else []
    return [rank.astype(np.int64) * n + (n - 1 - depth) for depth, rank in enumerate(split)]
