"""Datasets and sources, and what they read."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from headgate.model.mapping import Mapping, Overlap
from headgate.model.schema_diff import SchemaPolicy

if TYPE_CHECKING:
    from headgate.model.gate import Gate
    from headgate.model.partitioning import Partitioning
    from headgate.model.policy import FailureMode


class Format(StrEnum):
    """How files of a dataset are encoded. In CSV_TEXT every column stays text; in CSV types are inferred."""

    PARQUET = "parquet"
    CSV = "csv"
    CSV_TEXT = "csv-text"
    JSONL = "jsonl"


class Mirror(StrEnum):
    """A table format in which the heads of a dataset are named once more, over the same files."""

    DELTA = "delta"


@dataclass(frozen=True, slots=True)
class Input:
    """What one parameter of a dataset's function reads.

    Args:
        dataset: Name of the upstream dataset or source.
        mapping: Which of its partitions a partition reads.
        allow_missing: Whether to go on when some of those partitions have no version.
    """

    dataset: str
    mapping: Mapping = field(default_factory=Overlap)
    allow_missing: bool = False


@dataclass(frozen=True, slots=True)
class Dataset:
    """A table that a function of the project makes, partition by partition.

    Args:
        name: Its name.
        partitioning: How it is cut.
        inputs: Parameter name of the function -> what it reads, in the order of the parameters.
        entry: The function as ``module:function``.
        code: Fingerprint of the function, of the project's functions that it calls, and of `version`.
        version: The version that the author declared, if any.
        is_async: Whether the function is `async def`.
        timeout_ms: Time limit of one attempt; None for none.
        description: First line of the function's docstring.
        declared_at: ``file:line`` of the declaration.
        pools: Slots that an attempt takes, by pool, as declared (see `project.policies` for what holds).
        concurrency: Attempts at a time, as declared; None for no bound.
        failure_modes: Ways in which the function is known to fail; the first that matches counts.
        batches_ms: How often at most progress inside an attempt is saved, for a function that yields batches; 0 for
            after every batch, None for a function that yields none.
        batch: Partitions that one attempt takes, at most.
        batch_bytes: What they may read together, by the forecast; None for any amount.
        partition_column: Column of the result that says which partition a row belongs to, for attempts that take
            several; None where nobody said.
        snapshot_only: Whether its inputs show only the present, so that past windows cannot be built.
        idempotent: Whether building a partition again does no harm outside of Headgate.
        gates: What must hold of a partition's rows before it is published.
        allow_empty: Whether a version without rows may replace one that has some.
        schema_policy: How its schema may change from version to version.
        mirror: As what its heads can be read by others, too.
    """

    name: str
    partitioning: Partitioning
    inputs: dict[str, Input]
    entry: str
    code: str
    version: str | None = None
    is_async: bool = False
    timeout_ms: int | None = None
    description: str = ""
    declared_at: str = ""
    pools: dict[str, int] = field(default_factory=dict)
    concurrency: int | None = None
    failure_modes: tuple[FailureMode, ...] = ()
    batches_ms: int | None = None
    batch: int = 1
    batch_bytes: int | None = None
    partition_column: str | None = None
    snapshot_only: bool = False
    idempotent: bool = True
    gates: tuple[Gate, ...] = ()
    allow_empty: bool = False
    schema_policy: SchemaPolicy = SchemaPolicy.ANY
    mirror: Mirror | None = None


@dataclass(frozen=True, slots=True)
class Source:
    """Data that arrives from outside as files, one for each partition.

    Args:
        name: Its name.
        partitioning: How it is cut.
        pattern: Path relative to the project, or URL, with ``{key}``, ``{static}`` or ``{start:%Y-%m-%d}`` in it.
        format: How the files are encoded.
        description: One line for people.
        declared_at: ``file:line`` of the declaration.
    """

    name: str
    partitioning: Partitioning
    pattern: str
    format: Format
    description: str = ""
    declared_at: str = ""
