"""Reads of the embedded store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headgate.errors import UsageError
from headgate.model.breaker import BreakerRecord, BreakerState
from headgate.model.run import AttemptState
from headgate.store.named_sql import statements
from headgate.store.sqlite_errors import explaining
from headgate.store.sqlite_rows import (
    array,
    attempt_of,
    checkpoint_of,
    files_from_text,
    plan_of,
    run_of,
    unsigned,
    version_of,
)
from headgate.store.store import HeadState, JournalEntry, Made, Tried, Uncollected
from headgate.store.witness import Mark

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from headgate.model.plan import StoredPlan
    from headgate.model.run import Attempt, Run, RunState
    from headgate.model.version import Checkpoint, Version
    from headgate.store.sqlite_rows import Row


class SqliteReads:
    """The reading half of `store.Store`.

    Args:
        connection: An open one.
        path: Its file, for messages.
    """

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._connection = connection
        self._path = path
        self._sql = statements()

    def _rows(self, statement: str, **parameters: object) -> Iterator[Row]:
        with explaining(self._path):
            yield from self._connection.execute(self._sql[statement], parameters)

    def _row(self, statement: str, **parameters: object) -> Row | None:
        return next(iter(list(self._rows(statement, **parameters))), None)

    def next_id(self) -> int:
        """Return a number larger than that of every attempt and version ever recorded here; at least 1."""
        row = self._row("last_id")
        return 1 + (row[0] if row else 0)

    def journal_head(self, store_id: str) -> Mark:
        """Return where the journal stands."""
        return Mark(store_id, *(self._row("journal_head") or (0, "")))

    def journal_hash(self, seq: int) -> str | None:
        """Return the hash of a journal entry; None if there is none of that number."""
        row = self._row("journal_hash", seq=seq)
        return row[0] if row else None

    def head_states(self, dataset: str) -> Iterator[HeadState]:
        """Yield the heads of a dataset or source, in no order."""
        for key, version, code, digest in self._rows("head_states", dataset=dataset):
            yield HeadState(key, version, code, unsigned(digest))

    def heads(self, dataset: str, keys: Sequence[str] | None = None) -> Iterator[Version]:
        """Yield the head versions of a dataset; of the given keys only, if given. In no order."""
        if keys is None:
            rows = self._rows("heads", dataset=dataset)
        else:
            rows = self._rows("heads_of_keys", dataset=dataset, keys=array(dict.fromkeys(keys)))
        return map(version_of, rows)

    def datasets(self) -> list[str]:
        """Return the names of all datasets and sources that have heads, sorted."""
        return [name for (name,) in self._rows("datasets")]

    def version(self, version: int) -> Version | None:
        """Return a version by its id."""
        row = self._row("version", version=version)
        return version_of(row) if row else None

    def checkpoints(self, dataset: str, key: str | None = None, *, limit: int = 1000) -> list[Checkpoint]:
        """Return the checkpoints of a dataset or partition, newest first."""
        if key is None:
            rows = self._rows("checkpoints_of_dataset", dataset=dataset, limit=limit)
        else:
            rows = self._rows("checkpoints_of_partition", dataset=dataset, key=key, limit=limit)
        return [checkpoint_of(row) for row in rows]

    def run_checkpoints(self, run: str) -> Iterator[Checkpoint]:
        """Yield the checkpoints of a run, in order of publishing."""
        return map(checkpoint_of, self._rows("checkpoints_of_run", run=run))

    def lineage(self, checkpoint: int) -> list[Version]:
        """Return the versions that a checkpoint pinned as inputs, by dataset and key."""
        return [version_of(row) for row in self._rows("lineage", checkpoint=checkpoint)]

    def run(self, run: str) -> Run | None:
        """Return a run; the text may be an unambiguous prefix of its id."""
        row = self._row("run", run=run)
        if row is None and run:
            fitting = [found for (found,) in self._rows("runs_by_prefix", prefix=run)]
            if len(fitting) > 1:
                raise UsageError(
                    f"several runs start with {run}: {', '.join(fitting[:3])}{' ...' if len(fitting) > 3 else ''}",
                    hint="Give more of the run's id.",
                )
            row = self._row("run", run=fitting[0]) if fitting else None
        return run_of(row) if row else None

    def runs(self, *, limit: int = 100, states: frozenset[RunState] | None = None) -> list[Run]:
        """Return runs, newest first, with `plan` left empty; only those in the given states, if given."""
        wanted = None if states is None else array(states)
        return [run_of(row) for row in self._rows("runs", limit=limit, states=wanted)]

    def plan(self, plan: str) -> StoredPlan | None:
        """Return a plan by an unambiguous prefix of its hash."""
        found = [row[0] for row in self._rows("plans_by_prefix", prefix=plan)] if plan else []
        if len(found) > 1:
            raise UsageError(f"several plans start with {plan}: {', '.join(found)}", hint="Give more of its name.")
        row = self._row("plan", hash=found[0]) if found else None
        return plan_of(row, self._rows("plan_decisions", hash=row[0])) if row else None

    def plans(self, *, limit: int = 20) -> list[StoredPlan]:
        """Return plans, newest first, without their bodies."""
        rows = list(self._rows("plans", limit=limit))
        return [plan_of(row, self._rows("plan_decisions", hash=row[0])) for row in rows]

    def attempts(self, run: str, *, dataset: str | None = None, key: str | None = None) -> list[Attempt]:
        """Return attempts of a run, in order of their numbers."""
        return [attempt_of(row) for row in self._rows("attempts", run=run, dataset=dataset, key=key)]

    def made(self, run: str) -> list[Made]:
        """Return what has succeeded in a run, by dataset."""
        return [Made(*row) for row in self._rows("made", run=run)]

    def last_attempts(self, run: str) -> list[Attempt]:
        """Return the last attempt of each task that has not succeeded in a run, in order of their numbers."""
        return [attempt_of(row) for row in self._rows("last_attempts", run=run)]

    def unfinished_attempts(self, run: str) -> Iterator[Tried]:
        """Yield the newest attempt of each task of a run that was tried and has no checkpoint in it, in no order."""
        for dataset, key, number, state, attempt in self._rows("unfinished_attempts", run=run):
            yield Tried(dataset, key, number, AttemptState(state), attempt)

    def durations(self, dataset: str, limit: int = 200) -> list[tuple[int, int]]:
        """Return milliseconds and bytes of the newest attempts of a dataset that have a checkpoint, newest first."""
        return [(took_ms, size) for took_ms, size in self._rows("durations", dataset=dataset, limit=limit)]

    def outcomes(self, limit: int = 5000) -> dict[str, dict[str, int]]:
        """Return how many of the newest attempts succeeded or failed, by dataset and error class."""
        found: dict[str, dict[str, int]] = {}
        for dataset, error_class, count in self._rows("outcomes", limit=limit):
            found.setdefault(dataset, {})[error_class] = count
        return found

    def command_answer(self, command: int) -> str | None:
        """Return the answer to a command; None while it waits, and when nothing is known of it any more."""
        row = self._row("command_answer", command=command)
        return row[0] if row else None

    def breakers(self) -> list[BreakerRecord]:
        """Return the breakers that are not closed or have failures, by name."""
        return [BreakerRecord(name, BreakerState(state), *numbers) for name, state, *numbers in self._rows("breakers")]

    def live(self, run: str) -> tuple[str, int] | None:
        """Return what the coordinator last said of a run and when; None if nothing."""
        row = self._row("live", run=run)
        return (row[0], row[1]) if row else None

    def running_attempts(self) -> list[Attempt]:
        """Return every attempt in state running."""
        return [attempt_of(row) for row in self._rows("running_attempts")]

    def uncollected_attempts(self) -> list[Uncollected]:
        """Return attempts that do not run and whose staging paths are still recorded."""
        return [Uncollected(*row) for row in self._rows("uncollected_attempts")]

    def parts_in_use(self, attempts: Iterable[int]) -> set[str]:
        """Return the paths of files that saved batches name, and those that the tasks of attempts have published."""
        used = {path for (path,) in self._rows("saved_paths")}
        for (files,) in self._rows("made_files", attempts=array(attempts)):
            used.update(file.path for file in files_from_text(files))
        return used

    def journal_entries(self, *, limit: int | None = None) -> Iterator[JournalEntry]:
        """Yield journal entries, oldest first; the newest `limit` of them if given."""
        rows = self._rows("journal") if limit is None else self._rows("journal_tail", limit=limit)
        return (JournalEntry(*row) for row in rows)
