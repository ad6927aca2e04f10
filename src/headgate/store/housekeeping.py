"""What state stores do for housekeeping: which versions there are, which nobody needs, and which files are going.

A file goes in three steps, so that a kill between any two of them loses nothing and can be made good by doing it again:
one transaction marks the versions and writes down the paths; the paths are unlinked; another forgets them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from headgate.model.version import Checkpoint, Version


class Keep(NamedTuple):
    """Which versions stay, beside those that something else needs.

    Args:
        since_ms: Those that readers saw at this time or later.
        versions: The newest so many of each partition that readers have ever seen. Versions that hold the same content
            in other files are one, and only the newest of them counts.
    """

    since_ms: int
    versions: int


class KeptVersion(NamedTuple):
    """A version whose files are kept, and whether it is the head of its partition."""

    version: Version
    is_head: bool


class Removable(NamedTuple):
    """A version that nobody needs, and the files that nobody needs without it, relative to the data root."""

    version: int
    dataset: str
    key: str
    bytes: int
    paths: tuple[str, ...]


class HousekeepingReads(Protocol):
    """The part of `store.Store` that is about housekeeping."""

    def kept_versions(self, dataset: str, *, key: str | None = None, heads_only: bool = False) -> Iterator[KeptVersion]:
        """Yield the versions of a dataset, or of one partition, whose files are kept, newest first.

        Those without files are among them; those of a source are not: its files are not Headgate's.
        """
        ...

    def held_keys(self, dataset: str) -> set[str]:
        """Return the partitions of a dataset that a rollback holds."""
        ...

    def removable(self, keep: Keep, first: int, last: int) -> list[Removable]:
        """Return the versions with numbers from first to last, both included, that nobody needs.

        Needed are: heads; what `keep` names; what was a head when the oldest running attempt started, or later; what a
        staged run that is not decided has staged; what a quarantined result that is held was made from; what a mirror
        that lags still shows. Those in packs are left out: `removable_packed` has them.
        """
        ...

    def removable_packed(self, keep: Keep) -> list[Removable]:
        """Return the versions in packs of which nobody needs any version."""
        ...

    def needed_paths(self) -> set[str]:
        """Return the paths of all files that something refers to, relative to the data root.

        Files of versions that are kept, of saved batches and of results in quarantine; what attempts that are not
        collected may have staged; what is doomed.
        """
        ...

    def stage_folders(self, attempts: Iterable[int]) -> dict[int, str]:
        """Return the folder that each attempt stages in, ``DATASET/RUN``; none for one that was never recorded."""
        ...

    def doomed(self) -> list[str]:
        """Return the paths that are yet to be unlinked."""
        ...

    def resting_folders(self, folders: Iterable[str]) -> list[str]:
        """Return which of some folders ``DATASET/RUN`` belong to runs that nobody has in hand; in no order.

        Others than those of a run and a dataset that were recorded are not among them.
        """
        ...


class HousekeepingWrites(Protocol):
    """The part of `store.Transaction` that is about housekeeping."""

    def doom(
        self, keep: Keep, ids: tuple[int, int] | None, *, author: str, reason: str, now_ms: int
    ) -> list[Removable]:
        """Mark the versions that nobody needs, as they are at this moment, as removed; write down their paths.

        Post: nobody gets these versions for a head again. One journal entry for the call, if there was any.

        Args:
            keep: As for `Store.removable`.
            ids: The first and the last number of the versions to look at; None for those in packs.
            author: Who wants it.
            reason: Why.
            now_ms: UTC milliseconds.
        """
        ...

    def head_checkpoints(self, dataset: str, keys: Sequence[str]) -> dict[str, Checkpoint]:
        """Return the checkpoints that the heads of partitions rest on, by key; of those that have a head."""
        ...

    def pinned(self, checkpoint: int) -> tuple[int, ...]:
        """Return the numbers of the versions that a checkpoint pinned as inputs, ascending."""
        ...

    def resting_folders(self, folders: Iterable[str]) -> list[str]:
        """Return the same as `Store.resting_folders`, as it stays until the end of the transaction.

        Whoever stages makes the folder after the transaction in which the run, or its attempt, has begun.
        """
        ...

    def forget_doomed(self, paths: Iterable[str]) -> None:
        """Forget paths that are unlinked. Idempotent."""
        ...
