from __future__ import annotations

import functools

import pytest

import headgate
from headgate import UsageError
from headgate.model.dataset import Format, Input
from headgate.model.mapping import All, Custom, Fixed, Offset, Overlap, Trailing
from headgate.model.partitioning import UNPARTITIONED, Unit
from headgate.model.policy import FailureMode
from headgate.model.run import ErrorClass
from headgate.project.declare import take_declarations

DAYS = headgate.daily("2024-01-01", "2024-02-01")


@pytest.fixture(autouse=True)
def _clean_registry():
    take_declarations()
    yield
    take_declarations()


def define(source: str, **names):
    """Return the function `f` that source code defines at the top level of a module."""
    namespace = {"__name__": "pipeline", "headgate": headgate, **names}
    exec(compile(source, "pipeline.py", "exec"), namespace)
    return namespace["f"]


def refusal(source: str, **options) -> UsageError:
    with pytest.raises(UsageError) as caught:
        headgate.dataset(**options)(define(source))
    assert take_declarations() == []
    return caught.value


def test_a_decorated_function_stays_the_same_function():
    function = define("def f(ctx, orders): return orders")
    assert headgate.dataset(function) is function
    assert function(None, 3) == 3
    (declared,) = take_declarations()
    assert function.__headgate__ is declared
    assert declared.name == "f"
    assert declared.partitioning == UNPARTITIONED
    assert declared.inputs == {"orders": Input("orders", Overlap())}
    assert (declared.file, declared.line, declared.is_async) == ("pipeline.py", 1, False)


def test_inputs_override_the_default_mapping_parameter_by_parameter():
    function = define("def f(ctx, a, b, *, c): pass")
    inputs = {"c": headgate.input("orders", headgate.offset(-1), allow_missing=True), "b": headgate.trailing(7)}
    headgate.dataset(partitions=DAYS, inputs=inputs, name="orders")(function)
    (declared,) = take_declarations()
    assert list(declared.inputs) == ["a", "b", "c"]
    assert declared.inputs["b"] == Input("b", Trailing(7))
    assert declared.inputs["c"] == Input("orders", Offset(-1), allow_missing=True)


@pytest.mark.parametrize("source", ["async def f(): pass", "async def f():\n  yield 1"])
def test_async_functions_are_known(source):
    headgate.dataset(define(source))
    assert take_declarations()[0].is_async


def test_the_parameters_of_a_wrapped_function_count():
    inner = define("def f(orders): pass")

    @functools.wraps(inner)
    def wrapper(*args, **kwargs):
        return inner(*args, **kwargs)

    headgate.dataset(wrapper)
    (declared,) = take_declarations()
    assert list(declared.inputs) == ["orders"]
    assert declared.file == "pipeline.py"


@pytest.mark.parametrize(
    ("timeout", "ms"), [(90, 90_000), (0.5, 500), ("90s", 90_000), ("10m", 600_000), ("1.5h", 5_400_000), (None, None)]
)
def test_timeouts(timeout, ms):
    headgate.dataset(timeout=timeout)(define("def f(): pass"))
    assert take_declarations()[0].timeout_ms == ms


@pytest.mark.parametrize(
    "timeout",
    [0, -1, "10", "m", "1y", "\u0661s", True, float("nan"), float("inf"), [], "9" * 400 + "s"],
)
def test_timeouts_that_are_none(timeout):
    error = refusal("def f(): pass", timeout=timeout)
    assert "timeout" in error.message
    assert '"10m"' in error.hint


