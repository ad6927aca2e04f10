"""Delta tables over files: what foreign readers get, what is refused, and what a commit that was cut off leaves."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import CommitProperties, DeltaTable, QueryBuilder, Transaction

from headgate.errors import ConflictError, UnavailableError, UsageError
from headgate.tables import delta
from headgate.tables.delta import MirroredFile, Reconciled, reconcile
from headgate.tables.footers import footer_of

if TYPE_CHECKING:
    from pathlib import Path

NOON = datetime(2024, 1, 1, 12, 30, 15, 123_456)


def put(root: Path, name: str, table: pa.Table, **how: Any) -> dict[str, MirroredFile]:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, **how)
    return {name: MirroredFile(path.stat().st_size, table.num_rows, 1_000)}


def numbers(*values: int | None) -> pa.Table:
    return pa.table({"n": pa.array(values, pa.int64())})


def rows(root: Path) -> list[dict[str, Any]]:
    return pl.scan_delta(str(root)).collect().to_dicts()


def asked(root: Path, sql: str) -> list[dict[str, Any]]:
    """Ask the other reader: DataFusion, inside deltalake."""
    return pa.table(QueryBuilder().register("t", DeltaTable(str(root))).execute(sql).read_all()).to_pylist()


def commits(root: Path) -> int:
    return DeltaTable(str(root)).version() + 1


def seq_of(root: Path) -> int | None:
    return DeltaTable(str(root)).transaction_version("headgate")


def test_a_table_names_what_is_wanted_and_nothing_else(tmp_path: Path) -> None:
    one, two = put(tmp_path, "r/a-a0001.parquet", numbers(1, 2)), put(tmp_path, "r/b-a0002.parquet", numbers(3))
    put(tmp_path, "r/c-a0003.parquet", numbers(99))
    assert reconcile(tmp_path, one | two, 5) == Reconciled(2, 0)
    assert sorted(row["n"] for row in rows(tmp_path)) == [1, 2, 3]
    three = put(tmp_path, "r/a-a0004.parquet", numbers(10))
    assert reconcile(tmp_path, two | three, 6) == Reconciled(1, 1)
    assert sorted(row["n"] for row in rows(tmp_path)) == [3, 10]
    assert asked(tmp_path, "select sum(n) s, count(*) c from t") == [{"s": 13, "c": 2}]
    assert DeltaTable(str(tmp_path)).to_pandas()["n"].sum() == 13
    assert (commits(tmp_path), seq_of(tmp_path)) == (2, 6)


def test_what_is_shown_already_makes_no_commit(tmp_path: Path) -> None:
    want = put(tmp_path, "a.parquet", numbers(1))
    reconcile(tmp_path, want, 5)
    assert reconcile(tmp_path, want, 9) == Reconciled(0, 0)
    assert (commits(tmp_path), seq_of(tmp_path)) == (1, 5)


def test_nothing_wanted_makes_no_table(tmp_path: Path) -> None:
    assert reconcile(tmp_path, {}, 5) == Reconciled(0, 0)
    assert list(tmp_path.iterdir()) == []


def test_everything_can_go_and_come_back(tmp_path: Path) -> None:
    want = put(tmp_path, "a.parquet", numbers(1)) | put(tmp_path, "b.parquet", numbers(2))
    reconcile(tmp_path, want, 5)
    reconcile(tmp_path, {}, 6)
    assert rows(tmp_path) == []
    reconcile(tmp_path, want, 7)
    assert sorted(row["n"] for row in rows(tmp_path)) == [1, 2]


def test_what_others_did_to_the_table_is_put_right(tmp_path: Path) -> None:
    want = put(tmp_path, "a.parquet", numbers(1)) | put(tmp_path, "b.parquet", numbers(2))
    reconcile(tmp_path, want, 5)
    DeltaTable(str(tmp_path)).delete("n = 2")
    reconcile(tmp_path, want, 5)
    assert sorted(row["n"] for row in rows(tmp_path)) == [1, 2]


def test_a_table_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    from deltalake import write_deltalake

    write_deltalake(str(tmp_path), numbers(1))
    with pytest.raises(ConflictError, match="has not made"):
        reconcile(tmp_path, put(tmp_path, "a.parquet", numbers(2)), 5)
    assert rows(tmp_path) == [{"n": 1}]


def test_a_table_that_is_ahead_of_the_journal_is_left_alone(tmp_path: Path) -> None:
    reconcile(tmp_path, put(tmp_path, "a.parquet", numbers(1)), 50)
    with pytest.raises(ConflictError, match="entry 50, and the state store ends at 7"):
        reconcile(tmp_path, put(tmp_path, "b.parquet", numbers(2)), 7)
    assert rows(tmp_path) == [{"n": 1}]


def test_the_vacuum_of_delta_removes_nothing(tmp_path: Path) -> None:
    one, two = put(tmp_path, "a.parquet", numbers(1)), put(tmp_path, "_mirror/v7.parquet", numbers(2))
    put(tmp_path, "staged.parquet", numbers(3))
    reconcile(tmp_path, one | two, 5)
    reconcile(tmp_path, two, 6)
    assert DeltaTable(str(tmp_path)).vacuum(dry_run=False) == []
    assert DeltaTable(str(tmp_path)).vacuum(dry_run=False, full=True) == []
    assert len(list(tmp_path.rglob("*.parquet"))) == 3


@pytest.mark.parametrize("landed", [True, False])
def test_a_commit_of_which_nobody_knows_is_looked_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, landed: bool
) -> None:
    one, two = put(tmp_path, "a.parquet", numbers(1)), put(tmp_path, "b.parquet", numbers(2))
    reconcile(tmp_path, one, 5)
    commit = delta._commit

    def torn(*arguments: Any) -> None:
        if landed:
            commit(*arguments)
        raise OSError("the connection was lost")

    monkeypatch.setattr(delta, "_commit", torn)
    if landed:
        assert reconcile(tmp_path, two, 6) == Reconciled(1, 1)
    else:
        with pytest.raises(UnavailableError, match="the connection was lost"):
            reconcile(tmp_path, two, 6)
        monkeypatch.undo()
        assert rows(tmp_path) == [{"n": 1}]
        assert reconcile(tmp_path, two, 6) == Reconciled(1, 1)
    assert rows(tmp_path) == [{"n": 2}]


def test_a_log_without_a_commit_is_no_table(tmp_path: Path) -> None:
    (tmp_path / "_delta_log").mkdir()
    reconcile(tmp_path, put(tmp_path, "a.parquet", numbers(1)), 5)
    assert rows(tmp_path) == [{"n": 1}]


def test_a_file_with_other_rows_than_recorded_is_refused(tmp_path: Path) -> None:
    want = {name: file._replace(rows=5) for name, file in put(tmp_path, "a.parquet", numbers(1)).items()}
    with pytest.raises(UnavailableError, match="1 rows instead of 5"):
        reconcile(tmp_path, want, 5)
    (tmp_path / "b.parquet").write_bytes(b"PAR1")
    with pytest.raises(UnavailableError, match=r"b\.parquet cannot be read"):
        reconcile(tmp_path, {"b.parquet": MirroredFile(4, 1, 1)}, 5)
    assert not (tmp_path / "_delta_log").exists()


def test_the_library_is_named_where_it_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "deltalake", None)
    with pytest.raises(UsageError) as caught:
        reconcile(tmp_path, {}, 1)
    assert 'pip install "headgate[delta]"' in caught.value.hint


# What columns may be.

ALL_KINDS = pa.table(
    {
        "i8": pa.array([1, None], pa.int8()),
        "i64": pa.array([2**63 - 1, -(2**63)], pa.int64()),
        "f": pa.array([1.5, float("nan")]),
        "b": pa.array([True, None]),
        "s": pa.array(["ü", "a"], pa.large_string()),
        "bin": pa.array([b"a", None], pa.large_binary()),
        "d": pa.array([date(2024, 1, 1), None], pa.date32()),
        "dec": pa.array([Decimal("1.25"), None], pa.decimal128(10, 2)),
        "ntz": pa.array([NOON, None], pa.timestamp("us")),
        "ms": pa.array([NOON.replace(microsecond=123_000), None], pa.timestamp("ms")),
        "utc": pa.array([NOON, None], pa.timestamp("us", "UTC")),
        "berlin": pa.array([NOON, None], pa.timestamp("us", "Europe/Berlin")),
        "many": pa.array([[1, None], None], pa.large_list(pa.int64())),
        "pair": pa.array([{"x": 1, "y": "q"}, None], pa.struct([("x", pa.int64()), ("y", pa.string())])),
        "word": pa.array(["a", None], pa.dictionary(pa.int32(), pa.string())),
    }
)


def test_every_kind_reads_back_with_each_reader(tmp_path: Path) -> None:
    reconcile(tmp_path, put(tmp_path, "a.parquet", ALL_KINDS), 5)
    expected = ALL_KINDS.to_pylist()[0]
    for found in (rows(tmp_path)[0], asked(tmp_path, "select * from t where f = 1.5")[0]):
        assert {**found, "utc": None, "berlin": None} == {**expected, "utc": None, "berlin": None}
        assert found["berlin"] == expected["berlin"]
        assert found["utc"] == NOON.replace(tzinfo=UTC)
    assert DeltaTable(str(tmp_path)).protocol().reader_features == ["timestampNtz"]


@pytest.mark.parametrize(
    ("kind", "values", "hint"),
    [
        (pa.uint32(), [1], "with a sign"),
        (pa.timestamp("ns"), [NOON], "microseconds"),
        (pa.null(), [None], "Give it a type"),
        (pa.list_(pa.int64(), 2), [[1, 2]], "list of any length"),
        (pa.time64("us"), [None], "another type"),
        (pa.duration("us"), [None], "another type"),
        (pa.float16(), [None], "another type"),
        (pa.list_(pa.uint8()), [[1]], "with a sign"),
    ],
)
def test_what_delta_cannot_hold_is_refused(tmp_path: Path, kind: pa.DataType, values: list[Any], hint: str) -> None:
    reconcile(tmp_path, put(tmp_path, "a.parquet", numbers(1)), 5)
    want = put(tmp_path, "a.parquet", numbers(1)) | put(
        tmp_path, "b.parquet", pa.table({"n": [1], "odd": pa.array(values, kind)})
    )
    with pytest.raises(UsageError, match=r"column odd is .* no type") as caught:
        reconcile(tmp_path, want, 6)
    assert hint in caught.value.hint
    assert (rows(tmp_path), commits(tmp_path)) == ([{"n": 1}], 1)


@pytest.mark.parametrize("name", ["a b", "a,b", "x=1", "a\nb"])
def test_names_that_spark_refuses_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="no names with spaces"):
        reconcile(tmp_path, put(tmp_path, "a.parquet", pa.table({name: [1]})), 5)


def test_names_that_differ_in_case_only_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="columns n and N differ in upper and lower case only"):
        reconcile(tmp_path, put(tmp_path, "a.parquet", pa.table({"n": [1], "N": [2]})), 5)


def test_a_column_that_comes_is_null_where_it_was_not(tmp_path: Path) -> None:
    one = put(tmp_path, "a.parquet", numbers(1))
    reconcile(tmp_path, one, 5)
    two = put(tmp_path, "b.parquet", pa.table({"n": [2], "at": pa.array([NOON], pa.timestamp("us"))}))
    reconcile(tmp_path, one | two, 6)
    assert sorted(rows(tmp_path), key=lambda row: row["n"]) == [{"n": 1, "at": None}, {"n": 2, "at": NOON}]
    # One that goes stays as a column of the table.
    reconcile(tmp_path, one, 7)
    assert rows(tmp_path) == [{"n": 1, "at": None}]


def test_a_column_of_another_type_stops_the_mirror_until_no_file_has_the_old_one(tmp_path: Path) -> None:
    one, two = put(tmp_path, "a.parquet", numbers(1)), put(tmp_path, "b.parquet", numbers(2))
    reconcile(tmp_path, one | two, 5)
    text = put(tmp_path, "c.parquet", pa.table({"n": ["x"], "at": pa.array([NOON], pa.timestamp("us"))}))
    with pytest.raises(UsageError, match=r"column n is string in c\.parquet and long in others"):
        reconcile(tmp_path, two | text, 6)
    assert sorted(row["n"] for row in rows(tmp_path)) == [1, 2]
    reconcile(tmp_path, text, 7)
    assert rows(tmp_path) == [{"n": "x", "at": NOON}]
    assert asked(tmp_path, "select n from t where n = 'x'") == [{"n": "x"}]


def test_two_types_in_one_group_are_refused(tmp_path: Path) -> None:
    want = put(tmp_path, "a.parquet", numbers(1)) | put(tmp_path, "b.parquet", pa.table({"n": ["x"]}))
    with pytest.raises(UsageError, match=r"column n is string in b\.parquet and long in others"):
        reconcile(tmp_path, want, 5)
    assert not (tmp_path / "_delta_log").exists()


# What footers say.


def said(path: Path) -> Any:
    return json.loads(footer_of(path).statistics)


def test_bounds_are_there_where_they_are_exact(tmp_path: Path) -> None:
    put(tmp_path, "a.parquet", ALL_KINDS)
    found = said(tmp_path / "a.parquet")
    assert found["numRecords"] == 2
    assert found["minValues"] == {
        "i8": 1,
        "i64": -(2**63),
        "s": "a",
        "d": "2024-01-01",
        "ntz": "2024-01-01T12:30:15.123456",
        "utc": "2024-01-01T12:30:15.123456Z",
        "berlin": "2024-01-01T12:30:15.123456Z",
        "word": "a",
    }
    assert found["maxValues"]["i64"] == 2**63 - 1
    assert found["nullCount"]["f"] == 0
    assert found["nullCount"]["dec"] == 1
    assert not {"many", "pair", "x", "y"} & found["nullCount"].keys()


def test_bounds_are_over_all_row_groups(tmp_path: Path) -> None:
    put(tmp_path, "a.parquet", pa.table({"n": [None, None, 5, 9, -3, None]}), row_group_size=2)
    found = said(tmp_path / "a.parquet")
    assert (found["minValues"], found["maxValues"], found["nullCount"]) == ({"n": -3}, {"n": 9}, {"n": 3})


@pytest.mark.parametrize(
    "column",
    [
        pa.array([None, None], pa.int64()),
        pa.array(["x" * 65, "a"]),
        pa.array([float("nan"), 1.0]),
        pa.array([-0.0, 0.0]),
        pa.array([], pa.int64()),
        # 1 January of the year 0, which Python has no value for.
        pa.array([-719_528], pa.int32()).cast(pa.date32()),
    ],
)
def test_bounds_that_could_be_off_are_left_out(tmp_path: Path, column: pa.Array) -> None:
    put(tmp_path, "a.parquet", pa.table({"c": column}))
    found = said(tmp_path / "a.parquet")
    assert (found["minValues"], found["maxValues"]) == ({}, {})
    assert found["numRecords"] == len(column)


def test_no_row_is_skipped_by_a_bound(tmp_path: Path) -> None:
    want = {}
    for number in range(8):
        table = pa.table(
            {
                "n": [number * 10, number * 10 + 9],
                "f": [float(number), float("nan")],
                "s": [f"k{number}", "ü" * number],
                "t": pa.array([NOON.replace(minute=number), None], pa.timestamp("us")),
            }
        )
        want |= put(tmp_path, f"f{number}.parquet", table)
    reconcile(tmp_path, want, 5)
    scan = pl.scan_delta(str(tmp_path))
    assert scan.filter(pl.col("n") >= 70).collect().height == 2
    assert scan.filter(pl.col("f").is_nan()).collect().height == 8
    assert scan.filter(pl.col("s") == "üüü").collect()["n"].to_list() == [39]
    assert scan.filter(pl.col("t") == NOON.replace(minute=4)).collect()["n"].to_list() == [40]
    assert asked(tmp_path, "select n from t where t = timestamp '2024-01-01 12:04:15.123456'") == [{"n": 40}]
    assert asked(tmp_path, "select count(*) c from t where n between 25 and 45") == [{"c": 4}]
    assert asked(tmp_path, "select min(n) a, max(n) b, min(s) s, count(t) t from t") == [
        {"a": 0, "b": 79, "s": "", "t": 8}
    ]


def test_delta_lets_a_lower_number_pass_so_it_is_checked_here(tmp_path: Path) -> None:
    """What `reconcile` rests on; if this changes, its own check can go."""
    reconcile(tmp_path, put(tmp_path, "a.parquet", numbers(1)), 50)
    table = DeltaTable(str(tmp_path))
    lower = CommitProperties(app_transactions=[Transaction("headgate", 7)])
    table.create_write_transaction([], mode="append", schema=table.schema(), commit_properties=lower)
    assert seq_of(tmp_path) == 7
