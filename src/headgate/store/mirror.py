"""What state stores know of mirrors: tables of other formats over the same files, which follow the heads."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from headgate.model.version import File


class HeadsNow(NamedTuple):
    """The ids of the versions that are heads of a dataset, and the newest journal entry, at one moment."""

    seq: int
    versions: frozenset[int]


class ShownVersion(NamedTuple):
    """What a mirror needs to know of a version."""

    id: int
    files: tuple[File, ...]
    content: str
    created_ms: int


class Unpacked(NamedTuple):
    """A file that a mirror may have of a version in a pack: its path relative to the data root, and what is in it."""

    path: str
    rows: int
    content: str


class Followed(NamedTuple):
    """How far a mirror has followed the journal.

    Args:
        dataset: Of which dataset.
        seq: The journal entry up to which it shows what the heads show.
        at_ms: When it last did; 0 for never.
        error: What keeps it from going on; empty for nothing.
        behind: Partitions whose heads have moved since.
    """

    dataset: str
    seq: int
    at_ms: int
    error: str
    behind: int


class MirrorReads(Protocol):
    """The part of `store.Store` that is about mirrors."""

    def heads_now(self, dataset: str) -> HeadsNow:
        """Return which versions are heads of a dataset."""
        ...

    def shown_versions(self, versions: Iterable[int]) -> list[ShownVersion]:
        """Return versions by their ids, in no order."""
        ...

    def unpacked(self, dataset: str) -> list[Unpacked]:
        """Return the files that the mirror of a dataset may have of versions in packs, in no order.

        Each was noted before it was written, and went if the table was taken down; one that is there is whole.
        """
        ...

    def has_mirror(self, dataset: str) -> bool:
        """Return whether there is a mirror of a dataset, as far as is noted."""
        ...

    def mirrors(self) -> list[Followed]:
        """Return how far each mirror is, by the names of datasets."""
        ...

    def stuck_mirrors(self) -> dict[str, str]:
        """Return what keeps mirrors from going on, by dataset; only of those that something does."""
        ...


class MirrorWrites(Protocol):
    """The part of `store.Transaction` that is about mirrors. None of it is journaled."""

    def begin_mirror(self, dataset: str) -> None:
        """Note that there is a mirror. Idempotent. Nothing is noted of a dataset that the store does not know.

        Post: as long as it has not reached an entry, no file goes that a head has left with that entry or later.
        """
        ...

    def mirror_reached(self, dataset: str, seq: int, *, now_ms: int) -> None:
        """Note that a mirror shows the heads as of a journal entry; nothing of one that was forgotten."""
        ...

    def mirror_failed(self, dataset: str, error: str) -> None:
        """Note what keeps a mirror from going on, empty for nothing; nothing of one that was forgotten."""
        ...

    def forget_mirror(self, dataset: str) -> None:
        """Forget that there is a mirror. Idempotent."""
        ...

    def add_unpacked(self, paths: Mapping[int, str]) -> None:
        """Note where a mirror keeps what versions have in packs as files of their own, before these are written.

        Post: such a file goes with the files of its version. Idempotent.

        Args:
            paths: Path relative to the data root, by version.
        """
        ...
