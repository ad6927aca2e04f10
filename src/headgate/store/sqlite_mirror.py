"""What mirrors read of the embedded store; the contract is in `store.mirror`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headgate.store.mirror import Followed, HeadsNow, ShownVersion, Unpacked
from headgate.store.sqlite_reads import SqliteReads
from headgate.store.sqlite_rows import array, files_from_text

if TYPE_CHECKING:
    from collections.abc import Iterable


class SqliteMirrors(SqliteReads):
    """Reads for mirrors."""

    def heads_now(self, dataset: str) -> HeadsNow:
        """Return which versions are heads of a dataset."""
        seq, versions = self._row("heads_now", dataset=dataset) or (0, None)
        return HeadsNow(seq, frozenset(map(int, versions.split(","))) if versions else frozenset())

    def shown_versions(self, versions: Iterable[int]) -> list[ShownVersion]:
        """Return versions by their ids."""
        rows = self._rows("shown_versions", versions=array(versions))
        return [ShownVersion(version, files_from_text(files), *rest) for version, files, *rest in rows]

    def unpacked(self, dataset: str) -> list[Unpacked]:
        """Return the files that the mirror of a dataset may have of versions in packs."""
        return [Unpacked(*row) for row in self._rows("unpacked", dataset=dataset)]

    def has_mirror(self, dataset: str) -> bool:
        """Return whether there is a mirror of a dataset."""
        return self._row("has_mirror", dataset=dataset) == (1,)

    def mirrors(self) -> list[Followed]:
        """Return how far each mirror is, by the names of datasets."""
        return [Followed(*row) for row in self._rows("mirrors")]

    def stuck_mirrors(self) -> dict[str, str]:
        """Return what keeps mirrors from going on, by dataset."""
        return dict(self._rows("stuck_mirrors"))