@pytest.mark.parametrize(
    ("source", "options", "says"),
    [
        ("def f(*args): pass", {}, r"\*args"),
        ("def f(**kwargs): pass", {}, r"\*\*kwargs"),
        ("def f(a, /): pass", {}, "by position only"),
        ("f = lambda a: a", {}, "<lambda> cannot be a dataset"),
        ("def g():\n  def f(): pass\n  return f\nf = g()", {}, r"g.<locals>.f cannot be a dataset"),
        ("class f: pass", {}, "decorates functions, got a type"),
        ("class C:\n  def f(self): pass\nf = C.f", {}, "C.f cannot be a dataset"),
        ("def f(a): pass", {"inputs": {"b": headgate.offset(-1)}}, "inputs names 'b'"),
        ("def f(ctx): pass", {"inputs": {"ctx": headgate.offset(-1)}}, "inputs names 'ctx'"),
        ("def f(a): pass", {"inputs": {"a": "orders"}}, "the text 'orders'"),
        ("def f(a): pass", {"inputs": {"a": 7}}, "is a int"),
        ("def f(a): pass", {"inputs": ["a"]}, "must be a dict"),
        ("def f(): pass", {"partitions": "daily"}, "partitions is the text 'daily'"),
        ("def f(): pass", {"partitions": None}, "partitions is a NoneType"),
        ("def f(): pass", {"version": 2}, "version must be text, got 2"),
        ("def f(): pass", {"version": ""}, "version must be text"),
        ("def f(): pass", {"name": 3}, "must be text, got int"),
        ("def f(): pass", {"name": ""}, "'' cannot name a dataset"),
        ("def f(): pass", {"name": "../x"}, "cannot name a dataset"),
        ("def f(): pass", {"name": "a\0b"}, r"a\\x00b"),
        ("def f(): pass", {"name": 'a"b'}, "cannot name a dataset"),
        ("def f(): pass", {"name": "x" * 300}, "more than 100 bytes"),
        ("def f(): pass", {"name": "\N{PILE OF POO}"}, r"\\U0001f4a9"),
        ("def f(größe): pass", {}, "no name of a dataset"),
    ],
)
def test_what_cannot_be_a_dataset_is_refused(source, options, says):
    assert refusal(source, **options).exit_code == 2
    with pytest.raises(UsageError, match=says):
        headgate.dataset(**options)(define(source))


def test_a_function_name_outside_ascii_needs_another_name():
    function = define("def größe(): pass\nf = größe")
    with pytest.raises(UsageError) as caught:
        headgate.dataset(function)
    assert "name=" in caught.value.hint
    headgate.dataset(name="groesse")(function)


def test_a_name_given_by_position_is_refused_with_the_right_way():
    with pytest.raises(UsageError) as caught:
        headgate.dataset("orders")
    assert 'name="..."' in caught.value.hint


@pytest.mark.parametrize(
    ("made", "mapping"),
    [
        (headgate.overlap, Overlap()),
        (lambda: headgate.trailing(7), Trailing(7)),
        (lambda: headgate.trailing(7, "days"), Trailing(7, Unit.DAY)),
        (lambda: headgate.trailing(90, "minutes"), Trailing(90, Unit.MINUTE)),
        (lambda: headgate.trailing(1, "month"), Trailing(1, Unit.MONTH)),
        (lambda: headgate.offset(-1), Offset(-1)),
        (headgate.all_partitions, All()),
        (lambda: headgate.fixed("EWR"), Fixed("EWR")),
    ],
)
def test_mappings(made, mapping):
    assert made() == mapping


def test_custom_mappings_are_named_after_their_function():
    assert headgate.custom(define("def f(key): return [key]")).name == "pipeline:f"
    first = headgate.custom(define("f = lambda key: [key]"))
    second = headgate.custom(define("\nf = lambda key: []"))
    assert isinstance(first, Custom)
    assert first.name != second.name


@pytest.mark.parametrize(
    "make",
    [
        lambda: headgate.trailing(0),
        lambda: headgate.trailing("7 days"),
        lambda: headgate.trailing(True),
        lambda: headgate.trailing(7, "fortnights"),
        lambda: headgate.trailing(7, 3),
        lambda: headgate.offset(0),
        lambda: headgate.offset(-1.0),
        lambda: headgate.fixed(""),
        lambda: headgate.fixed(3),
        lambda: headgate.custom("key"),
        lambda: headgate.input("../x"),
        lambda: headgate.input("x", 7),
        lambda: headgate.input("x", Input("y")),
        lambda: headgate.input("x", allow_missing="yes"),
    ],
)
def test_mappings_that_are_none(make):
    with pytest.raises(UsageError):
        make()


def test_a_source_knows_its_format_and_place():
    made = headgate.source("orders", path="landing/{start:%Y-%m-%d}.csv.gz", partitions=DAYS, description="Orders.")
    assert (made.name, made.format, made.description) == ("orders", Format.CSV, "Orders.")
    (declared,) = take_declarations()
    assert declared.source is made
    assert declared.file == __file__


