"""Steering runs from another process: through rows in the state store, so it needs no server.

A coordinator that is alive is asked, and answers within a second. Where nobody runs a run, what is asked for is
recorded at once, for the coordinator that takes the run up.
"""

from __future__ import annotations

import time
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from headgate.core.breaker import Breaker
from headgate.drivers.active import Controls
from headgate.drivers.clock import now_ms
from headgate.drivers.naming import named_run
from headgate.drivers.takeover import take_over
from headgate.errors import ConflictError, UnavailableError, UsageError
from headgate.model.breaker import BreakerRecord, BreakerState
from headgate.model.policy import BACKFILL, TaskOrder
from headgate.model.run import RunState

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from headgate.model.policy import BreakerPolicy
    from headgate.model.run import Run
    from headgate.project.load import Project
    from headgate.store.store import Store
    from headgate.store.transaction import Transaction

WAIT_S = 10.0
LOOK_EVERY_S = 0.05
NOBODY = "no coordinator is alive"
"""The answer to a request that nobody was there to take."""

_IDLE = frozenset({RunState.QUEUED, RunState.INTERRUPTED})
_UNENDED = _IDLE | {RunState.RUNNING}


class _Journaled(ConflictError):
    """A refusal that stands in the journal already."""


@contextmanager
def refusals_journaled(
    store: Store,
    verb: str,
    *,
    author: str,
    reason: str,
    run: str = "",
    arguments: dict[str, object] | None = None,
) -> Iterator[None]:
    """Note in the journal what the block refuses, unless the coordinator has done so or there is no journal yet.

    Args:
        store: The state store.
        verb: What was asked for.
        author: Who asked.
        reason: Why.
        run: The run that it is about, if it is about one.
        arguments: What else was said.
    """
    try:
        yield
    except _Journaled:
        raise
    except (ConflictError, UsageError) as refused:
        if store.journal_seq():
            # Who asked is told in any case.
            with suppress(UnavailableError), store.transaction() as tx:
                about = _id_of(store, run)
                _journal(tx, about, verb, refused.message, author=author, reason=reason, arguments=arguments or {})
        raise


def _id_of(store: Store, run: str) -> str:
    """Return the id of the run that a text names, or the text if it names none."""
    try:
        return named_run(store, run).id if run else ""
    except UsageError:
        return run


def request(
    store: Store,
    run: str,
    verb: str,
    *,
    author: str,
    reason: str,
    arguments: dict[str, object] | None = None,
) -> str:
    """Ask the coordinator that is alive for something, and wait for its answer.

    Args:
        store: The state store.
        run: Id of the run that it is about; empty for a pool or a breaker.
        verb: What to do, as `drivers.steering` knows it.
        author: Who asks.
        reason: Why.
        arguments: What the verb needs to know.

    Returns:
        Empty if it was done; `NOBODY` if there is no coordinator, and then nothing stays asked for; else why it was
        refused, which is in the journal.

    Raises:
        UnavailableError: The coordinator has not answered for some seconds; the request stays.
    """
    leader = store.leader()
    if leader is None:
        return NOBODY
    with store.transaction() as tx:
        command = tx.add_command(run, verb, author=author, reason=reason, now_ms=now_ms(), arguments=arguments)
        if command is None:
            too_late = f"run {run} has ended"
            _journal(tx, run, verb, too_late, author=author, reason=reason, arguments=arguments or {})
            return too_late
    deadline_s = time.monotonic() + WAIT_S
    while (answer := store.command_answer(command)) is None:
        if store.leader() is None:
            with store.transaction() as tx:
                tx.settle_commands([(command, NOBODY)])
        elif time.monotonic() < deadline_s:
            time.sleep(LOOK_EVERY_S)
        else:
            raise UnavailableError(
                f"the coordinator ({leader}) has not answered for {WAIT_S:.0f} s",
                hint="It still has the request and may yet carry it out: `headgate status` shows what it does.",
            )
    return answer


def steer(
    store: Store,
    run_id: str,
    verb: str,
    *,
    author: str,
    reason: str,
    arguments: dict[str, object] | None = None,
) -> Run:
    """Pause a run, resume it, or set its limits: at once, or for when it is taken up.

    Args:
        store: The state store.
        run_id: Names the run.
        verb: ``pause``, ``resume`` or ``set``.
        author: Who asks.
        reason: Why.
        arguments: For ``set``: concurrency, priority, order.

    Returns:
        The run, with its controls as they are now.

    Raises:
        UsageError: There is no such run.
        ConflictError: It was refused.
        UnavailableError: See `request`.
    """
    with refusals_journaled(store, verb, run=run_id, author=author, reason=reason, arguments=arguments):
        run, answer = named_run(store, run_id), NOBODY
        if run.state is RunState.RUNNING:
            answer = request(store, run.id, verb, author=author, reason=reason, arguments=arguments)
        if answer == NOBODY:
            answer = _record(store, run.id, verb, author=author, reason=reason, arguments=arguments or {})
        if answer:
            raise _Journaled(answer)
        return named_run(store, run.id)


