"""What rollbacks keep from being built while runs are under way."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headgate.model.guard_rail import Rule
from headgate.planning.verdict_codec import verdict_from_json
from headgate.store.rollback import held_by

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headgate.drivers.in_flight import InFlight
    from headgate.model.plan import StoredPlan
    from headgate.store.transaction import Transaction
    from headgate.worker.messages import Order


def without_held(tx: Transaction, prepared: Sequence[tuple[InFlight, Order]]) -> list[tuple[InFlight, Order]]:
    """Return attempts with their orders, where those on held partitions have a refusal.

    Without that they would be built and then not be published.
    """
    keys: dict[str, list[str]] = {}
    for flight, _ in prepared:
        keys.setdefault(flight.attempt.dataset, []).append(flight.attempt.key)
    held = {(name, key): run for name, wanted in keys.items() for key, run in tx.held(name, wanted).items()}
    if not held:
        return list(prepared)
    return [
        (flight._replace(refusal=held_by(held[place])), order)
        if (place := (flight.attempt.dataset, flight.attempt.key)) in held
        else (flight, order)
        for flight, order in prepared
    ]


def lifts_holds(stored: StoredPlan | None) -> bool:
    """Return whether somebody decided that a plan goes on in spite of holds."""
    findings = verdict_from_json(stored.verdict).findings if stored else ()
    return any(finding.rule is Rule.HELD and finding.is_overridden for finding in findings)
