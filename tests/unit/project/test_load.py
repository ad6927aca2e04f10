from __future__ import annotations

import sys
import textwrap

import pytest

from headgate import UsageError
from headgate.model.guard_rail import Rule
from headgate.model.policy import FailureMode
from headgate.model.run import ErrorClass
from headgate.project.load import load
from headgate.project.modules import module_file

GOOD = """\
    import headgate

    DAYS = headgate.daily("2024-01-01", "2024-01-08")
    headgate.source("landed", path="in/{key}.csv", partitions=DAYS)

    @headgate.dataset(partitions=DAYS, timeout="1m", version="7")
    def orders(ctx, landed):
        '''Orders.

        More of them.
        '''

    @headgate.dataset(name="total", inputs={"orders": headgate.all_partitions()})
    async def add_up(orders): ...
    """


@pytest.fixture(autouse=True)
def _leave_the_interpreter_as_it_was(tmp_path):
    path = sys.path.copy()
    yield
    sys.path[:] = path
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]


@pytest.fixture
def write(tmp_path):
    def write(files, *, toml="", folder="project"):
        root = tmp_path / folder
        for name, text in {"headgate.toml": toml, **files}.items():
            file = root / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(text if isinstance(text, bytes) else textwrap.dedent(text).encode())
        return root

    return write


def refusal(root) -> UsageError:
    with pytest.raises(UsageError) as caught:
        load(root)
    assert caught.value.exit_code == 2
    assert "\n" not in caught.value.message
    return caught.value


def test_a_project(write):
    root = write({"pipeline.py": GOOD}, toml="[parameters]\nx = 1")
    project = load(root)
    assert project.root == root.resolve()
    assert project.paths.data == root.resolve() / "data"
    assert project.config.parameters == {"x": 1}
    orders, total = project.datasets["orders"], project.datasets["total"]
    assert (orders.entry, orders.version, orders.timeout_ms) == ("pipeline:orders", "7", 60_000)
    assert (orders.description, orders.declared_at, orders.is_async) == ("Orders.", "pipeline.py:6", False)
    assert len(orders.code) == 64
    assert (total.entry, total.is_async, total.description) == ("pipeline:add_up", True, "")
    assert list(total.inputs) == ["orders"]
    assert project.sources["landed"].declared_at == "pipeline.py:4"


def test_how_attempts_are_cut_and_what_they_are_held_to_makes_nothing_stale(write):
    plain = write({"pipeline.py": GOOD})
    before = load(plain).datasets["orders"]
    options = 'partitions=DAYS, batch=30, partition_column="day", snapshot_only=True, idempotent=False,'
    write({"pipeline.py": GOOD.replace("partitions=DAYS, timeout", f"{options} timeout")})
    after = load(plain).datasets["orders"]
    assert (after.batch, after.partition_column, after.snapshot_only, after.idempotent) == (30, "day", True, False)
    assert after.code == before.code


def test_guard_rails(write):
    toml = "[policies.max_partitions]\nlimit = 3\nverdict = 'deny'\n"
    assert load(write({"pipeline.py": GOOD}, toml=toml)).guard_rails.general[Rule.MAX_PARTITIONS].limit == 3
    error = refusal(write({"pipeline.py": GOOD}, toml="[sources.landd.policies.retention]\nkeep = '3d'"))
    assert error.message == "headgate.toml:1: sources.landd cannot be: there is no source 'landd'"


def test_loading_again_sees_what_has_changed_since_and_nothing_else(write):
    root = write({"pipeline.py": "import headgate\nX = 1\n@headgate.dataset\ndef a(): return X\n"})
    first = load(root)
    write({"pipeline.py": "import headgate\nX = 2\n@headgate.dataset\ndef a(): return X\n"})
    second = load(root)
    assert sys.modules["pipeline"].X == 2
    assert first.datasets["a"].code != second.datasets["a"].code
    assert load(root).datasets == second.datasets
    assert not list(root.rglob("*.pyc"))


