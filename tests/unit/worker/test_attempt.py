import asyncio
import contextlib
import subprocess
import sys
import textwrap

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headgate.executors.inline import InlineExecutor
from headgate.project.fingerprint import CodeReader
from headgate.project.modules import import_modules
from headgate.worker import attempt as attempt_module
from headgate.worker.attempt import run_attempt, run_attempt_async
from headgate.worker.messages import Failed, FilePin, InputPin, Order, Staged

MODULE = """
from __future__ import annotations
import asyncio, errno, functools
import duckdb, pandas as pd, polars as pl, pyarrow as pa
from datetime import UTC, datetime
import headgate

TABLE = pa.table({"id": [1, 2], "name": ["a", None]})
CALLS = []

def effect(): CALLS.append(1)
def effect_with_ctx(ctx): CALLS.append((ctx.dataset, ctx.key, ctx.window, ctx.number, dict(ctx.parameters)))
def marks(ctx):
    ctx.set_watermark(datetime(1970, 1, 2, tzinfo=UTC)); ctx.set_offset("topic", 7)
    return TABLE
def arrow(): return TABLE
def batch(): return TABLE.to_batches()[0]
def reader(): return TABLE.to_reader()
def polars(): return pl.from_arrow(TABLE)
def lazy(): return pl.from_arrow(TABLE).lazy()
def relation(): return duckdb.from_arrow(TABLE)
def pandas(): return pd.DataFrame({"id": [0, 1, 2], "name": ["z", "a", None]}).iloc[1:]
def grouped(): return pd.DataFrame({"id": [1, 1, 2], "v": [1, 2, 3]}).groupby("id").sum()
def generator():
    yield TABLE.slice(0, 1)
    yield pl.from_arrow(TABLE.slice(1))
def empty(): return TABLE.slice(0, 0)
def reads(x: pl.LazyFrame, y: pa.Table | None, ctx):
    assert y is None
    return x.filter(pl.col("id") > 1)
def wrapped(inner):
    @functools.wraps(inner)
    def outer(**named): return inner(**named)
    return outer
decorated = wrapped(reads)

def returns_dict(): return {"a": 1}
def returns_series(): return pl.Series([1])
def returns_list(): return [TABLE]
def yields_nothing(): yield from ()
def yields_dict(): yield {}
def yields_two_schemas():
    yield TABLE
    yield pa.table({"id": ["1"], "name": ["b"]})
def no_columns(): return pa.table({})
def late():
    yield TABLE
    raise RuntimeError("late\\nand long " + "x" * 5000)
def bad_query(): return duckdb.sql("select error('boom') as a")
def raises(error):
    def function(): raise error
    return function
zero = raises(ZeroDivisionError("by zero"))
memory = raises(MemoryError())
disk = raises(OSError(errno.ENOSPC, "No space left on device"))
missing = raises(FileNotFoundError(errno.ENOENT, "No such file", "x"))
refused = raises(ConnectionRefusedError("refused"))
slow = raises(TimeoutError())
usage = raises(headgate.UsageError("the value 7", hint="use 8"))
away = raises(headgate.UnavailableError("down"))
leaves = raises(SystemExit(0))
interrupts = raises(KeyboardInterrupt())
surrogate = raises(ValueError("\\udc80"))
class Rude(Exception):
    def __str__(self): raise RuntimeError
rude = raises(Rude())
def naive(ctx): ctx.set_watermark(datetime(2020, 1, 1))
def annotated(x: int): pass
def overwrites(x: headgate.InputFiles):
    with open(x.paths[0], "ab") as file: file.write(b"more")
    raise ValueError("strange data")

MODES = [
    headgate.failure(LookupError, "data", "Look into the file."),
    headgate.failure("ValueError", "transient", "Wait a minute.", contains="busy now"),
    headgate.failure(ConnectionRefusedError, "resource", "Start the server."),
]
@headgate.dataset(failures=MODES)
def m_key(): raise KeyError("x")
@headgate.dataset(failures=MODES)
def m_busy(): raise ValueError("is busy\\nnow")
@headgate.dataset(failures=MODES)
def m_broken(): raise ValueError("is broken")
@headgate.dataset(failures=MODES)
async def m_refused(): raise ConnectionRefusedError("refused")
@headgate.dataset(failures=MODES)
def m_overwrites(x: headgate.InputFiles):
    with open(x.paths[0], "ab") as file: file.write(b"more")
    raise KeyError("strange data")

async def a_effect(ctx): await asyncio.sleep(0)
async def a_table(x: pl.LazyFrame, y): return x.filter(pl.col("id") > 1)
async def a_generator():
    yield TABLE.slice(0, 1)
    await asyncio.sleep(0)
    yield TABLE.slice(1)
closed = []
async def a_late():
    try:
        yield TABLE
        await asyncio.sleep(0)
        raise RuntimeError("late")
    finally:
        closed.append("late")
STARTED = asyncio.Event()
async def a_hangs():
    STARTED.set()
    await asyncio.Event().wait()
async def a_hangs_midway():
    try:
        yield TABLE
        STARTED.set()
        await asyncio.Event().wait()
    finally:
        closed.append("midway")
async def a_cancels_itself(): raise asyncio.CancelledError
async def a_yields_dict(): yield {}
"""

