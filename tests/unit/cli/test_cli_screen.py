from __future__ import annotations

import io
from dataclasses import replace
from typing import TYPE_CHECKING

from rich.console import Console

from headgate.cli import screen
from headgate.drivers.progress import DatasetProgress, Progress
from headgate.model.run import TaskState

if TYPE_CHECKING:
    import pytest


def progress(*, draining: bool = False, ended: int = 40, left: int = 60) -> Progress:
    datasets = (
        DatasetProgress("flights", {TaskState.SUCCEEDED: 30, TaskState.RUNNING: 2, TaskState.WAITING: 18}),
        DatasetProgress("weather", {TaskState.SKIPPED: 8, TaskState.FAILED: 1, TaskState.BLOCKED: 1}),
        DatasetProgress("monthly", {TaskState.WAITING: 40}),
    )
    return Progress("r1", datasets, ended, left, 20.0, draining)


def rendered(shown: Progress, height: int = 20) -> str:
    out = io.StringIO()
    console = Console(file=out, width=90, height=height, color_system=None, force_terminal=False, legacy_windows=False)
    console.print(screen.picture("r1", shown))
    return out.getvalue()


def test_a_line_says_how_far_how_fast_and_how_long() -> None:
    assert screen.line(progress()) == "38 of 100 partitions, 2 running, 1 failed, 2.0/s, 30 s left"
    assert screen.line(progress(ended=0)) == "38 of 100 partitions, 2 running, 1 failed"
    assert screen.line(progress(ended=4000, left=0)).endswith(", 200/s")


def test_the_picture_has_the_whole_on_top_and_each_dataset_below() -> None:
    lines = rendered(progress()).splitlines()
    assert lines[0].rstrip() == "run r1  38 of 100 partitions, 1 failed, 2.0/s, 30 s left"
    assert [line.split()[0] for line in lines[1:]] == ["flights", "weather", "monthly"]
    assert "30/50" in lines[1]
    assert lines[1].rstrip().endswith("2 running")
    assert lines[2].rstrip().endswith("1 failed")


def test_draining_is_said() -> None:
    assert screen.DRAINING in rendered(progress(draining=True))
    assert screen.DRAINING not in rendered(progress())


def test_a_log_gets_the_start_the_draining_once_and_no_flood(capsys: pytest.CaptureFixture[str]) -> None:
    with screen.screen() as shown:
        shown.start("r1", is_followed=False)
        for _ in range(100):
            shown.show(progress())
        shown.show(progress(draining=True))
        shown.show(progress(draining=True))
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines() == ["run r1", screen.DRAINING]


def test_who_follows_is_told_that_leaving_does_no_harm(capsys: pytest.CaptureFixture[str]) -> None:
    with screen.screen() as shown:
        shown.start("r1", is_followed=True)
    assert capsys.readouterr().err == "run r1 goes on in another process: Ctrl-C leaves it alone\n"
    console = Console(file=io.StringIO(), width=90, color_system=None)
    with console.capture() as captured:
        console.print(screen.picture("r1", progress(), is_followed=True))
    assert captured.get().splitlines()[1].rstrip() == "it goes on in another process: Ctrl-C leaves it alone"


def test_who_stops_the_runs_of_others_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with screen.screen() as shown:
        shown.show(replace(progress(draining=True), others=2))
    (told,) = capsys.readouterr().err.splitlines()
    assert told == f"{screen.DRAINING}. With it 2 other runs of this process: who follows one goes on with it"
    one = screen.draining_text(replace(progress(), others=1))
    assert one == f"{screen.DRAINING}. With it another run of this process: who follows one goes on with it"
