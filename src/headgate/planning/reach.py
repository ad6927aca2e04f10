"""Which partitions are reached from others along the mappings, upstream and downstream.

Sets of partitions are masks over the grids. In a graph of datasets without loops each input is one array operation.
Datasets that read each other in a loop, or themselves, are followed partition by partition, each one once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from headgate.planning import graph
from headgate.planning.edges import edge_between
from headgate.planning.sets import count, covered

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


def spread(snapshot: Snapshot, start: Masks, within: Mapping[str, NDArray[np.bool_]], follow: Follow) -> Masks:
    """Return what is reached from some partitions by going downstream without leaving a set.

    Args:
        snapshot: Definitions and grids.
        start: Where to begin: partitions of sources, or of datasets and then in the set.
        within: The set. Only its datasets, and the sources of `start`, are in the result.
        follow: Whether to go through an input.
    """
    found = dict(start)
    for loop in _components(snapshot, within):
        for name in loop:
            mask = found.get(name, np.zeros(snapshot.grids[name].size, dtype=bool))
            for entry in snapshot.datasets[name].inputs.values():
                if entry.dataset in found and entry.dataset not in loop and follow(entry):
                    mask = mask | (count(found[entry.dataset], snapshot.reads(name, entry)) > 0)
            found[name] = mask & within[name]
        found |= _spread_in_loop(snapshot, {name: found[name] for name in loop}, within, follow)
    return found


def _spread_in_loop(snapshot: Snapshot, start: Masks, within: Mapping[str, NDArray[np.bool_]], follow: Follow) -> Masks:
    edges: Neighbours = {name: [] for name in start}
    for name in start:
        for entry in snapshot.datasets[name].inputs.values():
            if entry.dataset in start and follow(entry):
                members = np.arange(snapshot.grids[entry.dataset].size, dtype=np.int64)
                edge = edge_between(0, members, snapshot.reads(name, entry))
                edges[entry.dataset].append((name, edge.waiters))
    return _search(start, {name: within[name] for name in start}, edges)


def _made_from(snapshot: Snapshot, start: Masks) -> Masks:
    found = dict(start)
    for loop in reversed(_components(snapshot, snapshot.datasets)):
        reached = {name: found[name] for name in loop if name in found}
        if not reached:
            continue
        edges: Neighbours = {name: [] for name in loop}
        for name in loop:
            for entry in snapshot.datasets[name].inputs.values():
                if entry.dataset in loop:
                    edges[name].append((entry.dataset, snapshot.reads(name, entry).of))
        empty = {name: np.zeros(snapshot.grids[name].size, dtype=bool) for name in loop}
        found |= _search(empty | reached, {name: _full(snapshot, name) for name in loop}, edges)
        for name, mask in _read_by(snapshot, {name: found[name] for name in loop}).items():
            found[name] = found[name] | mask if name in found else mask
    return found


def _search(
    start: Masks,
    within: Mapping[str, NDArray[np.bool_]],
    edges: Neighbours,
) -> Masks:
    """Return what is reached from some partitions, one by one."""
    left = {name: within[name] & ~mask for name, mask in start.items()}
    if not any(edges.values()) or not any(mask.any() for mask in left.values()):
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
                hit = count(masks[entry.dataset], snapshot.reads(name, entry)) > 0
                reached[name] = reached[name] | hit if name in reached else hit
    return reached


def _components(snapshot: Snapshot, names: Iterable[str]) -> list[list[str]]:
    return graph.components(
        {name: [entry.dataset for entry in snapshot.datasets[name].inputs.values()] for name in names}
    )


def _full(snapshot: Snapshot, name: str) -> NDArray[np.bool_]:
    return np.ones(snapshot.grids[name].size, dtype=bool)
