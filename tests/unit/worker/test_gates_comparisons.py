from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal

import polars as pl
import pytest
from gate_scene import NO_BASELINE, Scene
from msgspec import structs

import headgate
from headgate.worker.inputs import InputFiles
from headgate.worker.messages import FilePin

NAN = float("nan")


@pytest.fixture(params=["small", "large"])
def scene(request, tmp_path, monkeypatch):
    if request.param == "large":
        # Small tables are read whole and asked at once, large ones are scanned.
        monkeypatch.setattr("headgate.worker.frames.SMALL_BYTES", 0)
    return Scene(tmp_path)


def rows(number):
    return {"a": list(range(number))}


class TestRowCount:
    def test_bounds(self, scene):
        assert scene.look(headgate.row_count(min=2, max=3), rows(2)) == (True, "2 rows")
        assert scene.look(headgate.row_count(min=2), rows(1)) == (False, "1 row; at least 2 are wanted")
        assert scene.look(headgate.row_count(max=2), rows(3)) == (False, "3 rows; at most 2 are allowed")

    def test_the_version_before(self, scene):
        gate = headgate.row_count(within=0.2)
        before = scene.before(rows(10))
        assert scene.look(gate, rows(8), baseline=before)[0] is True
        assert scene.look(gate, rows(12), baseline=before)[0] is True
        assert scene.look(gate, rows(7), baseline=before) == (
            False,
            "7 rows; 3 (30%) less than the 10 of the version before: at most 20% is allowed",
        )
        assert scene.look(gate, rows(0), baseline=before)[0] is False

    @pytest.mark.parametrize("baseline", [None, NO_BASELINE])
    def test_holds_without_a_version_before(self, scene, baseline):
        assert scene.look(headgate.row_count(within=0.2), rows(1), baseline=baseline) == (
            True,
            "1 row; no version before it",
        )

    def test_an_empty_version_before_is_infinitely_far(self, scene):
        gate = headgate.row_count(within=5.0)
        before = structs.replace(NO_BASELINE, rows=0)
        assert scene.look(gate, rows(0), baseline=before)[0] is True
        assert scene.look(gate, rows(1), baseline=before) == (
            False,
            "1 row; 1 more than the 0 of the version before: at most 500% is allowed",
        )

    def test_the_median_of_neighbours(self, scene):
        gate = headgate.row_count(within=0.5, neighbours=4)
        near = structs.replace(NO_BASELINE, neighbours=[10, 1000, 12, 14])
        assert scene.look(gate, rows(7), baseline=near)[0] is True
        assert scene.look(gate, rows(6), baseline=near) == (
            False,
            "6 rows; 53.8% less than the median 13 of 4 neighbours in time: at most 50% is allowed",
        )

    def test_two_neighbours_of_many_say_nothing(self, scene):
        near = structs.replace(NO_BASELINE, neighbours=[10, 10])
        assert scene.look(headgate.row_count(within=0.1, neighbours=7), rows(1), baseline=near) == (
            True,
            "1 row; only 2 neighbours in time to compare with",
        )
        assert scene.look(headgate.row_count(within=0.1, neighbours=2), rows(1), baseline=near)[0] is False


