"""Runs from the command line, with real coordinators and workers, real signals and a real terminal."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.slow

TOML = '[project]\nmodules = ["slow_pipeline"]\n[workers]\nprocesses = 2\n'
PIPELINE = """
import time
from pathlib import Path

import pyarrow as pa

import headgate

DAYS = headgate.daily("2024-01-01", "2024-01-13")
HERE = Path(__file__).parent


@headgate.dataset(partitions=DAYS)
def made(ctx: headgate.Context) -> pa.Table:
    with (HERE / "started").open("a") as started:
        started.write(ctx.key + "\\n")
    while (HERE / "hold").exists():
        time.sleep(0.01)
    if ctx.key == "2024-01-03" and (HERE / "bad").exists():
        raise ValueError("no good \\x1b[31m data")
    return pa.table({"day": [ctx.key]})


@headgate.dataset(partitions=DAYS, inputs={"made": headgate.trailing(2)})
def pairs(made: pa.Table) -> pa.Table:
    return made
"""
TASKS = 24


class Place:
    """A project whose tasks can be held and made to fail."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "headgate.toml").write_text(TOML)
        (root / "slow_pipeline.py").write_text(PIPELINE)
        self._started: list[subprocess.Popen[str]] = []

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "headgate", "-C", str(self.root), *arguments]

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            self.command(*arguments),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env={**os.environ, "HEADGATE_AUTHOR": "ada"},
        )
        self._started.append(process)
        return process

    def clean_up(self) -> None:
        """End what a failed test has left running."""
        for process in self._started:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.communicate()

    def call(self, *arguments: str, code: int = 0) -> tuple[str, str]:
        process = self.start(*arguments)
        out, err = process.communicate(timeout=120)
        assert process.returncode == code, out + err
        assert "Traceback" not in err
        return out, err

    def data(self, *arguments: str, code: int = 0) -> Any:
        return json.loads(self.call(*arguments, "--json", code=code)[0])

    def backfill(self, *arguments: str, code: int = 0) -> tuple[str, str]:
        return self.call("backfill", "--yes", "--reason", "a test", *arguments, code=code)

    def held(self) -> subprocess.Popen[str]:
        """Start a backfill and return when its first tasks run; they do not end before `release`."""
        (self.root / "hold").touch()
        process = self.start("backfill", "--yes", "--reason", "held")
        self.wait_for_start(process.poll)
        return process

    def wait_for_start(self, ended: Any) -> None:
        while not (self.root / "started").exists():
            assert ended() is None
            select.select([], [], [], 0.02)

    def release(self) -> None:
        (self.root / "hold").unlink()

    def newest(self) -> dict[str, Any]:
        run: dict[str, Any] = self.data("status")["runs"][0]
        return run


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path)
    yield made
    made.clean_up()


def test_a_backfill_builds_everything_once_and_says_so(place: Place) -> None:
    out, err = place.backfill()
    assert out.startswith("24 partitions to build\n")
    run = place.newest()
    assert f"run {run['id']} succeeded: 24 partitions in " in out
    assert err == f"run {run['id']}\n"
    assert (run["state"], run["author"], run["reason"], run["done"], run["total"]) == (
        "succeeded",
        "ada",
        "a test",
        TASKS,
        TASKS,
    )
    assert place.data("query", "select count(*) as n from pairs") == [{"n": 23}]
    assert place.backfill() == ("nothing to do: all 24 partitions are up to date\n", "")
    assert len(place.data("status")["runs"]) == 1
    assert place.call("check", "--state")[0].splitlines()[1].startswith("state ok: 24 published partitions, 24 files")


def test_the_summary_as_json(place: Place) -> None:
    out, err = place.call("backfill", "--yes", "--reason", "x", "--json", "--start", "2024-01-05", "made")
    summary = json.loads(out)
    assert summary["run"]["state"] == "succeeded"
    assert [(part["name"], part["total"], part["published"]) for part in summary["datasets"]] == [("made", 8, 8)]
    assert summary["failures"] == []
    assert "8 partitions to build" in err
    assert json.loads(place.backfill("--json", "--start", "2024-01-05", "made")[0])["run"] is None


def test_a_failure_is_shown_explained_and_retried(place: Place) -> None:
    (place.root / "bad").touch()
    out, _ = place.backfill(code=1)
    run = place.newest()
    assert run["state"] == "failed"
    assert "made/2024-01-03 (permanent) ValueError: no good \\x1b[31m data" in out
    assert out.endswith(f"next: headgate -C {place.root} retry {run['id']}\n")
    counts = {part["name"]: part for part in place.data("status", "latest")["datasets"]}
    assert (counts["made"]["failed"], counts["made"]["published"], counts["pairs"]["blocked"]) == (1, 11, 2)
    explained, _ = place.call("explain", "pairs", "2024-01-04")
    assert "needs made/2024-01-03, which failed" in explained
    explained, _ = place.call("explain", "made", "2024-01-03")
    assert "slow_pipeline.py" in explained
    assert "\x1b" not in explained
    assert "Use headgate retry" in place.call("resume", "latest", code=1)[1]
    (place.root / "bad").unlink()
    out, _ = place.call("retry", run["id"][:-2], "--reason", "it is good now")
    assert f"run {run['id']} succeeded" in out
    assert place.data("history", "made", "2024-01-03")["versions"][0]["run"] == run["id"]


def test_one_interrupt_drains_and_the_run_can_be_resumed(place: Place) -> None:
    process = place.held()
    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    assert process.stderr.readline().startswith("run ")
    assert process.stderr.readline().startswith("draining")
    place.release()
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    run = place.newest()
    assert (run["state"], 0 < run["done"] < TASKS) == ("interrupted", True)
    assert out.endswith(f"next: headgate -C {place.root} resume {run['id']}\n")
    assert f"run {run['id']} succeeded" in place.call("resume", "latest")[0]
    made = (place.root / "started").read_text().split()
    assert sorted(made) == sorted(set(made)), "something was built twice"


