from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pytest

import headgate
from headgate.errors import UnavailableError, UsageError
from headgate.views.query import query
from headgate.views.reading import reading

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from view_scene import Shop

    from headgate.model.version import Version
    from headgate.store.store import Store


def rows(root: Path, sql: str) -> list[dict[str, object]]:
    with reading(root) as (paths, store):
        answer = query(store, paths.data, sql)
        return [dict(zip(answer.columns, row, strict=True)) for row in answer.rows]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from view_scene import Shop

    # DuckDB would take such a folder for a pattern, and for a column.
    shop = Shop(tmp_path_factory.mktemp("a=b") / "sh[o]p *'s")
    shop.backfill()
    return shop.root


def test_each_dataset_is_a_view_over_its_heads(built: Path) -> None:
    assert rows(built, "select count(*) n, sum(value) s from sales") == [{"n": 10, "s": 45}]
    assert rows(built, "select * from sales order by value desc limit 1") == [{"name": "b", "value": 10}]
    assert rows(built, 'select count(*) n from "SALES" join total on true') == [{"n": 10}]
    assert [row["name"] for row in rows(built, "show tables")] == ["sales", "total", "trend"]
    assert rows(built, "describe sales")[1]["column_name"] == "value"


def test_only_heads_are_seen_and_columns_are_joined_by_name(shop: Shop) -> None:
    shop.backfill("sales")
    shop.land(5, "z,1\n")
    shop.backfill("sales")
    assert rows(shop.root, "select count(*) n from sales") == [{"n": 9}]
    shop.land(1, "a,1\n")
    (shop.root / "landing" / "2024-01-01.csv").write_text("value,name,note\n7,c,hello\n")
    shop.backfill("sales")
    found = rows(shop.root, "select name, note from sales where note is not null or name = 'z' order by name")
    assert found == [{"name": "c", "note": "hello"}, {"name": "z", "note": None}]


class Meanwhile:
    """A store in which something happens after the first of several reads.

    Args:
        store: It.
        happens: What does.
    """

    def __init__(self, store: Store, happens: Callable[[], object]) -> None:
        self._store = store
        self._happens = [happens]

    def heads(self, dataset: str) -> list[Version]:
        found = list(self._store.heads(dataset))
        if self._happens:
            self._happens.pop()()
        return found

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)


def test_all_datasets_of_a_query_are_seen_as_of_one_moment(shop: Shop) -> None:
    def happens() -> None:
        shop.land(5, "a,5\nb,10\nc,100\n")
        shop.backfill()

    shop.backfill()
    sql = "select (select count(*) from sales) s, (select rows from total) t, (select count(*) from trend) n"
    before = rows(shop.root, sql)
    with reading(shop.root) as (paths, store):
        assert list(query(cast("Store", Meanwhile(store, happens)), paths.data, sql).rows) == [
            tuple(before[0].values())
        ]
    assert rows(shop.root, sql) != before


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("1::tinyint", 1),
        ("170141183460469231731687303715884105727::hugeint", 2**127 - 1),
        ("0.5", 0.5),
        ("1234567890.12345678901::decimal(38, 11)", "1234567890.12345678901"),
        ("'nan'::double", None),
        ("'-inf'::float", None),
        ("null", None),
        ("true", True),
        ("date '2013-11-03'", "2013-11-03"),
        ("'infinity'::date", "infinity"),
        ("timestamp '2013-11-03 01:30:00'", "2013-11-03T01:30:00"),
        ("timestamptz '2013-11-03 01:30:00-04'", "2013-11-03T05:30:00Z"),
        ("timestamp_ns '2013-11-03 01:30:00.123456789'", "2013-11-03T01:30:00.123456789"),
        ("time '01:30:00'", "01:30:00"),
        ("interval 2 day", "2 days"),
        ("[1.5::double, 'nan'::double, null]", [1.5, None, None]),
        ("{'a': date '2013-11-03', 'b': ['x']}", {"a": "2013-11-03", "b": ["x"]}),
        ("'a\"\N{SNOWMAN}'", 'a"\N{SNOWMAN}'),
        ("'b'::enum('a', 'b')", "b"),
    ],
)
def test_values_are_those_of_json(built: Path, expression: str, value: object) -> None:
    assert rows(built, f"select {expression} as x") == [{"x": value}]


def test_columns_of_one_name_are_told_apart(built: Path) -> None:
    assert rows(built, "select 1 a, 2 a, 3 a_2, 4 a") == [{"a": 1, "a_2": 2, "a_2_2": 3, "a_3": 4}]


