"""The invariants must notice what they are for: each test breaks one thing."""

from __future__ import annotations

import numpy as np
import pytest

from headgate.core.edges import SameEdge
from headgate.core.events import AttemptFailed, AttemptSucceeded, Pool, RunSubmitted, SlotsOffered, Stage
from headgate.core.invariants import violations
from headgate.core.scheduler import Scheduler
from headgate.model.run import RunState, TaskState


@pytest.fixture
def scheduler() -> Scheduler:
    """Three chains of two: the first has gone through its first task, the second has failed, the third runs."""
    above = Stage("a", Pool.PROCESS, (), np.arange(3), np.zeros(3, np.uint8), np.zeros(3, bool), np.zeros(3, bool))
    below = Stage("b", Pool.IO, (SameEdge(0),), np.arange(3), above.states, above.changed, np.ones(3, bool))
    made = Scheduler()
    made.handle(SlotsOffered(Pool.PROCESS, 3), 0)
    made.handle(RunSubmitted("r", [above, below], 3), 0)
    made.handle(AttemptSucceeded("r", 0, True), 0)
    made.handle(AttemptFailed("r", 1), 0)
    assert [TaskState(s).name for s in made.runs["r"].tasks.state] == (
        ["SUCCEEDED", "FAILED", "RUNNING", "READY", "BLOCKED", "WAITING"]
    )
    return made


def broken(scheduler: Scheduler, *texts: str) -> bool:
    found = violations(scheduler)
    return all(any(text in one for one in found) for text in texts)


def test_a_sound_scheduler_has_none(scheduler):
    assert violations(scheduler) == []


def test_slots_below_none(scheduler):
    scheduler.free[Pool.IO] = -1
    assert broken(scheduler, "pool io has -1 slots")


def test_counts_that_do_not_agree(scheduler):
    table = scheduler.runs["r"].tasks
    table.counts[0][TaskState.RUNNING] += 1
    assert broken(scheduler, "stage 0 counts", "totals")


def test_a_wrong_waiting_count(scheduler):
    scheduler.runs["r"].tasks.unmet[5] = 0
    assert broken(scheduler, "task 5 waits for 0, by its edges for 1")


def test_a_forgotten_change(scheduler):
    scheduler.runs["r"].tasks.dirty[3] = 0
    assert broken(scheduler, "task 3 is not marked as changed upstream")


@pytest.mark.parametrize(
    ("task", "state", "text"),
    [
        (5, TaskState.READY, "task 5 is READY before its upstream is done"),
        (5, TaskState.SUCCEEDED, "task 5 is SUCCEEDED before its upstream is done"),
        (5, TaskState.BLOCKED, "task 5 is BLOCKED, its upstream is"),
        (4, TaskState.WAITING, "task 4 is WAITING, its upstream is"),
        (3, TaskState.SKIPPED, "task 3 was skipped although it had to run"),
        (3, TaskState.WAITING, "task 3 waits, but its upstream is done"),
    ],
)
def test_a_state_that_upstream_does_not_allow(scheduler, task, state, text):
    table = scheduler.runs["r"].tasks
    table.move(task, table.stage_of(task)[0], state)
    assert broken(scheduler, text, "transitions were not taken")


def test_queues_that_do_not_hold_what_is_ready(scheduler):
    queue = scheduler.runs["r"].tasks.ready[Pool.IO]
    queue.append(queue[0])
    assert broken(scheduler, "pool io queues [3, 3], ready are [3]")
    queue.clear()
    assert broken(scheduler, "pool io queues [], ready are [3]")


def test_a_heap_out_of_order(scheduler):
    scheduler.runs["r"].tasks.ready[Pool.IO][:] = [9 << 32, 3]
    assert broken(scheduler, "no heap")


def test_a_slot_left_free(scheduler):
    scheduler.free[Pool.IO] = 1
    assert broken(scheduler, "task 3 is ready and a slot is free")


def test_one_try_too_many(scheduler):
    scheduler.runs["r"].tasks.tries[2] = 4
    assert broken(scheduler, "task 2 runs for the 4th time")


def test_an_end_that_is_not_one(scheduler):
    scheduler.runs["r"].finished = True
    assert broken(scheduler, "its end is reported with 1 running and 2 left")


def test_what_a_cancelled_run_leaves(scheduler):
    scheduler.runs["r"].closing = RunState.CANCELLED
    assert broken(scheduler, "2 tasks are left of a cancelled run")


def test_a_submitted_end_that_moved(scheduler):
    table = scheduler.runs["r"].tasks
    table.stages[0].states[0] = TaskState.SKIPPED
    assert broken(scheduler, "task 0 had ended, and moved")
