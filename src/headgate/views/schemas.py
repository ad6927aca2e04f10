"""What is different between the schemas of two versions, as it is shown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from headgate.model.schema_diff import schema_diff

if TYPE_CHECKING:
    from headgate.model.version import Version


@dataclass(frozen=True, slots=True)
class Column:
    """A column and its type."""

    name: str
    kind: str


@dataclass(frozen=True, slots=True)
class RenamedColumn:
    """A column that looks renamed; its type stayed."""

    before: str
    after: str
    kind: str


@dataclass(frozen=True, slots=True)
class RetypedColumn:
    """A column that has another type."""

    name: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class SchemaChange:
    """How the schema of a version differs from that of one before.

    Args:
        beside: The version before.
        beside_key: Its partition: the same, or another one of the dataset where a version is the first of its own.
        text: It in words, one for each column.
        added: Columns that came.
        removed: Columns that went.
        renamed: Columns that look renamed.
        retyped: Columns that have another type.
        is_reordered: Whether the columns that stayed stand in another order.
    """

    beside: int
    beside_key: str
    text: tuple[str, ...]
    added: tuple[Column, ...]
    removed: tuple[Column, ...]
    renamed: tuple[RenamedColumn, ...]
    retyped: tuple[RetypedColumn, ...]
    is_reordered: bool


def schema_change(before: Version | None, after: Version | None) -> SchemaChange | None:
    """Return what is different; None where nothing is, or one of them is not there or has no schema."""
    if before is None or after is None or before.schema is None or after.schema is None:
        return None
    if before.schema == after.schema:
        return None
    found = schema_diff(before.schema, after.schema)
    return SchemaChange(
        before.id,
        before.key,
        tuple(found.sentences()) or ("the columns are in another order",),
        tuple(Column(*one) for one in found.added),
        tuple(Column(*one) for one in found.removed),
        tuple(RenamedColumn(*one) for one in found.renamed),
        tuple(RetypedColumn(*one) for one in found.retyped),
        found.is_reordered,
    )
