"""Which partitions are reached from others along the mappings, upstream and downstream.

Sets of partitions are masks over the grids. In a graph of datasets without loops each input is one array operation, and
so is a dataset that reads one earlier window of itself. Others that read each other in a loop, or themselves, are
followed partition by partition, each one once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from headgate.model.mapping import Sliding
from headgate.planning.edges import edge_between
from headgate.planning.sets import carried, covered, readers_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from numpy.typing import NDArray

    from headgate.model.dataset import Input
    from headgate.planning.snapshot import Snapshot

    Follow = Callable[[Input], bool]
    Neighbours = dict[str, list[tuple[str, Callable[[int], Iterable[int]]]]]

Masks = dict[str, "NDArray[np.bool_]"]


def upwards(snapshot: Snapshot, start: Masks, steps: int | None) -> Masks:
    """Return some partitions and what they are made from, for a number of steps; None for no limit."""
    return _made_from(snapshot, start) if steps is None else _stepwise(snapshot, start, steps, _read_by)


def downwards(snapshot: Snapshot, start: Masks, steps: int | None) -> Masks:
    """Return some partitions and what is made from them, for a number of steps; None for no limit."""
    if steps is not None:
        return _stepwise(snapshot, start, steps, _readers_of)
    found = spread(snapshot, start, {name: _full(snapshot, name) for name in snapshot.datasets}, lambda _: True)
    return {name: mask for name, mask in found.items() if mask.any() or name in start}


def causes(snapshot: Snapshot, start: Masks, within: Masks, through: Masks) -> Masks:
    """Return some partitions and what is reached from them by going upstream.

    Args:
        snapshot: Definitions and grids.
        start: Where to begin, in the set.
        within: The set, which is not left.
        through: Partitions of the set beyond which the way goes on; it ends at the others.
    """
    return {name: mask for name, mask in _made_from(snapshot, start, within, through).items() if name in within}


def spread(snapshot: Snapshot, start: Masks, within: Mapping[str, NDArray[np.bool_]], follow: Follow) -> Masks:
    """Return what is reached from some partitions by going downstream without leaving a set.

    Args:
        snapshot: Definitions and grids.
        start: Where to begin: partitions of sources, or of datasets and then in the set.
        within: The set. Only its datasets, and the sources of `start`, are in the result.
        follow: Whether to go through an input.
    """
    found = dict(start)
    some = {name for name, mask in start.items() if mask.any()}
    for loop in _components(snapshot, within):
        inputs = [(name, entry) for name in loop for entry in snapshot.datasets[name].inputs.values() if follow(entry)]
        for name in loop:
            if name not in found:
                found[name] = np.zeros(snapshot.grids[name].size, dtype=bool)
            elif (found[name] >= within[name]).all():
                inputs = [(reader, entry) for reader, entry in inputs if reader != name or entry.dataset in loop]
        for name, entry in inputs:
            if entry.dataset in some and entry.dataset not in loop:
                hit = readers_of(found[entry.dataset], snapshot.reads(name, entry)) & within[name]
                found[name] = found[name] | hit
        if any(entry.dataset in loop for _, entry in inputs):
            found |= _spread_in_loop(snapshot, {name: found[name] for name in loop}, within, follow)
        some.update(name for name in loop if found[name].any())
    return found


def _spread_in_loop(snapshot: Snapshot, start: Masks, within: Mapping[str, NDArray[np.bool_]], follow: Follow) -> Masks:
    lag = _lag_of_itself(snapshot, start, follow)
    if lag:
        ((name, mask),) = start.items()
        return {name: carried(mask, within[name], lag)}
    edges: Neighbours = {name: [] for name in start}
    for name in start:
        for entry in snapshot.datasets[name].inputs.values():
            if entry.dataset in start and follow(entry):
                members = np.arange(snapshot.grids[entry.dataset].size, dtype=np.int64)
                own = np.arange(snapshot.grids[name].size, dtype=np.int64)
                edge = edge_between(0, members, snapshot.reads(name, entry, own))
                edges[entry.dataset].append((name, edge.waiters))
    return _search(start, {name: within[name] for name in start}, edges)


def _made_from(snapshot: Snapshot, start: Masks, within: Masks | None = None, through: Masks | None = None) -> Masks:
    found = dict(start)
    for loop in reversed(_components(snapshot, snapshot.datasets if within is None else within)):
        reached = {name: found[name] for name in loop if name in found}
        if not reached:
            continue
        empty = {name: np.zeros(snapshot.grids[name].size, dtype=bool) for name in loop}
        inside = {name: _full(snapshot, name) if within is None else within[name] for name in loop}
        found |= _made_from_in_loop(snapshot, empty | reached, inside, through)
        passed = {name: found[name] if through is None else found[name] & through[name] for name in loop}
        for name, mask in _read_by(snapshot, passed).items():
            hit = mask if within is None or name not in within else mask & within[name]
            found[name] = found[name] | hit if name in found else hit
    return found


def _made_from_in_loop(snapshot: Snapshot, start: Masks, within: Masks, through: Masks | None) -> Masks:
    lag = _lag_of_itself(snapshot, start, lambda _: True)
    if lag:
        ((name, mask),) = start.items()
        open_ = within[name].copy()
        if through is not None:
            open_[:-lag] &= through[name][lag:]
        return {name: carried(mask[::-1], open_[::-1], lag)[::-1]}
    edges: Neighbours = {name: [] for name in start}
    for name in start:
        for entry in snapshot.datasets[name].inputs.values():
            if entry.dataset in start:
                of = snapshot.reads(name, entry).of
                edges[name].append((entry.dataset, of if through is None else _passing(of, through[name])))
    return _search(start, within, edges)


def _lag_of_itself(snapshot: Snapshot, names: Iterable[str], follow: Follow) -> int:
    """Return how far before itself each partition of a single dataset reads that dataset; 0 if it is not that simple.

    This is the usual loop: a running total, which reads the window before.
    """
    first, *more = names
    own = [entry for entry in snapshot.datasets[first].inputs.values() if entry.dataset == first and follow(entry)]
    if more or len(own) != 1:
        return 0
    reads = snapshot.reads(first, own[0])
    return -reads.first * reads.step if isinstance(reads, Sliding) and reads.first == reads.last else 0


def _passing(of: Callable[[int], Iterable[int]], through: NDArray[np.bool_]) -> Callable[[int], Iterable[int]]:
    return lambda index: of(index) if through[index] else ()


def _search(
    start: Masks,
    within: Mapping[str, NDArray[np.bool_]],
    edges: Neighbours,
) -> Masks:
    """Return what is reached from some partitions, one by one."""
    if not any(edges.values()):
        return start
    left = {name: within[name] & ~mask for name, mask in start.items()}
    if not any(mask.any() for mask in left.values()):
        return start
    found = {name: mask.copy() for name, mask in start.items()}
    unreached = {name: _Unreached(mask) for name, mask in left.items()}
    waiting = [(name, index) for name, mask in start.items() for index in np.flatnonzero(mask).tolist()]
    while waiting:
        name, index = waiting.pop()
        for other, following in edges[name]:
            for at in unreached[other].take(following(index)):
                found[other][at] = True
                waiting.append((other, at))
    return found


class _Unreached:
    """Partitions that a search has not reached yet. It leaps over the others, so wide ranges cost nothing."""

    def __init__(self, mask: NDArray[np.bool_]) -> None:
        here = np.arange(len(mask), dtype=np.int64)
        self._next: list[int] = [*np.where(mask, here, here + 1).tolist(), len(mask)]

    def take(self, indices: Iterable[int]) -> Iterator[int]:
        """Take out those of some partitions that are left, and yield them."""
        following = self._next
        if isinstance(indices, range) and indices.step == 1:
            at = self._first(indices.start)
            while at < indices.stop:
                following[at] = at + 1
                yield at
                at = self._first(at + 1)
            return
        for at in indices:
            if following[at] == at:
                following[at] = at + 1
                yield at

    def _first(self, at: int) -> int:
        following = self._next
        while following[at] != at:
            following[at] = following[following[at]]
            at = following[at]
        return at


def _stepwise(snapshot: Snapshot, start: Masks, steps: int, step: Callable[[Snapshot, Masks], Masks]) -> Masks:
    found, edge = dict(start), start
    for _ in range(steps):
        edge = {name: mask & ~found[name] if name in found else mask for name, mask in step(snapshot, edge).items()}
        edge = {name: mask for name, mask in edge.items() if mask.any()}
        if not edge:
            break
        found |= {name: mask | found[name] if name in found else mask for name, mask in edge.items()}
    return found


def _read_by(snapshot: Snapshot, masks: Masks) -> Masks:
    """Return what some partitions read: one step up."""
    reached: Masks = {}
    for name, mask in masks.items():
        if name not in snapshot.datasets:
            continue
        indices = np.flatnonzero(mask)
        for entry in snapshot.datasets[name].inputs.values():
            hit = covered(snapshot.reads(name, entry, indices), snapshot.grids[entry.dataset].size)
            reached[entry.dataset] = reached[entry.dataset] | hit if entry.dataset in reached else hit
    return reached


def _readers_of(snapshot: Snapshot, masks: Masks) -> Masks:
    """Return what reads some partitions: one step down."""
    reached: Masks = {}
    for name, dataset in snapshot.datasets.items():
        for entry in dataset.inputs.values():
            if entry.dataset in masks:
                hit = readers_of(masks[entry.dataset], snapshot.reads(name, entry))
                reached[name] = reached[name] | hit if name in reached else hit
    return reached


def _components(snapshot: Snapshot, names: Iterable[str]) -> list[list[str]]:
    wanted = set(names)
    loops = ([name for name in loop if name in wanted] for loop in snapshot.loops())
    return [loop for loop in loops if loop]


def _full(snapshot: Snapshot, name: str) -> NDArray[np.bool_]:
    return np.ones(snapshot.grids[name].size, dtype=bool)
