"""A rollback that is killed has moved all heads or none, and is begun anew or undone."""

from __future__ import annotations

import json
import random
import time
from typing import TYPE_CHECKING

import pytest
from scene import Scene, kill

if TYPE_CHECKING:
    from pathlib import Path

POINTS = ("rollback.before_move", "rollback.inside_move", "rollback.after_move")
Contents = dict[tuple[str, str], str]
BACK = ("rollback", "--yes", "--reason", "killed")


@pytest.fixture
def built_twice(scene: Scene) -> tuple[Scene, Contents, Contents, str]:
    """A project that was built, and then by a bad run again: contents of then and now, and that run."""
    assert scene.backfill().returncode == 0
    good = scene.contents()
    code: Path = scene.root / "crash_pipeline.py"
    code.write_text(code.read_text().replace('landed["value"], 2)', 'landed["value"], 3)'))
    assert scene.backfill().returncode == 0
    run = json.loads(scene.call("status", "--json").stdout)["runs"][0]["id"]
    bad = scene.contents()
    assert good != bad
    return scene, good, bad, run


def assert_state(scene: Scene, expected: Contents) -> None:
    assert scene.contents() == expected
    checked = scene.call("check", "--state")
    assert checked.returncode == 0, checked.stdout + checked.stderr


def finish(scene: Scene, run: str, good: Contents, bad: Contents) -> None:
    """Bring a rollback to its end that was killed, and undo it."""
    if scene.contents() == bad:
        done = scene.call(*BACK, run)
        assert done.returncode == 0, done.stderr
    assert_state(scene, good)
    rollback = json.loads(scene.call("status", "--json").stdout)["runs"][0]["id"]
    undone = scene.call(*BACK, rollback)
    assert undone.returncode == 0, undone.stderr
    assert_state(scene, bad)


@pytest.mark.slow
@pytest.mark.parametrize("point", POINTS)
def test_a_kill_in_a_rollback_leaves_all_heads_or_none_moved(
    built_twice: tuple[Scene, Contents, Contents, str], point: str
) -> None:
    scene, good, bad, run = built_twice
    killed = scene.call(*BACK, run, crash_at=f"{point}:1")
    assert killed.returncode == -9, killed.stderr
    assert_state(scene, good if point == "rollback.after_move" else bad)
    finish(scene, run, good, bad)


@pytest.mark.slow
def test_kills_at_random_leave_all_heads_or_none_moved(built_twice: tuple[Scene, Contents, Contents, str]) -> None:
    scene, good, bad, run = built_twice
    chance = random.Random(1)
    for _ in range(4):
        process = scene.start(*BACK, run)
        until_s = time.monotonic() + chance.uniform(0.5, 2.5)
        while time.monotonic() < until_s and process.poll() is None:
            time.sleep(0.005)
        kill(process.pid)
        process.communicate(timeout=60)
        assert scene.contents() in (good, bad)
    finish(scene, run, good, bad)
