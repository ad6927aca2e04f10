"""The contract of state stores: what a run has made, and what became of the rest of its tasks."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from store_cases import OPENERS, RUN, a_candidate, a_run, an_attempt, begin, publish, seen

from headgate.model.run import AttemptState, ErrorClass, Failure, RunState
from headgate.store.records import Made, Tried

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from headgate.store.store import Store


@pytest.fixture(params=OPENERS)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    opened = OPENERS[request.param](tmp_path)()
    yield opened
    opened.close()


def test_nothing_is_made_of_an_unknown_run(store: Store) -> None:
    assert store.made(RUN) == store.last_attempts(RUN) == list(store.unfinished_attempts(RUN)) == []


def test_made_counts_by_dataset_what_succeeded_and_what_was_new(store: Store) -> None:
    first = [an_attempt(1), an_attempt(2, "k2"), an_attempt(3, dataset="weather")]
    begin(store, *first)
    publish(store, *map(a_candidate, first))
    later = [an_attempt(4, run="later", expects=1), an_attempt(5, "k2", run="later", expects=2)]
    begin(store, *later, run="later")
    publish(store, a_candidate(later[0], content="h@1:10:1"), a_candidate(later[1]))
    assert store.made(RUN) == [Made("flights", 2, 2), Made("weather", 1, 1)]
    assert store.made("later") == [Made("flights", 2, 1)]


def test_last_attempts_are_those_of_tasks_that_have_not_succeeded(store: Store) -> None:
    attempts = [
        an_attempt(1, "succeeded"),
        an_attempt(2, "failed"),
        an_attempt(3, "returned"),
        replace(an_attempt(4, "failed"), number=2),
        an_attempt(5, "running"),
        an_attempt(6, "failed", dataset="weather"),
        an_attempt(7, "yielded"),
    ]
    begin(store, *attempts)
    publish(store, a_candidate(attempts[0]))
    bad = Failure(ErrorClass.DATA, "no rows", "look", "trace")
    with store.transaction() as tx:
        tx.end_attempts(
            [
                (2, AttemptState.LOST, None),
                (3, AttemptState.RETURNED, None),
                (4, AttemptState.FAILED, bad),
                (6, AttemptState.FAILED, bad),
                (7, AttemptState.YIELDED, None),
            ],
            now_ms=9,
        )
    last = store.last_attempts(RUN)
    assert [(attempt.id, attempt.state) for attempt in last] == [
        (4, AttemptState.FAILED),
        (5, AttemptState.RUNNING),
        (6, AttemptState.FAILED),
    ]
    assert last == [attempt for attempt in store.attempts(RUN) if attempt.id in {4, 5, 6}]
    assert last[0].failure == bad
    assert sorted(store.unfinished_attempts(RUN), key=lambda task: task.attempt) == [
        Tried("flights", "failed", 2, AttemptState.FAILED, 4),
        Tried("flights", "running", 1, AttemptState.RUNNING, 5),
        Tried("weather", "failed", 1, AttemptState.FAILED, 6),
    ]


def test_success_in_another_run_does_not_count(store: Store) -> None:
    earlier = an_attempt(1)
    begin(store, earlier)
    publish(store, a_candidate(earlier))
    begin(store, an_attempt(2, run="later", expects=1), run="later")
    assert [attempt.id for attempt in store.last_attempts("later")] == [2]
    assert list(store.unfinished_attempts("later")) == [Tried("flights", "k1", 1, AttemptState.RUNNING, 2)]


def test_a_try_that_was_given_back_is_none(store: Store) -> None:
    begin(store, an_attempt(1), an_attempt(2, "k2"))
    with store.transaction() as tx:
        tx.end_attempts([(1, AttemptState.LOST, None), (2, AttemptState.RETURNED, None)], now_ms=9)
    begin(store, replace(an_attempt(3), number=2))
    with store.transaction() as tx:
        tx.end_attempts([(3, AttemptState.RETURNED, None)], now_ms=9)
    assert list(store.unfinished_attempts(RUN)) == [Tried("flights", "k1", 1, AttemptState.LOST, 1)]


def test_what_other_runs_have_published_since_a_run_was_submitted(store: Store) -> None:
    begin(store, an_attempt(1, "before", run="other"), run="other")
    publish(store, a_candidate(an_attempt(1, "before", run="other")))
    begin(store, an_attempt(2, "mine"))
    later = [an_attempt(3, "theirs", run="other"), an_attempt(4, "both", run="other")]
    begin(store, *later, an_attempt(5, "theirs", "weather", run="other"), run="other")
    publish(store, a_candidate(an_attempt(2, "mine")), *map(a_candidate, later))
    publish(store, a_candidate(an_attempt(5, "theirs", "weather", run="other")))
    with store.transaction() as tx:
        tx.observe([seen("today", "rows", dataset="flights")], author="ada", now_ms=4_000)
    assert sorted(store.made_by_others(RUN, "flights")) == ["both", "theirs"]
    assert list(store.made_by_others(RUN, "weather")) == ["theirs"]
    begin(store, an_attempt(7, "both", expects=4))
    publish(store, a_candidate(an_attempt(7, "both")))
    assert list(store.made_by_others(RUN, "flights")) == ["theirs"]
    assert sorted(store.made_by_others("other", "flights")) == ["both", "mine"]
    assert list(store.made_by_others("unknown", "flights")) == list(store.made_by_others(RUN, "unknown")) == []


def test_what_was_taken_from_other_runs_is_told_until_the_run_goes_on(store: Store) -> None:
    with store.transaction() as tx:
        tx.add_run(a_run())
    assert store.taken(RUN) == store.taken("unknown") == {}
    for state, taken in ((RunState.FAILED, {"flights": 2, "weather": 1}), (RunState.RUNNING, {})):
        with store.transaction() as tx:
            tx.set_run_state(RUN, state, author="ada", reason="", now_ms=2_000, taken=taken)
            tx.journal("set", author="ada", run=RUN, reason="", body={}, now_ms=2_000)
        assert store.taken(RUN) == taken
    assert store.check_journal() == []


WHY = Failure(ErrorClass.DATA, "3 of 10 rows are null", "")


def test_of_two_attempts_with_one_number_the_newer_one_counts(store: Store) -> None:
    # What failed among others in a ranged attempt is tried alone, which is no try of its own.
    together, alone = an_attempt(1), an_attempt(2)
    begin(store, together)
    with store.transaction() as tx:
        tx.end_attempts([(1, AttemptState.RETRIED, WHY)], now_ms=3_000)
    begin(store, alone)
    with store.transaction() as tx:
        tx.end_attempts([(2, AttemptState.FAILED, WHY)], now_ms=3_500)
    assert list(store.unfinished_attempts(RUN)) == [Tried("flights", "k1", 1, AttemptState.FAILED, 2)]
