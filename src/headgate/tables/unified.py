"""One table out of files whose schemas differ, as each library holds it.

Columns belong together by name. Those of the first schema come first, those that only others have behind them; what a
file lacks is null there. Numbers widen; what fits nothing else becomes text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from headgate.tables.opened import Piece, arrow, arrow_schema, duckdb_select, polars_scan

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import duckdb as duckdb_
    import polars as pl
    import pyarrow as pa

Groups = tuple[tuple[Piece, ...], ...]
"""Files by their schemas: the first schema first, and none without files."""


def unified_schema(schemas: Iterable[pa.Schema]) -> pa.Schema:
    """Return the schema that rows of all schemas fit into.

    Raises:
        StopIteration: There is no schema.
    """
    import pyarrow as pa

    fields: dict[str, pa.DataType] = {}
    for schema in schemas:
        for field in schema:
            before = fields.setdefault(field.name, field.type)
            if not before.equals(field.type):
                fields[field.name] = _widened(before, field.type)
    return pa.schema(list(fields.items()))


def polars(groups: Groups) -> pl.LazyFrame:
    """Return the rows of all files as a LazyFrame. At least one file."""
    import polars as pl

    schema = unified_schema(arrow_schema(group[0]) for group in groups)
    target = pl.DataFrame(schema.empty_table()).schema
    frames = []
    for group in groups:
        scans = _scans(group)
        has = scans[0].collect_schema()
        columns = [
            (pl.col(name).cast(kind) if has[name] != kind else pl.col(name))
            if name in has
            else pl.lit(None, dtype=kind).alias(name)
            for name, kind in target.items()
        ]
        frames += [scan.select(columns) for scan in scans]
    return pl.concat(frames, how="vertical") if len(frames) > 1 else frames[0]


def arrow_table(groups: Groups) -> pa.Table:
    """Return the rows of all files as a pyarrow Table. At least one file."""
    import pyarrow as pa

    schema = unified_schema(arrow_schema(group[0]) for group in groups)
    return pa.concat_tables(_fitted(arrow(piece), schema) for group in groups for piece in group)


def duckdb(groups: Groups, connection: duckdb_.DuckDBPyConnection) -> duckdb_.DuckDBPyRelation:
    """Return the rows of all files as a relation. At least one file."""
    import duckdb

    schema = unified_schema(arrow_schema(group[0]) for group in groups)
    types = dict(zip(schema.names, map(str, duckdb.from_arrow(schema.empty_table()).types), strict=True))
    selects = []
    for group in groups:
        has = set(arrow_schema(group[0]).names)
        columns = ", ".join(f"CAST({_name(n) if n in has else 'NULL'} AS {k}) AS {_name(n)}" for n, k in types.items())
        selects.append(f"SELECT {columns} FROM ({duckdb_select(group, union_by_name=False)})")  # noqa: S608
    return connection.sql(" UNION ALL ".join(selects))


def _scans(group: Sequence[Piece]) -> list[pl.LazyFrame]:
    """Return files of one schema as scans: whole ones as a single one, parts of files each by itself."""
    import polars as pl

    whole = [piece.path for piece in group if piece.row_group is None]
    scans = [pl.scan_parquet(whole, glob=False, hive_partitioning=False)] if whole else []
    return scans + [polars_scan(piece) for piece in group if piece.row_group is not None]


def _fitted(table: pa.Table, schema: pa.Schema) -> pa.Table:
    import pyarrow as pa

    if table.schema.equals(schema):
        return table
    columns = [
        _cast(table[field.name], field.type) if field.name in table.schema.names else pa.nulls(len(table), field.type)
        for field in schema
    ]
    return pa.Table.from_arrays(columns, schema=schema)


def _cast(column: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    return column if column.type.equals(kind) else column.cast(kind)


def _widened(one: pa.DataType, other: pa.DataType) -> pa.DataType:
    """Return the type that values of both fit into."""
    import pyarrow as pa

    schemas = [pa.schema([("x", kind)]) for kind in (one, other)]
    try:
        return pa.unify_schemas(schemas, promote_options="permissive").field("x").type
    except pa.ArrowTypeError:
        return pa.large_string()


def _name(column: str) -> str:
    return '"' + column.replace('"', '""') + '"'
