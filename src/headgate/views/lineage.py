"""What a version was made from, down to files, and what was made from it."""

from __future__ import annotations

import json
from collections import defaultdict, deque
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from headgate.errors import UsageError, intact
from headgate.model.names import shown
from headgate.store.lineage import Descent, Traced, Visibility

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from headgate.model.version import File, Parameters
    from headgate.store.quarantine import Quarantined
    from headgate.store.records import Candidate
    from headgate.store.store import Store


class Direction(StrEnum):
    """Which way to look: at what something was made from, or at what was made from it."""

    UP = "up"
    DOWN = "down"


@dataclass(frozen=True, slots=True)
class LineageNode:
    """A version, and how it was made.

    Args:
        id: Stable name: ``v`` and its number.
        version: Its number, which is that of the attempt that made it.
        dataset: Name.
        key: Partition key.
        distance: Steps from the version that was asked about, the shortest way.
        state: Whether readers see it: head, former, rolled back, staged, discarded, quarantined.
        run: Which made it; empty for a source's.
        made_ms: When it was recorded.
        code: Fingerprint of the code; empty for a source's.
        declared_version: The author's explicit version, if any.
        parameters: The `[parameters]` that the attempt was given; None where nobody noted them.
        rows: Rows of it; -1 if nobody has counted.
        bytes: Its bytes.
        files: Its files, with their hashes.
        packed_as: The version that readers see of it, if that is another one: a compaction.
        confirmations: How many later attempts found the same content.
        confirmed_by: The run of the newest of these; None for none.
    """

    id: str
    version: int
    dataset: str
    key: str
    distance: int
    state: Visibility
    run: str
    made_ms: int
    code: str
    declared_version: str | None
    parameters: Parameters | None
    rows: int
    bytes: int
    files: tuple[File, ...]
    packed_as: int | None
    confirmations: int
    confirmed_by: str | None


@dataclass(frozen=True, slots=True)
class LineageEdge:
    """That a version was made from another; or, with `how` ``confirmed``, found again when that was read."""

    made: str
    source: str
    how: str


@dataclass(frozen=True, slots=True)
class LineageView:
    """A version with all that it was made from, or all that was made from it.

    Args:
        root: The version, as the node of that id.
        asked: The number that was asked about: that of a compaction of the root, or the root's own.
        direction: Which way.
        depth: How many steps at most; None for all.
        nodes: The root, then the others by distance, dataset and key.
        edges: In the order of their versions.
    """

    root: LineageNode
    asked: int
    direction: Direction
    depth: int | None
    nodes: tuple[LineageNode, ...]
    edges: tuple[LineageEdge, ...]


@dataclass(frozen=True, slots=True)
class Ask:
    """What somebody wants to know the lineage of.

    Args:
        dataset: Name.
        key: Partition key, as it is recorded.
        version: Which version; the head, if None.
        direction: Which way.
        depth: How many steps at most; all, if None.
    """

    dataset: str
    key: str
    version: int | None = None
    direction: Direction = Direction.UP
    depth: int | None = None


def lineage(store: Store, ask: Ask) -> LineageView:
    """Return the lineage of a version of a partition.

    Raises:
        UsageError: The partition has no such version, or no head.
    """
    asked = _head(store, ask.dataset, ask.key) if ask.version is None else ask.version
    refused = next(iter(store.quarantined(attempt=asked)), None)
    if refused is not None and store.version(asked) is None:
        return _of_refused(store, ask, refused)
    root = _identity(store, ask.dataset, ask.key, asked)
    walk = store.made_from if ask.direction is Direction.UP else store.made_of
    return _view(store, ask, asked, root, walk([root], depth=ask.depth))


def _head(store: Store, dataset: str, key: str) -> int:
    head = next(store.heads(dataset, [key]), None)
    if head is not None:
        return head.id
    there = [str(one.version) for one in store.checkpoints(dataset, key, limit=5)]
    there += [str(one.candidate.attempt) for one in store.quarantined(dataset=dataset, key=key, limit=5)]
    if there:
        listed = ", ".join(dict.fromkeys(there))
        hint = f"Name a version: --version {there[0]}. The newest are {listed}."
    else:
        hint = f"Nothing has been published of it yet: headgate explain {dataset} {key}"
    raise UsageError(f"{dataset}/{shown(key)[1:-1]} has no head", hint=hint)


