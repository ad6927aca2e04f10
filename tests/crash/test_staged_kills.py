"""Kills around the one transaction that makes a staged run visible."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from scene import TASKS

from headgate.model.run import RunState
from headgate.store.sqlite import open_store

if TYPE_CHECKING:
    from scene import Scene

pytestmark = pytest.mark.slow

POINTS = ("before", "inside", "after")


def staged(scene: Scene, *arguments: str, crash_at: str = "") -> int:
    """Backfill everything, to be published together; return the exit code."""
    return scene.call("backfill", "--yes", "--reason", "crash test", *arguments, crash_at=crash_at).returncode


def state(scene: Scene) -> RunState:
    store = open_store(scene.root / ".headgate" / "state.db", data_root=scene.root / "data", create=False)
    try:
        return store.runs()[0].state
    finally:
        store.close()


@pytest.mark.parametrize("point", POINTS)
def test_a_kill_at_the_end_of_a_staged_run_shows_all_or_nothing(
    scene: Scene, undisturbed: dict[tuple[str, str], str], point: str
) -> None:
    assert staged(scene, "--publish", "together", crash_at=f"together.{point}_move:1") == -9
    assert scene.contents() == (undisturbed if point == "after" else {})
    scene.finish()
    assert state(scene) is RunState.SUCCEEDED
    if point == "after":
        # What it staged on the way is left for the next coordinator to collect.
        assert scene.contents() == undisturbed
        assert scene.call("check", "--state").returncode == 0
    else:
        scene.assert_sound(undisturbed)


@pytest.mark.parametrize("point", POINTS)
def test_a_kill_while_somebody_publishes_shows_all_or_nothing(
    scene: Scene, undisturbed: dict[tuple[str, str], str], point: str
) -> None:
    assert staged(scene, "--approve-first") == 0
    assert scene.contents() == {}
    publish = ("publish", "latest", "--reason", "looks right")
    assert scene.call(*publish, crash_at=f"together.{point}_move:1").returncode == -9
    is_done = point == "after"
    assert state(scene) is (RunState.SUCCEEDED if is_done else RunState.STAGED)
    assert scene.contents() == (undisturbed if is_done else {})
    assert scene.call(*publish).returncode == (1 if is_done else 0)
    scene.assert_sound(undisturbed)


@pytest.mark.parametrize("point", ["coordinator.inside_publish:3", "coordinator.after_publish:2"])
def test_a_kill_on_the_way_loses_nothing_that_is_staged(
    scene: Scene, undisturbed: dict[tuple[str, str], str], point: str
) -> None:
    assert staged(scene, "--publish", "together", crash_at=point) == -9
    assert scene.contents() == {}
    scene.finish()
    scene.assert_sound(undisturbed)
    assert len(undisturbed) == TASKS
