"""Circuit breakers: which there are, and how they stand. Light: `headgate status` shows the open ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from headgate.errors import UsageError
from headgate.model.names import shown
from headgate.views.names import known_names

if TYPE_CHECKING:
    from headgate.model.breaker import BreakerRecord
    from headgate.project.load import Project
    from headgate.store.store import Store

CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class BreakerLine:
    """A breaker.

    Args:
        name: ``pool:NAME`` or ``dataset:NAME``.
        state: closed, open or half open.
        failures: Failures in a row.
        until_ms: When it lets a probe through; None unless it is open.
    """

    name: str
    state: str
    failures: int
    until_ms: int | None


def breakers(store: Store) -> tuple[BreakerLine, ...]:
    """Return the breakers that are not closed or have failures, by name."""
    return tuple(map(breaker_line, store.breakers()))


def open_breakers(store: Store) -> tuple[BreakerLine, ...]:
    """Return the breakers that are not closed, by name."""
    return tuple(line for line in breakers(store) if line.state != CLOSED)


def breaker_line(row: BreakerRecord) -> BreakerLine:
    """Return a breaker as it is shown."""
    return BreakerLine(row.name, row.state, row.failures, row.until_ms or None)


def named_breaker(project: Project, text: str) -> str:
    """Return the full name of the breaker that a text names: in full, or just the pool or the dataset.

    Raises:
        UsageError: There is none, or there is a pool and a dataset of that name.
    """
    names = [f"pool:{name}" for name in project.policies.pools] + [f"dataset:{name}" for name in project.datasets]
    if text in names:
        return text
    fitting = [name for name in names if name.partition(":")[2] == text]
    if not fitting:
        raise UsageError(f"there is no breaker {shown(text)}", hint=known_names(text, names))
    if len(fitting) > 1:
        raise UsageError(f"{shown(text)} is a pool and a dataset", hint=f"Say which: {' or '.join(fitting)}.")
    return fitting[0]