def unpause(store: Store, run_id: str, *, author: str, reason: str) -> Run | None:
    """Let a paused run continue.

    Returns:
        The run, if it was paused and a coordinator goes on with it; None if somebody has to take it up or to follow it.

    Raises:
        UsageError: There is no such run.
        ConflictError: It was refused.
        UnavailableError: See `request`.
    """
    with refusals_journaled(store, "resume", run=run_id, author=author, reason=reason):
        run = named_run(store, run_id)
    if run.state not in {RunState.RUNNING, RunState.QUEUED} or store.leader() is None:
        return None
    if not Controls.from_json(run.controls).is_paused:
        return None
    run = steer(store, run.id, "resume", author=author, reason=reason)
    return run if store.leader() is not None else None


def retry(store: Store, run_id: str, *, author: str, reason: str) -> Run | None:
    """Let what has failed so far in a run be tried again, if the run is in the hands of a coordinator.

    Returns:
        The run; None if somebody has to take it up.

    Raises:
        UsageError: There is no such run.
        ConflictError: It was refused.
        UnavailableError: See `request`.
    """
    with refusals_journaled(store, "retry", run=run_id, author=author, reason=reason):
        run, answer = named_run(store, run_id), NOBODY
        if run.state is RunState.RUNNING:
            answer = request(store, run.id, "retry", author=author, reason=reason)
        if answer == NOBODY:
            return None
        if answer:
            raise _Journaled(answer)
        return named_run(store, run.id)


def resize_pool(store: Store, pool: str, slots: int, *, author: str, reason: str) -> None:
    """Change how many slots a pool has, for as long as the coordinator lives.

    Raises:
        ConflictError: It was refused, or there is no coordinator.
        UnavailableError: See `request`.
    """
    arguments: dict[str, object] = {"pool": pool, "slots": slots}
    with refusals_journaled(store, "set pool", author=author, reason=reason, arguments=arguments):
        answer = request(store, "", "set pool", author=author, reason=reason, arguments=arguments)
        if answer == NOBODY:
            raise ConflictError(
                f"{NOBODY} whose pool {pool} could be changed",
                hint=f"Change it in headgate.toml, under [pools]: {pool} = {slots}. The next run reads that.",
            )
        if answer:
            raise _Journaled(answer)


def switch_breaker(
    project: Project, store: Store, name: str, *, is_trip: bool, author: str, reason: str
) -> BreakerRecord:
    """Open or close a circuit breaker by hand.

    Args:
        project: The user's project.
        store: The state store.
        name: ``pool:NAME`` or ``dataset:NAME``; one that the project has.
        is_trip: Whether to open it.
        author: Who asks.
        reason: Why.

    Returns:
        It, as it is now.

    Raises:
        ConflictError: It was refused.
        UnavailableError: See `request`.
    """
    arguments: dict[str, object] = {"breaker": name, "action": "trip" if is_trip else "reset"}
    answer = request(store, "", "breaker", author=author, reason=reason, arguments=arguments)
    if answer == NOBODY:
        # Held, so that no coordinator can begin with the breaker as it was before.
        with (
            refusals_journaled(store, "breaker", author=author, reason=reason, arguments=arguments),
            store.lead("a change of a breaker"),
            store.transaction() as tx,
        ):
            breaker = _breaker(project, store, name)
            if is_trip:
                breaker.trip(now_ms())
            else:
                breaker.reset()
            tx.save_breakers([breaker.record()])
            _journal(tx, "", "breaker", "", author=author, reason=reason, arguments=arguments)
    elif answer:
        raise _Journaled(answer)
    sound = BreakerRecord(name, BreakerState.CLOSED, 0, _policy(project, name).cooldown_ms, 0)
    return next((row for row in store.breakers() if row.name == name), sound)


def cancel(store: Store, data_root: Path, run_id: str, *, author: str, reason: str) -> tuple[Run, bool]:
    """Cancel a run: at once if nobody runs it, otherwise by asking its coordinator.

    Returns:
        The run, and whether it is cancelled already; if not, its coordinator was asked to.

    Raises:
        UsageError: There is no such run.
        ConflictError: It has ended.
    """
    with refusals_journaled(store, "cancel", run=run_id, author=author, reason=reason):
        return _cancel(store, data_root, run_id, author=author, reason=reason)


