from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from headgate.crashpoints import POINTS

if TYPE_CHECKING:
    from scene import Scene

DURING_A_RUN = [point for point in POINTS if point.startswith(("worker.", "coordinator."))]
NTH = {"coordinator.before_finish": (1,), "coordinator.after_intents": (1,)}


@pytest.mark.slow
@pytest.mark.parametrize(("point", "nth"), [(p, n) for p in DURING_A_RUN for n in NTH.get(p, (1, 3))])
def test_a_kill_at_a_named_point_loses_and_doubles_nothing(
    scene: Scene, undisturbed: dict[tuple[str, str], str], point: str, nth: int
) -> None:
    killed = scene.backfill(crash_at=f"{point}:{nth}")
    if point.startswith("coordinator."):
        assert killed.returncode == -9, killed.stderr
    else:
        assert killed.returncode in {0, 1}, killed.stderr
    scene.finish()
    scene.assert_sound(undisturbed)


@pytest.mark.slow
def test_kills_one_after_another_in_the_same_run(scene: Scene, undisturbed: dict[tuple[str, str], str]) -> None:
    points = [point for point in POINTS if point.startswith("coordinator.") and not point.endswith("finish")]
    assert scene.backfill(crash_at=f"{points[-1]}:2").returncode == -9
    for point in points:
        resumed = scene.call("resume", "latest", crash_at=f"{point}:1")
        assert resumed.returncode == -9, resumed.stderr
    scene.finish()
    scene.assert_sound(undisturbed)
