"""headgate discard: give up what a run has staged."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from headgate.cli import options
from headgate.cli.text import print_json

if TYPE_CHECKING:
    from pathlib import Path


@click.command("discard")
@click.argument("run")
@options.reason(required=True)
@options.as_json
@options.folder
@click.pass_obj
def command(root: Path, *, run: str, reason: str, as_json: bool) -> None:
    """Give up what RUN has staged: nothing of it ever becomes visible.

    RUN is the id of a run that was started with --publish together, the beginning of one, or `latest`.
    """
    from headgate.drivers.session import author
    from headgate.drivers.staged import discard
    from headgate.views.reading import reading

    with reading(root) as (places, store):
        decided = discard(store, places.data, run, author=author(), reason=reason)
    print_json({"run": {"id": decided.id, "state": decided.state}}) if as_json else click.echo(
        f"run {decided.id} is discarded"
    )
