"""headgate compact: packs many small files into few large ones."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from headgate.cli import options
from headgate.cli.text import counted, moment, plain, print_json, size
from headgate.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from headgate.drivers.compact import Compacted
    from headgate.drivers.packs import PackPlan

SHOWN = 20


@click.command("compact")
@click.argument("datasets", metavar="[DATASET]...", nargs=-1)
@click.option(
    "--older-than",
    default="90d",
    show_default=True,
    metavar="TIME",
    help="Pack partitions that ended, and were last built, so long ago; 0 for all that ended.",
)
@click.option("--max-file-size", default="256MB", show_default=True, metavar="SIZE", help="How large a pack may get.")
@click.option(
    "--min-files",
    default=10,
    show_default=True,
    type=click.IntRange(2),
    help="Make no pack of fewer files.",
)
@click.option("--dry-run", is_flag=True, help="Only show what would be packed.")
@options.reason(required=False)
@options.as_json
@options.folder
@click.pass_obj
def command(
    root: Path,
    *,
    datasets: tuple[str, ...],
    older_than: str,
    max_file_size: str,
    min_files: int,
    dry_run: bool,
    reason: str | None,
    as_json: bool,
) -> int:
    """Pack small files of old partitions of DATASETs, by default of all, into large ones.

    The content stays what it is, which is proved before readers see it, and nothing becomes stale. It is of service
    class maintenance, keeps to its time windows, and needs that no run is under way. The small files stay until
    `headgate vacuum` removes them.
    """
    from headgate.cli.mirror import follow_heads
    from headgate.drivers.clock import now_ms
    from headgate.drivers.compact import compact
    from headgate.drivers.packs import Wanted, plan_packs
    from headgate.drivers.session import Session, author
    from headgate.project.amounts import age_ms, size_bytes
    from headgate.project.policies import known_name

    cold_ms = age_ms(older_than)
    if cold_ms is None:
        raise UsageError(
            f"--older-than {older_than} is no length of time", hint="Such as 6h, 90d or 12w; 0 for all that is closed."
        )
    most = size_bytes(int(max_file_size) if max_file_size.isdecimal() else max_file_size)
    if most is None:
        raise UsageError(f"--max-file-size {max_file_size} is no size", hint="Such as 64MB or 1GiB.")
    wanted = Wanted(cold_ms, most, min_files)
    session = Session(root)
    try:
        project, store = session.project, session.store
        names = [known_name("dataset", name, project.datasets) for name in datasets] or list(project.datasets)
        packs = plan_packs(project, store, names, wanted, now_ms())
        if dry_run or not packs:
            _print(packs, None, as_json=as_json)
            return 0
        done = compact(
            project,
            store,
            names,
            wanted,
            author=author(),
            reason=reason or options.NO_REASON,
            told=_tell if sys.stderr.isatty() else lambda _done, _all: None,
        )
        follow_heads(store, project)
    finally:
        session.close()
    _print(packs, done, as_json=as_json)
    return 1 if done.problems else 0


def _tell(done: int, of: int) -> None:
    click.echo(f"packing {done + 1:,} of {of:,}", err=True)


def _print(packs: Sequence[PackPlan], done: Compacted | None, *, as_json: bool) -> None:
    if as_json:
        planned: list[dict[str, Any]] = [
            {
                "dataset": pack.dataset,
                "partitions": len(pack.versions),
                "first": pack.versions[0].key,
                "last": pack.versions[-1].key,
                "files": pack.files,
                "bytes": pack.bytes,
            }
            for pack in packs
        ]
        print_json({"planned": planned, "done": done})
    elif done is None:
        click.echo(_planned_text(packs))
    else:
        click.echo(_done_text(done))


def _planned_text(packs: Sequence[PackPlan]) -> str:
    if not packs:
        return "nothing to pack"
    lines = [f"{counted(sum(pack.files for pack in packs), 'file')} would go into {counted(len(packs), 'pack')}:"]
    lines += [
        f"  {pack.dataset}: {counted(len(pack.versions), 'partition')}, {plain(pack.versions[0].key)} to "
        f"{plain(pack.versions[-1].key)}, {size(pack.bytes)}"
        for pack in packs[:SHOWN]
    ]
    if len(packs) > SHOWN:
        lines.append(f"  ... and {len(packs) - SHOWN:,} more")
    return "\n".join(lines)


def _done_text(done: Compacted) -> str:
    lines = [
        f"run {done.run}: {counted(done.partitions, 'partition')} in {counted(done.files, 'file')}, "
        f"{size(done.bytes_before)}, packed into {counted(done.packs, 'file')}, {size(done.bytes_after)}"
    ]
    if done.closed_until_ms is not None:
        lines.append(f"stopped: its time window has closed; it opens again at {moment(done.closed_until_ms)} UTC")
    if done.problems:
        lines.append("left as they were:")
        lines += [f"  {plain(what)}" for what in done.problems[:SHOWN]]
        lines.append(f"{click.style('hint:', fg='cyan')} {options.invocation('verify')}")
    if done.packs:
        lines.append(f"\nThe small files go with: {options.invocation('vacuum')}")
    return "\n".join(lines)
