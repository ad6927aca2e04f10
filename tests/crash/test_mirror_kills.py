"""Mirrors killed at each step and at random while others read them: complete groups only, and the heads in the end."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import threading
import time
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from scene import CONFIG, Scene

from headgate.crashpoints import POINTS
from headgate.store.sqlite import open_store
from headgate.tables.opened import Piece, arrow

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

pytestmark = pytest.mark.slow

PIPELINE = """
import pyarrow as pa

import headgate

DAYS = headgate.daily("2024-01-01", "2024-01-09")


@headgate.dataset(partitions=DAYS, mirror="delta")
def events(ctx) -> pa.Table:
    return pa.table({"day": [ctx.key] * 50, "turn": [TURN] * 50, COLUMNS})
"""
DAYS = 8
ROWS = 50
KILLS = 25
STEPS = ("mirror.before_commit", "mirror.after_commit", "mirror.after_columns")
UNPACKING = ("mirror.after_intents", "mirror.mid_unpack", "mirror.before_commit", "mirror.after_commit")


class Mirrored(Scene):
    """A project whose runs publish together: all partitions have one turn, and a mix of two is a half commit."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir()
        (root / "headgate.toml").write_text(CONFIG)
        self.write(1)

    def write(self, turn: int, columns: str = '"n": list(range(50))') -> None:
        (self.root / "crash_pipeline.py").write_text(PIPELINE.replace("TURN", str(turn)).replace("COLUMNS", columns))

    def build(self, crash_at: str = "") -> subprocess.CompletedProcess[str]:
        return self.call("backfill", "--yes", "--publish", "together", "--reason", "crash test", crash_at=crash_at)

    def turns(self) -> tuple[tuple[str, int, int], ...]:
        """Return day, turn and rows as a foreign reader gets them."""
        frame = pl.scan_delta(str(self.root / "data" / "events"))
        found = frame.group_by("day", "turn").agg(pl.len()).collect().sort("day", "turn")
        return tuple(found.iter_rows())

    def assert_mirrored(self) -> None:
        """Assert that the mirror has just the rows of the heads, and that nothing is wrong with the state."""
        store = open_store(self.root / ".headgate" / "state.db", data_root=self.root / "data", create=False)
        try:
            tables = [
                arrow(Piece(str(self.root / "data" / file.path), file.row_group))
                for version in store.heads("events")
                for file in version.files
            ]
            assert store.stuck_mirrors() == {}
        finally:
            store.close()
        order = ["day", "turn", "n"]
        expected = pl.concat([pl.DataFrame(table) for table in tables], how="diagonal").sort(order)
        found = pl.scan_delta(str(self.root / "data" / "events")).collect().sort(order)
        assert found.select(expected.columns).equals(expected)
        checked = self.call("check", "--state")
        assert checked.returncode == 0, checked.stdout + checked.stderr


class Reader:
    """Reads the mirror all the time, in a thread of its own."""

    def __init__(self, scene: Mirrored) -> None:
        self._scene = scene
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._loop)
        self.seen: list[tuple[tuple[str, int, int], ...]] = []
        self.error: BaseException | None = None

    def _loop(self) -> None:
        try:
            while not self._stopped.is_set():
                found = self._scene.turns()
                if not self.seen or self.seen[-1] != found:
                    self.seen.append(found)
        except BaseException as error:
            self.error = error

    def __enter__(self) -> Reader:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()
        assert self.error is None, self.error
        assert self.seen


def whole(turn: int) -> tuple[tuple[str, int, int], ...]:
    return tuple((f"2024-01-{day:02d}", turn, ROWS) for day in range(1, DAYS + 1))


def was_killed(done: subprocess.CompletedProcess[str]) -> bool:
    return done.returncode == -signal.SIGKILL


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Mirrored:
    scene = Mirrored(tmp_path_factory.mktemp("built") / "project")
    assert scene.build().returncode == 0
    assert scene.turns() == whole(1)
    return scene


@pytest.fixture
def scene(built: Mirrored, tmp_path: Path) -> Mirrored:
    shutil.copytree(built.root, tmp_path / "project")
    copied = object.__new__(Mirrored)
    copied.root = tmp_path / "project"
    return copied


def test_every_point_of_mirrors_is_tried_here() -> None:
    assert {point for point in POINTS if point.startswith("mirror.")} == {*STEPS, *UNPACKING}


@pytest.mark.parametrize("point", STEPS)
def test_killed_while_following_a_run(scene: Mirrored, point: str) -> None:
    scene.write(2, columns='"n": list(range(50)), "more": [0.5] * 50')
    with Reader(scene) as reader:
        assert was_killed(scene.build(crash_at=point))
        assert scene.turns() in {whole(1), whole(2)}
        assert scene.call("mirror", "--once").returncode == 0
        assert scene.turns() == whole(2)
    assert set(reader.seen) <= {whole(1), whole(2)}
    scene.assert_mirrored()


