"""Kills while somebody decides on what gates have refused: afterwards it was decided as a whole, or not at all."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from scene import Scene

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow

PIPELINE = """
import pyarrow as pa

import headgate

DAYS = headgate.daily("2024-01-01", "2024-01-04")


@headgate.dataset(partitions=DAYS, gates=[headgate.row_count(min=2)])
def events(ctx) -> pa.Table:
    return pa.table({"n": [1] if ctx.key == "2024-01-02" else [1, 2]})


@headgate.dataset(partitions=DAYS)
def trend(events: pa.Table) -> pa.Table:
    return events
"""
REFUSED = "2024-01-02"


class Gated(Scene):
    """A project with one day in quarantine."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        (root / "crash_pipeline.py").write_text(PIPELINE)
        done = self.backfill()
        assert done.returncode == 1, done.stderr
        (self.attempt,) = (one["attempt"] for one in self.quarantined())

    def data(self, *arguments: str) -> Any:
        done = self.call(*arguments, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def quarantined(self) -> list[Any]:
        found: list[Any] = self.data("quarantine", "list", "--all")["quarantined"]
        return found

    def state(self) -> str:
        (one,) = self.quarantined()
        return str(one["state"])

    def is_visible(self) -> bool:
        return ("events", REFUSED) in self.contents()

    def files(self) -> list[Path]:
        return [*(self.root / "data").rglob(f"*-a{self.attempt:04d}.parquet")]

    def decide(self, verb: str, crash_at: str = "") -> int:
        return self.call("quarantine", verb, str(self.attempt), "--reason", "killed", crash_at=crash_at).returncode

    def assert_sound(self, expected: dict[tuple[str, str], str] | None = None) -> None:
        checked = self.call("check", "--state")
        assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.fixture
def gated(tmp_path: Path) -> Gated:
    return Gated(tmp_path / "project")


def test_a_release_that_was_killed_inside_has_not_happened(gated: Gated) -> None:
    for point in ("coordinator.inside_publish", "quarantine.inside_release"):
        assert gated.decide("release", f"{point}:1") == -9
        assert (gated.state(), gated.is_visible()) == ("held", False)
        assert gated.files()
        gated.assert_sound()
    assert gated.decide("release") == 0
    assert (gated.state(), gated.is_visible()) == ("released", True)


def test_a_release_that_was_killed_afterwards_has_happened(gated: Gated) -> None:
    assert gated.decide("release", "quarantine.after_release:1") == -9
    assert (gated.state(), gated.is_visible()) == ("released", True)
    assert gated.decide("release") == 1
    retried = gated.call("retry", "latest")
    assert retried.returncode == 0, retried.stderr
    assert ("trend", REFUSED) in gated.contents()
    gated.assert_sound()


def test_a_drop_that_was_killed_inside_has_not_happened(gated: Gated) -> None:
    assert gated.decide("drop", "quarantine.inside_drop:1") == -9
    assert gated.state() == "held"
    assert gated.files()
    gated.assert_sound()
    assert gated.decide("release") == 0


def test_the_files_of_a_drop_that_was_killed_afterwards_are_collected_by_the_next_run(gated: Gated) -> None:
    assert gated.decide("drop", "quarantine.after_drop:1") == -9
    assert gated.state() == "dropped"
    assert gated.files()
    assert gated.decide("release") == 1
    (gated.root / "crash_pipeline.py").write_text(PIPELINE.replace("[1] if", "[1, 2, 3] if"))
    done = gated.backfill()
    assert done.returncode == 0, done.stderr
    assert gated.files() == []
    assert ("trend", REFUSED) in gated.contents()
    gated.assert_sound()
