"""headgate cancel: stop a run for good."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from headgate.cli import options
from headgate.cli.text import print_json
from headgate.model.run import RunState

if TYPE_CHECKING:
    from pathlib import Path

    from headgate.model.run import Run
    from headgate.store.store import Store

WAIT_S = 10.0
LOOK_EVERY_S = 0.05


@click.command("cancel")
@click.argument("run")
@options.reason(required=True)
@options.as_json
@options.folder
@click.pass_obj
def command(root: Path, run: str, reason: str, as_json: bool) -> int:
    """Stop RUN for good: what runs is stopped, nothing more starts. What it has published stays.

    RUN is the id of a run, the beginning of one, or `latest`.
    """
    from headgate.drivers.control import cancel
    from headgate.drivers.naming import named_run
    from headgate.drivers.session import author
    from headgate.views.reading import reading

    with reading(root) as (paths, store):
        found = named_run(store, run)
        ended, is_cancelled = cancel(store, paths.data, found.id, author=author(), reason=reason)
        if not is_cancelled:
            ended = _awaited(store, paths.data, found.id, reason)
    if as_json:
        print_json({"run": {"id": ended.id, "state": ended.state}})
    elif ended.state is RunState.CANCELLED:
        click.echo(f"run {ended.id} is cancelled")
    elif ended.state is RunState.RUNNING:
        click.echo(
            f"run {ended.id} was asked to stop and has not answered yet: {options.invocation('status', ended.id)}"
        )
    else:
        click.echo(f"run {ended.id} is {ended.state}: it ended before it could be cancelled")
    return 0 if ended.state is RunState.CANCELLED else 1


def _awaited(store: Store, data_root: Path, run_id: str, reason: str) -> Run:
    """Wait until the coordinator has done what it was asked to, or is gone; then do it in its place."""
    from headgate.drivers.control import cancel
    from headgate.drivers.naming import named_run
    from headgate.drivers.session import author

    deadline_s = time.monotonic() + WAIT_S
    run = named_run(store, run_id)
    while run.state is RunState.RUNNING and time.monotonic() < deadline_s:
        if store.leader() is None and (run := named_run(store, run_id)).state in {
            RunState.RUNNING,
            RunState.INTERRUPTED,
        }:
            return cancel(store, data_root, run_id, author=author(), reason=reason)[0]
        time.sleep(LOOK_EVERY_S)
        run = named_run(store, run_id)
    return run
