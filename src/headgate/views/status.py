"""What became of runs. Light: `headgate status` answers from here before numpy would be imported."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from headgate.model.run import AttemptState, RunState

if TYPE_CHECKING:
    from headgate.model.run import Attempt, Run
    from headgate.store.store import Store

_FAILED = frozenset({AttemptState.FAILED, AttemptState.SUPERSEDED})


@dataclass(frozen=True, slots=True)
class RunLine:
    """A run in one line.

    Args:
        id: Run id.
        state: Where it stands; interrupted when it is recorded as running and nobody runs it.
        kind: What it is for.
        reason: Why.
        author: Who asked.
        created_ms: When it was submitted.
        finished_ms: When it ended.
        done: Tasks that have nothing left to do: succeeded, or skipped in a run that has succeeded.
        total: Tasks in its plan.
    """

    id: str
    state: RunState
    kind: str
    reason: str
    author: str
    created_ms: int
    finished_ms: int | None
    done: int
    total: int


@dataclass(frozen=True, slots=True)
class DatasetLine:
    """The tasks of one dataset in a run.

    Args:
        name: The dataset.
        total: Tasks in the plan.
        published: Those that published a new version.
        unchanged: Those whose content was the same as before.
        running: Those that run now.
        failed: Those whose last attempt failed.
        rest: The others: skipped in a run that has succeeded, otherwise waiting, blocked or cancelled.
    """

    name: str
    total: int
    published: int
    unchanged: int
    running: int
    failed: int
    rest: int


@dataclass(frozen=True, slots=True)
class FailureLine:
    """A task whose last attempt failed, and how."""

    dataset: str
    key: str
    attempt: int
    number: int
    error_class: str
    message: str
    hint: str
    traceback: str


@dataclass(frozen=True, slots=True)
class RunStatus:
    """One run in full.

    Args:
        run: The run.
        coordinator: Who runs it now, as text; None if nobody.
        datasets: Its tasks by dataset, upstream first.
        failures: What failed, in order of the attempts.
    """

    run: RunLine
    coordinator: str | None
    datasets: tuple[DatasetLine, ...]
    failures: tuple[FailureLine, ...]


def runs(store: Store, *, limit: int) -> tuple[RunLine, ...]:
    """Return runs, newest first."""
    leader = store.leader()
    return tuple(_line(store, run, leader) for run in store.runs(limit=limit))


def run_status(store: Store, run: Run) -> RunStatus:
    """Return what became of the tasks of a run."""
    leader = store.leader()
    made: dict[tuple[str, str], bool] = {}
    for checkpoint in store.run_checkpoints(run.id):
        made[checkpoint.dataset, checkpoint.key] = checkpoint.version == checkpoint.attempt
    last: dict[tuple[str, str], Attempt] = {}
    for attempt in store.attempts(run.id):
        task = attempt.dataset, attempt.key
        if task not in made and attempt.state is not AttemptState.RETURNED:
            last[task] = attempt
    totals = _totals(run)
    state = state_now(run, leader)
    published = Counter(dataset for (dataset, _), is_new in made.items() if is_new)
    unchanged = Counter(dataset for (dataset, _), is_new in made.items() if not is_new)
    running = Counter[str]()
    failures = []
    for (dataset, _), attempt in last.items():
        if attempt.state is AttemptState.RUNNING and state is RunState.RUNNING:
            running[dataset] += 1
        # A lost attempt is tried again, unless the run has given up.
        elif attempt.state in _FAILED or (attempt.state is AttemptState.LOST and state is RunState.FAILED):
            failures.append(failure_line(attempt))
    failed = Counter(failure.dataset for failure in failures)
    lines = []
    for name, total in totals.items():
        known = published[name], unchanged[name], running[name], failed[name]
        lines.append(DatasetLine(name, total, *known, rest=total - sum(known)))
    done = sum(totals.values()) if state is RunState.SUCCEEDED else len(made)
    return RunStatus(
        _as_line(run, state, done, sum(totals.values())),
        leader if state is RunState.RUNNING else None,
        tuple(lines),
        tuple(failures),
    )


def _line(store: Store, run: Run, leader: str | None) -> RunLine:
    # Runs of a list come without their plans.
    planned = store.run(run.id) or run
    total = sum(_totals(planned).values())
    state = state_now(run, leader)
    done = total if state is RunState.SUCCEEDED else sum(1 for _ in store.run_checkpoints(run.id))
    return _as_line(run, state, done, total)


def _as_line(run: Run, state: RunState, done: int, total: int) -> RunLine:
    return RunLine(run.id, state, run.kind, run.reason, run.author, run.created_ms, run.finished_ms, done, total)


def state_now(run: Run, leader: str | None) -> RunState:
    """Return where a run stands: recorded as running while nobody leads, it is interrupted."""
    return RunState.INTERRUPTED if run.state is RunState.RUNNING and leader is None else run.state


def _totals(run: Run) -> dict[str, int]:
    """Return how many tasks of which dataset are in the plan, upstream first, from its text alone."""
    return {
        part["name"]: sum(stop - start for start, stop, _ in part["runs"]) for part in json.loads(run.plan)["datasets"]
    }


def failure_line(attempt: Attempt) -> FailureLine:
    """Return an attempt that failed as it is shown."""
    failure = attempt.failure
    return FailureLine(
        attempt.dataset,
        attempt.key,
        attempt.id,
        attempt.number,
        failure.error_class if failure else attempt.state,
        failure.message if failure else "",
        failure.hint if failure else "",
        failure.traceback if failure else "",
    )
