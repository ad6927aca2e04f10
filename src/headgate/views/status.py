"""What became of runs. Light: `headgate status` answers from here before numpy would be imported."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from headgate.model.run import AttemptState, RunState
from headgate.store.store import Made

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
    state = state_now(run, leader)
    made = {part.dataset: part for part in store.made(run.id)}
    running = Counter[str]()
    failures = []
    for attempt in store.last_attempts(run.id):
        if attempt.state is AttemptState.RUNNING and state is RunState.RUNNING:
            running[attempt.dataset] += 1
        elif has_failed(attempt.state, state):
            failures.append(failure_line(attempt))
    failed = Counter(failure.dataset for failure in failures)
    totals = _totals(run)
    lines = []
    for name, total in totals.items():
        part = made.get(name, Made(name, 0, 0))
        rest = total - part.succeeded - running[name] - failed[name]
        lines.append(DatasetLine(name, total, part.new, part.succeeded - part.new, running[name], failed[name], rest))
    succeeded = sum(part.succeeded for part in made.values())
    done = sum(totals.values()) if state is RunState.SUCCEEDED else succeeded
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
    done = total if state is RunState.SUCCEEDED else sum(part.succeeded for part in store.made(run.id))
    return _as_line(run, state, done, total)


def _as_line(run: Run, state: RunState, done: int, total: int) -> RunLine:
    return RunLine(run.id, state, run.kind, run.reason, run.author, run.created_ms, run.finished_ms, done, total)


def has_failed(attempt: AttemptState, run: RunState) -> bool:
    """Return whether a task with such a last attempt has failed: a lost one is tried again until the run gives up."""
    return attempt in _FAILED or (attempt is AttemptState.LOST and run is RunState.FAILED)


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
