"""Texts that many rows share, kept once and meant by a number."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from headgate.errors import InternalError
from headgate.store.named_sql import statements

if TYPE_CHECKING:
    import sqlite3

Schema = tuple[tuple[str, str], ...]


class Interned:
    """The numbers of datasets, runs, schemas and sets of parameters, remembered between transactions.

    Args:
        connection: Where they are looked up and, but for runs, added: only inside a transaction.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._sql = statements()
        self._datasets: dict[str, int] = {}
        self._runs: dict[str, int] = {}
        self._schemas: dict[Schema, int] = {}
        self._parameters: dict[str, int] = {}

    def forget(self) -> None:
        """Forget everything: a transaction was rolled back, and its numbers with it."""
        self._datasets.clear()
        self._runs.clear()
        self._schemas.clear()
        self._parameters.clear()

    def dataset(self, name: str) -> int:
        """Return the number of a dataset, which is added if it is new."""
        number = self._datasets.get(name)
        if number is None:
            self._connection.execute(self._sql["add_dataset"], {"name": name})
            (number,) = self._connection.execute(self._sql["dataset_id"], {"name": name}).fetchone()
            self._datasets[name] = number
        return number

    def run(self, run: str) -> int:
        """Return the number of a run."""
        number = self._runs.get(run)
        if number is None:
            row = self._connection.execute(self._sql["run_number_and_state"], {"run": run}).fetchone()
            if row is None:
                raise InternalError(f"the state store has no run {run}")
            number = self._runs[run] = row[0]
        return number

    def parameters(self, body: str | None) -> int | None:
        """Return the number of a set of parameters, as JSON text, which is added if it is new; None for none."""
        if body is None:
            return None
        number = self._parameters.get(body)
        if number is None:
            self._connection.execute(self._sql["add_parameters"], {"body": body})
            (number,) = self._connection.execute(self._sql["parameters_id"], {"body": body}).fetchone()
            self._parameters[body] = number
        return number

    def schema(self, schema: Schema | None) -> int | None:
        """Return the number of a schema, which is added if it is new; None for none."""
        if schema is None:
            return None
        number = self._schemas.get(schema)
        if number is None:
            # Only here: who reads needs no OpenSSL.
            from hashlib import sha256

            body = json.dumps(schema, separators=(",", ":"), ensure_ascii=False)
            digest = sha256(body.encode()).hexdigest()
            self._connection.execute(self._sql["add_schema"], {"hash": digest, "body": body})
            (number,) = self._connection.execute(self._sql["schema_id"], {"hash": digest}).fetchone()
            self._schemas[schema] = number
        return number
