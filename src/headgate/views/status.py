"""What became of runs. Light: `headgate status` answers from here before numpy would be imported."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from headgate.errors import damaged, intact
from headgate.model.reason import Wait
from headgate.model.run import AttemptState, RunState, has_failed
from headgate.store.quarantine import HELD_STATES
from headgate.store.records import Made
from headgate.views.breakers import BreakerLine, open_breakers
from headgate.views.staged import staged_view
from headgate.views.waiting import HeldTasks, Said, hold, said

if TYPE_CHECKING:
    from headgate.model.run import Attempt, Run
    from headgate.store.store import Store
    from headgate.views.staged import StagedView

_ALL_DONE = frozenset({RunState.SUCCEEDED, RunState.STAGED})
_HELD = frozenset({RunState.RUNNING, RunState.QUEUED})
_SAID = frozenset({RunState.RUNNING, RunState.INTERRUPTED, RunState.FAILED})
"""States in which it counts what a coordinator has said of a run."""
_BLOCKED = Wait.BLOCKED.name.lower()
_AFTER_FAILURES = frozenset({Wait.BACKING_OFF.name.lower(), Wait.RETRY_BUDGET.name.lower(), Wait.BREAKER.name.lower()})
"""Reasons to wait that failures brought about."""
_SET_BY_HAND = frozenset({"concurrency", "priority", "order"})


@dataclass(frozen=True, slots=True)
class RunLine:
    """A run in one line.

    Args:
        id: Run id.
        state: Where it stands; interrupted when it is recorded as queued or running and nobody runs it.
        is_paused: Whether somebody has paused it.
        kind: What it is for.
        service_class: What it competes as.
        reason: Why.
        author: Who asked.
        created_ms: When it was submitted.
        finished_ms: When it ended.
        done: Tasks that have nothing left to do: succeeded, or skipped in a run that has succeeded.
        total: Tasks in its plan.
    """

    id: str
    state: RunState
    is_paused: bool
    kind: str
    service_class: str
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
        blocked: Those that something upstream keeps from being built: it has failed, or is missing.
        rest: The others: skipped in a run that has succeeded or failed, otherwise waiting or cancelled.
        taken: Those that were left to another run, which has made them; told of a run that has come to rest.
    """

    name: str
    total: int
    published: int
    unchanged: int
    running: int
    failed: int
    blocked: int
    rest: int
    taken: int


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
class Why:
    """Why tasks of a run do not run.

    Args:
        at_ms: Since when it has been so, as its coordinator says; None if that has not said anything.
        held: Counts for each dataset and reason.
        failures: The last failure in each dataset that waits because something failed, also where it is tried again.
    """

    at_ms: int | None
    held: tuple[HeldTasks, ...]
    failures: tuple[FailureLine, ...] = ()


@dataclass(frozen=True, slots=True)
class RunStatus:
    """One run in full.

    Args:
        run: The run.
        coordinator: Who runs it now, as text; None if nobody.
        controls: What people changed of it while it lives: concurrency, priority, order.
        datasets: Its tasks by dataset, upstream first.
        failures: What failed, in the order of the datasets and keys.
        breakers: Circuit breakers that are open, of whatever.
        why: Why tasks do not run; None if that was not asked for.
        quarantined: How many of its results are held in quarantine.
        warnings: Of how many of its published results a gate has warned, by dataset.
        staged: What has become visible of a run that publishes together; None for others.
    """

    run: RunLine
    coordinator: str | None
    controls: dict[str, int | str]
    datasets: tuple[DatasetLine, ...]
    failures: tuple[FailureLine, ...]
    breakers: tuple[BreakerLine, ...]
    why: Why | None
    quarantined: int
    warnings: dict[str, int]
    staged: StagedView | None


@dataclass(frozen=True, slots=True)
class SteeredRun:
    """A run with what people changed of it while it lives. Fields as in `RunLine` and `RunStatus`."""

    id: str
    state: RunState
    is_paused: bool
    controls: dict[str, int | str]


def steered(store: Store, run: Run) -> SteeredRun:
    """Return a run as it is after somebody has steered it."""
    state = state_now(run, store.leader())
    return SteeredRun(run.id, state, _is_paused(run), _limits_of(run))


def runs(store: Store, *, limit: int) -> tuple[RunLine, ...]:
    """Return runs, newest first."""
    leader = store.leader()
    return tuple(_line(store, run, leader) for run in store.runs(limit=limit))


