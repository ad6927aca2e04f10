"""The path patterns of sources: where the file of a partition lies.

``landing/{start:%Y-%m-%d}.csv``, ``https://example.org/{key}.parquet``, ``{static}/{end:%Y%m}.jsonl``: text with the
partition's key, its static key, or the start or end of its window in local time of the partitioning's zone.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from string import Formatter
from typing import TYPE_CHECKING

from headgate.errors import UsageError
from headgate.model.names import shown
from headgate.model.partitioning import Unit

if TYPE_CHECKING:
    from headgate.model.grid import Grid
    from headgate.model.partitioning import Partitioning, TimeAxis

# Those that every platform's strftime knows and that have a fixed width or end where digits begin.
_DIRECTIVES = "YymdHIMSpjbBaAuwGVUWzZ%"
_SUFFIXES = {".csv": "csv", ".csv.gz": "csv", ".parquet": "parquet", ".jsonl": "jsonl", ".ndjson": "jsonl"}


@dataclass(frozen=True, slots=True)
class Pattern:
    """A parsed pattern: pieces of literal text, each followed by a placeholder and its format, or by nothing."""

    pieces: tuple[tuple[str, str, str], ...]

    def path(self, grid: Grid, index: int) -> str:
        """Return the path of a partition."""
        return "".join(literal + self._value(field, spec, grid, index) for literal, field, spec in self.pieces)

    @staticmethod
    def _value(field: str, spec: str, grid: Grid, index: int) -> str:
        from headgate.model.calendar import at_ms, zone_of

        if field == "key":
            return grid.key(index)
        if field == "static":
            assert grid.statics is not None
            return grid.statics[index % grid.n_statics]
        if not field:
            return ""
        window = grid.window(index)
        assert window is not None
        assert grid.axis is not None
        return at_ms(window[0] if field == "start" else window[1], zone_of(grid.axis.zone)).strftime(spec)


def parse_pattern(pattern: str, partitioning: Partitioning) -> Pattern:
    """Return a pattern that gives each partition a path of its own.

    Raises:
        UsageError: It is malformed, names something that the partitioning lacks, or gives two partitions one path.
    """
    if not pattern or not pattern.isprintable():
        raise UsageError(f"path {shown(pattern)} is empty or has characters that cannot be printed")
    try:
        parsed = [
            (literal, field, spec or "", conversion) for literal, field, spec, conversion in Formatter().parse(pattern)
        ]
    except ValueError as error:
        raise UsageError(f"path {shown(pattern)}: {error}", hint="Write {{ and }} for braces themselves.") from None
    for _, field, spec, conversion in parsed:
        if field is not None:
            whole = "{" + field + (f"!{conversion}" if conversion else "") + (f":{spec}" if spec else "") + "}"
            _check_placeholder(f"path {shown(pattern)}: {shown(whole)}", field, spec, partitioning)
            if conversion:
                raise UsageError(f"path {shown(pattern)}: {shown(whole)} has a conversion", hint="Leave the ! out.")
    pieces = tuple((literal, field or "", spec) for literal, field, spec, _ in parsed)
    _check_distinct(pattern, pieces, partitioning)
    return Pattern(pieces)


def is_url(path: str) -> bool:
    """Return whether a path is an http(s) address."""
    return path.lower().startswith(("http://", "https://"))


def format_of_suffix(pattern: str) -> str | None:
    """Return the name of the format that a path's ending stands for; None for an unknown ending."""
    path = pattern.lower()
    if is_url(path):
        path = re.split("[?#]", path, maxsplit=1)[0]
    return next((name for suffix, name in _SUFFIXES.items() if path.endswith(suffix)), None)


def _check_placeholder(where: str, field: str, spec: str, partitioning: Partitioning) -> None:
    if field not in {"key", "static", "start", "end"}:
        raise UsageError(
            f"{where} is no placeholder", hint="There are {key}, {static}, {start:%Y-%m-%d} and {end:%Y-%m-%d}."
        )
    if field in {"key", "static"} and spec:
        raise UsageError(f"{where} takes no format", hint=f"Write {{{field}}}.")
    if field == "static" and partitioning.statics is None:
        raise UsageError(f"{where} needs static keys; the source has partitions {partitioning.spec}")
    if field in {"start", "end"}:
        if partitioning.time is None:
            raise UsageError(f"{where} needs a time window; the source has partitions {partitioning.spec}")
        _check_strftime(where, field, spec)


def _check_strftime(where: str, field: str, spec: str) -> None:
    directives = re.findall(r"%(.?)", spec)
    if not directives:
        raise UsageError(f"{where} has no date format", hint=f"Write for example {{{field}:%Y-%m-%d}}.")
    for directive in directives:
        if not directive or directive not in _DIRECTIVES:
            known = " ".join(f"%{letter}" for letter in _DIRECTIVES)
            raise UsageError(f"{where} has the unknown directive %{directive}", hint=f"There are {known}.")


def _check_distinct(pattern: str, pieces: tuple[tuple[str, str, str], ...], partitioning: Partitioning) -> None:
    fields = {field for _, field, _ in pieces}
    if "key" in fields:
        return
    if partitioning.statics is not None and len(partitioning.statics) > 1 and "static" not in fields:
        raise UsageError(
            f"path {shown(pattern)} is the same for every static key", hint="Put {static} or {key} into it."
        )
    if partitioning.time is not None and not any(
        _tells_apart(partitioning.time, {*"".join(re.findall("%(.)", "".join(specs)))})
        for specs in ([spec for _, field, spec in pieces if field == side] for side in ("start", "end"))
    ):
        raise UsageError(
            f"path {shown(pattern)} gives two partitions of {partitioning.spec} the same file",
            hint=f"Put {{key}} or {_example(partitioning.time)} into it.",
        )


def _tells_apart(axis: TimeAxis, directives: set[str]) -> bool:
    """Return whether the bounds of any two windows differ when written with these directives."""
    year = not directives.isdisjoint("Yy")
    month = year and not directives.isdisjoint("mbB")
    weekday = not directives.isdisjoint("uwaA")
    iso_week = directives >= {"G", "V"}
    plain_week = year and not directives.isdisjoint("UW")
    day = (month and "d" in directives) or (year and "j" in directives) or (weekday and (iso_week or plain_week))
    match axis.unit:
        case Unit.MONTH:
            return month or day
        case Unit.WEEK:
            return day or iso_week or plain_week
        case Unit.DAY:
            return day
        case Unit.HOUR | Unit.MINUTE:
            hour = "H" in directives or directives >= {"I", "p"}
            minute = axis.unit is Unit.HOUR or "M" in directives
            # Where clocks go back an hour has two windows, and only the offset tells them apart.
            return day and hour and minute and (axis.zone == "UTC" or "z" in directives)


def _example(axis: TimeAxis) -> str:
    match axis.unit:
        case Unit.MONTH:
            return "{start:%Y-%m}"
        case Unit.WEEK | Unit.DAY:
            return "{start:%Y-%m-%d}"
        case Unit.HOUR | Unit.MINUTE:
            minute = "" if axis.unit is Unit.HOUR else "%M"
            return f"{{start:%Y-%m-%dT%H{minute}{'' if axis.zone == 'UTC' else '%z'}}}"
