"""Input files as frames of each library; several files are one table, in the order of their keys.

Small Parquet files are read by pyarrow and kept for who reads them next, large ones by the library that was asked for.
What is read whole and is not Headgate's own is hashed first: a kept table is what its pin says.
CSV and JSON lines are always read by Polars, so that types do not depend on the annotation: inferred over whole files
(`csv-text`: not at all), never dates, empty fields null. Files may differ in columns:
what one lacks is null; numbers widen, and what fits nothing else becomes text.
"""

from __future__ import annotations

import gzip
import hashlib
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from headgate.model.run import ErrorClass
from headgate.tables.opened import Piece, duckdb_select, group_bytes, polars_scan
from headgate.tables.opened import arrow as opened_arrow
from headgate.tables.recent import SMALL_BYTES, Recent, recent
from headgate.worker.failures import AttemptError, text_of
from headgate.worker.pinned import check_content, check_digest, is_hashed, look

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import duckdb as duckdb_
    import pandas as pd
    import polars as pl
    import pyarrow as pa

    from headgate.worker.inputs import InputFiles
    from headgate.worker.messages import FilePin

_GZIP_MAGIC = b"\x1f\x8b"

_recent_frames: Recent[pl.DataFrame] = Recent()
"""Tables as Polars holds them: it copies texts, and a trailing window reads the same files again and again."""


def polars_lazy(files: InputFiles) -> pl.LazyFrame:
    """Return the rows as a LazyFrame: large Parquet files are scanned, everything else is read at once."""
    import polars as pl

    if files.format != "parquet":
        return _read_texts(files).lazy()
    frame = _small_frame(files)
    if frame is not None:
        return frame.lazy()
    _check_whole(files)
    scans = [polars_scan(piece) for piece in pieces(files)]
    schemas = []
    for path, scan in zip(files.paths, scans, strict=True):
        with _reading(path, files.format):
            schemas.append(scan.collect_schema())
    if len(scans) == 1:
        return scans[0]
    if all(schema == schemas[0] for schema in schemas):
        if any(file.row_group is not None for file in files.files):
            return pl.concat(scans)
        return pl.scan_parquet(list(files.paths), glob=False, hive_partitioning=False)
    with _reading(f"{files.dataset}: its files together", files.format):
        return pl.concat(scans, how="diagonal_relaxed")


def polars(files: InputFiles) -> pl.DataFrame:
    """Return the rows as a DataFrame."""
    if files.format != "parquet":
        return _read_texts(files)
    frame = _small_frame(files)
    if frame is not None:
        return frame
    scan = polars_lazy(files)
    with _reading(f"{files.dataset}: its files together", files.format):
        return scan.collect()


def arrow(files: InputFiles) -> pa.Table:
    """Return the rows as a pyarrow Table."""
    if files.format != "parquet":
        return _read_texts(files).to_arrow()
    table = _small(files)
    if table is not None:
        return table
    tables = [_read_parquet(file, immutable=files.immutable) for file in files.files]
    with _reading(f"{files.dataset}: its files together", files.format):
        return _together(tables)


def duckdb(files: InputFiles) -> duckdb_.DuckDBPyRelation:
    """Return the rows as a relation of the default connection, so that `duckdb.sql` can name it."""
    import duckdb

    if files.format != "parquet":
        return duckdb.from_arrow(_read_texts(files).to_arrow())
    table = _small(files)
    if table is not None:
        return duckdb.from_arrow(table)
    _check_whole(files)
    with _reading(", ".join(files.paths[:3]), files.format):
        return duckdb.default_connection().sql(duckdb_select(pieces(files), union_by_name=True))


def pandas(files: InputFiles) -> pd.DataFrame:
    """Return the rows as a pandas DataFrame."""
    frame: pd.DataFrame = arrow(files).to_pandas()
    return frame


def columns(files: InputFiles, names: Sequence[str]) -> pl.DataFrame:
    """Return some columns of small files of one schema: making Polars' own of all takes as long as most gates."""
    import polars as pl

    # As a stream it takes half as long as a table does.
    return pl.DataFrame(arrow(files).select(names).to_reader())


