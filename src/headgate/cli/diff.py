"""headgate diff: what a run changes in the data, or has changed."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import click

from headgate.cli import options
from headgate.cli.text import counted, plain, print_json, table
from headgate.errors import UsageError
from headgate.model.run import RunState

if TYPE_CHECKING:
    from pathlib import Path

    from headgate.model.run import Run
    from headgate.views.diff import ColumnDiff, DatasetDiff, PartitionDiff

SHOWN_PARTITIONS = 20


@click.command("diff")
@click.argument("run")
@click.argument("dataset", required=False)
@click.option("--key", metavar="KEY", help="Only this partition of DATASET.")
@click.option(
    "--on",
    metavar="COLUMN,...",
    help="Columns that identify a row of DATASET: tells changed rows from added and removed ones.",
)
@click.option("--columns", is_flag=True, help="Also how many values of each column changed, nulls, and sums.")
@click.option(
    "--limit", type=click.IntRange(1), help=f"Show at most so many partitions; as text {SHOWN_PARTITIONS} by default."
)
@options.as_json
@options.folder
@click.pass_obj
def command(
    root: Path,
    *,
    run: str,
    dataset: str | None,
    key: str | None,
    on: str | None,
    columns: bool,
    limit: int | None,
    as_json: bool,
) -> None:
    """Compare what RUN has staged or published with what was there before; of DATASET partition by partition.

    RUN is the id of a run, the beginning of one, or `latest`.
    """
    from headgate.drivers.naming import named_run
    from headgate.views.diff import run_diff
    from headgate.views.reading import reading

    if dataset is None and (key is not None or on is not None):
        raise UsageError(f"{'--key' if key is not None else '--on'} is about one dataset", hint="Name it behind RUN.")
    identity = tuple(dict.fromkeys(filter(None, (on or "").split(","))))
    if on is not None and not identity:
        raise UsageError(f"--on {on!r} names no column", hint="Give names with commas between them: --on id,day.")
    with reading(root) as (paths, store):
        found = named_run(store, run)
        datasets = run_diff(store, paths.data, found, dataset, key=key, on=identity, columns=columns)
    if as_json:
        shown = tuple(replace(one, parts=one.parts[:limit]) for one in datasets)
        print_json({"run": {"id": found.id, "state": found.state}, "datasets": shown})
        return
    click.echo(_text(found, datasets, with_parts=dataset is not None, limit=limit or SHOWN_PARTITIONS))


def _text(run: Run, datasets: tuple[DatasetDiff, ...], *, with_parts: bool, limit: int) -> str:
    if not run.publication.is_staged or run.state is RunState.SUCCEEDED:
        what = "has published"
    elif run.state is RunState.DISCARDED:
        what = "had staged: it was discarded, and nothing of it became visible"
    else:
        what = "has staged: nothing of it is visible"
    if not datasets:
        return f"run {run.id} has made nothing"
    lines = [f"what run {run.id} {what}", "", _datasets_text(datasets)]
    for one in datasets:
        lines += [f"  {one.name}: {plain(sentence)}" for sentence in one.schema]
        if one.gone:
            lines.append(
                f"  {one.name}: files of {counted(one.gone, 'partition')} are gone, so their rows do not count"
            )
    for one in datasets:
        if one.columns:
            lines += ["", f"columns of {one.name}", _columns_text(one.columns)]
        if with_parts and one.parts:
            lines += ["", f"partitions of {one.name}", _parts_text(one.parts[:limit])]
            if len(one.parts) > limit:
                lines.append(f"  ... and {len(one.parts) - limit:,} more: --limit {len(one.parts)} shows them")
    return "\n".join(lines)


def _datasets_text(datasets: tuple[DatasetDiff, ...]) -> str:
    header = (
        "dataset",
        "partitions",
        "new",
        "same",
        "differ",
        "rows before",
        "rows now",
        "added",
        "removed",
        "changed",
    )
    rows = [
        (
            one.name,
            *map(_count, (one.partitions, one.new, one.same, one.differ, one.rows_before, one.rows_after)),
            # Of none of them rows were compared.
            *(
                ("?", "?", "?")
                if one.gone == one.new + one.differ > 0
                else map(_count, (one.added, one.removed, one.changed))
            ),
        )
        for one in datasets
    ]
    return table(header, rows, right=frozenset(range(1, len(header))))


def _parts_text(parts: tuple[PartitionDiff, ...]) -> str:
    header = ("key", "rows before", "rows now", "added", "removed", "changed")
    rows = [
        (one.key, "new" if one.rows_before is None else _count(one.rows_before), _count(one.rows_after))
        + (tuple(map(_count, (one.added, one.removed, one.changed))) if one.added is not None else ("?", "?", "?"))
        for one in parts
    ]
    return table(header, rows, right=frozenset(range(1, len(header))))


def _columns_text(columns: tuple[ColumnDiff, ...]) -> str:
    header = ("column", "changed", "nulls before", "nulls now", "sum before", "sum now")
    rows = [
        (
            one.name,
            *map(_count, (one.changed, one.nulls_before, one.nulls_after)),
            _total(one.sum_before),
            _total(one.sum_after),
        )
        for one in columns
    ]
    return table(header, rows, right=frozenset(range(1, len(header))))


def _count(number: int | None) -> str:
    return f"{number:,}" if number else "-"


def _total(total: float | int | str | None) -> str:
    if total is None:
        return ""
    return total if isinstance(total, str) else f"{total:,}" if isinstance(total, int) else f"{total:,.6g}"
