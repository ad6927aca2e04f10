from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from scene import TASKS, Scene

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], str]:
    """The contents that an undisturbed run leaves."""
    scene = Scene(tmp_path_factory.mktemp("undisturbed") / "project")
    done = scene.backfill()
    assert done.returncode == 0, done.stderr
    contents = scene.contents()
    assert len(contents) == TASKS
    scene.assert_sound(contents)
    return contents


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path / "project")
