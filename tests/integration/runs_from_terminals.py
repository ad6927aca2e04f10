"""Commands in processes of their own, on a project whose tasks are held by files named hold-NAME."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

LIMIT_S = 60.0


class Terminals:
    """Starts commands on a project, and ends what a failed test has left."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.author = "ada"
        """Who calls the commands that follow."""
        self._started: list[subprocess.Popen[str]] = []

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "headgate", "-C", str(self.root), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env={**os.environ, "HEADGATE_AUTHOR": self.author},
        )
        self._started.append(process)
        return process

    def end(self, process: subprocess.Popen[str], *, code: int = 0) -> tuple[str, str]:
        out, err = process.communicate(timeout=LIMIT_S)
        assert process.returncode == code, out + err
        assert "Traceback" not in err
        return out, err

    def call(self, *arguments: str, code: int = 0) -> tuple[str, str]:
        return self.end(self.start(*arguments), code=code)

    def data(self, *arguments: str, code: int = 0) -> Any:
        return json.loads(self.call(*arguments, "--json", code=code)[0])

    def hold(self, name: str) -> None:
        (self.root / f"hold-{name}").touch()

    def release(self, name: str) -> None:
        (self.root / f"hold-{name}").unlink()

    def wait_for(self, file: str, process: subprocess.Popen[str]) -> None:
        """Return when a file exists that a task of a running process makes."""
        while not (self.root / file).exists():
            assert process.poll() is None, process.communicate()
            select.select([], [], [], 0.02)

    def wait_for_words(self, words: str, process: subprocess.Popen[str]) -> None:
        """Return when a line of what a running process says to people has these words."""
        assert process.stderr is not None
        while words not in (line := process.stderr.readline()):
            assert line, process.communicate()

    def wait_for_run(self, *, state: str, count: int) -> None:
        """Return when so many runs are in a state."""
        until_s = time.monotonic() + LIMIT_S
        while sum(run["state"] == state for run in self.data("status")["runs"]) < count:
            assert time.monotonic() < until_s, self.data("status")

    def clean_up(self) -> None:
        for process in self._started:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.communicate()
