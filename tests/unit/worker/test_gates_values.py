from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest
from gate_scene import Scene

import headgate
from headgate.tables.recent import Recent
from headgate.worker.failures import AttemptError
from headgate.worker.gates.evaluate import evaluate

NAN = float("nan")


@pytest.fixture(params=["small", "large"])
def scene(request, tmp_path, monkeypatch):
    if request.param == "large":
        # Small tables are read whole and asked at once, large ones are scanned.
        monkeypatch.setattr("headgate.worker.frames.SMALL_BYTES", 0)
    return Scene(tmp_path)


def moments(zone):
    return pl.DataFrame({"t": [datetime(2024, 1, 1, 5), datetime(2024, 1, 1, 20), None]}).with_columns(
        pl.col("t").dt.replace_time_zone(zone)
    )


class TestNotNull:
    def test_holds(self, scene):
        assert scene.look(headgate.not_null("a", "b"), {"a": [1, 2], "b": ["x", ""]}) == (True, "2 rows")

    def test_says_how_many_are_null_and_where(self, scene):
        table = {"a": [1, None, None], "b": ["x", None, "y"]}
        assert scene.look(headgate.not_null("a", "b"), table) == (
            False,
            "a is null in 2 of 3 rows; b is null in 1 of 3 rows",
        )

    def test_nan_is_no_value(self, scene):
        assert scene.look(headgate.not_null("a"), {"a": [1.0, NAN, None]}) == (
            False,
            "a is null in 1 of 3 rows; a is NaN in 1 of 3 rows",
        )

    def test_holds_without_rows_and_breaks_no_type(self, scene):
        empty = pl.DataFrame(schema={"a": pl.Int8, "b": pl.List(pl.String), "c": pl.Null, "d": pl.Decimal(9, 2)})
        assert scene.look(headgate.not_null("a", "b", "c", "d"), empty) == (True, "0 rows")

    def test_a_column_of_nulls_only(self, scene):
        assert scene.look(headgate.not_null("a"), pl.DataFrame({"a": [None, None]})) == (
            False,
            "a is null in 2 of 2 rows",
        )

    def test_a_missing_column(self, scene):
        assert scene.look(headgate.not_null("a", "c"), {"a": [1], "b": [1]}) == (
            False,
            "there is no column c; there are a, b",
        )


class TestUnique:
    def test_holds_for_a_column_and_for_several(self, scene):
        table = {"a": [1, 1, 2], "b": [1, 2, 1], "c": [1, 2, 3]}
        assert scene.look(headgate.unique("a", "b"), table) == (True, "3 rows")
        assert scene.look(headgate.unique("c"), table) == (True, "3 rows")

    def test_says_what_is_repeated(self, scene):
        table = {"a": ["x", "x", "x", "y", "y", "z"]}
        assert scene.look(headgate.unique("a"), table) == (
            False,
            "3 of 6 rows repeat what another has: x (3); y (2)",
        )

    def test_values_without_an_order_and_columns_of_odd_names(self, scene):
        table = pl.DataFrame({"_": [[1], [1]], "_now": ["a", "a"]})
        assert scene.look(headgate.unique("_", "_now"), table) == (
            False,
            "1 of 2 rows repeat what another has: [1], a (2)",
        )

    def test_null_and_nan_are_values(self, scene):
        assert scene.look(headgate.unique("a"), {"a": [None, None, 1.0, NAN, NAN]})[0] is False
        assert scene.look(headgate.unique("a", "b"), {"a": [None, None], "b": [1, 2]})[0] is True
        assert scene.look(headgate.unique("a", "b"), {"a": [None, None], "b": [1, 1]})[0] is False

    def test_holds_without_rows(self, scene):
        empty = {"a": pl.Series([], dtype=pl.Int64), "b": pl.Series([], dtype=pl.String)}
        assert scene.look(headgate.unique("a"), empty) == (True, "0 rows")
        assert scene.look(headgate.unique("a", "b"), empty) == (True, "0 rows")

    def test_a_missing_column(self, scene):
        assert scene.look(headgate.unique("a", "b"), {"a": [1]}) == (False, "there is no column b; there are a")


