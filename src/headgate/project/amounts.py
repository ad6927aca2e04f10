"""Lengths of time, sizes, shares, days and times of day, as people write them in headgate.toml and in declarations."""

from __future__ import annotations

import re

_PERCENT = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,9})?) ?%")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_SPAN = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?) ?([smhdw])")
_SIZE = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?) ?(?:([kKMGTP])(i?))?B")
_CLOCK = re.compile(r"([0-9]{2}):([0-9]{2})")
_WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_RANGE = re.compile(r"([1-9][0-9]?)(?:-([1-9][0-9]?))?")


def length_ms(value: object) -> int | None:
    """Return a length of time in milliseconds, or None if it is none; days and weeks are those of 24 hours.

    Args:
        value: Seconds, or text such as ``"90s"``, ``"10m"``, ``"1.5h"``, ``"7d"``: at least a millisecond.
    """
    seconds: float = 0
    if isinstance(value, str):
        if match := _SPAN.fullmatch(value):
            seconds = float(match[1]) * _SECONDS[match[2]]
    elif isinstance(value, int | float) and not isinstance(value, bool):
        seconds = value
    return round(seconds * 1000) if 0.001 <= seconds <= 1e9 else None


def span_ms(value: object) -> int | None:
    """Return a length of time in milliseconds, or None if it is none; days and weeks are those of 24 hours.

    Args:
        value: Text with its unit, such as ``"45m"``, ``"6h"``, ``"90d"`` or ``"2w"``: at least a millisecond.
    """
    match = _SPAN.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        return None
    ms = round(float(match[1]) * _SECONDS[match[2]] * 1000)
    return ms if 1 <= ms <= 10**14 else None


def age_ms(text: str) -> int | None:
    """Return how long ago something may have been at the least, in milliseconds, or None if it says no such thing.

    Args:
        text: As for `span_ms`; or ``"0"``, with a unit or without, for all that is past.
    """
    return 0 if re.fullmatch(r"0(?:\.0+)? ?[smhdw]?", text) else span_ms(text)


def size_bytes(value: object) -> int | None:
    """Return a number of bytes, or None if it is none.

    Args:
        value: A whole number, or text such as ``"500MB"`` (decimal) or ``"2TiB"`` (binary): at least a byte.
    """
    size: float = 0
    if isinstance(value, str):
        if match := _SIZE.fullmatch(value):
            size = float(match[1]) * (1024 if match[3] else 1000) ** " KMGTP".index((match[2] or " ").upper())
    elif isinstance(value, int) and not isinstance(value, bool):
        size = value
    return round(size) if 1 <= size <= 10**18 else None


def share(value: object) -> float | None:
    """Return a share as a number from 0 to 1, or None if it is none.

    Args:
        value: A number from 0 to 1, or text from ``"0%"`` to ``"100%"``.
    """
    number: float = -1
    if isinstance(value, str):
        if match := _PERCENT.fullmatch(value):
            number = float(match[1]) / 100
    elif isinstance(value, int | float) and not isinstance(value, bool):
        number = value
    return float(number) if 0 <= number <= 1 else None


def length_text(ms: int) -> str:
    """Return a length of time as it can be written, in the largest unit that keeps it whole."""
    for unit, unit_ms in (("h", 3_600_000), ("m", 60_000)):
        if ms % unit_ms == 0:
            return f"{ms // unit_ms}{unit}"
    return f"{ms / 1000:g}s"


def minute_of_day(value: object) -> int | None:
    """Return a time of day such as ``"08:30"``, up to ``"24:00"``, as minutes after midnight, or None."""
    match = _CLOCK.fullmatch(value) if isinstance(value, str) else None
    if match is None or int(match[2]) > 59:
        return None
    minute = int(match[1]) * 60 + int(match[2])
    return minute if minute <= 1440 else None


def weekdays(value: object) -> frozenset[int] | None:
    """Return days of the week, 0 for Monday, or None if the value names none.

    Args:
        value: Text such as ``"mon-fri"`` or ``"sat, sun"``, or a list of such texts; ``"fri-mon"`` goes over the end.
    """
    found: set[int] = set()
    for part in _parts(value):
        ends = part.strip().split("-") if isinstance(part, str) else [""]
        if len(ends) > 2 or not all(end in _WEEKDAYS for end in ends):
            return None
        first, last = _WEEKDAYS.index(ends[0]), _WEEKDAYS.index(ends[-1])
        found.update((first + step) % 7 for step in range((last - first) % 7 + 1))
    return frozenset(found) or None


def month_days(value: object) -> frozenset[int] | None:
    """Return days of the month, -1 for the last, or None if the value names none.

    Args:
        value: A number from 1 to 31, text such as ``"last"``, ``"1-5"`` or ``"1, 15"``, or a list of those.
    """
    found: set[int] = set()
    for part in _parts(value):
        text = str(part).strip()
        match = _RANGE.fullmatch(text)
        if text == "last":
            found.add(-1)
        elif match is None or not 1 <= int(match[1]) <= int(match[2] or match[1]) <= 31:
            return None
        else:
            found.update(range(int(match[1]), int(match[2] or match[1]) + 1))
    return frozenset(found) or None


def _parts(value: object) -> list[object]:
    parts = value if isinstance(value, list) else [value]
    return [piece for part in parts for piece in (part.split(",") if isinstance(part, str) else [part])]
