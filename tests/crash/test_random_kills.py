from __future__ import annotations

import os
import random
import time
from typing import TYPE_CHECKING

import pytest
from scene import Scene, children, kill

if TYPE_CHECKING:
    import subprocess

ROUNDS = int(os.environ.get("HEADGATE_KILL_ROUNDS", "3"))
KILLS = 6


def strike(process: subprocess.Popen[str], chance: random.Random) -> None:
    """Kill the coordinator, one of its workers, or all of them, at some moment of its life."""
    until = time.monotonic() + chance.uniform(0.3, 1.6)
    while time.monotonic() < until and process.poll() is None:
        time.sleep(0.005)
    workers = children(process.pid)
    victims = chance.choice([[process.pid], chance.sample(workers, min(1, len(workers))), [*workers, process.pid]])
    for victim in victims:
        kill(victim)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(ROUNDS))
def test_random_kills_lose_and_double_nothing(scene: Scene, undisturbed: dict[tuple[str, str], str], seed: int) -> None:
    chance = random.Random(seed)
    for number in range(KILLS):
        arguments = ("resume", "latest") if number else ("backfill", "--yes", "--reason", f"seed {seed}")
        process = scene.start(*arguments)
        strike(process, chance)
        process.communicate(timeout=120)
        for key, content in scene.contents().items() if number else ():
            assert undisturbed[key] == content, f"seed {seed}: {key} is visible with other content after kill {number}"
    scene.finish()
    scene.assert_sound(undisturbed)
