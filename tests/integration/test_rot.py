"""One bit that flips, or an end that is cut off: found by verify, and by readers before they give wrong rows."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import polars as pl
import pyarrow as pa
import pytest
from click.testing import CliRunner

from headgate.project.functions import InputKind
from headgate.tables.opened import Piece
from headgate.tables.packing import write_pack
from headgate.tables.staging import stage
from headgate.worker import frames, inputs
from headgate.worker.failures import AttemptError
from headgate.worker.inputs import OpenInputs
from headgate.worker.messages import FilePin, InputPin

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from click.testing import Result

CONFIG = '[project]\nmodules = ["rotten"]\n[workers]\nprocesses = 1\n'
PIPELINE = """
import pyarrow as pa
import headgate

DAYS = headgate.daily("2024-01-01", "2024-01-13")

@headgate.dataset(partitions=DAYS)
def numbers(ctx: headgate.Context) -> pa.Table:
    first = int(ctx.key[-2:]) * 1000 + ctx.parameters["shift"]
    return pa.table({"n": range(first, first + 500), "name": [f"n{n % 7}" for n in range(500)]})

@headgate.dataset(partitions=DAYS)
def doubled(numbers: pa.Table) -> pa.Table:
    return numbers.append_column("twice", pa.array([2 * n for n in numbers.column("n").to_pylist()]))

@headgate.dataset(batches=0)
def pieces(ctx):
    for n in range(ctx.resume_from or 0, 3):
        yield headgate.Batch(pa.table({"n": [n] * 100}), offset=n + 1)
