"""Partitions that rollbacks hold: no plan contains them unless it says so."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from headgate.planning.wording import count_text

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headgate.model.plan import Request
    from headgate.planning.reach import Masks
    from headgate.planning.snapshot import Snapshot


def without_held(snapshot: Snapshot, wanted: Masks, request: Request) -> tuple[Masks, tuple[str, ...]]:
    """Return what is wanted without what is held, and what to say about that.

    Args:
        snapshot: Definitions and heads.
        wanted: Partitions of datasets.
        request: What asks for them; it may ask for what is held, too.
    """
    if request.held:
        return wanted, ()
    left = dict(wanted)
    notes = []
    for name, mask in wanted.items():
        held = snapshot.heads[name].held
        if not held:
            continue
        found = np.array([index for index in held if mask[index]], dtype=np.int64)
        left[name] = mask.copy()
        left[name][found] = False
        notes += [
            f"{text} held by rollback {run} and left out: headgate resolve {run} --reason TEXT"
            for run, text in held_by(snapshot, name, found).items()
        ]
    return left, tuple(notes)


def held_by(snapshot: Snapshot, name: str, indices: NDArray[np.int64]) -> dict[str, str]:
    """Return how many of some partitions of a dataset each rollback holds, in words, with the first and last key."""
    held, grid = snapshot.heads[name].held, snapshot.grids[name]
    by_run: dict[str, list[int]] = {}
    for index in sorted(indices.tolist()):
        if index in held:
            by_run.setdefault(held[index], []).append(index)
    texts = {}
    for run, found in by_run.items():
        first, last = grid.key(found[0]), grid.key(found[-1])
        which = first if first == last else f"{first} to {last}"
        texts[run] = f"{count_text(len(found))} of {name} ({which}) {'is' if len(found) == 1 else 'are'}"
    return texts
