"""Takes up a recorded run: its plan, and what became of each task so far."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from headgate.drivers.active import Controls
from headgate.errors import ConflictError, intact
from headgate.model.policy import OnOverlap
from headgate.model.run import AttemptState, RunKind, RunState, TaskState
from headgate.planning.codec import plan_from_json
from headgate.planning.planner import with_problems

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headgate.drivers.world import World
    from headgate.model.plan import Plan
    from headgate.model.run import Run
    from headgate.project.load import Project
    from headgate.store.store import Store

RETRY = "retry"
"""Kind of the journal entry that says from which attempt on failures of a run count."""
RESUMABLE = frozenset({RunState.QUEUED, RunState.RUNNING, RunState.INTERRUPTED})
RETRIABLE = frozenset({RunState.FAILED, RunState.CANCELLED})
_HALTED = frozenset({AttemptState.FAILED, AttemptState.SUPERSEDED})


@dataclass(frozen=True, slots=True)
class Recorded:
    """A run as the state store has it, in the shape that the scheduler takes.

    Args:
        plan: Its plan, with what is blocked as things are now.
        states: `TaskState` of each task, for each dataset.
        unchanged: How many succeeded tasks published nothing new, for each dataset.
        tried: Attempts so far, for each dataset and key.
        inherited: Tasks whose partitions another run has made since this one was submitted, for each dataset.
        changed: Tasks that have staged new content, which the heads do not show, for each dataset.
    """

    plan: Plan
    states: dict[str, NDArray[np.uint8]]
    unchanged: dict[str, int]
    tried: dict[tuple[str, str], int]
    inherited: dict[str, NDArray[np.bool_]] = field(default_factory=dict)
    changed: dict[str, NDArray[np.bool_]] = field(default_factory=dict)

    @staticmethod
    def fresh(plan: Plan) -> Recorded:
        """Return a run of which nothing has been done yet."""
        return Recorded(
            plan,
            {part.name: np.full(len(part.indices), TaskState.WAITING, np.uint8) for part in plan.datasets},
            {part.name: 0 for part in plan.datasets},
            {},
        )


def check_state(run: Run, *, retry: bool) -> None:
    """Raise if a run cannot be resumed, or retried, in the state it is in.

    Raises:
        ConflictError: It cannot.
    """
    if run.kind is RunKind.COMPACTION:
        raise ConflictError(f"run {run.id} is a compaction: there is nothing to go on with", hint="headgate compact")
    if run.state in (RETRIABLE if retry else RESUMABLE):
        return
    if run.state is RunState.SUCCEEDED:
        raise ConflictError(f"run {run.id} has succeeded: nothing is left to do")
    if run.state is RunState.STAGED:
        raise ConflictError(
            f"run {run.id} is staged: nothing is left to do but to decide",
            hint=f'headgate diff {run.id} shows what it would change; headgate publish {run.id} --reason "..." makes '
            f'it visible, headgate discard {run.id} --reason "..." gives it up.',
        )
    if run.state is RunState.DISCARDED:
        raise ConflictError(f"run {run.id} is discarded", hint="Start a new backfill.")
    other = f"headgate resume {run.id}" if retry else f"headgate retry {run.id}"
    raise ConflictError(f"run {run.id} {run.state.as_verb}", hint=f"Use {other} instead.")


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
    states, unchanged, tried = fresh.states, fresh.unchanged, fresh.tried
    place = {part.name: part.indices for part in plan.datasets}

    def position(dataset: str, key: str) -> int | None:
        index = world.snapshot.grids[dataset].find(key) if dataset in place else None
        if index is None:
            return None
        at = int(np.searchsorted(place[dataset], index))
        return at if at < len(place[dataset]) and place[dataset][at] == index else None

    first = store.next_id() if retry else _failures_count_from(store, run.id)
    for task in store.unfinished_attempts(run.id):
        at = position(task.dataset, task.key)
        if at is None:
            continue
        tried[task.dataset, task.key] = task.number
        # Nobody knows how far an attempt came that has no end: what must not happen twice is not begun again by itself.
        is_over = task.state in _HALTED or not project.datasets[task.dataset].idempotent
        if is_over and task.attempt >= first:
            states[task.dataset][at] = TaskState.FAILED
    changed: dict[str, NDArray[np.bool_]] = {}
    for checkpoint in store.run_checkpoints(run.id):
        at = position(checkpoint.dataset, checkpoint.key)
        if at is not None:
            states[checkpoint.dataset][at] = TaskState.SUCCEEDED
            unchanged[checkpoint.dataset] += checkpoint.version != checkpoint.attempt
            if run.publication.is_staged and checkpoint.version == checkpoint.attempt:
                changed.setdefault(checkpoint.dataset, np.zeros(len(place[checkpoint.dataset]), dtype=bool))[at] = True
    inherited: dict[str, NDArray[np.bool_]] = {}
    # One that queued is to build after the others, not to take what they make.
    if Controls.from_json(run.controls).overlap is not OnOverlap.QUEUE:
        for name, indices in place.items():
            made = [at for key in store.made_by_others(run.id, name) if (at := position(name, key)) is not None]
            if made:
                inherited[name] = np.zeros(len(indices), dtype=bool)
                inherited[name][made] = True
    left = {name: state == TaskState.WAITING for name, state in states.items()}
    return Recorded(with_problems(world.snapshot, plan, left), states, unchanged, tried, inherited, changed)


def _failures_count_from(store: Store, run: str) -> int:
    """Return the number of the attempt from which failures of a run count: the first after its last retry."""
    # The requests for it, as people made them, are kinds that begin with the same word.
    bodies = [entry.body for entry in store.journal_entries(run=run, kind=RETRY) if entry.kind == RETRY]
    with intact(f"journal entry {RETRY} of run {run}"):
        return int(json.loads(bodies[-1])["first"]) if bodies else 0


def _same_definitions(project: Project, plan: Plan) -> None:
    for part in plan.datasets:
        dataset = project.datasets.get(part.name)
        now = "gone from the project" if dataset is None else f"partitioned by {dataset.partitioning.spec} now"
        if dataset is None or dataset.partitioning.spec != part.partitioning:
            raise ConflictError(
                f"{part.name} was partitioned by {part.partitioning} when this run was planned, and is {now}",
                hint="Start a new backfill: it takes up what is missing or stale.",
            )
