"""Rows of the embedded store as nouns of the model, and back."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from headgate.model.run import Attempt, AttemptState, ErrorClass, Failure, Run, RunKind, RunState
from headgate.model.version import Checkpoint, File, Version
from headgate.store.store import SavedBatch

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from headgate.model.plan import StoredPlan

Row = tuple[Any, ...]

_BITS = 1 << 64
PLAN_COLUMNS = (
    "hash",
    "project",
    "author",
    "reason",
    "service_class",
    "created_ms",
    "expires_ms",
    "basis",
    "verdict",
    "forecast",
    "body",
)
"""In the order of the statements that read plans; the run follows."""
_encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode


def array(values: Iterable[int] | Iterable[str]) -> str:
    """Return values as the JSON array that `json_each` takes apart: one bound parameter, however many there are."""
    return _encode(list(values))


def files_to_text(files: Sequence[File]) -> str:
    """Return files as they are stored."""
    return _encode([[file.path, file.rows, file.bytes, file.hash] for file in files]) if files else "[]"


def files_from_text(text: str) -> tuple[File, ...]:
    """Return files from how they are stored."""
    return tuple(File(*file) for file in json.loads(text)) if text != "[]" else ()


def offsets_to_text(offsets: dict[str, int | str] | None) -> str | None:
    """Return offsets as they are stored."""
    return None if offsets is None else _encode(offsets)


def signed(digest: int) -> int:
    """Return an unsigned 64-bit number as the signed one with the same bits: SQLite has no other."""
    return digest - _BITS if digest >= _BITS >> 1 else digest


def unsigned(digest: int) -> int:
    """Return the unsigned 64-bit number with the bits of a signed one."""
    return digest % _BITS


@lru_cache(maxsize=1024)
def schema_of(text: str | None) -> tuple[tuple[str, str], ...] | None:
    """Return a schema from how it is stored."""
    return None if text is None else tuple((name, kind) for name, kind in json.loads(text))


def version_of(row: Row) -> Version:
    """Return a version from a row of the view `versions`."""
    number, dataset, key, files, rows, size, content, schema, created_ms = row
    return Version(number, dataset, key, files_from_text(files), rows, size, content, schema_of(schema), created_ms)


def checkpoint_of(row: Row) -> Checkpoint:
    """Return a checkpoint from a row of the view `checkpoints`, without its entry."""
    digest, watermark_ms, offsets, *times = row[8:]
    decoded = None if offsets is None else json.loads(offsets)
    values = (*row[:8], unsigned(digest), watermark_ms, decoded, *times)
    return Checkpoint(*values)


def attempt_of(row: Row) -> Attempt:
    """Return an attempt from a row of the view `attempts`."""
    error_class, message, hint, traceback = row[10:]
    failure = None if error_class is None else Failure(ErrorClass(error_class), message, hint, traceback)
    values = (*row[:5], AttemptState(row[5]), *row[6:10], failure)
    return Attempt(*values)


def saved_batch_of(row: Sequence[Any]) -> SavedBatch:
    """Return a saved batch from a row of the statement `batches`, without its key."""
    attempt, path, rows, size, digest, content, resume_from, schema, watermark_ms, offsets, inputs_digest, code = row
    return SavedBatch(
        attempt,
        File(path, rows, size, digest),
        content,
        json.loads(resume_from),
        schema_of(schema) or (),
        watermark_ms,
        None if offsets is None else json.loads(offsets),
        unsigned(inputs_digest),
        code,
    )


def failure_columns(failure: Failure | None) -> tuple[str, str, str, str] | tuple[None, None, None, None]:
    """Return a failure as the columns of an attempt."""
    if failure is None:
        return None, None, None, None
    return failure.error_class.value, failure.message, failure.hint, failure.traceback


def run_of(row: Row) -> Run:
    """Return a run from a row of the statement `run` or `runs`."""
    number, kind, state, *rest = row
    return Run(number, RunKind(kind), RunState(state), *rest)


def plan_of(row: Row, decisions: Iterable[Row] = ()) -> StoredPlan:
    """Return a stored plan from a row with `PLAN_COLUMNS` and its run, and from the rows of its decisions."""
    # Only here: `status` reads runs, and is quicker without the nouns of plans.
    from headgate.model.plan import Decision, StoredPlan

    decided = tuple(Decision(author, bool(approves), reason, at_ms) for author, approves, reason, at_ms in decisions)
    return replace(StoredPlan(*row), decisions=decided)
