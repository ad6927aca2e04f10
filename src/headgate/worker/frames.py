"""Input files as frames of each library; several files are one table, in the order of their keys.

Parquet is read by the library that was asked for. CSV and JSON lines are always read by Polars, so that types do not
depend on the annotation: inferred over whole files, never dates, empty fields null. Files may differ in columns:
what one lacks is null; numbers widen, and what fits nothing else becomes text.
"""

from __future__ import annotations

import gzip
import hashlib
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from headgate.model.run import ErrorClass
from headgate.worker.failures import AttemptError, text_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    import duckdb as duckdb_
    import pandas as pd
    import polars as pl
    import pyarrow as pa

    from headgate.worker.inputs import InputFiles
    from headgate.worker.messages import FilePin

_GZIP_MAGIC = b"\x1f\x8b"


def polars_lazy(files: InputFiles) -> pl.LazyFrame:
    """Return the rows as a LazyFrame: Parquet is scanned, text files are read at once."""
    if files.format != "parquet":
        return _read_texts(files).lazy()
    import polars as pl

    scans = [pl.scan_parquet(path, glob=False, hive_partitioning=False) for path in files.paths]
    schemas = []
    for path, scan in zip(files.paths, scans, strict=True):
        with _reading(path, files.format):
            schemas.append(scan.collect_schema())
    if len(scans) == 1:
        return scans[0]
    if all(schema == schemas[0] for schema in schemas):
        return pl.scan_parquet(list(files.paths), glob=False, hive_partitioning=False)
    with _reading(f"{files.dataset}: its files together", files.format):
        return pl.concat(scans, how="diagonal_relaxed")


def arrow(files: InputFiles) -> pa.Table:
    """Return the rows as a pyarrow Table."""
    if files.format != "parquet":
        return _read_texts(files).to_arrow()
    import pyarrow as pa
    import pyarrow.parquet as pq

    tables = []
    for path in files.paths:
        with _reading(path, files.format), pq.ParquetFile(path) as file:
            tables.append(file.read())
    if len(tables) == 1:
        return tables[0]
    with _reading(f"{files.dataset}: its files together", files.format):
        return pa.concat_tables(tables, promote_options="permissive")


def duckdb(files: InputFiles) -> duckdb_.DuckDBPyRelation:
    """Return the rows as a relation of the default connection, so that `duckdb.sql` can name it."""
    import duckdb

    if files.format != "parquet":
        return duckdb.from_arrow(_read_texts(files).to_arrow())
    paths = [_unglobbed(path) for path in files.paths]
    with _reading(", ".join(files.paths[:3]), files.format):
        return duckdb.read_parquet(paths, union_by_name=True, hive_partitioning=False)


def pandas(files: InputFiles) -> pd.DataFrame:
    """Return the rows as a pandas DataFrame."""
    frame: pd.DataFrame = arrow(files).to_pandas()
    return frame


def _unglobbed(path: str) -> str:
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in path)


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
    import polars as pl

    with _reading(file.path, format_name):
        data = Path(file.path).read_bytes()
        _check_hash(file, data)
        if data.startswith(_GZIP_MAGIC):
            data = gzip.decompress(data)
        if format_name == "csv":
            return pl.read_csv(data, infer_schema_length=None)
        return pl.read_ndjson(data, infer_schema_length=None)


def _check_hash(file: FilePin, data: bytes) -> None:
    algorithm, _, digest = file.hash.partition(":")
    if algorithm == "sha256" and hashlib.sha256(data).hexdigest() != digest:
        raise AttemptError(
            ErrorClass.DATA,
            f"{file.path} changed since the plan: its content is another one",
            hint="Plan again: the new file will be seen as a new version.",
        )


@contextmanager
def _reading(path: str, format_name: str) -> Iterator[None]:
    """Turn what a library says about a malformed file into a failure that names the file."""
    try:
        yield
    except (AttemptError, MemoryError):
        raise
    except Exception as error:
        raise AttemptError(ErrorClass.DATA, f"{path} cannot be read as {format_name}: {text_of(error)}") from error
