"""What is staged and kept is in memory of its own: functions hand over theirs, and go on using it."""

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headgate.tables.recent import Recent
from headgate.tables.staging import stage

ROWS = 1000


@pytest.fixture
def kept(monkeypatch):
    kept = Recent()
    monkeypatch.setattr("headgate.tables.staging.recent", kept)
    return kept


def test_who_yields_may_fill_the_same_memory_again(tmp_path, kept):
    memory = np.zeros(ROWS, dtype=np.int64)

    def batches():
        for turn in range(3):
            memory[:] = turn
            yield pa.record_batch({"turn": pa.array(memory)})

    staged = stage(tmp_path / "f.parquet", pa.schema({"turn": pa.int64()}), batches())
    turns = [turn for turn in range(3) for _ in range(ROWS)]
    assert pq.read_table(staged.path)["turn"].to_pylist() == turns
    assert kept.find(str(staged.path), staged.hash)["turn"].to_pylist() == turns


@pytest.mark.parametrize("of", [lambda memory: pl.DataFrame({"n": memory}), lambda memory: pa.table({"n": memory})])
def test_what_is_kept_does_not_change_with_the_memory_of_a_function(tmp_path, kept, of):
    memory = np.arange(ROWS)
    reader = pa.RecordBatchReader.from_stream(of(memory))
    staged = stage(tmp_path / "f.parquet", reader.schema, reader)
    memory[:] = -1
    assert kept.find(str(staged.path), staged.hash)["n"].to_pylist() == list(range(ROWS))


def test_what_is_kept_of_something_large_is_small(tmp_path, kept):
    table = pa.table({"n": np.arange(1_000_000), "t": ["x"] * 1_000_000}).slice(7, 5)
    before = pa.total_allocated_bytes()
    staged = stage(tmp_path / "f.parquet", table.schema, table.to_batches())
    assert kept.find(str(staged.path), staged.hash).equals(table)
    del table
    assert pa.total_allocated_bytes() < before


@pytest.mark.parametrize(
    "array",
    [
        pa.array(["a", None, "b"]).dictionary_encode(),
        pa.array([[1], None, []], pa.list_(pa.int8())),
        pa.array([{"a": 1}, None, {"a": None}]),
        pa.array([True, None, False]),
        pa.nulls(3),
        pa.array([b"0" * 16, None, b"1" * 16], pa.binary(16)).cast(pa.uuid()),
    ],
    ids=lambda array: str(array.type),
)
def test_types_stay(tmp_path, kept, array):
    table = pa.table({"x": array})
    staged = stage(tmp_path / "f.parquet", table.schema, table.to_batches())
    assert kept.find(str(staged.path), staged.hash).equals(table)


def test_a_type_that_nobody_has_registered_stays(tmp_path, kept):
    class Celsius(pa.ExtensionType):
        def __init__(self):
            super().__init__(pa.float64(), "test.celsius")

        def __hash__(self):
            return hash("celsius")

        def __arrow_ext_serialize__(self):
            return b""

        @classmethod
        def __arrow_ext_deserialize__(cls, storage, serialized):
            return cls()

    table = pa.table({"x": pa.ExtensionArray.from_storage(Celsius(), pa.array([1.5, None]))})
    staged = stage(tmp_path / "f.parquet", table.schema, table.to_batches())
    assert kept.find(str(staged.path), staged.hash).schema == table.schema


def test_flags_of_a_frame_do_not_get_about(tmp_path, kept):
    frame = pl.DataFrame({"n": [1, 999, 3]}).with_columns(pl.col("n").set_sorted())
    reader = pa.RecordBatchReader.from_stream(frame)
    staged = stage(tmp_path / "f.parquet", reader.schema, reader)
    assert pl.DataFrame(kept.find(str(staged.path), staged.hash))["n"].max() == 999
