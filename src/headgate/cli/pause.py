"""headgate pause: let a run start nothing more, for now."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from headgate.cli import options
from headgate.cli.text import print_json

if TYPE_CHECKING:
    from pathlib import Path


@click.command("pause")
@click.argument("run")
@options.reason(required=True)
@options.as_json
@options.folder
@click.pass_obj
def command(root: Path, run: str, reason: str, as_json: bool) -> None:
    """Let RUN start nothing more until `headgate resume`. What runs ends and is published.

    It works from any terminal, and also on a run that waits for a coordinator. RUN is the id of a run, the beginning
    of one, or `latest`.
    """
    from headgate.drivers.control import steer
    from headgate.drivers.session import author
    from headgate.views.reading import reading
    from headgate.views.status import steered

    with reading(root) as (_, store):
        paused = steered(store, steer(store, run, "pause", author=author(), reason=reason))
    if as_json:
        print_json({"run": paused})
        return
    click.echo(
        f"run {paused.id} is paused: nothing more of it starts\n\nnext: {options.invocation('resume', paused.id)}"
    )