def test_several_projects_in_one_process(write):
    code = "import headgate, tools\n@headgate.dataset(name=tools.NAME)\ndef f(): ..."
    one = write({"pipeline.py": code, "tools.py": "NAME = 'one'"}, folder="one")
    two = write({"pipeline.py": code, "tools.py": "NAME = 'two'"}, folder="two")
    assert [list(load(root).datasets) for root in (one, two, one)] == [["one"], ["two"], ["one"]]
    assert sys.path[0] == str(one)
    assert str(two) not in sys.path


def test_modules_that_the_listed_ones_import_belong_to_the_project(write):
    files = {
        "etl/__init__.py": "",
        "etl/main.py": "from . import dims\nimport headgate\n@headgate.dataset\ndef facts(airports): ...",
        "etl/dims.py": "import headgate\n@headgate.dataset\ndef airports(): ...",
    }
    project = load(write(files, toml="project.modules = ['etl.main']"))
    assert project.datasets["airports"].declared_at == "etl/dims.py:2"
    assert project.datasets["airports"].entry == "etl.dims:airports"


def test_datasets_of_an_installed_package_do_not_count(write):
    root = write(
        {
            ".venv/site-packages/lib_in_venv.py": "import headgate\n@headgate.dataset\ndef theirs(): ...",
            "pipeline.py": "import lib_in_venv, headgate\n@headgate.dataset\ndef ours(): ...",
        }
    )
    sys.path.append(str(root / ".venv/site-packages"))
    assert list(load(root).datasets) == ["ours"]


def test_what_modules_print_goes_to_standard_error(write, capsys):
    load(write({"pipeline.py": "print('hello')\n" + textwrap.dedent(GOOD)}))
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "hello\n")


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("\n1 / 0", "pipeline.py:2: ZeroDivisionError: division by zero"),
        ("import tools\n\ntools.fail()", "tools.py:2: ValueError: bad value"),
        ("import json\njson.loads('{')", "pipeline.py:2: JSONDecodeError: Expecting property name"),
        ("raise SystemExit(3)", "pipeline.py:1: SystemExit: 3"),
        ("raise RuntimeError", "pipeline.py:1: RuntimeError"),
        ("raise RuntimeError('one\\ntwo')", "pipeline.py:1: RuntimeError: one"),
        ("def f(:\n  pass", "pipeline.py:1: SyntaxError: invalid syntax"),
        ("def f():\npass", "pipeline.py:2: IndentationError: expected an indented block"),
        ("import broken", "broken.py:2: SyntaxError: "),
        ("x = '\0'", "pipeline.py:1: "),
        (b"x = '\xff'", "pipeline.py:1: SyntaxError: "),
        ("import headgate\n\nheadgate.daily('2013-02-31')", "pipeline.py:3: start '2013-02-31' is no date"),
        (
            "import headgate\n@headgate.dataset(\n  name='a/b')\ndef f(): ...",
            "pipeline.py:2: 'a/b' cannot name a dataset",
        ),
        ("import headgate\nheadgate.static(['a', '\\0'])", "pipeline.py:2: '\\x00' cannot be a partition key"),
        ("import headgate\nheadgate.static(['../a'])", "pipeline.py:2: '../a' cannot be a partition key"),
        ("import headgate\nheadgate.static(['\\N{PILE OF POO}'])", "pipeline.py:2: '\\U0001f4a9' cannot be"),
        ("import headgate\nheadgate.static(['x' * 300])", "pipeline.py:2: partition key 'xxx"),
        (
            "import headgate\nheadgate.source('a', path='{day}.csv')",
            "pipeline.py:2: source a: path '{day}.csv': '{day}'",
        ),
    ],
)
def test_a_module_that_cannot_be_imported(write, code, message):
    tools = "def fail():\n    raise ValueError('bad value')"
    root = write({"pipeline.py": code, "tools.py": tools, "broken.py": "\nx ="})
    assert refusal(root).message.startswith(message)
    assert "pipeline" not in sys.modules


