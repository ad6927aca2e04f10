"""The contract of state stores: what a run has made, and what became of the rest of its tasks."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from store_cases import OPENERS, RUN, a_candidate, an_attempt, begin, publish

from headgate.model.run import AttemptState, ErrorClass, Failure
from headgate.store.store import Made, Tried

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
