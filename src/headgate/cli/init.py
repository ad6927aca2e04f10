"""headgate init: a new project that works."""

from __future__ import annotations

import shlex
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

import click

from headgate.cli import options
from headgate.cli.text import plain, print_json
from headgate.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from importlib.resources.abc import Traversable


@click.command("init")
@click.argument("folder", metavar="[DIR]", required=False, type=click.Path(path_type=Path))
@options.as_json
@options.folder
@click.pass_obj
def command(root: Path, folder: Path | None, as_json: bool) -> None:
    """Start a project in DIR, by default in this folder, from a small one that works.

    Overwrites nothing: a folder that has one of its files already is refused.
    """
    target = root / folder if folder else root
    files = dict(_files(resources.files("headgate.cli") / "starter"))
    for relative in files:
        if (target / relative).exists() or (target / relative).is_symlink():
            raise UsageError(f"{target / relative} exists already", hint="Choose a new folder: `headgate init DIR`.")
    for relative, content in files.items():
        path = target / relative
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        except OSError as error:
            raise UsageError(f"{path} cannot be written: {error.strerror}") from None
    if as_json:
        print_json({"root": str(target), "files": sorted(files)})
        return
    click.echo(_text(target, sorted(files)))


def _files(folder: Traversable, above: str = "") -> Iterator[tuple[str, bytes]]:
    for entry in folder.iterdir():
        if entry.is_dir():
            if entry.name != "__pycache__":
                yield from _files(entry, f"{above}{entry.name}/")
        else:
            yield above + entry.name, entry.read_bytes()


def _text(target: Path, files: list[str]) -> str:
    headgate = "headgate" if target == Path() else plain(f"headgate -C {shlex.quote(str(target))}")
    landing = sum(1 for file in files if file.startswith("landing/"))
    lines = [f"started a project in {plain(str(target.resolve()))}:"]
    lines += [f"  {file}" for file in files if not file.startswith("landing/")]
    lines.append(f"  landing/ ({landing} files of a small shop)")
    lines += [
        "",
        "next:",
        f"  {headgate} plan",
        f'  {headgate} backfill --reason "first build"',
        f'  {headgate} query "from revenue_weekly order by week, country"',
    ]
    return "\n".join(lines)