def test_a_library_that_is_not_installed(write):
    error = refusal(write({"pipeline.py": "\nimport polrs"}))
    assert error.message == "pipeline.py:2: ModuleNotFoundError: No module named 'polrs'"
    assert error.hint.startswith("Install polrs where Headgate runs")


def test_a_module_that_is_not_there(write):
    error = refusal(write({}, toml="[project]\nmodules = ['etl.main']"))
    assert error.message.startswith("headgate.toml:2: project.modules names etl.main, but there is no etl/main.py in ")


@pytest.mark.parametrize(
    ("file", "says"),
    [
        ("json.py", "json.py in .* would hide a module of Python itself"),
        ("polars.py", "polars.py in .* would hide the installed .*polars"),
        ("logging/__init__.py", "logging in .* would hide a module of Python itself"),
        ("headgate.py", "headgate.py in .* would hide Headgate itself"),
    ],
)
def test_a_module_that_hides_another_one(write, file, says):
    root = write({"pipeline.py": GOOD, file: ""})
    with pytest.raises(UsageError, match=says):
        load(root)


def test_two_of_one_name(write):
    code = "import headgate\nheadgate.source('a', path='a.csv')\n@headgate.dataset\ndef a(): ..."
    assert refusal(write({"pipeline.py": code})).message == (
        "pipeline.py:3: the name a is taken: it was declared at pipeline.py:2"
    )
    two = "import headgate, other\n@headgate.dataset(name='b')\ndef c(): ..."
    other = "import headgate\n\n@headgate.dataset\ndef b(): ..."
    assert refusal(write({"pipeline.py": two, "other.py": other})).message == (
        "pipeline.py:2: the name b is taken: it was declared at other.py:3"
    )


def test_two_names_that_differ_in_case_only(write):
    code = "import headgate\n@headgate.dataset\ndef a(): ...\n@headgate.dataset\ndef A(): ..."
    assert refusal(write({"pipeline.py": code})).message.startswith("pipeline.py:4: ")


def test_a_function_that_is_replaced_later(write):
    code = "import headgate\n@headgate.dataset(name='a')\ndef _(): ...\n@headgate.dataset(name='b')\ndef _(): ..."
    error = refusal(write({"pipeline.py": code}))
    assert error.message == "pipeline.py:2: _ is something else by the end of module pipeline"


def test_no_dataset(write):
    error = refusal(write({"pipeline.py": "import headgate\nheadgate.source('a', path='a.csv')"}))
    assert "has no dataset: its modules (pipeline) declare none" in error.message
    assert "@headgate.dataset" in error.hint


def test_a_missing_upstream_and_a_cycle_have_a_place(write):
    missing = "import headgate\n@headgate.dataset\ndef a(nowhere): ..."
    assert refusal(write({"pipeline.py": missing})).message.startswith("pipeline.py:2: ")
    cycle = "import headgate\n@headgate.dataset\ndef a(b): ...\n@headgate.dataset\ndef b(a): ..."
    message = refusal(write({"pipeline.py": cycle})).message
    assert message.startswith("pipeline.py:2: ")
    assert "a/all -> b/all -> a/all" in message


ANNOTATED = """\
    {future}
    import typing, headgate
    import duckdb, pandas, polars as pl, pyarrow as pa
    if typing.TYPE_CHECKING:
        import decimal
    headgate.source("a", path="a.csv")
    @headgate.dataset
    def b(ctx: headgate.Context, a{annotation}): ...
    """