def test_order_and_every_row_survive(built: Path) -> None:
    found = rows(built, "select i from range(10000) t(i) order by i desc")
    assert [row["i"] for row in found] == list(range(9999, -1, -1))


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("selec 1", "syntax error"),
        ("select nope from sales", "nope"),
        ("", "no statement"),
        ("-- nothing", "no statement"),
        ("select 1; select 2", "several statements"),
        ("drop view sales", "only reading"),
        ("create table x as select 1", "only reading"),
        ("copy (select 1) to 'x.csv'", "only reading"),
        ("explain analyze copy (select 1) to 'x.csv'", "only reading"),
        ("set threads = 1", "only reading"),
        ("attach 'x.db'", "only reading"),
        ("install httpfs", "only reading"),
        ("select * from read_csv('/etc/passwd')", "Permission"),
        ("select * from glob('/*')", "Permission"),
        ("select * from '/etc/passwd'", "nothing is published under"),
        ("select 'x'::int", "Could not convert"),
        ("select case i when 9999 then 'x' else '1' end::int from range(20000) t(i)", "Could not convert"),
        ("select '\udc80'", "Unicode"),
        ("select $1", "parameter"),
    ],
)
def test_what_is_wrong_is_said(built: Path, sql: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        rows(built, sql)


def test_a_name_that_is_not_published_gets_those_that_are(built: Path) -> None:
    with pytest.raises(UsageError, match="nothing is published under the name 'sale'") as caught:
        rows(built, "select * from sale")
    assert caught.value.hint == "Did you mean sales? There are sales, total, trend."
    with pytest.raises(UsageError, match="under the name 'landed'"):
        rows(built, "from landed")


def test_without_any_version_the_next_step_is_a_backfill(shop: Shop) -> None:
    with pytest.raises(UsageError) as caught:
        rows(shop.root, "from sales")
    assert "headgate backfill" in caught.value.hint


def test_a_data_file_that_is_gone_is_no_mistake_of_the_user(shop: Shop) -> None:
    shop.backfill("sales")
    for path in (shop.root / "data").rglob("*.parquet"):
        path.unlink()
    with pytest.raises(UnavailableError, match=r"the data of sales/2024-01-01 is damaged: .* No such file") as caught:
        rows(shop.root, "from sales")
    assert "headgate check --state" in caught.value.hint
    assert rows(shop.root, "select 1 a") == [{"a": 1}]


@pytest.mark.parametrize("keep", [slice(0, 10), slice(0, 0)])
def test_a_cut_data_file_is_named(shop: Shop, keep: slice) -> None:
    shop.backfill("sales")
    path = min((shop.root / "data" / "sales").rglob("2024-01-02*.parquet"))
    path.write_bytes(path.read_bytes()[keep])
    with pytest.raises(UnavailableError, match=r"sales/2024-01-02 is damaged: .* bytes instead of"):
        rows(shop.root, "from sales")


@pytest.mark.parametrize("damaged", [slice(0, -8), slice(-8, None), slice(None)])
def test_a_damaged_data_file_of_the_same_size_is_named(shop: Shop, damaged: slice) -> None:
    shop.backfill("sales")
    path = min((shop.root / "data" / "sales").rglob("2024-01-02*.parquet"))
    content = bytearray(path.read_bytes())
    content[damaged] = b"\xff" * len(content[damaged])
    path.write_bytes(content)
    with pytest.raises(UnavailableError, match=r"sales/2024-01-02 is damaged: .* has the hash"):
        rows(shop.root, "select * from sales order by value")


def test_a_small_data_file_that_reads_well_and_is_not_what_was_published_is_named(shop: Shop) -> None:
    shop.backfill("sales")
    path = min((shop.root / "data" / "sales").rglob("2024-01-02*.parquet"))
    content = path.read_bytes()
    assert b"parquet-cpp-arrow" in content
    path.write_bytes(content.replace(b"parquet-cpp-arrow", b"parquet-cpp-arroW"))
    with pytest.raises(UnavailableError, match=r"sales/2024-01-02 is damaged: .* has the hash"):
        rows(shop.root, "from sales")
    table = headgate.read("sales", project=shop.root)
    for read in (table.polars, table.duckdb):
        with pytest.raises(UnavailableError, match=r"sales/2024-01-02 is damaged: .* has the hash"):
            read()


def test_an_effect_has_no_files(built: Path) -> None:
    with pytest.raises(UsageError, match="told has no files to query"):
        rows(built, "from TOLD")
