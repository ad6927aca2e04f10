"""headgate status: the runs, or one of them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from headgate.cli import options
from headgate.cli.text import (
    STATE_COLORS,
    breaker_text,
    counted,
    done_text,
    duration,
    failures_text,
    moment,
    plain,
    print_json,
    state_text,
    table,
    until_text,
)
from headgate.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from headgate.model.rollback import Hold
    from headgate.views.breakers import BreakerLine
    from headgate.views.status import DatasetLine, RunLine, RunStatus, Why

SHOWN_FAILURES = 20
_REST = {
    "succeeded": "skipped",
    "failed": "skipped",
    "staged": "skipped",
    "cancelled": "not built",
    "discarded": "not built",
}
"""What is said of tasks that a run in a state has not built."""


@click.command("status")
@click.argument("run", required=False)
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1), help="How many runs, newest first.")
@click.option("--why", is_flag=True, help="Also why tasks of RUN wait, and what would lift that.")
@options.as_json
@options.folder
@click.pass_obj
def command(root: Path, run: str | None, limit: int, why: bool, as_json: bool) -> None:
    """Show the runs, newest first, or one RUN in full.

    RUN is the id of a run, the beginning of one, or `latest`.
    """
    from headgate.drivers.naming import named_run
    from headgate.views import status
    from headgate.views.breakers import open_breakers
    from headgate.views.reading import reading

    if why and run is None:
        raise UsageError("--why is about one run", hint="Say which: headgate status latest --why.")
    with reading(root) as (_, store):
        if run is not None:
            found = status.run_status(store, named_run(store, run), why=why)
            print_json(found) if as_json else click.echo(_run_text(found))
            return
        runs, breakers, stuck = status.runs(store, limit=limit), open_breakers(store), store.stuck_mirrors()
        holds = store.holds()
    if as_json:
        print_json({"runs": runs, "breakers": breakers, "stuck_mirrors": stuck, "holds": holds})
    else:
        click.echo("\n".join([_runs_text(runs, breakers), *_holds_text(holds), *_stuck_text(stuck)]))


def _runs_text(runs: tuple[RunLine, ...], breakers: tuple[BreakerLine, ...]) -> str:
    shown = [_table_text(runs)] if runs else [f"no runs yet: {options.invocation('plan')} shows what there is to do"]
    return "\n".join([*shown, *_breakers_text(breakers)])


def _table_text(runs: tuple[RunLine, ...]) -> str:
    rows = [
        (run.id, state_text(run), f"{run.done:,} of {run.total:,}", moment(run.created_ms), run.author, run.reason)
        for run in runs
    ]
    colors = {(1, state_text(run)): STATE_COLORS[run.state] for run in runs}
    return table(
        ("run", "state", "done", "created (UTC)", "author", "reason"), rows, right=frozenset({2}), colors=colors
    )


def _run_text(status: RunStatus) -> str:
    run = status.run
    state = click.style(state_text(run), fg=STATE_COLORS[run.state])
    lines = [
        f"run {run.id} {state}: {done_text(run)}",
        f"  {run.kind} by {plain(run.author)}, {moment(run.created_ms)} UTC: {plain(run.reason)}",
    ]
    if run.finished_ms is not None:
        lines.append(f"  ended {moment(run.finished_ms)} UTC")
    if status.coordinator:
        lines.append(f"  run by {plain(status.coordinator)}")
    if status.controls:
        changed = ", ".join(f"{name} {value}" for name, value in status.controls.items())
        lines.append(f"  set by hand: {changed}")
    lines += ["", counts_text(status.datasets, run), *gates_lines(status.quarantined, status.warnings)]
    if status.failures:
        text = failures_text(status.failures, shown=SHOWN_FAILURES, total=len(status.failures), more="see --json")
        lines += ["", click.style("failed", fg="red"), text]
    if status.why:
        lines += ["", *_why_text(status.why, run)]
        told = [one for one in status.why.failures if one not in status.failures]
        if told:
            text = failures_text(told, shown=len(told), total=len(told), more="")
            lines += ["", click.style("last failure there", fg="red"), text]
    lines += _breakers_text(status.breakers)
    if status.staged:
        from headgate.cli.staged_text import staged_lines

        lines += staged_lines(status.staged, run.id, run.state)
    steps = _next_steps(status)
    lines += ["", *(f"next: {options.invocation(*words)}" for words in steps)] if steps else []
    return "\n".join(lines)


def _next_steps(status: RunStatus) -> list[tuple[str, ...]]:
    """Return the commands that would bring a run further, the words of each."""
    run = status.run
    following = {"failed": "retry", "cancelled": "retry", "interrupted": "resume"}.get(run.state)
    if following is None and run.is_paused:
        following = "resume"
    steps: list[tuple[str, ...]] = [(following, run.id)] if following else []
    if run.state == "failed" and status.failures and status.quarantined >= len(status.failures):
        # A retry alone would come to the same again.
        steps.insert(0, ("quarantine", "show", status.failures[0].dataset, status.failures[0].key))
    # What holds tasks back, and only a person lifts.
    steps += [held.hold.next for held in (status.why.held if status.why else ()) if held.hold.next]
    return list(dict.fromkeys(steps))


def _why_text(why: Why, run: RunLine) -> list[str]:
    """Return why tasks wait as lines: how many of which dataset for which reason, and what would lift it."""
    if not why.held:
        says_soon = run.state == "running" and why.at_ms is None
        return ["its coordinator has not said yet why tasks wait: ask again" if says_soon else "no task waits"]
    age = "" if why.at_ms is None else f", as of {duration(max(0, time.time() - why.at_ms / 1000))} ago"
    rows = [(held.dataset, f"{held.tasks:,}", held.hold.text, until_text(held.hold)) for held in why.held]
    return [f"why tasks wait{age}", table(("dataset", "tasks", "reason", ""), rows, right=frozenset({1}))]


def _breakers_text(breakers: tuple[BreakerLine, ...]) -> list[str]:
    """Return open breakers as lines, with the empty one that sets them apart."""
    return ["", *(click.style(plain(breaker_text(line)), fg="yellow") for line in breakers)] if breakers else []


def _stuck_text(stuck: dict[str, str]) -> list[str]:
    if not stuck:
        return []
    from headgate.cli.mirror import stuck_lines

    return ["", *stuck_lines(stuck)]


def _holds_text(holds: list[Hold]) -> list[str]:
    """Return that rollbacks keep something from being built as lines, with the empty one that sets them apart."""
    count = len({hold.run for hold in holds})
    said = f"{counted(count, 'rollback')} not resolved; what is held is not rebuilt: {options.invocation('holds')}"
    return ["", click.style(said, fg="yellow")] if holds else []


def gates_lines(quarantined: int, warnings: dict[str, int]) -> list[str]:
    """Return what gates had to say of the results of a run, as lines; none if they were content."""
    lines = []
    if quarantined:
        said = f"{quarantined:,} quarantined: {options.invocation('quarantine', 'list')}"
        lines.append(f"  {click.style(said, fg='yellow')}")
    lines += [
        f"  {counted(count, 'partition')} published with warnings: {options.invocation('history', dataset)}"
        for dataset, count in warnings.items()
    ]
    return ["", *lines] if lines else []


def counts_text(datasets: tuple[DatasetLine, ...], run: RunLine) -> str:
    """Return the tasks of each dataset in a run by how they stand; the column of those taken only if there are any."""
    if run.kind == "rollback":
        return table(
            ("dataset", "heads moved"), [(line.name, f"{line.total:,}") for line in datasets], right=frozenset({1})
        )
    rest = _REST.get(run.state, "waiting")
    columns = {
        "partitions": "total",
        "new": "published",
        "unchanged": "unchanged",
        "running": "running",
        "failed": "failed",
        "blocked": "blocked",
        **({"taken": "taken"} if any(line.taken for line in datasets) else {}),
        rest: "rest",
    }
    rows = [
        (line.name, *(f"{n:,}" if (n := getattr(line, name)) else "-" for name in columns.values()))
        for line in datasets
    ]
    return table(("dataset", *columns), rows, right=frozenset(range(1, len(columns) + 1)))
