"""Runs that another process drives, followed from outside."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING

from headgate.drivers.handover import HELD
from headgate.drivers.naming import named_run
from headgate.drivers.progress import DatasetProgress, FailedTask, HeldBack, Progress, RunSummary, held_back, in_order
from headgate.drivers.told import Told, told_from_json
from headgate.errors import intact
from headgate.model.reason import Wait
from headgate.model.run import AttemptState, RunState, TaskState, has_failed
from headgate.planning.codec import plan_from_json
from headgate.store.quarantine import HELD_STATES
from headgate.store.records import Made

if TYPE_CHECKING:
    from headgate.drivers.progress import Watcher
    from headgate.model.plan import Plan
    from headgate.model.run import Run
    from headgate.store.store import Store

LOOK_EVERY_S = 0.25
COUNT_EVERY_S = 1.0
"""Counting a long run takes longer than looking whether it has ended."""


def follow(store: Store, run_id: str, watcher: Watcher | None) -> RunSummary | None:
    """Wait until a run that another process drives has ended, or until the user leaves.

    Returns:
        How it ended, or how it stands when the user stops waiting; None if its coordinator is gone.
    """
    began_s = count_at_s = time.monotonic()
    run = named_run(store, run_id)
    plan = plan_from_json(run.plan)
    on_term = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        if watcher is not None:
            watcher.started(run_id, is_followed=True)
        while run.state in HELD:
            if store.leader() is None:
                run = named_run(store, run_id)
                if run.state in HELD:
                    return None
                break
            if watcher is not None and time.monotonic() >= count_at_s:
                count_at_s = time.monotonic() + COUNT_EVERY_S
                watcher.progressed(_progress(store, plan, run, time.monotonic() - began_s))
            time.sleep(LOOK_EVERY_S)
            run = named_run(store, run_id)
    except KeyboardInterrupt:
        run = named_run(store, run_id)
    finally:
        signal.signal(signal.SIGTERM, on_term)
    progress = _progress(store, plan, run, time.monotonic() - began_s)
    if watcher is not None:
        watcher.progressed(progress)
    failed = (
        FailedTask(attempt.dataset, attempt.key, attempt.failure)
        for attempt in store.last_attempts(run.id)
        if attempt.failure is not None and has_failed(attempt.state, run.state)
    )
    quarantined = len(store.quarantined(run=run.id, states=HELD_STATES))
    conflicts = tuple(store.staged_conflicts(run.id)) if run.state is RunState.STAGED else ()
    with intact(f"the plan of run {run.id}"):
        in_turn = in_order(failed, progress)
    return RunSummary(
        run.id,
        run.state,
        progress,
        in_turn,
        plan.problems,
        quarantined,
        run.publication,
        conflicts,
    )


def _progress(store: Store, plan: Plan, run: Run, elapsed_s: float) -> Progress:
    made = {part.dataset: part for part in store.made(run.id)}
    failed: dict[str, int] = {}
    running: dict[str, int] = {}
    for attempt in store.last_attempts(run.id):
        if attempt.state is AttemptState.RUNNING:
            running[attempt.dataset] = running.get(attempt.dataset, 0) + 1
        elif has_failed(attempt.state, run.state):
            failed[attempt.dataset] = failed.get(attempt.dataset, 0) + 1
    blocked: dict[str, int] = {}
    for one in _said(store, run):
        if one.wait is Wait.BLOCKED:
            blocked[one.dataset] = blocked.get(one.dataset, 0) + one.tasks
    rest_state = {
        RunState.SUCCEEDED: TaskState.SKIPPED,
        RunState.FAILED: TaskState.SKIPPED,
        RunState.STAGED: TaskState.SKIPPED,
        RunState.CANCELLED: TaskState.CANCELLED,
    }.get(run.state, TaskState.WAITING)
    taken = store.taken(run.id)
    datasets = []
    ended = left = 0
    for part in plan.datasets:
        mine = made.get(part.name, Made(part.name, 0, 0))
        counts = {
            TaskState.SUCCEEDED: mine.succeeded,
            TaskState.FAILED: failed.get(part.name, 0),
            TaskState.RUNNING: running.get(part.name, 0),
        }
        rest = len(part.indices) - sum(counts.values())
        # It was said up to a second ago, and somebody may have asked for a retry since.
        counts[TaskState.BLOCKED] = min(blocked.get(part.name, 0), rest)
        mine_taken = taken.get(part.name, 0)
        counts[rest_state] = rest - counts[TaskState.BLOCKED] - mine_taken
        counts[TaskState.SKIPPED] = counts.get(TaskState.SKIPPED, 0) + mine_taken
        left += counts[TaskState.RUNNING] + counts.get(TaskState.WAITING, 0)
        ended += mine.succeeded + counts[TaskState.FAILED]
        datasets.append(
            DatasetProgress(
                part.name, {state: n for state, n in counts.items() if n}, mine.succeeded - mine.new, mine_taken
            )
        )
    return Progress(run.id, tuple(datasets), ended, left, elapsed_s, draining=False, held=_held(store, run))


def _held(store: Store, run: Run) -> tuple[HeldBack, ...]:
    """Return what the coordinator last said of what holds tasks back."""
    if run.state not in HELD:
        return ()
    return held_back(_said(store, run))


def _said(store: Store, run: Run) -> list[Told]:
    """Return what the coordinator last said of a run."""
    said = store.live(run.id)
    return told_from_json(said[0]) if said else []
