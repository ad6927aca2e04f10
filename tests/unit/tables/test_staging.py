import errno
import os
import resource
from contextlib import contextmanager

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headgate.errors import UnavailableError, UsageError
from headgate.model.version import File
from headgate.tables import staging
from headgate.tables.checksum import ContentChecksum, combined
from headgate.tables.staging import stage
from headgate.tables.verify import verify_content, verify_file

TABLE = pa.table({"id": [1, 2, 3], "name": ["a", None, "c"], "x": [0.5, float("nan"), -0.0]})


def stage_table(path, table):
    return stage(path, table.schema, table.to_batches())


def content(table):
    total = ContentChecksum()
    for batch in table.to_batches():
        total.update(batch)
    return total.text()


@contextmanager
def file_size_limit(size):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture(params=["whole", "stream"])
def both_ways(request, monkeypatch):
    """Stage small tables also the way large ones go."""
    if request.param == "stream":
        monkeypatch.setattr(staging, "SMALL_BYTES", 0)


@pytest.mark.usefixtures("both_ways")
class TestBothWays:
    def test_what_is_staged_is_what_was_given(self, tmp_path):
        staged = stage_table(tmp_path / "f.parquet", TABLE)
        assert pq.read_table(staged.path).cast(TABLE.schema).to_pydict()["name"] == ["a", None, "c"]
        assert staged.rows == 3
        assert staged.bytes == staged.path.stat().st_size
        assert staged.content == content(TABLE)
        assert staged.schema == (("id", "int64"), ("name", "string"), ("x", "double"))
        expected = File("f.parquet", staged.rows, staged.bytes, staged.hash)
        assert verify_file(staged.path, expected, staged.content) == []

    def test_no_rows_make_a_file_too(self, tmp_path):
        staged = stage_table(tmp_path / "f.parquet", TABLE.slice(0, 0))
        assert staged.rows == 0
        assert pq.read_table(staged.path).num_rows == 0

    def test_an_existing_file_is_never_overwritten_nor_removed(self, tmp_path):
        path = tmp_path / "f.parquet"
        path.write_bytes(b"somebody else's")
        with pytest.raises(UnavailableError, match="File exists"):
            stage_table(path, TABLE)
        assert path.read_bytes() == b"somebody else's"

    def test_a_full_disk_is_named_and_nothing_is_left(self, tmp_path):
        with file_size_limit(100), pytest.raises(UnavailableError, match=r"cannot write .*f\.parquet: File too large"):
            stage_table(tmp_path / "f.parquet", TABLE)
        assert list(tmp_path.iterdir()) == []

    def test_a_failed_fsync_is_fatal_and_not_retried(self, tmp_path, monkeypatch):
        calls = []

        def refuse(descriptor):
            calls.append(descriptor)
            raise OSError(errno.EIO, os.strerror(errno.EIO))

        monkeypatch.setattr(os, "fsync", refuse)
        with pytest.raises(UnavailableError, match=r"cannot fsync .*Input/output error"):
            stage_table(tmp_path / "f.parquet", TABLE)
        assert len(calls) == 1
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("place", [0, 40, -30, -1])
    def test_the_audit_sees_a_byte_that_the_disk_turned(self, tmp_path, monkeypatch, place):
        path = tmp_path / "f.parquet"
        real = os.fsync

        def turn(descriptor):
            real(descriptor)
            data = bytearray(path.read_bytes())
            data[place] ^= 0xFF
            path.write_bytes(data)

        monkeypatch.setattr(os, "fsync", turn)
        with pytest.raises(UnavailableError, match="read back"):
            stage_table(path, TABLE)
        assert not path.exists()

    def test_the_audit_sees_rows_that_the_encoder_lost(self, tmp_path, monkeypatch):
        real = pq.ParquetWriter.write_table
        monkeypatch.setattr(pq.ParquetWriter, "write_table", lambda self, _, **named: real(self, TABLE.slice(1)))
        with pytest.raises(UnavailableError, match="2 of 3 rows"):
            stage_table(tmp_path / "f.parquet", TABLE)
        assert list(tmp_path.iterdir()) == []

    def test_what_the_source_raises_passes_through_and_leaves_nothing(self, tmp_path):
        def batches():
            yield from TABLE.to_batches()
            raise ZeroDivisionError("user's")

        with pytest.raises(ZeroDivisionError, match="user's"):
            stage(tmp_path / "f.parquet", TABLE.schema, batches())
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "table",
    [
        pa.table({"t": pa.array([1, None], pa.timestamp("s")), "n": pa.array([1001, 5], pa.timestamp("ns", "UTC"))}),
        pa.table({"m": pa.array([[("a", 1)], None], pa.map_(pa.string(), pa.int64())), "e": pa.nulls(2)}),
        pa.table(
            {"d": pa.array(["1.5", None]).cast(pa.decimal128(9, 2)), "c": pa.array(["a", "b"]).dictionary_encode()}
        ),
        pa.table(
            {"l": pa.array([["a"], [None]], pa.list_(pa.string_view())), "f": pa.array([1.5, None], pa.float16())}
        ),
        pa.table({"a.b": ["x"], "ü": pa.array([b"\xff"], pa.binary_view())}),
        pl.DataFrame({"s": [{"u": "q", "v": [1]}], "t": ["x"], "k": pl.Series(["a"], dtype=pl.Categorical)}),
        pl.DataFrame({"a": pl.Series([[1, 2]], dtype=pl.Array(pl.Int8, 2)), "t": pl.Series([1], dtype=pl.Time)}),
    ],
)
def test_types_survive(tmp_path, table):
    reader = pa.RecordBatchReader.from_stream(table)
    staged = stage(tmp_path / "f.parquet", reader.schema, reader)
    assert staged.content == content(pa.RecordBatchReader.from_stream(table).read_all())
    assert verify_file(staged.path, File("f.parquet", staged.rows, staged.bytes, staged.hash), staged.content) == []


