import pandera.pandas
import pandera.polars
import polars as pl
import pyarrow as pa
import pytest
from gate_scene import Scene

import headgate
from headgate.worker.gates.evaluate import evaluate

TABLE = {"a": [1, 2, None], "b": ["x", "y", "z"]}


@pytest.fixture(params=["small", "large"])
def scene(request, tmp_path, monkeypatch):
    if request.param == "large":
        # Small tables are read whole and asked at once, large ones are scanned.
        monkeypatch.setattr("headgate.worker.frames.SMALL_BYTES", 0)
    return Scene(tmp_path)


class TestSchemaContract:
    def test_holds(self, scene):
        assert scene.look(headgate.schema_contract({"b": "string", "a": "int64"}), TABLE) == (True, "2 columns, 3 rows")
        assert scene.look(headgate.schema_contract({"a": None}, extra=True), TABLE)[0] is True

    def test_says_what_is_otherwise(self, scene):
        assert scene.look(headgate.schema_contract({"a": "double", "c": "string", "d": None}), TABLE) == (
            False,
            "there is no c, d; a is int64 instead of double; there is b besides",
        )


class TestSql:
    def test_an_expression_that_null_does_not_contradict(self, scene):
        assert scene.look(headgate.sql("a > 0"), TABLE) == (True, "3 rows")
        assert scene.look(headgate.sql("a > 1 -- not more"), TABLE) == (False, "1 of 3 rows do not satisfy it")

    def test_a_query_that_returns_no_rows(self, scene):
        assert scene.look(headgate.sql("SELECT a FROM flights WHERE a > 2;"), TABLE) == (True, "no rows")
        assert scene.look(headgate.sql("from this select b, a order by b"), TABLE) == (
            False,
            "it returns rows: b=x, a=1; b=y, a=2; b=z, a=None",
        )
        assert scene.look(headgate.sql("select * from range(9) t(n)"), TABLE)[1].endswith("n=2; ...")

    def test_inputs_by_their_parameters(self, scene):
        gate = headgate.sql("select b from this where b not in (select name from known)")
        assert scene.look(gate, TABLE, inputs={"known": scene.files({"name": ["x", "y"]})}) == (
            False,
            "it returns rows: b=z",
        )

    def test_large_files_are_scanned(self, scene, monkeypatch):
        monkeypatch.setattr("headgate.worker.frames.SMALL_BYTES", 0)
        gate = headgate.sql("select b from flights where b not in (select name from known)")
        assert scene.look(gate, TABLE, inputs={"known": scene.files({"name": ["x", "y"]})})[1] == "it returns rows: b=z"
        assert scene.look(headgate.sql("from read_csv('/etc/hosts')"), TABLE)[0] is False

    def test_without_rows(self, scene):
        empty = pl.DataFrame(schema={"a": pl.Int64})
        assert scene.look(headgate.sql("a > 0"), empty) == (True, "0 rows")

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("c > 0", 'column "c"'),
            ("a >", "syntax error"),
            ("b", "Could not convert string 'x' to BOOL"),
            ("select * from read_csv('/etc/hosts')", "file system operations are disabled"),
            ("select * from '/etc/hosts'", "does not exist"),
            ("from stranger", "does not exist"),
            ("a > 0); drop view this; select (1", "one expression, or one query"),
            ("select 1; select 2", "one expression, or one query"),
            ("from this; copy this to '/tmp/x.csv'", "one expression, or one query"),
        ],
    )
    def test_what_breaks_does_not_hold(self, scene, text, words):
        holds, found = scene.look(headgate.sql(text), TABLE)
        assert not holds
        assert words in found

    def test_what_one_attempt_names_another_does_not_find(self, scene):
        scene.look(headgate.sql("from known"), TABLE, inputs={"known": scene.files(TABLE)})
        assert "does not exist" in scene.look(headgate.sql("from known"), TABLE)[1]


def holds(frame):
    return True


def says_nothing(frame: pl.DataFrame):
    assert frame.columns == ["a", "b"]


def says_what(table: pa.Table):
    return f"{table.num_rows} are too many"


def asserts(frame: pl.LazyFrame):
    if frame.collect().height != 4:
        raise AssertionError("four are wanted")


def asserts_without_text(frame):
    raise AssertionError


def by_numpy(frame):
    return frame["a"].to_numpy().sum() > 99


def raises(frame):
    return frame["no such"]


def returns_a_frame(frame):
    return frame


def with_context(frame, ctx):
    return f"{ctx.dataset} {ctx.key} {ctx.window} {ctx.zone}"


def with_inputs(rows, airports: pl.DataFrame, weather=None):
    return weather is None and airports.height == 3


class TestCheck:
    @pytest.mark.parametrize("function", [holds, says_nothing])
    def test_holds(self, scene, function):
        assert scene.look(headgate.check(function), TABLE) == (True, "3 rows")

    @pytest.mark.parametrize(
        ("function", "text"),
        [
            (says_what, "3 are too many"),
            (asserts, "four are wanted"),
            (asserts_without_text, "an assertion does not hold"),
            (by_numpy, "it returned False"),
            (with_context, "flights 2024-01-01 (1704067200000, 1704153600000) UTC"),
        ],
    )
    def test_does_not_hold(self, scene, function, text):
        assert scene.look(headgate.check(function), TABLE) == (False, text)

    def test_what_breaks_does_not_hold(self, scene):
        found = scene.look(headgate.check(raises), TABLE)
        assert found[0] is False
        assert found[1].startswith("it could not be evaluated: ColumnNotFoundError: ")
        assert scene.look(headgate.check(returns_a_frame), TABLE) == (
            False,
            "it returned DataFrame: return True, False, text that says what is wrong, or None",
        )

    def test_inputs(self, scene):
        gate = headgate.check(with_inputs)
        assert scene.look(gate, TABLE, inputs={"airports": scene.files(TABLE)}) == (True, "3 rows")
        assert scene.look(gate, TABLE)[1] == "not called: what it was made from is not known here"

    def test_memory_that_runs_out_is_no_finding(self, scene):
        def hungry(frame):
            raise MemoryError

        with pytest.raises(MemoryError):
            evaluate([headgate.check(hungry)], scene.examined(TABLE))


class ForPolars(pandera.polars.DataFrameModel):
    a: int = pandera.polars.Field(ge=0, nullable=True)


class TestPandera:
    def test_of_polars(self, scene):
        schema = pandera.polars.DataFrameSchema(
            {"a": pandera.polars.Column(int, pandera.polars.Check.ge(2), nullable=True)}
        )
        assert scene.look(headgate.pandera(schema), TABLE) == (
            False,
            "a: greater_than_or_equal_to(2)",
        )
        assert scene.look(headgate.pandera(ForPolars), TABLE) == (True, "3 rows")

    def test_of_pandas(self, scene):
        schema = pandera.pandas.DataFrameSchema(
            {"b": pandera.pandas.Column(str, pandera.pandas.Check.isin(["x", "y"])), "c": pandera.pandas.Column(int)}
        )
        found = scene.look(headgate.pandera(schema), TABLE)
        assert found[0] is False
        assert "isin" in found[1]
        assert "c" in found[1]

    def test_a_missing_column(self, scene):
        holds, text = scene.look(headgate.pandera(ForPolars), {"b": [1]})
        assert not holds
        assert "a" in text
