"""What to say to somebody who names what there is not."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

from headgate.errors import UsageError
from headgate.model.names import shown

if TYPE_CHECKING:
    from collections.abc import Iterable

SHOWN_NAMES = 20


def unknown_dataset(name: str, names: Iterable[str]) -> UsageError:
    """Return the error that says that there is no dataset of a name, and which there are."""
    return UsageError(f"there is no dataset {shown(name)}", hint=known_names(name, names))


def known_names(name: str, names: Iterable[str]) -> str:
    """Return which names there are, the nearest first; empty if there are none."""
    ordered = sorted(names)
    if not ordered:
        return ""
    close = get_close_matches(name, ordered, n=1)
    listed = ", ".join(ordered[:SHOWN_NAMES])
    more = f" and {len(ordered) - SHOWN_NAMES:,} more" if len(ordered) > SHOWN_NAMES else ""
    there = "There is only" if len(ordered) == 1 else "There are"
    return f"{f'Did you mean {close[0]}? ' if close else ''}{there} {listed}{more}."
