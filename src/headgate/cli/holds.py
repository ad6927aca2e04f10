"""headgate holds: what rollbacks keep from being built."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from headgate.cli import options
from headgate.cli.text import moment, print_json, table

if TYPE_CHECKING:
    from pathlib import Path


@click.command("holds")
@options.as_json
@options.folder
@click.pass_obj
def command(root: Path, *, as_json: bool) -> None:
    """List what rollbacks hold: partitions that nothing rebuilds before `headgate resolve`."""
    from headgate.views.reading import reading

    with reading(root) as (_, store):
        holds = store.holds()
    if as_json:
        print_json({"holds": holds})
    elif not holds:
        click.echo("nothing is held")
    else:
        rows = [
            (one.run, one.dataset, f"{one.partitions:,}", moment(one.created_ms), one.author, one.reason)
            for one in holds
        ]
        header = ("rollback", "dataset", "partitions", "since (UTC)", "author", "reason")
        click.echo(table(header, rows, right=frozenset({2})))
