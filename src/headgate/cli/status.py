"""headgate status: the runs, or one of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from headgate.cli import options
from headgate.cli.text import STATE_COLORS, counted, failures_text, moment, plain, print_json, table

if TYPE_CHECKING:
    from pathlib import Path

    from headgate.views.status import RunLine, RunStatus

SHOWN_FAILURES = 20


@click.command("status")
@click.argument("run", required=False)
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1), help="How many runs, newest first.")
@options.as_json
@options.folder
@click.pass_obj
def command(root: Path, run: str | None, limit: int, as_json: bool) -> None:
    """Show the runs, newest first, or one RUN in full.

    RUN is the id of a run, the beginning of one, or `latest`.
    """
    from headgate.drivers.naming import named_run
    from headgate.views import status
    from headgate.views.reading import reading

    with reading(root) as (_, store):
        if run is not None:
            found = status.run_status(store, named_run(store, run))
            print_json(found) if as_json else click.echo(_run_text(found))
            return
        runs = status.runs(store, limit=limit)
    print_json({"runs": runs}) if as_json else click.echo(_runs_text(runs))


def _runs_text(runs: tuple[RunLine, ...]) -> str:
    if not runs:
        return f"no runs yet: {options.invocation('plan')} shows what there is to do"
    rows = [
        (run.id, run.state, f"{run.done:,} of {run.total:,}", moment(run.created_ms), run.author, run.reason)
        for run in runs
    ]
    colors = {(1, state): color for state, color in STATE_COLORS.items()}
    return table(
        ("run", "state", "done", "created (UTC)", "author", "reason"), rows, right=frozenset({2}), colors=colors
    )


def _run_text(status: RunStatus) -> str:
    run = status.run
    state = click.style(run.state, fg=STATE_COLORS[run.state])
    lines = [
        f"run {run.id} {state}: {run.done:,} of {counted(run.total, 'partition')} done",
        f"  {run.kind} by {plain(run.author)}, {moment(run.created_ms)} UTC: {plain(run.reason)}",
    ]
    if run.finished_ms is not None:
        lines.append(f"  ended {moment(run.finished_ms)} UTC")
    if status.coordinator:
        lines.append(f"  run by {plain(status.coordinator)}")
    rest = "skipped" if run.state == "succeeded" else "not built" if run.finished_ms is not None else "waiting"
    header = ("dataset", "partitions", "new", "unchanged", "running", "failed", rest)
    rows = [
        (line.name, *_numbers(line.total, line.published, line.unchanged, line.running, line.failed, line.rest))
        for line in status.datasets
    ]
    lines += ["", table(header, rows, right=frozenset(range(1, 7)))]
    if status.failures:
        lines += ["", click.style("failed", fg="red"), failures_text(status.failures[:SHOWN_FAILURES])]
    if len(status.failures) > SHOWN_FAILURES:
        lines.append(f"  ... and {len(status.failures) - SHOWN_FAILURES:,} more: see --json")
    following = {"failed": "retry", "cancelled": "retry", "interrupted": "resume"}.get(run.state)
    if following:
        lines += ["", f"next: {options.invocation(following, run.id)}"]
    return "\n".join(lines)


def _numbers(*numbers: int) -> tuple[str, ...]:
    return tuple(f"{n:,}" if n else "-" for n in numbers)
