"""Takes up a recorded run: its plan, and what became of each task so far."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from headgate.errors import ConflictError, UsageError
from headgate.model.run import AttemptState, RunState, TaskState
from headgate.planning.codec import plan_from_json
from headgate.planning.planner import with_problems

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headgate.drivers.world import World
    from headgate.model.plan import Plan
    from headgate.model.run import Run
    from headgate.project.load import Project
    from headgate.store.store import Store

RESUMABLE = frozenset({RunState.RUNNING, RunState.INTERRUPTED})
RETRIABLE = frozenset({RunState.FAILED, RunState.CANCELLED})
_HALTED = frozenset({AttemptState.FAILED, AttemptState.SUPERSEDED})


@dataclass(frozen=True, slots=True)
class Recorded:
    """A run as the state store has it, in the shape that the scheduler takes.

    Args:
        plan: Its plan, with what is blocked as things are now.
        states: `TaskState` of each task, for each dataset.
        changed: Whether each succeeded task published new content, likewise.
        tried: Attempts so far, for each dataset and key.
    """

    plan: Plan
    states: dict[str, NDArray[np.uint8]]
    changed: dict[str, NDArray[np.bool_]]
    tried: dict[tuple[str, str], int]

    @staticmethod
    def fresh(plan: Plan) -> Recorded:
        """Return a run of which nothing has been done yet."""
        return Recorded(
            plan,
            {part.name: np.full(len(part.indices), TaskState.WAITING, np.uint8) for part in plan.datasets},
            {part.name: np.zeros(len(part.indices), bool) for part in plan.datasets},
            {},
        )


def find_run(store: Store, run_id: str) -> Run:
    """Return a run by its id or the beginning of it.

    Raises:
        UsageError: There is none.
    """
    run = store.run(run_id)
    if run is None:
        newest = ", ".join(run.id for run in store.runs(limit=3))
        raise UsageError(
            f"there is no run {run_id[:60]!a}",
            hint=f"The newest are {newest}." if newest else "There are no runs.",
        )
    return run


def check_state(run: Run, *, retry: bool) -> None:
    """Raise if a run cannot be resumed, or retried, in the state it is in.

    Raises:
        ConflictError: It cannot.
    """
    if run.state in (RETRIABLE if retry else RESUMABLE):
        return
    if run.state is RunState.SUCCEEDED:
        raise ConflictError(f"run {run.id} has succeeded: nothing is left to do")
    other = f"headgate resume {run.id}" if retry else f"headgate retry {run.id}"
    raise ConflictError(f"run {run.id} is {run.state}", hint=f"Use {other} instead.")


def restore(project: Project, store: Store, world: World, run: Run, *, retry: bool) -> Recorded:
    """Return what is recorded of a run.

    Args:
        project: The user's project.
        store: The state store.
        world: How things stand now.
        run: The run.
        retry: Whether failed and cancelled tasks get another chance; otherwise failed ones stay failed.

    Raises:
        ConflictError: A dataset of the plan is gone or is partitioned in another way now.
    """
    plan = plan_from_json(run.plan)
    _same_definitions(project, plan)
    fresh = Recorded.fresh(plan)
    states, changed, tried = fresh.states, fresh.changed, fresh.tried
    place = {part.name: part.indices for part in plan.datasets}

    def position(dataset: str, key: str) -> int | None:
        index = world.snapshot.grids[dataset].find(key) if dataset in place else None
        if index is None:
            return None
        at = int(np.searchsorted(place[dataset], index))
        return at if at < len(place[dataset]) and place[dataset][at] == index else None

    for attempt in store.attempts(run.id):
        at = position(attempt.dataset, attempt.key)
        if at is None:
            continue
        if attempt.state is not AttemptState.RETURNED:
            tried[attempt.dataset, attempt.key] = attempt.number
        if not retry:
            halted = attempt.state in _HALTED
            states[attempt.dataset][at] = TaskState.FAILED if halted else TaskState.WAITING
    for checkpoint in store.run_checkpoints(run.id):
        at = position(checkpoint.dataset, checkpoint.key)
        if at is not None:
            states[checkpoint.dataset][at] = TaskState.SUCCEEDED
            changed[checkpoint.dataset][at] = checkpoint.version == checkpoint.attempt
    left = {name: state == TaskState.WAITING for name, state in states.items()}
    return Recorded(with_problems(world.snapshot, plan, left), states, changed, tried)


def _same_definitions(project: Project, plan: Plan) -> None:
    for part in plan.datasets:
        dataset = project.datasets.get(part.name)
        now = "gone from the project" if dataset is None else f"partitioned by {dataset.partitioning.spec} now"
        if dataset is None or dataset.partitioning.spec != part.partitioning:
            raise ConflictError(
                f"{part.name} was partitioned by {part.partitioning} when this run was planned, and is {now}",
                hint="Start a new backfill: it takes up what is missing or stale.",
            )