"""
PARAMETERS = "[parameters]\nshift = {}\n"


def headgate(root: Path, *arguments: str) -> Result:
    from headgate.cli.main import main

    return CliRunner().invoke(main, ["-C", str(root), *arguments])


def in_the_middle(data: bytes) -> bytes:
    """Flip one bit of a column."""
    at = len(data) // 3
    return data[:at] + bytes([data[at] ^ 4]) + data[at + 1 :]


def in_the_footer(data: bytes) -> bytes:
    return data[:-20] + bytes([data[-20] ^ 1]) + data[-19:]


def cut_off(data: bytes) -> bytes:
    return data[:-100]


HARMS = [in_the_middle, in_the_footer, cut_off]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("rotten")
    (root / "rotten.py").write_text(PIPELINE)
    for shift in (0, 1):
        (root / "headgate.toml").write_text(CONFIG + PARAMETERS.format(shift))
        done = headgate(root, "backfill", "--all", "--yes", "--reason", "first")
        assert done.exit_code == 0, done.output
    done = headgate(root, "compact", "doubled", "--older-than", "0", "--reason", "tidy")
    assert done.exit_code == 0, done.output
    return root


@pytest.fixture
def root(built: Path, tmp_path: Path) -> Path:
    import shutil

    return shutil.copytree(built, tmp_path / "project")


def harmed(root: Path, dataset: str, pattern: str, harm: Callable[[bytes], bytes]) -> None:
    """Harm the newest file of a dataset that fits."""
    file = max((root / "data" / dataset).rglob(pattern), key=lambda path: path.stat().st_mtime_ns)
    file.write_bytes(harm(file.read_bytes()))


@pytest.mark.slow
@pytest.mark.parametrize("harm", HARMS)
def test_verify_finds_a_harmed_head_and_says_how_to_mend_it(root: Path, harm) -> None:
    harmed(root, "numbers", "2024-01-02*.parquet", harm)
    found = headgate(root, "verify", "numbers", "--json")
    assert found.exit_code == 1, found.output
    (broken,) = json.loads(found.stdout)["broken"]
    assert (broken["dataset"], broken["key"], broken["is_head"]) == ("numbers", "2024-01-02", True)
    assert len(broken["intact"]) == 1
    rebuild, back = broken["next"]
    assert "backfill numbers --start 2024-01-02 --end 2024-01-03 --all" in rebuild
    assert f"--to {broken['intact'][0]}" in back
    text = headgate(root, "verify").output
    assert "1 version broken" in text
    assert rebuild in text
    mended = headgate(root, "backfill", "numbers", "--start", "2024-01-02", "--end", "2024-01-03", "--all", "--yes",
                      "--reason", "repair")  # fmt: skip
    assert mended.exit_code == 0, mended.output
    assert headgate(root, "verify", "--content").exit_code == 0


@pytest.mark.slow
def test_older_versions_are_verified_only_when_that_is_asked_for(root: Path) -> None:
    oldest = min((root / "data" / "numbers").rglob("2024-01-02*.parquet"), key=lambda path: path.stat().st_mtime_ns)
    oldest.unlink()
    assert headgate(root, "verify").exit_code == 0
    found = headgate(root, "verify", "--all-versions", "--json")
    assert found.exit_code == 1
    (broken,) = json.loads(found.stdout)["broken"]
    assert (broken["is_head"], broken["next"]) == (False, [])


@pytest.mark.slow
@pytest.mark.parametrize("harm", HARMS)
@pytest.mark.parametrize(("dataset", "pattern", "count"), [("doubled", "2024-01-01*", 12), ("pieces", "*-p0002*", 1)])
def test_packs_and_parts_are_verified_like_whole_files(root: Path, dataset, pattern, count, harm) -> None:
    harmed(root, dataset, pattern, harm)
    found = json.loads(headgate(root, "verify", "--content", "--json").stdout)
    assert [broken["dataset"] for broken in found["broken"]] == [dataset] * count
    assert headgate(root, "check", "--state").exit_code == 1


@pytest.mark.slow
# A footer has no checksum; what a flip changes there seldom touches rows.
@pytest.mark.parametrize("harm", [in_the_middle, cut_off])
def test_a_harmed_input_fails_the_attempt_that_reads_it(root: Path, harm) -> None:
    harmed(root, "numbers", "2024-01-02*.parquet", harm)
    arguments = ("--start", "2024-01-02", "--end", "2024-01-03", "--all", "--yes", "--reason", "again")
    failed = headgate(root, "backfill", "doubled", *arguments)
    assert failed.exit_code == 1, failed.output
    assert "2024-01-02" in failed.output


@pytest.mark.slow
def test_a_harmed_file_is_not_packed(root: Path) -> None:
    harmed(root, "numbers", "2024-01-02*.parquet", in_the_middle)
    done = headgate(root, "compact", "numbers", "--older-than", "0", "--json")
    assert done.exit_code == 1
    found = json.loads(done.stdout)["done"]
    assert found["partitions"] == 11
    assert "2024-01-02" in found["problems"][0]
    assert headgate(root, "verify", "numbers").exit_code == 1


@pytest.mark.slow
def test_a_pack_whose_content_differs_is_not_published(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import headgate.tables.packing as packing

    real = packing._tables

    def other(partitions, schema):
        for number, table in enumerate(real(partitions, schema)):
            yield table.slice(1) if number == 3 else table

    monkeypatch.setattr(packing, "_tables", other)
    files = set((root / "data").rglob("*.parquet"))
    done = headgate(root, "compact", "numbers", "--older-than", "0", "--json")
    assert done.exit_code == 1
    assert "packed it would have" in json.loads(done.stdout)["done"]["problems"][0]
    assert set((root / "data").rglob("*.parquet")) == files
    assert headgate(root, "check", "--state").exit_code == 0
    assert "nothing to do" in headgate(root, "plan").output


SHAPES = [kind for kind in InputKind if kind is not InputKind.FILES]


def rows_of(value: object) -> object:
    """Return what a parameter holds as a list of rows."""
    if isinstance(value, pl.LazyFrame):
        value = value.collect()
    if isinstance(value, pl.DataFrame):
        return value.rows()
    if isinstance(value, pa.RecordBatchReader):
        value = value.read_all()
    if isinstance(value, pa.Table):
        return [tuple(row.values()) for row in value.to_pylist()]
    return value.fetchall() if hasattr(value, "fetchall") else [tuple(row) for row in value.to_numpy().tolist()]


@pytest.mark.parametrize("is_large", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("row_group", [None, 1])
def test_no_parameter_ever_gets_wrong_rows(tmp_path: Path, monkeypatch, shape, row_group, is_large) -> None:
    table = pa.table({"n": range(1, 400)})
    path = tmp_path / "whole-a0001.parquet"
    whole = stage(path, table.schema, table.to_batches())
    size, digest = whole.bytes, whole.hash
    if row_group is not None:
        path = tmp_path / "pack-a0002.parquet"
        pack = write_pack(path, [[Piece(str(whole.path))]] * 3)
        size, digest = pack.bytes, pack.hash
    pin = InputPin("x", "up", "parquet", ["k"], [FilePin(str(path), size, digest, "k", row_group)], True)

    def read() -> object:
        from headgate.tables.recent import recent

        recent.__init__()
        frames._recent_frames.__init__()
        frames.check_content.__globals__["_hash_in"].cache_clear()
        return rows_of(OpenInputs([pin], "").arguments({"x": shape})["x"])

    if is_large:
        monkeypatch.setattr(frames, "SMALL_BYTES", 0)
    expected = [(n,) for n in range(1, 400)]
    assert read() == expected
    data = path.read_bytes()
    # The middle of what is read: of the second of three row groups, or of the only one.
    at = len(data) // 2 if row_group is None else int(len(data) * 0.38)
    path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
    with pytest.raises((AttemptError, OSError)):
        read()


def test_a_function_that_opens_files_itself_gets_its_row_group_as_a_file(tmp_path: Path) -> None:
    tables = [pa.table({"n": [n, n]}) for n in range(3)]
    small = [stage(tmp_path / f"k-a000{n}.parquet", t.schema, t.to_batches()) for n, t in enumerate(tables)]
    pack = write_pack(tmp_path / "pack-a0009.parquet", [[Piece(str(one.path))] for one in small])
    pins = [FilePin(str(tmp_path / "pack-a0009.parquet"), pack.bytes, pack.hash, "k", n) for n in (0, 2)]
    opened = OpenInputs([InputPin("x", "up", "parquet", ["k"], pins, True)], str(tmp_path / "out-a0010.parquet"))
    files = opened.arguments({"x": InputKind.FILES})["x"]
    assert isinstance(files, inputs.InputFiles)
    assert [pl.read_parquet(path)["n"].to_list() for path in files.paths] == [[0, 0], [2, 2]]
    assert files.arrow().column("n").to_pylist() == [0, 0, 2, 2]
    opened.check()
    opened.close()
    assert not list(tmp_path.glob("*.inputs"))
