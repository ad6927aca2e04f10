from __future__ import annotations

import gzip
import hashlib
import http.server
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headgate.errors import UsageError
from headgate.model.run import ErrorClass
from headgate.project.functions import InputKind, kind_of
from headgate.worker.failures import AttemptError
from headgate.worker.inputs import InputFiles, OpenInputs
from headgate.worker.messages import FilePin, InputPin

if TYPE_CHECKING:
    import decimal

A = pa.table({"id": [1, 2], "name": ["a", None]})
B = pa.table({"id": pa.array([3], pa.int32()), "extra": [0.5]})


def pin(path, key="k", *, size=None, digest=None):
    data = Path(path).read_bytes()
    digest = hashlib.sha256(data).hexdigest() if digest is None else digest
    return FilePin(str(path), len(data) if size is None else size, f"sha256:{digest}", key)


def write(path, table):
    pq.write_table(table, path)
    return pin(path)


def opened(files, shape, *, format="parquet", stage="/nowhere/f.parquet"):  # noqa: A002
    pins = [InputPin("x", "up", format, [file.key for file in files], files)]
    return OpenInputs(pins, stage).arguments({"x": shape})["x"]


def as_rows(value):
    match value:
        case pl.LazyFrame():
            return value.collect().to_dicts()
        case pl.DataFrame():
            return value.to_dicts()
        case pa.RecordBatchReader():
            return value.read_all().to_pylist()
        case duckdb.DuckDBPyRelation():
            return value.to_arrow_table().to_pylist()
        case pd.DataFrame():
            return value.astype(object).where(value.notna(), None).to_dict("records")
        case _:
            return value.to_pylist()


def sample(
    a: pl.LazyFrame,
    b: pl.DataFrame | None,
    c: pa.Table,
    d: Optional[duckdb.DuckDBPyRelation],  # noqa: UP045
    e: pd.DataFrame,
    f: pa.RecordBatchReader,
    g: InputFiles,
    h: Any,
    i,
    j: None | InputFiles,  # noqa: RUF036
):
    """Have every annotation that works."""


def wrong(a: dict, b: decimal.Decimal, c: pa.Table | None, d: int | str):
    """Have annotations that do not."""


def test_annotations_are_resolved():
    found = {name: kind_of(sample, name) for name in "abcdefghij"}
    assert list(found.values()) == [
        InputKind.POLARS_LAZY_FRAME,
        InputKind.POLARS_DATA_FRAME,
        InputKind.ARROW_TABLE,
        InputKind.DUCKDB_RELATION,
        InputKind.PANDAS_DATA_FRAME,
        InputKind.ARROW_READER,
        *[InputKind.FILES] * 4,
    ]
    assert kind_of(wrong, "c") is InputKind.ARROW_TABLE


@pytest.mark.parametrize(
    ("parameter", "message"), [("a", "is annotated as .*dict"), ("b", "cannot be evaluated"), ("d", "int")]
)
def test_other_annotations_are_refused(parameter, message):
    with pytest.raises(UsageError, match=message):
        kind_of(wrong, parameter)


FRAMES = [
    InputKind.POLARS_LAZY_FRAME,
    InputKind.POLARS_DATA_FRAME,
    InputKind.ARROW_TABLE,
    InputKind.ARROW_READER,
    InputKind.DUCKDB_RELATION,
    InputKind.PANDAS_DATA_FRAME,
]


@pytest.mark.parametrize("shape", FRAMES)
class TestFrames:
    def test_one_parquet_file(self, tmp_path, shape):
        value = opened([write(tmp_path / "day=1 [x]*.parquet", A)], shape)
        assert type(value).__name__ == shape.value.rpartition(".")[2]
        assert as_rows(value) == A.to_pylist()

    def test_several_parquet_files_in_the_order_of_keys(self, tmp_path, shape):
        files = [write(tmp_path / f"{name}.parquet", A.slice(n, 1)) for n, name in enumerate("ba")]
        assert as_rows(opened(files, shape)) == A.to_pylist()

    def test_columns_that_a_file_lacks_are_null(self, tmp_path, shape):
        files = [write(tmp_path / "a.parquet", A), write(tmp_path / "b.parquet", B)]
        assert as_rows(opened(files, shape)) == [
            {"id": 1, "name": "a", "extra": None},
            {"id": 2, "name": None, "extra": None},
            {"id": 3, "name": None, "extra": 0.5},
        ]

    def test_csv_types_come_from_all_rows(self, tmp_path, shape):
        path = tmp_path / "a.csv"
        path.write_text("n,d,t\n" + "1,2013-01-01,\n" * 2000 + "1.5,2013-01-02,x\n")
        value = as_rows(opened([pin(path)], shape, format="csv"))
        assert value[0] == {"n": 1.0, "d": "2013-01-01", "t": None}
        assert value[-1] == {"n": 1.5, "d": "2013-01-02", "t": "x"}

    def test_empty_columns_and_files_do_not_spoil_types(self, tmp_path, shape):
        for name, text in {"a": "n,m,e\n1,,\n", "b": "n,m,e\n", "c": "n,m,e\n,7,\n"}.items():
            (tmp_path / f"{name}.csv").write_text(text)
        files = [pin(tmp_path / f"{name}.csv") for name in "abc"]
        assert as_rows(opened(files, shape, format="csv")) == [
            {"n": 1, "m": None, "e": None},
            {"n": None, "m": 7, "e": None},
        ]

    def test_json_lines_and_gzip(self, tmp_path, shape):
        path = tmp_path / "a.jsonl.gz"
        path.write_bytes(gzip.compress(b'{"id":1,"name":"a"}\n{"id":2}\n'))
        assert as_rows(opened([pin(path)], shape, format="jsonl")) == A.to_pylist()

    def test_no_files_are_none(self, shape):
        assert opened([], shape) is None

    @pytest.mark.parametrize(
        ("name", "data"),
        [
            ("parquet", b"PAR1 nonsense PAR1"),
            ("parquet", b""),
            ("csv", b'a,b\n1,2,3,4\n"'),
            ("csv", b""),
            ("csv", b"\x1f\x8bnonsense"),
            ("jsonl", b'{"a":1}\n{"a":'),
        ],
    )
    def test_a_malformed_file_is_named(self, tmp_path, shape, name, data):
        path = tmp_path / f"bad.{name}"
        path.write_bytes(data)
        with pytest.raises(AttemptError, match=f"bad.{name} cannot be read as {name}") as caught:
            as_rows(opened([pin(path)], shape, format=name))
        assert caught.value.error_class is ErrorClass.DATA
        assert "\n" not in caught.value.message


