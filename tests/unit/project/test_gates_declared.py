from __future__ import annotations

import sys
from datetime import date, datetime
from decimal import Decimal

import pytest

import headgate
from headgate import UsageError
from headgate.model.gate import Severity, inputs_of
from headgate.project.declare import take_declarations
from headgate.project.load import load

DAYS = headgate.daily("2024-01-01", "2024-02-01")


@pytest.fixture(autouse=True)
def _clean_registry():
    take_declarations()
    yield
    take_declarations()


def look(frame):
    return True


async def look_later(frame):
    return True


def look_at_all(*frames):
    return True


def look_at_nothing(ctx):
    return True


def look_at_a_number(frame: int):
    return True


class Schema:
    name = "flights"

    def validate(self, frame):
        return frame


@pytest.mark.parametrize(
    ("gate", "name"),
    [
        (headgate.not_null("a", "b"), "not_null(a, b)"),
        (headgate.unique("a"), "unique(a)"),
        (headgate.accepted_values("a", ["x", "y"]), "accepted_values(a)"),
        (headgate.in_range("a", 0, 1.5), "in_range(a)"),
        (headgate.in_range("a", min=date(2024, 1, 1), max=datetime(2024, 1, 2).date()), "in_range(a)"),
        (headgate.row_count(min=1), "row_count(min=1)"),
        (headgate.row_count(within="50%", neighbours=7), "row_count(within=0.5, neighbours=7)"),
        (headgate.freshness("t", "2d"), "freshness(t, 48h)"),
        (headgate.foreign_key("origin", "airports", "faa"), "foreign_key(origin, airports.faa)"),
        (headgate.foreign_key(["a", "b"], "up"), "foreign_key(a, b, up.a, b)"),
        (headgate.sums_match("landed"), "sums_match(rows, rows of landed)"),
        (headgate.sums_match("landed", "a", of="b"), "sums_match(a, landed.b)"),
        (headgate.schema_contract({"a": "int64", "b": None}), "schema_contract(a, b)"),
        (headgate.sql("a  >\n 1"), "sql(a > 1)"),
        (headgate.sql("a > 1", name="large"), "large"),
        (headgate.check(look), "check(look)"),
        (headgate.check(lambda frame: True, name="fine"), "fine"),
        (headgate.pandera(Schema()), "pandera(flights)"),
        (headgate.pandera(Schema), "pandera(Schema)"),
    ],
)
def test_a_gate_is_called_as_it_is_declared(gate, name):
    assert gate.name == name
    assert gate.severity is Severity.BLOCK


def test_moves_wait_for_approval_unless_declared_otherwise():
    gate = headgate.moves(rows=0.2, sums={"a": "10%"}, distribution={"b": 0.3})
    assert (gate.name, gate.severity) == ("moves(rows, sum of a, values of b)", Severity.APPROVE)
    assert (gate.rows, gate.sums, gate.distribution) == (0.2, (("a", 0.1),), (("b", 0.3),))
    assert headgate.moves(rows=3, severity="warn").severity is Severity.WARN