class TestAcceptedValues:
    def test_holds_and_lets_null_pass(self, scene):
        assert scene.look(headgate.accepted_values("a", ["x", "y"]), {"a": ["x", None, "y"]}) == (True, "3 rows")

    def test_says_what_else_there_is(self, scene):
        table = {"a": ["x", "q", "r", "q", "s", "t\n", "q"]}
        assert scene.look(headgate.accepted_values("a", ["x"]), table) == (
            False,
            "a is something else in 6 of 7 rows: q (3); r (1); s (1); ...",
        )

    def test_nan_is_accepted_by_no_list(self, scene):
        assert scene.look(headgate.accepted_values("a", [1.0, 2.0]), {"a": [1.0, NAN]})[0] is False

    @pytest.mark.parametrize(
        ("values", "column"),
        [
            ([1, 2], pl.Series([1, 2], dtype=pl.UInt8)),
            ([True], pl.Series([True])),
            ([date(2024, 1, 1)], pl.Series([date(2024, 1, 1)])),
            ([datetime(2024, 1, 1)], pl.Series([datetime(2024, 1, 1)])),
            (
                [datetime(2024, 1, 1, 5, tzinfo=UTC)],
                pl.Series([datetime(2024, 1, 1, 5, tzinfo=UTC)]).dt.convert_time_zone("Asia/Tokyo"),
            ),
            ([Decimal("1.50"), Decimal(2)], pl.Series([Decimal("1.5"), Decimal("2.0")])),
            ([1.5, 2.0], pl.Series([Decimal("1.5"), Decimal("2.0")])),
            (["x"], pl.Series(["x"], dtype=pl.Categorical)),
            (["x"], pl.Series(["x"], dtype=pl.Enum(["x", "y"]))),
            (["x"], pl.Series([None])),
        ],
    )
    def test_types(self, scene, values, column):
        gate = headgate.accepted_values("a", values)
        assert scene.look(gate, column.alias("a").to_frame())[0] is True

    def test_other_values_of_an_enum(self, scene):
        column = pl.Series("a", ["x", "y"], dtype=pl.Enum(["x", "y"]))
        assert scene.look(headgate.accepted_values("a", ["x"]), column.to_frame()) == (
            False,
            "a is something else in 1 of 2 rows: y (1)",
        )

    def test_values_that_cannot_be_compared(self, scene):
        assert scene.look(headgate.accepted_values("a", ["1"]), {"a": [1]}) == (
            False,
            "a is int64, which cannot be compared with 1",
        )

    def test_without_rows_and_without_the_column(self, scene):
        gate = headgate.accepted_values("a", ["x"])
        assert scene.look(gate, {"a": pl.Series([], dtype=pl.String)}) == (True, "0 rows")
        assert scene.look(gate, {"b": [1]}) == (False, "there is no column a; there are b")


