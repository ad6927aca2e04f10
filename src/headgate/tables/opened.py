"""Opens data files as what each library has, whatever they are: whole files, or row groups of packs.

A pack holds many partitions, one in each row group, so whoever opens a file by its path alone may read other
partitions' rows as well. Everything that reads data files goes through here.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import accumulate
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    import polars as pl
    import pyarrow as pa
    import pyarrow.parquet as pq

BATCH_ROWS = 65_536
ROW_NUMBER = "file_row_number"
"""DuckDB's virtual column. A table that has a column of this name cannot be packed."""


class Piece(NamedTuple):
    """A data file, or one row group of it.

    Args:
        path: Absolute path.
        row_group: Which row group; None for the whole file.
    """

    path: str
    row_group: int | None = None


def arrow(piece: Piece, source: str | pa.NativeFile | None = None) -> pa.Table:
    """Return the rows as a pyarrow Table.

    Args:
        piece: What to read.
        source: Where its bytes are, if not at its path.

    Raises:
        OSError: It cannot be read, or a page is not what was written.
        pa.ArrowException: It is no Parquet, or damaged.
    """
    with _parquet(piece.path if source is None else source) as file:
        if piece.row_group is None:
            return file.read(use_threads=False)
        return file.read_row_group(piece.row_group, use_threads=False)


def arrow_batches(piece: Piece, rows: int = BATCH_ROWS) -> Iterator[pa.RecordBatch]:
    """Yield the rows in bounded memory. Raises what `arrow` does."""
    groups = None if piece.row_group is None else [piece.row_group]
    with _parquet(piece.path) as file:
        yield from file.iter_batches(batch_size=rows, row_groups=groups, use_threads=False)


def arrow_schema(piece: Piece) -> pa.Schema:
    """Return the schema of the rows. Raises what `arrow` does."""
    with _parquet(piece.path) as file:
        return file.schema_arrow


def polars_scan(piece: Piece) -> pl.LazyFrame:
    """Return the rows as a LazyFrame, which reads only the row group that is meant."""
    import polars as pl

    frame = pl.scan_parquet(piece.path, glob=False, hive_partitioning=False)
    if piece.row_group is None:
        return frame
    first, stop = row_range(piece.path, piece.row_group)
    return frame.slice(first, stop - first)


def duckdb_select(pieces: Iterable[Piece], *, union_by_name: bool) -> str:
    """Return a SELECT over the rows of files, for DuckDB.

    Args:
        pieces: What to read; at least one.
        union_by_name: Whether columns of files belong together by name. Looking into every file for its columns
            takes long, so it is for files that differ.
    """
    whole: dict[str, None] = {}
    packs: dict[str, dict[int, None]] = {}
    for piece in pieces:
        if piece.row_group is None:
            whole[piece.path] = None
        else:
            packs.setdefault(piece.path, {})[piece.row_group] = None
    selects: list[str] = []
    for path, groups in packs.items():
        if len(groups) == group_count(path):
            whole[path] = None
        else:
            wanted = " OR ".join(f"{ROW_NUMBER} BETWEEN {a} AND {b - 1}" for a, b in _ranges(path, sorted(groups)))
            selects.append(f"{_read([path], union_by_name=False)} WHERE {wanted}")
    if whole:
        selects.insert(0, _read(list(whole), union_by_name=union_by_name))
    return " UNION ALL BY NAME ".join(f"({select})" for select in selects) if len(selects) > 1 else selects[0]


def row_range(path: str, row_group: int) -> tuple[int, int]:
    """Return which rows of a file are those of a row group, half-open. Raises what `arrow` does."""
    bounds = _bounds(path)
    if row_group + 1 >= len(bounds):
        raise OSError(f"{path} has no row group {row_group}")
    return bounds[row_group], bounds[row_group + 1]


def group_count(path: str) -> int:
    """Return how many row groups a file has. Raises what `arrow` does."""
    return len(_bounds(path)) - 1


def group_bytes(path: str, row_group: int) -> int:
    """Return how many bytes of a file are the columns of a row group. Raises what `arrow` does."""
    return _group_bytes(path)[row_group]


def _parquet(source: str | pa.NativeFile) -> pq.ParquetFile:
    import pyarrow.parquet as pq

    # Of files without checksums of pages it makes no difference.
    return pq.ParquetFile(source, pre_buffer=False, page_checksum_verification=True)


def _read(paths: Sequence[str], *, union_by_name: bool) -> str:
    # A file that is there is taken by its name, whatever signs of patterns are in it.
    quoted = ", ".join("'" + path.replace("'", "''") + "'" for path in paths)
    options = f"union_by_name = {union_by_name}, hive_partitioning = false"
    return f"SELECT * FROM read_parquet([{quoted}], {options})"  # noqa: S608


def _ranges(path: str, groups: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Yield the rows of row groups, those of neighbours together, but for groups without rows."""
    first = stop = -1
    for a, b in (row_range(path, group) for group in groups):
        if a != stop:
            if stop > first:
                yield first, stop
            first = a
        stop = b
    if stop > first:
        yield first, stop


# A data file never changes, and nothing else ever gets its path.
@lru_cache(maxsize=256)
def _bounds(path: str) -> tuple[int, ...]:
    with _parquet(path) as file:
        meta = file.metadata
        return tuple(accumulate((meta.row_group(n).num_rows for n in range(meta.num_row_groups)), initial=0))


@lru_cache(maxsize=256)
def _group_bytes(path: str) -> tuple[int, ...]:
    with _parquet(path) as file:
        groups = [file.metadata.row_group(n) for n in range(file.metadata.num_row_groups)]
        return tuple(sum(g.column(n).total_compressed_size for n in range(g.num_columns)) for g in groups)