def run_status(store: Store, run: Run, *, why: bool = False) -> RunStatus:
    """Return what became of the tasks of a run, and if wanted why the others do not run."""
    leader = store.leader()
    state = state_now(run, leader)
    made = {part.dataset: part for part in store.made(run.id)}
    running = Counter[str]()
    failures = []
    latest: dict[str, Attempt] = {}
    for attempt in store.last_attempts(run.id):
        if attempt.state is AttemptState.RUNNING and state is RunState.RUNNING:
            running[attempt.dataset] += 1
        if attempt.failure is not None:
            latest[attempt.dataset] = attempt
        if has_failed(attempt.state, state):
            failures.append(failure_line(attempt))
    failed = Counter(failure.dataset for failure in failures)
    totals = _totals(run)
    if strange := {*made, *latest} - {*totals}:
        raise damaged(f"run {run.id} built {', '.join(sorted(strange))}, which its plan does not name")
    places = {name: n for n, name in enumerate(totals)}
    failures.sort(key=lambda line: (places[line.dataset], line.key))
    found = said(store, run.id) if state in _SAID else None
    blocked = Counter[str]()
    for held in found.held if found else ():
        blocked[held.dataset] += held.tasks if held.hold.reason == _BLOCKED else 0
    taken = store.taken(run.id)
    lines = []
    for name, total in totals.items():
        part = made.get(name, Made(name, 0, 0))
        rest = total - part.succeeded - running[name] - failed[name] - taken.get(name, 0)
        # It was said up to a second ago, and somebody may have asked for a retry since.
        stuck = min(blocked[name], rest)
        lines.append(
            DatasetLine(
                name,
                total,
                published=part.new,
                unchanged=part.succeeded - part.new,
                running=running[name],
                failed=failed[name],
                blocked=stuck,
                rest=rest - stuck,
                taken=taken.get(name, 0),
            )
        )
    succeeded = sum(part.succeeded for part in made.values())
    done = sum(totals.values()) if state in _ALL_DONE else succeeded
    return RunStatus(
        _as_line(run, state, done, sum(totals.values())),
        leader if state is RunState.RUNNING else None,
        _limits_of(run),
        tuple(lines),
        tuple(failures),
        open_breakers(store),
        _with_failures(_why(found, run.id, state, lines), latest) if why else None,
        len(store.quarantined(run=run.id, states=HELD_STATES)),
        store.warnings(run.id),
        staged_view(run.publication, state, store.staged_conflicts(run.id) if state is RunState.STAGED else ()),
    )


def _why(found: Said | None, run: str, state: RunState, lines: list[DatasetLine]) -> Why:
    if state is RunState.RUNNING:
        return Why(found.at_ms, found.held) if found else Why(None, ())
    # Of what a coordinator has said that is gone only this still holds.
    held = [one for one in (found.held if found else ()) if one.hold.reason == _BLOCKED]
    if state in {RunState.QUEUED, RunState.INTERRUPTED}:
        wait = Wait.QUEUED if state is RunState.QUEUED else Wait.NO_COORDINATOR
        held += [HeldTasks(line.name, line.rest, hold(wait, run, line.name)) for line in lines if line.rest]
    return Why(None, tuple(held))


def _with_failures(why: Why, latest: dict[str, Attempt]) -> Why:
    """Return why tasks wait with the failures that brought it about, of the last ones of each dataset."""
    datasets = dict.fromkeys(held.dataset for held in why.held if held.hold.reason in _AFTER_FAILURES)
    return replace(why, failures=tuple(failure_line(latest[name]) for name in datasets if name in latest))


def _line(store: Store, run: Run, leader: str | None) -> RunLine:
    # Runs of a list come without their plans.
    planned = store.run(run.id) or run
    total = sum(_totals(planned).values())
    state = state_now(run, leader)
    done = total if state in _ALL_DONE else sum(part.succeeded for part in store.made(run.id))
    return _as_line(run, state, done, total)


def _as_line(run: Run, state: RunState, done: int, total: int) -> RunLine:
    return RunLine(
        id=run.id,
        state=state,
        is_paused=_is_paused(run),
        kind=run.kind,
        service_class=run.service_class,
        reason=run.reason,
        author=run.author,
        created_ms=run.created_ms,
        finished_ms=run.finished_ms,
        done=done,
        total=total,
    )


def controls_of(run: Run) -> dict[str, int | str]:
    """Return what people changed of a run while it lives, by the names of `drivers.active.Controls`."""
    with intact(f"what was set of run {run.id}"):
        return json.loads(run.controls) if run.controls else {}


def _is_paused(run: Run) -> bool:
    return bool(controls_of(run).get("is_paused")) and run.finished_ms is None


def _limits_of(run: Run) -> dict[str, int | str]:
    return {name: value for name, value in controls_of(run).items() if name in _SET_BY_HAND}


def state_now(run: Run, leader: str | None) -> RunState:
    """Return where a run stands: recorded as queued or running while nobody leads, it is interrupted."""
    return RunState.INTERRUPTED if run.state in _HELD and leader is None else run.state


def _totals(run: Run) -> dict[str, int]:
    """Return how many tasks of which dataset are in the plan, upstream first, from its text alone."""
    with intact(f"the plan of run {run.id}"):
        parts = json.loads(run.plan)["datasets"]
        return {part["name"]: sum(stop - start for start, stop, _ in part["runs"]) for part in parts}


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
