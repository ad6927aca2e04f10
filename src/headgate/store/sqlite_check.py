"""What can be wrong inside the embedded store, found and said in sentences."""

from __future__ import annotations

import json
from itertools import chain, groupby, islice
from operator import itemgetter
from typing import TYPE_CHECKING

from headgate.store.journal import MOVING, checkpoints_digest, entry_hash, moves_digest
from headgate.store.named_sql import statements
from headgate.store.sqlite_rows import files_from_text

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator

    from headgate.store.journal import CheckpointRecord
    from headgate.store.sqlite_rows import Row

MAX_OF_A_KIND = 20


def problems(connection: sqlite3.Connection, store_id: str, *, is_led: bool) -> list[str]:
    """Return what is wrong, at most `MAX_OF_A_KIND` sentences of each kind.

    Args:
        connection: In a transaction, so that everything is seen at one instant.
        store_id: Id of this state store.
        is_led: Whether a coordinator was alive before the transaction began.
    """
    sql = statements()

    def rows(name: str) -> Iterator[Row]:
        return connection.execute(sql[name])

    kinds = [
        _integrity(connection),
        _chain(rows("journal"), store_id),
        _digests(rows("published"), rows("journal")),
        _moves(rows("moves"), rows("journal")),
        _heads(rows("broken_heads")),
        _staged(rows("broken_staged_heads")),
        _overtaken(rows("overtaken_heads")),
        _checkpoints(rows("broken_checkpoints")),
        _lineage(rows("broken_lineage")),
        _unrecorded(rows("unrecorded_successes")),
        _quarantine(rows("broken_quarantine")),
        [] if is_led else _unowned(rows("running_attempts")),
    ]
    return list(chain.from_iterable(_capped(kind) for kind in kinds))


def journal_problems(connection: sqlite3.Connection, store_id: str) -> list[str]:
    """Return where the journal's hash chain is broken, at most `MAX_OF_A_KIND` sentences."""
    return list(_capped(_chain(connection.execute(statements()["journal"]), store_id)))


def _capped(sentences: Iterable[str]) -> Iterator[str]:
    iterator = iter(sentences)
    yield from islice(iterator, MAX_OF_A_KIND)
    more = sum(1 for _ in iterator)
    if more:
        yield f"... and {more} more like this"


def _integrity(connection: sqlite3.Connection) -> Iterator[str]:
    for (text,) in connection.execute("PRAGMA integrity_check"):
        if text != "ok":
            yield f"the database file is damaged: {text}"


def _chain(journal: Iterable[Row], store_id: str) -> Iterator[str]:
    previous, expected = store_id, 1
    for seq, at_ms, author, kind, run, reason, body, stored in journal:
        if seq != expected:
            yield f"the journal jumps from entry {expected - 1} to {seq}: entries were deleted"
        elif stored != entry_hash(
            previous, seq=seq, at_ms=at_ms, author=author, kind=kind, run=run, reason=reason, body=body
        ):
            yield f"journal entry {seq} ({kind}) does not match its hash: it, or the one before it, was changed"
        # From here on the stored hash counts, so that one change is one finding.
        previous, expected = stored, seq + 1


def _digests(published: Iterable[Row], journal: Iterable[Row]) -> Iterator[str]:
    """Compare the checkpoints of each journal entry with the digest in it; both come in order of entries."""
    digests: dict[int, str] = {}
    for entry, rows in groupby(published, key=itemgetter(0)):
        digests[entry] = checkpoints_digest(_record(row) for row in rows)
    for seq, _, _, kind, _, _, body, _ in journal:
        if kind in {"publish", "observe"} and digests.pop(seq, checkpoints_digest([])) != _recorded_in(body):
            yield f"the checkpoints of journal entry {seq} ({kind}) are not the ones that it recorded"
    for entry in digests:
        yield f"checkpoints refer to journal entry {entry}, which did not publish them"


def _moves(moved: Iterable[Row], journal: Iterable[Row]) -> Iterator[str]:
    """Compare the heads that each journal entry moved with the digest in it; both come in order of entries."""
    digests = {entry: moves_digest(row[1:] for row in rows) for entry, rows in groupby(moved, key=itemgetter(0))}
    for seq, _, _, kind, _, _, body, _ in journal:
        if kind in MOVING and digests.pop(seq, moves_digest([])) != _recorded_in(body):
            yield f"the heads that journal entry {seq} ({kind}) moved are not the ones that it recorded"
    for entry in digests:
        yield f"heads were moved by journal entry {entry}, which did not move them"


def _recorded_in(body: str) -> object:
    try:
        return json.loads(body).get("digest")
    except (AttributeError, ValueError):
        # Its hash does not fit either, which is said.
        return None


def _record(row: Row) -> CheckpointRecord:
    _, attempt, dataset, key, version, previous, code, digest, content, files, lineage = row
    made = version == attempt and files is not None
    hashes = [file.hash for file in files_from_text(files)] if made else []
    inputs = sorted(json.loads(lineage))
    return attempt, dataset, key, version, previous, code, digest, content if made else "", hashes, inputs


def _heads(rows: Iterable[Row]) -> Iterator[str]:
    for dataset, key, version, checkpoint, no_version, _ in rows:
        if no_version:
            yield f"the head of {dataset} {key} is version {version}, which is not a version of it"
        else:
            yield f"the head of {dataset} {key} rests on checkpoint {checkpoint}, which is not one of version {version}"


def _staged(rows: Iterable[Row]) -> Iterator[str]:
    for dataset, key, version, run in rows:
        yield f"version {version} of {dataset} {key} is staged for run {run}, which has not made it or is not staged"


def _overtaken(rows: Iterable[Row]) -> Iterator[str]:
    for dataset, key, newest, checkpoint in rows:
        if newest is None:
            yield f"{dataset} {key} was taken back, but has a head, which rests on checkpoint {checkpoint}"
        elif checkpoint is None:
            yield f"{dataset} {key} has checkpoint {newest} but no head"
        else:
            yield f"the head of {dataset} {key} rests on checkpoint {checkpoint}, but {newest} was published after it"


def _checkpoints(rows: Iterable[Row]) -> Iterator[str]:
    for attempt, dataset, key, version, no_version, previous, no_previous, no_attempt in rows:
        at = f"checkpoint {attempt} of {dataset} {key}"
        if no_version:
            yield f"{at} made version {version}, which is not a version of it"
        if previous is not None and no_previous:
            yield f"{at} followed version {previous}, which does not exist"
        if no_attempt:
            yield f"{at} has no succeeded attempt of that number"


def _lineage(rows: Iterable[Row]) -> Iterator[str]:
    for checkpoint, version, no_checkpoint in rows:
        what = f"checkpoint {checkpoint}" if no_checkpoint else f"version {version}"
        yield f"the lineage says that checkpoint {checkpoint} read version {version}, but there is no {what}"


def _unrecorded(rows: Iterable[Row]) -> Iterator[str]:
    for attempt, dataset, key, run in rows:
        yield f"attempt {attempt} of {dataset} {key} in run {run} succeeded, but has no checkpoint"


def _quarantine(rows: Iterable[Row]) -> Iterator[str]:
    for attempt, state in rows:
        yield f"attempt {attempt} is {state} in quarantine, which does not fit what became of it"


def _unowned(rows: Iterable[Row]) -> Iterator[str]:
    for attempt, run, dataset, key, *_ in rows:
        yield f"attempt {attempt} of {dataset} {key} in run {run} is recorded as running, but no coordinator is alive"
