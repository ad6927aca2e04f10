"""Results that gates have refused: what was found, and what publishing them would change."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from headgate.drivers.quarantine import named_quarantined
from headgate.errors import UsageError
from headgate.model.names import shown
from headgate.model.run import RunState
from headgate.model.schema_diff import schema_diff
from headgate.model.version import Version
from headgate.store.quarantine import HELD_STATES, QuarantineState
from headgate.views.audit import gate_lines
from headgate.views.partition import canonical_key
from headgate.views.query import query_versions

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from headgate.model.version import File
    from headgate.store.quarantine import Quarantined
    from headgate.store.store import Store
    from headgate.views.audit import GateLine
    from headgate.views.query import Answer

_MOST_DIGITS = 18


@dataclass(frozen=True, slots=True)
class QuarantinedLine:
    """A result that gates have refused, in one line.

    Args:
        attempt: Number of the attempt that made it.
        dataset: Name.
        key: Partition key.
        run: Run id.
        at_ms: When it was refused.
        state: ``held``, ``released`` or ``dropped``.
        waits: Whether it only waits for somebody to release it; otherwise a gate has blocked it.
        rows: Its rows.
        bytes: Its size.
        gates: What refuses it.
        decided_ms: When it was released or dropped.
        author: Who did.
        reason: Why.
    """

    attempt: int
    dataset: str
    key: str
    run: str
    at_ms: int
    state: str
    waits: bool
    rows: int
    bytes: int
    gates: tuple[GateLine, ...]
    decided_ms: int | None
    author: str
    reason: str


@dataclass(frozen=True, slots=True)
class HeadBeside:
    """The version that readers see in place of a quarantined result.

    Args:
        version: Its id.
        rows: Its rows.
        bytes: Its size.
        published_ms: When it was made.
        is_expected: Whether it still is what was there when the attempt started.
        schema_changes: What would be different of the schema, in words.
    """

    version: int
    rows: int
    bytes: int
    published_ms: int
    is_expected: bool
    schema_changes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class QuarantinedView:
    """A result that gates have refused, in full.

    Args:
        line: It in one line.
        gates: What every gate said.
        files: Its files, staged.
        schema: Its columns and their types.
        head: The version that readers see; None for none.
        why_not: Why it cannot be released; empty if, as far as can be told, it can.
    """

    line: QuarantinedLine
    gates: tuple[GateLine, ...]
    files: tuple[File, ...]
    schema: tuple[tuple[str, str], ...] | None
    head: HeadBeside | None
    why_not: str


def quarantined(store: Store, *, everything: bool, limit: int) -> tuple[QuarantinedLine, ...]:
    """Return what gates have refused, newest first: what is held, or everything."""
    states = None if everything else HELD_STATES
    return tuple(map(quarantined_line, store.quarantined(states=states, limit=limit)))


def quarantined_line(found: Quarantined) -> QuarantinedLine:
    """Return a quarantined result in one line."""
    candidate = found.candidate
    refusing = [gate for gate in candidate.gates if gate.refuses]
    return QuarantinedLine(
        attempt=candidate.attempt,
        dataset=candidate.dataset,
        key=candidate.key,
        run=candidate.run,
        at_ms=found.at_ms,
        state=found.state.value,
        waits=all(gate.severity == "approve" for gate in refusing),
        rows=candidate.rows,
        bytes=candidate.bytes,
        gates=gate_lines(refusing),
        decided_ms=found.decided_ms,
        author=found.author,
        reason=found.reason,
    )


def named(store: Store, root: Path, words: Sequence[str]) -> tuple[int, ...]:
    """Return the numbers of the attempts that words mean: numbers, or a dataset and the key of a partition.

    Of a partition it is the newest attempt that is held, or else the newest of all.

    Raises:
        UsageError: They mean nothing that was ever quarantined.
    """
    if all(word.isascii() and word.isdecimal() and len(word) <= _MOST_DIGITS for word in words):
        return tuple(named_quarantined(store, int(word)).candidate.attempt for word in words)
    if len(words) != 2:
        raise UsageError(
            f"{shown(' '.join(words))} is no attempt in quarantine",
            hint="Give the numbers of attempts, or a dataset and the key of a partition.",
        )
    dataset, key = words
    found = store.quarantined(dataset=dataset, key=key)
    if not found:
        # The project knows whether it could be there, and how its key is written.
        canonical = canonical_key(root, dataset, key)
        found = store.quarantined(dataset=dataset, key=canonical) if canonical != key else []
    if not found:
        raise UsageError(
            f"nothing of {dataset}/{key} was ever quarantined", hint="`headgate quarantine list --all` shows what was."
        )
    held = [one for one in found if one.state is QuarantineState.HELD]
    return ((held or found)[0].candidate.attempt,)


def quarantined_view(store: Store, attempt: int) -> QuarantinedView:
    """Return what is or was quarantined of an attempt.

    Raises:
        UsageError: Nothing.
    """
    found = named_quarantined(store, attempt)
    candidate = found.candidate
    head = _head(store, found)
    identity = None if head is None else head.identity
    beside = None
    if head is not None:
        changes = schema_diff(head.schema, candidate.schema).sentences() if head.schema and candidate.schema else []
        expected = identity == found.expects
        beside = HeadBeside(head.id, head.rows, head.bytes, head.created_ms, expected, tuple(changes))
    return QuarantinedView(
        quarantined_line(found),
        gate_lines(candidate.gates),
        candidate.files,
        candidate.schema,
        beside,
        _why_not(store, found, identity),
    )


def _why_not(store: Store, found: Quarantined, head: int | None) -> str:
    """Return why a result cannot be released, beside the identity of the present head; empty if nothing is known."""
    candidate = found.candidate
    if found.state is not QuarantineState.HELD:
        return f"it was {found.state} already"
    run = store.run(candidate.run)
    if run is not None and run.state is RunState.DISCARDED:
        return f"run {run.id}, which it belongs to, was discarded"
    if head != found.expects:
        return "the head has moved on since it was made"
    held = dict(store.held(candidate.dataset)).get(candidate.key)
    return f"rollback {held} holds the partition" if held else ""


def query_quarantined(store: Store, data_root: Path, attempt: int, sql: str) -> Answer:
    """Run one reading statement over a quarantined result, `this`, and the head that is there, `head`.

    Raises:
        UsageError: It has no files, or the statement cannot be run.
        UnavailableError: A file is missing or damaged.
    """
    found = named_quarantined(store, attempt)
    c = found.candidate
    if found.state is QuarantineState.DROPPED or not c.files:
        why = "was dropped" if found.state is QuarantineState.DROPPED else "has no files"
        raise UsageError(f"what attempt {attempt} made of {c.dataset}/{c.key} cannot be queried: it {why}")
    this = Version(c.attempt, c.dataset, c.key, c.files, c.rows, c.bytes, c.content, c.schema, found.at_ms)
    head = _head(store, found)
    views = {"this": this} if head is None else {"this": this, "head": head}
    return query_versions(views, data_root, sql)


def _head(store: Store, found: Quarantined) -> Version | None:
    return next(iter(list(store.heads(found.candidate.dataset, [found.candidate.key]))), None)
