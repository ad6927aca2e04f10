"""headgate lineage: what a version was made from, down to files, or what was made from it."""

from __future__ import annotations

from collections import Counter, defaultdict
from itertools import groupby
from typing import TYPE_CHECKING

import click

from headgate.cli import options
from headgate.cli.text import counted, moment, plain, print_json, table
from headgate.errors import HeadgateError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from headgate.model.grid import Grid
    from headgate.views.lineage import LineageNode, LineageView

SHOWN_CODE = 12
SHOWN_HASH = 20
DEEPEST = 12
"""Steps farther away are not moved any further to the right."""
SHOWN_GROUPS = 60


@click.command("lineage")
@click.argument("dataset")
@click.argument("key", required=False)
@click.option("--up", "direction", flag_value="up", default=True, help="What it was made from; this if not given.")
@click.option("--down", "direction", flag_value="down", help="What was made from it.")
@click.option("--version", type=click.IntRange(1), metavar="V", help="Of this version; the head if not given.")
@click.option("--depth", type=click.IntRange(1), metavar="N", help="So many steps at most.")
@click.option("--all", "everything", is_flag=True, help="List every version, not only ranges.")
@click.option("--dot", is_flag=True, help="Print a graph in the language of Graphviz.")
@options.as_json
@options.folder
@click.pass_obj
def command(
    root: Path,
    *,
    dataset: str,
    key: str | None,
    direction: str,
    version: int | None,
    depth: int | None,
    everything: bool,
    dot: bool,
    as_json: bool,
) -> None:
    """Show what the partition KEY of DATASET was made from: versions, code, parameters, runs, down to files.

    A dataset without partitions needs no KEY.
    By default its head is meant. Versions that are no heads any more, were rolled back, are staged or quarantined have
    their lineage, too: `headgate history` shows their numbers.
    """
    from headgate.views.lineage import Ask, Direction, lineage
    from headgate.views.reading import reading

    if dot and as_json:
        raise UsageError("--dot and --json are two forms of the same", hint="Give one of them.")
    with reading(root) as (_, store):
        if key is None:
            from headgate.views.partition import only_key

            key = only_key(root, dataset)
        if not store.checkpoints(dataset, key, limit=1) and not store.quarantined(dataset=dataset, key=key, limit=1):
            # Nothing under this name: the project knows whether it could be there, and how its key is written.
            from headgate.views.partition import canonical_key

            key = canonical_key(root, dataset, key) or key
        view = lineage(store, Ask(dataset, key, version, Direction(direction), depth))
    if as_json:
        print_json(view)
    elif dot:
        click.echo("\n".join(_dot_lines(view)))
    else:
        click.echo(_list_text(view) if everything else "\n".join(_tree_lines(view, _grids(root))))


def _grids(root: Path) -> Mapping[str, Grid]:
    """Return the partitions of what the project declares; nothing if it cannot be loaded."""
    from headgate.drivers.clock import now_ms
    from headgate.project.load import load

    try:
        project = load(root)
    except HeadgateError:
        return {}
    at = now_ms()
    return {name: one.partitioning.grid(at) for name, one in (project.datasets | project.sources).items()}


def _tree_lines(view: LineageView, grids: Mapping[str, Grid]) -> Iterator[str]:
    """Yield the lineage as a tree of datasets: the versions of each on one line, where it first comes up."""
    by_dataset: defaultdict[str, list[LineageNode]] = defaultdict(list)
    dataset_of = {}
    for node in view.nodes:
        dataset_of[node.id] = node.dataset
        if node is not view.root:
            by_dataset[node.dataset].append(node)
    following: defaultdict[str, dict[str, None]] = defaultdict(dict)
    for edge in view.edges:
        here, there = (edge.made, edge.source) if view.direction == "up" else (edge.source, edge.made)
        following[dataset_of[here]][dataset_of[there]] = None
    yield from _root_lines(view)
    found_again = {edge.made for edge in view.edges if edge.how == "confirmed"}
    found_again -= {edge.made for edge in view.edges if edge.how == "made"}
    told: set[str] = set()
    # The root's dataset may come up again below it: a partition that reads an earlier one.
    waiting = [(name, 1) for name in sorted(following[view.root.dataset], reverse=True)]
    while waiting:
        name, level = waiting.pop()
        if name in told:
            continue
        if len(told) == SHOWN_GROUPS:
            left = len(by_dataset) - len(told)
            yield f"... and versions of {counted(left, 'more dataset')}: --all lists them, --depth bounds them"
            break
        told.add(name)
        indent = "  " * min(level, DEEPEST)
        for line in _group_lines(by_dataset[name], grids.get(name), found_again):
            yield indent + line
        waiting += [(other, level + 1) for other in sorted(following[name], reverse=True) if other not in told]


def _root_lines(view: LineageView) -> Iterator[str]:
    root = view.root
    yield f"{root.dataset}/{plain(root.key)}  version {root.version}, {root.state}"
    for line in _made_lines([root]):
        yield f"    {line}"
    if view.asked != root.version:
        yield f"    version {view.asked} holds it again in other files"
    elif root.packed_as is not None:
        yield f"    readers see it as version {root.packed_as}, which holds it again in other files"
    if len(view.nodes) == 1:
        yield "  made from nothing else" if view.direction == "up" else "  nothing was made from it"
    else:
        yield "  made from" if view.direction == "up" else "  from it was made"


