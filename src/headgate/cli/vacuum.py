"""headgate vacuum: removes files that nobody needs any more."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from headgate.cli import options
from headgate.cli.text import counted, plain, print_json, size
from headgate.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from headgate.drivers.vacuum import Vacuumed

SHOWN = 20
_HOUR_MS = 3_600_000


@click.command("vacuum")
@click.option(
    "--keep", default="7d", show_default=True, metavar="TIME", help="Keep what readers have seen within this time."
)
@click.option(
    "--keep-versions",
    default=3,
    show_default=True,
    type=click.IntRange(0),
    help="Keep the newest so many versions of each partition, too.",
)
@click.option("--dry-run", is_flag=True, help="Only show what would be removed.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@options.reason(required=False)
@options.as_json
@options.folder
@click.pass_obj
def command(
    root: Path, *, keep: str, keep_versions: int, dry_run: bool, yes: bool, reason: str | None, as_json: bool
) -> None:
    """Remove the files of versions that nobody needs any more; what is removed cannot be rolled back to.

    Heads always stay, and so does what a running attempt, a staged run, a quarantined result, a saved batch or a mirror
    that lags needs. It works while runs are under way.
    """
    from headgate.drivers.clock import now_ms
    from headgate.drivers.session import author
    from headgate.drivers.vacuum import look, vacuum
    from headgate.project.amounts import age_ms
    from headgate.store.housekeeping import Keep
    from headgate.views.reading import reading

    keep_ms = age_ms(keep)
    if keep_ms is None:
        raise UsageError(f"--keep {keep} is no length of time", hint="Such as 45m, 6h, 30d or 2w; 0 for nothing.")
    if keep_ms < _HOUR_MS:
        click.echo(
            f"{click.style('warning:', fg='yellow')} a query that is reading old files now may lose them: "
            "--keep is below an hour",
            err=True,
        )
    now = now_ms()
    wanted = Keep(now - keep_ms, keep_versions)
    with reading(root) as (places, store):
        found = look(store, places.data, wanted)
        if not dry_run and _has_something(found):
            if not yes:
                _confirm(found, as_json=as_json)
            why = reason or options.NO_REASON
            found = vacuum(store, places.data, wanted, author=author(), reason=why, now_ms=now)
    if as_json:
        values = {"versions": len(found.versions), "files": found.files, "bytes": found.bytes}
        print_json(
            {
                "is_dry_run": dry_run,
                **values,
                "folders": found.folders,
                "resumed": found.resumed,
                "orphans": found.orphans,
                "led_by": found.led_by,
                "removed": found.versions,
            }
        )
    else:
        click.echo(_text(found, done=not dry_run))


def _confirm(found: Vacuumed, *, as_json: bool) -> None:
    if not sys.stdin.isatty():
        raise UsageError("nobody is there to confirm it", hint="Look at it with --dry-run, then add --yes.")
    click.echo(_text(found, done=False), err=as_json)
    click.confirm("Remove them?", err=True, abort=True)


def _has_something(found: Vacuumed) -> bool:
    return bool(found.versions or found.orphans or found.folders or found.resumed)


def _text(found: Vacuumed, *, done: bool) -> str:
    if not _has_something(found):
        return "nothing to remove"
    verb = "removed" if done else "would be removed"
    lines = [
        f"{counted(len(found.versions), 'version')} in {counted(found.files, 'file')}, {size(found.bytes)}, {verb}"
    ]
    by_dataset: dict[str, list[int]] = {}
    for one in found.versions:
        counts = by_dataset.setdefault(one.dataset, [0, 0])
        counts[0] += 1
        counts[1] += one.bytes
    lines += [f"  {name}: {counted(n, 'version')}, {size(total)}" for name, (n, total) in sorted(by_dataset.items())]
    if found.resumed:
        lines.append(f"{counted(found.resumed, 'file')} of an earlier vacuum that was interrupted, {verb}")
    if found.orphans:
        lines.append(f"{counted(len(found.orphans), 'file')} of no version, {verb}:")
        lines += [f"  {plain(path)}" for path in found.orphans[:SHOWN]]
        if len(found.orphans) > SHOWN:
            lines.append(f"  ... and {len(found.orphans) - SHOWN:,} more")
    if found.folders:
        lines.append(f"{counted(found.folders, 'empty folder')} of runs, {verb}")
    if found.led_by:
        lines.append(f"what attempts left behind is left to the coordinator that lives: {plain(found.led_by)}")
    return "\n".join(lines)
