from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np

from headgate.core.edges import RangeEdge, SharedEdge
from headgate.core.events import Lane, Stage
from headgate.core.task_table import TaskTable
from headgate.model.run import TaskState


def stage(n: int, *edges, states=None, changed=None, skippable=False) -> Stage:
    return Stage(
        "s",
        Lane.PROCESS,
        edges,
        np.arange(n),
        np.zeros(n, np.uint8) if states is None else np.array(states, np.uint8),
        np.zeros(n, bool) if changed is None else np.array(changed, bool),
        np.full(n, skippable),
    )


def states(table: TaskTable) -> list[TaskState]:
    return [TaskState(state) for state in table.state]


def test_tasks_are_numbered_through_all_stages():
    table = TaskTable([stage(2), stage(0), stage(3)])
    assert [table.stage_of(task) for task in range(5)] == [(0, 0), (0, 1), (2, 0), (2, 1), (2, 2)]
    assert table.size == 5
    assert [row[TaskState.READY] for row in table.counts] == [2, 0, 3]
    assert table.total(TaskState.READY, TaskState.WAITING) == 5


def test_what_follows_from_submitted_states():
    reads = RangeEdge(0, np.arange(5, dtype=np.int32), np.arange(1, 6, dtype=np.int32))
    ended = [TaskState.SUCCEEDED, TaskState.SUCCEEDED, TaskState.FAILED, TaskState.CANCELLED, TaskState.SKIPPED]
    table = TaskTable(
        [stage(5, states=ended, changed=[True, False, False, False, False]), stage(5, reads, skippable=True)],
        traced=True,
    )
    assert states(table)[5:] == [
        TaskState.READY,
        TaskState.SKIPPED,
        TaskState.BLOCKED,
        TaskState.BLOCKED,
        TaskState.SKIPPED,
    ]
    assert (5, TaskState.READY) in table.moved


def test_shared_upstream_that_is_done_already_counts_for_nothing():
    both = SharedEdge(0, 2, np.array([True, True]))
    above = stage(2, states=[TaskState.SUCCEEDED] * 2, changed=[False, True])
    assert states(TaskTable([above, stage(2, both, skippable=True)]))[2:] == [TaskState.READY] * 2
    above = stage(2, states=[TaskState.SUCCEEDED] * 2)
    assert states(TaskTable([above, stage(2, both, skippable=True)]))[2:] == [TaskState.SKIPPED] * 2


def test_a_waiting_task_costs_a_few_bytes():
    n = 10_000
    here = np.arange(n, dtype=np.int32)
    table = TaskTable([stage(n, RangeEdge(0, np.maximum(here - 1, 0), here))])
    assert table.total(TaskState.WAITING) == n - 1
    owned = (table.state, table.changed, table.dirty, table.unmet, table.tries, table._skippable, table._priority)
    assert sum(map(sys.getsizeof, owned)) < 20 * n


def test_what_another_run_has_made_is_counted_apart_and_built_only_if_something_upstream_changes():
    reads = RangeEdge(0, np.arange(3, dtype=np.int32), np.arange(1, 4, dtype=np.int32))
    made = replace(stage(3, reads, skippable=True), inherited=np.array([True, True, False]))
    table = TaskTable([stage(3), made])
    assert table.taken_over == [0, 0]
    for task, changed in enumerate((True, False, False)):
        table.finish(task, 0, TaskState.SUCCEEDED, changed=changed)
    assert states(table)[3:] == [TaskState.READY, TaskState.SKIPPED, TaskState.SKIPPED]
    assert table.taken_over == [0, 1]


def test_what_was_published_after_it_had_failed_is_done_for_a_retry():
    reads = RangeEdge(0, np.arange(3, dtype=np.int32), np.arange(1, 4, dtype=np.int32))
    ended = [TaskState.FAILED, TaskState.FAILED, TaskState.SUCCEEDED]
    table = TaskTable([stage(3, states=ended), stage(3, reads, skippable=True)])
    assert states(table)[3:] == [TaskState.BLOCKED, TaskState.BLOCKED, TaskState.SKIPPED]
    assert table.revive({0, 2}) == [1, 3, 4]
    assert states(table) == [
        *(TaskState.SUCCEEDED, TaskState.READY, TaskState.SUCCEEDED),
        *(TaskState.READY, TaskState.WAITING, TaskState.SKIPPED),
    ]
    assert [row[TaskState.SUCCEEDED] for row in table.counts] == [2, 0]
