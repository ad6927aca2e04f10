"""Quantities of plans in words."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_SIZES = ("bytes", "kB", "MB", "GB", "TB", "PB")
_LENGTHS = (("d", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", 1000))
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def count_text(partitions: int) -> str:
    """Return a number of partitions in words."""
    return f"{partitions:,} partition{'' if partitions == 1 else 's'}"


def bytes_text(size: float) -> str:
    """Return a number of bytes in the largest decimal unit in which it is at least 1."""
    power = 0
    while size >= 999.5 and power < len(_SIZES) - 1:
        size, power = size / 1000, power + 1
    return f"{size:.3g} {_SIZES[power]}" if size < 999.5 else f"{size:,.0f} {_SIZES[power]}"


def length_text(ms: float) -> str:
    """Return a length of time in its two largest units, rounded up: a limit that is exceeded looks exceeded."""
    rest = -(-round(ms) // 1000) * 1000
    if rest >= 86_400_000:
        rest = -(-rest // 60_000) * 60_000
    parts: list[str] = []
    for unit, unit_ms in _LENGTHS:
        number, rest = divmod(rest, unit_ms)
        if number:
            parts.append(f"{number} {unit}")
    return " ".join(parts[:2]) or "0 s"


def cost_text(cost: float, currency: str) -> str:
    """Return an amount of money."""
    return f"{cost:,.2f} {currency}".rstrip()


def instant_text(ms: int) -> str:
    """Return an instant to the minute, in UTC."""
    return f"{_EPOCH + timedelta(milliseconds=ms):%Y-%m-%d %H:%M} UTC"


def schema_text(before: Sequence[tuple[str, str]], after: Sequence[tuple[str, str]]) -> str:
    """Return in words what is different between two schemas, each columns with their types in order."""
    old, new = dict(before), dict(after)
    added = [f"adds {name} ({new[name]})" for name in new if name not in old]
    dropped = [f"drops {name}" for name in old if name not in new]
    changed = [
        f"{name} becomes {new[name]} instead of {old[name]}" for name in new if old.get(name, new[name]) != new[name]
    ]
    return ", ".join([*added, *dropped, *changed]) or "the columns are in another order"
