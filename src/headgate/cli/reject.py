"""headgate reject: see to it that a plan is never run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from headgate.cli import options

if TYPE_CHECKING:
    from pathlib import Path


@click.command("reject")
@click.argument("plan")
@options.reason(required=True)
@options.as_json
@options.folder
@click.pass_obj
def command(root: Path, *, plan: str, reason: str, as_json: bool) -> None:
    """Reject a plan for good. PLAN is the beginning of its name. Anybody may, whether it needs approval or not."""
    from headgate.cli.deciding import decide

    decide(root, plan, is_approval=False, reason=reason, as_json=as_json)
