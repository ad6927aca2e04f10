"""headgate breaker: show circuit breakers; open or close one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from headgate.cli import options
from headgate.cli.text import breaker_text, moment, print_json, table
from headgate.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from headgate.views.breakers import BreakerLine

TRIP = "trip"


@click.command("breaker")
@click.argument("action", required=False, type=click.Choice([TRIP, "reset"]))
@click.argument("name", required=False)
@options.reason(required=False)
@options.as_json
@options.folder
@click.pass_obj
def command(root: Path, action: str | None, name: str | None, reason: str | None, as_json: bool) -> None:
    """Show the circuit breakers that have something to say; or open (trip) or close (reset) the one of NAME.

    NAME is dataset:NAME or pool:NAME, or just the dataset or the pool. While a breaker is open nothing starts that
    needs it; after its cool-down it lets one attempt through, and closes if that succeeds.
    """
    if action is None:
        _show(root, as_json=as_json)
        return
    if name is None:
        raise UsageError(
            f"{action} which breaker?", hint=f"Name it: headgate breaker {action} dataset:NAME --reason TEXT."
        )
    if reason is None:
        raise UsageError("--reason is missing", hint="Say why: it is kept in the journal.")
    switched = _switched(root, name, is_trip=action == TRIP, reason=reason)
    print_json({"breaker": switched}) if as_json else click.echo(breaker_text(switched))


def _switched(root: Path, name: str, *, is_trip: bool, reason: str) -> BreakerLine:
    from headgate.drivers.control import refusals_journaled, switch_breaker
    from headgate.drivers.session import author
    from headgate.project.load import load
    from headgate.store.sqlite import open_store
    from headgate.views.breakers import breaker_line, named_breaker
    from headgate.views.reading import reading

    project = load(root)
    wanted: dict[str, object] = {"breaker": name, "action": TRIP if is_trip else "reset"}
    with (
        reading(root) as (_, seen),
        refusals_journaled(seen, "breaker", author=author(), reason=reason, arguments=wanted),
    ):
        full = named_breaker(project, name)
    # Before the first run there is no store yet, and a breaker may be tripped all the same.
    store = open_store(project.paths.state, data_root=project.paths.data, create=True)
    try:
        return breaker_line(switch_breaker(project, store, full, is_trip=is_trip, author=author(), reason=reason))
    finally:
        store.close()


def _show(root: Path, *, as_json: bool) -> None:
    from headgate.views.breakers import breakers
    from headgate.views.reading import reading

    with reading(root) as (_, store):
        found = breakers(store)
    if as_json:
        print_json({"breakers": found})
    elif not found:
        click.echo("all breakers are closed")
    else:
        rows = [(line.name, line.state, f"{line.failures:,}", moment(line.until_ms)) for line in found]
        colors = {(1, "open"): "red", (1, "half open"): "yellow"}
        header = ("breaker", "state", "failures", "lets an attempt through (UTC)")
        click.echo(table(header, rows, right=frozenset({2}), colors=colors))
