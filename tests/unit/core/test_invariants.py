"""The invariants must notice what they are for: each test breaks one thing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from headgate.core.edges import SameEdge
from headgate.core.effects import StartAttempt, Step
from headgate.core.events import AttemptFailed, AttemptSucceeded, Lane, RunSubmitted, SlotsOffered, Stage
from headgate.core.invariants import unlawful_starts, violations
from headgate.core.ranged import RangedAttempt
from headgate.core.scheduler import Scheduler
from headgate.model.breaker import BreakerState
from headgate.model.policy import BACKFILL, BreakerPolicy, Pool, RetryPolicy
from headgate.model.run import ErrorClass, RunState, TaskState


@pytest.fixture
def scheduler() -> Scheduler:
    """Three chains of two: the first has gone through its first task, the second has failed, the third runs."""
    above = Stage("a", Lane.PROCESS, (), np.arange(3), np.zeros(3, np.uint8), np.zeros(3, bool), np.zeros(3, bool))
    below = Stage("b", Lane.IO, (SameEdge(0),), np.arange(3), above.states, above.changed, np.ones(3, bool))
    made = Scheduler(traced=True)
    made.handle(SlotsOffered(Lane.PROCESS, 3, 3), 0)
    made.handle(RunSubmitted("r", [above, below]), 0)
    made.handle(AttemptSucceeded("r", 0, True), 0)
    made.handle(AttemptFailed("r", 1, ErrorClass.DATA), 0)
    assert [TaskState(s).name for s in made.runs["r"].tasks.state] == (
        ["SUCCEEDED", "FAILED", "RUNNING", "READY", "BLOCKED", "WAITING"]
    )
    return made


@pytest.fixture
def crowded() -> Scheduler:
    """Five tasks: 0 holds the only slot of a pool, 1 is parked, 2 backs off, 3 and 4 are held back by the pool."""
    stage = Stage("a", Lane.PROCESS, (), np.arange(5), np.zeros(5, np.uint8), np.zeros(5, bool), np.zeros(5, bool))
    stage = replace(stage, pools=(("p", 1),), concurrency=4, retry=RetryPolicy(budget=0, budget_min=1))
    made = Scheduler(pools={"p": Pool("p", 3)}, total=3, traced=True)
    made.handle(SlotsOffered(Lane.PROCESS, 9, 9), 0)
    made.handle(RunSubmitted("r", [stage], concurrency=3), 0)
    made.pools["p"].capacity = 1
    made.handle(AttemptFailed("r", 2, ErrorClass.TRANSIENT), 0)
    made.handle(AttemptFailed("r", 1, ErrorClass.TRANSIENT), 0)
    assert [TaskState(s).name for s in made.runs["r"].tasks.state] == (
        ["RUNNING", "BACKING_OFF", "BACKING_OFF", "READY", "READY"]
    )
    return made


def broken(scheduler: Scheduler, *texts: str) -> bool:
    found = violations(scheduler)
    return all(any(text in one for one in found) for text in texts)


def test_a_sound_scheduler_has_none(scheduler):
    assert violations(scheduler) == []


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
    queue = scheduler.runs["r"].tasks.ready[1]
    queue.append(queue[0])
    assert broken(scheduler, "stage 1 queues [3, 3], ready are [3]")
    queue.clear()
    assert broken(scheduler, "stage 1 queues [], ready are [3]")


def test_a_heap_out_of_order(scheduler):
    scheduler.runs["r"].tasks.ready[1][:] = [9 << 32, 3]
    assert broken(scheduler, "no heap")


def test_a_slot_left_free(scheduler):
    scheduler.handle(SlotsOffered(Lane.IO, 0, 1), 0)
    scheduler.lanes[Lane.IO].free = 1
    assert broken(scheduler, "stage 1 has a ready task, and a slot is free for it")
    scheduler.total = 1
    assert not broken(scheduler, "a slot is free for it")


@pytest.mark.parametrize("floor", [0.0, 0.1])
def test_a_reserved_slot_is_not_free_unless_a_floor_owes_it(scheduler, floor):
    lane = scheduler.lanes[Lane.IO]
    scheduler.handle(SlotsOffered(Lane.IO, 0, 3), 0)
    lane.free = 1
    lane.by_name["maintenance"].used = 1
    lane.classes[0].service_class = replace(lane.classes[0].service_class, reserved=2)
    queue = lane.by_name["backfill"]
    queue.service_class, queue.credit = replace(BACKFILL, floor=floor), 1000.0
    assert broken(scheduler, "a slot is free for it") is (floor > 0)


def test_slots_that_nobody_has(crowded):
    crowded.pools["p"].used += 1
    crowded.datasets["a"].used += 1
    crowded.lanes[Lane.PROCESS].by_name["backfill"].used -= 1
    crowded.runs["r"].used += 1
    crowded.used += 1
    assert broken(
        crowded,
        "p counts 2 slots, 1 are taken",
        "a counts 2 slots, 1 are taken",
        "backfill counts 0 attempts in process, 1 run",
        "run r counts 2 attempts, 1 run",
        "2 attempts are counted, 1 run",
    )


def test_an_attempt_to_ask_that_does_not_run(crowded):
    crowded.lanes[Lane.PROCESS].by_name["backfill"].yielding["r", 3] = None
    assert broken(crowded, "backfill could ask [('r', 3)] in process to yield")


def test_who_waits_without_being_known(crowded):
    assert violations(crowded) == []
    pool = crowded.pools["p"]
    (stage,) = pool.held
    pool.held.clear()
    assert broken(crowded, "stage 0 is held back by p, which does not know it")
    pool.held, pool.capacity = [stage], 2
    assert broken(crowded, "stage 0 is held back by p, which has room", "a slot is free for it")
    pool.capacity, stage.held_by = 1, None
    assert broken(crowded, "stage 0 has ready tasks, but neither queues nor is held back")
    stage.held_by = stage.breakers[0]
    assert broken(crowded, "stage 0 is held back by dataset:a, which has room")


def test_who_queues_and_is_held_back_too(crowded):
    (stage,) = crowded.pools["p"].held
    stage.listed = stage.ready[0]
    stage.line.front.append((stage.listed, 0))
    assert broken(crowded, "stage 0 queues although p holds it back", "run r has something to start")


def test_who_is_not_where_it_says(scheduler):
    line = scheduler.runs["r"].lines[1]
    line.owner.runs.append(line.owner.runs[0])
    assert broken(scheduler, "run r is 2 times in its owner's heap")
    line.owner.runs.clear()
    assert broken(scheduler, "run r is 0 times in its owner's heap", "run r has something to start")
    line.owner.class_queue.owners.clear()
    assert broken(scheduler, "owner '' is 0 times in the heap of backfill")


def test_breakers_outside_their_table(crowded):
    breaker = crowded.breakers["pool:p"]
    breaker.probe = ("r", 4)
    assert broken(crowded, "breaker pool:p is closed and has a probe", "its probe ('r', 4) does not run")
    breaker.probe, breaker.until_ms = None, 7
    assert broken(crowded, "breaker pool:p is closed until 7")
    breaker.state = BreakerState.OPEN
    assert broken(crowded, "breaker pool:p is open, and nothing ends that")


def test_waits_without_end(crowded):
    live = crowded.runs["r"]
    live.stages[0].parked.append(2)
    assert broken(crowded, "task 2 backs off twice")
    live.stages[0].parked[:] = [1, 1, 3]
    assert broken(crowded, "tasks are parked twice: [1, 1, 3]", "task 3 is parked, but READY")
    live.stages[0].parked.clear()
    crowded.due.clear()
    assert broken(crowded, "task 1 backs off for ever", "task 2 backs off for ever")


def test_starts_that_a_rule_forbade(crowded):
    live = crowded.runs["r"]
    step = Step([], [StartAttempt("r", 0, 0, 0, 1, 9)])
    assert unlawful_starts(crowded, step) == []
    crowded.pools["p"].capacity = live.concurrency = crowded.total = 0
    crowded.datasets["a"].used = 5
    crowded.lanes[Lane.PROCESS].by_name["backfill"].allowed = 0
    live.is_paused = True
    breaker = crowded.breakers["dataset:a"]
    breaker.policy = BreakerPolicy(1)
    breaker.trip(0)
    texts = [text.removeprefix("task 0 of run r was started, but ") for text in unlawful_starts(crowded, step)]
    assert texts == [
        "p has 0 slots",
        "5 of a run, it may be one of 4",
        "the run may have 0",
        "all may have 0",
        "backfill may have 0",
        "the run starts nothing",
        "breaker dataset:a is open",
    ]


def test_a_class_that_miscounts_who_is_held_back(crowded):
    crowded.lanes[Lane.PROCESS].by_name["backfill"].n_held += 1
    assert broken(crowded, "backfill counts 2 stages that are held back, not 1")


def test_ranged_attempts_that_are_none(scheduler):
    live = scheduler.runs["r"]
    live.ranged[2] = RangedAttempt(-1, 2)
    live.apart.add(2)
    assert broken(
        scheduler,
        "the ranged attempt -1 counts 2 tasks, it has [2], 1 may be",
        "the ranged attempt -1 has tasks that have failed before",
    )
    live.ranged[2].left = 1
    live.ranged[5] = RangedAttempt(-2, 1)
    assert broken(scheduler, "the ranged attempt -2 has [5], which do not run")


def test_a_queue_whose_first_was_taken(scheduler):
    scheduler.runs["r"].tasks.taken.add(3)
    assert broken(scheduler, "the first in the queue of stage 1 was taken")


def test_one_try_too_many(scheduler):
    scheduler.runs["r"].tasks.tries[2] = 4
    assert broken(scheduler, "task 2 runs for the 4th time")


def test_an_end_that_is_not_one(scheduler):
    scheduler.runs["r"].finished = True
    assert broken(scheduler, "its end is reported with 1 running and 2 left")
    scheduler.runs["r"].finished = False
    for task in (2, 3, 5):
        table = scheduler.runs["r"].tasks
        table.move(task, table.stage_of(task)[0], TaskState.CANCELLED)
    assert broken(scheduler, "its end is not reported with 0 running and 0 left")


def test_what_a_cancelled_run_leaves(scheduler):
    scheduler.runs["r"].closing = RunState.CANCELLED
    assert broken(scheduler, "2 tasks are left of a cancelled run")


def test_a_submitted_end_that_moved(scheduler):
    table = scheduler.runs["r"].tasks
    table.stages[0].states[0] = TaskState.SKIPPED
    assert broken(scheduler, "task 0 had ended, and moved")
