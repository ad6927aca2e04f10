from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from headgate.core.edges import RangeEdge, SameEdge
from headgate.core.events import Lane, Stage
from headgate.drivers.setting import Behaviour, Binding, Setting, quantile
from headgate.drivers.simulated import simulate
from headgate.model.breaker import BreakerRecord, BreakerState
from headgate.model.policy import BACKFILL, FRESH, BreakerPolicy, Pool, RetryPolicy
from headgate.model.reason import Wait
from headgate.model.run import ErrorClass, TaskState
from headgate.model.window import TimeWindow

HOUR_MS = 3_600_000
MIDNIGHT_MS = 20_000 * 24 * HOUR_MS


def stage(n: int, *edges, dataset="s", **changes) -> Stage:
    nothing = np.zeros(n, bool)
    return replace(
        Stage(dataset, Lane.PROCESS, edges, np.arange(n), np.zeros(n, np.uint8), nothing, nothing), **changes
    )


def chain(n: int, **changes) -> Stage:
    """Return tasks of which each waits for the one before."""
    at = np.arange(n, dtype=np.int32)
    return stage(n, RangeEdge(0, np.maximum(at - 1, 0), at), **changes)


def takes(*durations_ms: int, fails: float = 0.0, kind: ErrorClass = ErrorClass.TRANSIENT) -> Behaviour:
    return Behaviour(np.array(durations_ms), fails, kind)


def setting(*stages: Stage, slots: int = 1, behaviour: Behaviour | None = None, **changes) -> Setting:
    behaviours = [behaviour or takes(1000)] * len(stages)
    return replace(Setting(stages, behaviours, {Lane.PROCESS: slots, Lane.IO: 10}), **changes)


def elapsed_ms(one: Setting, runs: int = 3) -> float:
    """Return how long a run takes of which nothing is left to luck."""
    (found,) = set(simulate(one, runs=runs).elapsed_ms)
    return found


def test_a_chain_takes_the_sum_on_any_number_of_slots():
    assert elapsed_ms(setting(chain(3))) == 3000
    assert elapsed_ms(setting(chain(3), slots=8)) == 3000


def test_slots_are_shared_evenly():
    assert elapsed_ms(setting(stage(5))) == 5000
    assert elapsed_ms(setting(stage(5), slots=2)) == 3000
    assert elapsed_ms(setting(stage(5), slots=5)) == 1000


def test_stages_have_durations_of_their_own():
    one = setting(stage(2), stage(2, SameEdge(0), dataset="t"), slots=2)
    one = replace(one, behaviours=[takes(1000), takes(200)])
    found = simulate(one, runs=1)
    assert found.elapsed_ms == (1200,)
    assert (found.attempts, found.busy_ms, found.failed) == ((2, 2), (2000, 400), 0)
    assert found.ended_ms == ((1000,), (1200,))


def test_async_tasks_have_slots_of_their_own():
    assert elapsed_ms(setting(stage(4), stage(4, dataset="t", lane=Lane.IO), slots=4)) == 1000


def test_a_pool_of_one_makes_a_queue():
    one = setting(stage(4, pools=(("warehouse", 1),)), slots=4, pools={"warehouse": Pool("warehouse", 1)})
    assert elapsed_ms(one) == 4000
    assert elapsed_ms(replace(one, pools={"warehouse": Pool("warehouse", 2)})) == 2000
    found = simulate(one, runs=5)
    assert found.waits[Binding(Wait.POOL, "warehouse")] == pytest.approx(0.75, abs=0.1)


@pytest.mark.parametrize(
    "changes", [{"concurrency": 2}, {"total": 2}, {"classes": (FRESH, replace(BACKFILL, ceiling=0.5))}]
)
def test_every_bound_binds(changes):
    assert elapsed_ms(setting(stage(4), slots=4)) == 1000
    assert elapsed_ms(setting(stage(4), slots=4, **changes)) == 2000


def test_the_concurrency_of_a_dataset_binds():
    assert elapsed_ms(setting(stage(4, concurrency=2), slots=4)) == 2000


def test_a_window_that_opens_later_shifts_the_finish_to_the_millisecond():
    closed = TimeWindow("UTC", 0.0, start_minute=0, end_minute=480)
    classes = (FRESH, replace(BACKFILL, windows=(closed,)))
    start_ms = MIDNIGHT_MS + 7 * HOUR_MS + 17
    one = setting(stage(3), classes=classes, start_ms=start_ms)
    assert elapsed_ms(one) == HOUR_MS - 17 + 3000
    found = simulate(one, runs=3)
    # The three seconds of work are hardly ever seen, the hour before them nearly always.
    assert found.waits[Binding(Wait.WINDOW, "backfill")] > 0.9
    assert quantile(found.fresh_ms, 0.9) == 0


