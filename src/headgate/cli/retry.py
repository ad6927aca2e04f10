"""headgate retry: try again what failed or was blocked in a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from headgate.cli import options
from headgate.cli.text import print_json

if TYPE_CHECKING:
    from pathlib import Path


@click.command("retry")
@click.argument("run")
@options.reason(required=False)
@options.as_json
@options.folder
@click.pass_obj
def command(root: Path, run: str, reason: str | None, as_json: bool) -> int:
    """Try again what failed, was blocked or was cancelled in RUN. What succeeded stays as it is.

    A run that is under way is asked to try again what has failed so far. RUN is the id of a run, the beginning of one,
    or `latest`.
    """
    from headgate.cli.going import take_up
    from headgate.drivers import control
    from headgate.drivers.session import author
    from headgate.views.reading import reading
    from headgate.views.status import steered

    reason = reason or options.NO_REASON
    with reading(root) as (_, store):
        found = control.retry(store, run, author=author(), reason=reason)
        going = steered(store, found) if found else None
    if going is None:
        return take_up(root, run, retry=True, reason=reason, as_json=as_json)
    print_json({"run": going}) if as_json else click.echo(f"run {going.id} tries again what has failed so far")
    return 0
