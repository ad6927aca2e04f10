"""What state stores do for rollbacks: their part of the contract."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from headgate.model.run import ErrorClass, Failure

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from headgate.model.rollback import Aim, HeadMove, Hold, TakeBack
    from headgate.model.run import Run


def held_by(rollback: str) -> Failure:
    """Return the failure of an attempt on a partition that a rollback holds."""
    return Failure(
        ErrorClass.PERMANENT,
        f"the partition is held by rollback {rollback}",
        f"Once its cause is mended: headgate resolve {rollback} --reason TEXT",
    )


def input_taken_back(dataset: str, key: str) -> Failure:
    """Return the failure of an attempt whose input is not what readers see any more."""
    return Failure(ErrorClass.PERMANENT, f"its input {dataset}/{key} was rolled back meanwhile", "Plan again.")


class RollbackWrites(Protocol):
    """The part of `store.Transaction` that is about rollbacks."""

    def roll_back(self, run: Run, aim: Aim, shown: TakeBack) -> int:
        """Move heads back, all or none, as a run that has succeeded; return how many partitions are held.

        Post: the run, what it moved and one entry of the journal are recorded. What it moved is held, but for moves
        between versions of one content by a rollback of a compaction. An undo of a rollback that held something
        releases that and holds nothing.

        Args:
            run: The rollback, to be recorded.
            aim: What is taken back.
            shown: What `Store.take_back` said of it.

        Raises:
            ConflictError: It comes to something else by now.
        """
        ...

    def resolve(self, rollback: str, *, author: str, reason: str, now_ms: int) -> int:
        """Let what a rollback holds be built again; return how many partitions. Journaled if there are any."""
        ...

    def held(self, dataset: str, keys: Sequence[str]) -> dict[str, str]:
        """Return which of some partitions are held, each with the newest rollback that holds it."""
        ...

    def why_superseded(self, attempt: int) -> Failure:
        """Return why an attempt was superseded in this transaction."""
        ...


class RollbackReads(Protocol):
    """The part of `store.Store` that is about rollbacks."""

    def take_back(self, aim: Aim) -> TakeBack:
        """Return what a rollback would come to now. Changes nothing.

        Of a run: each partition that shows what it made goes to the newest state before that is good: not withdrawn by
        another rollback, not made by the run, and with downstream not made from what it made. Of partitions: to what
        they showed at the time, or to the version.

        Raises:
            ConflictError: The run has not ended.
            InternalError: There is no such run.
            UsageError: The partition has never shown the version.
        """
        ...

    def held(self, dataset: str) -> Iterator[tuple[str, str]]:
        """Yield the held partitions of a dataset, each with the newest rollback that holds it."""
        ...

    def holds(self) -> list[Hold]:
        """Return what is held, by rollback, the oldest first, and by dataset."""
        ...

    def tableless(self, versions: Iterable[int]) -> set[int]:
        """Return which of some versions were made without a table: their function returned None."""
        ...

    def head_moves(self, dataset: str, key: str | None, *, limit: int) -> list[HeadMove]:
        """Return how rollbacks moved heads of a dataset, or of one of its partitions, the newest first."""
        ...
