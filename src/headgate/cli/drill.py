"""headgate drill: rehearse a rollback on a copy."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import click

from headgate.cli import options
from headgate.cli.text import counted, duration, plain, print_json

if TYPE_CHECKING:
    from pathlib import Path

    from headgate.drivers.drill import Drill, Step

SHOWN = 20
DOES = {
    "copy": "copied state and files",
    "look": "looked at what is there",
    "publish": "published wrong data",
    "build on": "built on it",
    "gates": "gates",
    "diff": "diff",
    "verify": "verify",
    "rollback": "rolled back",
    "prove": "proved that all is as before",
    "resolve": "resolved the hold",
}


@click.command("drill")
@click.argument("datasets", metavar="[DATASET]...", nargs=-1)
@click.option(
    "--partitions",
    default=20,
    show_default=True,
    metavar="N",
    type=click.IntRange(1, 1000),
    help="Rehearse on so many partitions, the newest, and on what was made from them.",
)
@click.option("--keep", is_flag=True, help="Leave the copy for a look at it.")
@options.reason(required=False)
@options.as_json
@options.folder
@click.pass_obj
def command(
    root: Path, *, datasets: tuple[str, ...], partitions: int, keep: bool, reason: str | None, as_json: bool
) -> int:
    """Rehearse a rollback on a copy: publish wrong data, notice it, take it back, and prove that all is as before.

    For a calendar: run it every week. The project itself is only read, but for one entry in its journal; no function
    of a dataset is called, and a coordinator may be alive. Copies of the newest partitions of DATASETs, by default of
    the five that were built last, go into a temporary folder, which is removed.

    The exit code is 0 if everything held.
    """
    from headgate.drivers.drill import Wanted, drill
    from headgate.drivers.session import Session, author
    from headgate.project.policies import known_name
    from headgate.views.drill import EYES

    # So that the copy is removed, whoever stops it.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    session = Session(root)
    try:
        project = session.project
        names = tuple(known_name("dataset", name, project.datasets) for name in dict.fromkeys(datasets))
        wanted = Wanted(names, partitions, keep, author(), reason or options.NO_REASON)
        done = drill(project, session.store, wanted, EYES, _ignore if as_json else _tell)
    finally:
        session.close()
    if as_json:
        _print_json(done)
    else:
        click.echo(_text(done))
    return 0 if done.ok else 1


def _ignore(_step: Step) -> None:
    pass


def _tell(step: Step) -> None:
    click.echo(f"  {DOES[step.name]:<30} {duration(step.ms / 1000):>10}  {plain(step.found)}")


def _print_json(done: Drill) -> None:
    print_json(
        {
            "ok": done.ok,
            "datasets": done.datasets,
            "partitions": {"chosen": done.chosen, "derived": done.derived},
            "noticed": {"by_gates": done.by_gates, "gated": done.gated, "by_diff": done.by_diff},
            "to_safety_ms": done.to_safety_ms,
            "steps": done.steps,
            "missed": done.missed,
            "skipped": done.skipped,
            "problems": done.problems,
            "folder": done.folder,
            "not_journaled": done.not_journaled,
        }
    )


def _text(done: Drill) -> str:
    lines = [f"left out: {plain(what)}" for what in done.skipped]
    if done.missed:
        lines.append(f"gates did not notice {counted(len(done.missed), 'partition')}:")
        lines += [f"  {one.dataset}/{plain(one.key)}: {one.how}" for one in done.missed[:SHOWN]]
        lines += [f"  ... and {len(done.missed) - SHOWN:,} more: --json has them all"] * (len(done.missed) > SHOWN)
    lines += [f"{click.style('problem:', fg='red')} {plain(what)}" for what in done.problems[:SHOWN]]
    lines += [f"... and {len(done.problems) - SHOWN:,} more: --json has them all"] * (len(done.problems) > SHOWN)
    if done.folder:
        lines.append(f"the copy is in {plain(done.folder)}")
    if done.not_journaled:
        lines.append(f"not in the journal: {plain(done.not_journaled)}")
    safe = "" if done.to_safety_ms is None else f" {duration(done.to_safety_ms / 1000)} from wrong data to safety"
    lines.append(f"everything held:{safe}" if done.ok else f"not everything held{';' if safe else ''}{safe}")
    return "\n".join(lines)
