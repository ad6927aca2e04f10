"""Rollbacks in the embedded store; the contract is in `store.rollback`.

What is taken back and where to is worked out in two temporary tables, by the same statements whether it is only shown
or done, so that a run of thousands of partitions costs a few statements.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from headgate.crashpoints import crash_point
from headgate.errors import ConflictError, InternalError, UsageError
from headgate.model.rollback import Move, OnMovedOn, Partition, TakeBack
from headgate.model.run import RunKind, RunState
from headgate.store.journal import ROLLBACK, moves_digest
from headgate.store.named_sql import statements
from headgate.store.sqlite_publishing import Publishing
from headgate.store.sqlite_rows import array

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from headgate.model.rollback import Aim
    from headgate.model.run import Run

_EVER = 2**62
_ENDED = frozenset({RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELLED})


class TakingBack:
    """Works out what a rollback comes to, and leaves it in the table `moving`.

    Args:
        connection: In a transaction.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._sql = statements()
        self._looks_down = True

    def _do(self, statement: str, **parameters: object) -> None:
        self._connection.execute(self._sql[statement], parameters)

    def work_out(self, aim: Aim, *, with_dependants: bool) -> TakeBack:
        """Fill the table and return what is in it; dependants that stay need a look at what rests on what."""
        self._looks_down = aim.downstream or with_dependants
        for statement in ("make_tainted", "make_moving", "clear_tainted", "clear_moving"):
            self._do(statement)
        number, kind = self._ended_run(aim.run) if aim.run else (0, "")
        is_undo = kind == RunKind.ROLLBACK
        if is_undo:
            self._do("move_back", run=number, anyway=aim.moved_on is OnMovedOn.INCLUDE)
        elif kind == RunKind.COMPACTION:
            # What it packed is as good as before, and so is what was made from that.
            self._do("taint_run", run=number)
            self._move_to_last_good(downstream=False)
        elif aim.run:
            self._taint_run(number, aim)
        else:
            self._move_partitions(aim)
        self._do("name_versions")
        gone = self._partitions("gone")
        if gone:
            if aim.dataset:
                self._do("leave_repacked")
            self._do("take_repacked")
            self._do("name_versions")
            gone = self._partitions("gone")
        moved_on = "moved_since" if is_undo else "published_over"
        rows = self._connection.execute(self._sql["rollback_moves"])
        return TakeBack(
            tuple(Move._make((*row[:6], bool(row[6]))) for row in rows),
            self._partitions("dependants"),
            self._partitions(moved_on, run=number) if aim.run else (),
            gone,
        )

    def _ended_run(self, run: str) -> tuple[int, str]:
        row = self._connection.execute(self._sql["run_kind"], {"run": run}).fetchone()
        if row is None:
            raise InternalError(f"the state store has no run {run}")
        number, kind, state = row
        if state not in _ENDED:
            raise ConflictError(
                f"run {run} {RunState(state).as_verb}: it may still publish",
                hint=f"Cancel it first: headgate cancel {run} --reason TEXT",
            )
        return number, kind

    def _taint_run(self, number: int, aim: Aim) -> None:
        self._do("taint_run", run=number)
        if aim.moved_on is OnMovedOn.INCLUDE:
            self._do("taint_published_over", run=number)
        self._taint_readers()
        self._move_to_last_good(downstream=aim.downstream)

    def _move_partitions(self, aim: Aim) -> None:
        row = self._connection.execute(self._sql["dataset_id"], {"name": aim.dataset}).fetchone()
        dataset = row[0] if row else 0
        entry = _EVER
        if aim.version is not None:
            shown = {"dataset": dataset, "key": aim.keys[0], "version": aim.version}
            (entry,) = self._connection.execute(self._sql["shown_at"], shown).fetchone()
            if entry is None:
                raise UsageError(
                    f"{aim.dataset}/{aim.keys[0]} has never shown a version {aim.version}",
                    hint=f"headgate history {aim.dataset} {aim.keys[0]} lists its versions.",
                )
        until_ms = _EVER if aim.until_ms is None else aim.until_ms
        self._do("move_to_then", dataset=dataset, keys=array(aim.keys), until_ms=until_ms, until_entry=entry)
        if aim.version is None:
            self._do("leave_repacked")
        self._do("taint_newer")
        self._taint_readers()
        if aim.downstream:
            self._move_to_last_good(downstream=True, aimed=True)

    def _taint_readers(self) -> None:
        if self._looks_down:
            self._do("taint_readers")

    def _move_to_last_good(self, *, downstream: bool, aimed: bool = False) -> None:
        """Move tainted heads to the last good state; those that are aimed at a state of their own stay aimed at it."""
        if not aimed:
            self._do("move_tainted", is_derived=False)
        if downstream:
            self._do("move_tainted", is_derived=True)
        moved, packed, staged = self._connection.execute(self._sql["looked_at"]).fetchone()
        self._do(
            "aim_at_last_good",
            downstream=downstream,
            from_derived=aimed,
            any_moved=moved,
            any_packed=packed,
            any_staged=staged,
        )

    def _partitions(self, statement: str, **parameters: object) -> tuple[Partition, ...]:
        return tuple(map(Partition._make, self._connection.execute(self._sql[statement], parameters)))