def test_the_inputs_that_a_gate_looks_into():
    parameters = ("airports", "a", "weather")
    assert inputs_of(headgate.foreign_key("o", "airports"), parameters) == ("airports",)
    assert inputs_of(headgate.sql("select * from this join AIRPORTS using (faa)"), parameters) == ("airports",)
    assert inputs_of(headgate.check(lambda frame, weather, ctx: True), parameters) == ("weather",)
    assert inputs_of(headgate.not_null("a"), parameters) == ()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (headgate.not_null, "not_null takes names of columns"),
        (lambda: headgate.not_null("a", "a"), "names a column twice"),
        (lambda: headgate.not_null(3), "not_null takes names of columns, got '(3,)'"),
        (lambda: headgate.unique(""), "unique takes names of columns"),
        (lambda: headgate.unique("a", severity="fatal"), "unique: there is no severity"),
        (lambda: headgate.unique("a", severity=None), "unique: there is no severity"),
        (lambda: headgate.accepted_values("a", "xy"), "accepted_values(a) takes a list of values"),
        (lambda: headgate.accepted_values("a", []), "accepted_values(a) takes a list of values"),
        (
            lambda: headgate.accepted_values("a", [1, "x"]),
            "values of one type: text, numbers, dates or times; got int, str",
        ),
        (lambda: headgate.accepted_values("a", [None]), "values of one type"),
        (lambda: headgate.in_range("a"), "in_range(a) has no bound"),
        (lambda: headgate.in_range("a", 2, 1), "in_range(a) goes from 2 to 1: nothing is between"),
        (lambda: headgate.in_range("a", "1"), "in_range(a) takes numbers, dates or times, got the text '1'"),
        (lambda: headgate.in_range("a", float("nan")), "got NaN"),
        (lambda: headgate.in_range("a", max=Decimal("NaN")), "got NaN"),
        (lambda: headgate.in_range("a", 1, date(2024, 1, 1)), "bounds of two types"),
        (headgate.row_count, "row_count has no bound"),
        (lambda: headgate.row_count(min=-1), "row_count: min must be a whole number"),
        (lambda: headgate.row_count(min=2, max=1), "row_count goes from 2 to 1"),
        (lambda: headgate.row_count(neighbours=3), "neighbours=3 says not how near"),
        (lambda: headgate.row_count(within=0.1, neighbours=1000), "neighbours must be a number up to 100"),
        (lambda: headgate.row_count(within=-0.1), "row_count: within '-0.1' is no share"),
        (lambda: headgate.freshness("t", "soon"), "freshness(t): within"),
        (lambda: headgate.foreign_key("a", "up", ["b", "c"]), "1 columns here are not 2 columns of up"),
        (lambda: headgate.foreign_key("a", "no input"), "foreign_key takes an input of the function"),
        (lambda: headgate.sums_match("up", within="x"), "sums_match: within"),
        (lambda: headgate.sums_match("up", 3), "sums_match takes names of columns"),
        (lambda: headgate.schema_contract({}), "schema_contract takes columns and their types"),
        (lambda: headgate.schema_contract({"a": int}), "the type of a must be text, got a type"),
        (lambda: headgate.schema_contract({"a": None}, extra=1), "extra must be True or False"),
        (lambda: headgate.sql(" "), "sql takes an expression or a query"),
        (lambda: headgate.sql("a", name=3), "sql: name must be text"),
        (lambda: headgate.check("look"), "check takes a function, got the text 'look'"),
        (lambda: headgate.check(look_later), "check(look_later): its function is a generator or async"),
        (lambda: headgate.check(look_at_all), "check(look_at_all): its function takes *args"),
        (lambda: headgate.check(look_at_nothing), "check(look_at_nothing): its function takes no rows"),
        (lambda: headgate.check(look_at_a_number), "frame is annotated as 'int'"),
        (lambda: headgate.pandera({}), "pandera takes a schema or a model, got a dict"),
        (headgate.moves, "moves has no bound"),
        (lambda: headgate.moves(sums=["a"]), "sums must say how far each column may move"),
        (lambda: headgate.moves(distribution={"a": "far"}), "moves: distribution['a']"),
    ],
)
def test_what_cannot_be_is_refused(make, words):
    with pytest.raises(UsageError) as caught:
        make()
    assert words in caught.value.message


@pytest.mark.parametrize(
    ("source", "gates", "words"),
    [
        ("def f(): ...", headgate.not_null("a"), "gates must be a list of gates"),
        ("def f(): ...", ["not_null"], "gates must be a list of gates"),
        ("def f() -> None: ...", [headgate.not_null("a")], "its function returns nothing that gates could look at"),
        ("def f(): ...", [headgate.not_null("a"), headgate.not_null("a")], "it has two gates not_null(a)"),
        ("def f(up): ...", [headgate.sums_match("u")], "looks into 'u', which is no input of it"),
        ("def f(): ...", [headgate.check(lambda frame, up: True)], "looks into 'up'"),
        ("def f(): ...", [headgate.freshness("t", "1h")], "is for datasets with partitions in time"),
        ("def f(): ...", [headgate.row_count(within=1, neighbours=3)], "is for datasets with partitions in time"),
    ],
)
def test_what_cannot_be_a_gate_of_a_dataset_is_refused(source, gates, words):
    namespace = {"__name__": "pipeline"}
    exec(source, namespace)
    with pytest.raises(UsageError) as caught:
        headgate.dataset(gates=gates)(namespace["f"])
    assert words in caught.value.message
    assert caught.value.message.startswith("dataset f: ")


PIPELINE = """
import headgate as hg

def positive(frame):
    return {check}

@hg.dataset(gates={gates}, allow_empty={allow_empty})
def orders():
    return 1
"""


def test_a_project_has_its_gates_and_they_make_nothing_stale(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", sys.path.copy())
    (tmp_path / "headgate.toml").write_text('[project]\nmodules = ["gated_pipeline"]\n')

    def loaded(**named):
        sys.modules.pop("gated_pipeline", None)
        (tmp_path / "gated_pipeline.py").write_text(PIPELINE.format(**named))
        return load(tmp_path).datasets["orders"]

    plain = loaded(check=True, gates="None", allow_empty=False)
    gated = loaded(check=True, gates="[hg.check(positive), hg.row_count(min=1)]", allow_empty=True)
    other = loaded(check=False, gates="[hg.check(positive)]", allow_empty=False)
    assert (plain.gates, plain.allow_empty) == ((), False)
    assert ([gate.name for gate in gated.gates], gated.allow_empty) == (["check(positive)", "row_count(min=1)"], True)
    assert plain.code == gated.code == other.code
    sys.modules.pop("gated_pipeline", None)
