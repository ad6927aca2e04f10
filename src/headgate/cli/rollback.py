"""headgate rollback: put back what readers saw before."""

from __future__ import annotations

import signal
import sys
from typing import TYPE_CHECKING

import click

from headgate.cli import options
from headgate.cli.text import counted, keys, plain, print_json
from headgate.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from headgate.drivers.session import Session
    from headgate.model.rollback import Aim, TakeBack
    from headgate.planning.snapshot import Snapshot
    from headgate.views.rollback import Group, RollbackView, RolledBackView

SHOWN_RANGES = 4
SHOWN_WARNINGS = 10
NAME_WIDTH = 16
"""Of datasets, at least: lists one below another are in line unless names are longer."""


@click.command("rollback")
@click.argument("target")
@click.argument("key", required=False)
@click.option("--start", metavar="DATE", help="Of a dataset: partitions from this date or datetime.")
@click.option("--end", metavar="DATE", help="Of a dataset: partitions up to this date or datetime, exclusive.")
@click.option("--to", metavar="WHAT", help="Of a dataset: a version, a time (UTC), or a run, as of its end.")
@click.option(
    "--with-downstream/--leave-downstream",
    "downstream",
    default=None,
    help="Take back, too, what was made from bad versions; or leave it, stale.",
)
@click.option(
    "--moved-on",
    type=click.Choice(["skip", "include"]),
    help="Heads that something else has moved since: leave them, or take them back, too.",
)
@options.reason(required=True)
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@options.as_json
@options.folder
@click.pass_obj
def command(
    root: Path,
    *,
    target: str,
    key: str | None,
    start: str | None,
    end: str | None,
    to: str | None,
    downstream: bool | None,
    moved_on: str | None,
    reason: str,
    yes: bool,
    as_json: bool,
) -> int:
    """Put back what readers saw before: show what moves, ask, and move all of it at once.

    \b
    headgate rollback RUN                      what a run published, to the last good versions before it
    headgate rollback DATASET [KEY] --to WHAT  partitions, to what they were then
    headgate rollback ROLLBACK                 undo a rollback

    Nothing is deleted. What was taken back is held: nothing rebuilds it before `headgate resolve`.
    """  # noqa: D301
    from headgate.drivers.session import Session

    session = Session(root)
    try:
        span = (start, end)
        aim, before = _aim(session, target, key, span, to, downstream=bool(downstream), moved_on=moved_on)
        return _roll_back(session, aim, before, decided=downstream is not None, reason=reason, yes=yes, as_json=as_json)
    finally:
        session.close()


def _aim(
    session: Session,
    target: str,
    key: str | None,
    span: tuple[str | None, str | None],
    to: str | None,
    *,
    downstream: bool,
    moved_on: str | None,
) -> tuple[Aim, Snapshot]:
    from headgate.drivers.rollback import aim_at_partitions, aim_at_run
    from headgate.model.plan import Request
    from headgate.model.rollback import OnMovedOn

    world, _ = session.plan(Request())
    snapshot = world.snapshot
    if target in snapshot.grids:
        if to is None:
            raise UsageError(f"{target} is to go back to what?", hint="Say it: --to VERSION, --to TIME or --to RUN.")
        if moved_on is not None:
            raise UsageError("--moved-on is about a run", hint="Leave it out: partitions become what they were.")
        if key is not None and span != (None, None):
            raise UsageError("KEY and a range were given", hint="Give one of them.")
        request = Request((target,), *span)
        aim = aim_at_partitions(session.store, snapshot, target, which=key, span=request, to=to, downstream=downstream)
        return aim, snapshot
    if key is not None or span != (None, None) or to is not None:
        raise _no_dataset(target, snapshot)
    on_moved_on = OnMovedOn(moved_on) if moved_on else OnMovedOn.REFUSE
    return aim_at_run(session.store, target, downstream=downstream, moved_on=on_moved_on), snapshot


def _no_dataset(target: str, snapshot: Snapshot) -> UsageError:
    from headgate.views.names import unknown_dataset

    error = unknown_dataset(target, snapshot.datasets)
    return UsageError(f"{error.message}; of a run all is taken back, without KEY, range or --to", hint=error.hint)


