"""Runs for a coordinator that is alive already: handed over through the state store, and followed from outside."""

from __future__ import annotations

import json
import signal
import time
from typing import TYPE_CHECKING

import numpy as np

from headgate.core.reasons import Delay
from headgate.drivers.live import now_ms
from headgate.drivers.naming import named_run
from headgate.drivers.progress import DatasetProgress, FailedTask, HeldBack, Progress, RunSummary, held_back
from headgate.drivers.resume import RETRY, restore
from headgate.drivers.steering import SUBMIT
from headgate.drivers.world import look
from headgate.errors import ConflictError, UsageError
from headgate.model.reason import Wait
from headgate.model.run import AttemptState, RunState, TaskState, has_failed
from headgate.planning.codec import plan_from_json
from headgate.store.store import Made

if TYPE_CHECKING:
    from collections.abc import Callable

    from headgate.drivers.live import Coordinator
    from headgate.model.plan import Plan
    from headgate.model.run import Run
    from headgate.project.load import Project
    from headgate.store.store import Command, Store

LOOK_EVERY_S = 0.25
COUNT_EVERY_S = 1.0
"""Counting a long run takes longer than looking whether it has ended."""
HELD = frozenset({RunState.QUEUED, RunState.RUNNING})


def _refuse_overlap(store: Store, plan: Plan) -> None:
    """Refuse a plan that shares partitions with a run that is under way.

    Raises:
        ConflictError: It does.
    """
    for listed in store.runs(states=HELD):
        run = store.run(listed.id)
        if run is None:
            continue
        held = {part.name: part.indices for part in plan_from_json(run.plan).datasets}
        for part in plan.datasets:
            shared = np.intersect1d(part.indices, held.get(part.name, part.indices[:0]))
            if len(shared):
                raise ConflictError(
                    f"run {run.id} is under way and builds {len(shared):,} of these partitions of {part.name}",
                    hint="Wait until it has ended, cancel it, or choose other partitions.",
                )


def hand_over(store: Store, run: Run, *, is_new: bool, retry: bool, reason: str, author: str) -> int:
    """Leave a run to the coordinator that is alive, unless it shares partitions with one that is under way.

    Args:
        store: The state store.
        run: The run.
        is_new: Whether it is not recorded yet.
        retry: Whether what failed in it gets another chance.
        reason: Why.
        author: Who asks.

    Returns:
        The number of the request, by which its answer is found.

    Raises:
        ConflictError: It does, or the run is in another state by now.
    """
    with store.transaction() as tx:
        # In the transaction: two that are handed over at once must see each other.
        _refuse_overlap(store, plan_from_json(run.plan))
        if is_new:
            tx.add_run(run)
        elif not tx.set_run_state(
            run.id, RunState.QUEUED, author=author, reason=reason, now_ms=now_ms(), expected=frozenset({run.state})
        ):
            raise ConflictError(f"run {run.id} is not {run.state} any more", hint="Look at headgate status.")
        if retry:
            # Now, so that it counts whoever takes the run up.
            body: dict[str, object] = {"first": store.next_id()}
            tx.journal(RETRY, author=author, run=run.id, reason=reason, body=body, now_ms=now_ms())
        arguments: dict[str, object] = {"retry": retry, "reason": reason}
        left = tx.add_command(run.id, SUBMIT, author=author, reason=reason, now_ms=now_ms(), arguments=arguments)
    assert left is not None
    return left


def take_up(project: Project, store: Store, coordinator: Coordinator, command: Command, *, author: str) -> None:
    """Take up a run that was handed over; one that cannot be taken up is left interrupted, and its request answered."""
    answer = ""
    try:
        run = named_run(store, command.run)
        _check_code(project, plan_from_json(run.plan))
        retry, reason = bool(command.arguments.get("retry")), str(command.arguments.get("reason", ""))
        world = look(project, store, now_ms())
        recorded = restore(project, store, world, run, retry=retry)
        coordinator.go_on(run, world, recorded, retry=retry, reason=reason, expected=frozenset({RunState.QUEUED}))
    except (ConflictError, UsageError) as refused:
        answer = refused.message
    with store.transaction() as tx:
        tx.settle_commands([(command.id, answer)])
        if answer:
            tx.set_run_state(
                command.run,
                RunState.INTERRUPTED,
                author=author,
                reason=answer,
                now_ms=now_ms(),
                expected=frozenset({RunState.QUEUED}),
            )


