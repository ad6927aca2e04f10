"""What a run shows of itself while it goes, on stderr: a live picture on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

import click

from headgate.cli.text import counted, duration, moment
from headgate.model.run import TaskState

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType
    from rich.live import Live

    from headgate.drivers.progress import DatasetProgress, Progress

LINE_EVERY_S = 5.0
BAR_COLUMNS = 24
STATE_COLUMNS = 10

DRAINING = "draining: what runs ends, nothing more starts; Ctrl-C again stops now"
FOLLOWED = "goes on in another process: Ctrl-C leaves it alone"


class Screen(Protocol):
    """Shows a run that goes on."""

    def start(self, run: str, *, is_followed: bool) -> None:
        """Show that a run goes on here, or in another process from now on."""
        ...

    def show(self, progress: Progress) -> None:
        """Show how far it is."""
        ...


@contextmanager
def screen() -> Iterator[Screen]:
    """Open the screen that fits where stderr goes."""
    if not sys.stderr.isatty():
        yield Lines()
        return
    from rich.console import Console
    from rich.live import Live

    with Live(console=Console(stderr=True), auto_refresh=False, transient=True) as live:
        yield Picture(live)


class Lines:
    """A line every few seconds, for logs."""

    def __init__(self) -> None:
        self._shown_s = time.monotonic()
        self._draining = False

    def start(self, run: str, *, is_followed: bool) -> None:
        """Show that a run goes on here, or in another process from now on."""
        click.echo(f"run {run}{f' {FOLLOWED}' if is_followed else ''}", err=True)

    def show(self, progress: Progress) -> None:
        """Show how far it is, if the last line is old enough."""
        if progress.draining and not self._draining:
            self._draining = True
            click.echo(draining_text(progress), err=True)
        now_s = time.monotonic()
        if now_s - self._shown_s >= LINE_EVERY_S:
            self._shown_s = now_s
            click.echo(line(progress), err=True)


class Picture:
    """A table that stays in its place and is gone when the run has ended."""

    def __init__(self, live: Live) -> None:
        self._live = live
        self._run = ""
        self._is_followed = False

    def start(self, run: str, *, is_followed: bool) -> None:
        """Show that a run goes on here, or in another process from now on."""
        self._run, self._is_followed = run, is_followed

    def show(self, progress: Progress) -> None:
        """Show how far it is."""
        self._live.update(picture(self._run, progress, is_followed=self._is_followed), refresh=True)


def line(progress: Progress) -> str:
    """Return how far a run is, as one line."""
    done, total, running, failed = _totals(progress)
    parts = [f"{done:,} of {counted(total, 'partition')}", f"{running:,} running"]
    if failed:
        parts.append(f"{failed:,} failed")
    return "\n".join([", ".join([*parts, *_pace(progress)]), *(f"  {text}" for text in held_texts(progress))])


def draining_text(progress: Progress) -> str:
    """Return what is going on while a run drains, and the others of this process with it."""
    if not progress.others:
        return DRAINING
    others = "another run" if progress.others == 1 else f"{progress.others:,} other runs"
    return f"{DRAINING}. With it {others} of this process: who follows one goes on with it"


def held_texts(progress: Progress) -> list[str]:
    """Return what holds tasks back, a line for each reason."""
    texts = []
    for held in progress.held:
        until = f" until {moment(held.until_ms)}" if held.until_ms is not None else ""
        what = f" ({held.what})" if held.what else ""
        texts.append(f"{counted(held.tasks, 'task')} held back: {held.wait.value}{what}{until}")
    return texts


def picture(run: str, progress: Progress, *, is_followed: bool = False) -> RenderableType:
    """Return how far a run is, dataset by dataset."""
    from rich.console import Group
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True)
    grid.add_column(width=BAR_COLUMNS)
    grid.add_column(justify="right", no_wrap=True)
    grid.add_column(justify="right", no_wrap=True, min_width=STATE_COLUMNS)
    grid.add_column(justify="right", no_wrap=True)
    for part in progress.datasets:
        done, total, running, failed = _counts(part)
        grid.add_row(
            Text(f"  {part.name}"),
            ProgressBar(total, done, width=BAR_COLUMNS, complete_style="cyan", finished_style="green"),
            Text(f"{done:,}/{total:,}"),
            Text(f"{running:,} running" if running else "", style="cyan"),
            Text(f"{failed:,} failed" if failed else "", style="red"),
        )
    done, total, running, failed = _totals(progress)
    # At the top, because what does not fit on the terminal is cut off below.
    head = Text.assemble("run ", (run, "bold"), f"  {done:,} of {counted(total, 'partition')}")
    if failed:
        head.append(f", {failed:,} failed", style="red")
    head.append("".join(f", {part}" for part in _pace(progress)))
    notes = [Text(f"it {FOLLOWED}", style="dim")] if is_followed else []
    notes += [Text(draining_text(progress), style="yellow")] if progress.draining else []
    notes += [Text(text, style="yellow") for text in held_texts(progress)]
    return Group(head, *notes, grid)


def _pace(progress: Progress) -> list[str]:
    left_s = progress.left_s
    if left_s is None:
        return []
    running = sum(part.tasks.get(TaskState.RUNNING, 0) for part in progress.datasets)
    rate = f"{progress.rate_per_s:,.0f}/s" if progress.rate_per_s >= 10 else f"{progress.rate_per_s:.1f}/s"
    if not progress.left or (progress.held and not running):
        return [rate]  # How long something holds everything back is not a matter of pace.
    return [rate, f"{duration(max(left_s, 1.0))} left"]


def _counts(part: DatasetProgress) -> tuple[int, int, int, int]:
    """Return done, total, running and failed tasks."""
    tasks = part.tasks
    done = tasks.get(TaskState.SUCCEEDED, 0) + tasks.get(TaskState.SKIPPED, 0)
    failed = tasks.get(TaskState.FAILED, 0)
    return done, part.total, tasks.get(TaskState.RUNNING, 0), failed


def _totals(progress: Progress) -> tuple[int, int, int, int]:
    counts = [_counts(part) for part in progress.datasets]
    done, total, running, failed = (sum(column) for column in zip(*counts, strict=True))
    return done, total, running, failed
