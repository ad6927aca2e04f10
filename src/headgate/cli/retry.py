"""headgate retry: try again what failed or was blocked in a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from headgate.cli import options

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

    RUN is the id of a run, the beginning of one, or `latest`.
    """
    from headgate.cli.going import take_up

    return take_up(root, run, retry=True, reason=reason or "", as_json=as_json)
