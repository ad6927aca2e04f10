"""What `headgate.read` gives, of a project that real runs built, changed and rolled back."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import duckdb
import polars as pl
import pytest
from runs_from_terminals import Terminals

import headgate

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.slow

CONFIG = '[project]\nname = "reading"\nmodules = ["reading_pipeline"]\n'
PIPELINE = """
import polars as pl

import headgate

DAYS = headgate.daily("2024-01-01", "2024-01-06")

landed = headgate.source("landed", path="landing/{key}.csv", partitions=DAYS)


@headgate.dataset(partitions=DAYS)
def sales(ctx):
    return pl.DataFrame(ROWS)


@headgate.dataset(partitions=DAYS)
def announced(sales) -> None:
    return None
"""
FIRST = '{"day": [ctx.start.date()] * 2, "n": pl.Series([1, 2], dtype=pl.Int32), "old": ["a", None]}'
SECOND = '{"n": [2**40, 7, None], "day": [ctx.start.date()] * 3, "new": [0.5, None, 1.5]}'


@pytest.fixture
def terminals(tmp_path: Path) -> Iterator[Terminals]:
    (tmp_path / "headgate.toml").write_text(CONFIG)
    (tmp_path / "landing").mkdir()
    terminals = Terminals(tmp_path)
    yield terminals
    terminals.clean_up()


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose datasets are all built."""
    root = tmp_path_factory.mktemp("published")
    (root / "headgate.toml").write_text(CONFIG)
    (root / "landing").mkdir()
    terminals = Terminals(root)
    built(terminals, FIRST)
    terminals.call("backfill", "announced", "--yes", "--reason", "x")
    return root


def built(terminals: Terminals, rows: str, *arguments: str) -> str:
    (terminals.root / "reading_pipeline.py").write_text(PIPELINE.replace("ROWS", rows))
    done = terminals.data("backfill", "sales", "--yes", "--reason", "x", *arguments)
    run: str = done["run"]["id"]
    return run


def numbers(table: headgate.Table) -> list[Any]:
    return sorted(table.polars().collect()["n"].to_list(), key=lambda n: (n is None, n))


def test_versions_of_several_schemas_are_one_frame_in_every_library(terminals: Terminals, tmp_path: Path) -> None:
    built(terminals, FIRST)
    built(terminals, SECOND, "--start", "2024-01-03", "--end", "2024-01-05")
    table = headgate.read("sales", project=tmp_path)
    assert table.keys == ("2024-01-01", "2024-01-02", "2024-01-03", "2024-01-04", "2024-01-05")
    assert table.rows == 3 * 2 + 2 * 3
    frame = table.polars()
    assert isinstance(frame, pl.LazyFrame)
    assert frame.collect_schema() == {"n": pl.Int64, "day": pl.Date, "new": pl.Float64, "old": pl.String}
    rows = sorted(frame.collect().rows(), key=repr)
    assert [row for row in rows if row[0] == 2**40] == [
        (2**40, datetime(2024, 1, day).date(), 0.5, None) for day in (3, 4)
    ]
    assert sorted(pl.DataFrame(table.arrow()).rows(), key=repr) == rows
    assert sorted(table.duckdb().fetchall(), key=repr) == rows
    assert table.duckdb().columns == table.arrow().column_names == ["n", "day", "new", "old"]
    assert list(table.pandas().columns) == ["n", "day", "new", "old"]
    assert len(table.pandas()) == 12
    own = duckdb.connect()
    assert table.duckdb(own).aggregate("count(*)").fetchall() == [(12,)]


def test_a_range_and_keys(published: Path) -> None:
    assert headgate.read("sales", start="2024-01-04", project=published).keys == ("2024-01-04", "2024-01-05")
    assert headgate.read("sales", start="2024-01-02", end="2024-01-03", project=published).keys == ("2024-01-02",)
    assert headgate.read("sales", keys=["2024-01-05", "2024-01-01"], project=published).keys == (
        "2024-01-01",
        "2024-01-05",
    )
    nothing = headgate.read("sales", keys=["2024-01-01"], start="2024-01-04", project=published)
    assert nothing.keys == ()
    assert nothing.polars().collect().schema == headgate.read("sales", project=published).polars().collect_schema()
    assert nothing.arrow().num_rows == nothing.duckdb().shape[0] == 0