class TestMoves:
    def test_rows(self, scene):
        gate = headgate.moves(rows=0.1)
        assert scene.look(gate, rows(9), baseline=scene.before(rows(10))) == (
            True,
            "near to 10 rows of the version before",
        )
        assert scene.look(gate, rows(8), baseline=scene.before(rows(10))) == (
            False,
            "rows: 8, 2 (20%) less than 10",
        )

    def test_sums(self, scene):
        gate = headgate.moves(sums={"a": 0.1, "b": 0.1})
        before = scene.before({"a": [100, None], "b": [Decimal("10.0"), Decimal("10.0")]})
        assert scene.look(gate, {"a": [110], "b": [Decimal("18.0")]}, baseline=before)[0] is True
        assert scene.look(gate, {"a": [50], "b": [Decimal("22.1")]}, baseline=before) == (
            False,
            "sum of a: 50, 50 (50%) less than 100; sum of b: 22.1, 10.5% more than 20.0",
        )

    def test_integers_do_not_overflow(self, scene):
        most = pl.Series("a", [2**31 - 1] * 2, dtype=pl.Int32).to_frame()
        gate = headgate.moves(sums={"a": 0.01})
        assert scene.look(gate, most, baseline=scene.before({"a": [2**32 - 2]}))[0] is True
        large = pl.Series("a", [2**63 - 1] * 2, dtype=pl.Int64).to_frame()
        assert scene.look(gate, large, baseline=scene.before(most))[0] is False

    def test_a_sum_that_is_nan_has_moved(self, scene):
        assert (
            scene.look(headgate.moves(sums={"a": 9.0}), {"a": [NAN]}, baseline=scene.before({"a": [1.0]}))[0] is False
        )

    def test_a_new_column_has_moved(self, scene):
        gate = headgate.moves(sums={"b": 9.0}, distribution={"b": 0.9})
        assert scene.look(gate, {"b": [1]}, baseline=scene.before({"a": [1]})) == (
            False,
            "sum of b: 1, 1 more than 0; values of b moved by 100%",
        )

    def test_values_that_are_shares(self, scene):
        gate = headgate.moves(distribution={"a": 0.25})
        before = scene.before({"a": ["x", "x", "y", None]})
        assert scene.look(gate, {"a": [None, "y", "x", "x"] * 2}, baseline=before)[0] is True
        assert scene.look(gate, {"a": ["x", "y", "y", None]}, baseline=before)[0] is True
        assert scene.look(gate, {"a": ["z", "y", "z", None]}, baseline=before) == (
            False,
            "values of a moved by 50%",
        )

    def test_values_that_have_an_order(self, scene):
        gate = headgate.moves(distribution={"a": 0.2})
        before = scene.before({"a": list(range(100))})
        # No value is the same, and yet nothing has moved far.
        assert scene.look(gate, {"a": [value + 0.5 for value in range(100)]}, baseline=before)[0] is True
        assert scene.look(gate, {"a": [value + 30 for value in range(100)]}, baseline=before) == (
            False,
            "values of a moved by 30%",
        )

    @pytest.mark.parametrize(
        ("now", "was"),
        [
            (pl.Series([1.0, NAN, None]), pl.Series([1.0, NAN, None])),
            (pl.Series([1, 2], dtype=pl.Int32), pl.Series([1, 2], dtype=pl.Int64)),
            (pl.Series([True, False]), pl.Series([False, True])),
            (pl.Series([], dtype=pl.String), pl.Series([], dtype=pl.String)),
            (pl.Series([datetime(2024, 1, 1, tzinfo=UTC)]), pl.Series([datetime(2024, 1, 1, tzinfo=UTC)])),
            (pl.Series([date(2024, 1, 1)]), pl.Series([date(2024, 1, 1)])),
            (pl.Series(["x"], dtype=pl.Categorical), pl.Series(["x"])),
            (pl.Series(["x"]), pl.Series(["x"], dtype=pl.Categorical)),
            (pl.Series([Decimal("1.5")]), pl.Series([Decimal("1.50")])),
        ],
    )
    def test_the_same_values_have_not_moved(self, scene, now, was):
        gate = headgate.moves(distribution={"a": 0})
        before = scene.before(was.alias("a").to_frame())
        assert scene.look(gate, now.alias("a").to_frame(), baseline=before) == (
            True,
            f"near to {len(was)} {'row' if len(was) == 1 else 'rows'} of the version before",
        )

    def test_from_nothing_to_something(self, scene):
        gate = headgate.moves(distribution={"a": 0.1})
        empty = {"a": pl.Series([], dtype=pl.Int64)}
        assert scene.look(gate, {"a": [1]}, baseline=scene.before(empty))[0] is False
        assert scene.look(gate, empty, baseline=scene.before({"a": [1]}))[0] is False

    def test_holds_without_a_version_before(self, scene):
        gate = headgate.moves(rows=0, sums={"a": 0}, distribution={"a": 0})
        assert scene.look(gate, rows(1)) == (True, "no version before it")

    def test_what_has_no_sum(self, scene):
        assert (
            scene.look(headgate.moves(sums={"a": 1}), {"a": ["x"]})[1] == "a of the result is string, which has no sum"
        )
        assert scene.look(headgate.moves(sums={"b": 1}), {"a": ["x"]})[1] == "there is no column b; there are a"