ROWS = [{"id": 1, "name": "a"}, {"id": 2, "name": None}]


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Give a fresh import of the module above."""
    (tmp_path / "pipeline.py").write_text(MODULE)
    (tmp_path / "broken.py").write_text("1 / 0")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(attempt_module, "_entries", {})
    monkeypatch.delitem(sys.modules, "pipeline", raising=False)
    import pipeline

    yield pipeline
    sys.modules.pop("pipeline", None)


@pytest.fixture
def order(module, tmp_path):
    def make(name, inputs=(), *, entry=None):
        return Order(
            attempt=5,
            entry=entry or f"pipeline:{name}",
            dataset="flights",
            key="2013-01-01",
            window=(0, 86_400_000),
            number=2,
            run="r1",
            inputs=list(inputs),
            stage=str(tmp_path / "staged.parquet"),
            parameters={"p": 1},
            is_async=False,
            timeout_ms=None,
        )

    return make


def pins(tmp_path):
    path = tmp_path / "up.parquet"
    pq.write_table(pa.Table.from_pylist(ROWS), path)
    file = FilePin(str(path), path.stat().st_size, "", "k")
    return [InputPin("x", "up", "parquet", ["k"], [file]), InputPin("y", "other", "parquet", [], [])]


def staged_rows(outcome):
    assert isinstance(outcome, Staged), outcome
    [file] = outcome.files
    assert (file.rows, file.bytes) == (outcome.rows, outcome.bytes)
    return pq.read_table(file.path).to_pylist()


def test_nothing_returned_is_an_effect(order, module, tmp_path):
    outcome = run_attempt(order("effect"))
    assert isinstance(outcome, Staged)
    assert (outcome.attempt, outcome.files, outcome.rows, outcome.content, outcome.schema) == (5, [], 0, "", None)
    assert outcome.elapsed_ms >= 0
    assert module.CALLS == [1]
    assert not (tmp_path / "staged.parquet").exists()


def test_ctx_says_what_the_order_says(order, module):
    assert isinstance(run_attempt(order("effect_with_ctx")), Staged)
    assert module.CALLS == [("flights", "2013-01-01", (0, 86_400_000), 2, {"p": 1})]


def test_watermark_and_offsets_are_reported(order):
    outcome = run_attempt(order("marks"))
    assert isinstance(outcome, Staged)
    assert (outcome.watermark_ms, outcome.offsets) == (86_400_000, {"topic": 7})


@pytest.mark.parametrize("name", ["arrow", "batch", "reader", "polars", "lazy", "relation", "pandas", "generator"])
def test_every_kind_of_table_is_staged_alike(order, name):
    outcome = run_attempt(order(name))
    assert staged_rows(outcome) == ROWS
    assert outcome.schema == [("id", "int64"), ("name", "string")]
    assert outcome.content.startswith("hgsum@1:2:")


def test_a_named_pandas_index_is_data(order):
    assert staged_rows(run_attempt(order("grouped"))) == [{"id": 1, "v": 3}, {"id": 2, "v": 3}]


def test_an_empty_table_has_a_file(order):
    assert staged_rows(run_attempt(order("empty"))) == []


@pytest.mark.parametrize("name", ["reads", "decorated"])
def test_inputs_are_bound_by_name(order, tmp_path, name):
    assert staged_rows(run_attempt(order(name, pins(tmp_path)))) == ROWS[1:]


@pytest.mark.parametrize(
    ("name", "error_class", "message", "hint"),
    [
        ("returns_dict", "permanent", "flights returned dict; return a table (Polars, Arrow, DuckDB, pandas)", ""),
        ("returns_series", "permanent", "flights returned Series, which is no table", ""),
        ("returns_list", "permanent", "flights returned list; return a table", ""),
        ("yields_nothing", "permanent", "flights yielded nothing", "Yield at least one table"),
        ("yields_dict", "permanent", "flights yielded dict; return a table", ""),
        (
            "yields_two_schemas",
            "data",
            "number 2 has id: string, the first one id: int64",
            "Cast every table to one schema",
        ),
        ("no_columns", "permanent", "the result has no columns", "Return a table with columns"),
        ("a_effect", "permanent", "flights returned coroutine; return a table", ""),
        ("missing_name", "permanent", "module pipeline has no function missing_name", "Plan again"),
        ("annotated", "permanent", "x is annotated as 'int', which no input can be", "Use one of"),
        ("usage", "permanent", "the value 7", "use 8"),
        ("away", "transient", "down", ""),
        ("zero", "permanent", "ZeroDivisionError: by zero", ""),
        ("memory", "resource", "MemoryError:", ""),
        ("disk", "resource", "OSError: [Errno 28] No space left on device", ""),
        ("missing", "permanent", "FileNotFoundError: [Errno 2] No such file: 'x'", ""),
        ("refused", "transient", "ConnectionRefusedError: refused", ""),
        ("slow", "transient", "TimeoutError:", ""),
        ("leaves", "permanent", "SystemExit: 0", ""),
        ("interrupts", "permanent", "KeyboardInterrupt:", ""),
        ("surrogate", "permanent", "ValueError: \\udc80", ""),
        ("rude", "permanent", "Rude: (its text cannot be shown)", ""),
        ("naive", "permanent", "set_watermark got 2020-01-01T00:00:00, which has no time zone", "Give it one"),
        ("late", "permanent", "RuntimeError: late and long xxx", ""),
        ("bad_query", "permanent", "boom", ""),
    ],
)
@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")
def test_failures(order, tmp_path, name, error_class, message, hint):
    outcome = run_attempt(order(name))
    assert isinstance(outcome, Failed)
    assert outcome.attempt == 5
    assert outcome.error_class == error_class
    assert message in outcome.message
    assert "\n" not in outcome.message
    assert len(outcome.message) <= 2000
    assert outcome.hint.startswith(hint)
    assert not (tmp_path / "staged.parquet").exists()


@pytest.mark.parametrize(
    ("name", "error_class", "hint"),
    [
        ("m_key", "data", "Look into the file."),
        ("m_busy", "transient", "Wait a minute."),
        ("m_broken", "permanent", ""),
        ("m_refused", "resource", "Start the server."),
    ],
)
def test_the_failure_modes_of_the_function_say_class_and_hint(order, name, error_class, hint):
    outcome = asyncio.run(run_attempt_async(order(name)))
    assert isinstance(outcome, Failed)
    assert (outcome.error_class, outcome.hint) == (error_class, hint)
    if name != "m_refused":
        again = run_attempt(order(name))
        assert isinstance(again, Failed)
        assert (again.error_class, again.hint) == (error_class, hint)


def test_failure_modes_are_about_the_function_only(order, tmp_path):
    outcome = run_attempt(order("m_overwrites", pins(tmp_path)[:1]))
    assert isinstance(outcome, Failed)
    assert "changed while it was read" in outcome.message
    assert outcome.hint.startswith("Plan again")


def test_a_traceback_starts_at_the_users_code(order):
    outcome = run_attempt(order("zero"))
    assert isinstance(outcome, Failed)
    assert 'pipeline.py"' in outcome.traceback.splitlines()[1]
    assert "attempt.py" not in outcome.traceback
    wrong = run_attempt(order("returns_dict"))
    assert isinstance(wrong, Failed)
    assert wrong.traceback == ""


def test_a_module_that_raises_or_is_gone(order):
    broken = run_attempt(order("", entry="broken:f"))
    assert isinstance(broken, Failed)
    assert broken.message == "ZeroDivisionError: division by zero"
    assert "broken.py" in broken.traceback
    gone = run_attempt(order("", entry="gone_module:f"))
    assert isinstance(gone, Failed)
    assert gone.message == "ModuleNotFoundError: No module named 'gone_module'"


@pytest.fixture
def code_order(tmp_path, monkeypatch):
    """Give orders for functions of a new project, with the fingerprint that their code has now."""
    root = tmp_path / "project"
    (root / "jobs" / "deep").mkdir(parents=True)
    (root / "jobs" / "__init__.py").write_text("def own(): pass\n")
    (root / "jobs" / "deep" / "__init__.py").write_text("")
    (root / "jobs" / "deep" / "sums.py").write_text("from jobs.parts import SEEN, add\n\ndef total(): add(1)\n")
    (root / "jobs" / "parts.py").write_text("SEEN = []\n\ndef add(n): SEEN.append(n)\n")
    (root / "flat.py").write_text("import jobs.parts\n\ndef one(): jobs.parts.add(1)\n")
    monkeypatch.syspath_prepend(root)
    monkeypatch.setattr(attempt_module, "_entries", {})

    def make(entry, version=None):
        code = CodeReader(root).fingerprint(*entry.split(":"), version)
        return Order(1, entry, "sums", "k", None, 1, "r7", [], str(tmp_path / "s"), {}, False, None, code, version)

    yield root, make
    for name in [name for name in sys.modules if name.partition(".")[0] in {"jobs", "flat"}]:
        del sys.modules[name]


ENTRIES = ["flat:one", "jobs.deep.sums:total", "jobs:own"]


@pytest.mark.parametrize("entry", ENTRIES)
@pytest.mark.parametrize("version", [None, "2"])
def test_the_code_that_the_run_was_started_with_runs(code_order, entry, version):
    _, make = code_order
    assert isinstance(run_attempt(make(entry, version)), Staged)
    assert isinstance(asyncio.run(run_attempt_async(make(entry, version))), Staged)


@pytest.mark.parametrize("entry", ENTRIES)
def test_other_code_than_the_run_was_started_with_does_not_run(code_order, entry):
    root, make = code_order
    order = make(entry)
    file = root / ("flat.py" if entry == "flat:one" else "jobs/deep/sums.py" if "deep" in entry else "jobs/__init__.py")
    file.write_text(file.read_text().replace("add(1)", "add(2)").replace("pass", "return"))
    outcome = run_attempt(order)
    assert isinstance(outcome, Failed)
    assert outcome.message == "the code of sums changed after this session of the run began"
    assert outcome.hint == "headgate retry r7 builds what is left with the new code."
    assert getattr(sys.modules.get("jobs.parts"), "SEEN", []) == []


@pytest.mark.parametrize("entry", ENTRIES[:2])
def test_an_edited_function_of_another_module_counts(code_order, entry):
    root, make = code_order
    order = make(entry)
    (root / "jobs" / "parts.py").write_text("SEEN = []\n\ndef add(n): SEEN.append(-n)\n")
    assert isinstance(run_attempt(order), Failed)
    assert sys.modules["jobs.parts"].SEEN == []


def test_a_comment_is_no_other_code(code_order):
    root, make = code_order
    order = make("flat:one")
    (root / "flat.py").write_text("# New.\n" + (root / "flat.py").read_text())
    assert isinstance(run_attempt(order), Staged)


def test_a_process_that_sees_code_edited_between_runs_runs_the_new(code_order):
    root, make = code_order
    for added in (1, 2):
        (root / "flat.py").write_text(f"import jobs.parts\n\ndef one(): jobs.parts.add({added})\n")
        import_modules(root, ["flat"])
        with contextlib.closing(InlineExecutor(root)) as executor:
            executor.submit(make("flat:one"))
            assert [type(outcome) for outcome in executor.poll(0)] == [Staged]
        assert [added] == sys.modules["jobs.parts"].SEEN


def test_a_missing_input_is_a_data_failure(order, tmp_path):
    inputs = pins(tmp_path)
    (tmp_path / "up.parquet").unlink()
    outcome = run_attempt(order("reads", inputs))
    assert isinstance(outcome, Failed)
    assert (outcome.error_class, outcome.traceback) == ("data", "")
    assert "up.parquet cannot be read: No such file" in outcome.message


def test_an_input_that_changed_explains_the_failure(order, tmp_path):
    outcome = run_attempt(order("overwrites", pins(tmp_path)[:1]))
    assert isinstance(outcome, Failed)
    assert outcome.error_class == "data"
    assert "up.parquet changed while it was read" in outcome.message
    assert outcome.hint.startswith("Plan again")


def test_a_stage_that_is_taken_is_a_resource_failure(order, tmp_path):
    (tmp_path / "staged.parquet").write_text("taken")
    outcome = run_attempt(order("arrow"))
    assert isinstance(outcome, Failed)
    assert outcome.error_class == "resource"
    assert "File exists" in outcome.message


def test_an_effect_imports_no_data_library(tmp_path):
    (tmp_path / "light.py").write_text("def f(ctx): pass")
    script = f"""
        import sys
        sys.path.insert(0, {str(tmp_path)!r})
        from headgate.worker.attempt import run_attempt
        from headgate.worker.messages import Order
        outcome = run_attempt(Order(1, "light:f", "d", "k", None, 1, "r", [], "", {{}}, False, None))
        assert type(outcome).__name__ == "Staged", outcome
        heavy = {{"numpy", "pyarrow", "polars", "duckdb", "pandas", "asyncio"}} & set(sys.modules)
        assert not heavy, heavy
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=True)


