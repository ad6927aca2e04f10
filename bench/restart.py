"""From SIGKILL of a coordinator with a million waiting tasks to the first start after `headgate resume`."""

from __future__ import annotations

import subprocess
from time import sleep, time_ns
from typing import TYPE_CHECKING

from bench.headgate_side import HEADGATE, fresh_copy
from bench.measure import Figure, Figures, by_turns

if TYPE_CHECKING:
    from pathlib import Path


def run() -> Figures:
    (first_start_s,) = by_turns(3, _first_start_s)
    meaning = "from SIGKILL to the start of the first function, 1,000,000 tasks waiting"
    return {"first_start_s": Figure(first_start_s, meaning, "below 2")}


def _first_start_s() -> float:
    with fresh_copy("million") as project:
        starts = project / "starts"
        starts.mkdir()
        first = _start(project, "backfill", "old", "--yes", "--reason", "benchmark")
        _wait_for_starts(starts, first, 20)
        first.kill()
        killed_ns = time_ns()
        first.wait()
        second = _start(project, "resume", "latest")
        before = {mark.name for mark in starts.iterdir()}
        try:
            _wait_for_starts(starts, second, len(before) + 1)
            later = [int(mark.read_text()) for mark in starts.iterdir() if mark.name not in before]
        finally:
            second.kill()
            second.wait()
        return (min(later) - killed_ns) / 1e9


def _start(project: Path, *arguments: str) -> subprocess.Popen[bytes]:
    command = [str(HEADGATE), "-C", str(project), *arguments]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _wait_for_starts(starts: Path, coordinator: subprocess.Popen[bytes], count: int) -> None:
    while sum(1 for mark in starts.iterdir() if mark.stat().st_size) < count:
        if coordinator.poll() is not None:
            raise SystemExit(f"the coordinator ended with exit code {coordinator.returncode}")
        sleep(0.01)
