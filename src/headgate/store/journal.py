"""The journal's hash chain: what is hashed, and how. Pure.

An entry's hash covers the hash before it, so a changed, missing or inserted entry breaks the chain from there on. An
entry that publishes carries a digest of the checkpoints that it published, so these cannot be changed unseen either.
"""

from __future__ import annotations

import json
from hashlib import sha256
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

CheckpointRecord = tuple[int, str, str, int, int | None, str, int, str, list[str], list[int]]
"""What an entry vouches for of one checkpoint.

Attempt, dataset, key, version, previous, code, inputs digest as stored; content and hashes of the files if the attempt
made its version, else empty; pinned versions, ascending.
"""


MoveRecord = tuple[str, str, int | None, int | None, int | None, int | None]
"""What an entry vouches for of one head that it moved: dataset and key; version and checkpoint before, and after."""


TOGETHER = "publish.together"
"""Kind of the entry that makes a staged run visible."""
ROLLBACK = "rollback"
"""Kind of the entry that takes heads back."""
MOVING = frozenset({TOGETHER, ROLLBACK})
"""Kinds of the entries that move heads otherwise than by publishing a checkpoint."""


def entry_hash(previous: str, *, seq: int, at_ms: int, author: str, kind: str, run: str, reason: str, body: str) -> str:
    """Return the hash of an entry.

    Args:
        previous: Hash of the entry before it; the store's id for the first one, which ties the chain to its store.
        seq: Its number, from 1 without gaps.
        at_ms: When it was written.
        author: Who did it.
        kind: What was done.
        run: In which run; empty for none.
        reason: Why.
        body: Its details, as the JSON text that is stored.
    """
    return sha256(json.dumps([previous, seq, at_ms, author, kind, run, reason, body]).encode()).hexdigest()


def checkpoints_digest(records: Iterable[CheckpointRecord]) -> str:
    """Return the digest of what one journal entry published, whatever the order of the records."""
    return sha256(json.dumps(sorted(records)).encode()).hexdigest()


def moves_digest(records: Iterable[MoveRecord]) -> str:
    """Return the digest of the heads that one journal entry moved, whatever the order of the records.

    No dataset and key twice.
    """
    return sha256(json.dumps(sorted(records, key=lambda record: record[:2])).encode()).hexdigest()


def canonical(body: dict[str, object]) -> str:
    """Return an entry's details as JSON text."""
    return json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
