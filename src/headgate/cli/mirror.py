"""headgate mirror: tables of other formats over the same files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from headgate.cli import options
from headgate.cli.text import counted, moment, plain, print_json, table
from headgate.errors import HeadgateError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from headgate.drivers.session import Session
    from headgate.project.load import Project
    from headgate.store.store import Store
    from headgate.views.mirror import MirrorLine

_WARNING = click.style("warning:", fg="yellow")


@click.command("mirror")
@click.argument("dataset", required=False)
@click.option("--once", is_flag=True, help="Bring it to where the heads are, now.")
@click.option("--rebuild", is_flag=True, help="Make the table of DATASET anew; who reads it meanwhile finds none.")
@click.option("--stop", is_flag=True, help="Remove the table of DATASET, which is not declared with a mirror any more.")
@options.reason(required=False)
@options.as_json
@options.folder
@click.pass_obj
def command(
    root: Path, *, dataset: str | None, once: bool, rebuild: bool, stop: bool, reason: str | None, as_json: bool
) -> int:
    """Show how far mirrors are: tables over the same files, for datasets declared with mirror="delta".

    The coordinator keeps them; a mirror that lags or stands still says why. Data files are never touched.
    """
    from headgate.drivers.mirror import Mirrors, mirrored
    from headgate.drivers.session import Session
    from headgate.views.mirror import mirror_lines

    if rebuild or stop:
        _check(dataset, rebuild=rebuild, stop=stop)
    session = Session(root)
    try:
        project, store = session.project, session.store
        names = mirrored(project)
        known = {line.dataset for line in mirror_lines(store, "", names)}
        if dataset is not None and dataset not in known:
            raise UsageError(
                f"{plain(dataset)} has no mirror",
                hint=f"There are {', '.join(sorted(known))}." if known else 'Declare it with mirror="delta".',
            )
        if rebuild or stop:
            assert dataset is not None
            _take_down(session, dataset, forget=stop, is_declared=dataset in names, reason=reason)
        wanted = [name for name in names if dataset in {None, name}]
        if wanted and (once or rebuild):
            Mirrors(project.paths.data, wanted, store).follow()
        lines = [
            line for line in mirror_lines(store, str(project.paths.data), names) if dataset in {None, line.dataset}
        ]
    finally:
        session.close()
    print_json({"mirrors": lines}) if as_json else click.echo(_text(lines))
    return 1 if any(line.error for line in lines) else 0


def _check(dataset: str | None, *, rebuild: bool, stop: bool) -> None:
    if dataset is None:
        raise UsageError("this is about one mirror", hint="Say which: headgate mirror DATASET.")
    if rebuild and stop:
        raise UsageError("--rebuild and --stop were given", hint="Give one of them.")


def _take_down(session: Session, dataset: str, *, forget: bool, is_declared: bool, reason: str | None) -> None:
    from headgate.drivers.mirror import take_down
    from headgate.drivers.session import author

    if forget == is_declared:
        what = "is declared with a mirror" if is_declared else "is not declared with a mirror"
        hint = "Take mirror= out of its declaration first." if is_declared else "To remove the table: --stop."
        raise UsageError(f"{dataset} {what}", hint=hint)
    why = reason or options.NO_REASON
    take_down(session.store, session.project.paths.data, dataset, forget=forget, author=author(), reason=why)


def follow_heads(store: Store, project: Project | Path) -> None:
    """Bring mirrors to where a command has moved heads, and say if one cannot follow. What was done stands.

    Args:
        store: The state store.
        project: The project, or its folder if it is not loaded: it is, if there are mirrors.
    """
    if not store.mirrors():
        return
    from headgate.drivers.mirror import mirror_now
    from headgate.project.load import load

    try:
        errors = mirror_now(load(project) if isinstance(project, Path) else project, store)
    except HeadgateError as error:
        click.echo(f"{_WARNING} mirrors were not brought up to date: {plain(error.message)}", err=True)
        return
    for line in stuck_lines(errors):
        click.echo(line, err=True)


def stuck_lines(errors: Mapping[str, str]) -> list[str]:
    """Return mirrors that cannot go on as lines."""
    return [f"{_WARNING} the mirror of {name} stands still: {plain(text)}" for name, text in sorted(errors.items())]


def _text(lines: Iterable[MirrorLine]) -> str:
    rows = [
        (line.dataset, _stands(line), "-" if line.at_ms is None else moment(line.at_ms), plain(line.table))
        for line in lines
    ]
    if not rows:
        return 'no dataset has a mirror: declare it with mirror="delta"'
    errors = stuck_lines({line.dataset: line.error for line in lines if line.error})
    return "\n".join([table(("dataset", "stands", "as of (UTC)", "table"), rows), *([""] if errors else []), *errors])


def _stands(line: MirrorLine) -> str:
    if line.is_declared is False:
        return "not declared any more"
    if line.behind is None:
        return "not made yet"
    return f"{counted(line.behind, 'partition')} behind" if line.behind else "shows the heads"