class TestInRange:
    def test_both_ends_are_in(self, scene):
        assert scene.look(headgate.in_range("a", 1, 3), {"a": [1, None, 3]}) == (True, "a is 1 to 3")

    def test_says_how_far_it_goes(self, scene):
        assert scene.look(headgate.in_range("a", 0, 10), {"a": [-5, 5, 11, 12]}) == (
            False,
            "a is -5 to 12: less than 0 in 1 of 4 rows, more than 10 in 2 of 4 rows",
        )

    def test_nan_is_in_no_range(self, scene):
        assert scene.look(headgate.in_range("a", min=0), {"a": [1.0, NAN]}) == (
            False,
            "a is 1.0 to 1.0: NaN in 1 of 2 rows",
        )
        assert scene.look(headgate.in_range("a", max=9), {"a": [NAN]}) == (False, "1 row: NaN in 1 of 1 row")

    def test_infinity_is_above_everything(self, scene):
        assert scene.look(headgate.in_range("a", max=9), {"a": [1.0, float("inf")]})[0] is False

    def test_decimals(self, scene):
        table = {"a": [Decimal("0.10"), Decimal("0.30")]}
        assert scene.look(headgate.in_range("a", 0.1, 0.3), table)[0] is True
        assert scene.look(headgate.in_range("a", max=Decimal("0.29")), table) == (
            False,
            "a is 0.10 to 0.30: more than 0.29 in 1 of 2 rows",
        )

    @pytest.mark.parametrize("zone", [None, "UTC", "America/New_York"])
    def test_times_with_and_without_zone(self, scene, zone):
        table = moments(zone)
        assert scene.look(headgate.in_range("t", datetime(2024, 1, 1, 5), datetime(2024, 1, 1, 20)), table)[0] is True
        assert scene.look(headgate.in_range("t", max=datetime(2024, 1, 1, 19, 59)), table)[0] is False
        assert scene.look(headgate.in_range("t", date(2024, 1, 1), date(2024, 1, 2)), table)[0] is True
        assert scene.look(headgate.in_range("t", date(2024, 1, 2)), table)[0] is False

    def test_a_zone_is_compared_as_an_instant(self, scene):
        table = moments("America/New_York")
        assert scene.look(headgate.in_range("t", max=datetime(2024, 1, 2, 1, tzinfo=UTC)), table)[0] is True
        assert scene.look(headgate.in_range("t", max=datetime(2024, 1, 2, 0, 59, tzinfo=UTC)), table)[0] is False

    def test_a_time_with_zone_says_nothing_of_one_without(self, scene):
        found = scene.look(headgate.in_range("t", max=datetime(2024, 1, 1, tzinfo=UTC)), moments(None))
        assert found[0] is False
        assert "cannot be compared" in found[1]

    def test_text_has_no_range(self, scene):
        assert scene.look(headgate.in_range("a", 1), {"a": ["1"]}) == (
            False,
            "a is string, which cannot be compared with 1",
        )

    def test_without_rows_and_without_the_column(self, scene):
        assert scene.look(headgate.in_range("a", 1), {"a": pl.Series([], dtype=pl.Int64)}) == (True, "0 rows")
        assert scene.look(headgate.in_range("a", 1), {"b": [1]})[1] == "there is no column a; there are b"


class TestFreshness:
    def test_holds(self, scene):
        assert scene.look(headgate.freshness("t", "4h"), moments("UTC")) == (
            True,
            "the newest t is 2024-01-01T20:00:00+00:00",
        )

    def test_says_how_old_the_newest_is(self, scene):
        assert scene.look(headgate.freshness("t", "3h"), moments(None)) == (
            False,
            "the newest t is 2024-01-01T20:00:00, 4h before the end of the window: at most 3h are allowed",
        )

    def test_a_time_without_zone_is_in_that_of_the_dataset(self, scene):
        context = scene.examined({"t": [1]}).context
        context.zone = "America/New_York"
        # 20:00 in New York is 1:00 in UTC, after the end of the window.
        assert scene.look(headgate.freshness("t", "1m"), moments(None), context=context)[0] is True

    def test_a_date_counts_to_its_end(self, scene):
        assert scene.look(headgate.freshness("t", "1s"), {"t": [date(2024, 1, 1)]})[0] is True
        assert scene.look(headgate.freshness("t", "23h"), {"t": [date(2023, 12, 31)]})[0] is False

    def test_no_value_is_not_fresh(self, scene):
        gate = headgate.freshness("t", "4h")
        assert scene.look(gate, {"t": pl.Series([], dtype=pl.Date)}) == (False, "t has no value")
        assert scene.look(gate, {"t": pl.Series([None], dtype=pl.Date)}) == (False, "t has no value")

    def test_what_is_no_time(self, scene):
        assert scene.look(headgate.freshness("t", "4h"), {"t": [1]}) == (
            False,
            "t is int64, which is no date and no time",
        )
        assert scene.look(headgate.freshness("t", "4h"), {"a": [1]})[1] == "there is no column t; there are a"