def test_two_interrupts_stop_at_once(place: Place) -> None:
    process = place.held()
    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    while not process.stderr.readline().startswith("draining"):
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    run = place.newest()
    assert process.returncode == 130
    assert err == f"stopped; next: headgate -C {place.root} resume {run['id']}\n"
    assert (run["state"], run["done"]) == ("interrupted", 0)
    place.release()
    place.call("resume", run["id"])
    assert place.data("check", "--state")["ok"]


def test_a_killed_coordinator_leaves_an_interrupted_run(place: Place) -> None:
    process = place.held()
    assert place.newest()["state"] == "running"
    assert place.data("status", "latest")["coordinator"]
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=60)
    assert place.newest()["state"] == "interrupted"
    checked = place.data("check", "--state", code=1)
    assert "no coordinator is alive" in checked["problems"][0]
    assert checked["next"] == [f"headgate -C {place.root} resume {place.newest()['id']}"]
    task = place.data("explain", "made", "2024-01-12")["task"]
    assert (task["state"], task["wait"]) == ("waiting", "no coordinator runs this run")
    place.release()
    place.call("resume", "latest")
    assert place.data("check", "--state") == {**place.data("check", "--state"), "ok": True, "orphans": []}


def test_what_a_live_run_builds_is_refused_and_cancel_stops_it(place: Place) -> None:
    process = place.held()
    _, err = place.backfill(code=1)
    assert " is under way and builds 12 of these partitions of made" in err
    task = place.data("explain", "pairs", "2024-01-04")["task"]
    assert (task["state"], task["wait"]) == ("waiting", "waits for upstream partitions")
    assert place.call("cancel", "latest", "--reason", "enough")[0].endswith(" is cancelled\n")
    out, err = process.communicate(timeout=60)
    assert process.returncode == 1, err
    assert " cancelled: 0 of 24 partitions in " in out
    assert place.newest()["state"] == "cancelled"
    assert place.call("cancel", "latest", "--reason", "x", code=1)[1].startswith(
        f"error: run {place.newest()['id']} is cancelled: there is nothing to cancel"
    )


def test_an_interrupted_run_is_cancelled_at_once(place: Place) -> None:
    process = place.held()
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=60)
    assert place.data("cancel", "latest", "--reason", "x")["run"]["state"] == "cancelled"
    place.release()
    assert place.data("retry", "latest")["run"]["state"] == "succeeded"


def test_a_reader_that_leaves_is_no_error(place: Place) -> None:
    shell = f"{subprocess.list2cmdline(place.command('graph'))} | true; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() in {"0", "1"}
    assert done.stderr == ""


# The first terminal that the leader of a session opens is the one that its Ctrl-C comes from.
ON_TERMINAL = "import os, sys; os.open(os.ttyname(0), os.O_RDWR); os.execv(sys.executable, sys.argv[1:])"


class Terminal:
    """A command on a terminal of its own."""

    def __init__(self, place: Place, *arguments: str) -> None:
        self.seen = ""
        self._fd, inner = pty.openpty()
        self._process = subprocess.Popen(
            [sys.executable, "-c", ON_TERMINAL, *place.command(*arguments)],
            stdin=inner,
            stdout=inner,
            stderr=inner,
            start_new_session=True,
            env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "100", "LINES": "30"},
        )
        os.close(inner)

    def until(self, text: str) -> None:
        """Read until a text has come."""
        while text not in self.seen:
            assert self._read(), f"{text!r} did not come: {self.seen}"

    def send(self, text: str) -> None:
        """Type something."""
        os.write(self._fd, text.encode())

    def interrupt(self, until: str) -> None:
        """Type Ctrl-C until a text has come: one that hits a process just before it waits is lost until the next."""
        for _ in range(20):
            self.send("\x03")
            while until not in self.seen and select.select([self._fd], [], [], 1.0)[0]:
                assert self._read(), self.seen
            if until in self.seen:
                return
        raise AssertionError(self.seen)

    def end(self) -> int:
        """Read to the end and return the exit code."""
        while self._read():
            pass
        os.close(self._fd)
        return self._process.wait(timeout=60)

    def _read(self) -> bool:
        try:
            chunk = os.read(self._fd, 65536)
        except OSError:
            return False
        self.seen += chunk.decode(errors="replace")
        return bool(chunk)


def test_on_a_terminal_the_plan_is_confirmed_and_the_run_is_drawn(place: Place) -> None:
    (place.root / "hold").touch()
    terminal = Terminal(place, "backfill", "--reason", "seen")
    terminal.until("Run this plan? [y/N]: ")
    terminal.send("y\n")
    terminal.until("0/12")
    terminal.until(" running")
    place.release()
    assert terminal.end() == 0
    assert "24 partitions in " in terminal.seen
    assert place.newest()["reason"] == "seen"


def test_a_plan_that_is_declined_starts_nothing(place: Place) -> None:
    terminal = Terminal(place, "backfill", "--reason", "x")
    terminal.until("[y/N]: ")
    terminal.send("\n")
    assert terminal.end() == 1
    assert "nothing was started" in terminal.seen
    assert not (place.root / ".headgate").exists()


def test_an_interrupt_while_asked_is_an_interruption(place: Place) -> None:
    (place.root / "slow_pipeline.py").write_text(PIPELINE + "import polars  # takes over Ctrl-C\n")
    terminal = Terminal(place, "backfill", "--reason", "x")
    terminal.until("[y/N]: ")
    terminal.interrupt(until="interrupted")
    assert terminal.end() == 130
    assert not (place.root / ".headgate").exists()
