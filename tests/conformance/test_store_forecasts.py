"""What state stores keep of forecasts, and what they say of past attempts."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from store_cases import OPENERS, RUN, a_candidate, a_run, an_attempt, begin, publish, seen

from headgate.model.plan import StoredPlan
from headgate.model.run import AttemptState, ErrorClass, Failure, RunState
from headgate.store.records import Foretold, PastAttempt, Spent

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from headgate.store.store import Store


@pytest.fixture(params=OPENERS)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    opened = OPENERS[request.param](tmp_path)()
    yield opened
    opened.close()


def end(store: Store, run: str, state: RunState, *, now_ms: int) -> None:
    with store.transaction() as tx:
        tx.set_run_state(run, state, author="ada", reason="", now_ms=now_ms)


def tell(store: Store, run: str, *, p50_ms: int | None = 5, p90_ms: int | None = 9, **more: object) -> str:
    """Keep a plan with a forecast, and let it become a run; return the forecast."""
    body = json.dumps({"p50_ms": p50_ms, "p90_ms": p90_ms, **more})
    with store.transaction() as tx:
        tx.add_plan(StoredPlan(f"plan {run}", "shop", "ada", "", "backfill", 500, 900, "{}", "{}", body, "[]"))
        tx.add_run(a_run(run, plan_hash=f"plan {run}"))
    return body


def test_a_forecast_is_kept_with_the_plan_that_became_the_run(store: Store) -> None:
    assert store.forecast(RUN) is None
    body = tell(store, RUN, p50_ms=7, p90_ms=None)
    assert store.forecast(RUN) == body
    assert store.foretold() == [Foretold(RUN, RunState.RUNNING, 1_000, None, 7, None, False, False)]
    assert store.forecast("none") is None
    assert store.foretold(run="none") == []


def test_what_was_forecast_is_listed_newest_first_with_how_it_ended(store: Store) -> None:
    for name in ("a", "b", "c"):
        tell(store, name)
    with store.transaction() as tx:
        tx.add_run(a_run("untold"))
    end(store, "a", RunState.SUCCEEDED, now_ms=4_000)
    end(store, "b", RunState.INTERRUPTED, now_ms=5_000)
    end(store, "b", RunState.RUNNING, now_ms=6_000)
    end(store, "b", RunState.SUCCEEDED, now_ms=7_000)
    assert store.foretold() == [
        Foretold("c", RunState.RUNNING, 1_000, None, 5, 9, False, False),
        Foretold("b", RunState.SUCCEEDED, 1_000, 7_000, 5, 9, True, False),
        Foretold("a", RunState.SUCCEEDED, 1_000, 4_000, 5, 9, False, False),
    ]
    assert [told.run for told in store.foretold(limit=1)] == ["c"]
    assert [told.run for told in store.foretold(run="a")] == ["a"]


def test_a_forecast_of_durations_that_were_assumed_is_guessed(store: Store) -> None:
    tell(store, "a", assumed=[])
    tell(store, "b", assumed=["flights"], declared=["weather"])
    assert [told.was_guessed for told in store.foretold()] == [True, False]


def test_a_hand_on_a_run_disturbs_it_and_so_does_what_fails_for_good(store: Store) -> None:
    tell(store, RUN)
    begin(store, an_attempt(1), an_attempt(2, "k2"))
    with store.transaction() as tx:
        tx.journal("publish", author="ada", run=RUN, reason="", body={}, now_ms=2_000)
        tx.end_attempts([(1, AttemptState.RETRIED, Failure(ErrorClass.TRANSIENT, "x"))], now_ms=2_000)
    assert not store.foretold()[0].was_disturbed
    with store.transaction() as tx:
        tx.end_attempts([(2, AttemptState.FAILED, Failure(ErrorClass.DATA, "x"))], now_ms=2_000)
    assert store.foretold()[0].was_disturbed
    tell(store, "paused")
    with store.transaction() as tx:
        tx.journal("pause accepted", author="ada", run="paused", reason="", body={}, now_ms=2_000)
    assert store.foretold(run="paused")[0].was_disturbed


def test_past_attempts_are_newest_first_with_what_they_read(store: Store) -> None:
    with store.transaction() as tx:
        tx.observe([seen("k1", "aa"), seen("k2", "bb")], author="ada", now_ms=1_000)
    heads = {version.key: version for version in store.heads("landing")}
    first = store.next_id()
    attempts = [an_attempt(first + n, f"k{n}", started_ms=2_000) for n in range(3)]
    begin(store, *attempts)
    both = tuple(heads[key].id for key in ("k1", "k2"))
    publish(store, a_candidate(attempts[0], bytes=10), now_ms=3_000)
    publish(store, a_candidate(attempts[1], bytes=20, inputs=both), now_ms=2_500)
    publish(store, a_candidate(attempts[2], bytes=30, inputs=both[:1], started_ms=9_000), now_ms=8_000)
    whole = sum(head.bytes for head in heads.values())
    assert store.past_attempts("flights") == [
        PastAttempt(first + 2, 0, heads["k1"].bytes, 30, is_first=False),
        PastAttempt(first + 1, 500, whole, 20, is_first=True),
        PastAttempt(first, 1_000, 0, 10, is_first=True),
    ]
    assert len(store.past_attempts("flights", limit=2)) == 2
    assert store.past_attempts("landing") == store.past_attempts("none") == []


def test_what_yielded_before_counts_into_an_attempt(store: Store) -> None:
    before, last = an_attempt(1, started_ms=1_000), an_attempt(2, started_ms=9_000)
    begin(store, before)
    with store.transaction() as tx:
        tx.end_attempts([(1, AttemptState.YIELDED, None)], now_ms=4_000)
        tx.start_attempts([last])
    publish(store, a_candidate(last), now_ms=9_500)
    assert [attempt.elapsed_ms for attempt in store.past_attempts("flights")] == [3_500]


def test_failures_are_counted_by_class_from_an_attempt_on(store: Store) -> None:
    attempts = [an_attempt(n, f"k{n}") for n in range(1, 7)]
    begin(store, *attempts, an_attempt(7, dataset="weather"))
    publish(store, a_candidate(attempts[0]), now_ms=1_000)
    with store.transaction() as tx:
        ends = [
            (2, AttemptState.RETRIED, Failure(ErrorClass.TRANSIENT, "x")),
            (3, AttemptState.FAILED, Failure(ErrorClass.TRANSIENT, "x")),
            (4, AttemptState.LOST, Failure(ErrorClass.LOST, "x")),
            (5, AttemptState.RETURNED, None),
            (6, AttemptState.CANCELLED, Failure(ErrorClass.TRANSIENT, "x")),
        ]
        tx.end_attempts(ends, now_ms=2_000)
    assert store.failures("flights", 1) == {"transient": 2, "lost": 1}
    assert store.failures("flights", 3) == {"transient": 1, "lost": 1}
    assert store.failures("flights", 7) == store.failures("weather", 1) == store.failures("none", 1) == {}


def test_bytes_of_heads_are_found_by_key(store: Store) -> None:
    attempts = [an_attempt(n, f"k{n}") for n in (1, 2)]
    begin(store, *attempts)
    publish(store, *(a_candidate(attempt, bytes=10 * attempt.id) for attempt in attempts), now_ms=1_000)
    assert store.head_bytes("flights", ["k2", "none"]) == {"k2": 20}
    assert store.head_bytes("flights", ["k1", "k2"]) == {"k1": 10, "k2": 20}
    assert store.head_bytes("none", ["k1"]) == {}


def test_what_a_run_spent_is_summed_by_dataset(store: Store) -> None:
    with store.transaction() as tx:
        tx.observe([seen("k1", "aa")], author="ada", now_ms=1_000)
    (landed,) = store.heads("landing")
    n = store.next_id()
    made, failed, elsewhere, running = (
        an_attempt(n, started_ms=2_000),
        an_attempt(n + 1, "k2", started_ms=2_000),
        an_attempt(n + 2, dataset="aware", started_ms=2_000),
        an_attempt(n + 3, "k3", started_ms=2_000),
    )
    begin(store, made, failed, elsewhere, running)
    publish(store, a_candidate(made, bytes=50, inputs=(landed.id,), started_ms=2_100), now_ms=3_000)
    publish(store, a_candidate(elsewhere, bytes=7), now_ms=2_200)
    with store.transaction() as tx:
        tx.end_attempts([(failed.id, AttemptState.FAILED, Failure(ErrorClass.DATA, "x"))], now_ms=2_030)
    assert store.spent(RUN) == [Spent("aware", 1, 200, 0, 7), Spent("flights", 2, 930, landed.bytes, 50)]
    assert store.spent("none") == []


def test_what_partitions_went_through_together_is_spent_once(store: Store) -> None:
    first, second, returned, alone = (
        an_attempt(1, "k1", started_ms=2_000, lead=1),
        an_attempt(2, "k2", started_ms=2_000, lead=1),
        an_attempt(3, "k3", started_ms=2_000, lead=1),
        an_attempt(4, "k4", started_ms=2_000),
    )
    begin(store, first, second, returned, alone)
    publish(store, a_candidate(first, bytes=7, started_ms=2_100), now_ms=2_900)
    with store.transaction() as tx:
        ends = [(2, AttemptState.FAILED, Failure(ErrorClass.DATA, "x")), (3, AttemptState.RETURNED, None)]
        tx.end_attempts(ends, now_ms=2_950)
    publish(store, a_candidate(alone, bytes=7, started_ms=2_500), now_ms=2_600)
    assert store.spent(RUN) == [Spent("flights", 2, 850 + 100, 0, 14)]
    assert [attempt.lead for attempt in store.attempts(RUN)] == [1, 1, 1, None]
