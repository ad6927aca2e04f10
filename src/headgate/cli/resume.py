"""headgate resume: go on with a run that was interrupted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from headgate.cli import options

if TYPE_CHECKING:
    from pathlib import Path


@click.command("resume")
@click.argument("run")
@options.reason(required=False)
@options.as_json
@options.folder
@click.pass_obj
def command(root: Path, run: str, reason: str | None, as_json: bool) -> int:
    """Go on with RUN where it was interrupted. Nothing that it has published is built again.

    RUN is the id of a run, the beginning of one, or `latest`.
    """
    from headgate.cli.going import take_up

    return take_up(root, run, retry=False, reason=reason or "", as_json=as_json)