def take_back(connection: sqlite3.Connection, aim: Aim) -> TakeBack:
    """Return what a rollback would come to now, as `Store.take_back` does.

    Args:
        connection: Outside a transaction.
        aim: What is to be taken back.
    """
    connection.execute("BEGIN")
    try:
        return TakingBack(connection).work_out(aim, with_dependants=True)
    finally:
        connection.execute("ROLLBACK")


class RollingBack(Publishing):
    """What a transaction does for rollbacks."""

    def roll_back(self, run: Run, aim: Aim, shown: TakeBack) -> int:
        """Move heads back, all or none, as a run that has succeeded; return how many partitions are held."""
        execute, sql = self._connection.execute, self._sql
        found = TakingBack(self._connection).work_out(aim, with_dependants=False)
        if found != replace(shown, dependants=()):
            raise ConflictError(
                "heads have moved since it was shown what this rollback would do; nothing was changed",
                hint="Look again, and decide on what it would do now.",
            )
        crash_point("rollback.before_move")
        number, entry = self._interned.run(run.id), self.journal_head().seq + 1
        execute(sql["record_moves"], {"run": number, "now_ms": run.created_ms, "entry": entry})
        execute(sql["move_heads"])
        crash_point("rollback.inside_move")
        execute(sql["remove_heads"])
        held = self._hold(number, aim, len(found.moves))
        body: dict[str, object] = {
            "of": aim.run or aim.dataset,
            "moved": len(found.moves),
            "digest": moves_digest(move[:6] for move in found.moves),
            "held": held,
            "downstream": aim.downstream,
            "left": len(shown.moved_on) + len(shown.dependants),
        }
        if aim.until_ms is not None:
            body["to_ms"] = aim.until_ms
        if aim.version is not None:
            body["to_version"] = aim.version
        self.journal(ROLLBACK, author=run.author, run=run.id, reason=run.reason, body=body, now_ms=run.created_ms)
        return held

    def _hold(self, number: int, aim: Aim, moved: int) -> int:
        """Hold what moves, or release what the rollback held that is undone; return how many are held."""
        if aim.run:
            undone = {"run": aim.run}
            aimed, kind, _ = self._connection.execute(self._sql["run_kind"], undone).fetchone()
            held_then = self._connection.execute(self._sql["held_by_entry"], undone).fetchone()
            if kind == RunKind.ROLLBACK and held_then and held_then[0]:
                self._connection.execute(self._sql["release_holds"], {"run": aimed})
                return 0
            if kind == RunKind.COMPACTION:
                return 0
        self._connection.execute(self._sql["hold_moving"], {"run": number})
        return moved

    def resolve(self, rollback: str, *, author: str, reason: str, now_ms: int) -> int:
        """Let what a rollback holds be built again; return how many partitions."""
        number = self._interned.run(rollback)
        released = self._connection.execute(self._sql["release_holds"], {"run": number}).rowcount
        if released:
            body: dict[str, object] = {"partitions": released}
            self.journal("resolve", author=author, run=rollback, reason=reason, body=body, now_ms=now_ms)
        return released

    def held(self, dataset: str, keys: Sequence[str]) -> dict[str, str]:
        """Return which of some partitions are held, each with the newest rollback that holds it."""
        if self._connection.execute(self._sql["any_hold"]).fetchone() == (0,):
            return {}
        parameters = {"dataset": dataset, "keys": array(keys)}
        return dict(self._connection.execute(self._sql["held"], parameters).fetchall())
