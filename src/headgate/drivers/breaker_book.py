"""Circuit breakers on record: how they stand, and in the journal when each opened, opened again and closed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headgate.core.effects import SaveBreaker
from headgate.model.breaker import BreakerState

if TYPE_CHECKING:
    from collections.abc import Iterable

    from headgate.core.effects import Effect
    from headgate.model.breaker import BreakerRecord
    from headgate.store.transaction import Transaction


class BreakerBook:
    """Records how breakers stand.

    Args:
        known: How they stood when the coordinator began.
        author: Of the coordinator, for the journal.
    """

    def __init__(self, known: Iterable[BreakerRecord], *, author: str) -> None:
        self._last = {record.name: record for record in known}
        self._author = author

    def record(self, tx: Transaction, effects: Iterable[Effect], now_ms: int) -> None:
        """Save how breakers stand after some effects."""
        changed = {effect.breaker.name: effect.breaker for effect in effects if isinstance(effect, SaveBreaker)}
        if not changed:
            return
        tx.save_breakers(list(changed.values()))
        for effect in effects:
            if isinstance(effect, SaveBreaker):
                self._tell(tx, effect.breaker, now_ms)

    def _tell(self, tx: Transaction, record: BreakerRecord, now_ms: int) -> None:
        """Journal what has become of a breaker; that it lets a probe through is not worth an entry."""
        before = self._last.get(record.name)
        self._last[record.name] = record
        was = before.state if before else BreakerState.CLOSED
        body: dict[str, object] = {"breaker": record.name}
        reason = ""
        match record.state:
            case BreakerState.HALF_OPEN:
                return
            case BreakerState.CLOSED:
                if was is BreakerState.CLOSED:
                    return
                kind = "breaker.closed"
            case BreakerState.OPEN:
                kind = "breaker.opened" if was is BreakerState.CLOSED else "breaker.reopened"
                body["for_s"] = round((record.until_ms - now_ms) / 1000)
                if was is BreakerState.HALF_OPEN:
                    reason = "its probe did not succeed"
                elif was is BreakerState.CLOSED and record.failures:
                    reason = f"{record.failures:,} {'failure' if record.failures == 1 else 'failures'} in a row"
        tx.journal(kind, author=self._author, run="", reason=reason, body=body, now_ms=now_ms)
