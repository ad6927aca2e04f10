"""Compact and vacuum, killed at each step while somebody reads: no read is wrong, and doing it again makes it good."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest
from scene import Scene

from headgate.crashpoints import POINTS
from headgate.errors import UnavailableError
from headgate.store.sqlite import open_store
from headgate.views.query import query

if TYPE_CHECKING:
    from pathlib import Path

SUMS = """
    select (select count(*) from events), (select sum(twice) from events), (select sum(twice_sum) from trend),
        (select count(*) from readings)
"""
COMPACT = ("compact", "--older-than", "0", "--min-files", "2", "--reason", "crash test")
VACUUM = ("vacuum", "--keep", "0", "--keep-versions", "0", "--yes", "--reason", "crash test")


class Reader:
    """Reads all the time, in a thread of its own, and remembers what it saw.

    Args:
        scene: Where.
    """

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._loop)
        self.seen: set[tuple[object, ...]] = set()
        self.reads = self.missed = 0
        self.error: BaseException | None = None

    def read(self) -> tuple[object, ...]:
        """Read once."""
        root = self._scene.root
        store = open_store(root / ".headgate" / "state.db", data_root=root / "data", create=False)
        try:
            (row,) = query(store, root / "data", SUMS).rows
            return row
        finally:
            store.close()

    def _loop(self) -> None:
        while not self._stopped.is_set():
            try:
                self.seen.add(self.read())
                self.reads += 1
            except UnavailableError:
                # It had the list of files before vacuum took them, which --keep 0 asks for.
                self.missed += 1
            except BaseException as error:
                self.error = error
                return

    def __enter__(self) -> Reader:
        self.seen.add(self.read())
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()
        assert self.error is None, self.error
        assert self.reads > 0
        assert len(self.seen) == 1, "a read saw a mix"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    scene = Scene(tmp_path_factory.mktemp("built") / "project")
    done = scene.backfill()
    assert done.returncode == 0, done.stderr
    return scene


@pytest.fixture
def copy(built: Scene, tmp_path: Path) -> Scene:
    """The built project, for a test of its own."""
    import shutil

    shutil.copytree(built.root, tmp_path / "project")
    scene = object.__new__(Scene)
    scene.root = tmp_path / "project"
    return scene


def files(scene: Scene) -> set[str]:
    return {str(path.relative_to(scene.root / "data")) for path in (scene.root / "data").rglob("*.parquet")}


def needed(scene: Scene) -> set[str]:
    """Return the files of the versions that are kept."""
    store = open_store(scene.root / ".headgate" / "state.db", data_root=scene.root / "data", create=False)
    try:
        kept = [one.version for name in store.datasets() for one in store.kept_versions(name)]
        assert store.doomed() == []
        return {file.path for version in kept for file in version.files}
    finally:
        store.close()


def assert_sound(scene: Scene, contents: dict[tuple[str, str], str]) -> None:
    assert scene.contents() == contents
    checked = scene.call("check", "--state")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    planned = scene.call("plan")
    assert "nothing to do" in planned.stdout, planned.stdout


@pytest.mark.slow
@pytest.mark.parametrize("nth", [1, 2])
@pytest.mark.parametrize("point", [point for point in POINTS if point.startswith("compact.")])
def test_a_compaction_killed_anywhere_shows_nobody_a_mix_and_is_done_again(copy: Scene, point: str, nth: int) -> None:
    contents, before = copy.contents(), files(copy)
    with Reader(copy) as reader:
        killed = copy.call(*COMPACT, crash_at=f"{point}:{nth}")
        assert killed.returncode == -9, killed.stdout + killed.stderr
        reader.seen.add(reader.read())
        again = copy.call(*COMPACT)
        assert again.returncode == 0, again.stderr
    assert_sound(copy, contents)
    # What was killed left nothing behind, and nothing was removed.
    assert before < files(copy) == needed(copy)
    assert len(files(copy) - before) == 3


@pytest.mark.slow
@pytest.mark.parametrize("nth", [1, 2])
@pytest.mark.parametrize("point", [point for point in POINTS if point.startswith("vacuum.")])
def test_a_vacuum_killed_anywhere_is_done_again_and_removes_nothing_that_is_needed(
    copy: Scene, point: str, nth: int
) -> None:
    contents, small = copy.contents(), files(copy)
    assert copy.call(*COMPACT).returncode == 0
    packs = files(copy) - small
    # One partition of a pack is built anew: the pack stays for the others.
    (copy.root / "landing" / "2024-01-03.csv").write_text("name,value\nn1,1\n")
    assert copy.backfill().returncode == 0
    contents = copy.contents()
    with Reader(copy) as reader:
        killed = copy.call(*VACUUM, crash_at=f"{point}:{nth}")
        assert killed.returncode in ({-9} if nth == 1 else {-9, 0}), killed.stdout + killed.stderr
        reader.seen.add(reader.read())
        again = copy.call(*VACUUM)
        assert again.returncode == 0, again.stderr
    assert_sound(copy, contents)
    assert files(copy) == needed(copy)
    assert len(packs & files(copy)) == 2


@pytest.mark.slow
def test_vacuum_and_compact_beside_a_run_that_is_killed(copy: Scene) -> None:
    """Whoever comes after a dead coordinator mends what it left, also when it only came to tidy up."""
    copy.root.joinpath("landing", "2024-01-05.csv").write_text("name,value\nn1,1\n")
    assert copy.backfill(crash_at="coordinator.after_intents:1").returncode == -9
    assert copy.call(*VACUUM).returncode == 0
    assert copy.call(*COMPACT).returncode == 0
    assert copy.call("resume", "latest").returncode in {0, 1}
    copy.finish()
    assert copy.backfill().returncode == 0
    assert copy.call("check", "--state").returncode == 0
