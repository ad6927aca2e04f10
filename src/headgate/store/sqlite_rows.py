"""Rows of the embedded store as nouns of the model, and back."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar

from headgate.errors import damaged
from headgate.model.run import Attempt, AttemptState, ErrorClass, Failure, Publication, Run, RunKind, RunState
from headgate.model.version import Checkpoint, File, Version
from headgate.store.quarantine import Audit, Quarantined, QuarantineState
from headgate.store.records import Candidate, SavedBatch
from headgate.store.staged import Conflict

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from enum import StrEnum

    from headgate.model.audit import GateFinding
    from headgate.model.plan import StoredPlan
    from headgate.model.version import Parameters

Row = tuple[Any, ...]

_Member = TypeVar("_Member", bound="StrEnum")

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
    return _encode([_file_row(file) for file in files]) if files else "[]"


def _file_row(file: File) -> list[str | int]:
    row: list[str | int] = [file.path, file.rows, file.bytes, file.hash]
    return row if file.row_group is None else [*row, file.row_group]


def files_from_text(text: str) -> tuple[File, ...]:
    """Return files from how they are stored."""
    return tuple(File(*file) for file in _decoded(text)) if text != "[]" else ()


def _decoded(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise damaged(f"{text[:60]!a} is no JSON") from error


def _member(kind: type[_Member], text: str) -> _Member:
    try:
        return kind(text)
    except ValueError as error:
        raise damaged(f"{text[:60]!a} is none of {', '.join(kind)}") from error


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
    return None if text is None else tuple((name, kind) for name, kind in _decoded(text))


def parameters_of(text: str | None) -> Parameters | None:
    """Return parameters from how they are stored."""
    return None if text is None else dict(_decoded(text))


def version_of(row: Row) -> Version:
    """Return a version from a row of the view `versions`."""
    number, dataset, key, files, rows, size, content, schema, created_ms, origin = row
    found = files_from_text(files)
    return Version(number, dataset, key, found, rows, size, content, schema_of(schema), created_ms, origin)


def checkpoint_of(row: Row) -> Checkpoint:
    """Return a checkpoint from a row of the view `checkpoints`, without its entry."""
    digest, watermark_ms, offsets, *times, parameters = row[8:]
    decoded = None if offsets is None else _decoded(offsets)
    values = (*row[:8], unsigned(digest), watermark_ms, decoded, *times, parameters_of(parameters))
    return Checkpoint(*values)


def attempt_of(row: Row) -> Attempt:
    """Return an attempt from a row of the view `attempts`."""
    error_class, message, hint, traceback, lead = row[10:]
    failure = None if error_class is None else Failure(_member(ErrorClass, error_class), message, hint, traceback)
    values = (*row[:5], _member(AttemptState, row[5]), *row[6:10], failure, lead)
    return Attempt(*values)


def saved_batch_of(row: Sequence[Any]) -> SavedBatch:
    """Return a saved batch from a row of the statement `batches`, without its key."""
    attempt, path, rows, size, digest, content, resume_from, schema, watermark_ms, offsets, inputs_digest, code = row
    return SavedBatch(
        attempt,
        File(path, rows, size, digest),
        content,
        _decoded(resume_from),
        schema_of(schema) or (),
        watermark_ms,
        None if offsets is None else _decoded(offsets),
        unsigned(inputs_digest),
        code,
    )


def audit_to_text(gates: Sequence[GateFinding]) -> str:
    """Return what gates said of a published result as it is stored: how many held, and what the others found."""
    failed = [gate for gate in gates if not gate.passed]
    return _encode({"held": len(gates) - len(failed), "failed": failed})


def audit_from_text(text: str) -> Audit:
    """Return what `audit_to_text` wrote."""
    body = _decoded(text)
    return Audit(body["held"], tuple(map(_finding, body["failed"])))


def _finding(values: Sequence[Any]) -> GateFinding:
    # Only here: `status` does without gates.
    from headgate.model.audit import GateFinding
    from headgate.model.gate import Severity

    gate, severity, passed, text = values
    return GateFinding(gate, Severity(severity), passed, text)


def candidate_to_texts(candidate: Candidate) -> tuple[str, str]:
    """Return a candidate, without what gates said of it, and that, as they are stored."""
    fields = candidate._asdict()
    del fields["gates"]
    fields["files"] = [[file.path, file.rows, file.bytes, file.hash] for file in candidate.files]
    return _encode(fields), _encode(candidate.gates)


def quarantined_of(row: Row) -> Quarantined:
    """Return a quarantined result from a row of the statement `quarantined`."""
    text, gates, expects, at_ms, state, *decided = row
    body = _decoded(text)
    body["files"] = tuple(File(*file) for file in body["files"])
    body["schema"] = None if body["schema"] is None else tuple((name, kind) for name, kind in body["schema"])
    body["inputs"] = tuple(body["inputs"])
    candidate = Candidate(**body, gates=tuple(map(_finding, _decoded(gates))))
    return Quarantined(candidate, expects, at_ms, _member(QuarantineState, state), *decided)


def failure_columns(failure: Failure | None) -> tuple[str, str, str, str] | tuple[None, None, None, None]:
    """Return a failure as the columns of an attempt."""
    if failure is None:
        return None, None, None, None
    return failure.error_class.value, failure.message, failure.hint, failure.traceback


def run_of(row: Row) -> Run:
    """Return a run from a row of the statement `run` or `runs`."""
    number, kind, state, *rest, publication = row
    values = (number, _member(RunKind, kind), _member(RunState, state), *rest, _member(Publication, publication))
    return Run(*values)


def conflict_of(row: Row) -> Conflict:
    """Return what keeps a staged run from being published from a row of the statement `staged_conflicts`."""
    return Conflict._make(row)._replace(has_moved=bool(row[-1]))


def plan_of(row: Row, decisions: Iterable[Row] = ()) -> StoredPlan:
    """Return a stored plan from a row with `PLAN_COLUMNS` and its run, and from the rows of its decisions."""
    # Only here: `status` reads runs, and is quicker without the nouns of plans.
    from headgate.model.plan import Decision, StoredPlan

    decided = tuple(Decision(author, bool(approves), reason, at_ms) for author, approves, reason, at_ms in decisions)
    return replace(StoredPlan(*row), decisions=decided)
