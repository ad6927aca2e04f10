"""What state stores do for runs that publish all of their partitions at once: nouns, and a part of the contract.

A run whose `Run.publication` says so makes versions and checkpoints as any other does, but what it publishes becomes a
*staged head*: its own tasks read it, nobody else sees it. In the end all its staged heads become heads, or none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from headgate.model.version import Version


class StagedRun(NamedTuple):
    """What is staged of a run that publishes together.

    Args:
        needs_approval: Whether somebody has to approve before it is published.
        published_ms: When it was published; None if it was not.
        partitions: How many staged heads it has: none once it was published or discarded.
    """

    needs_approval: bool
    published_ms: int | None
    partitions: int


class Conflict(NamedTuple):
    """A staged head that must not become the head.

    Args:
        dataset: Name.
        key: Partition key.
        previous: Version of the head when it was staged; None when there was none.
        head: Version of the head now.
        by: The run that published that; empty for none.
        held_by: The rollback that has held the partition since; empty if none has.
        withdrawn: What it was made from and a rollback has taken back since, as DATASET/KEY; empty for nothing.
        moved_by: The rollback that has put the head where it is since; empty if none has.
        has_moved: Whether the head is not what was there when it was staged; a compaction of that is.
    """

    dataset: str
    key: str
    previous: int | None
    head: int | None
    by: str
    held_by: str = ""
    withdrawn: str = ""
    moved_by: str = ""
    has_moved: bool = True

    @property
    def why(self) -> str:
        """Return why it must not, as what follows the name of the partition."""
        if self.held_by:
            return f"is held by rollback {self.held_by}"
        if self.withdrawn:
            return f"was made from {self.withdrawn}, which was rolled back since"
        if self.moved_by:
            shows = f"shows version {self.head} again" if self.head is not None else "has no version any more"
            return f"{shows}: rollback {self.moved_by} has moved it since"
        if self.head is None:
            return "has no version any more"
        return f"has another version since, of run {self.by}" if self.by else "has another version since"


class Change(NamedTuple):
    """What a run made of a partition: the version that it published or staged, and the one that was there before."""

    dataset: str
    key: str
    before: Version | None
    after: Version


class StagedWrites(Protocol):
    """The part of `store.Transaction` that is about staged runs."""

    def staged_or_heads(self, run: str, dataset: str, keys: Sequence[str]) -> list[Version | None]:
        """Return what tasks of a staged run read of partitions, in order: what it has staged, else the heads."""
        ...

    def publish_staged(self, run: str, *, author: str, reason: str, now_ms: int) -> list[Conflict]:
        """Make everything that a run has staged visible, or nothing of it.

        Post: without conflicts each of its staged heads is the head, which is recorded in `moved` and in one journal
        entry, and it has no staged heads any more; what was held in quarantine of them is dropped. With conflicts
        nothing has changed.

        Returns:
            What keeps it from being published, by dataset and key.

        Raises:
            ConflictError: The run was published before, or does not publish together.
        """
        ...

    def discard_staged(self, run: str) -> int:
        """Forget what a run has staged, and saved of batches; return of how many partitions it was staged.

        Idempotent. Not journaled.
        """
        ...


class StagedReads(Protocol):
    """The part of `store.Store` that is about staged runs."""

    def staged_run(self, run: str) -> StagedRun | None:
        """Return what is staged of a run; None for one that publishes each partition by itself."""
        ...

    def staged_runs(self) -> list[str]:
        """Return the ids of the runs that have something staged, the oldest first."""
        ...

    def staged_conflicts(self, run: str) -> list[Conflict]:
        """Return what would keep a staged run from being published now, by dataset and key."""
        ...

    def changes(self, run: str, dataset: str | None = None) -> Iterator[Change]:
        """Yield what a run has published or staged beside what was there before, by dataset and key."""
        ...