def test_a_file_handle_gives_everything(tmp_path):
    file = write(tmp_path / "a.parquet", A)
    handle = OpenInputs([InputPin("x", "up", "parquet", ["j", "k"], [file])], "").arguments({})["x"]
    assert isinstance(handle, InputFiles)
    assert (handle.dataset, handle.keys, handle.paths) == ("up", ("j", "k"), (str(tmp_path / "a.parquet"),))
    for value in (handle.polars(), handle.arrow(), handle.duckdb(), handle.pandas()):
        assert as_rows(value) == A.to_pylist()


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(AttemptError, match=r"gone\.parquet cannot be read: No such file") as caught:
        opened([FilePin(str(tmp_path / "gone.parquet"), 1, "", "k")], InputKind.FILES)
    assert caught.value.error_class is ErrorClass.DATA


def test_a_file_of_another_size_than_pinned_is_refused(tmp_path):
    pq.write_table(A, tmp_path / "a.parquet")
    with pytest.raises(AttemptError, match=r"changed since the plan: \d+ bytes instead of 5"):
        opened([pin(tmp_path / "a.parquet", size=5)], InputKind.POLARS_LAZY_FRAME)


def test_a_text_file_of_the_same_size_but_other_bytes_is_refused(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("a\n1\n")
    with pytest.raises(AttemptError, match="its content is another one"):
        opened([pin(path, digest="00")], InputKind.POLARS_DATA_FRAME, format="csv")


def test_a_change_during_the_call_is_seen(tmp_path):
    file = write(tmp_path / "a.parquet", A)
    inputs = OpenInputs([InputPin("x", "up", "parquet", ["k"], [file])], "")
    inputs.arguments({})
    inputs.check()
    pq.write_table(B, file.path)
    with pytest.raises(AttemptError, match="changed while it was read"):
        inputs.check()
    Path(file.path).unlink()
    with pytest.raises(AttemptError, match="cannot be read"):
        inputs.check()


@pytest.fixture
def web():
    """Serve one CSV file, and errors by number."""
    served = b"a,b\n1,x\n"

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            status = int(self.path.strip("/") or 200)
            self.send_response(status)
            self.send_header("ETag", '"one"')
            self.send_header("Content-Length", str(len(served)))
            self.end_headers()
            self.wfile.write(served)

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_url_is_fetched_beside_the_stage_and_removed(tmp_path, web):
    pins = [InputPin("x", "up", "csv", ["k"], [FilePin(f"{web}/", 8, 'etag:"one"', "k")])]
    inputs = OpenInputs(pins, str(tmp_path / "f.parquet"))
    handle = inputs.arguments({})["x"]
    assert isinstance(handle, InputFiles)
    assert handle.paths == (str(tmp_path / "f.parquet.inputs/1"),)
    assert handle.polars().collect().to_dicts() == [{"a": 1, "b": "x"}]
    inputs.check()
    inputs.close()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("path", "size", "tag", "error_class", "message"),
    [
        ("", 8, '"two"', ErrorClass.DATA, "changed since the plan: its tag"),
        ("", 9, '"one"', ErrorClass.DATA, "8 bytes instead of 9"),
        ("404", 8, '"one"', ErrorClass.DATA, "cannot be fetched: 404"),
        ("503", 8, '"one"', ErrorClass.TRANSIENT, "cannot be fetched: 503"),
    ],
)
def test_what_a_url_can_do_wrong(tmp_path, web, path, size, tag, error_class, message):
    pins = [InputPin("x", "up", "csv", ["k"], [FilePin(f"{web}/{path}", size, f"etag:{tag}", "k")])]
    inputs = OpenInputs(pins, str(tmp_path / "f.parquet"))
    with pytest.raises(AttemptError, match=message) as caught:
        inputs.arguments({})
    assert caught.value.error_class is error_class
    inputs.close()
    assert list(tmp_path.iterdir()) == []


def test_nobody_at_a_url_is_transient(tmp_path):
    pins = [InputPin("x", "up", "csv", ["k"], [FilePin("http://127.0.0.1:1/", -1, "", "k")])]
    with pytest.raises(AttemptError, match="Connection refused") as caught:
        OpenInputs(pins, str(tmp_path / "f.parquet")).arguments({})
    assert caught.value.error_class is ErrorClass.TRANSIENT