def test_schema_does_not_show_who_made_the_table(tmp_path):
    arrow = pa.table({"w": ["a", "b"], "l": [["x"], []]})
    polars = pl.from_arrow(arrow)
    reader = pa.RecordBatchReader.from_stream(polars)
    ours = stage_table(tmp_path / "a.parquet", arrow)
    theirs = stage(tmp_path / "b.parquet", reader.schema, reader)
    assert (ours.schema, ours.content) == (theirs.schema, theirs.content)


def test_large_tables_get_several_row_groups(tmp_path, monkeypatch):
    monkeypatch.setattr(staging, "SMALL_BYTES", 1000)
    monkeypatch.setattr(staging, "GROUP_ROWS", 1000)
    table = pa.table({"n": pa.array(range(3500))})
    staged = stage(tmp_path / "f.parquet", table.schema, table.to_batches(max_chunksize=300))
    metadata = pq.read_metadata(staged.path)
    assert staged.rows == 3500
    assert [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)] == [1000, 200] * 2 + [1000, 100]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (pa.table({}), "no columns"),
        (pa.table([[1], [2]], names=["a", "a"]), "two columns named 'a'"),
        (pa.table({"i": pa.array([(1, 2, 3)], pa.month_day_nano_interval())}), "cannot be stored as Parquet"),
    ],
)
def test_what_cannot_be_stored_is_refused(tmp_path, table, message):
    with pytest.raises(UsageError, match=message):
        stage_table(tmp_path / "f.parquet", table)
    assert list(tmp_path.iterdir()) == []


def test_verify_tells_what_is_wrong(tmp_path):
    staged = stage_table(tmp_path / "f.parquet", TABLE)
    good = File("f.parquet", staged.rows, staged.bytes, staged.hash)

    def wrong(**changes):
        values = {"path": good.path, "rows": good.rows, "bytes": good.bytes, "hash": good.hash, **changes}
        [sentence] = verify_file(staged.path, File(**values), staged.content)
        return sentence

    assert "instead of 1" in wrong(bytes=1)
    assert "instead of sha256:00" in wrong(hash="sha256:00")
    assert "3 rows instead of 4" in wrong(rows=4)
    assert "instead of hgsum@1:9:00" in verify_file(staged.path, good, "hgsum@1:9:00")[0]
    assert verify_file(staged.path, good, "other@2:9:00") == []
    assert verify_file(staged.path, good, "") == []
    assert "No such file" in verify_file(tmp_path / "gone", good, "")[0]


def test_parts_are_verified_together(tmp_path):
    tables = [pa.table({"n": [1, 2]}), pa.table({"n": [3]})]
    parts = [
        stage(tmp_path / f"k-a0001-p{n}.parquet", table.schema, table.to_batches()) for n, table in enumerate(tables)
    ]
    paths, content = [part.path for part in parts], combined(part.content for part in parts)
    files = [File(part.path.name, part.rows, part.bytes, part.hash) for part in parts]
    assert verify_content(paths, files, content) == []
    assert verify_content(paths, files, "other@1:3:0") == []
    [sentence] = verify_content(paths[:1] * 2, files[:1] * 2, content)
    assert "and the other parts have the content hgsum@1:4:" in sentence
    paths[1].write_bytes(b"nothing")
    [sentence] = verify_content(paths, files, content)
    assert f"{paths[1]} cannot be read" in sentence
