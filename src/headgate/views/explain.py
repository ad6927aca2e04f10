"""What state a partition is in and why, what it was made from, and what it waits for."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from headgate.model.mapping import describe
from headgate.model.plan import Request
from headgate.model.reason import Why
from headgate.planning.graph import readers
from headgate.planning.planner import lacking, make_plan, stale
from headgate.planning.sets import count
from headgate.project.landing import source_path
from headgate.store.quarantine import HELD_STATES
from headgate.views.audit import DeclaredGate, declared_gates
from headgate.views.history import HistoryEntry, history
from headgate.views.names import unknown_dataset
from headgate.views.policies import PolicyView, policy_view
from headgate.views.quarantine import QuarantinedLine, quarantined_line
from headgate.views.ranges import KeyRange, key_ranges
from headgate.views.task import Task, mask_of, newest_task, upstream_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from headgate.model.dataset import Dataset
    from headgate.model.plan import Problem
    from headgate.model.rollback import HeadMove
    from headgate.planning.snapshot import Snapshot
    from headgate.project.load import Project
    from headgate.store.store import Store

CHECKPOINTS_LOOKED_AT = 1000
"""So many of a partition at most, the newest first, for the one that its head rests on."""


@dataclass(frozen=True, slots=True)
class Moved:
    """An input that is not what the partition was made from.

    Args:
        dataset: The input.
        key: Its partition.
        before: The version that was read; None if none was.
        now: The version that would be read; None if there is none, 0 for a changed file that is not recorded yet.
    """

    dataset: str
    key: str
    before: int | None
    now: int | None


@dataclass(frozen=True, slots=True)
class Read:
    """What a partition reads through one parameter, as things are now."""

    parameter: str
    dataset: str
    mapping: str
    partitions: tuple[KeyRange, ...]


@dataclass(frozen=True, slots=True)
class Used:
    """A partition of an input with the version that the head was made from."""

    dataset: str
    key: str
    version: int


@dataclass(frozen=True, slots=True)
class Reader:
    """A dataset that reads the partition, and in which of its partitions."""

    dataset: str
    partitions: tuple[KeyRange, ...]


@dataclass(frozen=True, slots=True)
class Explanation:
    """Everything there is to know of a partition.

    Args:
        dataset: Name.
        key: Partition key.
        kind: ``dataset`` or ``source``.
        window: Its half-open window in UTC milliseconds, if it has one.
        state: ``published``, ``stale`` or ``missing``; for a source ``present``, ``changed`` or ``missing``.
        why: Why it is missing or stale, in words; empty when all is well.
        code: The fingerprints of the code that made the head and of the code now, if they differ.
        moved: Inputs that are not what the head was made from.
        upstream: Upstream partitions that a plan would rebuild first.
        lacks: What keeps it from being built now; empty if nothing does.
        head: The version that readers see and how it came to be.
        reads: What it reads.
        put_back: The rollback that left the head as it is now, a partition without one, too; None for none.
        made_from: What its head was made from.
        file: Where a source's file lies; empty for a dataset.
        read_by: Who reads it.
        task: What becomes of it in the newest run that plans it.
        gates: What must hold of its rows before they are published.
        quarantined: Results of it that are held in quarantine, newest first.
        policies: What may run of it at a time, and what follows a failure, in that run or else in one that somebody
            would start now; None for a source.
    """

    dataset: str
    key: str
    kind: str
    window: tuple[int, int] | None
    state: str
    why: str
    code: tuple[str, str] | None
    moved: tuple[Moved, ...]
    upstream: tuple[Reader, ...]
    lacks: str
    head: HistoryEntry | None
    put_back: HeadMove | None
    reads: tuple[Read, ...]
    made_from: tuple[Used, ...]
    file: str
    read_by: tuple[Reader, ...]
    task: Task | None
    gates: tuple[DeclaredGate, ...]
    quarantined: tuple[QuarantinedLine, ...]
    policies: PolicyView | None


def explain(
    project: Project, store: Store, snapshot: Snapshot, dataset: str, key: str | None, *, author: str = ""
) -> Explanation:
    """Explain one partition.

    Args:
        project: The user's project.
        store: Its state store.
        snapshot: How things stand.
        dataset: Name of a dataset or source.
        key: Key of one of its partitions; None for all of a dataset without partitions.
        author: Who asks: whose policies hold where no run has the partition in its plan.

    Raises:
        UsageError: There is no such dataset or partition.
    """
    if dataset not in snapshot.grids:
        raise unknown_dataset(dataset, snapshot.grids)
    grid = snapshot.grids[dataset]
    index = grid.index(key, dataset)
    key = grid.key(index)
    # The newest checkpoint may be one that is only staged, or was rolled back.
    entries = history(store, dataset, key, limit=CHECKPOINTS_LOOKED_AT)
    common = Explanation(
        dataset=dataset,
        key=key,
        kind="source",
        window=grid.window(index),
        state="",
        why="",
        code=None,
        moved=(),
        upstream=(),
        lacks="",
        head=next((entry for entry in entries if entry.is_head), None),
        put_back=None,
        reads=(),
        made_from=(),
        file="",
        read_by=_read_by(snapshot, dataset, index),
        task=None,
        gates=(),
        quarantined=tuple(map(quarantined_line, store.quarantined(dataset=dataset, key=key, states=HELD_STATES))),
        policies=None,
    )
    if dataset in project.sources:
        return _source(project, snapshot, common, index)
    found = _dataset(project.datasets[dataset], store, snapshot, common, index)
    run = store.run(found.task.run) if found.task else None
    policies = policy_view(project, project.datasets[dataset], run, author=author, now_ms=snapshot.as_of_ms)
    return replace(found, policies=policies)


def _source(project: Project, snapshot: Snapshot, found: Explanation, index: int) -> Explanation:
    heads = snapshot.heads[found.dataset]
    absent = heads.absent.get(index)
    state, why = "present", ""
    if absent is not None:
        state, why = "missing", absent
    elif heads.version[index] < 0:
        state = "changed" if found.head else "present"
        why = "the file is not the one that was recorded" if found.head else "no run has recorded it yet"
    source = project.sources[found.dataset]
    file = source_path(project.root, source, snapshot.grids[found.dataset], index)
    return replace(found, state=state, why=why, file=file)


def _dataset(dataset: Dataset, store: Store, snapshot: Snapshot, found: Explanation, index: int) -> Explanation:
    plan = make_plan(snapshot, Request(select=(f"+{dataset.name}",)))
    planned = {part.name: mask_of(snapshot, part) for part in plan.datasets}
    why = Why(int(stale(snapshot, dataset.name)[index]))
    if why is Why.NONE and dataset.name in planned and planned[dataset.name][index]:
        why = Why.UPSTREAM
    state = "missing" if found.head is None else "published" if why is Why.NONE else "stale"
    at = np.array([index], dtype=np.int64)
    _, problems = lacking(snapshot, dataset.name, at, planned)
    head = found.head
    made_from = _made_from(store, head) if head is not None else ()
    put_back = next(iter(store.head_moves(found.dataset, found.key, limit=1)), None)
    if put_back is not None and put_back.after != (head.version if head is not None else None):
        put_back = None
    moved = inputs_moved(dataset, snapshot, index, made_from) if head is not None else ()
    text = why.text if why is not Why.NONE else ""
    if why is Why.MISSING:
        text = "what was published was taken back" if put_back else "no version has been published"
    if why is Why.INPUTS and not moved:
        text = "it reads its inputs in another way now"
    return replace(
        found,
        kind="dataset",
        gates=declared_gates(dataset.gates),
        state=state,
        why=text,
        code=(head.code, dataset.code) if head is not None and head.code != dataset.code else None,
        moved=moved,
        upstream=_planned_upstream(dataset, snapshot, index, planned),
        lacks=_lacks(snapshot, dataset.name, index, problems if why is not Why.NONE else ()),
        reads=tuple(
            Read(
                parameter,
                entry.dataset,
                describe(entry.mapping),
                key_ranges(snapshot.grids[entry.dataset], upstream_of(snapshot, dataset.name, parameter, index)),
            )
            for parameter, entry in dataset.inputs.items()
        ),
        put_back=put_back,
        made_from=made_from,
        task=newest_task(store, snapshot, dataset.name, index),
    )


def _made_from(store: Store, head: HistoryEntry) -> tuple[Used, ...]:
    own = (head.dataset, head.key)
    # What a compaction has packed is no input.
    used = (one for one in store.lineage(head.attempt) if head.origin is None or (one.dataset, one.key) != own)
    return tuple(Used(one.dataset, one.key, one.identity) for one in used)


def _lacks(snapshot: Snapshot, name: str, index: int, problems: Sequence[Problem]) -> str:
    held = snapshot.heads[name].held.get(index)
    if held is not None:
        return f"is held by rollback {held}, until the cause of that is resolved"
    return problems[0].text if problems else ""


def inputs_moved(dataset: Dataset, snapshot: Snapshot, index: int, made_from: tuple[Used, ...]) -> tuple[Moved, ...]:
    """Return the inputs of a partition that are not what its head was made from."""
    before = {(used.dataset, used.key): used.version for used in made_from}
    # What a compaction has packed is no input.
    before.pop((dataset.name, snapshot.grids[dataset.name].key(index)), None)
    now: dict[tuple[str, str], int] = {}
    for parameter, entry in dataset.inputs.items():
        grid, heads = snapshot.grids[entry.dataset], snapshot.heads[entry.dataset]
        versions, gone = heads.version, heads.absent if entry.allow_missing else ()
        for upstream in upstream_of(snapshot, dataset.name, parameter, index).tolist():
            if versions[upstream] and upstream not in gone:
                now[entry.dataset, grid.key(upstream)] = max(int(versions[upstream]), 0)
    return tuple(
        Moved(*place, before.get(place), now.get(place))
        for place in dict.fromkeys([*now, *before])
        if before.get(place) != now.get(place)
    )


def _planned_upstream(
    dataset: Dataset, snapshot: Snapshot, index: int, planned: dict[str, NDArray[np.bool_]]
) -> tuple[Reader, ...]:
    found = []
    for parameter, entry in dataset.inputs.items():
        upstream = upstream_of(snapshot, dataset.name, parameter, index)
        if entry.dataset in planned and (hit := upstream[planned[entry.dataset][upstream]]).size:
            found.append(Reader(entry.dataset, key_ranges(snapshot.grids[entry.dataset], hit)))
    return tuple(dict.fromkeys(found))


def _read_by(snapshot: Snapshot, name: str, index: int) -> tuple[Reader, ...]:
    own = np.zeros(snapshot.grids[name].size, dtype=bool)
    own[index] = True
    found = []
    for reader, parameter in readers(snapshot.datasets).get(name, ()):
        hit = np.flatnonzero(count(own, snapshot.reads(reader, snapshot.datasets[reader].inputs[parameter])))
        if hit.size:
            found.append(Reader(reader, key_ranges(snapshot.grids[reader], hit)))
    return tuple(dict.fromkeys(found))
