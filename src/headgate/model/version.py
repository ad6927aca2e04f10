"""Versions of partitions and the checkpoints that record them."""

from __future__ import annotations

from dataclasses import dataclass

Parameters = dict[str, str | int | float | bool]
"""Values of `[parameters]` in headgate.toml."""


@dataclass(frozen=True, slots=True)
class File:
    """One immutable file.

    Args:
        path: Relative to the data root; for a source as its pattern gives it, or a URL.
        rows: Rows in it; -1 when nobody has counted (files of sources).
        bytes: Its size.
        hash: ``algorithm:hex`` of its bytes; for a URL its ETag or similar, as ``etag:...``.
        row_group: Which row group of it is meant; None for the whole file. `rows` counts what is meant; `bytes` and
            `hash` are those of the whole file.
    """

    path: str
    rows: int
    bytes: int
    hash: str
    row_group: int | None = None


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
        origin: The version whose content this one holds again in other files (a compaction); None for its own.
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
    origin: int | None = None

    @property
    def identity(self) -> int:
        """Return the number of its content: planning and compare-and-swap know versions by this, files by `id`."""
        return self.id if self.origin is None else self.origin


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
        parameters: The `[parameters]` of headgate.toml that the attempt was given; None where nobody noted them.
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
    parameters: Parameters | None = None
