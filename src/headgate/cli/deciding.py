"""What approve and reject have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from headgate.cli.plan_text import run_it
from headgate.cli.text import print_json

if TYPE_CHECKING:
    from pathlib import Path


def decide(root: Path, text: str, *, is_approval: bool, reason: str, as_json: bool) -> None:
    """Record what somebody decides on the plan that a text names, and show how it stands now."""
    from headgate.drivers.clock import now_ms
    from headgate.drivers.session import Session
    from headgate.views.stored_plan import stored_plan_view

    session = Session(root)
    try:
        # Looked up first: a name that there is not makes no state store.
        named = session.stored_plan(text)
        stored = session.decide(named.hash, is_approval=is_approval, reason=reason)
    finally:
        session.close()
    view = stored_plan_view(stored, now_ms())
    if as_json:
        print_json(view)
        return
    name = view.id
    if not is_approval:
        click.echo(f"plan {name} is rejected")
    elif view.standing == "ready":
        click.echo(f"plan {name} is approved\n  {run_it(view)}")
    else:
        click.echo(f"plan {name} is approved by you; it still {view.standing_text}")
