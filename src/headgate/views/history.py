"""Which versions a dataset or a partition has had, and how each came to be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from headgate.views.audit import audit_line
from headgate.views.schemas import schema_change

if TYPE_CHECKING:
    from collections.abc import Iterable

    from headgate.model.version import Checkpoint, File, Parameters, Version
    from headgate.store.store import Store
    from headgate.views.audit import AuditLine
    from headgate.views.schemas import SchemaChange


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """A checkpoint and the version that it stands for.

    Args:
        dataset: Name.
        key: Partition key.
        version: What the head showed from then on.
        previous: What it had shown before; None for nothing.
        is_new: Whether this attempt made the version; otherwise the content had not changed.
        is_head: Whether the head rests on this checkpoint: the newest one of its version.
        is_hidden: Whether its run publishes together and has not done so: then no head ever showed it.
        origin: The version whose content it holds again in other files (a compaction); None for its own.
        attempt: Number of the attempt.
        run: Run id; empty for a source's.
        code: Fingerprint of the code.
        declared_version: The author's explicit version, if any.
        parameters: The `[parameters]` of headgate.toml that the attempt was given; None where nobody noted them.
        rows: Rows of the version; -1 if nobody has counted.
        bytes: Bytes of the version.
        content: Its content checksum.
        schema: Its columns and their types.
        schema_change: How they differ from those before: of what the head had shown or, of the first version of a
            partition in the history of a dataset, of what was published before it; None where they do not.
        files: Its files.
        watermark_ms: Latest event time, where the function said so.
        offsets: Positions in sources, where the function said so.
        started_ms: Start of the attempt.
        published_ms: When the head moved.
        audit: What gates said of it; None where there were none.
    """

    dataset: str
    key: str
    version: int
    previous: int | None
    is_new: bool
    is_head: bool
    is_hidden: bool
    origin: int | None
    attempt: int
    run: str
    code: str
    declared_version: str | None
    parameters: Parameters | None
    rows: int
    bytes: int
    content: str
    schema: tuple[tuple[str, str], ...] | None
    schema_change: SchemaChange | None
    files: tuple[File, ...]
    watermark_ms: int | None
    offsets: dict[str, int | str] | None
    started_ms: int
    published_ms: int
    audit: AuditLine | None


def history(store: Store, dataset: str, key: str | None, *, limit: int) -> tuple[HistoryEntry, ...]:
    """Return what was published of a dataset or of one of its partitions, newest first."""
    # One more: the oldest that is shown is compared with it.
    found = store.checkpoints(dataset, key, limit=limit + 1)
    versions = _versions(store, found)
    checkpoints = found[:limit]
    keys = list(dict.fromkeys(checkpoint.key for checkpoint in checkpoints))
    heads = {version.key: version.id for version in store.heads(dataset, keys)}
    audits = store.audits(checkpoint.attempt for checkpoint in checkpoints)
    staged = {run: store.staged_run(run) for run in {checkpoint.run for checkpoint in checkpoints}}
    hidden = {run for run, found in staged.items() if found is not None and found.published_ms is None}
    entries = []
    for checkpoint, older in zip(checkpoints, [*found[1:], None], strict=False):
        version = versions[checkpoint.version]
        before = versions[checkpoint.previous or (older.version if older else None)]
        is_head = checkpoint.run not in hidden and heads.get(checkpoint.key) == checkpoint.version
        if is_head:
            del heads[checkpoint.key]
        entries.append(
            HistoryEntry(
                dataset=dataset,
                key=checkpoint.key,
                version=checkpoint.version,
                previous=checkpoint.previous,
                is_new=checkpoint.version == checkpoint.attempt,
                is_head=is_head,
                is_hidden=checkpoint.run in hidden,
                origin=version.origin if version else None,
                attempt=checkpoint.attempt,
                run=checkpoint.run,
                code=checkpoint.code,
                declared_version=checkpoint.declared_version,
                parameters=checkpoint.parameters,
                rows=version.rows if version else -1,
                bytes=version.bytes if version else -1,
                content=version.content if version else "",
                schema=version.schema if version else None,
                schema_change=schema_change(before, version),
                files=version.files if version else (),
                watermark_ms=checkpoint.watermark_ms,
                offsets=checkpoint.offsets,
                started_ms=checkpoint.started_ms,
                published_ms=checkpoint.published_ms,
                audit=audit_line(audits.get(checkpoint.attempt)),
            )
        )
    return tuple(entries)


def _versions(store: Store, checkpoints: Iterable[Checkpoint]) -> dict[int | None, Version | None]:
    """Return the versions that checkpoints name, those before them too; None for none."""
    named = {number for one in checkpoints for number in (one.version, one.previous) if number is not None}
    return {None: None, **{number: store.version(number) for number in named}}
