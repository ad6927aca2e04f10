"""How values look as text. Light: `headgate status` needs no more than this."""

from __future__ import annotations

import json
import unicodedata
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from headgate.model.plan import Problem
    from headgate.views.audit import DeclaredGate
    from headgate.views.breakers import BreakerLine
    from headgate.views.status import FailureLine, RunLine, SteeredRun
    from headgate.views.summary import EndedTask
    from headgate.views.waiting import Hold

STATE_COLORS = {
    "queued": "blue",
    "succeeded": "green",
    "running": "cyan",
    "interrupted": "yellow",
    "failed": "red",
    "cancelled": "magenta",
    "staged": "yellow",
    "discarded": "magenta",
}

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# What a function says when it fails can be a whole document.
_MESSAGE = 300
_KEYS = 5
_UNITS = ("bytes", "kB", "MB", "GB", "TB")


def print_json(value: object) -> None:
    """Print a value on stdout as one JSON document; dataclasses become objects."""
    import dataclasses

    def unfolded(item: object) -> Any:
        if dataclasses.is_dataclass(item) and not isinstance(item, type):
            return {field.name: getattr(item, field.name) for field in dataclasses.fields(item)}
        raise TypeError(f"{type(item).__name__} has no JSON")

    click.echo(json.dumps(value, default=unfolded, indent=2))


def plain(text: str) -> str:
    """Return text that cannot move the cursor or colour the terminal, on one line."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "backslashreplace").decode() for c in text)


def width(text: str) -> int:
    """Return how many columns a text takes on a terminal."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in {"W", "F"} else 1 for c in text
    )


def table(
    header: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    right: frozenset[int] = frozenset(),
    colors: Mapping[tuple[int, str], str] | None = None,
) -> str:
    """Return rows in columns.

    Args:
        header: Names of the columns.
        rows: The cells; what is not printable in them is escaped.
        right: Columns that are aligned to the right.
        colors: Colour of a cell by its column and text.
    """
    cells = [[plain(cell) for cell in row] for row in rows]
    widths = [max(map(width, column)) for column in zip(header, *cells, strict=True)]
    lines = [_line(header, widths, right, lambda _, cell: click.style(cell, dim=True))]
    lines += [_line(row, widths, right, lambda n, cell: _colored(colors or {}, n, cell)) for row in cells]
    return "\n".join(lines)


def _line(cells: Sequence[str], widths: Sequence[int], right: frozenset[int], styled: Any) -> str:
    parts = []
    for n, cell in enumerate(cells):
        space = " " * (widths[n] - width(cell))
        text = styled(n, cell) if cell else ""
        parts.append(space + text if n in right else text + ("" if n == len(cells) - 1 else space))
    return ("  " + "  ".join(parts)).rstrip()


def _colored(colors: Mapping[tuple[int, str], str], n: int, cell: str) -> str:
    color = colors.get((n, cell))
    return click.style(cell, fg=color) if color else cell


def counted(n: int, noun: str) -> str:
    """Return a number and its noun: ``1 partition``, ``2,192 partitions``."""
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def keys(first: str, last: str, count: int) -> str:
    """Return a range of keys in words."""
    return first if count == 1 else f"{first} to {last}"


def moment(ms: int | None) -> str:
    """Return an instant, in UTC milliseconds, as a date and time of UTC."""
    return "" if ms is None else f"{_EPOCH + timedelta(milliseconds=ms):%Y-%m-%d %H:%M:%S}"


def duration(seconds: float) -> str:
    """Return a time span: ``0.8 s``, ``42 s``, ``3 min 05 s``, ``2 h 10 min``."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600:,} h {whole % 3600 // 60:02} min"


def size(count: int) -> str:
    """Return a number of bytes: ``812 bytes``, ``1.4 MB``."""
    value, unit = float(count), 0
    while value >= 999.5 and unit + 1 < len(_UNITS):
        value, unit = value / 1000, unit + 1
    return f"{value:.0f} {_UNITS[unit]}" if unit == 0 or value >= 99.5 else f"{value:.1f} {_UNITS[unit]}"


def failures_text(failures: Sequence[FailureLine | EndedTask], *, shown: int, total: int, more: str) -> str:
    """Return tasks that failed, with the first line of what went wrong; those of a dataset that are alike together.

    Args:
        failures: They, or the first of them.
        shown: How many lines of different failures at most.
        total: How many tasks failed.
        more: Where the others are found.
    """
    alike: dict[tuple[str, str, str, str], list[str]] = {}
    for one in failures:
        alike.setdefault((one.dataset, one.error_class, one.message.strip(), one.hint), []).append(one.key)
    lines, told = [], 0
    for (dataset, error_class, message, hint), keys in list(alike.items())[:shown]:
        told += len(keys)
        what = f"{dataset}/{keys[0]}" if len(keys) == 1 else f"{dataset}, {len(keys):,} times"
        lines.append(f"  {what} ({error_class}) {plain(_headline(message))}")
        if len(keys) > 1:
            rest = f" and {len(keys) - _KEYS:,} more" if len(keys) > _KEYS else ""
            lines.append(f"    {', '.join(keys[:_KEYS])}{rest}")
        if hint:
            lines.append(f"    hint: {plain(hint)}")
    if total > told:
        lines.append(f"  ... and {total - told:,} more: {more}")
    return "\n".join(lines)


def _headline(message: str) -> str:
    whole = message.strip()
    first = (whole.splitlines() or [""])[0]
    return first if len(first) <= _MESSAGE and first == whole else first[:_MESSAGE].rstrip() + " ..."


def done_text(run: RunLine) -> str:
    """Return how far a run has come."""
    if run.kind == "rollback":
        return f"{counted(run.total, 'head')} moved"
    return f"{run.done:,} of {counted(run.total, 'partition')} done"


def state_text(run: RunLine | SteeredRun) -> str:
    """Return where a run stands, and whether it is paused."""
    return f"{run.state}, paused" if run.is_paused else run.state


def until_text(hold: Hold) -> str:
    """Return what would lift what keeps a task from running, and when."""
    return f"until {hold.until}{_at(hold.until_ms)}"


def breaker_text(line: BreakerLine) -> str:
    """Return how a breaker stands, in words."""
    until = f": it lets an attempt through{_at(line.until_ms)}" if line.until_ms is not None else ""
    return f"breaker {line.name} is {line.state}{until}"


def _at(ms: int | None) -> str:
    return "" if ms is None else f" at {moment(ms)} UTC"


def gate_text(gate: DeclaredGate) -> str:
    """Return a gate with what it does if it does not hold, where that is not to block."""
    return plain(gate.gate) + {"warn": ", warns", "approve": ", asks for a release"}.get(gate.severity, "")


def problems_text(problems: Sequence[Problem], *, shown: int = 10) -> str:
    """Return what partitions lack, the first ones of many."""
    lines = [f"  {problem.dataset}/{problem.key} {plain(problem.text)}" for problem in problems[:shown]]
    if len(problems) > shown:
        lines.append(f"  ... and {len(problems) - shown:,} more")
    return "\n".join(lines)
