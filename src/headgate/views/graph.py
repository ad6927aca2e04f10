"""The datasets and sources of a project, how many partitions they have, and who reads what."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from headgate.model.dataset import Dataset
from headgate.model.mapping import describe
from headgate.planning.graph import order
from headgate.views.audit import DeclaredGate, declared_gates

if TYPE_CHECKING:
    from headgate.project.load import Project


@dataclass(frozen=True, slots=True)
class Node:
    """A dataset or source.

    Args:
        name: Its name.
        kind: ``dataset`` or ``source``.
        partitioning: Its partitioning as text.
        partitions: How many of its partitions there are now.
        first: Key of the first one; None when there is none.
        last: Key of the last one, likewise.
        description: One line for people.
        declared_at: ``file:line``.
        path: Pattern of a source's files; empty for a dataset.
        code: Fingerprint of a dataset's code; empty for a source.
        gates: What must hold of a dataset's rows before they are published.
    """

    name: str
    kind: str
    partitioning: str
    partitions: int
    first: str | None
    last: str | None
    description: str
    declared_at: str
    path: str = ""
    code: str = ""
    gates: tuple[DeclaredGate, ...] = ()


@dataclass(frozen=True, slots=True)
class Link:
    """An edge: a dataset reads another, or a source, through one of its parameters."""

    dataset: str
    parameter: str
    reads: str
    mapping: str
    allow_missing: bool


@dataclass(frozen=True, slots=True)
class GraphView:
    """A project's graph; datasets come after what they read."""

    datasets: tuple[Node, ...]
    edges: tuple[Link, ...]


def graph(project: Project, now_ms: int) -> GraphView:
    """Return the graph, with the partitions whose windows have ended by an instant (UTC milliseconds)."""
    nodes: list[Node] = []
    edges: list[Link] = []
    for name in order(project.datasets, project.sources):
        declared = project.datasets.get(name) or project.sources[name]
        grid = declared.partitioning.grid(now_ms)
        is_dataset = isinstance(declared, Dataset)
        nodes.append(
            Node(
                name=name,
                kind="dataset" if is_dataset else "source",
                partitioning=declared.partitioning.spec,
                partitions=grid.size,
                first=grid.key(0) if grid.size else None,
                last=grid.key(grid.size - 1) if grid.size else None,
                description=declared.description,
                declared_at=declared.declared_at,
                path="" if isinstance(declared, Dataset) else declared.pattern,
                code=declared.code if isinstance(declared, Dataset) else "",
                gates=declared_gates(declared.gates) if isinstance(declared, Dataset) else (),
            )
        )
        if isinstance(declared, Dataset):
            edges += [
                Link(name, parameter, entry.dataset, describe(entry.mapping), entry.allow_missing)
                for parameter, entry in declared.inputs.items()
            ]
    return GraphView(tuple(nodes), tuple(edges))
