"""Batch checkpoints: parts, progress, going on, yielding, and what functions get wrong."""

import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headgate.executors.inline import InlineExecutor
from headgate.tables.checksum import ContentChecksum
from headgate.worker import attempt as attempt_module
from headgate.worker.attempt import run_attempt
from headgate.worker.messages import Failed, FilePin, InputPin, Order, Progressed, Resume, Staged, Yielded

MODULE = """
import pyarrow as pa
import headgate
from headgate import Batch

ENDED = []

def table(n, kind=pa.int64()): return pa.table({"n": pa.array([n, n], kind)})

@headgate.dataset(batches=0)
def counts(ctx):
    for n in range(ctx.resume_from or 0, 4):
        ctx.set_watermark(n)
        ctx.set_offset("topic", n)
        yield Batch(table(n), offset=n + 1)

@headgate.dataset(batches=0)
def texts(ctx):
    at = ctx.resume_from or ""
    while len(at) < 3:
        at += "x"
        yield Batch(table(len(at)), offset=at)

@headgate.dataset(batches=0)
def breaks(ctx):
    try:
        for n in range(ctx.resume_from or 0, 4):
            ctx.set_watermark(n)
            if n == 2:
                raise ConnectionError("gone away")
            yield Batch(table(n), offset=n + 1)
    finally:
        ENDED.append(True)

@headgate.dataset(batches=0)
def changes(ctx):
    first = ctx.resume_from or 0
    yield Batch(table(first), offset=1)
    yield Batch(table(1, pa.float64()), offset=2)

@headgate.dataset(batches=0)
def floats(ctx):
    ctx.resume_from
    yield Batch(table(1, pa.float64()), offset=1)

@headgate.dataset(batches=0)
def nothing(ctx):
    ctx.resume_from
    yield from ()

@headgate.dataset(batches=0)
def plain(ctx):
    ctx.resume_from
    yield table(1)

@headgate.dataset(batches=0)
def blind(ctx):
    yield Batch(table(1), offset=1)

@headgate.dataset(batches=0)
def bad_offset(ctx):
    ctx.resume_from
    yield Batch(table(1), offset=1.5)

@headgate.dataset(batches=0)
def not_text(ctx):
    ctx.resume_from
    yield Batch(table(1), offset="\\udc80")

@headgate.dataset(batches=0)
def no_table(ctx):
    ctx.resume_from
    yield Batch([1], offset=1)

@headgate.dataset
def undeclared():
    yield Batch(table(1), offset=1)

@headgate.dataset(batches=0)
def reads(x: headgate.InputFiles, ctx):
    for n in range(ctx.resume_from or 0, 3):
        if n == 1:
            with open(x.paths[0], "ab") as file: file.write(b"more")
        yield Batch(table(n), offset=n + 1)
"""


class Coordinator:
    """Hears what an attempt reports, and asks it to yield after so many checkpoints."""

    def __init__(self, patience=None):
        self.heard = []
        self.patience = patience

    def report(self, message):
        assert isinstance(message, Progressed)
        self.heard.append(message)

    def is_asked(self):
        return self.patience is not None and len(self.heard) >= self.patience