@pytest.mark.parametrize(
    ("path", "given", "format_"),
    [
        ("a.csv", None, "csv"),
        ("a.CSV", None, "csv"),
        ("a.parquet", None, "parquet"),
        ("a.jsonl", None, "jsonl"),
        ("a.ndjson", None, "jsonl"),
        ("a.dat", "csv", "csv"),
        ("a.csv", Format.JSONL, "jsonl"),
        ("https://example.org/a.parquet?token=x.csv", None, "parquet"),
    ],
)
def test_formats(path, given, format_):
    assert headgate.source("a", path=path, format=given).format == format_


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"path": "a.txt"}, "says no format"),
        ({"path": "a.csv", "format": "xml"}, "no format 'xml'"),
        ({"path": "a.csv", "format": 3}, "no format 3"),
        ({"path": 3}, "path must be text, got int"),
        ({"path": "a.csv", "partitions": "daily"}, "partitions is the text"),
        ({"path": "a.csv", "description": 3}, "description must be text"),
        ({"path": "s3://bucket/a.csv"}, "no http"),
        ({"path": "a.csv", "partitions": DAYS}, "source a: path 'a.csv' gives two partitions"),
    ],
)
def test_sources_that_are_none(options, says):
    with pytest.raises(UsageError, match=says):
        headgate.source("a", **options)


def test_a_source_with_a_bad_name_is_refused():
    with pytest.raises(UsageError, match="cannot name a dataset"):
        headgate.source("a/b", path="a.csv")


@pytest.mark.parametrize(
    ("pools", "takes"), [(None, {}), ([], {}), (["a", "b"], {"a": 1, "b": 1}), ({"a": 2, "b": 1}, {"a": 2, "b": 1})]
)
def test_pools_and_concurrency(pools, takes):
    headgate.dataset(pools=pools, concurrency=3)(define("def f(): pass"))
    (declared,) = take_declarations()
    assert (declared.pools, declared.concurrency) == (takes, 3)


@pytest.mark.parametrize("pools", ["a", {"a": 0}, {"a": -1}, {"a": True}, {"a": 1.5}, {1: 1}, [1], 7, ("a",)])
def test_pools_that_cannot_be(pools):
    error = refusal("def f(): pass", pools=pools)
    assert error.message.startswith("dataset f: pools is ")
    assert 'pools=["warehouse"]' in error.hint


@pytest.mark.parametrize(
    ("batches", "batches_ms"), [(None, None), (0, 0), ("0s", 0), (0.5, 500), ("30s", 30_000), ("2m", 120_000)]
)
def test_batches(batches, batches_ms):
    headgate.dataset(batches=batches)(define("def f(ctx): yield"))
    (declared,) = take_declarations()
    assert declared.batches_ms == batches_ms


@pytest.mark.parametrize(
    ("source", "batches", "says"),
    [
        ("def f(ctx): yield", "often", "batches 'often' is no length of time"),
        ("def f(ctx): yield", True, "batches True is no length of time"),
        ("def f(ctx): yield", -1, "batches -1 is no length of time"),
        ("def f(ctx): return 1", "30s", "batches= is for functions that yield batches, and this one has no yield"),
        ("async def f(ctx): yield", "30s", "batches= is not for async functions"),
        ("async def f(ctx): pass", "30s", "batches= is not for async functions"),
        ("def f(a): yield", "30s", "batches= needs the parameter ctx"),
    ],
)
def test_batches_that_cannot_be(source, batches, says):
    error = refusal(source, batches=batches)
    assert error.message.startswith(f"dataset f: {says}")
    assert error.hint


def test_a_dataset_takes_one_partition_an_attempt_and_can_be_built_again_unless_it_says_otherwise():
    headgate.dataset(define("def f(): pass"))
    (declared,) = take_declarations()
    assert (declared.batch, declared.partition_column) == (1, None)
    assert (declared.snapshot_only, declared.idempotent) == (False, True)


@pytest.mark.parametrize("source", ["def f(): pass", "async def f() -> 'pl.DataFrame': pass"])
def test_attempts_that_take_many_partitions(source):
    headgate.dataset(partitions=DAYS, batch=30, partition_column="day")(define(source))
    (declared,) = take_declarations()
    assert (declared.batch, declared.batch_bytes, declared.partition_column) == (30, None, "day")


def test_batch_by_size():
    headgate.dataset(partitions=DAYS, batch="1.5MB", partition_column="day")(define("def f(): pass"))
    (declared,) = take_declarations()
    assert (declared.batch, declared.batch_bytes) == (1000, 1_500_000)


def test_a_function_that_returns_nothing_needs_no_column_to_split_it_by():
    function = define("def f() -> None: pass")
    for annotation in (None, "None"):
        function.__annotations__["return"] = annotation
        headgate.dataset(partitions=DAYS, batch=2)(function)
    assert [declared.partition_column for declared in take_declarations()] == [None, None]


def test_a_snapshot_and_effects_elsewhere():
    headgate.dataset(snapshot_only=True, idempotent=False)(define("def f(): pass"))
    (declared,) = take_declarations()
    assert (declared.snapshot_only, declared.idempotent) == (True, False)


