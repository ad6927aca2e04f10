"""A run from its start to its last word: what backfill, resume and retry have in common."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import click

from headgate.cli import options
from headgate.cli.main import INTERRUPTED
from headgate.cli.runs import skipped_text
from headgate.cli.screen import screen
from headgate.cli.staged_text import staged_lines
from headgate.cli.text import STATE_COLORS, counted, duration, failures_text, print_json, problems_text, table
from headgate.model.run import RunState

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from headgate.cli.screen import Screen
    from headgate.drivers.progress import Progress, RunSummary, Watcher
    from headgate.views.summary import EndedRun, Summary

    Go = Callable[[Watcher], RunSummary]

SHOWN_FAILURES = 5
SHOWN_RUNS = 5

_NEXT = {RunState.FAILED: "retry", RunState.CANCELLED: "retry", RunState.INTERRUPTED: "resume"}
_EXIT = {
    RunState.SUCCEEDED: 0,
    RunState.INTERRUPTED: INTERRUPTED,
    RunState.RUNNING: INTERRUPTED,
    RunState.QUEUED: INTERRUPTED,
}


class Terminal:
    """Shows on the terminal how a run goes. A terminal that is gone is no reason to stop.

    Args:
        screen: Shows what changes all the time.
        as_json: Whether summaries are printed as JSON.
    """

    def __init__(self, screen: Screen, *, as_json: bool) -> None:
        self._screen = screen
        self._as_json = as_json
        self.run = ""
        """Id of the run, once it has one."""
        self.has_ended = False
        """Whether it was told how the run ended, while others went on."""

    def started(self, run: str, *, is_followed: bool) -> None:
        """Show that a run has begun, or that it goes on here."""
        self.run = run
        with suppress(OSError):
            self._screen.start(run, is_followed=is_followed)

    def progressed(self, progress: Progress) -> None:
        """Show how far it is."""
        with suppress(OSError):
            self._screen.show(progress)

    def ended(self, summary: RunSummary, others: int) -> None:
        """Show how it ended, and what becomes of the others."""
        from headgate.views.summary import summarize

        self.has_ended = True
        with suppress(OSError):
            show(summarize(summary), as_json=self._as_json)
            if summary.state is RunState.INTERRUPTED:
                click.echo(f"{other_runs(others, 'drains', 'drain')} too; Ctrl-C again stops now", err=True)
            else:
                click.echo(f"{other_runs(others, 'goes', 'go')} on in this process; Ctrl-C drains what runs", err=True)

    def interrupted(self, runs: Sequence[str]) -> None:
        """Show which other runs were interrupted, and how they go on."""
        with suppress(OSError):
            click.echo(f"\n{other_runs(len(runs), 'was', 'were')} interrupted with it:", err=True)
            for run in runs[:SHOWN_RUNS]:
                click.echo(f"  {options.invocation('resume', run)}", err=True)
            if len(runs) > SHOWN_RUNS:
                click.echo(f"  ... and {len(runs) - SHOWN_RUNS:,} more: {options.invocation('status')}", err=True)
            click.echo("  A terminal that follows one of them goes on with it by itself.", err=True)


def other_runs(count: int, one: str, more: str) -> str:
    """Return how many other runs do something: ``another run goes``, ``3 other runs go``."""
    return f"another run {one}" if count == 1 else f"{count:,} other runs {more}"


def show(summary: Summary, *, as_json: bool) -> None:
    """Print how a run ended."""
    print_json(summary) if as_json else click.echo(summary_text(summary))


def run(go: Go, *, as_json: bool) -> int:
    """Let a run go to its end, show it, and return the exit code.

    Args:
        go: Drives it; gets who watches it.
        as_json: Whether to print the summary as JSON.
    """
    from headgate.views.summary import summarize

    terminal: Terminal | None = None
    try:
        with screen() as shown:
            terminal = Terminal(shown, as_json=as_json)
            summary = summarize(go(terminal))
    except KeyboardInterrupt:
        known = terminal.run if terminal else ""
        following = f"; next: {options.invocation('resume', known)}" if known else ""
        click.echo(f"stopped{following}", err=True)
        return INTERRUPTED
    if not terminal.has_ended:
        show(summary, as_json=as_json)
    state = summary.run.state if summary.run else RunState.SUCCEEDED
    if state is RunState.STAGED and summary.staged and not summary.staged.conflicts:
        return 0
    return _EXIT.get(state, 1)


def take_up(root: Path, text: str, *, retry: bool, reason: str, as_json: bool) -> int:
    """Resume or retry the run that a text names; return the exit code."""
    from headgate.drivers.naming import named_run
    from headgate.drivers.session import Session

    session = Session(root)
    try:
        found = named_run(session.store, text)
        return run(
            lambda watcher: session.go_on(found.id, retry=retry, reason=reason, watcher=watcher, lifts_pause=True),
            as_json=as_json,
        )
    finally:
        session.close()


def summary_text(summary: Summary) -> str:
    """Return how a run ended, and what to do next."""
    ended = summary.run
    if ended is None:
        return "nothing to do"
    total = sum(part.total for part in summary.datasets)
    state = click.style(ended.state, fg=STATE_COLORS[ended.state])
    elapsed = duration(summary.elapsed_s)
    skipped, taken = (sum(getattr(part, name) for part in summary.datasets) for name in ("skipped", "taken"))
    done = sum(part.published + part.unchanged for part in summary.datasets) + skipped + taken
    of = f"{done:,} of " if done < total else ""
    not_built = skipped_text(skipped, taken, total)
    line = f"run {ended.id} {state}: {of}{counted(total, 'partition')} in {elapsed}{not_built}"
    lines = [line, "", _counts_text(summary)]
    if summary.failures:
        failed = sum(part.failed for part in summary.datasets)
        more = options.invocation("status", ended.id)
        text = failures_text(summary.failures, shown=SHOWN_FAILURES, total=failed, more=more)
        lines += ["", click.style("failed", fg="red"), text]
    if summary.quarantined:
        where = options.invocation("quarantine", "list")
        lines += ["", click.style(f"{summary.quarantined:,} quarantined: {where}", fg="yellow")]
    if summary.problems:
        lines += ["", click.style("could not be built", fg="red"), problems_text(summary.problems)]
    if ended.state in {RunState.RUNNING, RunState.QUEUED}:
        lines += [
            "",
            "it goes on in another process",
            f"  {options.invocation('status', ended.id)} shows it",
            f"  {options.invocation('resume', ended.id)} follows it",
            f"  {options.invocation('cancel', ended.id)} --reason WHY stops it",
        ]
    lines += staged_lines(summary.staged, ended.id, ended.state)
    if ended.state in _NEXT:
        lines += ["", *_next_lines(summary, ended)]
    return "\n".join(lines)


def _next_lines(summary: Summary, ended: EndedRun) -> list[str]:
    goes_on = options.invocation(_NEXT[ended.state], ended.id)
    failed = sum(part.failed for part in summary.datasets)
    if ended.state is not RunState.FAILED or not summary.failures or summary.quarantined < failed:
        return [f"next: {goes_on}"]
    # A retry alone would come to the same again.
    first = summary.failures[0]
    looks = options.invocation("quarantine", "show", first.dataset, first.key)
    return [f"next: {looks}", f"      {goes_on} goes on, once that is released or mended"]


def _counts_text(summary: Summary) -> str:
    """Return the tasks of each dataset by how they ended; columns of nothing but zeros are left out."""
    columns = ("published", "unchanged", "skipped", "taken", "failed", "blocked", "cancelled", "left")
    shown = [name for name in columns if any(getattr(part, name) for part in summary.datasets)]
    rows = [
        (part.name, *(f"{count:,}" if (count := getattr(part, name)) else "-" for name in shown))
        for part in summary.datasets
    ]
    is_hidden = summary.staged is not None and not summary.staged.is_published
    header = ("staged" if is_hidden and name == "published" else name for name in shown)
    return table(("dataset", *header), rows, right=frozenset(range(1, len(shown) + 1)))