def is_small(files: InputFiles) -> bool:
    """Return whether Parquet files are read whole: those of up to `SMALL_BYTES` together."""
    if any(file.bytes < 0 for file in files.files):
        return False
    return sum(map(_read_bytes_of, files.files)) <= SMALL_BYTES


def _check_whole(files: InputFiles) -> None:
    """Check the hashes of Headgate's own files, once for each in a process: only Arrow checks pages as it reads them.

    Raises:
        AttemptError: One has rotted.
    """
    for file in files.files if files.immutable else ():
        try:
            check_content(file, look(file.path, immutable=True))
        except AttemptError as error:
            what = f"{file.path} is damaged: its bytes are not those that were published"
            raise AttemptError(ErrorClass.DATA, what, hint="Look for more with headgate verify.") from error


def pieces(files: InputFiles) -> list[Piece]:
    """Return what of Parquet files is meant."""
    return [Piece(file.path, file.row_group) for file in files.files]


def unpack(file: FilePin, target: Path) -> FilePin:
    """Copy the row group that is meant to a new file of its own, and return the pin of that.

    Raises:
        AttemptError: It cannot be read.
    """
    import pyarrow.parquet as pq
    from msgspec.structs import replace

    with _reading(file.path, "parquet"):
        pq.write_table(opened_arrow(Piece(file.path, file.row_group)), target, compression="zstd")
    return replace(file, path=str(target), bytes=target.stat().st_size, hash="", row_group=None)


def _read_bytes_of(file: FilePin) -> int:
    if file.row_group is None:
        return file.bytes
    with _reading(file.path, "parquet"):
        return group_bytes(file.path, file.row_group)


def _small(files: InputFiles) -> pa.Table | None:
    """Return the rows of small Parquet files with one schema; None for large files or different schemas."""
    if not is_small(files):
        return None
    import pyarrow as pa

    tables = [_read_parquet(file, immutable=files.immutable) for file in files.files]
    if len(tables) == 1:
        return tables[0]
    if any(not table.schema.equals(tables[0].schema) for table in tables):
        return None
    return pa.concat_tables(tables)


def _together(tables: Sequence[pa.Table]) -> pa.Table:
    """Return the rows of tables of different schemas."""
    import pyarrow as pa

    try:
        return pa.concat_tables(tables, promote_options="permissive")
    except (pa.ArrowTypeError, pa.ArrowInvalid):
        import polars as pl

        for table in tables:
            refuse_wide_decimals(table.schema, "one of the files")
        # Arrow widens numbers only; Polars finds a type for what is left, and the same one for every annotation.
        return pl.concat([pl.DataFrame(table) for table in tables], how="diagonal_relaxed").to_arrow()


def refuse_wide_decimals(schema: pa.Schema, where: str) -> None:
    """Refuse columns of which Polars does not say that it has no such type: it panics, which no `except` expects.

    Args:
        schema: Of what Polars is to take over from Arrow.
        where: It is, for people.

    Raises:
        AttemptError: There is such a column.
    """
    for field in schema:
        if (kind := _wide_decimal(field.type)) is not None:
            raise AttemptError(
                ErrorClass.DATA,
                f"{where}: column {field.name} has {kind}, and Polars has decimals of at most 38 digits",
                hint="Take it as pyarrow.Table, or cast it to decimal128 where it is made.",
            )


@lru_cache(maxsize=1024)
def _wide_decimal(kind: pa.DataType) -> pa.DataType | None:
    import pyarrow as pa

    if pa.types.is_decimal256(kind):
        return kind
    if pa.types.is_dictionary(kind):
        return _wide_decimal(kind.value_type)
    found = (_wide_decimal(kind.field(n).type) for n in range(kind.num_fields))
    return next((one for one in found if one is not None), None)


