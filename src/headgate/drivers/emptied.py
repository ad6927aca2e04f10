"""The gate that every dataset has: no partition that has rows becomes empty without a word.

Whether it has rows is asked here, when a table without any has come back: hardly one ever does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import structs

from headgate.model.gate import Severity
from headgate.worker.messages import GateResult, Staged

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from headgate.drivers.in_flight import InFlight
    from headgate.store.transaction import Transaction
    from headgate.worker.messages import AttemptReport

NOT_EMPTY = "not_empty"


def with_not_empty(
    tx: Transaction, outcomes: Sequence[AttemptReport], in_flight: Mapping[int, InFlight]
) -> Sequence[AttemptReport]:
    """Return outcomes; those without rows that would replace some have a gate more, which does not hold.

    Args:
        tx: The transaction that is about to publish them.
        outcomes: What came back.
        in_flight: What is in flight, by number.
    """
    asked: dict[str, dict[str, int]] = {}
    for one in outcomes:
        if not isinstance(one, Staged) or one.rows or (flight := in_flight.get(one.attempt)) is None:
            continue
        # An effect elsewhere has no rows either, and never had.
        if (one.files or flight.replaces) and not flight.dataset.allow_empty:
            asked.setdefault(flight.attempt.dataset, {})[flight.attempt.key] = one.attempt
    if not asked:
        return outcomes
    before = {
        attempt: head.rows
        for dataset, keys in asked.items()
        for attempt, head in zip(keys.values(), tx.heads(dataset, list(keys)), strict=True)
        if head is not None and head.rows > 0
    }
    return [
        _refused(one, before[one.attempt]) if isinstance(one, Staged) and one.attempt in before else one
        for one in outcomes
    ]


def _refused(result: Staged, before: int) -> Staged:
    text = f"no rows, where readers see {before:,}: declare allow_empty=True if that can be right"
    return structs.replace(result, gates=[*result.gates, GateResult(NOT_EMPTY, Severity.BLOCK, False, text)])
