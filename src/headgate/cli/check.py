"""headgate check: whether the project holds, and what was built from it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from headgate.cli import options
from headgate.cli.text import counted, plain, print_json, size

if TYPE_CHECKING:
    from pathlib import Path

    from headgate.project.load import Project
    from headgate.views.state_check import StateCheck

SHOWN_ORPHANS = 10


@click.command("check")
@click.option(
    "--state", "with_state", is_flag=True, help="Read everything that was built and compare it with its records."
)
@options.as_json
@options.folder
@click.pass_obj
def command(root: Path, with_state: bool, as_json: bool) -> int:
    """Load the project and validate all of it: configuration, modules, datasets, mappings, cycles.

    With --state also what was built: every published file is there with its size and hash, the journal's chain is
    unbroken, no attempt is running without a coordinator. Changes nothing.
    """
    from headgate.project.load import load

    project = load(root)
    found = _state(project) if with_state else None
    problems = found.problems if found else ()
    steps = _next(found, project) if found else []
    if as_json:
        state = {"heads": found.heads, "files": found.files, "bytes": found.bytes} if found else None
        orphans = found.orphans if found else ()
        print_json({"ok": not problems, "problems": problems, "state": state, "orphans": orphans, "next": steps})
        return 1 if problems else 0
    click.echo(_project_text(project))
    if found:
        click.echo(_state_text(found))
    for problem in problems:
        click.echo(f"{click.style('problem:', fg='red')} {plain(problem)}")
    for step in steps:
        click.echo(f"{click.style('hint:', fg='cyan')} {step}")
    return 1 if problems else 0


def _state(project: Project) -> StateCheck:
    from headgate.store.sqlite import open_store
    from headgate.views.state_check import check_state

    store = open_store(project.paths.state, data_root=project.paths.data, create=False)
    try:
        return check_state(store, project.paths.data, frozenset(project.sources))
    finally:
        store.close()


def _next(found: StateCheck, project: Project) -> list[str]:
    from headgate.views.state_check import next_steps

    return [options.invocation(*words) for words in next_steps(found, project.datasets, time.time_ns() // 1_000_000)]


def _project_text(project: Project) -> str:
    now_ms = time.time_ns() // 1_000_000
    partitions = sum(dataset.partitioning.grid(now_ms).size for dataset in project.datasets.values())
    return (
        f"project ok: {counted(len(project.sources), 'source')}, {counted(len(project.datasets), 'dataset')}, "
        f"{counted(partitions, 'partition')}"
    )


def _state_text(found: StateCheck) -> str:
    verdict = "state ok" if found.ok else f"state: {counted(len(found.problems), 'problem')}"
    lines = [
        f"{verdict}: {counted(found.heads, 'published partition')}, {counted(found.files, 'file')}, {size(found.bytes)}"
    ]
    if found.orphans:
        what = "file belongs to no version" if len(found.orphans) == 1 else "files belong to no version"
        lines.append(f"{len(found.orphans):,} {what}, which does no harm:")
        lines += [f"  {path}" for path in found.orphans[:SHOWN_ORPHANS]]
        if len(found.orphans) > SHOWN_ORPHANS:
            lines.append(f"  ... and {len(found.orphans) - SHOWN_ORPHANS:,} more")
    return "\n".join(lines)
