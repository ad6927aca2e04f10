"""A disk that is full while results are staged, packed or published: nothing readers see changes, and it goes on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CONFIG = '[project]\nmodules = ["filling"]\n[workers]\nprocesses = 1\n[retry]\nattempts = 1\n'
PIPELINE = """
import random
import pyarrow as pa
import headgate

DAYS = headgate.daily("2024-01-01", "2024-01-05")

@headgate.dataset(partitions=DAYS)
def noise(ctx: headgate.Context) -> pa.Table:
    source = random.Random(f"{ctx.key} {ctx.parameters['shift']}")
    return pa.table({"n": [source.getrandbits(60) for _ in range(40_000)]})
"""
DISK_KB = 2_560
"""Room for four partitions of 310 kB and the state store, and for little more."""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a small disk"),
]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK_KB}k", "tmpfs", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode != 0:
        pytest.skip(f"no small disk can be mounted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


class Disk:
    """A project whose data, or whose state store, lies on the small disk."""

    def __init__(self, root: Path, disk: Path, *, has_state: bool) -> None:
        self.root, self.disk = root, disk
        root.mkdir()
        self._places = f'[state]\npath = "{disk}/state.db"\n' if has_state else f'[data]\npath = "{disk}/data"\n'
        (root / "filling.py").write_text(PIPELINE)
        self.shift(0)

    def shift(self, by: int) -> None:
        """Make everything stale: a new version of the code, and other rows."""
        (self.root / "headgate.toml").write_text(CONFIG + self._places + f"[parameters]\nshift = {by}\n")

    def call(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "headgate", "-C", str(self.root), *arguments]
        return subprocess.run(
            command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=120, check=False
        )

    def fill(self, *, leaving_kb: int) -> Path:
        """Fill the disk up to some room."""
        ballast = self.disk / "ballast"
        status = os.statvfs(self.disk)
        ballast.write_bytes(b"x" * (status.f_bavail * status.f_frsize - leaving_kb * 1024))
        return ballast

    def heads(self) -> list[dict[str, object]]:
        return json.loads(self.call("query", "select count(*) c, sum(n % 1000)::bigint s from noise", "--json").stdout)


@pytest.fixture
def data_disk(tmp_path: Path, disk: Path) -> Disk:
    return Disk(tmp_path / "project", disk, has_state=False)


def test_an_attempt_that_finds_the_disk_full_says_so_and_heads_stay(data_disk: Disk) -> None:
    first = data_disk.call("backfill", "--yes", "--reason", "first")
    assert first.returncode == 0, first.stderr
    before = data_disk.heads()
    ballast = data_disk.fill(leaving_kb=500)
    data_disk.shift(1)
    full = data_disk.call("backfill", "--all", "--yes", "--reason", "second", "--json")
    assert full.returncode == 1, full.stdout + full.stderr
    status = json.loads(data_disk.call("status", "latest", "--json").stdout)
    failures = json.dumps(status)
    assert '"error_class": "resource"' in failures
    assert "No space left on device" in failures
    checked = data_disk.call("check", "--state")
    assert checked.returncode == 0, checked.stdout
    # The one partition for which there was room is new; the others are what they were.
    assert data_disk.heads()[0]["c"] == before[0]["c"]
    ballast.unlink()
    retried = data_disk.call("retry", "latest", "--reason", "there is room")
    assert retried.returncode == 0, retried.stdout + retried.stderr
    assert data_disk.call("verify", "--content").returncode == 0
    assert data_disk.heads() != before


def test_a_compaction_that_finds_the_disk_full_leaves_everything_as_it_was(data_disk: Disk) -> None:
    assert data_disk.call("backfill", "--yes", "--reason", "first").returncode == 0
    before, files = data_disk.heads(), set(data_disk.disk.rglob("*.parquet"))
    ballast = data_disk.fill(leaving_kb=500)
    compact = ("compact", "--older-than", "0", "--min-files", "2", "--max-file-size", "1GB")
    full = data_disk.call(*compact)
    assert full.returncode == 1
    assert "No space left on device" in full.stderr
    assert data_disk.heads() == before
    assert set(data_disk.disk.rglob("*.parquet")) == files
    assert data_disk.call("check", "--state").returncode == 0
    ballast.unlink()
    (data_disk.disk / "data").mkdir(exist_ok=True)
    assert data_disk.call(*compact).returncode == 0
    assert data_disk.heads() == before
    # With no room at all, old files can still be removed.
    ballast = data_disk.fill(leaving_kb=0)
    removed = data_disk.call("vacuum", "--keep", "0", "--keep-versions", "0", "--yes")
    assert removed.returncode == 0, removed.stderr
    assert len(set(data_disk.disk.rglob("*.parquet"))) == 1
    assert data_disk.heads() == before


def test_a_state_store_without_room_stops_the_run_and_it_goes_on_later(tmp_path: Path, disk: Path) -> None:
    project = Disk(tmp_path / "project", disk, has_state=True)
    assert project.call("backfill", "--yes", "--reason", "first").returncode == 0
    before = project.heads()
    ballast = project.fill(leaving_kb=64)
    project.shift(1)
    full = project.call("backfill", "--all", "--yes", "--reason", "second")
    assert full.returncode == 1, full.stdout
    # Without room even for the index of its log SQLite calls it an I/O error.
    assert "the disk is full" in full.stderr or "disk I/O error" in full.stderr
    assert project.heads() == before
    ballast.unlink()
    again = project.call("backfill", "--all", "--yes", "--reason", "third")
    assert again.returncode == 0, again.stdout + again.stderr
    assert project.heads() != before
    assert project.call("check", "--state").returncode == 0
