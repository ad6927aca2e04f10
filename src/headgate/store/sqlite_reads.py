"""Reads of the embedded store."""

from __future__ import annotations

from itertools import accumulate, chain
from typing import TYPE_CHECKING

from headgate.errors import UsageError
from headgate.model.breaker import BreakerRecord, BreakerState
from headgate.model.rollback import HeadMove, Hold
from headgate.model.run import AttemptState, RunState
from headgate.store.housekeeping import KeptVersion
from headgate.store.named_sql import statements
from headgate.store.records import FailedPartition, Foretold, JournalEntry, Made, PastAttempt, Spent, Tried, Uncollected
from headgate.store.sqlite_errors import explaining
from headgate.store.sqlite_rows import (
    array,
    attempt_of,
    audit_from_text,
    checkpoint_of,
    conflict_of,
    files_from_text,
    plan_of,
    quarantined_of,
    run_of,
    schema_of,
    version_of,
)
from headgate.store.staged import Change, StagedRun
from headgate.store.witness import Mark

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from headgate.model.plan import StoredPlan
    from headgate.model.run import Attempt, Run
    from headgate.model.schema_diff import Schema
    from headgate.model.version import Checkpoint, Version
    from headgate.store.quarantine import Audit, Quarantined, QuarantineState
    from headgate.store.records import HeadColumns
    from headgate.store.sqlite_rows import Row
    from headgate.store.staged import Conflict


HEADS_AT_A_TIME = 20_000
"""So many heads are read with one statement."""

