"""Whether partitions of datasets that read each other in a loop ever need themselves. Exact, without listing edges."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from headgate.model.mapping import Lists, Spans

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from headgate.model.grid import Grid

    Reads = Mapping[str, Sequence[tuple[str, Spans | Lists]]]

Node = tuple[str, int]


def find_cycle(grids: Mapping[str, Grid], reads: Reads) -> list[Node] | None:
    """Return partitions each of which reads the next, the first one again at the end; None if there are none.

    Args:
        grids: The datasets of the loop.
        reads: Dataset -> what each of its partitions reads of datasets of the loop, over the whole grid.
    """
    return None if _goes_back(grids, reads) else _Search(grids, reads).run()


def _goes_back(grids: Mapping[str, Grid], reads: Reads) -> bool:
    """Return whether every way round the loop surely reaches an earlier window; False if unsure.

    This is the usual loop, and proven with a few array operations: if nothing reads a window that ends later than its
    own, a cycle can only be made of reads whose windows end together, and these must form a loop of datasets.
    """
    together: dict[str, set[str]] = {name: set() for name in grids}
    for name, inputs in reads.items():
        for read, spans in inputs:
            later_ms = _latest_ms(spans, grids[name], grids[read])
            if later_ms is None or later_ms > 0:
                return False
            if later_ms == 0:
                together[name].add(read)
    while ends := {name for name, others in together.items() if not others}:
        together = {name: others - ends for name, others in together.items() if name not in ends}
    return not together


def _latest_ms(spans: Spans | Lists, down: Grid, up: Grid) -> int | None:
    """Return by how much the windows that are read end later than the own one, at most; None if that is unknown."""
    if isinstance(spans, Lists) or down.bounds is None or up.bounds is None:
        return None
    some = np.flatnonzero(spans.stop > spans.start)
    if not some.size:
        return -1
    start, stop = spans.start[some], spans.stop[some]
    last = start + (stop - 1 - start) // spans.step * spans.step
    later = up.bounds[last // up.n_statics + 1] - down.bounds[some // down.n_statics + 1]
    return int(later.max())


class _Search:
    """A depth-first search that leaps over finished partitions, so that wide ranges cost nothing.

    For each finished partition `skips` has one that comes after it, by step; for the others themselves.
    """

    def __init__(self, grids: Mapping[str, Grid], reads: Reads) -> None:
        self._grids = grids
        self._reads = reads
        self._skips = {
            (name, step): list(range(grid.size + step)) for name, grid in grids.items() for step in {1, grid.n_statics}
        }

    def run(self) -> list[Node] | None:
        for name, grid in self._grids.items():
            for index in range(grid.size):
                cycle = self._descend((name, index))
                if cycle is not None:
                    return cycle
        return None

    def _descend(self, root: Node) -> list[Node] | None:
        if self._is_finished(root):
            return None
        path = {root: self._unfinished(root)}
        while path:
            node, rest = next(reversed(path.items()))
            read = next(rest, None)
            if read is None:
                del path[node]
                self._finish(node)
            elif read in path:
                nodes = list(path)
                return [*nodes[nodes.index(read) :], read]
            else:
                path[read] = self._unfinished(read)
        return None

    def _unfinished(self, node: Node) -> Iterator[Node]:
        """Yield what a partition reads; whoever takes one finishes it before taking the next."""
        name, index = node
        for read, ranges in self._reads[name]:
            if isinstance(ranges, Lists):
                yield from ((read, at) for at in ranges.of(index) if not self._is_finished((read, at)))
                continue
            span = ranges.of(index)
            at = self._next_unfinished(read, span.start, span.step) if span else span.stop
            while at < span.stop:
                yield read, at
                at = self._next_unfinished(read, at, span.step)

    def _is_finished(self, node: Node) -> bool:
        name, index = node
        return self._skips[name, 1][index] != index

    def _finish(self, node: Node) -> None:
        name, index = node
        for step in {1, self._grids[name].n_statics}:
            self._skips[name, step][index] = index + step

    def _next_unfinished(self, name: str, index: int, step: int) -> int:
        skips = self._skips[name, step]
        while skips[index] != index:
            skips[index] = skips[skips[index]]
            index = skips[index]
        return index