def _cancel(store: Store, data_root: Path, run_id: str, *, author: str, reason: str) -> tuple[Run, bool]:
    run = before = named_run(store, run_id)
    if run.state is RunState.RUNNING and store.leader() is not None:
        with store.transaction() as tx:
            if tx.add_command(run.id, "cancel", author=author, reason=reason, now_ms=now_ms()) is not None:
                return run, False
    elif run.state is RunState.RUNNING:
        with store.lead():
            take_over(store, data_root, now_ms(), author=author)
    with store.transaction() as tx:
        done = tx.set_run_state(
            run.id, RunState.CANCELLED, author=author, reason=reason, now_ms=now_ms(), expected=_IDLE
        )
        if done:
            # One that waits to be taken up is not taken up any more.
            tx.settle_commands([(one.id, "it was cancelled") for one in tx.pending_commands() if one.run == run.id])
    run = named_run(store, run.id)
    if not done and run.state is RunState.RUNNING:
        # It was taken up in between.
        return _cancel(store, data_root, run.id, author=author, reason=reason)
    # Taking over carries out what the coordinator before was asked to.
    done = done or (run.state is RunState.CANCELLED and before.state is not RunState.CANCELLED)
    if not done:
        raise ConflictError(
            f"run {run.id} {run.state.as_verb}: there is nothing to cancel",
            hint=f'headgate discard {run.id} --reason "..." gives it up.' if run.state is RunState.STAGED else "",
        )
    return run, True


def _record(store: Store, run_id: str, verb: str, *, author: str, reason: str, arguments: dict[str, object]) -> str:
    """Record a change of a run that nobody runs, or that it was refused; return why it was, empty if not."""
    with store.transaction() as tx:
        run = named_run(store, run_id)
        before = Controls.from_json(run.controls)
        answer = _refusal(run, verb, before, is_led=store.leader() is not None)
        if not answer:
            tx.set_run_controls(run.id, _changed(before, verb, arguments).to_json())
        _journal(tx, run.id, verb, answer, author=author, reason=reason, arguments=arguments)
    return answer


def lift_pause(store: Store, tx: Transaction, run: str, *, author: str, reason: str) -> None:
    """Let a run that is taken up by hand start: it may have been paused before it was interrupted or ended."""
    controls = Controls.from_json(named_run(store, run).controls)
    if controls.is_paused:
        tx.set_run_controls(run, replace(controls, is_paused=False).to_json())
        _journal(tx, run, "resume", "", author=author, reason=reason, arguments={})


def _refusal(run: Run, verb: str, controls: Controls, *, is_led: bool) -> str:
    if run.state not in _UNENDED:
        return f"run {run.id} {run.state.as_verb}: there is nothing to {verb}"
    if run.state is RunState.RUNNING and is_led:
        return f"run {run.id} is just being taken up: ask again"
    if verb == "pause" and controls.is_paused:
        return f"run {run.id} is paused already"
    if verb == "resume" and not controls.is_paused:
        return f"run {run.id} is not paused"
    return ""


def _changed(controls: Controls, verb: str, arguments: dict[str, object]) -> Controls:
    if verb != "set":
        return replace(controls, is_paused=verb == "pause")
    values = {**arguments, "order": TaskOrder(str(arguments["order"]))} if "order" in arguments else arguments
    return replace(controls, **values)  # type: ignore[arg-type]


def _journal(
    tx: Transaction, run: str, verb: str, refused: str, *, author: str, reason: str, arguments: dict[str, object]
) -> None:
    """Note a request as the coordinator does."""
    tx.journal(
        f"{verb} {'refused' if refused else 'accepted'}",
        author=author,
        run=run,
        reason=reason,
        body={**arguments, **({"refused": refused} if refused else {})},
        now_ms=now_ms(),
    )


def _breaker(project: Project, store: Store, name: str) -> Breaker:
    records = (
        BreakerRecord(row.name, BreakerState(row.state), row.failures, row.cooldown_ms, row.until_ms)
        for row in store.breakers()
        if row.name == name
    )
    return Breaker(name, _policy(project, name), next(records, None))


def _policy(project: Project, name: str) -> BreakerPolicy:
    kind, _, owner = name.partition(":")
    if kind == "pool":
        return project.policies.pools[owner].breaker
    # Neither a class nor an author sets anything of a breaker.
    return project.policies.effective(project.datasets[owner], BACKFILL.name, "").breaker
