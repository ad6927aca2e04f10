"""What the coordinator says of why the tasks of a run wait, as text. Light: `headgate status --why` reads it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

from headgate.errors import intact
from headgate.model.reason import Wait

if TYPE_CHECKING:
    from collections.abc import Iterable


class Told(NamedTuple):
    """Why some tasks of a dataset wait: fields as in `core.reasons.Delay`.

    Args:
        dataset: Whose they are.
        takes: How many slots of the pool each takes, if that is more than there are; else 0.
    """

    dataset: str
    wait: Wait
    tasks: int
    what: str
    until_ms: int | None
    takes: int = 0


def told_to_json(told: Iterable[Told]) -> str:
    """Return what is said, as the state store keeps it."""
    return json.dumps([(one.dataset, one.wait.name, *one[2:]) for one in told])


def told_from_json(text: str) -> list[Told]:
    """Return what `told_to_json` wrote.

    Raises:
        UnavailableError: It is something else.
    """
    with intact("what was last said of a run"):
        return [Told(dataset, Wait[name], *rest) for dataset, name, *rest in json.loads(text)]
