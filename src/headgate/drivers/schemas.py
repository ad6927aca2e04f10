"""The gate that every dataset has on its schema: what `schema=` does not allow is quarantined like what a gate blocks.

A result is compared with the head of its partition; one of a partition without a head with what its run has found of
the dataset, which is asked for once.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from msgspec import structs

from headgate.drivers.refusals import findings
from headgate.model.gate import Severity
from headgate.model.schema_diff import is_allowed, schema_diff
from headgate.store.schemas import SchemaOf
from headgate.worker.messages import GateResult, Staged

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from headgate.drivers.in_flight import InFlight
    from headgate.model.schema_diff import Schema, SchemaPolicy
    from headgate.store.transaction import Transaction
    from headgate.worker.messages import AttemptReport


class SchemaGate:
    """Judges the schemas of results, for all runs of a coordinator."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str], SchemaOf | None] = {}

    def judged(
        self, tx: Transaction, outcomes: Sequence[AttemptReport], in_flight: Mapping[int, InFlight]
    ) -> Sequence[AttemptReport]:
        """Return outcomes; those whose schema has changed too much, or worth a warning, have a gate more.

        Args:
            tx: The transaction that is about to publish them.
            outcomes: What came back.
            in_flight: What is in flight, by number.
        """
        staged = [
            (one, flight)
            for one in outcomes
            if isinstance(one, Staged) and one.schema is not None and (flight := in_flight.get(one.attempt))
        ]
        heads = _schemas_of_heads(tx, [flight for _, flight in staged if flight.replaces])
        objections: dict[int, GateResult] = {}
        for result, flight in staged:
            after, policy = tuple(result.schema or ()), flight.dataset.schema_policy
            before = heads.get(result.attempt)
            if before is None:
                found = self._of_dataset(tx, flight, result)
                objection = _objection(policy, found.schema, after, found.key) if found else None
            else:
                objection = _objection(policy, before, after, "")
            if objection is not None:
                objections[result.attempt] = objection
        if not objections:
            return outcomes
        return [
            structs.replace(one, gates=[*one.gates, objections[one.attempt]])
            if isinstance(one, Staged) and one.attempt in objections
            else one
            for one in outcomes
        ]

    def _of_dataset(self, tx: Transaction, flight: InFlight, result: Staged) -> SchemaOf | None:
        """Return what a run has found of a dataset; of a new one, the first result that can be published sets it."""
        place = (flight.attempt.run, flight.attempt.dataset)
        found = self._found.get(place)
        if found is None and place not in self._found:
            found = self._found[place] = tx.schema_before(flight.attempt.dataset, flight.attempt.run)
        if found is None and not any(one.refuses for one in findings(result.gates)):
            self._found[place] = SchemaOf(flight.attempt.key, tuple(result.schema or ()))
        return found


def _schemas_of_heads(tx: Transaction, flights: Sequence[InFlight]) -> dict[int, Schema]:
    """Return the schemas of the heads that attempts would replace, by the numbers of the attempts."""
    asked: dict[str, dict[str, int]] = {}
    for flight in flights:
        asked.setdefault(flight.attempt.dataset, {})[flight.attempt.key] = flight.attempt.id
    return {
        attempts[key]: schema
        for dataset, attempts in asked.items()
        for key, schema in tx.head_schemas(dataset, list(attempts)).items()
    }


def _objection(policy: SchemaPolicy, before: Schema, after: Schema, key: str) -> GateResult | None:
    """Return the gate that does not hold; None where a schema may follow another.

    Args:
        policy: How the schema may change.
        before: What it was.
        after: What it would be.
        key: The partition that it was of, if that is another one.
    """
    # All the hot path pays.
    if before == after:
        return None
    said = _said(policy, before, after)
    if said is None:
        return None
    severity, text = said
    return GateResult(f"schema({policy})", severity, False, f"beside {key}: {text}" if key else text)


@lru_cache(maxsize=256)
def _said(policy: SchemaPolicy, before: Schema, after: Schema) -> tuple[Severity, str] | None:
    difference = schema_diff(before, after)
    text = ", ".join(difference.sentences())
    if not is_allowed(policy, difference):
        return Severity.BLOCK, text
    return None if difference.is_additive else (Severity.WARN, text)
