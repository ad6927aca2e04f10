"""Datasets whose columns change, with real processes: what may change is published, the rest is held for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from runs_from_terminals import Terminals

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.slow

TOML = """
[project]
modules = ["evolving_pipeline"]
[workers]
processes = 2
"""
PIPELINE = """
import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa

import headgate

DAYS = headgate.daily("2024-01-01", "2024-01-05")


@headgate.dataset(partitions=DAYS, schema="RULE")
def sales(ctx: headgate.Context) -> pa.Table:
    return pa.table({"day": [ctx.key], "n": pa.array([1], pa.int32())})


@headgate.dataset(partitions=DAYS, schema="RULE", batch=4, partition_column="day")
def together(ctx: headgate.Context) -> pa.Table:
    return pa.table({"day": list(ctx.keys), "n": pa.array([1] * len(ctx.keys), pa.int32())})
"""
READERS = """

@headgate.dataset(inputs={"sales": headgate.all_partitions()})
def by_polars(sales: pl.DataFrame) -> pl.DataFrame:
    return sales.select(pl.len().alias("rows"), pl.col("n").sum(), pl.col("m").sum())


@headgate.dataset(inputs={"sales": headgate.all_partitions()})
def by_lazy(sales: pl.LazyFrame) -> pl.LazyFrame:
    return sales.select(pl.len().alias("rows"), pl.col("n").sum(), pl.col("m").sum())


@headgate.dataset(inputs={"sales": headgate.all_partitions()})
def by_arrow(sales: pa.Table) -> pa.Table:
    return sales.group_by([]).aggregate([([], "count_all"), ("n", "sum"), ("m", "sum")]).rename_columns(
        ["rows", "n", "m"]
    )


@headgate.dataset(inputs={"sales": headgate.all_partitions()})
def by_duckdb(sales: duckdb.DuckDBPyRelation) -> duckdb.DuckDBPyRelation:
    return sales.aggregate("count(*) AS rows, sum(n)::BIGINT AS n, sum(m)::BIGINT AS m")


