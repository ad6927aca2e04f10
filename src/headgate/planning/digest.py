"""One 64-bit number for the inputs that an attempt pinned, which planning can work out for a million partitions.

It is the sum, modulo 2**64, of a mixed hash of each pinned version and the parameter it fills. A sum over a range of
partitions is the difference of two running totals, so "did any input of this partition move?" costs two look-ups,
however many inputs there are. Version numbers are unique in a state store, so equal sums mean equal sets but for
collisions of 64-bit hashes.

Source: the finaliser of SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014).
"""

from __future__ import annotations

from datetime import date
from functools import lru_cache
from hashlib import blake2b
from typing import TYPE_CHECKING

import numpy as np

from headgate.model.partitioning import Unit

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from headgate.model.partitioning import Partitioning

_MASK = 2**64 - 1
_FIRST, _SECOND = 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
_STEPS = tuple((np.uint64(by), np.uint64(factor)) for by, factor in ((30, _FIRST), (27, _SECOND), (31, 1)))


@lru_cache(maxsize=4096)
def seed(parameter: str, dataset: str, source_format: str = "") -> int:
    """Return the number that sets apart the inputs of one function, and the ways in which a source can be read."""
    return hash64(f"{parameter}\0{dataset}\0{source_format}")


def window_seed(partitioning: Partitioning) -> int:
    """Return what the length and the zone of a dataset's windows add to the digest of each of its partitions.

    Keys alone do not say it: the same day in another zone is another window. Start and end only add or remove
    partitions, but for weeks, which begin on the weekday of the start.
    """
    axis = partitioning.time
    if axis is None:
        return 0
    weekday = str(date.fromisoformat(axis.start[:10]).weekday()) if axis.unit is Unit.WEEK else ""
    return seed("", f"{axis.unit} {axis.zone} {weekday}")


def hash64(text: str) -> int:
    """Return a text, such as the hash of a file, as a number of 64 bits without a sign."""
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big")


def pinned_digest(seed_of_input: int, versions: Iterable[int]) -> int:
    """Return the digest of the versions pinned for one input; digests of several inputs add up modulo 2**64."""
    total = 0
    for version in versions:
        x = (version ^ seed_of_input) & _MASK
        x = ((x ^ (x >> 30)) * _FIRST) & _MASK
        x = ((x ^ (x >> 27)) * _SECOND) & _MASK
        total += x ^ (x >> 31)
    return total & _MASK


def mixed(seed_of_input: int, versions: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Return what each version adds to the digest; nothing for 0, which stands for no version.

    Shape:
        versions and result: (partitions,).
    """
    x = versions.view(np.uint64) ^ np.uint64(seed_of_input)
    shifted = np.empty_like(x)
    for by, factor in _STEPS:
        x ^= np.right_shift(x, by, out=shifted)
        x *= factor
    x[versions == 0] = 0
    return x
