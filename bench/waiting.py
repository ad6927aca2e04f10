"""Memory of the coordinator while 100,000 tasks wait for one that runs."""

from __future__ import annotations

import os
import re
import select
import shutil
import subprocess
import tempfile
from pathlib import Path
from time import sleep

from bench.headgate_side import HEADGATE, PROJECTS
from bench.measure import Figure, Figures

SAMPLES = 10


def resident_mb(pid: int) -> float:
    """Return the resident memory of a process in millions of bytes (Linux)."""
    found = re.search(r"^VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1]) * 1024 / 1e6


def _wait_for_writer(pipe: Path, coordinator: subprocess.Popen[bytes]) -> None:
    """Return as soon as the task that all others wait for runs: it opens the pipe and closes it again."""
    descriptor = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        poller = select.poll()
        poller.register(descriptor, select.POLLIN)
        while not poller.poll(100):
            if coordinator.poll() is not None:
                raise SystemExit(f"headgate backfill ended with exit code {coordinator.returncode}")
    finally:
        os.close(descriptor)


def run() -> Figures:
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder) / "project"
        shutil.copytree(PROJECTS / "waiting", project, ignore=shutil.ignore_patterns("__pycache__"))
        for name in ("running.pipe", "go.pipe"):
            os.mkfifo(project / name)
        command: list[str | Path] = [HEADGATE, "-C", project, "backfill", "--yes", "--reason", "benchmark"]
        coordinator = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            _wait_for_writer(project / "running.pipe", coordinator)
            samples = []
            for _ in range(SAMPLES):
                sleep(0.2)
                samples.append(resident_mb(coordinator.pid))
        finally:
            coordinator.kill()
            coordinator.wait()
    return {"coordinator_mb": Figure(max(samples), "resident memory of the coordinator, MB", "below 150")}
