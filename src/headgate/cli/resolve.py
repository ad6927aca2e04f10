"""headgate resolve: let what a rollback holds be built again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from headgate.cli import options
from headgate.cli.text import counted, print_json

if TYPE_CHECKING:
    from pathlib import Path


@click.command("resolve")
@click.argument("rollback")
@options.reason(required=True)
@options.as_json
@options.folder
@click.pass_obj
def command(root: Path, *, rollback: str, reason: str, as_json: bool) -> None:
    """Say that the cause of ROLLBACK is mended: what it holds may be built again.

    ROLLBACK is the id of a rollback, the beginning of one, or `latest`. `headgate holds` lists what is held.
    """
    from headgate.drivers.rollback import resolve
    from headgate.drivers.session import author
    from headgate.views.reading import reading

    with reading(root) as (_, store):
        run, released = resolve(store, rollback, author=author(), reason=reason)
    if as_json:
        print_json({"rollback": run.id, "released": released})
    else:
        click.echo(f"rollback {run.id} is resolved: {counted(released, 'partition')} may be built again")
