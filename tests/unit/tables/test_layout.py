import pytest

from headgate.errors import InternalError, UnavailableError
from headgate.tables.layout import (
    attempts_on_disk,
    collect,
    collect_parts,
    fsync_directories,
    is_part,
    make_directories,
    part_path,
    resolve,
    stage_path,
)


def test_a_path_carries_the_attempt_and_a_cosmetic_key():
    assert stage_path("flights", "r1", "2013-01-01", 7) == "flights/r1/2013-01-01-a0007.parquet"
    assert stage_path("d", "r", "../a/b\0c|ü", 12345) == "d/r/_a_b_c__-a12345.parquet"
    assert len(stage_path("d", "r", "x" * 300, 1).split("/")[-1]) == 80 + len("-a0001.parquet")


@pytest.mark.parametrize("key", ["..", ".", "", "a/../../b", "\\..\\", "~", "\n", "😀" * 300, "'; drop"])
def test_no_key_leads_out_of_the_root(tmp_path, key):
    path = resolve(tmp_path, stage_path("d", "r", key, 1))
    assert path.resolve().parent == (tmp_path / "d" / "r").resolve()


@pytest.mark.parametrize("relative", ["", "/etc/passwd", "../x", "a/../../x", "a//b", "./a", "a\0b", "a\\..\\b", "a/"])
def test_a_recorded_path_outside_the_root_is_refused(tmp_path, relative):
    with pytest.raises(InternalError):
        resolve(tmp_path, relative)
    with pytest.raises(InternalError):
        collect(tmp_path, relative)


def test_directories_are_made_once_and_again(tmp_path):
    root = tmp_path / "data"
    for _ in range(2):
        make_directories(root, ["a/r/x-a1.parquet", "a/r/y-a2.parquet", "b/r/z-a3.parquet"])
    assert (root / "a" / "r").is_dir()
    assert (root / "b" / "r").is_dir()
    fsync_directories([root / "a" / "r", root])


def test_a_file_in_the_way_is_said(tmp_path):
    (tmp_path / "a").write_text("")
    with pytest.raises(UnavailableError, match="cannot create"):
        make_directories(tmp_path, ["a/r/x-a1.parquet"])
    with pytest.raises(UnavailableError, match="cannot fsync"):
        fsync_directories([tmp_path / "gone"])


def test_collect_removes_the_file_and_its_downloads_only(tmp_path):
    make_directories(tmp_path, ["d/r/k-a0001.parquet"])
    folder = tmp_path / "d" / "r"
    for attempt in ("k-a0001", "k-a0011"):
        (folder / f"{attempt}.parquet").write_text("")
        (folder / f"{attempt}.parquet.inputs").mkdir()
        (folder / f"{attempt}.parquet.inputs" / "1").write_text("")
    for _ in range(2):
        collect(tmp_path, "d/r/k-a0001.parquet")
    assert sorted(path.name for path in folder.iterdir()) == ["k-a0011.parquet", "k-a0011.parquet.inputs"]
    collect(tmp_path, "never/was/k-a0009.parquet")


def test_attempts_on_disk_are_found(tmp_path):
    assert list(attempts_on_disk(tmp_path / "none")) == []
    relatives = {stage_path("d", "r1", "k-a5", 3): 3, stage_path("e", "r2", "", 10**6): 10**6}
    make_directories(tmp_path, relatives)
    for relative in relatives:
        resolve(tmp_path, relative).write_text("")
    for other in ("d/r1/notes.txt", "d/r1/x-a1.parquet.inputs", "stray-a1.parquet"):
        (tmp_path / other).write_text("")
    assert dict(attempts_on_disk(tmp_path)) == relatives


def test_parts_lie_beside_the_file_that_they_stand_for(tmp_path):
    staged = stage_path("d", "r", "x-a0001-p0002", 7)
    parts = [part_path(staged, 1), part_path(staged, 12345)]
    assert parts == ["d/r/x-a0001-p0002-a0007-p0001.parquet", "d/r/x-a0001-p0002-a0007-p12345.parquet"]
    assert all(is_part(staged, part) for part in parts)
    others = [staged, part_path(stage_path("d", "r", "x-a0001-p0002", 70), 1), f"{parts[0]}.inputs", "e" + parts[0]]
    assert not any(is_part(staged, other) for other in [*others, "d/r/x-a0001-p0002-a0007-p../../x.parquet"])
    make_directories(tmp_path, [staged])
    for path in [staged, *parts]:
        resolve(tmp_path, path).write_text("")
    assert sorted(attempts_on_disk(tmp_path)) == sorted((path, 7) for path in [staged, *parts])


def test_parts_that_nobody_needs_are_removed_and_nothing_else(tmp_path):
    staged = {7: stage_path("d", "r", "k", 7), 8: stage_path("d", "r", "k", 8)}
    needed, spare = part_path(staged[7], 1), part_path(staged[7], 2)
    running = part_path(stage_path("d", "r", "k", 9), 1)
    make_directories(tmp_path, [needed])
    for path in (needed, spare, running, staged[8]):
        resolve(tmp_path, path).write_text("")
    for _ in range(2):
        collect_parts(tmp_path, staged, {needed})
        assert {path for path, _ in attempts_on_disk(tmp_path)} == {needed, running, staged[8]}
    collect_parts(tmp_path, {1: stage_path("never", "was", "k", 1)}, ())
