"""The graph of datasets: its order, whether it can hold, and which part of it a selection names.

Edges point from a dataset to what it reads. Datasets may form a loop as long as no partition, followed through the
mappings, ever needs itself.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING

import numpy as np

from headgate.errors import UsageError
from headgate.model.calendar import LONGEST_MS
from headgate.model.mapping import Custom, Offset, upstream
from headgate.model.names import shown
from headgate.planning.cycle import find_cycle

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from headgate.model.dataset import Dataset, Source
    from headgate.model.grid import Grid
    from headgate.model.mapping import Mapping as Rule
    from headgate.model.partitioning import Partitioning

SAMPLED_KEYS = 1000
"""How many keys a custom mapping is tried with when a project is checked; a plan tries all of its own."""

SHOWN_NAMES = 20
SHOWN_PARTITIONS = 12

_SELECTION = re.compile(r"(?:(?P<up>\d{0,4})\+)?(?P<name>[^+]+)(?:\+(?P<down>\d{0,4}))?")


@dataclass(frozen=True, slots=True)
class Selection:
    """One dataset or source that was asked for, and how far around it.

    The range of a request applies to the partitions of `name`; from them it goes on along the mappings.

    Args:
        name: The dataset; a source only with `down` other than 0.
        up: How many steps to go upstream: 0 for none, None for no limit.
        down: How many steps to go downstream, likewise.
    """

    name: str
    up: int | None = 0
    down: int | None = 0


def select(
    texts: Sequence[str], datasets: Mapping[str, Dataset], sources: Mapping[str, Source]
) -> tuple[Selection, ...]:
    """Parse selections: ``name``, ``+name``, ``name+``, ``+name+``, ``2+name``, ``name+1``.

    Args:
        texts: What the user typed; none of them means every dataset.
        datasets: All datasets by name.
        sources: All sources by name.

    Returns:
        One selection for each name, in the order of first mention; of a name that is mentioned twice the wider limits
        count. Every dataset, by name, when there are no texts.

    Raises:
        UsageError: A text is no selection, names nothing there is, or asks to build a source.
    """
    if not texts:
        return tuple(Selection(name) for name in sorted(datasets))
    selected: dict[str, Selection] = {}
    for text in texts:
        new = _parse(text, datasets, sources)
        old = selected.get(new.name, new)
        selected[new.name] = Selection(new.name, _wider(old.up, new.up), _wider(old.down, new.down))
    return tuple(selected.values())


def _parse(text: str, datasets: Mapping[str, Dataset], sources: Mapping[str, Source]) -> Selection:
    match = _SELECTION.fullmatch(text)
    if match is None:
        raise UsageError(
            f"{shown(text)} is no selection", hint="Write name, +name, name+, +name+, 2+name or name+1 (steps)."
        )
    name, up, down = match["name"], _depth(match["up"]), _depth(match["down"])
    if name not in datasets and name not in sources:
        raise UsageError(f"there is no dataset {shown(name)}", hint=_known(name, [*datasets, *sources]))
    if name in sources and down == 0:
        raise UsageError(
            f"{name} is a source: it arrives from outside and cannot be built",
            hint=f"Write {name}+ for what is made from it.",
        )
    return Selection(name, up, down)


def _depth(text: str | None) -> int | None:
    if text is None:
        return 0
    return int(text) if text else None


def _wider(one: int | None, other: int | None) -> int | None:
    return None if one is None or other is None else max(one, other)


def _known(name: str, names: Iterable[str]) -> str:
    ordered = sorted(names)
    close = get_close_matches(name, ordered, n=1)
    more = f" and {len(ordered) - SHOWN_NAMES} more" if len(ordered) > SHOWN_NAMES else ""
    listed = f"There are {', '.join(ordered[:SHOWN_NAMES])}{more}." if ordered else "The project has no datasets."
    return f"Did you mean {close[0]}? {listed}" if close else listed


def readers(datasets: Mapping[str, Dataset]) -> dict[str, list[tuple[str, str]]]:
    """Return who reads what: upstream name -> ``(dataset, parameter)``, by dataset, then in order of parameters."""
    found: dict[str, list[tuple[str, str]]] = {}
    for name in sorted(datasets):
        for parameter, read in datasets[name].inputs.items():
            found.setdefault(read.dataset, []).append((name, parameter))
    return found


def _reads(datasets: Mapping[str, Dataset], name: str) -> list[str]:
    return [read.dataset for read in datasets[name].inputs.values()] if name in datasets else []


def order(
    datasets: Mapping[str, Dataset], sources: Mapping[str, Source], loops: Sequence[list[str]] | None = None
) -> list[str]:
    """Return all names: sources first, then datasets, upstream before downstream.

    Datasets are sorted by the length of the longest way up from them, then by name. Datasets of one loop stand
    next to each other, by name.

    Args:
        datasets: All datasets by name.
        sources: All sources by name.
        loops: The `components` of the datasets, if they are known.
    """
    level: dict[str, int] = dict.fromkeys(sources, 0)
    ordered: list[tuple[int, list[str]]] = []
    for component in components({name: _reads(datasets, name) for name in datasets}) if loops is None else loops:
        above = [level.get(read, 0) for name in component for read in _reads(datasets, name)]
        depth = 1 + max(above, default=0)
        level.update(dict.fromkeys(component, depth))
        ordered.append((depth, component))
    return sorted(sources) + [name for _, component in sorted(ordered) for name in component]


def components(reads: Mapping[str, Sequence[str]]) -> list[list[str]]:
    """Return the strongly connected components of a graph, what is read before what reads it, each sorted.

    Args:
        reads: Node -> the nodes it reads; those that are no keys are left out.

    Source:
        Tarjan, Depth-First Search and Linear Graph Algorithms, 1972; with a stack of our own instead of recursion.
    """
    number: dict[str, int] = {}
    lowest: dict[str, int] = {}
    unassigned: dict[str, None] = {}
    found: list[list[str]] = []

    def enter(name: str) -> tuple[str, Iterator[str]]:
        number[name] = lowest[name] = len(number)
        unassigned[name] = None
        return name, iter(reads[name])

    for root in sorted(reads):
        path = [] if root in number else [enter(root)]
        while path:
            name, rest = path[-1]
            read = next((read for read in rest if read in reads and (read not in number or read in unassigned)), None)
            if read is None:
                path.pop()
                if path:
                    above = path[-1][0]
                    lowest[above] = min(lowest[above], lowest[name])
                if lowest[name] == number[name]:
                    found.append(_take_until(name, unassigned))
            elif read in number:
                lowest[name] = min(lowest[name], number[read])
            else:
                path.append(enter(read))
    return found


def _take_until(name: str, unassigned: dict[str, None]) -> list[str]:
    taken: list[str] = []
    while name in unassigned:
        taken.append(unassigned.popitem()[0])
    return sorted(taken)


def check_graph(datasets: Mapping[str, Dataset], sources: Mapping[str, Source], now_ms: int) -> None:
    """Check that the declarations fit together.

    Custom mappings are tried with up to `SAMPLED_KEYS` keys, inside loops of datasets with every key.

    Args:
        datasets: All datasets by name.
        sources: All sources by name.
        now_ms: Instant up to which windows count as ended, UTC.

    Raises:
        UsageError: A name is used twice, an input names nothing there is, a mapping cannot hold between two
            partitionings, or a partition needs itself. The message begins with the place of the declaration.
    """
    _check_names(datasets, sources)
    for dataset in datasets.values():
        for parameter, read in dataset.inputs.items():
            source = datasets.get(read.dataset) or sources.get(read.dataset)
            where = f"{_place(dataset)}input {parameter} of {dataset.name}"
            if source is None:
                raise UsageError(
                    f"{where} reads {shown(read.dataset)}, which is not there",
                    hint=_known(read.dataset, [*datasets, *sources]),
                )
            _check_mapping(read.mapping, dataset.partitioning, source.partitioning, now_ms, f"{where}, {read.dataset}")
    graph = {name: _reads(datasets, name) for name in datasets}
    for component in components(graph):
        if len(component) > 1 or component[0] in graph[component[0]]:
            _check_loop({name: datasets[name] for name in component}, now_ms)


def _check_names(datasets: Mapping[str, Dataset], sources: Mapping[str, Source]) -> None:
    seen: dict[str, Dataset | Source] = {}
    everything: list[Dataset | Source] = [*sources.values(), *datasets.values()]
    for declared in everything:
        first = seen.setdefault(declared.name.casefold(), declared)
        if first is not declared:
            what = "twice" if first.name == declared.name else f"beside {shown(first.name)}"
            there = f", first at {first.declared_at}" if first.declared_at else ""
            raise UsageError(
                f"{_place(declared)}the name {shown(declared.name)} is declared {what}{there}",
                hint="Datasets and sources share one set of names, in which case does not count: rename one.",
            )


def _check_mapping(rule: Rule, reader: Partitioning, read: Partitioning, now_ms: int, where: str) -> None:
    until_ms = _settled_ms((reader, read), now_ms, windows=3)
    down, up = reader.grid(until_ms), read.grid(until_ms)
    tried = min(SAMPLED_KEYS, down.size) if isinstance(rule, Custom) else 0
    try:
        upstream(rule, down, up, np.unique(np.linspace(0, down.size - 1, tried, dtype=np.int64)))
    except UsageError as error:
        raise UsageError(f"{where}: {error.message}", hint=error.hint) from error


def _settled_ms(partitionings: Iterable[Partitioning], now_ms: int, *, windows: int) -> int:
    """Return an instant, now or later, by which every time axis has that many windows, or all it ever will have."""
    until_ms = now_ms
    for partitioning in partitionings:
        grid = partitioning.grid(now_ms)
        if grid.is_open and grid.axis is not None and grid.bounds is not None and grid.n_times < windows:
            until_ms = max(until_ms, int(grid.bounds[-1]) + windows * LONGEST_MS[grid.axis.unit])
    return until_ms


def _check_loop(loop: Mapping[str, Dataset], now_ms: int) -> None:
    offsets = [
        abs(read.mapping.count)
        for dataset in loop.values()
        for read in dataset.inputs.values()
        if read.dataset in loop and isinstance(read.mapping, Offset)
    ]
    until_ms = _settled_ms((d.partitioning for d in loop.values()), now_ms, windows=max([1, *offsets]) + 2)
    grids: dict[str, Grid] = {name: dataset.partitioning.grid(until_ms) for name, dataset in loop.items()}
    reads = {
        name: [
            (read.dataset, upstream(read.mapping, grids[name], grids[read.dataset], np.arange(grids[name].size)))
            for read in dataset.inputs.values()
            if read.dataset in loop
        ]
        for name, dataset in loop.items()
    }
    cycle = find_cycle(grids, reads)
    if cycle is None:
        return
    names = [f"{name}/{grids[name].key(index)}" for name, index in cycle]
    if len(names) > SHOWN_PARTITIONS:
        names[SHOWN_PARTITIONS - 2 : -2] = ["..."]
    raise UsageError(
        f"{_place(loop[cycle[0][0]])}a partition needs itself: {' -> '.join(names)}",
        hint="Each reads the next. Let one of them read an earlier window, for example with an offset of -1.",
    )


def _place(declared: Dataset | Source) -> str:
    return f"{declared.declared_at}: " if declared.declared_at else ""