class TestForeignKey:
    @pytest.fixture
    def airports(self, scene):
        return {"airports": scene.files({"faa": ["EWR", "JFK", None], "n": [1, 2, 3]})}

    def test_holds_and_lets_null_pass(self, scene, airports):
        gate = headgate.foreign_key("origin", "airports", "faa")
        assert scene.look(gate, {"origin": ["EWR", "JFK", "EWR", None]}, inputs=airports) == (True, "4 rows")

    def test_says_what_has_no_partner(self, scene, airports):
        gate = headgate.foreign_key("origin", "airports", "faa")
        assert scene.look(gate, {"origin": ["EWR", "BQN", "SJU", "BQN"]}, inputs=airports) == (
            False,
            "3 of 4 rows have no partner in airports.faa: BQN (2); SJU (1)",
        )

    def test_several_columns(self, scene, airports):
        gate = headgate.foreign_key(["origin", "m"], "airports", ["faa", "n"])
        assert scene.look(gate, {"origin": ["EWR", None], "m": [1, 9]}, inputs=airports)[0] is True
        assert scene.look(gate, {"origin": ["EWR", "JFK"], "m": [1, 1]}, inputs=airports) == (
            False,
            "1 of 2 rows have no partner in airports.faa, n: JFK, 1 (1)",
        )

    def test_types_that_differ_are_compared_by_value(self, scene, airports):
        gate = headgate.foreign_key("m", "airports", "n")
        assert scene.look(gate, pl.DataFrame({"m": [1]}, schema={"m": pl.UInt8}), inputs=airports)[0] is True
        assert scene.look(gate, {"m": [1.0]}, inputs=airports)[0] is True
        assert scene.look(gate, {"m": [1.5]}, inputs=airports)[0] is False
        assert scene.look(gate, {"m": ["1"]}, inputs=airports) == (
            False,
            "string here and int64 there cannot be compared",
        )

    def test_categories_are_text(self, scene, airports):
        gate = headgate.foreign_key("origin", "airports", "faa")
        assert scene.look(gate, {"origin": pl.Series(["EWR"], dtype=pl.Categorical)}, inputs=airports)[0] is True

    def test_an_input_without_files_has_no_partners(self, scene):
        gate = headgate.foreign_key("origin", "airports", "faa")
        assert scene.look(gate, {"origin": ["EWR"]}, inputs={})[0] is False
        assert scene.look(gate, {"origin": pl.Series([None], dtype=pl.String)}, inputs={})[0] is True

    def test_holds_where_nobody_knows_the_input(self, scene):
        gate = headgate.foreign_key("origin", "airports", "faa")
        assert scene.look(gate, {"origin": ["EWR"]}) == (
            True,
            "not compared: what it was made from is not known here",
        )

    def test_missing_columns(self, scene, airports):
        assert scene.look(headgate.foreign_key("o", "airports", "faa"), {"a": ["x"]}, inputs=airports)[1] == (
            "there is no column o; there are a"
        )
        assert scene.look(headgate.foreign_key("a", "airports", "o"), {"a": ["x"]}, inputs=airports)[1] == (
            "airports: there is no column o; there are faa, n"
        )


