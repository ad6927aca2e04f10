"""What a plan was made from, and in what two plans differ: by this a stored plan is held to what was shown."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING

import numpy as np

from headgate.model.mapping import Lists
from headgate.planning.digest import mixed
from headgate.planning.sets import range_sums

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from headgate.model.plan import Plan, PlannedDataset
    from headgate.planning.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class Change:
    """In what one dataset differs between two plans.

    Args:
        dataset: Its name.
        added: Partitions that only the second plan has.
        removed: Partitions that only the first plan has.
        other_reason: Partitions that both have, for another reason.
        code: Code fingerprint in the first and in the second plan, if both have the dataset and they differ.
        partitioning: Specs likewise; then indices mean different windows, and all count as removed and added.
        inputs_moved: Whether the same partitions read other ones, or read or replace other versions.

    Shape:
        added, removed and other_reason (int64): grid indices, ascending.
    """

    dataset: str
    added: NDArray[np.int64]
    removed: NDArray[np.int64]
    other_reason: NDArray[np.int64]
    code: tuple[str, str] | None
    partitioning: tuple[str, str] | None
    inputs_moved: bool


def basis(snapshot: Snapshot, plan: Plan) -> dict[str, str]:
    """Return a digest of what each dataset's planned partitions replace and read: their heads and their inputs.

    Which partitions they read counts, too: while these have no versions nothing else tells one mapping from another.
    What is outside of the plan and not read by it does not count, so a day that arrives does not touch a plan for
    last year.
    """
    return {part.name: _digest(snapshot, part) for part in plan.datasets}


def _digest(snapshot: Snapshot, part: PlannedDataset) -> str:
    digest = blake2b(digest_size=8)
    digest.update(_content(snapshot, part.name)[part.indices].tobytes())
    for parameter, entry in snapshot.datasets[part.name].inputs.items():
        weight = mixed(snapshot.seed(parameter, entry), _content(snapshot, entry.dataset))
        reads = snapshot.reads(part.name, entry, part.indices)
        digest.update(f"{parameter}\0{entry.dataset}\0{entry.allow_missing}".encode())
        for which in (reads.offsets, reads.values) if isinstance(reads, Lists) else (reads.start, reads.stop):
            digest.update(which.tobytes())
        digest.update(range_sums(weight, reads).tobytes())
    return digest.hexdigest()


def _content(snapshot: Snapshot, name: str) -> NDArray[np.int64]:
    """Return a number for what each partition holds.

    For sources the hash of the file: its version has no number before a run has recorded it.
    """
    heads = snapshot.heads[name]
    return heads.digest.view(np.int64) if name in snapshot.sources else heads.version


def changes(
    first: Plan, second: Plan, first_basis: Mapping[str, str], second_basis: Mapping[str, str]
) -> tuple[Change, ...]:
    """Return in what the second plan differs from the first, dataset by dataset; nothing if they do the same.

    Args:
        first: One plan.
        second: The other.
        first_basis: The first plan's `basis`.
        second_basis: The second plan's.
    """
    before = {part.name: part for part in first.datasets}
    after = {part.name: part for part in second.datasets}
    found = []
    for name in [*before, *(name for name in after if name not in before)]:
        moved = name in first_basis and name in second_basis and first_basis[name] != second_basis[name]
        change = _change(name, before.get(name), after.get(name), is_moved=moved)
        if change is not None:
            found.append(change)
    return tuple(found)


def _change(name: str, before: PlannedDataset | None, after: PlannedDataset | None, *, is_moved: bool) -> Change | None:
    nothing = np.zeros(0, dtype=np.int64)
    if before is None or after is None:
        added = nothing if after is None else after.indices
        removed = nothing if before is None else before.indices
        return Change(name, added, removed, nothing, None, None, inputs_moved=False)
    code = None if before.code == after.code else (before.code, after.code)
    if before.partitioning != after.partitioning:
        cuts = (before.partitioning, after.partitioning)
        return Change(name, after.indices, before.indices, nothing, code, cuts, inputs_moved=False)
    both, in_before, in_after = np.intersect1d(before.indices, after.indices, assume_unique=True, return_indices=True)
    added = np.setdiff1d(after.indices, both, assume_unique=True)
    removed = np.setdiff1d(before.indices, both, assume_unique=True)
    other = both[before.why[in_before] != after.why[in_after]]
    if code is None and not is_moved and not (len(added) or len(removed) or len(other)):
        return None
    # Of other partitions the digest says nothing.
    inputs_moved = is_moved and not (len(added) or len(removed))
    return Change(name, added, removed, other, code, None, inputs_moved=inputs_moved)
