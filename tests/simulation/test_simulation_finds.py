"""The attack can fail: schedulers, stores and coordinators that are broken on purpose are found in a few seeds."""

from __future__ import annotations

import re

import pytest

from headgate.core.admission import LaneQueue
from headgate.core.breaker import Breaker
from headgate.core.events import AttemptCancelled, SlotsOffered
from headgate.core.live_run import LiveRun
from headgate.core.overlaps import Overlaps, _Line
from headgate.core.queues import StageQueue
from headgate.core.ranged import Chain
from headgate.core.scheduler import Scheduler
from headgate.core.task_table import TaskTable
from headgate.drivers.faulty import watch
from headgate.drivers.faulty.coordinator import Coordinator
from headgate.drivers.faulty.model_store import ModelStore, Transaction
from headgate.drivers.faulty.play import play
from headgate.model.breaker import BreakerState
from headgate.model.run import RunState, TaskState

pytestmark = pytest.mark.slow

SEEDS = range(400)


def found() -> str:
    """Return what the first seed that fails tells."""
    return next((result.failure for seed in SEEDS if (result := play(seed)).failure), "")


@pytest.fixture
def outside_only(monkeypatch):
    """Leave only what is counted from events and effects, without a look inside the scheduler."""
    monkeypatch.setattr(watch, "violations", lambda scheduler: [])
    monkeypatch.setattr(watch, "unlawful_starts", lambda scheduler, step: [])


def after(monkeypatch, owner, name, then):
    """Let a method do its work, and then something wrong with what it returned."""
    right = getattr(owner, name)

    def wrong(self, *args, **kwargs):
        return then(self, right(self, *args, **kwargs), *args)

    monkeypatch.setattr(owner, name, wrong)


def keep(scheduler, ended, event):
    """Take the slots of an attempt again that has ended."""
    for pool, slots in ended[1].pools:
        pool.used += slots
    return ended


def test_nothing_is_found_where_nothing_is_wrong(outside_only):
    assert found() == ""


def test_a_pool_slot_that_is_not_given_back(monkeypatch):
    after(monkeypatch, Scheduler, "_ended", keep)
    assert re.search("counts . slots, . are taken", found())


def test_slots_that_are_not_given_back_are_missed_from_outside_too(monkeypatch, outside_only):
    after(monkeypatch, Scheduler, "_ended", keep)
    assert re.search("do not end|slots are taken|nothing will ever happen", found())


def test_a_pool_that_takes_one_too_many(monkeypatch, outside_only):
    def more(limits):
        for limit in limits.pools.values():
            limit.capacity += 1

    after(monkeypatch, Scheduler, "__init__", lambda scheduler, _, *args: more(scheduler))
    assert "slots, " in found()


def test_a_breaker_that_lets_two_probes_through(monkeypatch, outside_only):
    monkeypatch.setattr(Breaker, "lets_through", lambda breaker: breaker.state is not BreakerState.OPEN)
    assert "is half open and has a probe" in found()


def test_a_breaker_that_never_opens(monkeypatch, outside_only):
    monkeypatch.setattr(Breaker, "lets_through", lambda breaker: True)
    assert "while a breaker is open" in found()


def test_a_backoff_that_forgets_its_timer(monkeypatch, outside_only):
    right = Scheduler._at

    def forget(scheduler, due_ms, name, task):
        if task < 0:
            right(scheduler, due_ms, name, task)

    monkeypatch.setattr(Scheduler, "_at", forget)
    assert re.search("do not end|nothing will ever happen", found())


def test_a_backoff_that_ends_too_soon(monkeypatch, outside_only):
    right = Scheduler._at

    def soon(scheduler, due_ms, name, task):
        if name in scheduler.runs:
            scheduler.runs[name].due_ms[task] = due_ms = scheduler._now_ms + 1
        right(scheduler, due_ms, name, task)

    monkeypatch.setattr(Scheduler, "_at", soon)
    assert "before it had backed off" in found()