class TestWhatNothingHereCanRead:
    """Decimals of more than 38 digits: Polars panics."""

    TABLE = pa.table({"a": [1, 2], "d": pa.array([Decimal(1), Decimal(2)], pa.decimal256(50, 2))})

    @pytest.mark.parametrize(
        "gate",
        [headgate.not_null("d"), headgate.unique("a", "d"), headgate.in_range("d", 0), headgate.moves(sums={"d": 1})],
    )
    def test_a_gate_about_it_does_not_hold_and_says_why(self, scene, gate):
        found = scene.look(gate, self.TABLE)
        assert found == (False, "d is decimal256(50, 2): gates read decimals of at most 38 digits")

    def test_others_are_read(self, scene):
        assert scene.look(headgate.in_range("a", 0, 2), self.TABLE) == (True, "a is 1 to 2")

    def test_a_function_of_ones_own_gets_no_frame(self, tmp_path):
        with pytest.raises(AttemptError, match=r"column d has decimal256\(50, 2\), and Polars has"):
            Scene(tmp_path).look(headgate.check(lambda rows: rows.height == 2), self.TABLE)


class TestWhatCannotBeAsked:
    """It breaks one gate, not the attempt, and not what other gates find."""

    @pytest.mark.parametrize(
        ("gate", "values"),
        [
            (
                headgate.in_range("a", min=date(1, 1, 1)),
                pl.Series([datetime(2024, 1, 1)], dtype=pl.Datetime("us", "Asia/Tokyo")),
            ),
            (headgate.accepted_values("a", ["x", "\ud800"]), pl.Series(["y"])),
            (headgate.in_range("a", max=2**200), pl.Series([Decimal("1.5")])),
            (headgate.in_range("a", max=float("inf")), pl.Series([Decimal("1.5")])),
        ],
    )
    def test_others_say_what_they_find(self, scene, gate, values):
        results = evaluate([gate, headgate.unique("b")], scene.examined({"a": values, "b": [1]}))
        assert [result.passed for result in results] == [False, True]
        assert results[0].text.startswith("it could not be evaluated: ")

    @pytest.mark.parametrize("most", [float(2**53), Decimal(2**53) + Decimal("0.5")])
    def test_integers_that_no_float_has(self, scene, most):
        assert not scene.look(headgate.in_range("a", max=most), {"a": [2**53 + 1]})[0]
        assert scene.look(headgate.in_range("a", max=most), {"a": [2**53]})[0]


class TestTogether:
    def test_one_that_breaks_leaves_the_others(self, scene):
        # Lists have no order in Polars; what it says of that must not hide what the others say.
        gates = [headgate.not_null("a"), headgate.unique("s"), headgate.in_range("a", max=1)]
        table = pl.DataFrame({"a": [1, 2], "s": [{"x": [1]}, {"x": [1]}]})
        results = evaluate(gates, scene.examined(table))
        assert [result.passed for result in results] == [True, False, False]
        assert results[2].text == "a is 1 to 2: more than 1 in 1 of 2 rows"

    def test_the_files_of_one_partition_are_one_table(self, scene):
        gates = [headgate.unique("a"), headgate.not_null("a")]
        results = evaluate(gates, scene.examined({"a": [1, 2]}, {"a": [2, None]}))
        assert [result.text for result in results] == [
            "1 of 4 rows repeat what another has: 2 (2)",
            "a is null in 1 of 4 rows",
        ]

    def test_several_are_asked_of_several_files(self, scene):
        gates = [headgate.unique("a"), headgate.in_range("a", 0, 9), headgate.not_null("a")]
        results = evaluate(gates, scene.examined({"a": [1, 2]}, {"a": [2, None]}))
        assert [result.passed for result in results] == [False, True, False]

    def test_texts_are_of_one_line_and_not_endless(self, scene):
        (result,) = evaluate([headgate.unique("a")], scene.examined({"a": ["x\n" * 5000] * 2}))
        assert "\n" not in result.text
        assert len(result.text) < 200

    def test_a_file_that_cannot_be_read_is_no_finding(self, scene, monkeypatch):
        examined = scene.examined({"a": [1]})
        monkeypatch.setattr("headgate.worker.frames.recent", Recent())
        Path(examined.rows.paths[0]).write_bytes(b"PAR1")
        with pytest.raises(AttemptError, match=r"cannot be read|is damaged"):
            evaluate([headgate.not_null("a")], examined)


ODD = [
    "*",
    "^a.*$",
    "^.*$",
    "a b",
    'q"u',
    "it's",
    "[x]",
    "a.b",
    "naïve",
    "len",
    "rows",
    "value",
    "now",
    "_0",
    "_1",
    "0",
    "{}",
]


