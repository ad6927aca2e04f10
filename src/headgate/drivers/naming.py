"""What people call a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headgate.errors import UsageError
from headgate.model.names import shown

if TYPE_CHECKING:
    from headgate.model.run import Run
    from headgate.store.store import Store

LATEST = "latest"
"""What stands for the newest run wherever the id of one is expected."""


def named_run(store: Store, text: str) -> Run:
    """Return the run that a text names: its id, an unambiguous beginning of it, or `latest`.

    Raises:
        UsageError: There is none, or there are several.
    """
    newest = store.runs(limit=3)
    wanted = newest[0].id if text == LATEST and newest else text
    run = store.run(wanted)
    if run is None:
        known = ", ".join(run.id for run in newest)
        raise UsageError(
            f"there is no run {shown(text)}",
            hint=f"The newest {'are' if len(newest) > 1 else 'is'} {known}." if known else "There are no runs yet.",
        )
    return run