def test_a_retry_budget_that_is_never_spent(monkeypatch, outside_only):
    monkeypatch.setattr(StageQueue, "budget_has_room", lambda stage: True)
    assert "was granted a retry" in found()


def test_a_class_beyond_its_ceiling(monkeypatch, outside_only):
    def all_of_it(lane):
        for queue in lane.classes:
            queue.allowed = lane.slots * lane.depth

    after(monkeypatch, LaneQueue, "offer", lambda lane, _, *args: all_of_it(lane))
    assert re.search(r"\d of \w+ run, \d may", found())


@pytest.mark.parametrize(
    ("credit_ms", "text"), [(0.0, "is .* ms behind its floor"), (float("inf"), "was started before run")]
)
def test_a_floor_that_owes_nothing_or_everything(monkeypatch, outside_only, credit_ms, text):
    def owe(lane):
        for queue in lane.classes:
            queue.credit = credit_ms

    for name in ("offer", "charge"):
        after(monkeypatch, LaneQueue, name, lambda lane, _, *args: owe(lane))
    assert re.search(text, found())


def test_classes_that_are_served_in_the_wrong_order(monkeypatch, outside_only):
    after(monkeypatch, LaneQueue, "__init__", lambda lane, _, *args: lane.classes.reverse())
    assert "was started before run" in found()


def test_a_paused_run_that_goes_on(monkeypatch, outside_only):
    right = Scheduler._start

    def heedless(scheduler, effects):
        paused = [live for live in scheduler.runs.values() if live.is_paused]
        for live in paused:
            live.is_paused = False
        right(scheduler, effects)
        for live in paused:
            live.is_paused = True

    monkeypatch.setattr(Scheduler, "_start", heedless)
    assert "while the run is paused" in found()


def test_a_ranged_attempt_that_takes_what_has_failed_before(monkeypatch, outside_only):
    monkeypatch.setattr(LiveRun, "has_failed", lambda live, task: False)
    assert "together with others after it had failed" in found()


def test_a_ranged_attempt_that_takes_too_many(monkeypatch, outside_only):
    right = Chain.around
    monkeypatch.setattr(Chain, "around", lambda chain, at, most, may_join: right(chain, at, most + 1, may_join))
    assert re.search("together with others, . of at most", found())


def test_a_ranged_attempt_that_fails_the_innocent_too(monkeypatch, outside_only):
    monkeypatch.setattr(
        LiveRun, "fail_ranged", lambda live, stage, task, _: live.tasks.halt(task, stage.number, TaskState.FAILED)
    )
    assert "failed in a ranged attempt, and was given up" in found()


def test_a_bound_of_a_dataset_that_nobody_looks_at(monkeypatch, outside_only):
    after(monkeypatch, StageQueue, "obstacle", lambda stage, holder: None if holder is stage.dataset else holder)
    assert re.search(r"beyond \d of d\d", found())


def test_a_dependant_that_is_not_blocked(monkeypatch, outside_only):
    monkeypatch.setattr(TaskTable, "_block_waiters", lambda table, task, stage: None)
    assert "for nothing" in found()


def test_a_success_that_is_taken_for_unchanged(monkeypatch, outside_only):
    right = TaskTable.finish
    monkeypatch.setattr(
        TaskTable,
        "finish",
        lambda table, task, stage, state, *, changed: right(table, task, stage, state, changed=False),
    )
    assert "must be" in found()


def test_runs_that_do_not_wait_for_each_other(monkeypatch, outside_only):
    monkeypatch.setattr(Overlaps, "submit", lambda overlaps, live, event: [])
    assert re.search(r"was started while run r\d builds|wait for it all the same", found())


