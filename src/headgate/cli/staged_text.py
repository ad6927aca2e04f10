"""What is said of a run that publishes together, as text."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from headgate.cli import options
from headgate.cli.text import counted, plain
from headgate.model.run import RunState

if TYPE_CHECKING:
    from headgate.views.staged import StagedView

SHOWN_CONFLICTS = 5
_LEFT = frozenset({RunState.FAILED, RunState.CANCELLED, RunState.INTERRUPTED})


def staged_lines(view: StagedView | None, run: str, state: RunState) -> list[str]:
    """Return what is visible of a run, with the empty line that sets it apart, and what people can decide."""
    if view is None or view.is_published:
        return []
    if state is RunState.DISCARDED:
        return ["", "nothing of it became visible: it was discarded"]
    discard = options.invocation("discard", run, "--reason", "...")
    if view.conflicts:
        names = [f"  {one.dataset}/{one.key} {plain(one.why)}" for one in view.conflicts[:SHOWN_CONFLICTS]]
        more = len(view.conflicts) - SHOWN_CONFLICTS
        return [
            "",
            click.style("nothing of it is visible: ", fg="red")
            + f"{counted(len(view.conflicts), 'partition')} cannot be published",
            *names,
            *([f"  ... and {more:,} more: {options.invocation('status', run, '--json')}"] if more > 0 else []),
            "",
            f"next: {discard}, and start a new backfill",
        ]
    if state is not RunState.STAGED:
        gives_up = f"; to give it up: {discard}" if state in _LEFT else ""
        return ["", f"nothing of it is visible yet: it publishes together, when all has passed{gives_up}"]
    return [
        "",
        "nothing of it is visible yet: it waits for an approval",
        f"  {options.invocation('diff', run)} shows what it would change",
        f"  {options.invocation('publish', run, '--reason', '...')} makes it visible",
        f"  {discard} gives it up",
    ]