_MOST_PINNED = 20_000
"""Of so many pinned versions the bytes are added up, for each dataset."""


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
            # The cursor by itself would be closed with this generator, and cannot be after its connection.
            yield from chain(self._connection.execute(self._sql[statement], parameters))

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

    def head_columns(self, dataset: str) -> Iterator[HeadColumns]:
        """Yield the heads of a dataset or source, many at a time, in no order."""
        # Only here: `status` does without numpy.
        from headgate.store.sqlite_heads import columns_of

        behind = ""
        while row := self._row("last_head_key", dataset=dataset, behind=behind, more=HEADS_AT_A_TIME - 1):
            if row[0] is None:
                break
            texts = self._row("head_columns", dataset=dataset, behind=behind, last=row[0])
            # Between the two a rollback may have taken them.
            if texts and texts[0] is not None:
                yield columns_of(*texts)
            behind = row[0]

    def failed_partitions(
        self, dataset: str, key: str | None = None, *, unsure: bool = False
    ) -> Iterator[FailedPartition]:
        """Yield the partitions of a dataset, or the given one, if it failed last time in whichever run; in no order."""
        rows = self._rows("unsure_partitions" if unsure else "failed_partitions", dataset=dataset, key=key)
        return map(FailedPartition._make, rows)

    def heads(self, dataset: str, keys: Sequence[str] | None = None) -> Iterator[Version]:
        """Yield the head versions of a dataset; of the given keys only, if given. In no order."""
        if keys is None:
            rows = self._rows("heads", dataset=dataset)
        else:
            rows = self._rows("heads_of_keys", dataset=dataset, keys=array(dict.fromkeys(keys)))
        return map(version_of, rows)

    def heads_as_of(self, dataset: str, until_ms: int) -> Iterator[tuple[Version, bool]]:
        """Yield the versions that readers of a dataset saw at a time, and whether their files are removed."""
        rows = self._rows("heads_as_of", dataset=dataset, until_ms=until_ms)
        return ((version_of(row[:-1]), bool(row[-1])) for row in rows)

    def shown_since(self, version: int) -> int | None:
        """Return when readers first saw a version; None if they never did."""
        row = self._row("shown_since", version=version)
        return None if row is None else row[0]

    def kept_versions(self, dataset: str, *, key: str | None = None, heads_only: bool = False) -> Iterator[KeptVersion]:
        """Yield the versions of a dataset, or of one partition, whose files are kept, newest first."""
        rows = self._rows("kept_heads" if heads_only else "kept_versions", dataset=dataset, key=key)
        return (KeptVersion(version_of(row[:-1]), bool(row[-1])) for row in rows)

    def held_keys(self, dataset: str) -> set[str]:
        """Return the partitions of a dataset that a rollback holds."""
        return {key for (key,) in self._rows("held_keys", dataset=dataset)}

    def needed_paths(self) -> set[str]:
        """Return the paths of all files that something refers to, relative to the data root."""
        needed = {path for (path,) in self._rows("needed_paths")}
        for (files,) in self._rows("needed_files"):
            needed.update(file.path for file in files_from_text(files))
        return needed

    def stage_folders(self, attempts: Iterable[int]) -> dict[int, str]:
        """Return the folder that each attempt stages in; none for one that was never recorded."""
        return {int(attempt): folder for attempt, folder in self._rows("stage_folders", attempts=array(attempts))}

    def doomed(self) -> list[str]:
        """Return the paths that are yet to be unlinked."""
        return [path for (path,) in self._rows("doomed")]

    def resting_folders(self, folders: Iterable[str]) -> list[str]:
        """Return which of some folders belong to runs that nobody has in hand."""
        return [folder for (folder,) in self._rows("resting_folders", folders=array(folders))]

    def schema_change(self, dataset: str, code: str) -> tuple[Schema, Schema] | None:
        """Return the schema of a dataset's newest head by other code, and that of the newest version by this code."""
        rows = [self._row(name, dataset=dataset, code=code) for name in ("schema_of_other_code", "schema_of_code")]
        before, after = (schema_of(row[0]) if row else None for row in rows)
        return None if before is None or after is None else (before, after)

    def datasets(self) -> list[str]:
        """Return the names of all datasets and sources that have heads, sorted."""
        return [name for (name,) in self._rows("datasets")]

    def spelling(self, name: str) -> str | None:
        """Return the name of a dataset or source that was ever recorded, in whichever case it is given."""
        row = self._row("spelling", name=name)
        return row[0] if row else None

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

    def quarantined(
        self,
        *,
        attempt: int | None = None,
        run: str | None = None,
        dataset: str | None = None,
        key: str | None = None,
        states: frozenset[QuarantineState] | None = None,
        limit: int = 1_000_000,
    ) -> list[Quarantined]:
        """Return what gates have refused, newest first; of those only what fits everything that is given."""
        wanted = None if states is None else array(states)
        rows = self._rows("quarantined", attempt=attempt, run=run, dataset=dataset, key=key, states=wanted, limit=limit)
        return [quarantined_of(row) for row in rows]

    def audits(self, attempts: Iterable[int]) -> dict[int, Audit]:
        """Return what gates said of what attempts have published; only of those that had gates."""
        rows = self._rows("audits", attempts=array(attempts))
        return {attempt: audit_from_text(text) for attempt, text in rows}

    def warnings(self, run: str) -> dict[str, int]:
        """Return how many results of a run were published that a gate had warned of, by dataset."""
        return dict(self._rows("warnings", run=run))

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
            names = ", ".join(name[: len(plan) + 8] for name in found)
            raise UsageError(f"several plans start with {plan}: {names}", hint="Give more of its name.")
        row = self._row("plan", hash=found[0]) if found else None
        return plan_of(row, self._rows("plan_decisions", hash=row[0])) if row else None

    def plans(self, *, project: str | None = None, limit: int = 20) -> list[StoredPlan]:
        """Return plans, newest first, without their bodies; only those of a project, if one is given."""
        rows = list(self._rows("plans", project=project, limit=limit))
        return [plan_of(row, self._rows("plan_decisions", hash=row[0])) for row in rows]

    def attempts(self, run: str, *, dataset: str | None = None, key: str | None = None) -> list[Attempt]:
        """Return attempts of a run, in order of their numbers."""
        return [attempt_of(row) for row in self._rows("attempts", run=run, dataset=dataset, key=key)]

    def made(self, run: str) -> list[Made]:
        """Return what has succeeded in a run, by dataset."""
        return [Made(*row) for row in self._rows("made", run=run)]

    def taken(self, run: str) -> dict[str, int]:
        """Return how many tasks of a run another run has made, by dataset, as it was said when the run came to rest."""
        return {str(dataset): tasks for dataset, tasks in self._rows("taken", run=run)}

    def made_by_others(self, run: str, dataset: str) -> Iterator[str]:
        """Yield the partitions of a dataset whose heads other runs have published since a run was submitted."""
        return (key for (key,) in self._rows("made_by_others", run=run, dataset=dataset))

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

    def past_attempts(self, dataset: str, limit: int = 200) -> list[PastAttempt]:
        """Return what the newest attempts of a dataset took that have a checkpoint, newest first."""
        rows = list(self._rows("past_attempts", dataset=dataset, limit=limit))
        counted = zip(accumulate(pinned for *_, pinned in rows), rows, strict=True)
        few = [row[0] for pinned, row in counted if pinned <= _MOST_PINNED]
        read: dict[int, int] = dict.fromkeys(few, 0)
        read.update((attempt, size) for attempt, size in self._rows("read_bytes", checkpoints=array(few)))
        return [
            PastAttempt(attempt, took_ms, read.get(attempt), size, bool(is_first))
            for attempt, took_ms, size, is_first, _ in rows
        ]

    def failures(self, dataset: str, first: int) -> dict[str, int]:
        """Return how many attempts of a dataset failed, by error class, from a number of attempts on."""
        return {str(error_class): n for error_class, n in self._rows("failures", dataset=dataset, first=first)}

    def head_bytes(self, dataset: str, keys: Iterable[str]) -> dict[str, int]:
        """Return the bytes of the head versions of partitions, by key; only of those that have one."""
        return {str(key): size for key, size in self._rows("head_bytes", dataset=dataset, keys=array(keys))}

    def forecast(self, run: str) -> str | None:
        """Return what was forecast of a run when it began; None if nothing."""
        row = self._row("forecast", run=run)
        return row[0] if row else None

    def foretold(self, *, run: str | None = None, limit: int = 50) -> list[Foretold]:
        """Return the runs of which something was forecast, newest first; only the given one, if given."""
        return [
            Foretold._make((number, RunState(state), *times, bool(was_disturbed), bool(was_guessed)))
            for number, state, *times, was_disturbed, was_guessed in self._rows("foretold", run=run, limit=limit)
        ]

    def spent(self, run: str) -> list[Spent]:
        """Return what the attempts of a run took that have ended, by dataset."""
        sizes = {name: (read, written) for name, read, written in self._rows("spent_bytes", run=run)}
        return [
            Spent(name, attempts, elapsed_ms, *sizes.get(name, (0, 0)))
            for name, attempts, elapsed_ms in self._rows("spent_time", run=run)
        ]

    def held(self, dataset: str) -> Iterator[tuple[str, str]]:
        """Yield the held partitions of a dataset, each with the newest rollback that holds it."""
        return ((key, run) for key, run in self._rows("held", dataset=dataset, keys=None))

    def holds(self) -> list[Hold]:
        """Return what is held, by rollback, the oldest first, and by dataset."""
        return [Hold(*row) for row in self._rows("holds")]

    def tableless(self, versions: Iterable[int]) -> set[int]:
        """Return which of some versions were made without a table."""
        return {version for (version,) in self._rows("tableless", versions=array(versions))}

    def head_moves(self, dataset: str, key: str | None, *, limit: int) -> list[HeadMove]:
        """Return how rollbacks moved heads of a dataset, or of one of its partitions, the newest first."""
        return [HeadMove(*row) for row in self._rows("head_moves", dataset=dataset, key=key, limit=limit)]

    def staged_run(self, run: str) -> StagedRun | None:
        """Return what is staged of a run; None for one that publishes each partition by itself."""
        row = self._row("staged_run", run=run)
        return StagedRun(bool(row[0]), *row[1:]) if row else None

    def staged_runs(self) -> list[str]:
        """Return the ids of the runs that have something staged, the oldest first."""
        return [run for (run,) in self._rows("staged_run_ids")]

    def staged_conflicts(self, run: str) -> list[Conflict]:
        """Return what would keep a staged run from being published now, by dataset and key."""
        return [conflict_of(row) for row in self._rows("staged_conflicts", run=run)]

    def changes(self, run: str, dataset: str | None = None) -> Iterator[Change]:
        """Yield what a run has published or staged beside what was there before, by dataset and key."""
        for name, key, version, previous in list(self._rows("changes", run=run, dataset=dataset)):
            after = self.version(version)
            if after is not None:
                yield Change(name, key, None if previous is None else self.version(previous), after)

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
        """Return the paths of files that saved batches name, that are held, or that the tasks of attempts published."""
        used = {path for (path,) in self._rows("saved_paths")}
        for (files,) in (*self._rows("made_files", attempts=array(attempts)), *self._rows("held_files")):
            used.update(file.path for file in files_from_text(files))
        return used

    def journal_entries(
        self,
        *,
        limit: int | None = None,
        run: str | None = None,
        kind: str | None = None,
        since_ms: int | None = None,
    ) -> Iterator[JournalEntry]:
        """Yield journal entries, oldest first; the newest `limit` of those that fit, if given."""
        if (limit, run, kind, since_ms) == (None, None, None, None):
            rows = self._rows("journal")
        else:
            rows = self._rows("journal_entries", limit=limit, run=run, kind=kind, since_ms=since_ms)
        return (JournalEntry(*row) for row in rows)