def _roll_back(
    session: Session, aim: Aim, before: Snapshot, *, decided: bool, reason: str, yes: bool, as_json: bool
) -> int:
    from headgate.cli.mirror import follow_heads
    from headgate.drivers.rollback import check_decided, done_elsewhere, roll_back
    from headgate.drivers.rollback_gates import look_again
    from headgate.drivers.session import author
    from headgate.model.plan import Request
    from headgate.views.rollback import rollback_view, rolled_back_view

    found = session.store.take_back(aim)
    shown = rollback_view(before.grids, found, done_elsewhere(session.store, found.moves))
    if text := _text(shown):
        click.echo(text, err=as_json)
    check_decided(found, aim, decided=decided)
    if not _confirmed(found, yes=yes):
        click.echo("nothing was moved", err=True)
        return 1
    run, held = roll_back(session.store, aim, found, author=author(), reason=reason)
    follow_heads(session.store, session.project)
    after = session.plan(Request())[0].snapshot
    looked = look_again(session.project, session.store, after, run, found.moves)
    view = rolled_back_view(run, shown, held=held, before=before, after=after, looked=looked)
    print_json(view) if as_json else click.echo(_done_text(view))
    return 0


def _confirmed(found: TakeBack, *, yes: bool) -> bool:
    if not yes and not sys.stdin.isatty():
        raise UsageError("nobody is there to confirm the rollback", hint="Read what it would do, then add --yes.")
    # Polars takes over Ctrl-C when it is imported, and then the system would go on waiting for an answer.
    signal.siginterrupt(signal.SIGINT, True)
    return yes or click.confirm(f"Move {counted(len(found.moves), 'head')} back?", err=True)


def _text(view: RollbackView) -> str:
    lines = [
        *_lines("goes back to what it showed before", view.restored),
        *_lines("will have no version, as before", view.removed),
        *_lines("was made from that, and goes back, too", view.derived),
        *_lines("was done elsewhere, too, where it stays until it is built again", view.elsewhere),
        *_lines("was made from that, and stays", view.dependants),
        *_lines("has moved on since", view.moved_on),
        *_lines("has lost the files of what it would show", view.gone),
    ]
    return "\n".join(lines)


def _lines(what: str, groups: Iterable[Group]) -> list[str]:
    groups = list(groups)
    width = max((len(group.dataset) for group in groups), default=0)
    found = [f"  {group.dataset:<{max(width, NAME_WIDTH)}} {_which(group)}" for group in groups]
    return [f"{what}:", *found] if found else []


def _which(group: Group) -> str:
    shown = ", ".join(keys(one.first, one.last, one.count) for one in group.ranges[:SHOWN_RANGES])
    more = len(group.ranges) - SHOWN_RANGES
    return f"{counted(group.count, 'partition')}: {shown}{f' and {more:,} more ranges' if more > 0 else ''}"


def _done_text(view: RolledBackView) -> str:
    lines = ["", f"rollback {view.run}: {counted(view.moved.partitions, 'head')} moved back"]
    lines += _lines("stale or missing because of it", view.stale)
    if view.warnings:
        lines.append("gates that do not hold for what readers see again:")
        for one in view.warnings[:SHOWN_WARNINGS]:
            lines.append(f"  {one.dataset}/{one.key} version {one.version}, {plain(one.gate)}: {plain(one.text)}")
        if len(view.warnings) > SHOWN_WARNINGS:
            lines.append(f"  and {len(view.warnings) - SHOWN_WARNINGS:,} more")
    if view.not_asked:
        lines.append("gates that were not asked everywhere, as what they compare with is not known any more:")
        lines += [f"  {plain(gate)}" for gate in view.not_asked]
    if view.held:
        resolve = options.invocation("resolve", view.run, "--reason", "TEXT")
        lines.append(f"{counted(view.held, 'partition')} held until the cause is mended: {resolve}")
    lines.append(f"to undo it: {options.invocation('rollback', view.run, '--reason', 'TEXT')}")
    return "\n".join(lines)
