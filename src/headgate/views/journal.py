"""The journal: who did what, when and why, and what was refused."""

from __future__ import annotations

import json
from collections import deque
from dataclasses import dataclass
from heapq import merge
from typing import TYPE_CHECKING, Any

from headgate.errors import intact

if TYPE_CHECKING:
    from collections.abc import Iterator

    from headgate.store.records import JournalEntry
    from headgate.store.store import Store


PLAN = "plan"
"""What kinds begin with that are about plans: plan.override, plan.approved, plan.rejected."""
PUBLISH = "publish"
"""What a run is there for, and so nearly all that a journal is about."""

_ANSWERS = (" accepted", " refused")


@dataclass(frozen=True, slots=True)
class JournalLine:
    """An entry of the journal.

    Args:
        seq: Its number, from 1 without gaps.
        at_ms: When it was written.
        author: Who did it.
        kind: What was done.
        run: In which run; empty for none.
        reason: Why, as the author said it.
        refused: Why it was not done; empty if it was.
        details: What else there is to know, by name.
        hash: Its hash, which covers that of the entry before it.
    """

    seq: int
    at_ms: int
    author: str
    kind: str
    run: str
    reason: str
    refused: str
    details: dict[str, Any]
    hash: str


def journal(
    store: Store, *, run: str | None = None, kind: str | None = None, since_ms: int | None = None, limit: int | None
) -> Iterator[JournalLine]:
    """Yield entries of the journal, the newest last; the arguments are those of `Store.journal_entries`.

    What was decided on the plan of a run is about the run, too, though the run was not there yet.
    """
    found = store.journal_entries(limit=limit, run=run, kind=kind, since_ms=since_ms)
    if run is None or (kind is not None and kind.partition(".")[0] != PLAN):
        return map(_line, found)
    about = store.run(run)
    decided = store.journal_entries(kind=kind or PLAN, since_ms=since_ms)
    ours = (entry for entry in decided if about is not None and _body(entry).get("plan") == about.plan_hash)
    lines = map(_line, merge(ours, found, key=lambda entry: entry.seq))
    return lines if limit is None else iter(deque(lines, maxlen=limit))


def steps(
    store: Store, *, run: str | None = None, since_ms: int | None = None, limit: int | None
) -> tuple[list[JournalLine], int]:
    """Return the newest entries that publish nothing, the newest last, and how many that publish are left out.

    The arguments are those of `journal`.
    """
    found: deque[JournalLine] = deque(maxlen=limit)
    left_out = 0
    for line in journal(store, run=run, since_ms=since_ms, limit=None):
        if line.kind == PUBLISH:
            left_out += 1
        else:
            found.append(line)
    return list(found), left_out


def kinds(store: Store) -> list[str]:
    """Return what kinds of entries there are, as `journal` is asked for them, in order."""
    found = {entry.kind for entry in store.journal_entries()}
    return sorted({_stem(kind) for kind in found})


def _stem(kind: str) -> str:
    for answer in _ANSWERS:
        kind = kind.removesuffix(answer)
    return kind.partition(".")[0]


def _body(entry: JournalEntry) -> dict[str, Any]:
    with intact(f"journal entry {entry.seq}"):
        return dict(json.loads(entry.body))


def _line(entry: JournalEntry) -> JournalLine:
    details = _body(entry)
    refused = details.pop("refused", "")
    return JournalLine(
        entry.seq, entry.at_ms, entry.author, entry.kind, entry.run, entry.reason, refused, details, entry.hash
    )
