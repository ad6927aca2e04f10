"""Which moves a task may make: the one table that the scheduler, the invariants and the documentation share."""

from __future__ import annotations

from headgate.model.run import TaskState as T

MOVES: dict[T, frozenset[T]] = {
    T.WAITING: frozenset({T.READY, T.SKIPPED, T.BLOCKED, T.CANCELLED}),
    T.READY: frozenset({T.RUNNING, T.SKIPPED, T.WAITING, T.CANCELLED}),
    T.RUNNING: frozenset({T.SUCCEEDED, T.FAILED, T.READY, T.BACKING_OFF, T.CANCELLED}),
    T.BACKING_OFF: frozenset({T.READY, T.WAITING, T.FAILED, T.CANCELLED}),
    T.SUCCEEDED: frozenset(),
    T.SKIPPED: frozenset(),
    T.FAILED: frozenset(),
    T.BLOCKED: frozenset(),
    T.CANCELLED: frozenset(),
}

ENDED = frozenset(state for state, moves in MOVES.items() if not moves)
"""States that a task never leaves within one submission."""

DONE = frozenset({T.SUCCEEDED, T.SKIPPED})
"""Ended states after which dependants may go on."""

HALTED = ENDED - DONE
"""Ended states after which dependants are blocked."""


def diagram() -> str:
    """Return the table as a Mermaid state diagram, for the documentation."""
    lines = ["stateDiagram-v2", "    [*] --> waiting"]
    for state, moves in MOVES.items():
        lines += [f"    {state.name.lower()} --> {to.name.lower()}" for to in sorted(moves)]
        if not moves:
            lines.append(f"    {state.name.lower()} --> [*]")
    return "\n".join(lines)