def _identity(store: Store, dataset: str, key: str, asked: int) -> int:
    found = store.version(asked)
    if found is not None and (found.dataset, found.key) == (dataset, key):
        return found.identity
    there = list(dict.fromkeys(str(one.version) for one in store.checkpoints(dataset, key, limit=5)))
    hint = f"Its newest versions: {', '.join(there)}." if there else "Nothing has been published of it yet."
    if found is None:
        raise UsageError(f"there is no version {asked} of {dataset}/{key}", hint=hint)
    raise UsageError(f"version {asked} is one of {found.dataset}/{found.key}, not of {dataset}/{key}", hint=hint)


def _of_refused(store: Store, ask: Ask, refused: Quarantined) -> LineageView:
    """Return the lineage of what gates have refused: it is no version, but what it was made from is known."""
    one = refused.candidate
    if (one.dataset, one.key) != (ask.dataset, ask.key):
        raise UsageError(f"attempt {one.attempt} is one of {one.dataset}/{one.key}, not of {ask.dataset}/{ask.key}")
    edges: list[Descent] = []
    if ask.direction is Direction.UP:
        pinned = dict.fromkeys(found.identity for number in one.inputs if (found := store.version(number)) is not None)
        edges = [Descent(one.attempt, source, True) for source in pinned]
        if ask.depth is None or ask.depth > 1:
            edges += store.made_from(pinned, depth=None if ask.depth is None else ask.depth - 1)
    made = Traced(
        version=one.attempt,
        dataset=one.dataset,
        key=one.key,
        files=one.files,
        rows=one.rows,
        bytes=one.bytes,
        made_ms=refused.at_ms,
        run=one.run,
        code=one.code,
        declared_version=one.declared_version,
        parameters=_parameters(one),
        shown_as=None,
        visibility=Visibility.QUARANTINED,
        confirmations=0,
        confirmed_by=None,
    )
    return _view(store, ask, one.attempt, made, edges)


def _parameters(one: Candidate) -> Parameters | None:
    with intact(f"the parameters of attempt {one.attempt}"):
        return None if one.parameters is None else dict(json.loads(one.parameters))


def _view(store: Store, ask: Ask, asked: int, root: int | Traced, edges: Sequence[Descent]) -> LineageView:
    made = [root] if isinstance(root, Traced) else []
    distance = _distances(asked if isinstance(root, Traced) else root, edges, ask.direction)
    nodes = [_node(one, distance[one.version]) for one in (*store.traced(distance), *made)]
    nodes.sort(key=lambda node: (node.distance, node.dataset, node.key, node.version))
    told = (LineageEdge(f"v{v}", f"v{s}", "made" if is_made else "confirmed") for v, s, is_made in sorted(edges))
    return LineageView(nodes[0], asked, ask.direction, ask.depth, tuple(nodes), tuple(told))


def _distances(root: int, edges: Iterable[Descent], direction: Direction) -> Mapping[int, int]:
    """Return how many steps each version is away from the root."""
    following: defaultdict[int, list[int]] = defaultdict(list)
    for made, source, _ in edges:
        here, there = (made, source) if direction is Direction.UP else (source, made)
        following[here].append(there)
    distance, waiting = {root: 0}, deque([root])
    while waiting:
        here = waiting.popleft()
        for there in following[here]:
            if there not in distance:
                distance[there] = distance[here] + 1
                waiting.append(there)
    return distance


def _node(one: Traced, distance: int) -> LineageNode:
    return LineageNode(
        id=f"v{one.version}",
        version=one.version,
        dataset=one.dataset,
        key=one.key,
        distance=distance,
        state=one.visibility,
        run=one.run,
        made_ms=one.made_ms,
        code=one.code,
        declared_version=one.declared_version,
        parameters=one.parameters,
        rows=one.rows,
        bytes=one.bytes,
        files=one.files,
        packed_as=one.shown_as if one.shown_as != one.version else None,
        confirmations=one.confirmations,
        confirmed_by=one.confirmed_by,
    )
