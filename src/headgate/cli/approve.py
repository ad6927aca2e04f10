"""headgate approve: let a plan be run that needs it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from headgate.cli import options

if TYPE_CHECKING:
    from pathlib import Path


@click.command("approve")
@click.argument("plan")
@options.reason(required=True)
@options.as_json
@options.folder
@click.pass_obj
def command(root: Path, *, plan: str, reason: str, as_json: bool) -> None:
    """Approve a plan. PLAN is the beginning of its name.

    Who may is said by the guard rails in headgate.toml; you are HEADGATE_AUTHOR or, without that, your user name.
    """
    from headgate.cli.deciding import decide

    decide(root, plan, is_approval=True, reason=reason, as_json=as_json)