@pytest.mark.parametrize(
    ("source", "options", "says", "hint"),
    [
        ("def f(): pass", {"batch": 0}, "batch must be a whole number of at least 1, got '0'", ""),
        ("def f(): pass", {"batch": "30"}, "batch '30' is neither a number of partitions nor a size", "Write batch=30"),
        ("def f(): pass", {"batch": True}, "batch must be a whole number of at least 1, got 'True'", ""),
        ("def f(): pass", {"batch": None}, "batch must be a whole number of at least 1, got 'None'", ""),
        (
            "def f(): pass",
            {"batch": 2, "partition_column": "day", "partitions": UNPARTITIONED},
            "batch=2 is for datasets with partitions, and this one has none",
            "partitions=",
        ),
        (
            "def f(ctx): yield",
            {"batch": 2, "partition_column": "day", "batches": 0},
            "batch= and batches= do not go together",
            "batches= saves progress",
        ),
        (
            "def f(): pass",
            {"batch": 2},
            "batch=2 needs partition_column=, the column that says which partition a row belongs to",
            'partition_column="day"',
        ),
        (
            "def f(): pass",
            {"partition_column": "day", "partitions": UNPARTITIONED},
            "partition_column=day is for datasets with partitions, and this one has none",
            "leave partition_column= out",
        ),
        ("def f() -> object: pass", {"batch": 2}, "batch=2 needs partition_column=", "-> None"),
        ("def f(): pass", {"partition_column": ""}, "partition_column must be the name of a column", '"day"'),
        ("def f(): pass", {"partition_column": ["day"]}, "partition_column must be the name of a column", '"day"'),
        ("def f(): pass", {"snapshot_only": "yes"}, "snapshot_only must be True or False, got \"'yes'\"", ""),
        ("def f(): pass", {"idempotent": None}, "idempotent must be True or False, got 'None'", ""),
    ],
)
def test_options_that_cannot_be(source, options, says, hint):
    error = refusal(source, **{"partitions": DAYS, **options})
    assert error.message.startswith(f"dataset f: {says}")
    assert hint in error.hint


@pytest.mark.parametrize("concurrency", [0, -1, "3", 1.5, True, 10**7])
def test_concurrency_that_cannot_be(concurrency):
    assert (
        "concurrency must be a whole number of at least 1" in refusal("def f(): pass", concurrency=concurrency).message
    )


class Strange(Exception):
    class Inner(Exception): ...


@pytest.mark.parametrize(
    ("exception", "name"),
    [
        (ValueError, "ValueError"),
        (Strange, f"{__name__}.Strange"),
        (Strange.Inner, f"{__name__}.Strange.Inner"),
        ("requests.HTTPError", "requests.HTTPError"),
        ("Strange", "Strange"),
    ],
)
def test_failure_modes(exception, name):
    modes = [
        headgate.failure(exception, "transient", " Wait. ", contains="429"),
        headgate.failure(exception, ErrorClass.DATA, "Look at the file."),
    ]
    headgate.dataset(failures=modes)(define("def f(): pass"))
    (declared,) = take_declarations()
    assert declared.failure_modes == (
        FailureMode(name, ErrorClass.TRANSIENT, "Wait.", "429"),
        FailureMode(name, ErrorClass.DATA, "Look at the file."),
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((int, "data", "x"), "failure() takes a class of exceptions, got a type"),
        (("a b", "data", "x"), "failure() takes a class of exceptions, got the text 'a b'"),
        (("", "data", "x"), "failure() takes a class of exceptions"),
        ((ValueError(), "data", "x"), "failure() takes a class of exceptions, got a ValueError"),
        ((ValueError, "fatal", "x"), "failure ValueError: there is no class of errors 'fatal' to declare"),
        ((ValueError, "lost", "x"), "failure ValueError: there is no class of errors 'lost' to declare"),
        ((ValueError, 3, "x"), "there is no class of errors '3'"),
        ((ValueError, "data", ""), "failure ValueError: remedy must be text"),
        ((ValueError, "data", None), "failure ValueError: remedy must be text"),
        ((ValueError, "data", "x", None), "failure ValueError: contains must be text, got NoneType"),
    ],
)
def test_failure_modes_that_cannot_be(arguments, message):
    with pytest.raises(UsageError) as caught:
        headgate.failure(*arguments)
    assert message in caught.value.message


@pytest.mark.parametrize("failures", [headgate.failure("E", "data", "x"), ["E"], (), {}])
def test_failures_that_are_no_list_of_modes(failures):
    error = refusal("def f(): pass", failures=failures)
    assert "failures must be a list of failure modes" in error.message
    assert "headgate.failure(" in error.hint