@pytest.mark.parametrize("point", STEPS[:2])
def test_killed_while_making_the_table(tmp_path: Path, point: str) -> None:
    scene = Mirrored(tmp_path / "project")
    assert was_killed(scene.build(crash_at=point))
    assert scene.call("mirror", "--once").returncode == 0
    assert scene.turns() == whole(1)
    scene.assert_mirrored()


@pytest.mark.parametrize("point", STEPS[:2])
def test_killed_while_mirroring_a_rollback(scene: Mirrored, point: str) -> None:
    scene.write(2)
    assert scene.build().returncode == 0
    with Reader(scene) as reader:
        back = ("rollback", "latest", "--leave-downstream", "--yes", "--reason", "crash test")
        assert was_killed(scene.call(*back, crash_at=point))
        assert scene.call("mirror", "--once").returncode == 0
    assert reader.seen[-1] == whole(1)
    assert set(reader.seen) <= {whole(1), whole(2)}
    scene.assert_mirrored()


@pytest.mark.parametrize("point", UNPACKING)
def test_killed_while_a_pack_is_taken_apart(scene: Mirrored, point: str) -> None:
    packed = scene.call("compact", "--older-than", "0", "--min-files", "2", "--reason", "crash test")
    assert packed.returncode == 0, packed.stderr
    scene.write(2)
    one = ("backfill", "--start", "2024-01-03", "--end", "2024-01-04", "--yes", "--reason", "crash test")
    after = tuple(sorted((*whole(1)[:2], ("2024-01-03", 2, ROWS), *whole(1)[3:])))
    with Reader(scene) as reader:
        assert was_killed(scene.call(*one, crash_at=point))
        assert scene.call("mirror", "--once").returncode == 0
    assert set(reader.seen) <= {whole(1), after}
    assert scene.turns() == after
    scene.assert_mirrored()
    left = list((scene.root / "data" / "events" / "_mirror").iterdir())
    assert len(left) == DAYS - 1


def test_a_mirror_command_killed_again_and_again_gets_there(scene: Mirrored) -> None:
    scene.write(2, columns='"n": list(range(50)), "more": [0.5] * 50')
    assert was_killed(scene.build(crash_at="mirror.before_commit"))
    for point in STEPS:
        assert scene.call("mirror", "--once", crash_at=point).returncode in {0, -signal.SIGKILL}
        assert scene.turns() in {whole(1), whole(2)}
    assert scene.call("mirror", "--once").returncode == 0
    assert scene.turns() == whole(2)
    scene.assert_mirrored()


def test_killed_at_random_the_reader_sees_whole_runs_in_their_order(scene: Mirrored) -> None:
    seed = int(os.environ.get("HEADGATE_KILL_SEED", random.SystemRandom().randrange(10**6)))
    chance = random.Random(seed)
    with Reader(scene) as reader:
        for turn in range(2, KILLS + 2):
            scene.write(turn)
            process = scene.start("backfill", "--yes", "--publish", "together", "--reason", "crash test")
            # The kill is the test; where it hits is left to chance.
            threading.Event().wait(chance.uniform(0.5, 2.5))
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
        assert scene.build().returncode == 0
        assert scene.call("mirror", "--once").returncode == 0
        until_s = time.monotonic() + 30
        while reader.error is None and reader.seen[-1] != whole(KILLS + 1):
            assert time.monotonic() < until_s, f"HEADGATE_KILL_SEED={seed}"
    seen = [{turn for _, turn, _ in found} for found in reader.seen]
    assert all(len(turns) == 1 for turns in seen), f"HEADGATE_KILL_SEED={seed}: {seen}"
    assert reader.seen == [whole(turn) for turn in sorted(turn for (turn,) in seen)], f"HEADGATE_KILL_SEED={seed}"
    scene.assert_mirrored()


def test_a_second_process_waits_for_its_turn(scene: Mirrored) -> None:
    """However many bring a mirror to where it should be at once, it gets there, and no file is named twice."""
    scene.write(2)
    assert was_killed(scene.build(crash_at="mirror.before_commit"))
    together = [scene.start("mirror", "--once", "--json") for _ in range(4)]
    for process in together:
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0, out + err
        line: dict[str, Any] = json.loads(out)["mirrors"][0]
        assert (line["behind"], line["error"]) == (0, "")
    assert scene.turns() == whole(2)
    scene.assert_mirrored()