class TestNamesOfColumns:
    """A name is a name: never a pattern that other columns match, never one of ours."""

    @pytest.fixture(params=ODD)
    def name(self, request):
        return request.param

    def table(self, name, values):
        others = {other: [7, 7, 7] for other in [*ODD, "a1"]}
        return pl.DataFrame(others | {name: values})

    def look(self, scene, gate, name, values, **named):
        return scene.look(gate, self.table(name, values), **named)

    def test_hold(self, scene, name):
        before = scene.before(self.table(name, [1, 2, 3]))
        inputs = {"up": scene.files(self.table(name, [1, 2, 3]))}
        for gate in (
            headgate.not_null(name),
            headgate.unique(name),
            headgate.unique(name, "a1"),
            headgate.accepted_values(name, [1, 2, 3]),
            headgate.in_range(name, 1, 3),
            headgate.foreign_key(name, "up"),
            headgate.foreign_key([name, "a1"], "up"),
            headgate.sums_match("up", name, name),
            headgate.moves(sums={name: 0.0}, distribution={name: 0.0}),
            headgate.schema_contract({name: "int64"}, extra=True),
        ):
            holds, text = self.look(scene, gate, name, [1, 2, 3], baseline=before, inputs=inputs)
            assert holds, f"{gate.name}: {text}"

    def test_do_not_hold(self, scene, name):
        before = scene.before(self.table(name, [1, 2, 3]))
        inputs = {"up": scene.files(self.table(name, [1, 2, 3]))}
        texts = [
            self.look(scene, gate, name, [1, 9, 9], baseline=before, inputs=inputs)
            for gate in (
                headgate.unique(name),
                headgate.unique(name, "a1"),
                headgate.accepted_values(name, [1, 2, 3]),
                headgate.in_range(name, 1, 3),
                headgate.foreign_key(name, "up"),
                headgate.foreign_key([name, "a1"], "up"),
                headgate.sums_match("up", name, name),
                headgate.moves(sums={name: 0.5}, distribution={name: 0.5}),
            )
        ]
        assert texts == [
            (False, "1 of 3 rows repeat what another has: 9 (2)"),
            (False, "1 of 3 rows repeat what another has: 9, 7 (2)"),
            (False, f"{name} is something else in 2 of 3 rows: 9 (2)"),
            (False, f"{name} is 1 to 9: more than 3 in 2 of 3 rows"),
            (False, f"2 of 3 rows have no partner in up.{name}: 9 (2)"),
            (False, f"2 of 3 rows have no partner in up.{name}, a1: 9, 7 (2)"),
            (False, f"sum of {name} 19, 13 (217%) more than 6 of up.{name}"),
            (False, f"sum of {name}: 19, 13 (217%) more than 6; values of {name} moved by 66.7%"),
        ]

    def test_nulls_are_those_of_the_column(self, scene, name):
        found = self.look(scene, headgate.not_null(name), name, [1.0, NAN, None])
        assert found == (False, f"{name} is null in 1 of 3 rows; {name} is NaN in 1 of 3 rows")

    def test_the_newest_is_that_of_the_column(self, scene, name):
        days = [date(2023, 12, 1)] * 3
        assert not self.look(scene, headgate.freshness(name, "1d"), name, days)[0]
        assert self.look(scene, headgate.freshness(name, "1d"), name, [date(2024, 1, 1)] * 3)[0]


class TestKindsOfNumbers:
    @pytest.mark.parametrize("kind", [pl.Int8, pl.UInt64, pl.Int64, pl.Float32, pl.Float64, pl.Decimal(9, 2)])
    @pytest.mark.parametrize("values", [[1, 2], [1.0, 2.0], [Decimal(1), Decimal("2.00")]])
    def test_accepted_values_are_told_by_their_value(self, scene, kind, values):
        gate = headgate.accepted_values("x", values)
        assert scene.look(gate, pl.DataFrame({"x": pl.Series([1, 2, None]).cast(kind)}))[0]
        holds, text = scene.look(gate, pl.DataFrame({"x": pl.Series([1, 3, None]).cast(kind)}))
        assert (holds, text[:36]) == (False, "x is something else in 1 of 3 rows: ")
