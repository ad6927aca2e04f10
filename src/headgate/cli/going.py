"""A run from its start to its last word: what backfill, resume and retry have in common."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import click

from headgate.cli import options
from headgate.cli.main import INTERRUPTED
from headgate.cli.screen import screen
from headgate.cli.text import STATE_COLORS, counted, duration, failures_text, print_json, problems_text, table
from headgate.model.run import RunState

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from headgate.drivers.progress import Progress, RunSummary
    from headgate.views.summary import Summary

    Go = Callable[[Callable[[str], None], Callable[[Progress], None], Callable[[RunSummary, int], None]], RunSummary]

SHOWN_FAILURES = 5

_NEXT = {RunState.FAILED: "retry", RunState.CANCELLED: "retry", RunState.INTERRUPTED: "resume"}
_EXIT = {
    RunState.SUCCEEDED: 0,
    RunState.INTERRUPTED: INTERRUPTED,
    RunState.RUNNING: INTERRUPTED,
    RunState.QUEUED: INTERRUPTED,
}


def run(go: Go, *, as_json: bool) -> int:
    """Let a run go to its end, show it, and return the exit code.

    Args:
        go: Drives it; gets what to call when it has an id, with its progress, and when it has ended before others have.
        as_json: Whether to print the summary as JSON.
    """
    from headgate.views.summary import summarize

    known: list[str] = []
    told: list[RunSummary] = []

    def show(summary: Summary) -> None:
        print_json(summary) if as_json else click.echo(summary_text(summary))

    try:
        with screen() as shown:

            def on_start(run_id: str) -> None:
                known.append(run_id)
                with suppress(OSError):
                    shown.start(run_id)

            def on_progress(progress: Progress) -> None:
                # A terminal that is gone is no reason to stop.
                with suppress(OSError):
                    shown.show(progress)

            def on_end(ended: RunSummary, others: int) -> None:
                told.append(ended)
                with suppress(OSError):
                    show(summarize(ended))
                    runs = "another run goes" if others == 1 else f"{others} other runs go"
                    click.echo(f"{runs} on in this process; Ctrl-C drains what runs", err=True)

            summary = summarize(go(on_start, on_progress, on_end))
    except KeyboardInterrupt:
        following = f"; next: {options.invocation('resume', known[0])}" if known else ""
        click.echo(f"stopped{following}", err=True)
        return INTERRUPTED
    if not told:
        show(summary)
    state = summary.run.state if summary.run else RunState.SUCCEEDED
    return _EXIT.get(state, 1)


def take_up(root: Path, text: str, *, retry: bool, reason: str, as_json: bool) -> int:
    """Resume or retry the run that a text names; return the exit code."""
    from headgate.drivers.naming import named_run
    from headgate.drivers.session import Session

    session = Session(root)
    try:
        found = named_run(session.store, text)
        return run(
            lambda on_start, on_progress, on_end: session.go_on(
                found.id, retry=retry, reason=reason, on_start=on_start, on_progress=on_progress, on_end=on_end
            ),
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
    done = sum(part.published + part.unchanged + part.skipped for part in summary.datasets)
    of = f"{done:,} of " if done < total else ""
    lines = [f"run {ended.id} {state}: {of}{counted(total, 'partition')} in {elapsed}", "", _counts_text(summary)]
    if summary.failures:
        lines += ["", click.style("failed", fg="red"), failures_text(summary.failures[:SHOWN_FAILURES])]
    more = sum(part.failed for part in summary.datasets) - min(len(summary.failures), SHOWN_FAILURES)
    if more > 0:
        lines.append(f"  ... and {more:,} more: {options.invocation('status', ended.id)}")
    if summary.problems:
        lines += ["", click.style("could not be built", fg="red"), problems_text(summary.problems)]
    if ended.state in {RunState.RUNNING, RunState.QUEUED}:
        lines += [
            "",
            "it goes on in another process",
            f"  {options.invocation('status', ended.id)} shows it",
            f"  {options.invocation('cancel', ended.id)} stops it",
        ]
    if ended.state in _NEXT:
        lines += ["", f"next: {options.invocation(_NEXT[ended.state], ended.id)}"]
    return "\n".join(lines)


def _counts_text(summary: Summary) -> str:
    """Return the tasks of each dataset by how they ended; columns of nothing but zeros are left out."""
    columns = ("published", "unchanged", "skipped", "failed", "blocked", "cancelled", "left")
    shown = [name for name in columns if any(getattr(part, name) for part in summary.datasets)]
    rows = [
        (part.name, *(f"{count:,}" if (count := getattr(part, name)) else "-" for name in shown))
        for part in summary.datasets
    ]
    return table(("dataset", *shown), rows, right=frozenset(range(1, len(shown) + 1)))
