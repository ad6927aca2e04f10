"""Gates inside attempts: ordinary, asynchronous, ranged, and of batches."""

import asyncio
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headgate.model.gate import Severity
from headgate.worker import attempt as attempt_module
from headgate.worker.attempt import run_attempt, run_attempt_async
from headgate.worker.link import NO_LINK
from headgate.worker.messages import Baseline, Failed, FilePin, InputPin, Member, Order, Split, Staged

MODULE = """
import headgate
import polars as pl
import pyarrow as pa
from pathlib import Path

GATES = [headgate.not_null("n"), headgate.row_count(min=3, severity="warn")]
DAYS = headgate.daily("2024-01-01")

@headgate.dataset(gates=GATES)
def table(): return pa.table({"n": [1, None]})

@headgate.dataset(gates=GATES)
async def later(): return pa.table({"n": [1, None]})

@headgate.dataset(gates=GATES)
async def streamed():
    yield pa.table({"n": [1, 2]})
    yield pa.table({"n": [3]})

@headgate.dataset(gates=GATES)
def nothing(): return None

@headgate.dataset(gates=GATES)
async def nothing_later(): return None

@headgate.dataset(gates=[headgate.unique("n")], batches=0)
def batches(ctx):
    for number in range(ctx.resume_from or 0, 3):
        yield headgate.Batch(pa.table({"n": [number % 2]}), offset=number + 1)

COUNTS = [headgate.row_count(within=0.5), headgate.sums_match("up"), headgate.check(lambda frame, ctx: ctx.key)]

@headgate.dataset(gates=COUNTS, partitions=DAYS, batch=2, partition_column="day")
def days(up: pl.DataFrame): return up

@headgate.dataset(gates=[headgate.sums_match("up")])
def whole(up: pl.DataFrame): return up.head(1)

def rewrites(frame, up: headgate.InputFiles):
    Path(up.paths[0]).write_text("x")

@headgate.dataset(gates=[headgate.check(rewrites)])
def unwatched(up: headgate.InputFiles): return pa.table({"n": [1]})
"""


@pytest.fixture
def order(tmp_path, monkeypatch):
    (tmp_path / "gated.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(attempt_module, "_entries", {})
    monkeypatch.delitem(sys.modules, "gated", raising=False)

    def make(name, **named):
        stage = str(tmp_path / "k-a0005.parquet")
        return Order(
            5, f"gated:{name}", name, "k", None, 1, "r1", named.pop("inputs", []), stage, {}, False, None, **named
        )

    yield make
    sys.modules.pop("gated", None)


def found(outcome):
    assert isinstance(outcome, Staged), outcome
    return [(one.gate, one.severity, one.passed, one.text) for one in outcome.gates]


def pin(path, *keys):
    """Return an input of a row for each key, each in a file of its own."""
    files = []
    for number, key in enumerate(keys):
        file = path / f"up-{number}.parquet"
        pq.write_table(pa.table({"day": [key], "n": [number]}), file)
        files.append(FilePin(str(file), file.stat().st_size, "", key))
    return InputPin("up", "up", "parquet", list(keys), files)


def test_what_was_staged_is_looked_at(order):
    assert found(run_attempt(order("table"))) == [
        ("not_null(n)", Severity.BLOCK, False, "n is null in 1 of 2 rows"),
        ("row_count(min=3)", Severity.WARN, False, "2 rows; at least 3 are wanted"),
    ]


@pytest.mark.parametrize(("name", "passed"), [("later", [False, False]), ("streamed", [True, True])])
def test_of_async_functions_too(order, name, passed):
    assert [one[2] for one in found(asyncio.run(run_attempt_async(order(name))))] == passed


@pytest.mark.parametrize("name", ["nothing", "nothing_later"])
def test_nothing_to_look_at_is_a_failure(order, name):
    run = run_attempt if name == "nothing" else lambda order: asyncio.run(run_attempt_async(order))
    outcome = run(order(name))
    assert isinstance(outcome, Failed)
    assert outcome.message == f"{name} has gates and returned nothing"


def test_all_parts_are_looked_at_together(order):
    outcome = run_attempt(order("batches", batches_ms=0), NO_LINK)
    assert len(outcome.files) == 3
    assert found(outcome) == [("unique(n)", Severity.BLOCK, False, "1 of 3 rows repeat what another has: 0 (2)")]


def test_each_member_of_a_ranged_attempt_is_looked_at_with_its_own_inputs(order, tmp_path):
    keys = ["2024-01-01", "2024-01-02"]
    members = [
        Member(number, key, None, 1, str(tmp_path / f"{key}.parquet"), Baseline(rows, [], [], [[key]]))
        for number, key, rows in [(5, keys[0], 1), (6, keys[1], 9)]
    ]
    inputs = [pin(tmp_path, *keys)]
    outcome = run_attempt(order("days", inputs=inputs, members=members, partition_column="day"))
    assert isinstance(outcome, Split)
    first, second = map(found, outcome.members)
    assert [one[2:] for one in first] == [(True, "1 row"), (True, "1 row, 1 row of up"), (False, keys[0])]
    assert [one[2] for one in second] == [False, True, False]
    assert second[2][3] == keys[1]


def test_inputs_are_there_as_they_were_read(order, tmp_path):
    outcome = run_attempt(order("whole", inputs=[pin(tmp_path, "a", "b")]))
    assert found(outcome)[0][2:] == (False, "1 row, 1 (50%) less than 2 rows of up")


def test_an_input_that_changed_while_gates_looked_is_a_failure(order, tmp_path):
    outcome = run_attempt(order("unwatched", inputs=[pin(tmp_path, "a")]))
    assert isinstance(outcome, Failed)
    assert "changed while it was read" in outcome.message


def test_without_gates_no_library_of_theirs_is_imported(order, monkeypatch):
    for name in [name for name in sys.modules if name.startswith("headgate.worker.gates")]:
        monkeypatch.delitem(sys.modules, name)
    import gated

    monkeypatch.setattr(gated, "plain", lambda: pa.table({"n": [1]}), raising=False)
    assert found(run_attempt(order("plain"))) == []
    assert not [name for name in sys.modules if name.startswith("headgate.worker.gates")]