def test_async_functions(order, tmp_path):
    async def run():
        effect = await run_attempt_async(order("a_effect"))
        assert isinstance(effect, Staged)
        assert effect.files == []
        assert staged_rows(await run_attempt_async(order("a_table", pins(tmp_path)))) == ROWS[1:]
        (tmp_path / "staged.parquet").unlink()
        assert staged_rows(await run_attempt_async(order("a_generator"))) == ROWS
        (tmp_path / "staged.parquet").unlink()
        assert staged_rows(await run_attempt_async(order("arrow"))) == ROWS

    asyncio.run(run())


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("a_late", "RuntimeError: late"),
        ("a_cancels_itself", "CancelledError:"),
        ("a_yields_dict", "flights yielded dict"),
        ("zero", "ZeroDivisionError: by zero"),
    ],
)
def test_async_failures(order, module, tmp_path, name, message):
    outcome = asyncio.run(run_attempt_async(order(name)))
    assert isinstance(outcome, Failed)
    assert message in outcome.message
    assert not (tmp_path / "staged.parquet").exists()
    assert module.closed == (["late"] if name == "a_late" else [])


@pytest.mark.parametrize("name", ["a_hangs", "a_hangs_midway"])
def test_async_cancel_leaves_nothing(order, module, tmp_path, name):
    async def run():
        task = asyncio.create_task(run_attempt_async(order(name)))
        await asyncio.wait_for(module.STARTED.wait(), 10)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(run())
    assert not (tmp_path / "staged.parquet").exists()
    assert module.closed == (["midway"] if name == "a_hangs_midway" else [])


def test_async_cancel_between_two_items(order, module, tmp_path, monkeypatch):
    submit = asyncio.run_coroutine_threadsafe
    asked = []

    async def run():
        task = asyncio.create_task(run_attempt_async(order("a_hangs_midway")))

        def submit_late(items, loop):
            asked.append(items)
            if len(asked) == 2:
                # The thread has seen that nobody cancelled; now somebody does, and the loop goes on before it asks.
                loop.call_soon_threadsafe(task.cancel)
                for _ in range(10):
                    submit(asyncio.sleep(0), loop).result()
            return submit(items, loop)

        monkeypatch.setattr(asyncio, "run_coroutine_threadsafe", submit_late)
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(run())
    assert not (tmp_path / "staged.parquet").exists()
    assert module.closed == ["midway"]
    assert not module.STARTED.is_set()
