"""What moves heads in the embedded store, and the journal. All of it inside the caller's transaction."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from headgate.crashpoints import crash_point
from headgate.errors import InternalError
from headgate.model.run import AttemptState
from headgate.store.journal import canonical, checkpoints_digest, entry_hash
from headgate.store.named_sql import statements
from headgate.store.quarantine import QuarantineState
from headgate.store.records import OVERTAKEN, Published
from headgate.store.sqlite_rows import (
    array,
    audit_to_text,
    failure_columns,
    files_from_text,
    files_to_text,
    offsets_to_text,
    signed,
)
from headgate.store.sqlite_taken_back import taken_back
from headgate.store.witness import Mark

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from headgate.model.run import Failure
    from headgate.store.journal import CheckpointRecord
    from headgate.store.records import Candidate, Observation
    from headgate.store.sqlite_interned import Interned
    from headgate.store.sqlite_rows import Row


@dataclass(slots=True)
class Batch:
    """Rows that one call writes, by statement, and the records that its journal entry vouches for.

    Only attempts in `state` are published.
    """

    state: AttemptState = AttemptState.RUNNING
    versions: list[Row] = field(default_factory=list)
    checkpoints: list[Row] = field(default_factory=list)
    lineage: list[Row] = field(default_factory=list)
    heads: list[Row] = field(default_factory=list)
    staged: list[Row] = field(default_factory=list)
    succeeded: list[Row] = field(default_factory=list)
    superseded: list[Row] = field(default_factory=list)
    fenced: list[Row] = field(default_factory=list)
    audits: list[Row] = field(default_factory=list)
    records: list[CheckpointRecord] = field(default_factory=list)


class Publishing:
    """Publishing, observing and the journal.

    Args:
        connection: In a transaction.
        interned: Numbers of datasets, runs and schemas.
        store_id: Id of this state store.
    """

    def __init__(self, connection: sqlite3.Connection, interned: Interned, store_id: str) -> None:
        self._connection = connection
        self._interned = interned
        self._sql = statements()
        self._store_id = store_id
        self._head: Mark | None = None
        self._staged_runs: set[int] = set()
        self._refused: dict[int, Failure] = {}
        self.appended = False
        """Whether this transaction has appended to the journal."""

    def journal_head(self) -> Mark:
        """Return where the journal stands, with what this transaction has appended."""
        if self._head is None:
            row = self._connection.execute(self._sql["journal_head"]).fetchone()
            self._head = Mark(self._store_id, *(row or (0, "")))
        return self._head

    def journal(self, kind: str, *, author: str, run: str, reason: str, body: dict[str, object], now_ms: int) -> None:
        """Append an entry to the journal."""
        last = self.journal_head()
        seq, text = last.seq + 1, canonical(body)
        digest = entry_hash(
            last.hash or self._store_id,
            seq=seq,
            at_ms=now_ms,
            author=author,
            kind=kind,
            run=run,
            reason=reason,
            body=text,
        )
        self._connection.execute(self._sql["add_entry"], (seq, now_ms, author, kind, run, reason, text, digest))
        self._head = Mark(self._store_id, seq, digest)
        self.appended = True

    def publish(self, candidates: Sequence[Candidate], *, author: str, now_ms: int) -> list[Published]:
        """Check fencing tokens and old heads, move heads, and record what was made."""
        return self._publish(candidates, Batch(), author=author, reason="", now_ms=now_ms)

    def _publish(
        self, candidates: Sequence[Candidate], batch: Batch, *, author: str, reason: str, now_ms: int
    ) -> list[Published]:
        if len({(c.dataset, c.key) for c in candidates}) != len(candidates):
            raise InternalError("two candidates of one call share a partition")
        rows = self._connection.execute(
            self._sql["attempts_and_heads"], {"attempts": array(c.attempt for c in candidates)}
        )
        found = {row[0]: row[1:] for row in rows}
        self._staged_runs = {run for (run,) in self._connection.execute(self._sql["staged_runs"])}
        self._refused |= taken_back(self._connection, candidates)
        entry = self.journal_head().seq + 1
        verdicts = [self._judge(c, found.get(c.attempt), batch, entry, now_ms) for c in candidates]
        packed = {c.attempt for c in candidates if c.origin is not None}
        self._write(batch)
        self._forget_batches(batch.checkpoints)
        self._connection.executemany(self._sql["end_attempt"], batch.superseded)
        self._connection.executemany(self._sql["fence_attempt"], batch.fenced)
        if batch.records:
            counts = Counter(verdicts)
            runs = {c.run for c in candidates}
            attempts = [record[0] for record in batch.records]
            body: dict[str, object] = {verdict.value: counts[verdict] for verdict in Published}
            body |= {"first": min(attempts), "last": max(attempts), "digest": checkpoints_digest(batch.records)}
            run = runs.pop() if len(runs) == 1 else ""
            self.journal("publish", author=author, run=run, reason=reason, body=body, now_ms=now_ms)
            # A compaction makes nothing anew.
            made = [attempt for attempt in attempts if attempt not in packed]
            self.supersede(made, "which was published", author=author, now_ms=now_ms)
        return verdicts

    def supersede(self, attempts: Sequence[int], what: str, *, author: str, now_ms: int) -> None:
        """Drop what is held in quarantine of partitions that newer attempts have made.

        Args:
            attempts: Numbers of the newer ones.
            what: What became of these, in words.
            author: Whose coordinator or decision it was.
            now_ms: UTC milliseconds.
        """
        if not attempts or self._connection.execute(self._sql["any_held"]).fetchone() == (0,):
            return
        found = self._connection.execute(self._sql["held_before"], {"attempts": array(attempts)}).fetchall()
        decided = {"state": QuarantineState.DROPPED.value, "now_ms": now_ms, "author": author}
        for older, _, newer, run in found:
            reason = f"superseded by attempt {newer} of run {run}, {what}"
            self._connection.execute(self._sql["decide_quarantine"], decided | {"attempt": older, "reason": reason})
        if found:
            runs = {run for *_, run in found}
            body: dict[str, object] = {
                "partitions": len({newer for _, _, newer, _ in found}),
                "datasets": sorted({dataset for _, dataset, _, _ in found}),
                "attempts": [older for older, *_ in found],
            }
            run = runs.pop() if len(runs) == 1 else ""
            self.journal("quarantine.superseded", author=author, run=run, reason="", body=body, now_ms=now_ms)

    def _judge(self, c: Candidate, row: Row | None, batch: Batch, entry: int, now_ms: int) -> Published:
        """Say what becomes of a candidate, and add the rows for it to the batch."""
        if row is None or row[3] != batch.state:
            batch.fenced.append((c.attempt,))
            return Published.FENCED
        run, dataset, key, _, path, expects, head, identity, head_content, head_schema = row
        if (self._interned.run(c.run), self._interned.dataset(c.dataset), c.key) != (run, dataset, key):
            raise InternalError(f"attempt {c.attempt} is not one of {c.dataset} {c.key} in run {c.run}")
        if identity != expects or c.attempt in self._refused:
            failure = self.why_superseded(c.attempt)
            batch.superseded.append((AttemptState.SUPERSEDED.value, now_ms, *failure_columns(failure), c.attempt))
            return Published.SUPERSEDED
        schema = self._interned.schema(c.schema)
        content, hashes = "", []
        same = bool(c.content) and c.content == head_content and schema == head_schema
        if head is not None and same and not c.renews:
            verdict, version = Published.UNCHANGED, head
        else:
            verdict, version, path = Published.NEW, c.attempt, ""
            content, hashes = c.content, [file.hash for file in c.files]
            files = files_to_text(c.files)
            made_of = (files, c.rows, c.bytes, content, schema)
            batch.versions.append((version, dataset, key, *made_of, now_ms, c.origin))
        digest, offsets = signed(c.inputs_digest), offsets_to_text(c.offsets)
        made = (c.code, c.declared_version, digest, c.watermark_ms, offsets, c.started_ms)
        parameters = self._interned.parameters(c.parameters)
        batch.checkpoints.append((c.attempt, run, dataset, key, version, head, *made, now_ms, entry, parameters))
        inputs = sorted(set(c.inputs))
        batch.lineage.extend((c.attempt, pinned) for pinned in inputs)
        if run in self._staged_runs:
            batch.staged.append((run, dataset, key, version, c.attempt))
        else:
            batch.heads.append((dataset, key, version, c.attempt))
        batch.succeeded.append((now_ms, path, c.attempt))
        if c.gates:
            batch.audits.append((c.attempt, audit_to_text(c.gates)))
        batch.records.append((c.attempt, c.dataset, key, version, head, c.code, digest, content, hashes, inputs))
        return verdict

    def why_superseded(self, attempt: int) -> Failure:
        """Return why an attempt was superseded in this transaction."""
        return self._refused.get(attempt, OVERTAKEN)

    def _write(self, batch: Batch) -> None:
        many = self._connection.executemany
        many(self._sql["add_version"], batch.versions)
        many(self._sql["add_checkpoint"], batch.checkpoints)
        crash_point("coordinator.inside_publish")
        many(self._sql["add_lineage"], batch.lineage)
        many(self._sql["set_head"], batch.heads)
        many(self._sql["set_staged_head"], batch.staged)
        many(self._sql["succeed_attempt"], batch.succeeded)
        many(self._sql["add_audit"], batch.audits)

    def _forget_batches(self, checkpoints: Sequence[Row]) -> None:
        """Remove the saved batches of partitions that are published."""
        if self._connection.execute(self._sql["any_batch"]).fetchone() == (1,):
            rows = [(dataset, key, run) for _, run, dataset, key, *_ in checkpoints]
            self._connection.executemany(self._sql["forget_published_batches"], rows)

    def observe(self, observations: Sequence[Observation], *, author: str, now_ms: int) -> int:
        """Make a new version and head of each source partition whose file is new or changed; return how many."""
        by_dataset: defaultdict[str, list[Observation]] = defaultdict(list)
        for observation in observations:
            by_dataset[observation.dataset].append(observation)
        batch = Batch()
        moved: list[Row] = []
        (last,) = self._connection.execute(self._sql["last_id"]).fetchone()
        first, entry = last + 1, self.journal_head().seq + 1
        for name, seen in by_dataset.items():
            dataset = self._interned.dataset(name)
            parameters = {"dataset": dataset, "keys": array(o.key for o in seen)}
            heads = {row[0]: row[1:] for row in self._connection.execute(self._sql["observed_heads"], parameters)}
            for o in seen:
                head, text = heads.get(o.key, (None, "[]"))
                recorded = files_from_text(text)
                if recorded and recorded[0].hash == o.file.hash:
                    if recorded[0].path != o.file.path:
                        moved.append((files_to_text([o.file]), head))
                    continue
                last += 1
                files = files_to_text([o.file])
                made_of = (files, o.file.rows, o.file.bytes, "", None)
                batch.versions.append((last, dataset, o.key, *made_of, now_ms, None))
                made = ("", None, 0, None, None, now_ms)
                batch.checkpoints.append((last, None, dataset, o.key, last, head, *made, now_ms, entry, None))
                batch.heads.append((dataset, o.key, last, last))
                batch.records.append((last, name, o.key, last, head, "", 0, "", [o.file.hash], []))
        if batch.records:
            self._connection.execute(self._sql["reserve_ids"], {"first": first, "last": last})
        self._write(batch)
        self._connection.executemany(self._sql["move_files"], moved)
        if batch.records or moved:
            body: dict[str, object] = {"new": len(batch.records), "moved": len(moved), "first": first, "last": last}
            body["digest"] = checkpoints_digest(batch.records)
            self.journal("observe", author=author, run="", reason="", body=body, now_ms=now_ms)
        return len(batch.records)
