"""Steering a run from another process: through rows in the state store, so it needs no server."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headgate.drivers.live import now_ms
from headgate.drivers.naming import named_run
from headgate.drivers.takeover import take_over
from headgate.errors import ConflictError
from headgate.model.run import RunState

if TYPE_CHECKING:
    from pathlib import Path

    from headgate.model.run import Run
    from headgate.store.store import Store


def cancel(store: Store, data_root: Path, run_id: str, *, author: str, reason: str) -> tuple[Run, bool]:
    """Cancel a run: at once if nobody runs it, otherwise by asking its coordinator.

    Returns:
        The run, and whether it is cancelled already; if not, its coordinator was asked to.

    Raises:
        UsageError: There is no such run.
        ConflictError: It has ended.
    """
    run = named_run(store, run_id)
    if run.state is RunState.RUNNING and store.leader() is not None:
        with store.transaction() as tx:
            if tx.add_command(run.id, "cancel", author=author, reason=reason, now_ms=now_ms()):
                return run, False
    elif run.state is RunState.RUNNING:
        with store.lead():
            take_over(store, data_root, now_ms(), author=author)
    with store.transaction() as tx:
        done = tx.set_run_state(
            run.id,
            RunState.CANCELLED,
            author=author,
            reason=reason,
            now_ms=now_ms(),
            expected=frozenset({RunState.INTERRUPTED}),
        )
    run = named_run(store, run.id)
    if not done:
        raise ConflictError(f"run {run.id} is {run.state}: there is nothing to cancel")
    return run, True