def test_an_open_breaker_is_waited_for_and_one_attempt_probes():
    record = BreakerRecord("dataset:s", BreakerState.OPEN, 5, 1000, 60_000)
    found = simulate(setting(stage(3), slots=3, breakers=[record]), runs=2)
    assert found.elapsed_ms == (62_000, 62_000)
    assert found.waits[Binding(Wait.BREAKER, "dataset:s")] > 0.9


def test_failures_open_the_breaker():
    policy = RetryPolicy(attempts=9, backoff_ms=0, budget=1.0)
    breaker = BreakerPolicy(failures=3, cooldown_ms=600_000)
    one = setting(stage(1, retry=policy, breaker=breaker), behaviour=takes(1000, fails=1.0))
    found = simulate(one, runs=1)
    assert found.attempts == (9,)
    assert found.failed == 1
    # Three failures, then each of six probes waits twice as long as the one before, up to four hours.
    assert found.elapsed_ms == (9000 + 1000 * sum(min(600 * 2**n, 14_400) for n in range(6)),)


def test_what_fails_for_good_blocks_what_waits_for_it():
    one = setting(stage(2), stage(2, SameEdge(0), dataset="t"), behaviour=takes(10, fails=1.0, kind=ErrorClass.DATA))
    found = simulate(one, runs=2)
    assert (found.failed, found.attempts) == (4, (2, 0))


def test_failed_attempts_are_repeated_after_a_backoff():
    one = setting(stage(50), slots=5, behaviour=takes(1000, fails=0.2))
    found = simulate(one, runs=20)
    assert 55 < found.attempts[0] < 75
    assert found.elapsed_ms[0] > 10_000


def test_what_has_ended_takes_nothing():
    states = np.array([TaskState.BLOCKED, TaskState.WAITING, TaskState.SUCCEEDED], np.uint8)
    assert elapsed_ms(setting(stage(3, states=states))) == 1000
    assert elapsed_ms(setting(stage(3, states=np.full(3, TaskState.BLOCKED, np.uint8)))) == 0
    assert simulate(setting(), runs=2).elapsed_ms == (0, 0)


def test_a_run_that_can_never_start_is_endless():
    never = (FRESH, replace(BACKFILL, ceiling=0.0, floor=0.0))
    found = simulate(setting(stage(2), classes=never), runs=2)
    assert found.elapsed_ms == (float("inf"),) * 2
    assert quantile(found.elapsed_ms, 0.5) is None
    shut = (FRESH, replace(BACKFILL, windows=(TimeWindow("UTC", 0.0, weekdays=frozenset(range(7))),)))
    assert simulate(setting(stage(2), classes=shut), runs=1).elapsed_ms == (float("inf"),)


def lucky(n: int = 60, slots: int = 4, **changes) -> Setting:
    behaviour = takes(100, 200, 300, 1000, 5000, 20_000, fails=0.05)
    return setting(stage(n), stage(n, SameEdge(0), dataset="t"), slots=slots, behaviour=behaviour, **changes)


def test_the_same_seed_gives_the_same_and_another_seed_does_not():
    assert simulate(lucky(), runs=5, seed=3) == simulate(lucky(), runs=5, seed=3)
    assert simulate(lucky(), runs=5, seed=3) != simulate(lucky(), runs=5, seed=4)


def test_looking_does_not_change_what_is_seen():
    assert simulate(lucky(), runs=5, looks=0).elapsed_ms == simulate(lucky(), runs=5, looks=40).elapsed_ms


def test_runs_are_different_and_quantiles_ascend():
    found = simulate(lucky(), runs=20)
    half, most = quantile(found.elapsed_ms, 0.5), quantile(found.elapsed_ms, 0.9)
    assert half is not None
    assert most is not None
    assert found.elapsed_ms[0] < half < most <= found.elapsed_ms[-1]
    assert quantile((1.0, 2.0), 0.5) == 1.0
    assert quantile((), 0.5) is None


def test_more_slots_never_take_longer_in_the_same_runs():
    few, many = (simulate(lucky(slots=slots), runs=10).elapsed_ms for slots in (2, 16))
    assert all(more < less for less, more in zip(few, many, strict=True))


def test_a_fresh_task_waits_until_a_slot_is_free():
    busy = simulate(setting(stage(20)), runs=20)
    # It comes at any time in the second that an attempt takes.
    assert quantile(busy.fresh_ms, 0.5) == pytest.approx(500, abs=100)
    assert quantile(busy.fresh_ms, 1.0) <= 1000
    half = replace(BACKFILL, ceiling=0.5)
    assert set(simulate(setting(stage(20), slots=2, classes=(FRESH, half)), runs=3).fresh_ms) == {0}


