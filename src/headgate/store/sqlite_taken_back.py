"""What must not be published because a rollback took it back, or took back what it was made from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headgate.store.named_sql import statements
from headgate.store.rollback import held_by, input_taken_back
from headgate.store.sqlite_rows import array

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from headgate.model.run import Failure
    from headgate.store.records import Candidate


def taken_back(connection: sqlite3.Connection, candidates: Sequence[Candidate]) -> dict[int, Failure]:
    """Return why candidates must not be published that a rollback stands against, by attempt."""
    sql = statements()
    found: dict[int, Failure] = {}
    if connection.execute(sql["any_move"]).fetchone() == (1,):
        # A compaction has the inputs of what it packs, which is the head whatever became of them since.
        made = [c for c in candidates if c.origin is None]
        pinned = array(sorted({version for c in made for version in c.inputs}))
        rows = connection.execute(sql["withdrawn_inputs"], {"versions": pinned})
        withdrawn = {version: (dataset, key) for version, dataset, key in rows}
        for c in made if withdrawn else ():
            place = next((withdrawn[version] for version in c.inputs if version in withdrawn), None)
            if place is not None:
                found[c.attempt] = input_taken_back(*place)
    if connection.execute(sql["any_hold"]).fetchone() == (1,):
        holds_lifted = {c.attempt for c in candidates if c.lifts_holds}
        rows = connection.execute(sql["held_attempts"], {"attempts": array(c.attempt for c in candidates)})
        for attempt, rollback, is_older in rows:
            if attempt not in holds_lifted or not is_older:
                found[attempt] = held_by(rollback)
    return found
