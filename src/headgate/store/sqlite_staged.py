"""Runs of the embedded store that publish all of their partitions at once; the contract is in `store.staged`."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from headgate.crashpoints import crash_point
from headgate.errors import ConflictError
from headgate.store.journal import TOGETHER, moves_digest
from headgate.store.sqlite_publishing import Publishing
from headgate.store.sqlite_rows import array, conflict_of, version_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headgate.model.version import Version
    from headgate.store.staged import Conflict


class StagedPublishing(Publishing):
    """What a transaction does for staged runs."""

    def staged_or_heads(self, run: str, dataset: str, keys: Sequence[str]) -> list[Version | None]:
        """Return what tasks of a staged run read of partitions, in order: what it has staged, else the heads."""
        parameters = {"run": self._interned.run(run), "dataset": dataset, "keys": array(keys)}
        rows = self._connection.execute(self._sql["staged_or_heads_of_keys"], parameters)
        found = {version.key: version for version in map(version_of, rows)}
        return [found.get(key) for key in keys]

    def publish_staged(self, run: str, *, author: str, reason: str, now_ms: int) -> list[Conflict]:
        """Make everything that a run has staged visible, or nothing of it; return what keeps it from that."""
        execute, sql, number = self._connection.execute, self._sql, self._interned.run(run)
        conflicts = [conflict_of(row) for row in execute(sql["staged_conflicts"], {"run": run})]
        if conflicts:
            return conflicts
        if execute(sql["end_staged_run"], {"run": number, "now_ms": now_ms}).rowcount == 0:
            raise ConflictError(f"run {run} has nothing staged that could be published")
        moves = execute(sql["staged_moves"], {"run": number}).fetchall()
        entry = self.journal_head().seq + 1
        rows = [(number, dataset, *move, now_ms, entry) for dataset, _, *move in moves]
        self._connection.executemany(sql["add_moved"], rows)
        crash_point("together.inside_move")
        execute(sql["show_staged_heads"], {"run": number})
        execute(sql["forget_staged_heads"], {"run": number})
        digest = moves_digest((name, key, *move) for _, name, key, *move in moves)
        by_dataset = Counter(name for _, name, *_ in moves)
        body: dict[str, object] = {"moved": len(moves), "datasets": dict(by_dataset), "digest": digest}
        self.journal(TOGETHER, author=author, run=run, reason=reason, body=body, now_ms=now_ms)
        made = [checkpoint for *_, checkpoint in moves]
        self.supersede(made, "which was published", author=author, now_ms=now_ms)
        return []

    def discard_staged(self, run: str) -> int:
        """Forget what a run has staged, and saved of batches; return of how many partitions it was staged."""
        number = {"run": self._interned.run(run)}
        self._connection.execute(self._sql["forget_batches_of_run"], number)
        return self._connection.execute(self._sql["forget_staged_heads"], number).rowcount
