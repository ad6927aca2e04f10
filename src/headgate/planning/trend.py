"""What is expected of one quantity, such as a duration, given another, such as the bytes read.

Source: P. K. Sen, Estimates of the Regression Coefficient Based on Kendall's Tau (JASA 63, 1968): the median of the
slopes between all pairs of points, which a few wild points do not move; and M. Kendall, Rank Correlation Methods
(1948), for whether there is any slope, with the variance for ties.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

LEAST_POINTS = 8
"""Fewer points tell no slope."""
CERTAIN = 1.3
"""How many standard deviations the rank correlation must be above that of chance."""
EXPLAINED = 0.3
"""Which share of the distances from the median the line must take away.

Both hold by chance once in 20 with 8 points, and hardly ever with 20.
"""
MIDDLE = (0.01, 0.99)
"""Points outside of this share count as its ends: a laptop that slept says nothing of its work."""


@dataclass(frozen=True, slots=True)
class Trend:
    """A straight line, and how far what was lay from it.

    Args:
        constant: What is typical at 0.
        slope: So much more for each unit; 0 where the other quantity explains nothing.
        ratios: What was, as a multiple of what the line says, each as likely as the others.
        middle: The median of the other quantity: what stands in for one that is not known; -1 where none is known.

    Shape:
        ratios: (points,), float64.
    """

    constant: float
    slope: float
    ratios: NDArray[np.float64]
    middle: float

    def at(self, given: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return what is typical where the other quantity is given; below 0 it is not known."""
        return self.constant + self.slope * np.where(given < 0, self.middle, given)

    def mean_at(self, given: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return what is to be expected on average."""
        mean: float = self.ratios.mean()
        return self.at(given) * mean


def trend_of(given: Sequence[int | None], found: Sequence[int]) -> Trend:
    """Return the trend of what was found, given another quantity where that is known.

    Args:
        given: The other quantity.
        found: What was found, at least one value; none below 0.
    """
    points = np.array([(x, y) for x, y in zip(given, found, strict=True) if x is not None], dtype=np.float64)
    x, y = (points[:, 0], points[:, 1]) if len(points) else (np.zeros(0), np.zeros(0))
    middle = float(np.median(x)) if len(x) else -1.0
    low, high = np.quantile(found, MIDDLE)
    every = np.clip(np.array(found, dtype=np.float64), low, high)
    if len(x) >= LEAST_POINTS:
        line = _line(x, np.clip(y, low, high))
        if line is not None:
            constant, slope = line
            typical = constant + slope * x
            ratios = np.clip(y, low, high)[typical > 0] / typical[typical > 0]
            return Trend(constant, slope, np.clip(ratios, *np.quantile(ratios, MIDDLE)), middle)
    typical_y = float(np.median(every))
    if not typical_y:
        # More than half were nothing: no multiple of that is anything.
        typical_y = float(every.mean()) or 1.0
    return Trend(typical_y, 0.0, every / typical_y, middle)


def _line(x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[float, float] | None:
    """Return constant and slope, neither of them below 0; None if there is no rising slope."""
    above = np.triu_indices(len(x), 1)
    dx, dy = (x[above[1]] - x[above[0]]), (y[above[1]] - y[above[0]])
    concordant = float((np.sign(dx) * np.sign(dy)).sum())
    if concordant <= CERTAIN * _chance(x, y):
        return None
    apart = dx != 0
    slope = float(np.median(dy[apart] / dx[apart]))
    if slope <= 0:
        return None
    constant = float(np.median(y - slope * x))
    if constant < 0:
        # A line that crosses 0 would say that small ones take less than nothing.
        constant, slope = 0.0, float(np.median(y[x > 0] / x[x > 0]))
    return (constant, slope) if _far(y - constant - slope * x) <= (1 - EXPLAINED) * _far(y - np.median(y)) else None


def _far(distances: NDArray[np.float64]) -> float:
    """Return how far points lie away, all but the wildest tenth together."""
    ascending = np.sort(np.abs(distances))
    return float(ascending[: int(0.9 * len(ascending))].sum())


def _chance(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    """Return the standard deviation of concordant less discordant pairs if there is no connection."""
    n = len(x)
    t, u = (np.unique(values, return_counts=True)[1].astype(np.float64) for values in (x, y))

    def pairs(ties: NDArray[np.float64]) -> float:
        return float((ties * (ties - 1)).sum())

    def spread(ties: NDArray[np.float64]) -> float:
        return float((ties * (ties - 1) * (2 * ties + 5)).sum())

    def triples(ties: NDArray[np.float64]) -> float:
        return float((ties * (ties - 1) * (ties - 2)).sum())

    variance = (n * (n - 1) * (2 * n + 5) - spread(t) - spread(u)) / 18
    variance += triples(t) * triples(u) / (9 * n * (n - 1) * (n - 2))
    variance += pairs(t) * pairs(u) / (2 * n * (n - 1))
    return float(np.sqrt(max(variance, 0.0)))
