"""headgate impact: which heads rest on what went wrong, and the plan that cures them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from headgate.cli import options
from headgate.cli.plan_text import ranges_text
from headgate.cli.text import counted, moment, plain, print_json, table
from headgate.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from headgate.drivers.proposal import Proposal
    from headgate.drivers.session import Session
    from headgate.views.cause import Cause
    from headgate.views.impact import Impact, ImpactedDataset

SHOWN_FILES = 5


@click.command("impact")
@click.option("--source-file", metavar="F", help="A file of a source: its path in the project, or the end of that.")
@click.option(
    "--hash", "hash_prefix", metavar="HASH", help="With --source-file: only with this hash, or its beginning."
)
@click.option("--code-version", metavar="X", help="Code: the beginning of its fingerprint, or its declared version.")
@click.option("--version", type=click.IntRange(1), metavar="V", help="A version of a dataset or a source.")
@click.option("--run", metavar="RUN", help="All that a run made.")
@click.option("--since", metavar="WHEN", help="Only what was recorded or made from then on: as in `headgate journal`.")
@click.option("--until", metavar="WHEN", help="Only what was recorded or made before then.")
@click.option("--plan", "with_plan", is_flag=True, help="Make and keep the plan that cures what a rebuild can cure.")
@options.reason(required=False)
@options.service_class
@options.overrides
@options.as_json
@options.folder
@click.pass_obj
def command(
    root: Path,
    *,
    source_file: str | None,
    hash_prefix: str | None,
    code_version: str | None,
    version: int | None,
    run: str | None,
    since: str | None,
    until: str | None,
    with_plan: bool,
    reason: str | None,
    service_class: str,
    overrides: tuple[str, ...],
    because: tuple[str, ...],
    as_json: bool,
) -> int:
    """Show which heads are tainted by something that went wrong: all that rests on it, over any number of steps.

    Name one cause. A head rests on what was read, and on the code that ran, when its content was last found. With
    --plan exactly those heads are planned that a rebuild cures; `headgate backfill --plan` runs that.
    """
    from headgate.drivers.clock import now_ms
    from headgate.drivers.session import Session
    from headgate.drivers.world import look
    from headgate.views.impact import impact

    asked = _Asked(source_file, hash_prefix, code_version, version, run, since, until)
    asked.check()
    chosen = options.chosen(overrides, because)
    session = Session(root)
    try:
        snapshot = look(session.project, session.store, now_ms()).snapshot
        found, request = impact(session.store, snapshot, asked.cause(session))
        lines = "\n".join(_lines(found, is_planned=with_plan))
        if with_plan and request.only:
            click.echo(lines + "\n", err=as_json)
            proposal = session.propose(request, reason=reason or "", service_class=service_class, overrides=chosen)
            _show_plan(session, found, proposal, as_json=as_json)
            return 0
        print_json({"impact": found, "plan": None}) if as_json else click.echo(lines)
        if with_plan and found.heads:
            click.echo("\nno plan was made: a rebuild would cure nothing as things are", err=True)
            return 1
        return 0
    finally:
        session.close()


@dataclass(frozen=True, slots=True)
class _Asked:
    """The options that name a cause."""

    source_file: str | None
    hash_prefix: str | None
    code_version: str | None
    version: int | None
    run: str | None
    since: str | None
    until: str | None

    def check(self) -> None:
        """Raise a `UsageError` unless they name one cause."""
        causes = (self.source_file, self.code_version, self.version, self.run)
        if sum(one is not None for one in causes) != 1:
            raise UsageError(
                "impact of what?" if not any(causes) else "impact is about one cause",
                hint="Give one of --source-file, --code-version, --version and --run.",
            )
        if self.hash_prefix is not None and self.source_file is None:
            raise UsageError("--hash is about a file of a source", hint="Give --source-file with it.")
        if self.version is not None and (self.since or self.until):
            raise UsageError("a version was made at one time", hint="Leave out --since and --until.")

    def cause(self, session: Session) -> Cause:
        """Return what they mean."""
        from headgate.views import cause

        since_ms = cause.ALWAYS[0] if self.since is None else options.instant_ms(self.since, "--since")
        until_ms = cause.ALWAYS[1] if self.until is None else options.instant_ms(self.until, "--until")
        if until_ms <= since_ms:
            raise UsageError(f"--until {self.until} is not after --since {self.since}", hint="The end is exclusive.")
        store, times = session.store, (since_ms, until_ms)
        if self.source_file is not None:
            root = session.project.root
            return cause.bad_file(store, root, self.source_file, hash_prefix=self.hash_prefix, times=times)
        if self.code_version is not None:
            return cause.bad_code(store, self.code_version, times=times)
        if self.version is not None:
            return cause.bad_version(store, self.version)
        return cause.bad_run(store, self.run or "", times=times)


def _show_plan(session: Session, found: Impact, proposal: Proposal, *, as_json: bool) -> None:
    from headgate.cli.plan import keep_to_show
    from headgate.cli.plan_text import plan_text
    from headgate.views.plan import proposed_plan

    view, following = keep_to_show(session, proposal, proposed_plan(proposal))
    if as_json:
        print_json({"impact": found, "plan": view})
    else:
        click.echo(plan_text(view) + following)


def _lines(found: Impact, *, is_planned: bool) -> Iterator[str]:
    """Yield what is tainted, as people read it."""
    cause = found.cause
    yield f"{plain(cause.text)}: {counted(len(cause.versions), 'version')}"
    for file in cause.files[:SHOWN_FILES]:
        where = f"version {file.version} of {file.dataset}/{plain(file.key)}"
        yield f"  {where}, recorded {moment(file.recorded_ms)} UTC  {plain(file.path)}  {plain(file.hash)}"
    if len(cause.files) > SHOWN_FILES:
        yield f"  ... and {len(cause.files) - SHOWN_FILES:,} more"
    contents = len({file.hash for file in cause.files})
    if contents > 1:
        yield f"  these are {contents:,} contents: --hash HASH asks about one of them"
    built = [part for part in found.datasets if not part.is_source]
    if not built:
        yield "nothing rests on it"
        return
    rows = [(part.name, f"{part.heads:,}", _steps(part), ranges_text(part.ranges), _others(part)) for part in built]
    yield ""
    yield table(("dataset", "heads", "steps", "partitions", "no heads"), rows, right=frozenset({1, 2}))
    yield ""
    if not found.heads:
        yield "no head is tainted any more"
        return
    be = "is" if found.heads == 1 else "are"
    yield f"{counted(found.heads, 'head')} {be} tainted, {found.curable:,} can be cured by a rebuild"
    for part in built:
        for stay in part.staying:
            yield f"  {part.name}: {counted(stay.count, 'head')} {stay.why}: {ranges_text(stay.ranges)}"
    if found.curable and not is_planned:
        yield "  add --plan for the plan that cures them"


def _steps(part: ImpactedDataset) -> str:
    same = part.first_step == part.last_step
    return f"{part.first_step:,}" if same else f"{part.first_step:,} to {part.last_step:,}"


def _others(part: ImpactedDataset) -> str:
    """Return how many versions are tainted that readers do not see."""
    staged = [f"{part.staged:,} staged"] if part.staged else []
    return ", ".join([*staged, *([f"{part.former:,}"] if part.former else [])])