def _group_lines(nodes: Sequence[LineageNode], grid: Grid | None, found_again: set[str]) -> Iterator[str]:
    """Yield what there is to say of versions of one dataset."""
    states = Counter(str(node.state) for node in nodes)
    if len(nodes) == 1:
        (node,) = nodes
        again = ", found again when it was read" if node.id in found_again else ""
        yield f"{node.dataset}/{plain(node.key)}  version {node.version}, {node.state}{again}"
    else:
        keys = sorted({node.key for node in nodes})
        what = counted(len(keys), "partition")
        if len(nodes) != len(keys):
            what += f" in {len(nodes):,} versions"
        stand = ", ".join(f"{count:,} {state}" for state, count in states.most_common())
        yield f"{nodes[0].dataset}  {what}: {_ranges(keys, grid)}  ({stand})"
        repeats = sum(node.id in found_again for node in nodes)
        if repeats:
            yield f"    {repeats:,} of them {'was' if repeats == 1 else 'were'} found again when it was read"
    for line in _made_lines(nodes):
        yield f"    {line}"


def _ranges(keys: Sequence[str], grid: Grid | None) -> str:
    from headgate.cli.plan_text import ranges_text
    from headgate.views.ranges import key_ranges

    found = None if grid is None else grid.find_all(keys)
    if grid is None or found is None or (found < 0).any():
        return plain(f"{keys[0]} to {keys[-1]}" if len(keys) > 1 else keys[0])
    found.sort()
    return ranges_text(key_ranges(grid, found))


def _made_lines(nodes: Sequence[LineageNode]) -> Iterator[str]:
    """Yield how versions were made: when and in which runs, by which code, with which parameters, from which files."""
    first, last = (moment(ms) for ms in (min(node.made_ms for node in nodes), max(node.made_ms for node in nodes)))
    when = first if first == last else f"{first} to {last}"
    if not any(node.run for node in nodes):
        yield f"recorded {when} UTC"
        files = [file for node in nodes for file in node.files]
        if len(files) == 1:
            yield f"{plain(files[0].path)}  {plain(files[0].hash)}"
        else:
            yield counted(len(files), "file")
        return
    attempt = f", attempt {nodes[0].version}" if len(nodes) == 1 else ""
    yield f"made {when} UTC by {_few([node.run for node in nodes], 'run')}{attempt}"
    codes = [f"version {node.declared_version}" if node.declared_version else node.code[:SHOWN_CODE] for node in nodes]
    given = [" ".join(f"{k}={v}" for k, v in sorted(node.parameters.items())) for node in nodes if node.parameters]
    parameters = f", {_few(given, 'parameters', 'sets of parameters')}" if given else ""
    yield f"{_few(codes, 'code', 'codes')}{parameters}"
    confirmed = [node.confirmed_by for node in nodes if node.confirmed_by]
    if confirmed:
        times = sum(node.confirmations for node in nodes)
        yield f"confirmed {'once' if times == 1 else f'{times:,} times'}, by {_few(confirmed, 'run')}"


def _few(values: Sequence[str], one: str, several: str = "") -> str:
    """Return the only value there is, with its noun, or how many there are."""
    there = dict.fromkeys(values)
    if len(there) > 1:
        return f"{len(there):,} {several or one + 's'}"
    return f"{one} {plain(next(iter(there)))}"


def _list_text(view: LineageView) -> str:
    rows = [
        (
            str(node.distance),
            node.dataset,
            node.key,
            str(node.version),
            node.state,
            moment(node.made_ms),
            node.run or "(source)",
            node.declared_version or node.code[:SHOWN_CODE],
            f"{node.files[0].path} {node.files[0].hash[:SHOWN_HASH]}" if node.files and not node.run else "",
        )
        for node in view.nodes
    ]
    header = ("steps", "dataset", "key", "version", "", "made (UTC)", "run", "code", "file")
    return table(header, rows, right=frozenset({0, 3}))


def _dot_lines(view: LineageView) -> Iterator[str]:
    """Yield the lineage as a graph; arrows go from what was read to what was made from it."""
    yield "digraph lineage {"
    yield "  rankdir=LR;"
    yield "  node [shape=box];"
    for dataset, nodes in groupby(sorted(view.nodes, key=lambda node: node.dataset), key=lambda node: node.dataset):
        for node in nodes:
            label = _quoted(f"{dataset}/{node.key}\nversion {node.version}, {node.state}")
            style = "" if node.state == "head" else ", style=dashed"
            yield f"  {node.id} [label={label}{style}];"
    for edge in view.edges:
        style = "" if edge.how == "made" else " [style=dotted, label=confirmed]"
        yield f"  {edge.source} -> {edge.made}{style};"
    yield "}"


def _quoted(text: str) -> str:
    r"""Return a text as a quoted string of DOT, where ``\n`` breaks the line and nothing else is special."""
    lines = (plain(line).replace("\\", "\\\\").replace('"', '\\"') for line in text.split("\n"))
    return '"' + "\\n".join(lines) + '"'
