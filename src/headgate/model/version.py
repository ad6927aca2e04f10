"""Versions of partitions and the checkpoints that record them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class File:
    """One immutable file.

    Args:
        path: Relative to the data root; for a source as its pattern gives it, or a URL.
        rows: Rows in it; -1 when nobody has counted (files of sources).
        bytes: Its size.
        hash: ``algorithm:hex`` of its bytes; for a URL its ETag or similar, as ``etag:...``.
    """

    path: str
    rows: int
    bytes: int
    hash: str


@dataclass(frozen=True, slots=True)
class Version:
    """Immutable content of a partition.

    Args:
        id: Number of the attempt that made it (for sources: a number from the same sequence).
        dataset: Name.
        key: Partition key.
        files: Its files; none for an effect elsewhere.
        rows: Rows over all files.
        bytes: Bytes over all files.
        content: ``algorithm@version:rows:sum`` of the content, independent of row order and encoding; empty if unknown.
        schema: ``[[column, type], ...]`` in order; None when there are no files or it is unknown.
        created_ms: When it was published.
    """

    id: int
    dataset: str
    key: str
    files: tuple[File, ...]
    rows: int
    bytes: int
    content: str
    schema: tuple[tuple[str, str], ...] | None
    created_ms: int


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The immutable record of how a version came to be the head.

    Args:
        attempt: Number of the attempt: its identity and fencing token.
        run: Run id; empty for a source's.
        dataset: Name.
        key: Partition key.
        version: What the head showed from then on (an older one when the content had not changed).
        previous: What the head showed before; None when there was nothing.
        code: Fingerprint of the code that made it.
        declared_version: The author's explicit version, if any.
        inputs_digest: Digest of the pinned inputs (`planning.digest`).
        watermark_ms: Latest event time in the data, where the function says so.
        offsets: Positions in sources, where the function says so.
        started_ms: Start of the attempt.
        published_ms: When the head moved.
    """

    attempt: int
    run: str
    dataset: str
    key: str
    version: int
    previous: int | None
    code: str
    declared_version: str | None
    inputs_digest: int
    watermark_ms: int | None
    offsets: dict[str, int | str] | None
    started_ms: int
    published_ms: int
