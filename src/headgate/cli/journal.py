"""headgate journal: who did what, when and why, and what was refused."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from datetime import UTC, datetime
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
@click.option("--since", metavar="WHEN", help="Only from then on: a UTC date or datetime, or a time ago: 90m, 2h.")
@click.option(
    "--limit", metavar="N", type=click.IntRange(1), help=f"How many, the newest; {SHOWN}, or all with --json."
)
@click.option("--verify", is_flag=True, help="Check the hash chain of the whole journal instead.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document for each entry, a line each.")
@options.folder
@click.pass_obj
def command(
    root: Path, *, run: str | None, kind: str | None, since: str | None, limit: int | None, verify: bool, as_json: bool
) -> int:
    """Show the journal, the newest entry last: who did what, when and why, and what was refused.

    Nothing in it is ever changed: each entry has a hash that covers the one before it, which --verify checks.
    """
    from headgate.drivers.naming import named_run
    from headgate.views.journal import journal
    from headgate.views.reading import reading

    if verify and (run, kind, since, limit) != (None, None, None, None):
        raise UsageError("--verify is about the whole journal", hint="Leave out --run, --kind, --since and --limit.")
    since_ms = None if since is None else _since_ms(since)
    with reading(root) as (_, store):
        if verify:
            return _verified(store.check_journal(), store.journal_seq(), as_json=as_json)
        about = None if run is None else named_run(store, run).id
        lines = journal(store, run=about, kind=kind, since_ms=since_ms, limit=limit if limit or as_json else SHOWN)
        if as_json:
            for line in lines:
                click.echo(json.dumps(asdict(line)))
        else:
            click.echo(_text(lines))
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
    short = ((name, value) for name, value in line.details.items() if isinstance(value, int | str))
    return " ".join(f"{name}={value}" for name, value in short if len(str(value)) <= 40)


def _why(line: JournalLine) -> str:
    return " ".join(filter(None, (line.reason, f"(refused: {line.refused})" if line.refused else "")))


def _since_ms(text: str) -> int:
    from headgate.project.amounts import length_ms

    ago_ms = length_ms(text)
    if ago_ms is not None:
        return time.time_ns() // 1_000_000 - ago_ms
    try:
        when = datetime.fromisoformat(text)
        return round((when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp() * 1000)
    except (ValueError, OverflowError):
        hint = "Write it as 2026-01-05, as 2026-01-05T22:00 in UTC or with an offset, or as a time ago: 90m, 2h."
        raise UsageError(f"--since {shown(text)} is no time", hint=hint) from None
