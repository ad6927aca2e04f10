"""Where a partition stands in the newest run that has it in its plan."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from headgate.model.reason import Wait
from headgate.model.run import AttemptState, RunKind, RunState, has_failed
from headgate.planning.codec import plan_from_json
from headgate.planning.planner import with_problems
from headgate.planning.sets import covered
from headgate.store.quarantine import QuarantineState
from headgate.views.status import FailureLine, failure_line, state_now
from headgate.views.waiting import Hold, hold, said

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from headgate.model.mapping import Lists, Spans
    from headgate.model.plan import Plan, PlannedDataset
    from headgate.model.run import Attempt, Run
    from headgate.planning.snapshot import Snapshot
    from headgate.store.store import Store

RUNS_LOOKED_AT = 100
FEW = 16

_BUILDS_NOTHING = frozenset({RunKind.ROLLBACK, RunKind.COMPACTION})
_FREE = frozenset({AttemptState.RETURNED, AttemptState.YIELDED})
"""Attempts that count as no try."""
_OF_OTHERS = frozenset({"upstream", "backing_off", "retry_budget"})
"""Reasons that hold for some tasks of a dataset, whatever else holds for the others."""


@dataclass(frozen=True, slots=True)
class Upstream:
    """A task that another one waits for, and whether it has failed."""

    dataset: str
    key: str
    failed: bool


@dataclass(frozen=True, slots=True)
class Task:
    """A partition in a run.

    Args:
        run: Run id.
        run_state: Where the run stands; interrupted when nobody runs it.
        state: Where the task stands: succeeded, unchanged, skipped, running, failed, blocked, waiting, or not built.
        wait: Why it waits, in words; empty if it does not.
        hold: What keeps it from running and what would lift that, if it waits.
        waits_for: Tasks of the run that have to end first, if any.
        attempts: How often it has been tried.
        failure: What went wrong the last time, if it has not succeeded since.
    """

    run: str
    run_state: RunState
    state: str
    wait: str
    hold: Hold | None
    waits_for: tuple[Upstream, ...]
    attempts: int
    failure: FailureLine | None


def newest_task(store: Store, snapshot: Snapshot, dataset: str, index: int) -> Task | None:
    """Return what became of a partition in the newest run that has it in its plan; None if there is none."""
    for listed in store.runs(limit=RUNS_LOOKED_AT):
        run = store.run(listed.id)
        if run is None or run.kind in _BUILDS_NOTHING:
            continue
        plan = plan_from_json(run.plan)
        part = next((part for part in plan.datasets if part.name == dataset), None)
        if part is not None and index in part.indices and is_cut_as_then(snapshot, part):
            return _InRun(store, snapshot, run, plan).task(dataset, index)
    return None


def is_cut_as_then(snapshot: Snapshot, part: PlannedDataset) -> bool:
    """Return whether the indices of a planned dataset still mean what they meant when the plan was made."""
    dataset = snapshot.datasets.get(part.name)
    return dataset is not None and dataset.partitioning.spec == part.partitioning


def mask_of(snapshot: Snapshot, part: PlannedDataset) -> NDArray[np.bool_]:
    """Return which partitions of its dataset a part of a plan has."""
    mask = np.zeros(snapshot.grids[part.name].size, dtype=bool)
    mask[part.indices] = True
    return mask


def upstream_of(snapshot: Snapshot, dataset: str, parameter: str, index: int) -> NDArray[np.int64]:
    """Return the upstream indices that a partition reads through a parameter."""
    entry = snapshot.datasets[dataset].inputs[parameter]
    reads = snapshot.reads(dataset, entry, np.array([index], dtype=np.int64))
    return np.array(list(reads.of(0)), dtype=np.int64)


class _InRun:
    """One run, as it is recorded."""

    def __init__(self, store: Store, snapshot: Snapshot, run: Run, plan: Plan) -> None:
        self._store = store
        self._snapshot = snapshot
        self._run = run
        self._state = state_now(run, store.leader())
        self._plan = plan
        self._planned = {part.name: mask_of(snapshot, part) for part in plan.datasets if part.name in snapshot.datasets}

    def task(self, dataset: str, index: int) -> Task:
        """Return where a partition of the plan stands."""
        key = self._snapshot.grids[dataset].key(index)
        attempts = self._attempts(dataset, key)
        last = attempts[-1] if attempts else None
        failure = failure_line(last) if last is not None and last.failure is not None else None
        task = Task(self._run.id, self._state, "waiting", "", None, (), len(attempts), failure)
        made_new = self._made_new(dataset, key)
        if made_new is not None:
            return replace(task, state="succeeded" if made_new else "unchanged", failure=None)
        if self._state in {RunState.SUCCEEDED, RunState.STAGED}:
            return replace(task, state="skipped", failure=None)
        if last is not None and has_failed(last.state, self._state):
            return replace(task, state="failed")
        if last is not None and last.state is AttemptState.RUNNING and self._state is RunState.RUNNING:
            return replace(task, state="running")
        waits_for = self._waits_for(dataset, index)
        if self._state in {RunState.CANCELLED, RunState.DISCARDED}:
            return replace(task, state="not built", waits_for=waits_for)
        # What failed in a run that was handed over for a retry holds nothing back any more.
        by = self._blocked_by(dataset, index) if self._state is not RunState.QUEUED else None
        if by is not None:
            found = hold(Wait.BLOCKED, self._run.id, dataset, by)
            return replace(task, state="blocked", wait=found.text, hold=found, waits_for=waits_for)
        if self._state is RunState.FAILED:
            # What was missing then, or held in quarantine, may be there now.
            was_blocked = self._has_missing(dataset) or self._waited_for_release(dataset, index)
            return replace(task, state="not built" if was_blocked else "skipped")
        found = self._hold(dataset, last, has_upstream=bool(waits_for))
        return replace(task, wait=found.text, hold=found, waits_for=waits_for)

    def _hold(self, dataset: str, last: Attempt | None, *, has_upstream: bool) -> Hold:
        """Return what keeps a task from running; the coordinator says it for each dataset only, not for each task."""
        run = self._run.id
        if self._state is not RunState.RUNNING:
            return hold(Wait.QUEUED if self._state is RunState.QUEUED else Wait.NO_COORDINATOR, run, dataset)
        if has_upstream:
            return hold(Wait.UPSTREAM, run, dataset)
        found = said(self._store, run)
        mine = {held.hold.reason: held.hold for held in (found.held if found else ()) if held.dataset == dataset}
        if last is not None and last.state in {AttemptState.RETRIED, AttemptState.LOST}:
            for reason in ("backing_off", "retry_budget"):
                if reason in mine:
                    return mine[reason]
            if found is None:
                return hold(Wait.BACKING_OFF, run, dataset)
        ready = (one for reason, one in mine.items() if reason not in _OF_OTHERS)
        return next(ready, hold(Wait.SLOTS, run, dataset))

    def _blocked_by(self, dataset: str, index: int) -> str | None:
        """Return the nearest failed task, as dataset/key, that a task waits for, through others or not.

        Returns:
            An empty text if nothing of that has failed, but something cannot be built; None if neither is so.
        """
        failed: dict[str, set[int]] = {}
        for attempt in self._store.last_attempts(self._run.id):
            at = self._snapshot.grids[attempt.dataset].find(attempt.key) if attempt.dataset in self._planned else None
            if at is not None and has_failed(attempt.state, self._state):
                failed.setdefault(attempt.dataset, set()).add(at)
        is_missing = self._has_missing(dataset)
        if not failed and not is_missing:
            return None
        for name, at in self._upstream_in_run(dataset, index):
            if at in failed.get(name, ()):
                return f"{name}/{self._snapshot.grids[name].key(at)}"
        return "" if is_missing and self._lacks(dataset, index) else None

    def _waited_for_release(self, dataset: str, index: int) -> bool:
        """Return whether something upstream was released from quarantine after the run had ended."""
        ended, released = self._run.finished_ms, set()
        for one in self._store.quarantined(run=self._run.id, states=frozenset({QuarantineState.RELEASED})):
            grid = self._snapshot.grids.get(one.candidate.dataset)
            if grid is not None and ended is not None and one.decided_ms is not None and one.decided_ms >= ended:
                released.add((one.candidate.dataset, grid.find(one.candidate.key)))
        return bool(released) and any(above in released for above in self._upstream_in_run(dataset, index))

    def _lacks(self, dataset: str, index: int) -> bool:
        """Return whether something that a task needs is missing now."""
        everything = {part.name: np.ones(len(part.indices), dtype=bool) for part in self._plan.datasets}
        now = with_problems(self._snapshot, self._plan, everything)
        return any(
            bool(part.blocked[np.searchsorted(part.indices, index)]) for part in now.datasets if part.name == dataset
        )

    def _has_missing(self, dataset: str) -> bool:
        """Return whether tasks of a dataset waited for something missing, as the coordinator last said of the run."""
        found = said(self._store, self._run.id)
        missing = hold(Wait.BLOCKED, self._run.id, dataset)
        return any(one.dataset == dataset and one.hold == missing for one in (found.held if found else ()))

    def _upstream_in_run(self, dataset: str, index: int) -> Iterator[tuple[str, int]]:
        """Yield a task and the tasks of the run that it waits for, through others or not, the nearest first."""
        seen = {name: ~mask for name, mask in self._planned.items()}
        edge = {dataset: np.array([index], dtype=np.int64)}
        while edge:
            above: dict[str, list[NDArray[np.int64]]] = {}
            for name, indices in edge.items():
                seen[name][indices] = True
                yield from ((name, at) for at in indices.tolist())
                for entry in self._snapshot.datasets[name].inputs.values():
                    if entry.dataset in seen:
                        reads = self._snapshot.reads(name, entry, indices)
                        above.setdefault(entry.dataset, []).append(_read(reads, len(indices), len(seen[entry.dataset])))
            edge = {}
            for name, found in above.items():
                indices = np.unique(np.concatenate(found))
                indices = indices[~seen[name][indices]]
                if indices.size:
                    edge[name] = indices

    def _attempts(self, dataset: str, key: str) -> list[Attempt]:
        found = self._store.attempts(self._run.id, dataset=dataset, key=key)
        return [attempt for attempt in found if attempt.state not in _FREE]

    def _made_new(self, dataset: str, key: str) -> bool | None:
        """Return whether the task published a new version; None if it has not succeeded in this run."""
        for checkpoint in self._store.checkpoints(dataset, key):
            if checkpoint.run == self._run.id:
                return checkpoint.version == checkpoint.attempt
        return None

    def _waits_for(self, dataset: str, index: int) -> tuple[Upstream, ...]:
        found: dict[tuple[str, str], Upstream] = {}
        for parameter, entry in self._snapshot.datasets[dataset].inputs.items():
            if entry.dataset not in self._planned:
                continue
            upstream = upstream_of(self._snapshot, dataset, parameter, index)
            for at in upstream[self._planned[entry.dataset][upstream]].tolist():
                key = self._snapshot.grids[entry.dataset].key(at)
                if (entry.dataset, key) not in found and self._made_new(entry.dataset, key) is None:
                    attempts = self._attempts(entry.dataset, key)
                    failed = bool(attempts) and has_failed(attempts[-1].state, self._state)
                    found[entry.dataset, key] = Upstream(entry.dataset, key, failed)
        return tuple(found.values())


def _read(reads: Spans | Lists, tasks: int, size: int) -> NDArray[np.int64]:
    """Return the upstream indices that some tasks read, in any order."""
    if tasks <= FEW:  # A long chain is gone along one by one.
        return np.array([at for task in range(tasks) for at in reads.of(task)], dtype=np.int64)
    return np.flatnonzero(covered(reads, size))
