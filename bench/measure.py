"""Measuring two sides by turns, and showing what came out."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured number: what it means, and what it should be (empty for a figure without an aim)."""

    value: float
    meaning: str
    aim: str = ""


Figures = dict[str, Figure]


def by_turns(repetitions: int, *sides: Callable[[], float]) -> list[float]:
    """Run all sides in turn, several times, and return the median of each.

    Neighbouring runs meet the same machine, and what one leaves unwritten is flushed before the next.
    """
    measured: list[list[float]] = [[] for _ in sides]
    for _ in range(repetitions):
        for side, values in zip(sides, measured, strict=True):
            os.sync()
            values.append(side())
    return [median(values) for values in measured]


def as_json(name: str, figures: Figures) -> str:
    return json.dumps({"name": name, "figures": {key: round(figure.value, 3) for key, figure in figures.items()}})


def as_table(name: str, figures: Figures) -> str:
    rows = [(key, f"{figure.value:,.2f}", figure.aim, figure.meaning) for key, figure in figures.items()]
    rows.insert(0, (name, "measured", "aim", ""))
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    return "\n".join(
        f"{key:<{widths[0]}}  {value:>{widths[1]}}  {aim:<{widths[2]}}  {meaning}".rstrip()
        for key, value, aim, meaning in rows
    )
