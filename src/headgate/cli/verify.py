"""headgate verify: whether the files of what was published still are what was published."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

import click

from headgate.cli import options
from headgate.cli.text import counted, plain, print_json, size

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from headgate.project.load import Project
    from headgate.store.store import Store
    from headgate.views.verification import Broken, BrokenCopy, Verification

SHOWN = 20
_SHOW_EVERY_S = 0.2


@click.command("verify")
@click.argument("datasets", metavar="[DATASET]...", nargs=-1)
@click.option("--all-versions", is_flag=True, help="Read every version that is kept, not only what readers see.")
@click.option("--content", "with_content", is_flag=True, help="Decode all rows and compare their checksums, too.")
@options.as_json
@options.folder
@click.pass_obj
def command(root: Path, datasets: tuple[str, ...], all_versions: bool, with_content: bool, as_json: bool) -> int:
    """Read the files of DATASETs again, by default of all, and compare size and SHA-256 with what was published.

    For each version that is broken it says which other versions of the partition are intact, and how to mend it.
    Changes nothing. `headgate check --state` does the same with --content, and looks at the state store as well.
    """
    from headgate.project.load import load
    from headgate.store.sqlite import open_store
    from headgate.views.verification import verify

    project = load(root)
    store = open_store(project.paths.state, data_root=project.paths.data, create=False)
    try:
        names = _names(project, store, datasets)
        progress = _Progress(is_shown=sys.stderr.isatty())
        found = verify(
            store,
            project.paths.data,
            names,
            all_versions=all_versions,
            with_content=with_content,
            told=progress.show,
        )
        progress.clear()
    finally:
        store.close()
    mended = [_mending(one, project) for one in found.broken]
    if as_json:
        broken = [
            {
                "dataset": one.dataset,
                "key": one.key,
                "version": one.version,
                "is_head": one.is_head,
                "problems": one.problems,
                "intact": one.intact,
                "next": how,
            }
            for one, how in zip(found.broken, mended, strict=True)
        ]
        values = {"versions": found.versions, "files": found.files, "bytes": found.bytes}
        copies = [{"dataset": one.dataset, "problem": one.problem, "next": _anew(one, project)} for one in found.copies]
        print_json({"ok": found.ok, **values, "broken": broken, "copies": copies})
    else:
        click.echo(_text(found, mended, project))
    return 0 if found.ok else 1


def _names(project: Project, store: Store, datasets: Sequence[str]) -> list[str]:
    from headgate.project.policies import known_name

    published = [name for name in store.datasets() if name not in project.sources]
    known = list(dict.fromkeys([*project.datasets, *published]))
    return [known_name("dataset", name, known) for name in datasets] if datasets else published


def _mending(broken: Broken, project: Project) -> list[str]:
    """Return the commands that mend a version: none if readers do not see it."""
    from headgate.views.state_check import rebuilding

    if not broken.is_head:
        return []
    now_ms = time.time_ns() // 1_000_000
    steps = [*rebuilding([(broken.dataset, broken.key)], project.datasets, now_ms)]
    if broken.intact:
        steps.append(("rollback", broken.dataset, broken.key, "--to", str(broken.intact[0]), "--reason", "repair"))
    return [options.invocation(*words) for words in steps]


def _anew(copy: BrokenCopy, project: Project) -> str:
    """Return the command that makes a table without the broken file, or removes one that nobody declares any more."""
    dataset = project.datasets.get(copy.dataset)
    is_declared = dataset is not None and dataset.mirror is not None
    what, why = ("--rebuild", "repair") if is_declared else ("--stop", "not declared any more")
    return options.invocation("mirror", copy.dataset, what, "--reason", why)


def _text(found: Verification, mended: Sequence[Sequence[str]], project: Project) -> str:
    read = f"{counted(found.versions, 'version')}, {counted(found.files, 'file')}, {size(found.bytes)}"
    if found.ok:
        return f"all intact: {read}"
    lines = [f"{counted(len(found.broken), 'version')} broken, of {read}"]
    for one, how in list(zip(found.broken, mended, strict=True))[:SHOWN]:
        seen = "" if one.is_head else ", which readers do not see"
        lines.append(f"  {one.dataset}/{plain(one.key)} version {one.version}{seen}")
        lines += [f"    {plain(what)}" for what in one.problems]
        others = ", ".join(map(str, one.intact)) or "none"
        lines.append(f"    intact versions of it: {others}")
        lines += [f"    {click.style('hint:', fg='cyan')} {step}" for step in how]
    if len(found.broken) > SHOWN:
        lines.append(f"  ... and {len(found.broken) - SHOWN:,} more: --json has them all")
    by_dataset = {one.dataset: one for one in reversed(found.copies)}
    for name, copy in by_dataset.items():
        number = sum(other.dataset == name for other in found.copies)
        lines.append(f"  mirror of {name}: {counted(number, 'file')} from packs broken, such as")
        lines += [f"    {plain(copy.problem)}", f"    {click.style('hint:', fg='cyan')} {_anew(copy, project)}"]
    return "\n".join(lines)


class _Progress:
    """One line on the terminal that says how far it is."""

    def __init__(self, *, is_shown: bool) -> None:
        self._shown_s = time.monotonic() if is_shown else float("inf")
        self._is_there = False

    def show(self, files: int, read_bytes: int) -> None:
        """Show how far it is, if the last look is old enough."""
        now_s = time.monotonic()
        if now_s - self._shown_s >= _SHOW_EVERY_S:
            self._shown_s, self._is_there = now_s, True
            click.echo(f"\r\x1b[K{counted(files, 'file')}, {size(read_bytes)}", nl=False, err=True)

    def clear(self) -> None:
        """Take the line away."""
        if self._is_there:
            click.echo("\r\x1b[K", nl=False, err=True)
