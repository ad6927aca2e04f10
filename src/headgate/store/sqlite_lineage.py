"""What was made from what, in the embedded store; the contract is in `store.lineage`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from headgate.store.lineage import CodeInUse, Descent, Seen, Traced, Visibility
from headgate.store.sqlite_reads import SqliteReads
from headgate.store.sqlite_rows import array, files_from_text, parameters_of, version_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from headgate.model.version import Version


class SqliteLineage(SqliteReads):
    """Reads of lineage."""

    def made_from(self, versions: Iterable[int], *, depth: int | None = None) -> list[Descent]:
        """Return what versions were made from, transitively."""
        rows = self._rows("made_from", versions=array(versions), depth=depth)
        return [Descent(version, source, True) for version, source, _ in rows]

    def made_of(self, versions: Iterable[int], *, depth: int | None = None) -> list[Descent]:
        """Return what was made from versions, transitively."""
        rows = self._rows("made_of", versions=array(versions), depth=depth)
        return [Descent(version, source, bool(is_made)) for version, source, is_made in rows]

    def traced(self, versions: Iterable[int]) -> Iterator[Traced]:
        """Yield versions, by their identities, and how each was made."""
        for row in self._rows("traced", versions=array(versions)):
            found = Traced._make(row)
            yield found._replace(
                files=files_from_text(row[3]), parameters=parameters_of(row[10]), visibility=Visibility(row[12])
            )

    def seen(self, versions: Iterable[int]) -> Iterator[Seen]:
        """Yield versions, by their identities, and whether readers see each."""
        for version, dataset, key, visibility in self._rows("seen", versions=array(versions)):
            yield Seen(version, dataset, key, Visibility(visibility))

    def resting_on(self, versions: Iterable[int]) -> list[int]:
        """Return the versions that rest on some: one step down."""
        return [version for (version,) in self._rows("resting_on", versions=array(versions))]

    def resting_on_code(self, code: str, *, since_ms: int, until_ms: int) -> list[int]:
        """Return the versions whose content was last found by code of a fingerprint."""
        rows = self._rows("resting_on_code", code=code, since_ms=since_ms, until_ms=until_ms)
        return [version for (version,) in rows]

    def resting_on_run(self, run: str, *, since_ms: int, until_ms: int) -> list[int]:
        """Return the versions whose content was last found by a run."""
        rows = self._rows("resting_on_run", run=run, since_ms=since_ms, until_ms=until_ms)
        return [version for (version,) in rows]

    def codes_in_use(self, text: str) -> list[CodeInUse]:
        """Return code whose fingerprint begins with a text or whose declared version it is."""
        return [CodeInUse(*row) for row in self._rows("codes_in_use", text=text)]

    def source_versions(self, end: str) -> list[Version]:
        """Return the versions of sources of whose file the path ends with a text."""
        # As it stands in the column: the path, and behind it the quote that ends it.
        written = json.dumps(end, ensure_ascii=False)[1:]
        found = map(version_of, self._rows("source_versions", end=written))
        return [version for version in found if any(file.path.endswith(end) for file in version.files)]

    def source_paths(self) -> list[str]:
        """Return the paths of all files of sources that were ever recorded."""
        return [path for (path,) in self._rows("source_paths")]
