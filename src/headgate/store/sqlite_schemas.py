"""The schemas that were there before, in the embedded store; the contract is in `store.schemas`."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from headgate.store.schemas import SchemaOf
from headgate.store.sqlite_publishing import Publishing
from headgate.store.sqlite_rows import array, schema_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headgate.model.schema_diff import Schema


class Schemas(Publishing):
    """Reads of schemas, inside the caller's transaction."""

    def head_schemas(self, dataset: str, keys: Sequence[str]) -> dict[str, Schema]:
        """Return the schemas of the heads of partitions, by key; only of those that have a head with a schema."""
        parameters = {"dataset": self._interned.dataset(dataset), "keys": array(keys)}
        return {key: _schema(body) for key, body in self._connection.execute(self._sql["head_schemas"], parameters)}

    def schema_before(self, dataset: str, run: str) -> SchemaOf | None:
        """Return the schema that a run has found when it came to a dataset."""
        parameters = {"dataset": self._interned.dataset(dataset), "run": self._interned.run(run)}
        for statement in ("newest_schema_of_others", "first_schema_of_run"):
            row = self._connection.execute(self._sql[statement], parameters).fetchone()
            if row is not None:
                return SchemaOf(row[0], _schema(row[1]))
        return None


@lru_cache(maxsize=256)
def _schema(body: str) -> Schema:
    return schema_of(body) or ()