@headgate.dataset(inputs={"sales": headgate.all_partitions()})
def by_pandas(sales: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame({"rows": [len(sales)], "n": [int(sales["n"].sum())], "m": [int(sales["m"].sum())]})
"""
COLUMNS = '{"day": [ctx.key], "n": pa.array([1], pa.int32())}'


class Place(Terminals):
    """A project of which a test says how the schemas of its datasets may change."""

    @property
    def path(self) -> Path:
        return self.root / "evolving_pipeline.py"

    def rule(self, rule: str) -> None:
        self.path.write_text(PIPELINE.replace("RULE", rule))

    def edit(self, old: str, new: str) -> None:
        text = self.path.read_text()
        assert old in text
        self.path.write_text(text.replace(old, new))

    def columns(self, text: str) -> None:
        """Give sales other columns."""
        self.edit("return pa.table({" + COLUMNS[1:], f"return pa.table({text}")

    def build(self, *arguments: str, code: int = 0) -> Any:
        return self.data("backfill", *arguments, "--yes", "--reason", "evolves", code=code)

    def held(self) -> dict[str, list[str]]:
        found = self.data("quarantine", "list")["quarantined"]
        return {one["key"]: [f"{gate['gate']}: {gate['text']}" for gate in one["gates"]] for one in found}

    def schema(self, key: str, dataset: str = "sales") -> str:
        newest = self.data("history", dataset, key)["versions"][0]
        return " ".join(f"{name}:{kind}" for name, kind in newest["schema"])


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    (tmp_path / "headgate.toml").write_text(TOML)
    made = Place(tmp_path)
    yield made
    made.clean_up()


def test_additive_lets_columns_come_and_holds_what_changes_its_type(place: Place) -> None:
    place.rule("additive")
    place.build("sales")
    place.edit(COLUMNS, COLUMNS[:-1] + ', "m": [2]}')
    place.build("sales")
    assert place.schema("2024-01-02") == "day:string n:int32 m:int64"
    told, _ = place.call("history", "sales", "2024-01-02")
    assert "the schema changed" in told
    assert "of 2024-01-02: column m is new (int64)" in told
    new, old = place.data("history", "sales", "2024-01-02")["versions"]
    assert old["schema_change"] is None
    assert new["schema_change"]["beside"] == old["version"]
    assert new["schema_change"]["added"] == [{"name": "m", "kind": "int64"}]
    assert new["schema_change"]["retyped"] == []

    place.edit("pa.array([1], pa.int32())", 'pa.array(["1"])')
    place.build("sales", "--end", "2024-01-03", code=1)
    said = ["schema(additive): column n: int32 is string now"]
    assert place.held() == {"2024-01-01": said, "2024-01-02": said}
    assert place.schema("2024-01-02") == "day:string n:int32 m:int64"
    shown, _ = place.call("quarantine", "show", "sales", "2024-01-02")
    assert "column n: int32 is string now" in shown

    place.edit('pa.array(["1"])', "pa.array([1], pa.int32())")
    place.call("retry", "latest")
    assert place.schema("2024-01-02") == "day:string n:int32 m:int64"
    assert place.call("check", "--state")[0]


def test_fixed_refuses_a_column_more_until_somebody_releases_it(place: Place) -> None:
    place.rule("fixed")
    place.build("sales")
    place.edit(COLUMNS, COLUMNS[:-1] + ', "m": [2]}')
    place.build("sales", code=1)
    days = [f"2024-01-0{day}" for day in range(1, 5)]
    assert place.held() == {day: ["schema(fixed): column m is new (int64)"] for day in days}
    place.call("quarantine", "release", "sales", "2024-01-01", "--reason", "readers know")
    assert place.schema("2024-01-01") == "day:string n:int32 m:int64"
    told, _ = place.call("history", "sales", "2024-01-01")
    assert "1 overruled" in told
    plan, _ = place.call("plan", "sales")
    assert "the schema of sales changes: column m is new (int64)" in plan
    (part,) = place.data("plan", "sales")["datasets"]
    assert part["schema_changes"] == ["column m is new (int64)"]
    place.edit('schema="fixed"', 'schema="additive"')
    assert place.data("plan", "sales")["partitions"] == 3, "the rule itself makes nothing stale"
    place.build("sales")
    assert {place.schema(day) for day in days} == {"day:string n:int32 m:int64"}


def test_any_publishes_and_warns(place: Place) -> None:
    place.rule("any")
    place.build("sales")
    place.edit("pa.array([1], pa.int32())", 'pa.array(["1"])')
    place.build("sales")
    assert place.schema("2024-01-02") == "day:string n:string"
    told, _ = place.call("history", "sales", "2024-01-02")
    assert "schema(any): column n: int32 is string now" in told
    assert "1 warned" in told


def test_partitions_that_one_attempt_takes_together_are_judged_one_by_one(place: Place) -> None:
    place.rule("fixed")
    place.build("together")
    place.edit("pa.array([1] * len(ctx.keys), pa.int32())", 'pa.array(["1"] * len(ctx.keys))')
    place.build("together", code=1)
    assert len(place.held()) == 4
    assert place.schema("2024-01-03", "together") == "day:string n:int32"


def test_a_staged_run_that_changes_the_schema_publishes_nothing(place: Place) -> None:
    place.rule("fixed")
    place.build("sales")
    place.edit(COLUMNS, 'dict([("day", [ctx.key]), *([("m", [2])] if ctx.key == "2024-01-03" else []), ("n", [1])])')
    place.edit('("n", [1])', '("n", pa.array([1], pa.int32()))')
    place.build("sales", "--publish", "together", code=1)
    assert place.held() == {"2024-01-03": ["schema(fixed): column m is new (int64)"]}
    heads = place.data("history", "sales", "2024-01-01")["versions"]
    assert [one["schema"] for one in heads if one["is_head"]] == [[["day", "string"], ["n", "int32"]]]


def test_who_reads_partitions_of_different_schemas_gets_one_frame(place: Place) -> None:
    place.rule("any")
    place.build("sales")
    place.edit(COLUMNS, '{"m": [2], "n": [3], "day": [ctx.key]}')
    place.path.write_text(place.path.read_text() + READERS)
    place.build("sales", "--start", "2024-01-03")
    readers = ("by_polars", "by_lazy", "by_arrow", "by_duckdb", "by_pandas")

    def read() -> dict[str, object]:
        place.build(*readers, "--all")
        return {name: place.data("query", f"select * from {name}") for name in readers}

    expected = {name: [{"rows": 4, "n": 8, "m": 4}] for name in readers}
    assert read() == expected
    whole = "select count(*) AS rows, sum(n)::BIGINT AS n, sum(m)::BIGINT AS m from sales"
    assert place.data("query", whole) == [{"rows": 4, "n": 8, "m": 4}]
    place.call("compact", "sales", "--reason", "pack", "--min-files", "2", "--older-than", "1d")
    assert read() == expected
    assert place.data("query", whole) == [{"rows": 4, "n": 8, "m": 4}]
