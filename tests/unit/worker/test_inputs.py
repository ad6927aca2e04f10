from __future__ import annotations

import gzip
import hashlib
import http.server
import os
import shutil
import threading
from contextlib import nullcontext
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from msgspec.structs import replace

from headgate.errors import UsageError
from headgate.model.run import ErrorClass
from headgate.project.functions import InputKind, kind_of
from headgate.tables.opened import Piece
from headgate.tables.packing import write_pack
from headgate.tables.recent import recent
from headgate.worker import frames, pinned
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


def part(folder, name, table):
    return Piece(write(folder / f"{name}.parquet", table).path, None)


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

    @pytest.mark.parametrize("small_bytes", [frames.SMALL_BYTES, 0])
    @pytest.mark.parametrize(
        ("before", "after", "values"),
        [
            (pa.array([1], pa.int32()), pa.array([2], pa.int64()), [1, 2]),
            (pa.array([1]), pa.array([0.5]), [1.0, 0.5]),
            (pa.array([1]), pa.array(["x"]), ["1", "x"]),
            (pa.array([True]), pa.array(["x"]), ["true", "x"]),
            (pa.array([True]), pa.array([2]), [1, 2]),
            (pa.array([date(2024, 1, 1)]), pa.array(["x"]), ["2024-01-01", "x"]),
            (
                pa.array([date(2024, 1, 1)]),
                pa.array([datetime(2024, 1, 2)]),
                [datetime(2024, 1, 1), datetime(2024, 1, 2)],
            ),
        ],
    )
    def test_a_column_of_another_type_finds_one_that_all_values_fit_into(
        self, tmp_path, monkeypatch, shape, before, after, values, small_bytes
    ):
        monkeypatch.setattr(frames, "SMALL_BYTES", small_bytes)
        tables = {"a": pa.table({"v": before}), "b": pa.table({"w": [1], "v": after})}
        files = [write(tmp_path / f"{name}.parquet", table) for name, table in tables.items()]
        rows = [{"v": value, "w": w} for value, w in zip(values, (None, 1), strict=True)]
        assert as_rows(opened(files, shape)) == rows

    def test_parts_of_packs_of_different_columns(self, tmp_path, shape):
        first = write_pack(tmp_path / "one.parquet", [[part(tmp_path, f"a{n}", A.slice(n, 1))] for n in range(2)])
        second = write_pack(tmp_path / "two.parquet", [[part(tmp_path, f"b{n}", B)] for n in range(2)])
        assert len(first.groups) == len(second.groups) == 2
        files = [
            replace(pin(tmp_path / "one.parquet"), row_group=1),
            replace(pin(tmp_path / "two.parquet"), row_group=0),
        ]
        assert as_rows(opened(files, shape)) == [
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


WIDE = pa.decimal256(50, 2)


@pytest.mark.parametrize("kind", [WIDE, pa.list_(WIDE), pa.struct([("x", WIDE)]), pa.map_(pa.string(), WIDE)])
@pytest.mark.parametrize("shape", [InputKind.POLARS_DATA_FRAME, InputKind.POLARS_LAZY_FRAME])
def test_a_decimal_that_polars_panics_of_is_named(tmp_path, shape, kind):
    table = pa.table({"id": [1], "wide": pa.nulls(1, kind)})
    file = write(tmp_path / "a.parquet", table)
    with pytest.raises(AttemptError, match=r"a\.parquet: column wide has decimal256\(50, 2\)") as raised:
        opened([file], shape)
    assert raised.value.error_class is ErrorClass.DATA
    assert opened([file], InputKind.ARROW_TABLE).equals(table)


def test_a_decimal_that_polars_panics_of_beside_text_is_named(tmp_path):
    one = write(tmp_path / "a.parquet", pa.table({"wide": pa.nulls(1, WIDE)}))
    other = write(tmp_path / "b.parquet", pa.table({"wide": ["x"]}))
    with pytest.raises(AttemptError, match=r"column wide has decimal256\(50, 2\)"):
        opened([one, other], InputKind.ARROW_TABLE)


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


def other_bytes(file):
    """Give a file other rows, but the size and the times that it had."""
    status = Path(file.path).stat()
    pq.write_table(pa.table({"id": [1, 7], "name": ["a", None]}), file.path)
    assert Path(file.path).stat().st_size == file.bytes
    os.utime(file.path, ns=(status.st_atime_ns, status.st_mtime_ns))


SHAPES = [*FRAMES, InputKind.FILES]


@pytest.mark.parametrize("small_bytes", [frames.SMALL_BYTES, 0])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_sources_parquet_of_the_same_size_but_other_bytes_is_refused(tmp_path, monkeypatch, shape, small_bytes):
    monkeypatch.setattr(frames, "SMALL_BYTES", small_bytes)
    file = write(tmp_path / "a.parquet", A)
    other_bytes(file)
    for _ in range(2):  # What was refused once is not among the recent tables.
        with pytest.raises(
            AttemptError, match=r"a\.parquet changed since the plan: its content is another one"
        ) as caught:
            opened([file], shape)
        assert caught.value.error_class is ErrorClass.DATA


def test_files_of_different_columns_are_hashed_as_well(tmp_path):
    files = [write(tmp_path / "a.parquet", A), write(tmp_path / "b.parquet", B)]
    other_bytes(files[0])
    with pytest.raises(AttemptError, match="its content is another one"):
        opened(files, InputKind.POLARS_LAZY_FRAME)


def test_a_function_that_reads_a_handle_later_gets_only_what_was_pinned(tmp_path):
    file = write(tmp_path / "a.parquet", A)
    handle = opened([file], InputKind.FILES)
    other_bytes(file)
    with pytest.raises(AttemptError, match="its content is another one"):
        handle.arrow()
    assert recent.find(file.path, file.hash) is None


def test_a_recent_table_is_what_was_pinned_even_if_its_file_is_not(tmp_path):
    file = write(tmp_path / "a.parquet", A)
    assert opened([file], InputKind.ARROW_TABLE).equals(A)
    other_bytes(file)
    assert opened([file], InputKind.ARROW_TABLE).equals(A)


def test_what_a_function_does_to_its_frame_is_not_seen_by_the_next(tmp_path):
    file = write(tmp_path / "a.parquet", A)
    frame = opened([file], InputKind.POLARS_DATA_FRAME)
    frame.insert_column(0, pl.Series("mine", [None] * frame.height))
    assert opened([file], InputKind.POLARS_DATA_FRAME).equals(pl.DataFrame(A))
    assert opened([file], InputKind.POLARS_LAZY_FRAME).collect().equals(pl.DataFrame(A))


def test_a_large_file_is_not_kept_because_it_is_hashed_apart_from_reading(tmp_path, monkeypatch):
    monkeypatch.setattr(frames, "SMALL_BYTES", 0)
    file = write(tmp_path / "a.parquet", A)
    assert opened([file], InputKind.ARROW_TABLE).equals(A)
    assert recent.find(file.path, file.hash) is None


def test_headgates_own_files_are_not_hashed(tmp_path):
    file = write(tmp_path / "a.parquet", A)
    wrong = FilePin(file.path, file.bytes, "sha256:00", "k")
    for shape in SHAPES:
        inputs = OpenInputs([InputPin("x", "up", "parquet", ["k"], [wrong], True)], "")
        inputs.arguments({"x": shape})
        inputs.check()


def test_a_file_that_is_read_later_is_hashed_once_for_each_of_its_states(tmp_path, monkeypatch):
    monkeypatch.setattr(pinned, "SETTLED_NS", -(2**62))
    file = write(tmp_path / "a.parquet", A)
    before = pinned._hash_in.cache_info()
    for _ in range(3):
        opened([file], InputKind.FILES)
    after = pinned._hash_in.cache_info()
    assert (after.misses - before.misses, after.hits - before.hits) == (1, 2)


def test_a_file_that_has_just_changed_is_hashed_each_time(tmp_path, monkeypatch):
    monkeypatch.setattr(pinned, "SETTLED_NS", 2**62)
    file = write(tmp_path / "a.parquet", A)
    before = pinned._hash_in.cache_info()
    opened([file], InputKind.FILES)
    assert pinned._hash_in.cache_info() == before


@pytest.mark.parametrize("immutable", [False, True])
def test_a_source_that_is_replaced_during_the_call_with_the_same_size_and_time(tmp_path, immutable):
    file = write(tmp_path / "a.parquet", A)
    inputs = OpenInputs([InputPin("x", "up", "parquet", ["k"], [file], immutable)], "")
    inputs.arguments({})
    copy = tmp_path / "copy"
    shutil.copy2(file.path, copy)
    copy.replace(file.path)
    with nullcontext() if immutable else pytest.raises(AttemptError, match="changed while it was read"):
        inputs.check()


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
            status = int(self.path.strip("/").removeprefix("untagged") or 200)
            self.send_response(status)
            if "untagged" not in self.path:
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
    ("path", "size", "digest", "error_class", "message"),
    [
        ("", 8, 'etag:"two"', ErrorClass.DATA, 'changed since the plan: its tag is "one"'),
        ("untagged", 8, 'etag:"one"', ErrorClass.DATA, "changed since the plan: its tag is gone"),
        ("", 8, "sha256:00", ErrorClass.DATA, "http://.* changed since the plan: its content is another one"),
        ("", 9, 'etag:"one"', ErrorClass.DATA, "8 bytes instead of 9"),
        ("404", 8, 'etag:"one"', ErrorClass.DATA, "cannot be fetched: 404"),
        ("503", 8, 'etag:"one"', ErrorClass.TRANSIENT, "cannot be fetched: 503"),
    ],
)
def test_what_a_url_can_do_wrong(tmp_path, web, path, size, digest, error_class, message):
    pins = [InputPin("x", "up", "parquet", ["k"], [FilePin(f"{web}/{path}", size, digest, "k")])]
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
