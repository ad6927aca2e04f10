"""What the coordinator tells: how its first run goes, to who watches that; why tasks wait, to other processes."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from headgate.core.reasons import Delay, delays
from headgate.drivers.progress import held_back
from headgate.drivers.told import Told, told_to_json
from headgate.model.reason import Wait
from headgate.model.run import TaskState

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from headgate.core.scheduler import Scheduler
    from headgate.core.task_table import TaskTable
    from headgate.drivers.active import ActiveRun
    from headgate.drivers.progress import Watcher
    from headgate.store.transaction import Transaction

SHOW_EVERY_S = 0.1
LEAVE_EVERY_S = 1.0


class Teller:
    """Tells what becomes of the runs in hand.

    Args:
        scheduler: Drives them.
        runs: They, by id.
        watcher: Who is told how one of them goes; nobody if None.
    """

    def __init__(self, scheduler: Scheduler, runs: Mapping[str, ActiveRun], watcher: Watcher | None) -> None:
        self._scheduler = scheduler
        self._runs = runs
        self._watcher = watcher
        self._left: dict[str, str] = {}
        """What was last left of each run."""
        self._shown_s = self._left_s = time.monotonic()

    def show(self, run: ActiveRun | None) -> None:
        """Tell who watches how far a run is, but not too often."""
        if self._watcher is None or run is None or run.ended is not None:
            return
        if time.monotonic() - self._shown_s >= SHOW_EVERY_S:
            self._shown_s = time.monotonic()
            held = held_back(delays(self._scheduler, run.run.id))
            self._watcher.progressed(replace(run.progress(), held=held, others=len(self._runs) - 1))

    def leave(self, tx: Transaction, now_ms: int) -> None:
        """Leave why tasks wait where other processes find it, about once a second."""
        if time.monotonic() - self._left_s < LEAVE_EVERY_S:
            return
        self._left_s = time.monotonic()
        for run_id, run in self._runs.items():
            if run.ended is None:
                capacities = {name: pool.capacity for name, pool in self._scheduler.pools.items()}
                body = told_to_json(_told(run, delays(self._scheduler, run_id) + blocked(run), capacities))
                if self._left.get(run_id) != body:
                    self._left[run_id] = body
                    tx.put_live(run_id, body, now_ms)

    def conclude(self, tx: Transaction, run: ActiveRun, now_ms: int) -> None:
        """Leave of a run that ends what was blocked in it; nothing if nothing was."""
        stays = blocked(run)
        if stays:
            tx.put_live(run.run.id, told_to_json(_told(run, stays, {})), now_ms)
        else:
            tx.clear_live(run.run.id)

    def forget(self, run: str) -> None:
        """Let go of a run."""
        self._left.pop(run, None)


def blocked(run: ActiveRun) -> list[Delay]:
    """Return the tasks that wait for what is missing or has failed, stage by stage.

    Where something has failed, `Delay.what` names one of the failed tasks that the first of them waits for, as
    dataset/key; where something is missing, it is empty.
    """
    tasks = run.tasks
    found: list[Delay] = []
    roots: dict[int, int] = {}
    for number, (stage, counts) in enumerate(zip(tasks.stages, tasks.counts, strict=True)):
        if not counts[TaskState.BLOCKED]:
            continue
        base = tasks.base[number]
        states = np.frombuffer(tasks.state, dtype=np.uint8)[base : base + len(stage.states)]
        # What waits for something missing was submitted as blocked.
        since = np.flatnonzero((states == TaskState.BLOCKED) & (stage.states != TaskState.BLOCKED))
        if len(since) < counts[TaskState.BLOCKED]:
            found.append(Delay(number, Wait.BLOCKED, counts[TaskState.BLOCKED] - len(since)))
        if len(since):
            root = _root(tasks, base + int(since[0]), roots)
            found.append(Delay(number, Wait.BLOCKED, len(since), _name(run, root)))
    return found


def _root(tasks: TaskTable, task: int, roots: dict[int, int]) -> int:
    """Return where a blocked task's trouble begins: the end of a way upstream through what has failed or is blocked.

    Args:
        tasks: The tasks.
        task: The blocked one.
        roots: Where ways end that were gone before; grows by this one.
    """
    way = [task]
    while way[-1] not in roots and (above := _halted_above(tasks, way[-1])) is not None:
        way.append(above)
    root = roots.get(way[-1], way[-1])
    roots.update(dict.fromkeys(way, root))
    return root


def _halted_above(tasks: TaskTable, task: int) -> int | None:
    """Return a task that has failed, or else is blocked, right upstream of one; None if there is none."""
    stage, position = tasks.stage_of(task)
    through: int | None = None
    for edge in tasks.stages[stage].edges:
        base = tasks.base[edge.upstream]
        for at in edge.upstream_of(position):
            state = tasks.state[base + at]
            if state == TaskState.FAILED:
                return base + at
            if through is None and state == TaskState.BLOCKED:
                through = base + at
    return through


def _name(run: ActiveRun, task: int) -> str:
    stage, position = run.tasks.stage_of(task)
    part = run.plan.datasets[stage]
    return f"{part.name}/{run.snapshot.grids[part.name].key(int(part.indices[position]))}"


def _told(run: ActiveRun, waits: list[Delay], capacities: Mapping[str, int]) -> Iterator[Told]:
    """Yield waits as they are said.

    Args:
        run: Whose they are.
        waits: They.
        capacities: How many slots each pool has now.
    """
    for one in waits:
        takes = 0
        if one.wait is Wait.POOL:
            takes = dict(run.tasks.stages[one.stage].pools).get(one.what, 0)
            # A pool may have been made smaller before the run came.
            takes = takes if takes > capacities[one.what] else 0
        yield Told(run.plan.datasets[one.stage].name, one.wait, one.tasks, one.what, one.until_ms, takes)