@pytest.fixture
def module(tmp_path, monkeypatch):
    (tmp_path / "batching.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(attempt_module, "_entries", {})
    monkeypatch.delitem(sys.modules, "batching", raising=False)
    import batching

    yield batching
    sys.modules.pop("batching", None)


@pytest.fixture
def order(module, tmp_path):
    def make(name, attempt=5, *, batches_ms=0, resume=None, inputs=()):
        return Order(
            attempt=attempt,
            entry=f"batching:{name}",
            dataset="d",
            key="k",
            window=None,
            number=1,
            run="r1",
            inputs=list(inputs),
            stage=str(tmp_path / f"k-a{attempt:04d}.parquet"),
            parameters={},
            is_async=False,
            timeout_ms=None,
            batches_ms=batches_ms,
            resume=resume,
        )

    return make


def resume_after(heard):
    last = heard[-1]
    return Resume(last.offset, [one.part for one in heard], last.schema, last.watermark_ms, last.offsets)


def rows(outcome):
    assert isinstance(outcome, Staged), outcome
    return pa.concat_tables([pq.read_table(file.path) for file in outcome.files])


def assert_whole(outcome, expected):
    """Assert that the parts together are a table, with the checksum that it would have as one file."""
    found = rows(outcome)
    assert found.column("n").to_pylist() == expected
    checksum = ContentChecksum()
    for batch in found.to_batches():
        checksum.update(batch)
    assert outcome.content == checksum.text()
    assert outcome.rows == len(expected) == sum(file.rows for file in outcome.files)
    assert outcome.bytes == sum(file.bytes for file in outcome.files)
    assert outcome.schema == [("n", "int64")]


ALL = [0, 0, 1, 1, 2, 2, 3, 3]


def test_every_batch_is_a_part_and_a_checkpoint(order, tmp_path):
    link = Coordinator()
    outcome = run_attempt(order("counts"), link)
    assert_whole(outcome, ALL)
    assert [file.path for file in outcome.files] == [str(tmp_path / f"k-a0005-p{n:04d}.parquet") for n in range(1, 5)]
    assert [(one.offset, one.watermark_ms, one.offsets) for one in link.heard] == [
        (n + 1, n, {"topic": n}) for n in range(4)
    ]
    assert [one.part.path for one in link.heard] == [file.path for file in outcome.files]
    assert (outcome.watermark_ms, outcome.offsets) == (3, {"topic": 3})


def test_a_part_takes_batches_until_a_checkpoint_is_due(order, tmp_path):
    link = Coordinator()
    outcome = run_attempt(order("counts", batches_ms=3_600_000), link)
    assert_whole(outcome, ALL)
    assert [file.path for file in outcome.files] == [str(tmp_path / "k-a0005-p0001.parquet")]
    assert link.heard == []


def test_one_that_is_asked_yields_and_the_next_goes_on_from_there(order):
    link = Coordinator(patience=2)
    assert run_attempt(order("counts"), link) == Yielded(5)
    assert [one.offset for one in link.heard] == [1, 2]
    again = Coordinator()
    outcome = run_attempt(order("counts", 6, resume=resume_after(link.heard)), again)
    assert [one.offset for one in again.heard] == [3, 4]
    assert_whole(outcome, ALL)


def test_one_that_is_asked_saves_before_it_is_due(order):
    link = Coordinator(patience=0)
    assert run_attempt(order("counts", batches_ms=3_600_000), link) == Yielded(5)
    assert [(one.offset, one.part.rows) for one in link.heard] == [(1, 2)]


def test_where_nothing_is_left_what_was_saved_is_the_result(order):
    link = Coordinator()
    assert_whole(run_attempt(order("counts"), link), ALL)
    outcome = run_attempt(order("counts", 6, resume=resume_after(link.heard)))
    assert_whole(outcome, ALL)
    assert (outcome.watermark_ms, outcome.offsets) == (3, {"topic": 3})


def test_offsets_may_be_texts(order):
    link = Coordinator(patience=1)
    assert run_attempt(order("texts"), link) == Yielded(5)
    assert link.heard[0].offset == "x"
    assert_whole(run_attempt(order("texts", 6, resume=resume_after(link.heard))), [1, 1, 2, 2, 3, 3])


@pytest.mark.parametrize("batches_ms", [0, 3_600_000])
def test_what_was_yielded_before_a_failure_is_saved(order, module, batches_ms):
    link = Coordinator()
    outcome = run_attempt(order("breaks", batches_ms=batches_ms), link)
    assert isinstance(outcome, Failed)
    assert (outcome.error_class, outcome.message) == ("transient", "ConnectionError: gone away")
    assert (link.heard[-1].offset, link.heard[-1].watermark_ms) == (2, 1)
    assert sum(one.part.rows for one in link.heard) == 4
    assert module.ENDED == [True]


def test_all_batches_have_one_schema_over_all_attempts(order):
    link = Coordinator()
    outcome = run_attempt(order("changes"), link)
    assert isinstance(outcome, Failed)
    assert outcome.error_class == "data"
    assert "number 2 has n: double, the first one n: int64" in outcome.message
    later = run_attempt(order("floats", 6, resume=resume_after(link.heard)))
    assert isinstance(later, Failed)
    assert "number 1 has n: double, the first one n: int64" in later.message


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nothing", "d yielded nothing"),
        ("plain", "d yielded Table; with batches= it must yield headgate.Batch(data, offset=...)"),
        ("blind", "d yielded a batch without a look at ctx.resume_from: what is saved would be made again"),
        ("bad_offset", "the offset of a batch must be a whole number or text, got float"),
        ("not_text", "the offset of a batch is '\\udc80', which is not valid Unicode"),
        ("no_table", "d yielded list; "),
    ],
)
def test_mistakes_are_said(order, tmp_path, name, message):
    outcome = run_attempt(order(name))
    assert isinstance(outcome, Failed)
    assert outcome.error_class == "permanent"
    assert outcome.message.startswith(message)
    assert list(tmp_path.glob("*.parquet")) == []


def test_a_batch_from_a_function_without_batches_is_refused(order):
    outcome = run_attempt(order("undeclared", batches_ms=None))
    assert isinstance(outcome, Failed)
    assert outcome.message == "d yielded Batch, but is declared without batches="


def test_progress_from_inputs_that_changed_is_not_reported(order, tmp_path):
    path = tmp_path / "up.csv"
    path.write_text("n\n1\n")
    pin = InputPin("x", "up", "csv", ["k"], [FilePin(str(path), path.stat().st_size, "", "k")])
    link = Coordinator()
    outcome = run_attempt(order("reads", inputs=[pin]), link)
    assert isinstance(outcome, Failed)
    assert "changed while it was read" in outcome.message
    assert [one.offset for one in link.heard] == [1]


def test_the_inline_executor_reports_progress_before_the_outcome(order, tmp_path):
    executor = InlineExecutor(tmp_path)
    executor.submit(order("counts"))
    executor.ask_to_yield(5)
    assert [type(one) for one in executor.poll(0)] == [*[Progressed] * 4, Staged]
    executor.close()
