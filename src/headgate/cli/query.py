"""headgate query: SQL over what is published."""

from __future__ import annotations

import json
import shutil
import sys
from itertools import islice
from tempfile import SpooledTemporaryFile
from typing import TYPE_CHECKING

import click

from headgate.cli import options
from headgate.cli.text import counted, plain, table, width

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from headgate.views.query import Answer

SHOWN_ROWS = 50
CELL = 60
IN_MEMORY_BYTES = 8 * 1024 * 1024


@click.command("query")
@click.argument("sql")
@click.option("--limit", type=click.IntRange(1), help=f"Print at most so many rows; as text {SHOWN_ROWS} by default.")
@click.option("--as-of", metavar="WHAT", help="As it was at a time (UTC), at the end of a run, or with a version.")
@options.as_json
@options.folder
@click.pass_obj
def command(root: Path, *, sql: str, limit: int | None, as_of: str | None, as_json: bool) -> None:
    """Run one SQL statement (DuckDB) over what is published: each dataset is a view.

    Reads only. With --json the result is a list of objects, one for each row.
    """
    from headgate.views.query import query
    from headgate.views.reading import reading
    from headgate.views.table import moment

    with reading(root) as (paths, store):
        until_ms = None if as_of is None else moment(store, int(as_of) if as_of.isdecimal() else as_of)
        answer = query(store, paths.data, sql, until_ms=until_ms)
    print_answer(answer, limit, as_json=as_json)


def print_answer(answer: Answer, limit: int | None, *, as_json: bool) -> None:
    """Print the rows of a query, at most so many; as text the first of them by default."""
    if as_json:
        _print_json(answer, limit)
    else:
        click.echo(_text(answer, limit or SHOWN_ROWS))


def _print_json(answer: Answer, limit: int | None) -> None:
    """Print rows as they come, but only once all of them are known to come."""
    with SpooledTemporaryFile(IN_MEMORY_BYTES, "w+", encoding="ascii") as spool:
        separator = "["
        for row in islice(answer.rows, limit):
            spool.write(separator + "\n" + json.dumps(dict(zip(answer.columns, row, strict=True))))
            separator = ","
        spool.write("[]\n" if separator == "[" else "\n]\n")
        spool.seek(0)
        shutil.copyfileobj(spool, sys.stdout)


def _text(answer: Answer, limit: int) -> str:
    rows = list(islice(answer.rows, limit + 1))
    is_cut = len(rows) > limit
    cells = [[_cell(value) for value in row] for row in rows[:limit]]
    columns = list(answer.columns)
    right = {n for n in range(len(columns)) if all(isinstance(row[n], int | float | None) for row in rows)}
    shown = _fitting(columns, cells)
    lines = [table(columns[:shown], [row[:shown] for row in cells], right=frozenset(right))]
    notes = []
    if is_cut:
        notes.append(f"the first {counted(limit, 'row')}; --limit shows more")
    elif len(rows) != 1:
        notes.append(counted(len(rows), "row"))
    if shown < len(columns):
        notes.append(f"{counted(len(columns) - shown, 'more column')}: {', '.join(map(plain, columns[shown:]))}")
    if notes:
        lines += ["", click.style("; ".join(notes), dim=True)]
    return "\n".join(lines)


def _cell(value: object) -> str:
    match value:
        case None:
            return "-"
        case str():
            text = value
        case bool() | int() | float():
            text = json.dumps(value)
        case _:
            text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= CELL else text[: CELL - 3] + "..."


def _fitting(columns: Sequence[str], cells: Sequence[Sequence[str]]) -> int:
    """Return how many columns fit on the terminal; all of them where there is none."""
    if not sys.stdout.isatty():
        return len(columns)
    room = shutil.get_terminal_size().columns
    for n, column in enumerate(columns):
        room -= 2 + max(width(text) for text in [column, *(row[n] for row in cells)])
        if room < 0:
            return max(n, 1)
    return len(columns)
