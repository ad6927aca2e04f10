"""headgate quarantine: what gates have refused; release it or drop it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from headgate.cli import options
from headgate.cli.text import counted, moment, plain, print_json, size, table
from headgate.errors import UsageError
from headgate.model.run import RunState

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from headgate.drivers.quarantine import Released
    from headgate.views.audit import GateLine
    from headgate.views.quarantine import QuarantinedLine, QuarantinedView

LISTED = 50
SAMPLE = "select * from this limit 20"
COLORS = {"held": "yellow", "released": "green", "dropped": "magenta"}
CELL = 100


@click.group("quarantine", invoke_without_command=True)
@options.as_json
@options.folder
@click.pass_context
def command(context: click.Context, *, as_json: bool) -> None:
    """Show results that gates have refused, and release or drop them; without more, list them.

    What is quarantined is staged and nobody sees it. WHICH is the number of an attempt, or a dataset and the key of
    a partition.
    """
    if as_json:
        context.default_map = {name: {"as_json": True} for name in command.commands}
    if context.invoked_subcommand is None:
        context.invoke(list_command, everything=False, limit=LISTED, as_json=as_json)


@command.command("list")
@click.option("--all", "everything", is_flag=True, help="Also what was released or dropped.")
@click.option("--limit", type=click.IntRange(1), default=LISTED, show_default=True, help="How many, newest first.")
@options.as_json
@options.folder
@click.pass_obj
def list_command(root: Path, *, everything: bool, limit: int, as_json: bool) -> None:
    """List what is held in quarantine, newest first."""
    from headgate.views.quarantine import quarantined
    from headgate.views.reading import reading

    with reading(root) as (_, store):
        found = quarantined(store, everything=everything, limit=limit + 1)
    shown, is_cut = found[:limit], len(found) > limit
    if as_json:
        print_json({"quarantined": shown})
    elif not shown:
        click.echo("nothing was ever quarantined" if everything else "nothing is held in quarantine")
    else:
        click.echo(_list_text(shown))
        if is_cut:
            click.echo(f"\nthe newest {limit:,}; --limit shows more")


@command.command("show")
@click.argument("which", nargs=-1, required=True)
@options.as_json
@options.folder
@click.pass_obj
def show_command(root: Path, *, which: tuple[str, ...], as_json: bool) -> None:
    """Show what gates said of WHICH, and what publishing it would change."""
    from headgate.views.quarantine import named, quarantined_view
    from headgate.views.reading import reading

    with reading(root) as (_, store):
        view = quarantined_view(store, _one(named(store, root, which)))
    print_json(view) if as_json else click.echo(_text(view))


@command.command("query")
@click.argument("which", nargs=-1, required=True)
@click.argument("sql")
@click.option("--limit", type=click.IntRange(1), help="Print at most so many rows.")
@options.as_json
@options.folder
@click.pass_obj
def query_command(root: Path, *, which: tuple[str, ...], sql: str, limit: int | None, as_json: bool) -> None:
    """Run one SQL statement (DuckDB) over WHICH, as the view `this`; what is published instead is the view `head`."""
    from headgate.cli.query import print_answer
    from headgate.views.quarantine import named, query_quarantined
    from headgate.views.reading import reading

    with reading(root) as (paths, store):
        answer = query_quarantined(store, paths.data, _one(named(store, root, which)), sql)
    print_answer(answer, limit, as_json=as_json)


@command.command("release")
@click.argument("which", nargs=-1, required=True)
@options.reason(required=True)
@options.as_json
@options.folder
@click.pass_obj
def release_command(root: Path, *, which: tuple[str, ...], reason: str, as_json: bool) -> None:
    """Publish WHICH in spite of what the gates said; of several attempts all or none.

    Where headgate.toml names [approvers], it takes one of them.
    """
    from headgate.cli.mirror import follow_heads
    from headgate.drivers.clock import now_ms
    from headgate.drivers.quarantine import release
    from headgate.drivers.session import author
    from headgate.project.load import load
    from headgate.views.quarantine import named
    from headgate.views.reading import reading

    with reading(root) as (_, store):
        attempts, project = named(store, root, which), load(root)
        released = release(store, project, attempts, author=author(), reason=reason, now_ms=now_ms())
        follow_heads(store, project)
    print_json({"released": released}) if as_json else click.echo(_released_text(released))


@command.command("drop")
@click.argument("which", nargs=-1, required=True)
@options.reason(required=True)
@options.as_json
@options.folder
@click.pass_obj
def drop_command(root: Path, *, which: tuple[str, ...], reason: str, as_json: bool) -> None:
    """Give up WHICH and remove its files; of several attempts all or none."""
    from headgate.drivers.clock import now_ms
    from headgate.drivers.quarantine import drop
    from headgate.drivers.session import author
    from headgate.views.quarantine import named, quarantined_line
    from headgate.views.reading import reading

    with reading(root) as (paths, store):
        attempts = named(store, root, which)
        drop(store, paths.data, attempts, author=author(), reason=reason, now_ms=now_ms())
        lines = [quarantined_line(one) for attempt in attempts for one in store.quarantined(attempt=attempt)]
    if as_json:
        print_json({"dropped": lines})
        return
    for line in lines:
        click.echo(f"attempt {line.attempt} of {line.dataset}/{line.key} is dropped, and its files are gone")
    for run in dict.fromkeys(line.run for line in lines):
        click.echo(f"next: {options.invocation('retry', run)}")


def _one(attempts: tuple[int, ...]) -> int:
    if len(attempts) > 1:
        raise UsageError("this is about one attempt, and several were named", hint="Name one of them.")
    return attempts[0]


def _list_text(lines: Iterable[QuarantinedLine]) -> str:
    rows = [
        (
            str(line.attempt),
            line.dataset,
            line.key,
            _stands(line),
            f"{line.rows:,}",
            moment(line.at_ms),
            line.run,
            _cell("; ".join(f"{gate.gate}: {gate.text}" for gate in line.gates)),
        )
        for line in lines
    ]
    header = ("attempt", "dataset", "key", "stands", "rows", "refused (UTC)", "run", "by")
    return table(header, rows, right=frozenset({0, 4}))


def _stands(line: QuarantinedLine) -> str:
    if line.state != "held":
        return f"{line.state} by {line.author}"
    return "waits for a release" if line.waits else "blocked"


def _cell(text: str) -> str:
    return text if len(text) <= CELL else text[: CELL - 3] + "..."


def _text(view: QuarantinedView) -> str:
    line = view.line
    state = click.style(line.state, fg=COLORS[line.state])
    what = "waits for a release" if line.waits else "a gate has blocked it"
    lines = [
        f"attempt {line.attempt} of {line.dataset}/{line.key} is {state}{f': {what}' if line.state == 'held' else ''}"
    ]
    lines.append(f"  made in run {line.run}, refused {moment(line.at_ms)} UTC")
    if line.decided_ms is not None:
        lines.append(f"  {line.state} by {plain(line.author)} at {moment(line.decided_ms)} UTC: {plain(line.reason)}")
    lines += ["", "gates", _gates_text(view.gates), "", *_beside(view)]
    if view.schema:
        columns = [(name, kind) for name, kind in view.schema]
        lines += ["", table(("column", "type"), columns)]
    if view.files and line.state != "dropped":
        lines += ["", "files", *(f"  {plain(file.path)}" for file in view.files)]
    if line.state == "held":
        lines += ["", *_next_steps(view)]
    return "\n".join(lines)


def _gates_text(gates: tuple[GateLine, ...]) -> str:
    rows = [("held" if gate.passed else gate.severity, gate.gate, gate.text) for gate in gates]
    colors = {(0, "block"): "red", (0, "approve"): "yellow", (0, "warn"): "yellow", (0, "held"): "green"}
    return table(("", "gate", "found"), rows, colors=colors)


def _beside(view: QuarantinedView) -> list[str]:
    """Return what publishing it would change, as lines."""
    line, head = view.line, view.head
    if head is None:
        return [f"  {counted(line.rows, 'row')}, {size(line.bytes)}; nothing is published of this partition"]
    lines = [
        f"  {counted(line.rows, 'row')}, {size(line.bytes)}; published is version {head.version} with "
        f"{counted(head.rows, 'row')}, {size(head.bytes)}, since {moment(head.published_ms)} UTC"
    ]
    return lines + [f"  {plain(change)}" for change in head.schema_changes]


def _next_steps(view: QuarantinedView) -> list[str]:
    attempt = str(view.line.attempt)
    steps = [f"next: {options.invocation('quarantine', 'query', attempt, SAMPLE)}"]
    if view.why_not:
        steps.append(f"      it cannot be released: {plain(view.why_not)}")
    else:
        steps.append(f"      {options.invocation('quarantine', 'release', attempt)} --reason WHY publishes it")
    return [*steps, f"      {options.invocation('quarantine', 'drop', attempt)} --reason WHY gives it up"]


def _released_text(released: Iterable[Released]) -> str:
    lines = []
    for one in released:
        what = "is published" if one.verdict == "new" else "is what was published already"
        if one.is_staged:
            what = f"is staged: it becomes visible together with the rest of run {one.run}"
        lines.append(f"attempt {one.attempt} of {one.dataset}/{one.key} {what}")
    for run, state in dict.fromkeys((one.run, one.run_state) for one in released):
        if state is RunState.SUCCEEDED:
            lines.append(f"run {run} has succeeded: that was all it lacked")
        else:
            # Tasks that were blocked by it wait for somebody.
            lines.append(f"next: {options.invocation('retry', run)}")
    return "\n".join(lines)
