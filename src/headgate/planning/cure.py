"""Which partitions a rebuild would cure of what went wrong: what they would read then has to be sound."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headgate.planning.reach import spread

if TYPE_CHECKING:
    from collections.abc import Collection

    from headgate.planning.reach import Masks
    from headgate.planning.snapshot import Snapshot


def staying(snapshot: Snapshot, tainted: Masks, still: Masks) -> Masks:
    """Return which tainted partitions would be as bad after a rebuild of all of them.

    Args:
        snapshot: Definitions and grids.
        tainted: Partitions of datasets whose heads are tainted.
        still: Where the cause is there still: partitions of sources whose files would be read again as they were, and
            tainted ones of datasets, because the code that made them has not changed.
    """
    reached = spread(snapshot, still, tainted, lambda _: True)
    return {name: reached[name] & mask if name in reached else ~mask & mask for name, mask in tainted.items()}


def same_code(snapshot: Snapshot, tainted: Masks, codes: Collection[str]) -> Masks:
    """Return the tainted partitions of datasets whose code still is one of some fingerprints."""
    return {name: mask for name, mask in tainted.items() if snapshot.datasets[name].code in codes}
