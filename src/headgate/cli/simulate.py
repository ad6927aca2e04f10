"""headgate simulate: when a backfill would be done, and what it would wait for."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from headgate.cli import options
from headgate.cli.forecast_text import basis_lines, chain_text, length
from headgate.cli.plan_text import plan_text
from headgate.cli.text import counted, moment, plain, print_json, table
from headgate.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from headgate.views.forecast import Outlook, Outlooks

AS_IS, CHANGED = "as it is", "with --set"
NEVER = "never"


@click.command("simulate")
@options.request
@options.service_class
@click.option("--set", "changes", metavar="KEY=VALUE", multiple=True, help="What would be if; any number of times.")
@click.option("--at", metavar="DATETIME", help="When the run would begin, in UTC unless it says otherwise; now if not.")
@click.option("--runs", type=click.IntRange(1, 100_000), default=200, show_default=True, help="Runs to simulate.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="For what is drawn.")
@options.as_json
@options.folder
@click.pass_obj
def command(
    root: Path,
    *,
    select: tuple[str, ...],
    start: str | None,
    end: str | None,
    forced: bool,
    service_class: str,
    changes: tuple[str, ...],
    at: str | None,
    runs: int,
    seed: int,
    as_json: bool,
) -> None:
    """Show when a backfill would be done and what it would wait for, by simulated runs. Changes nothing.

    The plan goes through the scheduler that would run it, with durations and failures as in the history. Each --set
    changes something in a second setting beside the first: concurrency=32, total=64, processes=8, io_concurrency=100,
    order=critical, pool.warehouse=4, class.backfill.ceiling=50%, dataset.sales.concurrency=2, duration=5s,
    duration.sales=5s, failures=2%, failures.sales=2%.
    """
    from headgate.drivers.session import Session, author
    from headgate.model.plan import Request
    from headgate.views.forecast import outlooks
    from headgate.views.plan import plan_view

    start_ms = None if at is None else _instant_ms(at)
    session = Session(root)
    try:
        world, plan = session.plan(Request(select, start, end, forced))
        found = outlooks(
            session.project,
            session.store,
            world.snapshot,
            plan,
            service_class=service_class,
            owner=author(),
            start_ms=world.snapshot.as_of_ms if start_ms is None else start_ms,
            changes=changes,
            observations=world.observations,
            runs=runs,
            seed=seed,
        )
    finally:
        session.close()
    if as_json:
        print_json(found)
    elif found.partitions:
        click.echo(outlooks_text(found))
    else:
        click.echo(plan_text(plan_view(plan, world.snapshot)))


def outlooks_text(found: Outlooks) -> str:
    """Return simulated runs as people read them."""
    sides = [found.as_is, *([found.changed] if found.changed else [])]
    counts = {side.runs for side in sides}
    runs = " and ".join(counted(n, "simulated run") for n in sorted(counts, reverse=True))
    lines = [
        f"{counted(found.partitions, 'partition')} to build as class {plain(found.service_class)} "
        f"from {moment(found.start_ms)} UTC: {runs}"
    ]
    if found.blocked:
        lines.append(f"{counted(found.blocked, 'partition')} that cannot be built are left out")
    if found.changes:
        lines.append(f"{CHANGED}: {plain(' '.join(found.changes))}")
    header = ("", AS_IS, *([CHANGED] if found.changed else []))
    right = frozenset(range(1, len(header)))
    lines += ["", table(header, list(_figures(sides)), right=right)]
    waits = list(_waits(sides))
    if waits:
        lines += ["", table(("tasks wait for, in this share of the time", *header[1:]), waits, right=right)]
    lines += ["", table(("dataset", "build", *header[1:]), list(_datasets(sides)), right=frozenset({1}))]
    lines += ["", *_chains(sides), *basis_lines(found.as_is.datasets)]
    if found.is_coarse:
        lines.append("neighbouring partitions were simulated as one")
    return "\n".join(lines)


def _figures(sides: list[Outlook]) -> Iterator[tuple[str, ...]]:
    def row(name: str, text: Callable[[Outlook], str]) -> tuple[str, ...]:
        return (name, *map(text, sides))

    # A run that leaves partitions unbuilt ends, too, and often sooner than one that does all its work.
    verb = "done" if all(side.complete == 1 or side.p50_ms is None for side in sides) else "ends"
    yield row(f"{verb} after, half of the runs", lambda side: length(side.p50_ms, NEVER))
    yield row(f"{verb} after, 90 % of the runs", lambda side: length(side.p90_ms, NEVER))
    yield row(f"{verb} at, half of the runs", lambda side: _date(side.p50_at_ms))
    yield row(f"{verb} at, 90 % of the runs", lambda side: _date(side.p90_at_ms))
    if any(side.failed for side in sides):
        yield row("runs that build everything", lambda side: f"{side.complete:.0%}")
        yield row("partitions that are not built", lambda side: f"{side.failed:,.1f}")
    yield row("longest chain of partitions", lambda side: length(side.chain_ms))
    yield row("a fresh task starts after, half", lambda side: length(side.fresh_p50_ms))
    yield row("a fresh task starts after, 90 %", lambda side: length(side.fresh_p90_ms))


def _date(ms: int | None) -> str:
    try:
        return moment(ms) or NEVER
    except OverflowError:
        return "after the year 9999"


def _waits(sides: list[Outlook]) -> Iterator[tuple[str, ...]]:
    shares = [{(wait.text, wait.what): wait.share for wait in side.waits} for side in sides]
    for name in dict.fromkeys(name for side in shares for name in side):
        text, what = name
        yield f"{text}: {what}" if what else text, *(f"{side.get(name, 0):.0%}" for side in shares)


def _datasets(sides: list[Outlook]) -> Iterator[tuple[str, ...]]:
    for rows in zip(*(side.datasets for side in sides), strict=True):
        times = [
            f"{dataset.attempts:,.0f} x {length(dataset.typical_ms)} = {length(dataset.busy_ms)}" for dataset in rows
        ]
        yield rows[0].name, f"{rows[0].partitions:,}", *times


def _chains(sides: list[Outlook]) -> Iterator[str]:
    """Yield the longest chain of each setting; once if they are the same."""
    for n, side in enumerate(sides):
        if not n or side.chain != sides[0].chain:
            yield f"longest chain{f' {CHANGED}' if n else ''}: {chain_text(side.chain)}"


def _instant_ms(text: str) -> int:
    from headgate.model.calendar import instant, parse_local, zone_of

    try:
        when = datetime.fromisoformat(text)
        if when.tzinfo is not None:
            when = when.astimezone(UTC).replace(tzinfo=None)
    except (ValueError, OverflowError):
        hint = "Write it as 2026-01-05T22:00, in UTC, or with an offset: 2026-01-05T22:00+01:00."
        raise UsageError(f"--at {plain(text)} is no date", hint=hint) from None
    return instant(parse_local(when, "--at"), zone_of("UTC"))
