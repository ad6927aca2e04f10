"""Rollbacks: what somebody means by one, what has to be decided first, and doing it.

A rollback is a plain transaction: it needs no lead, and a coordinator may be alive beside it.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np

from headgate.crashpoints import crash_point
from headgate.drivers.clock import now_ms
from headgate.drivers.naming import LATEST, named_run
from headgate.drivers.submission import new_run_id
from headgate.errors import ConflictError, UsageError
from headgate.model.names import shown as quoted
from headgate.model.rollback import Aim, OnMovedOn
from headgate.model.run import Run, RunKind, RunState
from headgate.planning.scope import in_range

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headgate.model.plan import Request
    from headgate.model.rollback import Move, Partition, TakeBack
    from headgate.planning.snapshot import Snapshot
    from headgate.store.store import Store

_VERSION = re.compile(r"[0-9]{1,18}")
_RUN = re.compile(r"[0-9]{8}-[0-9a-f-]*")
_NAMED = 3


def aim_at_run(store: Store, text: str, *, downstream: bool, moved_on: OnMovedOn) -> Aim:
    """Return what takes back the run that a text names.

    Raises:
        UsageError: There is none, or there are several.
    """
    return Aim(run=named_run(store, text).id, downstream=downstream, moved_on=moved_on)


def aim_at_partitions(
    store: Store, snapshot: Snapshot, dataset: str, *, which: str | None, span: Request, to: str, downstream: bool
) -> Aim:
    """Return what takes partitions of a dataset back.

    Args:
        store: The state store.
        snapshot: Definitions and heads.
        dataset: Name of a dataset.
        which: Key of one partition; None for those of a range.
        span: The range; all partitions, if it has no bounds.
        to: A version, a time (in UTC if it does not say otherwise), or a run that has ended: as it was then.
        downstream: Whether what was made from bad versions is taken back with them.

    Raises:
        UsageError: There is no such dataset, partition, run or time.
    """
    if dataset in snapshot.sources:
        raise UsageError(
            f"{dataset} is a source: its versions are files that were found, and nothing can take them back",
            hint="Roll back what was made from it.",
        )
    grid = snapshot.grids[dataset]
    indices = [grid.index(which, dataset)] if which else np.flatnonzero(in_range(snapshot, dataset, span)).tolist()
    keys = tuple(map(grid.key, indices))
    if _VERSION.fullmatch(to):
        if which is None:
            raise UsageError(f"version {to} is one of a single partition", hint="Name its key.")
        return Aim(dataset=dataset, keys=keys, version=int(to), downstream=downstream)
    return Aim(dataset=dataset, keys=keys, until_ms=instant(store, to), downstream=downstream)


def instant(store: Store, text: str) -> int:
    """Return the time that a text means in UTC milliseconds: a time, or the end of a run.

    Raises:
        UsageError: It is neither, or lies in the future.
    """
    try:
        # Beginnings of ids, and ids without letters, can be read as times of their own.
        moment = None if _RUN.fullmatch(text) else datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None:
        return _end_of(store, text)
    at = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    at_ms = int(at.timestamp() * 1000)
    if at_ms > now_ms():
        raise UsageError(f"{quoted(text)} has not come yet", hint="Give a time in the past; without a zone it is UTC.")
    return at_ms


def _end_of(store: Store, text: str) -> int:
    if text != LATEST and store.run(text) is None:
        raise UsageError(
            f"{quoted(text)} is no version, time or run",
            hint="Give the number of a version, a time such as 2024-01-31T12:00, or a run.",
        )
    run = named_run(store, text)
    if run.finished_ms is None:
        raise UsageError(f"run {run.id} {run.state.as_verb}: it has no end that could be gone back to")
    return run.finished_ms


def done_elsewhere(store: Store, moves: Sequence[Move]) -> list[Move]:
    """Return the moves of what was made without a table: what functions did elsewhere does not move with it."""
    tableless = store.tableless(move.before for move in moves if move.before is not None)
    return [move for move in moves if move.before in tableless]


def check_decided(shown: TakeBack, aim: Aim, *, decided: bool) -> None:
    """Refuse a rollback that has nothing to do, cannot be done, or that somebody has yet to decide on.

    Args:
        shown: What it comes to.
        aim: What is taken back.
        decided: Whether somebody said what becomes of what is downstream.

    Raises:
        ConflictError: Nothing moves, or what would have to be shown is not there any more.
        UsageError: Dependants or heads that have moved on need a decision.
    """
    if shown.gone:
        raise ConflictError(
            f"the files of {_some(shown.gone)} are not there any more: vacuum has removed them",
            hint="Roll back fewer partitions, or to another time; what is missing can be built again.",
        )
    if shown.moved_on and aim.moved_on is OnMovedOn.REFUSE:
        raise UsageError(
            f"{_some(shown.moved_on)} moved on since: {_runs(shown.moved_on)} published over it",
            hint="--moved-on skip leaves these as they are, --moved-on include takes them back, too.",
        )
    if not shown.moves:
        if aim.run:
            what = f"readers see nothing of what run {aim.run} did"
        else:
            what = (
                f"{aim.dataset} shows what it showed then" if aim.keys else f"no partition of {aim.dataset} is in range"
            )
        raise ConflictError(f"there is nothing to roll back: {what}")
    if shown.dependants and not decided:
        raise UsageError(
            f"{_some(shown.dependants)} {'was' if len(shown.dependants) == 1 else 'were'} made from what is taken back",
            hint="--with-downstream takes that back, too; --leave-downstream leaves it, stale, to be built anew.",
        )


def _some(partitions: Sequence[Partition]) -> str:
    names = ", ".join(f"{one.dataset}/{one.key}" for one in partitions[:_NAMED])
    return names if len(partitions) <= _NAMED else f"{names} and {len(partitions) - _NAMED:,} more"


def _runs(partitions: Sequence[Partition]) -> str:
    runs = list(dict.fromkeys(one.run for one in partitions if one.run))
    names = " and ".join(f"run {run}" for run in runs[:_NAMED])
    return f"{names} and {len(runs) - _NAMED:,} more" if len(runs) > _NAMED else names or "somebody"


def roll_back(store: Store, aim: Aim, shown: TakeBack, *, author: str, reason: str) -> tuple[Run, int]:
    """Move heads back, in one transaction; return the rollback and how many partitions it holds.

    Raises:
        ConflictError: Heads have moved since it was shown what it would do.
    """
    at = now_ms()
    moved = Counter(move.dataset for move in shown.moves)
    parts = [{"name": name, "runs": [[0, count, 0]]} for name, count in sorted(moved.items())]
    plan = json.dumps({"datasets": parts})
    run = Run(new_run_id(at), RunKind.ROLLBACK, RunState.SUCCEEDED, reason, author, plan, "", at, at)
    with store.transaction() as tx:
        tx.add_run(run)
        held = tx.roll_back(run, aim, shown)
    crash_point("rollback.after_move")
    return run, held


def resolve(store: Store, text: str, *, author: str, reason: str) -> tuple[Run, int]:
    """Let what a rollback holds be built again; return the rollback and how many partitions.

    Raises:
        UsageError: There is no such run, or it is no rollback.
        ConflictError: It holds nothing.
    """
    run = named_run(store, text)
    if run.kind is not RunKind.ROLLBACK:
        raise UsageError(f"run {run.id} is no rollback: it holds nothing", hint="headgate holds lists what is held.")
    with store.transaction() as tx:
        released = tx.resolve(run.id, author=author, reason=reason, now_ms=now_ms())
    if not released:
        raise ConflictError(f"rollback {run.id} holds nothing any more", hint="headgate holds lists what is held.")
    return run, released
