"""What state stores tell of the schemas that were there before: nouns, and their contract."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headgate.model.schema_diff import Schema


class SchemaOf(NamedTuple):
    """The schema of a version of a partition."""

    key: str
    schema: Schema


class SchemaReads(Protocol):
    """The part of `store.Transaction` that is about schemas."""

    def head_schemas(self, dataset: str, keys: Sequence[str]) -> dict[str, Schema]:
        """Return the schemas of the heads of partitions, by key; only of those that have a head with a schema."""
        ...

    def schema_before(self, dataset: str, run: str) -> SchemaOf | None:
        """Return the schema that a run has found when it came to a dataset.

        That of the newest head that another run has made; without one that of the first version that this run has
        made, seen or staged. None if there is neither.

        Raises:
            InternalError: There is no such run.
        """
        ...