def test_as_of_a_time_a_run_and_a_version(terminals: Terminals, tmp_path: Path) -> None:
    first = built(terminals, FIRST)
    between = datetime.now(UTC)
    old = headgate.read("sales", project=tmp_path)
    second = built(terminals, SECOND, "--start", "2024-01-05")
    new = headgate.read("sales", project=tmp_path)
    assert numbers(old) == [1, 1, 1, 1, 1, 2, 2, 2, 2, 2]
    assert numbers(new) == [1, 1, 1, 1, 2, 2, 2, 2, 7, 2**40, None]
    for as_of in (between, between.isoformat(), first):
        assert headgate.read("sales", as_of=as_of, project=tmp_path).versions == old.versions, as_of
    # Other partitions may have been published after it.
    of_version = headgate.read("sales", as_of=old.versions[-1].id, project=tmp_path).versions
    assert old.versions[-1] in of_version
    assert set(of_version) <= set(old.versions)
    assert headgate.read("sales", as_of=second, project=tmp_path).versions == new.versions
    terminals.call("rollback", second, "--yes", "--reason", "wrong")
    assert headgate.read("sales", project=tmp_path).versions == old.versions
    assert headgate.read("sales", as_of=second, project=tmp_path).versions == new.versions
    query = ("query", "select sum(n)::bigint s from sales", "--as-of")
    assert terminals.data(*query, first) == [{"s": 15}]
    assert terminals.data(*query, second) == [{"s": 12 + 2**40 + 7}]
    assert terminals.data(*query, str(new.versions[-1].id)) == [{"s": 12 + 2**40 + 7}]
    assert headgate.read("sales", as_of=datetime(2020, 1, 1, tzinfo=UTC), project=tmp_path).keys == ()
    # What was pinned stays what it was.
    assert numbers(new) == [1, 1, 1, 1, 2, 2, 2, 2, 7, 2**40, None]


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"dataset": "sale"}, "nothing is published under the name 'sale'"),
        ({"dataset": "announced"}, "announced has no tables to read"),
        ({"keys": ["2024-02-01"]}, "sales has no partition '2024-02-01'"),
        ({"keys": "2024-01-01"}, "keys takes several keys"),
        ({"start": "yesterday"}, "yesterday"),
        ({"start": "2024-01-03", "end": "2024-01-03"}, "is not after"),
        ({"as_of": 1.5}, "as_of takes a time, a run or a version, got float"),
        # Some ids of runs can be read as times with an offset.
        ({"as_of": "20200101-153911-112042"}, "'20200101-153911-112042' is no version, time or run"),
        ({"as_of": "noon"}, "'noon' is no version, time or run"),
        ({"as_of": 10**9}, "readers have never seen a version 1000000000"),
        ({"as_of": "2999-01-01"}, "has not come yet"),
        ({"project": "nowhere"}, "there is no headgate.toml"),
    ],
)
def test_what_cannot_be(published: Path, given: dict[str, Any], text: str) -> None:
    with pytest.raises(headgate.UsageError, match=text):
        headgate.read(**{"dataset": "sales", "project": published, **given})


def test_a_damaged_file_is_found_before_rows_are_returned(terminals: Terminals, tmp_path: Path) -> None:
    built(terminals, FIRST)
    file = next((tmp_path / "data" / "sales").rglob("2024-01-03*.parquet"))
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(headgate.UnavailableError, match="the data of sales/2024-01-03 is damaged"):
        headgate.read("sales", project=tmp_path)
    assert headgate.read("sales", end="2024-01-03", project=tmp_path).rows == 4
