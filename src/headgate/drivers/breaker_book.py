"""Circuit breakers on record: how they stand, and in the journal when each opened and closed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headgate.core.effects import SaveBreaker
from headgate.model.breaker import BreakerState

if TYPE_CHECKING:
    from collections.abc import Iterable

    from headgate.core.effects import Effect
    from headgate.model.breaker import BreakerRecord
    from headgate.store.store import Transaction


class BreakerBook:
    """Records how breakers stand.

    Args:
        known: How they stood when the coordinator began.
        author: Of the coordinator, for the journal.
    """

    def __init__(self, known: Iterable[BreakerRecord], *, author: str) -> None:
        self._open = {record.name for record in known if record.state is not BreakerState.CLOSED}
        self._author = author

    def record(self, tx: Transaction, effects: Iterable[Effect], now_ms: int) -> None:
        """Save how breakers stand after some effects."""
        changed = {effect.breaker.name: effect.breaker for effect in effects if isinstance(effect, SaveBreaker)}
        if not changed:
            return
        tx.save_breakers(list(changed.values()))
        for name, record in changed.items():
            is_open = record.state is not BreakerState.CLOSED
            if is_open == (name in self._open):
                continue
            self._open.symmetric_difference_update({name})
            reason = f"{record.failures:,} failures in a row" if is_open and record.failures else ""
            body: dict[str, object] = {"breaker": name}
            kind = "breaker.opened" if is_open else "breaker.closed"
            tx.journal(kind, author=self._author, run="", reason=reason, body=body, now_ms=now_ms)
