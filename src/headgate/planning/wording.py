"""Quantities of plans in words."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np

from headgate.model.forecast import COST_DIGITS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headgate.model.grid import Grid
    from headgate.model.verdict import Finding

SHOWN_RANGES = 3

_SIZES = ("bytes", "kB", "MB", "GB", "TB", "PB")
_LENGTHS = (("d", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", 1000))
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def count_text(partitions: int) -> str:
    """Return a number of partitions in words."""
    return f"{partitions:,} partition{'' if partitions == 1 else 's'}"


def which_text(grid: Grid, indices: NDArray[np.int64]) -> str:
    """Return how many partitions there are, with the keys of the first and the last; at least one, ascending."""
    return f"{count_text(len(indices))} ({_span_text(grid, indices[0], indices[-1])})"


def ranges_text(grid: Grid, indices: NDArray[np.int64]) -> str:
    """Return the first ranges of neighbours among ascending partitions, and how many more there are."""
    ends = np.flatnonzero(np.diff(indices) != 1)
    firsts, lasts = indices[np.insert(ends + 1, 0, 0)], indices[np.append(ends, -1)]
    shown = [_span_text(grid, *pair) for pair in zip(firsts[:SHOWN_RANGES], lasts[:SHOWN_RANGES], strict=True)]
    more = len(firsts) - SHOWN_RANGES
    return ", ".join(shown) + (f" and {more:,} more range{'' if more == 1 else 's'}" if more > 0 else "")


def _span_text(grid: Grid, first: int, last: int) -> str:
    return grid.key(first) if first == last else f"{grid.key(first)} to {grid.key(last)}"


def bytes_text(size: float) -> str:
    """Return a number of bytes in the largest decimal unit in which it is at least 1."""
    power = 0
    while size >= 999.5 and power < len(_SIZES) - 1:
        size, power = size / 1000, power + 1
    return f"{size:.3g} {_SIZES[power]}" if size < 999.5 else f"{size:,.0f} {_SIZES[power]}"


def length_text(ms: float) -> str:
    """Return a length of time in its two largest units, rounded up: a limit that is exceeded looks exceeded."""
    if round(ms) < 1000:
        return f"{round(ms)} ms"
    rest = -(-round(ms) // 1000) * 1000
    if rest >= 86_400_000:
        rest = -(-rest // 60_000) * 60_000
    parts: list[str] = []
    for unit, unit_ms in _LENGTHS:
        number, rest = divmod(rest, unit_ms)
        if number:
            parts.append(f"{number} {unit}")
    return " ".join(parts[:2])


def cost_text(cost: float, currency: str) -> str:
    """Return an amount of money, rounded up: a limit that is exceeded looks exceeded."""
    unit = 10**COST_DIGITS
    amount = f"{-(-round(cost * unit) * 100 // unit) / 100:,.2f}" if cost >= 0.01 or not cost else f"{cost:.2g}"
    return f"{amount} {currency}".rstrip()


def instant_text(ms: int) -> str:
    """Return an instant to the minute, in UTC."""
    return f"{_EPOCH + timedelta(milliseconds=ms):%Y-%m-%d %H:%M} UTC"


def moment_text(moment: datetime) -> str:
    """Return a local date and time; the date alone at midnight."""
    if not (moment.hour or moment.minute or moment.second or moment.microsecond):
        return f"{moment:%Y-%m-%d}"
    return moment.isoformat(" ", "seconds" if moment.second or moment.microsecond else "minutes")


def objection_text(finding: Finding) -> str:
    """Return an objection in one sentence, with its rationale."""
    where = f" of {finding.dataset}" if finding.dataset else ""
    because = f" (because: {finding.because})" if finding.because else ""
    return f"{finding.rule}{where}: {finding.value}; {finding.limit}{because}"