def _check_code(project: Project, plan: Plan) -> None:
    for part in plan.datasets:
        dataset = project.datasets.get(part.name)
        if dataset is None or dataset.code != part.code:
            raise ConflictError(f"{part.name} was changed after the coordinator had started")


def follow(store: Store, run_id: str, on_progress: Callable[[Progress], None] | None) -> RunSummary | None:
    """Wait until a run that was handed over has ended.

    Returns:
        How it ended, or how it stands when the user stops waiting; None if its coordinator is gone.
    """
    began_s = count_at_s = time.monotonic()
    run = named_run(store, run_id)
    plan = plan_from_json(run.plan)
    on_term = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        while run.state in HELD:
            if store.leader() is None:
                run = named_run(store, run_id)
                if run.state in HELD:
                    return None
                break
            if on_progress is not None and time.monotonic() >= count_at_s:
                count_at_s = time.monotonic() + COUNT_EVERY_S
                on_progress(_progress(store, plan, run, time.monotonic() - began_s))
            time.sleep(LOOK_EVERY_S)
            run = named_run(store, run_id)
    except KeyboardInterrupt:
        run = named_run(store, run_id)
    finally:
        signal.signal(signal.SIGTERM, on_term)
    progress = _progress(store, plan, run, time.monotonic() - began_s)
    if on_progress is not None:
        on_progress(progress)
    failures = tuple(
        FailedTask(attempt.dataset, attempt.key, attempt.failure)
        for attempt in store.last_attempts(run.id)
        if attempt.failure is not None and has_failed(attempt.state, run.state)
    )
    return RunSummary(run.id, run.state, progress, failures, plan.problems)


def _progress(store: Store, plan: Plan, run: Run, elapsed_s: float) -> Progress:
    made = {part.dataset: part for part in store.made(run.id)}
    failed: dict[str, int] = {}
    running: dict[str, int] = {}
    for attempt in store.last_attempts(run.id):
        if attempt.state is AttemptState.RUNNING:
            running[attempt.dataset] = running.get(attempt.dataset, 0) + 1
        elif has_failed(attempt.state, run.state):
            failed[attempt.dataset] = failed.get(attempt.dataset, 0) + 1
    rest_state = {
        RunState.SUCCEEDED: TaskState.SKIPPED,
        RunState.FAILED: TaskState.BLOCKED,
        RunState.CANCELLED: TaskState.CANCELLED,
    }.get(run.state, TaskState.WAITING)
    datasets = []
    ended = left = 0
    for part in plan.datasets:
        mine = made.get(part.name, Made(part.name, 0, 0))
        counts = {
            TaskState.SUCCEEDED: mine.succeeded,
            TaskState.FAILED: failed.get(part.name, 0),
            TaskState.RUNNING: running.get(part.name, 0),
        }
        counts[rest_state] = len(part.indices) - sum(counts.values())
        left += counts[TaskState.RUNNING] + counts.get(TaskState.WAITING, 0)
        ended += mine.succeeded + counts[TaskState.FAILED]
        datasets.append(
            DatasetProgress(part.name, {state: n for state, n in counts.items() if n}, mine.succeeded - mine.new)
        )
    return Progress(run.id, tuple(datasets), ended, left, elapsed_s, draining=False, held=_held(store, run))


def _held(store: Store, run: Run) -> tuple[HeldBack, ...]:
    """Return what the coordinator last said of what holds tasks back."""
    said = store.live(run.id)
    if said is None or run.state not in HELD:
        return ()
    return held_back(
        Delay(0, Wait[name], tasks, what, until_ms) for _, name, tasks, what, until_ms in json.loads(said[0])
    )