@pytest.mark.parametrize("future", ["", "from __future__ import annotations"])
@pytest.mark.parametrize(
    "annotation",
    [
        "",
        ": pl.LazyFrame",
        ": pl.DataFrame",
        ": pa.Table",
        ": pa.RecordBatchReader",
        ": duckdb.DuckDBPyRelation",
        ": pandas.DataFrame",
        ": 'pl.LazyFrame'",
        ": pl.LazyFrame | None",
        ": typing.Optional[pa.Table]",
        ": headgate.InputFiles",
        ": typing.Any",
    ],
)
def test_annotations_that_can_be_provided(write, future, annotation):
    if future and "'" in annotation:
        pytest.skip("text within text")
    code = textwrap.dedent(ANNOTATED).format(future=future, annotation=annotation)
    assert list(load(write({"pipeline.py": code})).datasets) == ["b"]


@pytest.mark.parametrize(
    ("annotation", "says"),
    [
        (": int", "pipeline.py:7: dataset b: a is annotated as 'int', which no input can be"),
        (": pl.Series", "a is annotated as 'Series'"),
        (": pl.LazyFrame | pa.Table", "which no input can be"),
        (": list[pl.LazyFrame]", "which no input can be"),
        (": 3", "a is annotated as '3'"),
        (": [pl.LazyFrame]", "which no input can be"),
        (": 'decimal.Decimal'", "cannot be evaluated: NameError: name 'decimal' is not defined"),
        (": 'pl.'", "cannot be evaluated: SyntaxError"),
    ],
)
def test_annotations_that_cannot_be_provided(write, annotation, says):
    code = textwrap.dedent(ANNOTATED).format(future="", annotation=annotation)
    assert says in refusal(write({"pipeline.py": code})).message


def test_module_files(write):
    root = write({"a.py": "", "b/__init__.py": "", "b/c.py": ""})
    assert module_file(root, "a") == root / "a.py"
    assert module_file(root, "b") == root / "b/__init__.py"
    assert module_file(root, "b.c") == root / "b/c.py"
    assert module_file(root, "d") is None


POLICIES = """\
    import headgate

    class Strange(Exception): ...
    BUSY = headgate.failure(Strange, "transient", "Wait.", "busy")

    @headgate.dataset(ARGUMENTS)
    def orders(): raise Strange
    """


def test_policies_of_a_declaration(write):
    declared = POLICIES.replace("ARGUMENTS", "pools=['api'], concurrency=2, failures=[BUSY]")
    project = load(write({"pipeline.py": declared}, toml="[pools]\napi = 3\n[retry]\nattempts = 8"))
    orders = project.datasets["orders"]
    assert (orders.pools, orders.concurrency) == ({"api": 1}, 2)
    assert orders.failure_modes == (FailureMode("pipeline.Strange", ErrorClass.TRANSIENT, "Wait.", "busy"),)
    effective = project.policies.effective(orders, "backfill", "alice")
    assert (effective.retry.attempts, effective.concurrency, effective.pools) == (8, 2, {"api": 1})
    assert effective.origins["pools"] == "@dataset at pipeline.py:6"


def test_policies_are_no_other_code(write):
    plain = load(write({"pipeline.py": POLICIES.replace("ARGUMENTS", "")})).datasets["orders"].code
    declared = POLICIES.replace("ARGUMENTS", "pools=['api'], concurrency=2, failures=[BUSY]")
    assert load(write({"pipeline.py": declared}, toml="[pools]\napi = 3")).datasets["orders"].code == plain


def test_a_pool_that_headgate_toml_does_not_declare(write):
    error = refusal(write({"pipeline.py": POLICIES.replace("ARGUMENTS", "pools=['ware']")}, toml="pools.warehouse = 3"))
    assert error.message == "pipeline.py:6: dataset orders: there is no pool 'ware'"
    assert error.hint == "Did you mean warehouse?"


def test_a_failure_mode_that_cannot_be_is_named_with_its_line(write):
    error = refusal(write({"pipeline.py": POLICIES.replace('"transient"', '"fatal"')}))
    assert error.message.startswith("pipeline.py:4: failure pipeline.Strange: there is no class of errors 'fatal'")
