"""What state stores know of lineage: what was made from what. The nouns, and their part of the contract.

Versions are meant by their identities here: one that a compaction holds again in other files is the version that it was
made as. A version was made by the attempt with its number, from the versions that this attempt had pinned. An attempt
that found the same content again made nothing; it *confirms* the version, with its own inputs.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from headgate.model.version import File, Parameters, Version


class Visibility(StrEnum):
    """Whether readers see a version.

    `head`: they do. `former`: they did. `rolled back`: they did until it was taken back. `staged`: they will when its
    run is published; `discarded`: that will not be. `quarantined`: gates have refused it.
    """

    HEAD = "head"
    FORMER = "former"
    ROLLED_BACK = "rolled back"
    STAGED = "staged"
    DISCARDED = "discarded"
    QUARANTINED = "quarantined"


class Descent(NamedTuple):
    """That a version was made from another, or, with `is_made` false, found again when it was read."""

    version: int
    source: int
    is_made: bool


class Traced(NamedTuple):
    """A version and how it was made.

    Args:
        version: Its identity.
        dataset: Name.
        key: Partition key.
        files: Its files, as it was made.
        rows: Rows of it; -1 if nobody has counted.
        bytes: Its bytes.
        made_ms: When it was recorded.
        run: Which made it; empty for a source's.
        code: Fingerprint of the code.
        declared_version: The author's explicit version, if any.
        parameters: What the attempt was given; None where nobody noted them.
        shown_as: The version that readers see of it now: another one after a compaction, None if they do not.
        visibility: Whether they do.
        confirmations: How many attempts found it again.
        confirmed_by: The run of the newest of them; None for none.
    """

    version: int
    dataset: str
    key: str
    files: tuple[File, ...]
    rows: int
    bytes: int
    made_ms: int
    run: str
    code: str
    declared_version: str | None
    parameters: Parameters | None
    shown_as: int | None
    visibility: Visibility
    confirmations: int
    confirmed_by: str | None


class Seen(NamedTuple):
    """A version by its identity, and whether readers see it."""

    version: int
    dataset: str
    key: str
    visibility: Visibility


class CodeInUse(NamedTuple):
    """Code that made versions of a dataset: how many checkpoints have it, and when the newest was published."""

    dataset: str
    code: str
    declared_version: str | None
    checkpoints: int
    last_ms: int


class LineageReads(Protocol):
    """What was made from what."""

    def made_from(self, versions: Iterable[int], *, depth: int | None = None) -> list[Descent]:
        """Return what versions were made from, transitively: each pair once, in no order.

        Args:
            versions: Identities; those that are not there have no inputs.
            depth: How many steps at most; all, if None.
        """
        ...

    def made_of(self, versions: Iterable[int], *, depth: int | None = None) -> list[Descent]:
        """Return what was made from versions, transitively: each pair once, in no order.

        With it comes what was found again when one of them was read, but not what was made from that, as it was made
        before.

        Args:
            versions: Identities.
            depth: How many steps at most; all, if None.
        """
        ...

    def traced(self, versions: Iterable[int]) -> Iterator[Traced]:
        """Yield versions, by their identities, and how each was made; in order, without those that are not there."""
        ...

    def seen(self, versions: Iterable[int]) -> Iterator[Seen]:
        """Yield versions, by their identities, and whether readers see each; in order, without those not there."""
        ...

    def resting_on(self, versions: Iterable[int]) -> list[int]:
        """Return the versions that rest on some: one step down, identities in no order.

        A version rests on what was pinned when its content was last found: by the checkpoint that its head has, else
        by the newest. Who found the same content again with other inputs has put it on these.
        """
        ...

    def resting_on_code(self, code: str, *, since_ms: int, until_ms: int) -> list[int]:
        """Return the versions whose content was last found by code of a fingerprint, in ``[since, until)``."""
        ...

    def resting_on_run(self, run: str, *, since_ms: int, until_ms: int) -> list[int]:
        """Return the versions whose content was last found by a run, in ``[since, until)``."""
        ...

    def codes_in_use(self, text: str) -> list[CodeInUse]:
        """Return code whose fingerprint begins with a text or whose declared version it is, the newest in use first."""
        ...

    def source_versions(self, end: str) -> list[Version]:
        """Return the versions of sources of whose file the path ends with a text, oldest first."""
        ...

    def source_paths(self) -> list[str]:
        """Return the paths of all files of sources that were ever recorded, in no order."""
        ...
