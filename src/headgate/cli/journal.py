"""headgate journal: who did what, when and why, and what was refused."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from headgate.cli import options
from headgate.cli.text import moment, plain, print_json, table
from headgate.errors import UsageError
from headgate.model.names import shown

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from headgate.views.journal import JournalLine

SHOWN = 50


@click.command("journal")
@click.option("--run", metavar="RUN", help="Only what is about this run.")
@click.option("--kind", metavar="KIND", help="Only this: `set pool`, `publish`; `run` is run.submitted and its like.")
@click.option("--all", "everything", is_flag=True, help="Also what was published, which is left out without --kind.")
@click.option("--since", metavar="WHEN", help="Only from then on: a UTC date or datetime, or a time ago: 90m, 2h.")
@click.option(
    "--limit", metavar="N", type=click.IntRange(1), help=f"How many, the newest; {SHOWN}, or all with --json."
)
@click.option("--verify", is_flag=True, help="Check the hash chain of the whole journal instead.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document for each entry, a line each.")
@options.folder
@click.pass_obj
def command(
    root: Path,
    *,
    run: str | None,
    kind: str | None,
    everything: bool,
    since: str | None,
    limit: int | None,
    verify: bool,
    as_json: bool,
) -> int:
    """Show the journal, the newest entry last: who did what, when and why, and what was refused.

    What was published is left out, unless --kind, --all or --json is given. Nothing in it is ever changed: each entry
    has a hash that covers the one before it, which --verify checks.
    """
    from headgate.drivers.naming import named_run
    from headgate.views.journal import journal, kinds, steps
    from headgate.views.reading import reading

    if verify and (run, kind, everything, since, limit) != (None, None, False, None, None):
        hint = "Leave out --run, --kind, --all, --since and --limit."
        raise UsageError("--verify is about the whole journal", hint=hint)
    since_ms = None if since is None else options.instant_ms(since, "--since")
    with reading(root) as (_, store):
        if verify:
            return _verified(store.check_journal(), store.journal_seq(), as_json=as_json)
        about = None if run is None else named_run(store, run).id
        if kind is not None and next(store.journal_entries(kind=kind, limit=1), None) is None:
            there = ", ".join(kinds(store)) or "none, as nothing has happened yet"
            click.echo(f"no entry is of kind {shown(kind)}; there are: {there}", err=as_json)
        elif as_json:
            for line in journal(store, run=about, kind=kind, since_ms=since_ms, limit=limit):
                click.echo(json.dumps(asdict(line)))
        elif kind is not None or everything:
            click.echo(_text(journal(store, run=about, kind=kind, since_ms=since_ms, limit=limit or SHOWN)))
        else:
            told, left_out = steps(store, run=about, since_ms=since_ms, limit=limit or SHOWN)
            click.echo(_text(told))
            if left_out:
                entries = f"{left_out:,} {'entry' if left_out == 1 else 'entries'}"
                click.echo(f"\nleft out: {entries} of kind publish; --all shows everything")
    return 0


def _verified(problems: list[str], entries: int, *, as_json: bool) -> int:
    if as_json:
        print_json({"ok": not problems, "entries": entries, "problems": problems})
    else:
        for problem in problems:
            click.echo(f"{click.style('problem:', fg='red')} {plain(problem)}")
        if not problems:
            click.echo(f"journal ok: the hash chain holds, of {entries:,} {'entry' if entries == 1 else 'entries'}")
    return 1 if problems else 0


def _text(lines: Iterable[JournalLine]) -> str:
    rows = [(moment(line.at_ms), line.author, line.run, line.kind, _details(line), _why(line)) for line in lines]
    if not rows:
        return "there are no such entries"
    return table(("when (UTC)", "who", "run", "what", "", "why"), rows)


def _details(line: JournalLine) -> str:
    """Return what else there is to know, as far as it is short."""
    named = ((name, detail(name, value)) for name, value in line.details.items() if isinstance(value, int | str | list))
    return " ".join(f"{name}={value}" for name, value in named if len(str(value)) <= 40)


def detail(name: str, value: object) -> object:
    """Return a detail as it is shown: of a plan as much of its hash as names it."""
    from headgate.drivers.plans import SHORT

    if name == "plan" and isinstance(value, str):
        return value[:SHORT]
    return ",".join(map(str, value)) if isinstance(value, list) else value


def _why(line: JournalLine) -> str:
    return " ".join(filter(None, (line.reason, f"(refused: {line.refused})" if line.refused else "")))