def _small_frame(files: InputFiles) -> pl.DataFrame | None:
    """Return what `_small` does, as a frame of its own: what a function does to it in place stays there."""
    if not is_small(files):
        return None
    import polars as pl

    frames = [_frame(file, immutable=files.immutable) for file in files.files]
    if len(frames) == 1:
        return frames[0].clone()
    try:
        return pl.concat(frames)
    except (pl.exceptions.SchemaError, pl.exceptions.ShapeError):
        return None


def _frame(file: FilePin, *, immutable: bool) -> pl.DataFrame:
    import polars as pl

    is_proven = immutable or is_hashed(file)
    frame = _recent_frames.find(file.path, _name(file)) if is_proven else None
    if frame is None:
        table = _read_parquet(file, immutable=immutable)
        refuse_wide_decimals(table.schema, file.path)
        frame = pl.DataFrame(table)
        if is_proven:
            _recent_frames.keep(file.path, _name(file), frame, int(frame.estimated_size()))
    return frame


def _read_parquet(file: FilePin, *, immutable: bool) -> pa.Table:
    found = recent.find(file.path, _name(file))
    if found is not None:
        return found
    import pyarrow as pa

    source: str | pa.BufferReader = file.path
    is_proven = immutable
    with _reading(file.path, "parquet"):
        if not immutable and file.bytes <= SMALL_BYTES:
            source, is_proven = pa.BufferReader(_read_bytes(file)), is_hashed(file)
        table = opened_arrow(Piece(file.path, file.row_group), source)
    if is_proven:
        recent.keep(file.path, _name(file), table, table.get_total_buffer_size())
    return table


def _name(file: FilePin) -> str:
    """Return what, together with its path, names the content of a file or of the row group that is meant."""
    return file.hash if file.row_group is None else f"{file.hash}#{file.row_group}"


def _read_texts(files: InputFiles) -> pl.DataFrame:
    import polars as pl

    frames = [_read_text(file, files.format) for file in files.files]
    if len(frames) == 1:
        return frames[0]
    # A column that is empty in one file says nothing about its type; text would spoil the type of the others.
    typed = [
        frame.with_columns(
            pl.lit(None).alias(name) for name in frame.columns if frame[name].null_count() == frame.height
        )
        for frame in frames
    ]
    with _reading(f"{files.dataset}: its files together", files.format):
        table = pl.concat(typed, how="diagonal_relaxed")
    return table.with_columns(pl.col(pl.Null).cast(pl.String))


def _read_text(file: FilePin, format_name: str) -> pl.DataFrame:
    """Return the rows of a text file, kept as small Parquet files are: gates ask again for what was read."""
    name = f"{format_name} {file.hash}"
    is_kept = is_hashed(file) and 0 <= file.bytes <= SMALL_BYTES
    frame = _recent_frames.find(file.path, name) if is_kept else None
    if frame is None:
        frame = _parse_text(file, format_name)
        if is_kept:
            _recent_frames.keep(file.path, name, frame, int(frame.estimated_size()))
    return frame.clone()


def _parse_text(file: FilePin, format_name: str) -> pl.DataFrame:
    import polars as pl

    with _reading(file.path, format_name):
        data = _read_bytes(file)
        if data.startswith(_GZIP_MAGIC):
            data = gzip.decompress(data)
        if format_name == "csv-text":
            return pl.read_csv(data, infer_schema=False)
        if format_name == "csv":
            return pl.read_csv(data, infer_schema_length=None)
        return pl.read_ndjson(data, infer_schema_length=None)


def _read_bytes(file: FilePin) -> bytes:
    data = Path(file.path).read_bytes()
    check_digest(file, hashlib.sha256(data).hexdigest())
    return data


@contextmanager
def _reading(path: str, format_name: str) -> Iterator[None]:
    """Turn what a library says about a malformed file into a failure that names the file."""
    try:
        yield
    except (AttemptError, MemoryError):
        raise
    except Exception as error:
        raise AttemptError(ErrorClass.DATA, f"{path} cannot be read as {format_name}: {text_of(error)}") from error
