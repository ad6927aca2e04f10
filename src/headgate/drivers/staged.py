"""Runs that publish together: how they end, and what people decide on what they have staged."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NoReturn

from headgate.crashpoints import crash_point
from headgate.drivers.clock import now_ms
from headgate.drivers.control import refusals_journaled
from headgate.drivers.naming import named_run
from headgate.drivers.takeover import take_over
from headgate.errors import ConflictError
from headgate.model.guard_rail import Outcome
from headgate.model.run import Publication, RunState
from headgate.planning.verdict_codec import verdict_from_json

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from headgate.model.run import Run
    from headgate.store.staged import Conflict
    from headgate.store.store import Store
    from headgate.store.transaction import Transaction

SHOWN_CONFLICTS = 3
_LEFT = frozenset({RunState.STAGED, RunState.FAILED, RunState.CANCELLED, RunState.INTERRUPTED})
"""States of runs that nobody drives, and that have not ended for good."""


def finish(tx: Transaction, run: Run, *, author: str, now_ms: int) -> tuple[RunState, str, list[Conflict]]:
    """Publish a staged run of which every partition has passed, unless it waits for an approval.

    Returns:
        The state to record, why, and what kept it from being published.
    """
    if run.publication is Publication.APPROVED:
        return RunState.STAGED, "it waits for an approval", []
    crash_point("together.before_move")
    conflicts = tx.publish_staged(run.id, author=author, reason=run.reason, now_ms=now_ms)
    return (RunState.STAGED, conflicts_text(conflicts), conflicts) if conflicts else (RunState.SUCCEEDED, "", [])


def conflicts_text(conflicts: Sequence[Conflict]) -> str:
    """Return what keeps a staged run from being published, the first ones of many by name."""
    names = "; ".join(f"{one.dataset}/{one.key} {one.why}" for one in conflicts[:SHOWN_CONFLICTS])
    more = f"; and {len(conflicts) - SHOWN_CONFLICTS:,} more" if len(conflicts) > SHOWN_CONFLICTS else ""
    return f"{names}{more}"


def conflicts_hint(run: str, conflicts: Sequence[Conflict]) -> str:
    """Return what to do about a staged run that heads have moved away from."""
    instead = f'headgate discard {run} --reason "...", and start a new backfill.'
    rollbacks = {one.held_by or one.moved_by for one in conflicts}
    rollback = rollbacks.pop()
    if rollbacks or not rollback:
        return f"Nothing has changed. {instead}"
    if all(one.held_by and not one.has_moved for one in conflicts):
        first = f"If its cause is mended: headgate resolve {rollback}"
    else:
        first = f"If readers should see again what it was built on, undo that: headgate rollback {rollback}"
    return f'Nothing has changed. {first} --reason "...", then publish. If not: {instead}'


def publish(store: Store, text: str, *, author: str, reason: str) -> Run:
    """Make everything visible that a run has staged.

    Args:
        store: The state store.
        text: Names the run.
        author: Who decides so.
        reason: Why.

    Returns:
        The run, as it is now.

    Raises:
        UsageError: There is no such run.
        ConflictError: It is not staged, heads have moved since, or this person may not; nothing has changed.
    """
    with refusals_journaled(store, "publish", run=text, author=author, reason=reason):
        run = _as_it_stands(store, named_run(store, text))
        if run.state is not RunState.STAGED:
            _refuse_publishing(run)
        _refuse_approver(store, run, author)
        crash_point("together.before_move")
        with store.transaction() as tx:
            taken, at = store.taken(run.id), now_ms()
            conflicts = tx.publish_staged(run.id, author=author, reason=reason, now_ms=at)
            if conflicts:
                raise ConflictError(
                    f"run {run.id} cannot be published: {conflicts_text(conflicts)}",
                    hint=conflicts_hint(run.id, conflicts),
                )
            tx.set_run_state(run.id, RunState.SUCCEEDED, author=author, reason=reason, now_ms=at, taken=taken)
        crash_point("together.after_move")
        return named_run(store, run.id)


def discard(store: Store, data_root: Path, text: str, *, author: str, reason: str) -> Run:
    """Give up what a run has staged: it never becomes visible, and its files may be collected.

    Args:
        store: The state store.
        data_root: The data folder.
        text: Names the run.
        author: Who decides so.
        reason: Why.

    Returns:
        The run, as it is now.

    Raises:
        UsageError: There is no such run.
        ConflictError: It does not publish together, is under way, or was published or discarded.
    """
    with refusals_journaled(store, "discard", run=text, author=author, reason=reason):
        run = _as_it_stands(store, named_run(store, text))
        if not run.publication.is_staged:
            _refuse_each(run)
        if run.state is RunState.INTERRUPTED and named_run(store, run.id).state is not RunState.INTERRUPTED:
            # Whoever drove it was killed: its attempts must not publish any more.
            with store.lead():
                take_over(store, data_root, now_ms(), author=author)
        with store.transaction() as tx:
            if not tx.set_run_state(
                run.id, RunState.DISCARDED, author=author, reason=reason, now_ms=now_ms(), expected=_LEFT
            ):
                _refuse_discarding(named_run(store, run.id))
            tx.discard_staged(run.id)
        return named_run(store, run.id)


def _as_it_stands(store: Store, run: Run) -> Run:
    """Return a run; recorded as queued or running while nobody leads, it is interrupted."""
    is_left = run.state in {RunState.QUEUED, RunState.RUNNING} and store.leader() is None
    return replace(run, state=RunState.INTERRUPTED) if is_left else run


def _refuse_discarding(run: Run) -> NoReturn:
    match run.state:
        case RunState.DISCARDED:
            raise ConflictError(f"run {run.id} was discarded already")
        case RunState.SUCCEEDED:
            raise ConflictError(
                f"run {run.id} was published already: what it made is visible",
                hint=f'To take it back: headgate rollback {run.id} --reason "..."',
            )
        case _:
            raise ConflictError(
                f"run {run.id} {run.state.as_verb}", hint=f'Stop it first: headgate cancel {run.id} --reason "..."'
            )


def _refuse_each(run: Run) -> NoReturn:
    raise ConflictError(
        f"run {run.id} publishes each partition by itself: nothing is staged",
        hint="A run publishes together if it is started with `headgate backfill ... --publish together`.",
    )


def _refuse_publishing(run: Run) -> NoReturn:
    if not run.publication.is_staged:
        _refuse_each(run)
    match run.state:
        case RunState.FAILED | RunState.CANCELLED:
            raise ConflictError(
                f"run {run.id} {run.state.as_verb}: not all partitions have passed, and it publishes all or nothing",
                hint=f'headgate retry {run.id} goes on with it; headgate discard {run.id} --reason "..." gives it up.',
            )
        case RunState.SUCCEEDED:
            raise ConflictError(f"run {run.id} was published already")
        case RunState.DISCARDED:
            raise ConflictError(f"run {run.id} was discarded: start a new backfill")
        case RunState.INTERRUPTED:
            raise ConflictError(f"run {run.id} is interrupted", hint=f"headgate resume {run.id} goes on with it.")
        case _:
            raise ConflictError(f"run {run.id} {run.state.as_verb}", hint=f"Look at headgate status {run.id}.")


def _refuse_approver(store: Store, run: Run, approver: str) -> None:
    """Raise if somebody may not approve a staged run: the guard rails that its plan took an approval of say who may.

    Raises:
        ConflictError: They may not.
    """
    stored = store.plan(run.plan_hash) if run.publication is Publication.APPROVED else None
    findings = verdict_from_json(stored.verdict).findings if stored else ()
    asked = [one for one in findings if one.outcome is Outcome.APPROVAL]
    if not asked or any(one.is_approved_by(approver, run.author) for one in asked):
        return
    who = " or ".join(dict.fromkeys(f"{one.group} ({', '.join(one.approvers)})" for one in asked))
    raise ConflictError(
        f"{approver} may not approve run {run.id} of {run.author}: that is for {who}"
        + (", another person than its author" if approver == run.author else ""),
        hint=f"headgate diff {run.id} shows them what it would change.",
    )
