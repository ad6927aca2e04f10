"""headgate history: the versions of a dataset or a partition."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from headgate.cli import options
from headgate.cli.text import moment, print_json, size, table

if TYPE_CHECKING:
    from pathlib import Path

    from headgate.store.store import Store
    from headgate.views.history import HistoryEntry


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
    if as_json:
        print_json({"versions": entries})
    elif entries:
        click.echo(_text(entries))
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
            "" if entry.is_new else "unchanged",
            f"{entry.rows:,}" if entry.files and entry.rows >= 0 else "-",
            size(entry.bytes) if entry.files else "-",
            moment(entry.published_ms),
            entry.run or "(source)",
            entry.declared_version or entry.code[:12],
        )
        for entry in entries
    ]
    header = ("head", "key", "version", "", "rows", "size", "published (UTC)", "run", "code")
    return table(header, rows, right=frozenset({2, 4, 5}))
