"""What is published of a dataset, or was at some time, for Python: `headgate.read`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from headgate.errors import UnavailableError, UsageError
from headgate.model.names import shown
from headgate.tables import layout
from headgate.tables.opened import Piece
from headgate.tables.verify import verify_bytes, verify_for_reading
from headgate.views.names import known_names
from headgate.views.reading import reading

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    import duckdb
    import pandas as pd
    import polars as pl
    import pyarrow as pa

    from headgate.model.version import File, Version
    from headgate.store.store import Store
    from headgate.tables.unified import Groups

AsOf = str | int | datetime
"""A time (text without a zone is UTC), a run (id or the beginning of one), or the number of a version."""
_HINT = "Look with: headgate verify"


@dataclass(frozen=True, slots=True)
class Table:
    """The content of partitions of a dataset, pinned: what is published later does not change it.

    Args:
        dataset: Its name.
        versions: The versions of its partitions, by key.
        empty: A file with the schema of the dataset, where there are no versions.
        root: The folder of the data.
    """

    dataset: str
    versions: tuple[Version, ...]
    empty: Piece
    root: Path

    @property
    def keys(self) -> tuple[str, ...]:
        """Return the keys of the partitions."""
        return tuple(version.key for version in self.versions)

    @property
    def rows(self) -> int:
        """Return how many rows there are."""
        return sum(version.rows for version in self.versions)

    def polars(self) -> pl.LazyFrame:
        """Return the rows as a Polars LazyFrame.

        Raises:
            UnavailableError: A data file is not there any more, or is damaged.
        """
        from headgate.tables import unified

        return unified.polars(self._checked()) if self.versions else unified.polars(self._nothing()).head(0)

    def arrow(self) -> pa.Table:
        """Return the rows as a pyarrow Table.

        Raises:
            UnavailableError: A data file is not there any more, or is damaged.
        """
        import pyarrow as pa

        from headgate.tables import unified

        try:
            return unified.arrow_table(self._groups()) if self.versions else unified.arrow_table(self._nothing())[:0]
        except (OSError, pa.ArrowException) as error:
            # Only now, since Arrow itself checks what it reads: which file it was.
            for version, file in self._files():
                for problem in verify_bytes(layout.resolve(self.root, file.path), file):
                    raise _damaged(version, problem) from error
            raise

    def duckdb(self, connection: duckdb.DuckDBPyConnection | None = None) -> duckdb.DuckDBPyRelation:
        """Return the rows as a relation of a connection of DuckDB; of the default one, so that SQL can name it.

        Raises:
            UnavailableError: A data file is not there any more, or is damaged.
        """
        import duckdb

        from headgate.tables import unified

        found = connection or duckdb.default_connection()
        return (
            unified.duckdb(self._checked(), found) if self.versions else unified.duckdb(self._nothing(), found).limit(0)
        )

    def pandas(self) -> pd.DataFrame:
        """Return the rows as a pandas DataFrame.

        Raises:
            UnavailableError: A data file is not there any more, or is damaged.
        """
        frame: pd.DataFrame = self.arrow().to_pandas()
        return frame

    def _checked(self) -> Groups:
        """Return the files likewise, for libraries that do not look at checksums of pages."""
        for version, file in self._files():
            for problem in verify_for_reading(layout.resolve(self.root, file.path), file):
                raise _damaged(version, problem)
        return self._groups()

    def _files(self) -> Iterable[tuple[Version, File]]:
        """Return each file once, with the version that it belongs to, or one of those in a pack."""
        return {file.path: (version, file) for version in self.versions for file in version.files}.values()

    def _groups(self) -> Groups:
        """Return the files by schema, that of the newest version first."""
        groups: dict[object, list[Piece]] = {}
        newest = max(self.versions, key=lambda version: version.id)
        groups[newest.schema] = []
        for version in self.versions:
            groups.setdefault(version.schema, []).extend(_pieces(version, self.root))
        return tuple(tuple(group) for group in groups.values())

    def _nothing(self) -> Groups:
        return ((self.empty,),)


def read(
    dataset: str,
    *,
    start: str | None = None,
    end: str | None = None,
    keys: Collection[str] | None = None,
    as_of: AsOf | None = None,
    project: str | Path = ".",
) -> Table:
    """Read what is published of a dataset, or what was at some time. Nothing is read before it is asked for.

    Versions of different schemas give one frame: the columns of the newest first, null where a version lacks one;
    numbers widen, and what fits nothing else becomes text.

    Args:
        dataset: Its name.
        start: Only windows that end after this local date or datetime of the dataset's zone.
        end: Only windows that begin before this one.
        keys: Only these partitions; all of them must have been published.
        as_of: As it was then: a time (`datetime`, or text; UTC if it does not say otherwise), at the end of a run (its
            id), or when a version (its number) became visible.
        project: The folder of the project.

    Raises:
        UsageError: There is no such project, dataset, partition, run, version or time.
        UnavailableError: A data file is missing or has another size than when it was published.
    """
    with reading(Path(project)) as (places, store):
        until_ms = None if as_of is None else moment(store, as_of)
        found = {version.key: version for version in visible(store, dataset, until_ms)}
        pattern = next(iter(found.values()), None) or next(store.heads(dataset), None)
        if pattern is None:
            published = [name for name in store.datasets() if any(v.schema for v in store.heads(name))]
            raise not_published(store, dataset, published)
        if pattern.schema is None:
            raise UsageError(f"{dataset} has no tables to read: it is a source, or what it does lies elsewhere")
    wanted = set(found) if keys is None else _named(dataset, keys, found)
    if start is not None or end is not None:
        wanted &= _in_range(Path(project), dataset, start, end)
    chosen = tuple(found[key] for key in sorted(wanted))
    for version in chosen:
        _require(version, places.data)
    return Table(dataset, chosen, _pieces(pattern, places.data)[0], places.data)


def not_published(store: Store, dataset: str, published: Iterable[str]) -> UsageError:
    """Return the error that says why there is nothing to read under a name, and what there is.

    Args:
        store: The state store.
        dataset: The name.
        published: The names under which there is something.
    """
    # Without a head the newest move is one that took the last of them away.
    taken_back = store.head_moves(dataset, None, limit=1)
    if taken_back and not any(True for _ in store.heads(dataset)):
        run = taken_back[0].run
        return UsageError(
            f"nothing of {dataset} is published any more: rollback {run} took it back",
            hint=f"`headgate runs show {run}` says what and why; as_of, or --as-of, reads what was there before.",
        )
    return UsageError(
        f"nothing is published under the name {shown(dataset)}",
        hint=known_names(dataset, published) or "Nothing is published yet: run `headgate backfill`.",
    )


def visible(store: Store, dataset: str, until_ms: int | None) -> Sequence[Version]:
    """Return the versions of a dataset that readers see now, or saw at a time.

    Raises:
        UnavailableError: Vacuum has removed the files of one.
    """
    if until_ms is None:
        return list(store.heads(dataset))
    versions = []
    for version, is_removed in store.heads_as_of(dataset, until_ms):
        if is_removed:
            raise UnavailableError(
                f"version {version.id} of {dataset} {version.key} is not there any more: vacuum has removed its files",
                hint="Read a later time, and keep versions for longer: headgate vacuum --keep.",
            )
        versions.append(version)
    return versions


def moment(store: Store, as_of: AsOf) -> int:
    """Return the time that somebody means, in UTC milliseconds.

    Raises:
        UsageError: There is no such time, run or version.
    """
    from headgate.drivers.rollback import instant

    if isinstance(as_of, datetime):
        at = as_of if as_of.tzinfo else as_of.replace(tzinfo=UTC)
        return int(at.timestamp() * 1000)
    if isinstance(as_of, int):
        found = store.shown_since(as_of)
        if found is None:
            raise UsageError(
                f"readers have never seen a version {as_of}", hint="headgate history DATASET KEY lists them."
            )
        return found
    if not isinstance(as_of, str):
        raise UsageError(f"as_of takes a time, a run or a version, got {type(as_of).__name__}")
    return instant(store, as_of)


def _named(dataset: str, keys: Collection[str], found: Collection[str]) -> set[str]:
    """Return the keys that are asked for one by one."""
    if isinstance(keys, str):
        raise UsageError(f"keys takes several keys, got the text {shown(keys)}", hint=f"Write keys=[{keys!r}].")
    missing = sorted(set(keys) - set(found))
    if missing:
        raise UsageError(f"{dataset} has no partition {shown(missing[0])}", hint=known_names(missing[0], found))
    return set(keys)


def _in_range(project: Path, dataset: str, start: str | None, end: str | None) -> set[str]:
    """Return the keys of the windows in a range, which only the project's definitions know."""
    import numpy as np

    from headgate.drivers.clock import now_ms
    from headgate.model.plan import Request
    from headgate.planning.scope import mask_of_range
    from headgate.project.load import load

    definitions = load(project)
    declared = definitions.datasets.get(dataset)
    if declared is None:
        raise UsageError(
            f"the project does not declare {dataset} any more, so that start and end say nothing",
            hint="Leave them out, and filter the rows.",
        )
    grid = declared.partitioning.grid(now_ms())
    mask = mask_of_range(grid, Request(start=start, end=end), called=("start", "end"))
    return {grid.key(index) for index in np.flatnonzero(mask).tolist()}


def _pieces(version: Version, root: Path) -> list[Piece]:
    return [Piece(str(layout.resolve(root, file.path)), file.row_group) for file in version.files]


def _require(version: Version, root: Path) -> None:
    """Raise if a file is not there with the size that it had when it was published."""
    for file in version.files:
        path = layout.resolve(root, file.path)
        try:
            size = path.stat().st_size
        except OSError as error:
            raise _damaged(version, f"{path} cannot be read: {error.strerror}") from None
        if size != file.bytes:
            raise _damaged(version, f"{path} has {size} bytes instead of {file.bytes}")


def _damaged(version: Version, what: str) -> UnavailableError:
    return UnavailableError(f"the data of {version.dataset}/{version.key} is damaged: {what}", hint=_HINT)
