"""What a seed draws: datasets and their edges, policies, runs, live changes and faults. Values only."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from headgate.core.edges import Edge, ListEdge, RangeEdge, SameEdge, SharedEdge
from headgate.core.events import Lane, Shared, Stage

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from random import Random

    from numpy.typing import NDArray

    from headgate.model.policy import BreakerPolicy, Pool, RetryPolicy, ServiceClass
    from headgate.model.run import ErrorClass, TaskState

Partition = tuple[int, int]
"""Number of a dataset, and index of one of its partitions."""

ALWAYS = 10**6
"""Failures of a partition that never succeeds."""

LONGEST_MS = 3_000
"""How long an attempt takes at most while nothing is wrong."""


class Sharing(Enum):
    """Whether runs have partitions in common: none; some, and the scheduler is told; some, and it is not.

    Where it is not told, the compare-and-swap of heads is all that is left between an older attempt and a newer one.
    """

    APART = auto()
    LINES = auto()
    BLIND = auto()


class Fate(NamedTuple):
    """What attempts of a partition come to when nothing else goes wrong.

    Args:
        error: What those that fail meet; `lost` kills the worker.
        failures: How many fail before one succeeds.
        changes: Whether the one that succeeds makes other content than there was.
    """

    error: ErrorClass | None
    failures: int
    changes: bool


class Read(NamedTuple):
    """What the partitions of a dataset read of another: its number, which kind of edge, and the plain lists."""

    upstream: int
    kind: str
    lists: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class Table:
    """A dataset, with the policies that hold for it."""

    name: str
    size: int
    lane: Lane
    reads: tuple[Read, ...]
    pools: tuple[tuple[str, int], ...]
    retry: RetryPolicy
    breaker: BreakerPolicy
    typical_ms: float
    can_yield: bool
    batch: int
    gathers: bool


class Part(NamedTuple):
    """The partitions of one dataset in a run.

    Args:
        table: The dataset.
        indices: Which.
        skippable: Which may be skipped.
        blocked: Which were planned as blocked.
        concurrency: With how many attempts of the dataset, of all runs, the run starts no more of it.
    """

    table: int
    indices: tuple[int, ...]
    skippable: tuple[bool, ...]
    blocked: tuple[bool, ...]
    concurrency: int | None


@dataclass(frozen=True, slots=True)
class Request:
    """A run that somebody asks for at a time; times count from the start of the play.

    With `joins` it takes what other runs make of its partitions; otherwise it builds them after those.
    """

    run: str
    at_ms: int
    service_class: str
    owner: str
    priority: int
    concurrency: int | None
    joins: bool
    parts: tuple[Part, ...]

    def place(self, task: int) -> tuple[int, int]:
        """Return the stage and the position in it of a task."""
        for number, part in enumerate(self.parts):
            if task < len(part.indices):
                return number, task
            task -= len(part.indices)
        raise AssertionError(task)

    def partition(self, task: int) -> Partition:
        """Return what a task builds."""
        stage, position = self.place(task)
        part = self.parts[stage]
        return part.table, part.indices[position]

    def partitions(self) -> list[Partition]:
        """Return what the tasks build, by task."""
        return [(part.table, index) for part in self.parts for index in part.indices]


class Change(NamedTuple):
    """Something that a person asks for at a time: of a run, a pool or a breaker."""

    at_ms: int
    verb: str
    target: str
    value: int = 0


@dataclass(frozen=True, slots=True)
class Scene:
    """All that a seed draws."""

    seed: int
    begins_ms: int
    lanes: Mapping[Lane, tuple[int, int]]
    sharing: Sharing
    classes: tuple[ServiceClass, ...]
    pools: Mapping[str, Pool]
    total: int | None
    owner_weights: Mapping[str, float]
    tables: tuple[Table, ...]
    fates: Mapping[Partition, Fate]
    heads: frozenset[Partition]
    requests: Mapping[str, Request]
    changes: tuple[Change, ...]
    rates: Mapping[str, float]
    heals_ms: int
    heartbeat_ms: int

    def bound_ms(self) -> int:
        """Return within how much time everything must end once nothing goes wrong any more.

        As if all attempts came one after the other, each after the longest wait of each kind.
        """
        policies = [table.retry for table in self.tables]
        breakers = [table.breaker for table in self.tables] + [pool.breaker for pool in self.pools.values()]
        wait_ms = LONGEST_MS + max(one.backoff_max_ms for one in policies) + sum(b.cooldown_max_ms for b in breakers)
        windows_ms = sum(60_000 * (w.end_minute - w.start_minute) for one in self.classes for w in one.windows)
        return (self.attempts() + 1) * wait_ms + windows_ms + 2 * self.heartbeat_ms

    def attempts(self) -> int:
        """Return how many attempts all tasks can make once nothing goes wrong any more."""
        # One more than a task has tries: the ranged one that it failed in.
        most = 1 + max(table.retry.attempts for table in self.tables)
        return sum(len(request.partitions()) for request in self.requests.values()) * most

    def stages(
        self,
        request: Request,
        states: Sequence[Sequence[TaskState]],
        changed: Sequence[Sequence[bool]],
        priorities: Sequence[NDArray[np.int64]],
    ) -> tuple[Stage, ...]:
        """Return a run as the scheduler takes it."""
        place = {part.table: number for number, part in enumerate(request.parts)}
        found = []
        for number, part in enumerate(request.parts):
            table = self.tables[part.table]
            edges = tuple(
                _edge(read, place[read.upstream], part.indices, request.parts[place[read.upstream]].indices)
                for read in table.reads
                if read.upstream in place
            )
            found.append(
                Stage(
                    dataset=table.name,
                    lane=table.lane,
                    edges=edges,
                    priority=priorities[number],
                    states=np.array(states[number], np.uint8),
                    changed=np.array(changed[number], bool),
                    skippable=np.array(part.skippable, bool),
                    concurrency=part.concurrency,
                    pools=table.pools,
                    retry=table.retry,
                    breaker=table.breaker,
                    typical_ms=table.typical_ms,
                    can_yield=table.can_yield,
                    batch=table.batch,
                    successor=_successor(part.indices),
                    gathers=table.gathers,
                )
            )
        return tuple(found)

    def shared(self, request: Request, runs: Iterable[str]) -> list[Shared]:
        """Return which partitions a run has in common with others, as far as the scheduler is told."""
        if self.sharing is not Sharing.LINES:
            return []
        return [
            Shared(number, mine, run, other_number, theirs)
            for run in runs
            for number, part in enumerate(request.parts)
            for other_number, other in enumerate(self.requests[run].parts)
            if part.table == other.table
            for _, mine, theirs in [np.intersect1d(part.indices, other.indices, return_indices=True)]
            if len(mine)
        ]

    def upstream(self, request: Request) -> list[list[int]]:
        """Return the tasks that each task of a run waits for."""
        task = {partition: number for number, partition in enumerate(request.partitions())}
        return [
            [
                task[read.upstream, above]
                for read in self.tables[table].reads
                for above in read.lists[index]
                if (read.upstream, above) in task
            ]
            for table, index in request.partitions()
        ]


def priorities(request: Request, random: Random) -> list[NDArray[np.int64]]:
    """Return an order in which a run may start its tasks."""
    return [np.array([random.randrange(4) for _ in part.indices], np.int64) for part in request.parts]


def _successor(indices: tuple[int, ...]) -> NDArray[np.int32]:
    """Return the position of the partition after each, -1 where that is not in the run."""
    place = {index: position for position, index in enumerate(indices)}
    return np.array([place.get(index + 1, -1) for index in indices], np.int32)


def _edge(read: Read, upstream: int, indices: tuple[int, ...], above: tuple[int, ...]) -> Edge:
    """Return the edge between the partitions of two datasets that are in a run."""
    size, n_above = len(indices), len(above)
    if read.kind == "same" and indices == above:
        return SameEdge(upstream)
    if read.kind == "shared":
        members = set(read.lists[indices[0]]) if indices else set()
        return SharedEdge(upstream, size, np.array([at in members for at in above], bool))
    lists = [[bisect_left(above, at) for at in read.lists[index] if at in above] for index in indices]
    if read.kind == "range":
        # An empty range begins where it would be, so that bounds never decrease.
        starts = [(read.lists[index] or (index,))[0] for index in indices]
        lo = np.array([bisect_left(above, start) for start in starts], np.int32)
        return RangeEdge(upstream, lo, lo + np.array([len(one) for one in lists], np.int32))
    offsets = np.array([0, *np.cumsum([len(one) for one in lists], dtype=np.int64)], np.int64)
    return ListEdge.build(upstream, n_above, offsets, np.array([at for one in lists for at in one], np.int32))
