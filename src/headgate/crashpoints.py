"""Named points at which a test can kill the process.

`HEADGATE_CRASH_AT=NAME:N` kills the process with SIGKILL when it reaches point NAME for the N-th time.
Without the variable a point costs one look-up. The crash tests go through `POINTS`, so a name that
is not listed there is an error.
"""

from __future__ import annotations

import os
import signal

POINTS = (
    "worker.before_stage",
    "worker.mid_write",
    "worker.after_write",
    "worker.after_audit",
    "worker.after_part",
    "worker.before_load",
    "worker.after_load",
    "coordinator.before_intents",
    "coordinator.inside_intents",
    "coordinator.after_intents",
    "coordinator.before_publish",
    "coordinator.inside_publish",
    "coordinator.after_batch",
    "coordinator.after_publish",
    "coordinator.before_finish",
    "rollback.before_move",
    "rollback.inside_move",
    "rollback.after_move",
    "together.before_move",
    "together.inside_move",
    "together.after_move",
    "quarantine.inside_hold",
    "quarantine.inside_release",
    "quarantine.after_release",
    "quarantine.inside_drop",
    "quarantine.after_drop",
    "vacuum.inside_doom",
    "vacuum.after_doom",
    "vacuum.mid_unlink",
    "vacuum.after_unlink",
    "compact.after_intents",
    "compact.mid_pack",
    "compact.after_pack",
    "compact.after_audit",
    "compact.after_publish",
    "mirror.after_intents",
    "mirror.mid_unpack",
    "mirror.after_columns",
    "mirror.before_commit",
    "mirror.after_commit",
)


def _armed(spec: str) -> dict[str, int]:
    name, _, nth = spec.partition(":")
    if not name:
        return {}
    if name not in POINTS:
        raise ValueError(f"HEADGATE_CRASH_AT names no crash point: {name!r}; there are {', '.join(POINTS)}")
    return {name: int(nth or 1)}


_left = _armed(os.environ.get("HEADGATE_CRASH_AT", ""))


def crash_point(name: str) -> None:
    """Kill this process here if a test asked for it."""
    if name in _left:
        _left[name] -= 1
        if _left[name] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
