"""What state stores do for results that gates have refused, and what they keep of audits: nouns, and their contract.

A result that is held in quarantine is staged and invisible; its files are nobody's garbage. Somebody releases it, which
publishes it, or drops it; or the same partition is made anew, and that takes its place.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from headgate.model.audit import GateFinding
    from headgate.model.run import Failure
    from headgate.store.records import Candidate, Published


class QuarantineState(StrEnum):
    """Where a quarantined result stands: kept for inspection, published after all, or thrown away."""

    HELD = "held"
    RELEASED = "released"
    DROPPED = "dropped"


HELD_STATES = frozenset({QuarantineState.HELD})


class Quarantined(NamedTuple):
    """A result that gates have refused.

    Args:
        candidate: What would have been published, with what the gates said.
        expects: Identity of the head when the attempt started; None when there was none.
        at_ms: When it was refused.
        state: Where it stands.
        decided_ms: When somebody released or dropped it; None while nobody has.
        author: Who did; empty while nobody has.
        reason: Why.
    """

    candidate: Candidate
    expects: int | None
    at_ms: int
    state: QuarantineState
    decided_ms: int | None
    author: str
    reason: str


class Audit(NamedTuple):
    """What gates said of a result that was published: how many held, and those that did not."""

    held: int
    failed: tuple[GateFinding, ...]


class QuarantineWrites(Protocol):
    """The part of `store.Transaction` that is about quarantine."""

    def quarantine(
        self, refused: Sequence[tuple[Candidate, Failure]], *, author: str, now_ms: int
    ) -> list[tuple[Candidate, Failure]]:
        """Keep what gates have refused, and let its attempts fail with the given failures.

        Post: the attempt is failed; nothing collects what it staged as long as it is held; what was saved of the
        batches of its task is forgotten, so that the next attempt begins anew. Nothing is visible. What older attempts
        of the same partitions have had in quarantine is dropped, unless other runs made it and this one publishes
        together. One journal entry for the call, and one for what was dropped. An attempt that does not run any more
        is fenced, and nothing of it is kept.

        Returns:
            Those that were fenced.
        """
        ...

    def release(self, attempt: int, *, author: str, reason: str, now_ms: int, renews: bool = False) -> Published:
        """Publish what is quarantined of an attempt after all: as `publish` does, and with the same consequences.

        Args:
            attempt: Its number.
            author: Who decides so.
            reason: Why.
            now_ms: UTC milliseconds.
            renews: As in `Candidate`.

        Returns:
            NEW or UNCHANGED.

        Raises:
            ConflictError: It is not held any more, or it may not replace the head, and why.
            InternalError: It was never quarantined.
        """
        ...

    def drop(self, attempt: int, *, author: str, reason: str, now_ms: int) -> None:
        """Give up what is quarantined of an attempt: what it staged is garbage from now on.

        Raises:
            ConflictError: It is not held any more.
            InternalError: It was never quarantined.
        """
        ...

    def released(self, run: str) -> list[tuple[str, str]]:
        """Return dataset and key of each task of a run whose quarantined result was released, in no order."""
        ...


class QuarantineReads(Protocol):
    """The part of `store.Store` that is about quarantine and audits."""

    def quarantined(
        self,
        *,
        attempt: int | None = None,
        run: str | None = None,
        dataset: str | None = None,
        key: str | None = None,
        states: frozenset[QuarantineState] | None = None,
        limit: int = 1_000_000,
    ) -> list[Quarantined]:
        """Return what gates have refused, newest first; of those only what fits everything that is given.

        Args:
            attempt: The number of one attempt.
            run: Id of a run.
            dataset: Name.
            key: Partition key.
            states: Where they stand.
            limit: How many at most.
        """
        ...

    def audits(self, attempts: Iterable[int]) -> dict[int, Audit]:
        """Return what gates said of what attempts have published; only of those that had gates."""
        ...

    def warnings(self, run: str) -> dict[str, int]:
        """Return how many results of a run were published that a gate had warned of, by dataset."""
        ...