class TestSumsMatch:
    def test_no_row_is_lost(self, scene):
        gate = headgate.sums_match("landed")
        assert scene.look(gate, rows(3), inputs={"landed": scene.files(rows(2), rows(1))}) == (
            True,
            "3 rows, 3 rows of landed",
        )
        assert scene.look(gate, rows(2), inputs={"landed": scene.files(rows(3))}) == (
            False,
            "2 rows, 1 (33.3%) less than 3 rows of landed",
        )

    def test_sums(self, scene):
        gate = headgate.sums_match("landed", "a", of="b")
        assert scene.look(gate, {"a": [2, 4]}, inputs={"landed": scene.files({"b": [1, 2, None, 3]})})[0] is True
        assert scene.look(gate, {"a": [2, 5]}, inputs={"landed": scene.files({"b": [1, 2, 3]})}) == (
            False,
            "sum of a 7, 1 (16.7%) more than 6 of landed.b",
        )

    def test_a_sum_of_counts(self, scene):
        gate = headgate.sums_match("landed", "n")
        assert scene.look(gate, {"n": [2, 1]}, inputs={"landed": scene.files(rows(3))}) == (
            True,
            "sum of n 3, 3 rows of landed",
        )

    def test_within(self, scene):
        landed = {"landed": scene.files(rows(100))}
        assert scene.look(headgate.sums_match("landed", within="1%"), rows(99), inputs=landed)[0] is True
        assert scene.look(headgate.sums_match("landed", within="1%"), rows(98), inputs=landed)[0] is False

    def test_sums_of_floats_may_differ_by_the_last_digits(self, scene):
        gate = headgate.sums_match("landed", "a", of="a")
        parts = {"landed": scene.files({"a": [0.1] * 10})}
        assert scene.look(gate, {"a": [1.0]}, inputs=parts)[0] is True
        assert scene.look(gate, {"a": [1.0001]}, inputs=parts)[0] is False
        assert scene.look(gate, {"a": [NAN]}, inputs=parts)[0] is False

    def test_sums_of_integers_may_not(self, scene):
        gate = headgate.sums_match("landed", "a", of="a")
        assert (
            scene.look(gate, {"a": [2**62, 2**62]}, inputs={"landed": scene.files({"a": [2**62, 2**62 - 1]})})[0]
            is False
        )

    def test_decimals_and_integers(self, scene):
        gate = headgate.sums_match("landed", "a", of="a")
        landed = {"landed": scene.files({"a": [Decimal("1.50"), Decimal("1.50")]})}
        assert scene.look(gate, {"a": [3]}, inputs=landed)[0] is True
        assert scene.look(gate, {"a": [3.0]}, inputs=landed)[0] is True
        assert scene.look(gate, {"a": [4]}, inputs=landed)[0] is False

    def test_nothing_is_nothing(self, scene):
        gate = headgate.sums_match("landed")
        assert scene.look(gate, rows(0), inputs={}) == (True, "0 rows, 0 rows of landed")
        assert scene.look(gate, rows(1), inputs={}) == (False, "1 row, 1 more than 0 rows of landed")

    def test_what_has_no_sum(self, scene):
        landed = {"landed": scene.files({"a": ["x"]})}
        gate = headgate.sums_match("landed", "a", of="a")
        assert scene.look(gate, {"a": [1]}, inputs=landed)[1] == "a of landed is string, which has no sum"
        assert scene.look(gate, {"a": ["1"]}, inputs=landed)[1] == "a of the result is string, which has no sum"

    def test_landed_text(self, scene, tmp_path):
        path = tmp_path / "landed.csv"
        path.write_text("a,b\n1,NA\n2,3\n")
        landed = InputFiles("landed", ("k",), "csv-text", (FilePin(str(path), path.stat().st_size, "", "k"),))
        assert scene.look(headgate.sums_match("landed"), rows(2), inputs={"landed": landed})[0] is True
        assert scene.look(headgate.sums_match("landed"), rows(1), inputs={"landed": landed})[0] is False

    def test_the_files_of_one_key_of_an_input(self, scene):
        both = scene.files(rows(2), rows(3))
        one = replace(both, files=both.files[:1])
        assert scene.look(headgate.sums_match("landed"), rows(2), inputs={"landed": one})[0] is True


class TestMovesFromNothing:
    def test_of_rows_is_not_forgotten_where_there_are_no_files(self, scene):
        before = structs.replace(NO_BASELINE, rows=100)
        gate = headgate.moves(rows=0.1, sums={"a": 0.1})
        assert scene.look(gate, {"a": [1]}, baseline=before) == (
            False,
            "rows: 1, 99 (99%) less than 100; the version before has no files to compare with",
        )

    @pytest.mark.parametrize("kind", [pl.Int64, pl.String])
    def test_of_values_is_as_far_as_can_be(self, scene, kind):
        rows, nothing = (pl.DataFrame({"a": values}, schema={"a": kind}, strict=False) for values in ([1, 2], []))
        gate = headgate.moves(distribution={"a": 0.9})
        assert scene.look(gate, rows, baseline=scene.before(nothing)) == (False, "values of a moved by 100%")
        assert scene.look(gate, nothing, baseline=scene.before(rows)) == (False, "values of a moved by 100%")
        assert scene.look(gate, nothing, baseline=scene.before(nothing))[0]