def test_as_many_looks_as_asked_for_however_long_it_takes():
    for one in (setting(stage(20)), setting(chain(20), slots=16)):
        found = simulate(one, runs=1, looks=16)
        assert 16 <= len(found.fresh_ms) <= 32


def test_the_budget_ends_the_simulation_after_one_run_at_least():
    assert simulate(lucky(), runs=50, budget_s=0).runs == 1


def test_what_is_certain_is_simulated_once():
    assert simulate(setting(stage(3)), runs=50, looks=0).runs == 1
    assert simulate(lucky(3), runs=50, looks=0).runs == 50


def test_partitions_have_factors_of_their_own():
    one = setting(stage(3), behaviour=replace(takes(1000), factors=np.array([1.0, 0.5, 4.0])))
    assert elapsed_ms(one) == 5500


def test_the_first_attempt_of_each_slot_takes_longer():
    one = setting(stage(8), slots=2, behaviour=replace(takes(100), warm_up_ms=3000))
    assert elapsed_ms(one) == 3400


def test_a_chunk_takes_as_long_as_its_partitions_one_after_another():
    chunked = replace(takes(1000), chunks=np.array([0, 3]), partitions=5)
    found = simulate(setting(stage(2), slots=2, behaviour=chunked), runs=1)
    assert (found.elapsed_ms, found.attempts, found.busy_ms) == ((3000,), (5,), (5000,))


def test_failures_in_chunks_take_time_and_are_counted():
    chunked = replace(takes(1000, fails=1.0), chunks=np.array([0, 3]), partitions=5)
    found = simulate(setting(stage(2, retry=RetryPolicy(attempts=2)), slots=2, behaviour=chunked), runs=2)
    assert (found.elapsed_ms, found.attempts) == ((6000, 6000), (10,))
    assert (found.failed, found.complete) == (5, 0)


def test_a_run_is_complete_if_everything_was_built_that_could_be():
    states = np.array([TaskState.BLOCKED, TaskState.WAITING], np.uint8)
    found = simulate(setting(stage(2, states=states)), runs=2)
    assert (found.complete, found.failed) == (1, 0)
    never = simulate(setting(stage(2), classes=(FRESH, replace(BACKFILL, ceiling=0.0, floor=0.0))), runs=2)
    assert never.complete == 0
    assert (
        0
        < simulate(setting(stage(1, retry=RetryPolicy(attempts=1)), behaviour=takes(10, fails=0.5)), runs=40).complete
        < 1
    )


def test_what_can_yield_makes_room_for_fresh_tasks_and_goes_on():
    patient = (replace(FRESH, patience_ms=60_000), BACKFILL)
    one = setting(stage(2), behaviour=takes(10 * HOUR_MS), classes=patient)
    stubborn = simulate(one, runs=20)
    found = simulate(replace(one, stages=[replace(one.stages[0], can_yield=True)]), runs=20)
    # A tenth of an attempt after a fresh task has lost its patience, at the latest.
    assert quantile(found.fresh_ms, 1.0) <= HOUR_MS + 60_000
    assert quantile(stubborn.fresh_ms, 0.5) > 3 * HOUR_MS
    # No work is lost, and what goes on is no other attempt.
    assert found.elapsed_ms == stubborn.elapsed_ms == (20 * HOUR_MS,) * 20
    assert (found.attempts, found.busy_ms) == ((2,), (20 * HOUR_MS,))


def ranged(n: int, batch: int, **changes) -> Stage:
    following = np.append(np.arange(1, n), -1).astype(np.int32)
    return stage(n, batch=batch, successor=following, **changes)


def test_a_ranged_attempt_takes_one_slot_and_as_long_as_its_longest_partition():
    one = setting(ranged(4, 2), behaviour=replace(takes(1000), factors=np.array([1.0, 3.0, 2.0, 1.0])))
    found = simulate(one, runs=1)
    assert (found.elapsed_ms, found.attempts, found.busy_ms) == ((5000,), (2,), (5000,))
    assert elapsed_ms(setting(ranged(4, 2), slots=2)) == 1000
    assert elapsed_ms(setting(ranged(10, 4), stage(3, dataset="t"), slots=2)) == 3000


def test_what_fails_in_a_ranged_attempt_is_tried_alone():
    policy = RetryPolicy(attempts=9, backoff_ms=0, budget=1.0)
    lucky = simulate(setting(ranged(40, 4, retry=policy), slots=2, behaviour=takes(1000, fails=0.2)), runs=20)
    assert lucky.complete == 1
    assert 14 < lucky.attempts[0] < 30
    assert lucky.elapsed_ms[0] > 5000
    chunked = replace(takes(1000), chunks=np.array([0, 4]), partitions=8, together=4)
    found = simulate(setting(stage(2), behaviour=chunked), runs=1)
    assert (found.elapsed_ms, found.attempts) == ((2000,), (2,))
