"""What a new coordinator does before it starts anything: refuse what cannot be trusted, fence what is left over."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headgate.errors import ConflictError
from headgate.model.run import RunKind, RunState
from headgate.tables import layout

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from headgate.store.store import Store

DIED = "its coordinator died"
_DONE_BY_TAKING_OVER = frozenset({"cancel", "submit"})


def take_over(store: Store, data_root: Path, now_ms: int, *, author: str, reason: str = DIED) -> None:
    """Make the state store and the data folder fit for a new coordinator. Pre: the caller leads.

    Args:
        store: The state store.
        data_root: The data folder.
        now_ms: UTC milliseconds.
        author: Who takes over, for the journal.
        reason: What became of the one before.

    Raises:
        ConflictError: The data folder holds files of attempts that the state store has never heard of.
    """
    refuse_unknown_files(store, data_root)
    with store.transaction() as tx:
        lost = tx.fence_attempts(now_ms=now_ms)
        left = tx.pending_commands()
        cancelled = {command.run: command for command in left if command.verb == "cancel"}
        for run in store.runs(states=frozenset({RunState.RUNNING, RunState.QUEUED})):
            # Another compaction begins anew: there is nothing to go on with.
            state = RunState.CANCELLED if run.kind is RunKind.COMPACTION else RunState.INTERRUPTED
            tx.set_run_state(run.id, state, author=author, reason=reason, now_ms=now_ms)
        for command in cancelled.values():
            # Asked of the one before, which did not get to it.
            tx.set_run_state(
                command.run,
                RunState.CANCELLED,
                author=command.author,
                reason=command.reason,
                now_ms=now_ms,
                expected=frozenset({RunState.INTERRUPTED}),
            )
        tx.settle_commands([(one.id, "" if one.verb in _DONE_BY_TAKING_OVER else reason) for one in left])
        if lost:
            tx.journal(
                "attempts fenced",
                author=author,
                run="",
                reason=reason,
                body={"attempts": [attempt.id for attempt in lost]},
                now_ms=now_ms,
            )
    collect(store, data_root)


def collect(store: Store, data_root: Path, only: Collection[int] | None = None) -> None:
    """Delete what ended attempts staged, but for what is published, saved or held; their tokens are fenced already.

    Args:
        store: The state store.
        data_root: The data folder.
        only: Numbers of the attempts; all of them, if None.
    """
    left = [one for one in store.uncollected_attempts() if only is None or one.attempt in only]
    if not left:
        return
    for file in left:
        layout.collect(data_root, file.path)
    attempts = {file.attempt: file.path for file in left}
    layout.collect_parts(data_root, attempts, store.parts_in_use(attempts))
    with store.transaction() as tx:
        tx.forget_paths([file.attempt for file in left])


def refuse_unknown_files(store: Store, data_root: Path) -> None:
    """Refuse a state store that is older than the data beside it.

    Every file carries the number of its attempt, and that number was durable before the first byte was
    written. So a file of an unknown attempt proves that the state store has lost something.

    Raises:
        ConflictError: There is such a file.
    """
    ceiling = store.next_id()
    for path, attempt in layout.attempts_on_disk(data_root):
        if attempt >= ceiling:
            raise ConflictError(
                f"the state store is older than the data: {path} was made by attempt {attempt}, "
                f"but the state store knows only attempts below {ceiling}",
                hint="Nothing was changed. Restore the state store, or move the data folder away to start anew.",
            )
