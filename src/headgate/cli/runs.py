"""headgate runs: the runs, and what stands on record of one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from headgate.cli import options
from headgate.cli.journal import detail
from headgate.cli.status import counts_text, gates_lines
from headgate.cli.text import STATE_COLORS, counted, done_text, duration, moment, plain, print_json, state_text, table
from headgate.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from headgate.views.journal import JournalLine
    from headgate.views.run_record import RollbackRecord, RunRecord
    from headgate.views.status import RunLine
    from headgate.views.stored_plan import StoredPlanView

LISTED = 20
SHOW = "show"


@click.command("runs")
@click.argument("action", required=False, type=click.Choice(["list", SHOW]))
@click.argument("run", required=False)
@click.option("--limit", type=click.IntRange(1), help=f"How many runs, newest first; {LISTED} if not given.")
@options.as_json
@options.folder
@click.pass_obj
def command(root: Path, action: str | None, run: str | None, limit: int | None, as_json: bool) -> None:
    """List the runs, newest first; or show what stands on record of one.

    \b
    headgate runs              or runs list: who wanted what, why, and what became of it
    headgate runs show RUN     its plan and how that was decided, what was changed, the forecast beside what it took

    RUN is the id of a run, the beginning of one, or `latest`.
    """  # noqa: D301
    from headgate.drivers.naming import named_run
    from headgate.views.reading import reading

    if action == SHOW:
        if run is None:
            raise UsageError("show which run?", hint="Name it: headgate runs show latest.")
        if limit is not None:
            raise UsageError("--limit is about the list of runs", hint="Leave it out.")
        from headgate.views.run_record import run_record

        with reading(root) as (_, store):
            record = run_record(store, named_run(store, run))
        print_json(record) if as_json else click.echo(record_text(record))
        return
    if run is not None:
        raise UsageError("runs list names no run", hint=f"For one of them: headgate runs show {run}.")
    from headgate.views import status

    with reading(root) as (_, store):
        found = status.runs(store, limit=limit or LISTED)
    print_json({"runs": found}) if as_json else click.echo(_list_text(found))


def _list_text(runs: tuple[RunLine, ...]) -> str:
    if not runs:
        return f"no runs yet: {options.invocation('plan')} shows what there is to do"
    rows = [
        (
            run.id,
            state_text(run),
            run.service_class if run.kind == "backfill" else run.kind,
            f"{run.done:,} of {run.total:,}",
            moment(run.created_ms),
            "" if run.finished_ms is None else duration((run.finished_ms - run.created_ms) / 1000),
            run.author,
            run.reason,
        )
        for run in runs
    ]
    colors = {(1, state_text(run)): STATE_COLORS[run.state] for run in runs}
    header = ("run", "state", "class or kind", "done", "created (UTC)", "took", "author", "reason")
    return table(header, rows, right=frozenset({3}), colors=colors)


def record_text(record: RunRecord) -> str:
    """Return what stands on record of a run, as people read it."""
    run = record.run
    state = click.style(state_text(run), fg=STATE_COLORS[run.state])
    not_built = skipped_text(record.skipped, record.taken, run.total)
    what = run.kind if record.rollback else f"{run.kind} of class {plain(run.service_class)}"
    lines = [
        f"run {run.id} {state}: {done_text(run)}{not_built}",
        f"  {what} by {plain(run.author)}, {moment(run.created_ms)} UTC: {plain(run.reason)}",
    ]
    if run.finished_ms is not None:
        lines.append(f"  ended {moment(run.finished_ms)} UTC")
    if record.overlap != "refuse":
        lines.append(f"  partitions that another run builds: {record.overlap}")
    if record.controls:
        changed = ", ".join(f"{name} {plain(str(value))}" for name, value in record.controls.items())
        lines.append(f"  set by hand: {changed}")
    if record.plan is not None:
        lines += ["", *_plan_lines(record.plan)]
    if record.rollback is not None:
        lines += ["", *_rollback_lines(record.rollback, run.id)]
    # What a rollback did was said in words.
    entries = tuple(line for line in record.entries if record.rollback is None or line.kind != "rollback")
    if entries:
        lines += ["", "what was decided and what came of it", _entries_text(entries)]
    if record.forecast is not None:
        from headgate.cli.forecast_text import hindsight_text

        lines += ["", hindsight_text(record.forecast)]
    lines += ["", counts_text(record.datasets, run), *gates_lines(record.quarantined, record.warnings)]
    return "\n".join(lines)


def _rollback_lines(done: RollbackRecord, run: str) -> list[str]:
    """Return what a rollback did, in words, and what can be done about it."""
    if done.kind == "rollback":
        lines = [f"it undid rollback {done.of}: readers see what they saw before that"]
    elif done.kind:
        lines = [f"it took back what run {done.of} had published: readers see what they saw before that"]
    elif done.to_version is not None:
        lines = [f"it put a partition of {plain(done.of)} back to version {done.to_version}"]
    else:
        lines = [f"it put partitions of {plain(done.of)} back to what they were at {moment(done.to_ms)} UTC"]
    if done.downstream:
        lines.append("what was made from bad versions was taken back with them")
    if done.left:
        lines.append(
            f"{counted(done.left, 'partition')} that moved on or were made from bad versions stayed as they were"
        )
    if done.held:
        resolve = options.invocation("resolve", run, "--reason", "TEXT")
        lines.append(f"{counted(done.held, 'partition')} held until the cause is mended: {resolve}")
    else:
        lines.append("it holds nothing: all that it moved may be built again")
    return [*lines, f"to undo it: {options.invocation('rollback', run, '--reason', 'TEXT')}"]


def skipped_text(skipped: int, taken: int, total: int) -> str:
    """Return how much a run did not have to build, to be put behind what it did; empty if nothing.

    Args:
        skipped: Of how much nothing that it reads had changed.
        taken: How much another run had made meanwhile.
        total: How much there was in its plan.
    """
    cut_off = f", {skipped:,} of {total:,} skipped: inputs unchanged" if skipped else ""
    return cut_off + (f", {taken:,} of {total:,} taken from another run" if taken else "")


def _plan_lines(plan: StoredPlanView) -> list[str]:
    from headgate.cli.plan_text import decision_lines, verdict_text

    head = f"plan {plan.id}, made by {plain(plan.author)} at {moment(plan.created_ms)} UTC"
    said = verdict_text(plan.verdict, heading="guard rails said").splitlines()
    return [head, *decision_lines(plan.decisions), *(f"  {line}" for line in said)]


def _entries_text(entries: tuple[JournalLine, ...]) -> str:
    rows = [(moment(line.at_ms), line.author, line.kind, _details(line), _why(line)) for line in entries]
    return table(("when (UTC)", "who", "what", "", "why"), rows)


def _details(line: JournalLine) -> str:
    return " ".join(
        f"{name}={detail(name, value)}" for name, value in line.details.items() if isinstance(value, int | str)
    )


def _why(line: JournalLine) -> str:
    return " ".join(filter(None, (line.reason, f"(refused: {line.refused})" if line.refused else "")))
