"""Frames that functions returned are kept for who reads their files next: as what those files hold."""

from datetime import UTC, date, datetime
from decimal import Decimal

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from headgate.errors import UsageError
from headgate.tables.recent import Recent
from headgate.tables.staging import stage
from headgate.worker import frames
from headgate.worker.inputs import InputFiles
from headgate.worker.messages import FilePin
from headgate.worker.results import open_result

SERIES = [
    pl.Series("x", [1, None, 3]),
    pl.Series("x", [-0.0, float("nan"), None]),
    pl.Series("x", ["a", "", None]),
    pl.Series("x", [b"a", b"", None]),
    pl.Series("x", [True, False, None]),
    pl.Series("x", [date(2024, 1, 1), None, date(1969, 1, 1)]),
    pl.Series("x", [datetime(2024, 1, 1, tzinfo=UTC), None, None]),
    pl.Series("x", [datetime(2024, 1, 1), None, None], dtype=pl.Datetime("ns")),
    pl.Series("x", [Decimal("1.50"), None, Decimal("-2.00")]),
    pl.Series("x", [[1, None], [], None]),
    pl.Series("x", [{"a": 1, "b": "x"}, {"a": None, "b": None}, None]),
    pl.Series("x", [None, None, None]),
    pl.Series("x", ["a", "b", None], dtype=pl.Categorical),
    pl.Series("x", ["a", "b", None], dtype=pl.Categorical(pl.Categories("places"))),
    pl.Series("x", ["a", "b", None], dtype=pl.Enum(["b", "a"])),
]


@pytest.fixture
def kept(monkeypatch):
    kept = Recent()
    monkeypatch.setattr(frames, "_recent_frames", kept)
    return kept


def staged(folder, frame):
    schema, batches = open_result(frame, "shop")
    one = stage(folder / "f.parquet", schema, batches)
    pin = FilePin(str(one.path), one.bytes, one.hash, "a")
    return one, schema, InputFiles("shop", ("a",), "parquet", (pin,), immutable=True)


@pytest.mark.parametrize("series", SERIES, ids=lambda series: str(series.dtype))
def test_what_is_kept_is_what_would_be_read(tmp_path, kept, series):
    frame = series.to_frame()
    one, schema, files = staged(tmp_path, frame)
    read = frames.polars(files)
    kept._tables.clear()
    frames.keep(one, frame, schema)
    assert_frame_equal(frames.polars(files), read, check_exact=True, categorical_as_str=False)
    assert frames.polars(files).schema == read.schema


def test_a_frame_of_types_that_files_hold_is_kept(tmp_path, kept):
    frame = pl.DataFrame({"a": [1], "b": ["x"]})
    one, schema, files = staged(tmp_path, frame)
    frames.keep(one, frame, schema)
    assert kept.find(str(one.path), one.hash) is not None
    # What the function does to its frame later changes nothing.
    frame.insert_column(0, pl.Series("c", [1.0]))
    assert frames.polars(files).columns == ["a", "b"]


def test_a_frame_of_other_types_is_not(tmp_path, kept):
    frame = pl.DataFrame({"a": [1]})
    one, schema, _ = staged(tmp_path, frame)
    frames.keep(one, frame.cast(pl.Int32), schema)
    assert kept.find(str(one.path), one.hash) is None


def test_a_column_that_arrow_does_not_know_is_refused():
    with pytest.raises(UsageError, match=r"shop returned a table that cannot be stored: .*i128"):
        open_result(pl.DataFrame({"a": pl.Series([1], dtype=pl.Int128)}), "shop")
