"""headgate graph: datasets, partitions and edges."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from headgate.cli import options
from headgate.cli.text import counted, gate_text, plain, print_json

if TYPE_CHECKING:
    from pathlib import Path

    from headgate.views.graph import GraphView, Node


@click.command("graph")
@options.as_json
@options.folder
@click.pass_obj
def command(root: Path, as_json: bool) -> None:
    """Show datasets and sources, how many partitions they have, and who reads what."""
    from headgate.project.load import load
    from headgate.views.graph import graph

    found = graph(load(root), time.time_ns() // 1_000_000)
    print_json(found) if as_json else click.echo(_text(found))


def _text(graph: GraphView) -> str:
    sources = [node for node in graph.datasets if node.kind == "source"]
    datasets = [node for node in graph.datasets if node.kind == "dataset"]
    lines: list[str] = []
    for node in sources:
        lines += [_head(node), f"    from {plain(node.path)}"]
    for node in datasets:
        lines.append(_head(node))
        edges = [edge for edge in graph.edges if edge.dataset == node.name]
        longest = max((len(edge.reads) for edge in edges), default=0)
        for edge in edges:
            named = "" if edge.parameter == edge.reads else f", as {edge.parameter}"
            missing = ", if there" if edge.allow_missing else ""
            lines.append(f"    reads {edge.reads:<{longest}}  {plain(edge.mapping)}{named}{missing}")
        lines += [f"    gate {gate_text(gate)}" for gate in node.gates]
    total = sum(node.partitions for node in datasets)
    lines += [
        "",
        ", ".join((counted(len(sources), "source"), counted(len(datasets), "dataset"), counted(total, "partition"))),
    ]
    return "\n".join(lines)


def _head(node: Node) -> str:
    name = click.style(node.name, bold=True)
    kind = "source" if node.kind == "source" else "dataset"
    where = f", {node.first} to {node.last}" if node.partitions > 1 else ""
    about = f"  {click.style(plain(node.description), dim=True)}" if node.description else ""
    return f"{name}  {kind}, {counted(node.partitions, 'partition')}{where}{about}"
