"""headgate history: the versions of a dataset or a partition."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from headgate.cli import options
from headgate.cli.text import moment, plain, print_json, size, table

if TYPE_CHECKING:
    from pathlib import Path

    from headgate.model.rollback import HeadMove
    from headgate.store.store import Store
    from headgate.views.history import HistoryEntry

SHOWN_WARNINGS = 8
SHOWN_CHANGES = 8
SHOWN_MOVES = 8


@click.command("history")
@click.argument("dataset")
@click.argument("key", required=False)
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1), help="How many, newest first.")
@options.as_json
@options.folder
@click.pass_obj
def command(root: Path, dataset: str, key: str | None, limit: int, as_json: bool) -> None:
    """Show the versions of DATASET, or of its partition KEY, newest first, with the checkpoint of each."""
    from headgate.views.reading import reading

    with reading(root) as (_, store):
        entries = _entries(root, store, dataset, key, limit)
        moves = store.head_moves(dataset, entries[0].key if key and entries else key, limit=limit)
    if as_json:
        print_json({"versions": entries, "rollbacks": moves})
    elif entries:
        click.echo("\n".join([_text(entries), *_moves(moves)]))
    else:
        click.echo(f"nothing has been published of {dataset}{f'/{key}' if key else ''} yet")


def _entries(root: Path, store: Store, dataset: str, key: str | None, limit: int) -> tuple[HistoryEntry, ...]:
    from headgate.views.history import history

    entries = history(store, dataset, key, limit=limit)
    if entries:
        return entries
    # Nothing under this name: the project knows whether it could be there, and how its key is written.
    from headgate.views.partition import canonical_key

    canonical = canonical_key(root, dataset, key)
    return history(store, dataset, canonical, limit=limit) if canonical != key else ()


def _text(entries: tuple[HistoryEntry, ...]) -> str:
    rows = [
        (
            "*" if entry.is_head else "",
            entry.key,
            str(entry.version),
            _note(entry),
            f"{entry.rows:,}" if entry.files and entry.rows >= 0 else "-",
            size(entry.bytes) if entry.files else "-",
            moment(entry.published_ms),
            entry.run or "(source)",
            entry.declared_version or entry.code[:12],
            _gates(entry),
        )
        for entry in entries
    ]
    header = ("head", "key", "version", "", "rows", "size", "published (UTC)", "run", "code", "gates")
    shown = len(header) if any(entry.audit for entry in entries) else len(header) - 1
    rows_shown = [row[:shown] for row in rows]
    lines = [table(header[:shown], rows_shown, right=frozenset({2, 4, 5})), *_schemas(entries), *_warnings(entries)]
    return "\n".join(lines)


def _note(entry: HistoryEntry) -> str:
    if entry.is_hidden:
        return "not visible"
    if not entry.is_new:
        return "unchanged"
    return "" if entry.origin is None else f"{entry.origin} packed"


def _moves(moves: list[HeadMove]) -> list[str]:
    """Return what rollbacks did as lines, the newest first; the first few of them."""
    if not moves:
        return []
    lines = ["", "rollbacks moved the head"]
    for move in moves[:SHOWN_MOVES]:
        before, after = (("none" if one is None else f"version {one}") for one in (move.before, move.after))
        why = f"{plain(move.author)}: {plain(move.reason)}"
        # A run that made the same again had confirmed the version with other inputs.
        moved = f"{before} -> {after}" if before != after else f"{before} stays, with the inputs it had before"
        lines.append(f"  {moment(move.at_ms)}  {move.key}  {moved}  by {move.run}, {why}")
    more = len(moves) - SHOWN_MOVES
    return [*lines, f"  ... and {more:,} more: see --json"] if more > 0 else lines


def _gates(entry: HistoryEntry) -> str:
    if entry.audit is None:
        return ""
    warned = sum(gate.severity == "warn" for gate in entry.audit.failed)
    overruled = len(entry.audit.failed) - warned
    said = ((entry.audit.held, "held"), (warned, "warned"), (overruled, "overruled"))
    return ", ".join(f"{count} {what}" for count, what in said if count)


def _schemas(entries: tuple[HistoryEntry, ...]) -> list[str]:
    """Return where the schema changed, as lines; of the first few versions."""
    found = []
    for entry in entries:
        if (change := entry.schema_change) is not None:
            beside = "" if change.beside_key == entry.key else f", beside {plain(change.beside_key)}"
            found.append(f"  version {entry.version} of {entry.key}{beside}: {plain(', '.join(change.text))}")
    more = [f"  ... and {len(found) - SHOWN_CHANGES:,} more: see --json"] if len(found) > SHOWN_CHANGES else []
    return ["", "the schema changed", *found[:SHOWN_CHANGES], *more] if found else []


def _warnings(entries: tuple[HistoryEntry, ...]) -> list[str]:
    """Return what gates did not like in what was published, as lines; of the first few versions."""
    found = [
        f"  version {entry.version} of {entry.key}, {plain(gate.gate)}: {plain(gate.text)}"
        for entry in entries
        if entry.audit
        for gate in entry.audit.failed
    ]
    more = [f"  ... and {len(found) - SHOWN_WARNINGS:,} more: see --json"] if len(found) > SHOWN_WARNINGS else []
    return ["", "gates warned or were overruled", *found[:SHOWN_WARNINGS], *more] if found else []