def test_a_first_in_line_that_starts_while_another_still_runs(monkeypatch, outside_only):
    def free(overlaps, line):
        if line.places and line.places[0].is_held:
            first = line.places[0]
            first.is_held = False
            first.run.release(first.task)
            overlaps._changed[first.run.id] = first.run

    after(monkeypatch, Overlaps, "_arrange", lambda overlaps, _, line: free(overlaps, line))
    assert re.search(r"was started while run r\d builds", found())


def test_a_line_that_knows_no_classes(monkeypatch, outside_only):
    monkeypatch.setattr(_Line, "insert", lambda line, place: line.places.append(place))
    assert "which is of a higher class" in found()


def test_an_overtaken_attempt_that_nobody_stops(monkeypatch, outside_only):
    after(monkeypatch, Overlaps, "submit", lambda overlaps, stopped, *args: [])
    assert "was not asked to stop" in found()


def test_what_another_run_could_not_make_and_is_taken_from_it(monkeypatch, outside_only):
    right = Overlaps._arrange

    def credulous(overlaps, line):
        if line.places and line.places[0].state == TaskState.FAILED:
            for place in line.places:
                place.made = True
        right(overlaps, line)

    monkeypatch.setattr(Overlaps, "_arrange", credulous)
    assert "must be" in found()


def test_who_joins_and_builds_it_once_more(monkeypatch, outside_only):
    def again(overlaps, place, *, is_changed):
        place.is_held = False
        place.run.release(place.task)
        overlaps._changed[place.run.id] = place.run

    monkeypatch.setattr(Overlaps, "_take", again)
    assert "wait for it all the same" in found()


def test_who_was_stopped_for_another_run_and_ends_as_cancelled(monkeypatch, outside_only):
    right = Scheduler.handle

    def end(scheduler, event, now_ms):
        if isinstance(event, AttemptCancelled):
            scheduler.runs[event.run].closing = RunState.CANCELLED
        return right(scheduler, event, now_ms)

    monkeypatch.setattr(Scheduler, "handle", end)
    assert "has ended as cancelled, and nobody asked" in found()


def test_a_store_without_fencing(monkeypatch):
    monkeypatch.setattr(ModelStore, "is_live", lambda store, attempt: attempt in store.attempts)
    assert "had ended, and published" in found()


def test_a_store_without_compare_and_swap(monkeypatch):
    monkeypatch.setattr(ModelStore, "may_move", lambda store, row: True)
    assert "went back" in found()


def test_a_takeover_that_fences_nothing(monkeypatch):
    def heedless(coordinator):
        tx = coordinator._store.begin()
        for number in list(coordinator._store.requests):
            tx.settle(number)

    monkeypatch.setattr(Coordinator, "_take_over", heedless)
    assert re.search("are live|had ended, and published", found())


def test_a_breaker_that_is_not_saved(monkeypatch):
    monkeypatch.setattr(Transaction, "save_breaker", lambda tx, record: None)
    assert "and is recorded as" in found()


def test_what_has_been_made_and_is_made_again(monkeypatch):
    right = Coordinator._begin

    def forgetful(coordinator, request):
        checkpoints = coordinator._store.checkpoints
        coordinator._store.checkpoints = {}
        try:
            right(coordinator, request)
        finally:
            coordinator._store.checkpoints = checkpoints

    monkeypatch.setattr(Coordinator, "_begin", forgetful)
    assert re.search("twice|went from|must be", found())


def test_a_coordinator_that_drops_what_falls_due_while_it_closes_its_offers(monkeypatch, outside_only):
    def drop(coordinator, effects, event):
        return [] if isinstance(event, SlotsOffered) and not event.free else effects

    after(monkeypatch, Coordinator, "_handle", drop)
    assert re.search("do not end|nothing will ever happen|and is recorded as", found())


def test_a_run_that_ends_before_its_tasks(monkeypatch, outside_only):
    def early(live, state):
        return RunState.SUCCEEDED if state is None and live.tasks.total(TaskState.SUCCEEDED) else state

    after(monkeypatch, LiveRun, "end", early)
    assert "must be" in found()
