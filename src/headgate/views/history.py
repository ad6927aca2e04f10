"""Which versions a dataset or a partition has had, and how each came to be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from headgate.model.version import File
    from headgate.store.store import Store


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
        attempt: Number of the attempt.
        run: Run id; empty for a source's.
        code: Fingerprint of the code.
        declared_version: The author's explicit version, if any.
        rows: Rows of the version; -1 if nobody has counted.
        bytes: Bytes of the version.
        content: Its content checksum.
        schema: Its columns and their types.
        files: Its files.
        watermark_ms: Latest event time, where the function said so.
        offsets: Positions in sources, where the function said so.
        started_ms: Start of the attempt.
        published_ms: When the head moved.
    """

    dataset: str
    key: str
    version: int
    previous: int | None
    is_new: bool
    is_head: bool
    attempt: int
    run: str
    code: str
    declared_version: str | None
    rows: int
    bytes: int
    content: str
    schema: tuple[tuple[str, str], ...] | None
    files: tuple[File, ...]
    watermark_ms: int | None
    offsets: dict[str, int | str] | None
    started_ms: int
    published_ms: int


def history(store: Store, dataset: str, key: str | None, *, limit: int) -> tuple[HistoryEntry, ...]:
    """Return what was published of a dataset or of one of its partitions, newest first."""
    checkpoints = store.checkpoints(dataset, key, limit=limit)
    keys = list(dict.fromkeys(checkpoint.key for checkpoint in checkpoints))
    heads = {version.key: version.id for version in store.heads(dataset, keys)}
    entries = []
    for checkpoint in checkpoints:
        version = store.version(checkpoint.version)
        is_head = heads.get(checkpoint.key) == checkpoint.version
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
                attempt=checkpoint.attempt,
                run=checkpoint.run,
                code=checkpoint.code,
                declared_version=checkpoint.declared_version,
                rows=version.rows if version else -1,
                bytes=version.bytes if version else -1,
                content=version.content if version else "",
                schema=version.schema if version else None,
                files=version.files if version else (),
                watermark_ms=checkpoint.watermark_ms,
                offsets=checkpoint.offsets,
                started_ms=checkpoint.started_ms,
                published_ms=checkpoint.published_ms,
            )
        )
    return tuple(entries)
