"""Which partitions failed last time."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from store_cases import OPENERS, RUN, an_attempt, begin, build

from headgate.model.run import AttemptState, ErrorClass, Failure, RunState
from headgate.store.records import FailedPartition

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from headgate.store.store import Store

BAD = Failure(ErrorClass.DATA, "a bad row")


@pytest.fixture(params=sorted(OPENERS))
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    opened = OPENERS[request.param](tmp_path)()
    yield opened
    opened.close()


def end(store: Store, number: int, state: AttemptState, failure: Failure | None = BAD, key: str = "k1") -> None:
    """Start an attempt in a run of its own, and end it."""
    run = f"{RUN}-{number}"
    begin(store, replace(an_attempt(number, key), run=run), run=run)
    with store.transaction() as tx:
        tx.end_attempts([(number, state, failure)], now_ms=3_000)


def failed(store: Store, key: str | None = None) -> list[tuple[str, int]]:
    return sorted((one.key, one.attempt) for one in store.failed_partitions("flights", key))


def test_a_failed_attempt_is_told_with_its_run_and_error(store: Store) -> None:
    assert failed(store) == []
    end(store, 1, AttemptState.FAILED)
    end(store, 2, AttemptState.FAILED, key="k2")
    assert list(store.failed_partitions("flights", "k1")) == [FailedPartition("k1", 1, f"{RUN}-1", "a bad row")]
    assert failed(store) == [("k1", 1), ("k2", 2)]
    assert list(store.failed_partitions("weather")) == []


def test_the_last_failure_counts_until_something_is_published(store: Store) -> None:
    build(store, 1)
    end(store, 2, AttemptState.FAILED)
    end(store, 3, AttemptState.FAILED)
    assert failed(store) == [("k1", 3)]
    build(store, 4)
    assert failed(store) == []


@pytest.mark.parametrize("state", [AttemptState.CANCELLED, AttemptState.LOST, AttemptState.RETURNED])
def test_what_ended_without_an_error_says_nothing(store: Store, state: AttemptState) -> None:
    end(store, 1, state, None)
    assert failed(store) == []
    end(store, 2, AttemptState.FAILED)
    end(store, 3, state, None)
    assert failed(store) == [("k1", 2)]


@pytest.mark.parametrize("state", [AttemptState.RETRIED, AttemptState.LOST])
def test_what_is_tried_again_has_failed_once_its_run_gave_up(store: Store, state: AttemptState) -> None:
    end(store, 1, state)
    assert failed(store) == []
    with store.transaction() as tx:
        tx.set_run_state(f"{RUN}-1", RunState.FAILED, author="ada", reason="it ended", now_ms=4_000)
    assert failed(store) == [("k1", 1)]


def test_an_overtaken_attempt_has_not_failed(store: Store) -> None:
    end(store, 1, AttemptState.SUPERSEDED)
    assert failed(store) == []


@pytest.mark.parametrize("state", [AttemptState.LOST, AttemptState.CANCELLED, AttemptState.SUPERSEDED])
def test_what_was_begun_and_came_to_no_end_counts_where_that_is_asked_for(store: Store, state: AttemptState) -> None:
    end(store, 1, state, None)
    end(store, 2, AttemptState.FAILED, key="k2")
    assert failed(store) == [("k2", 2)]
    assert list(store.failed_partitions("flights", "k1", unsure=True)) == [FailedPartition("k1", 1, f"{RUN}-1", "")]
    assert sorted(one.key for one in store.failed_partitions("flights", unsure=True)) == ["k1", "k2"]
    build(store, 3)
    assert [one.key for one in store.failed_partitions("flights", unsure=True)] == ["k2"]


def test_what_runs_still_counts_as_begun(store: Store) -> None:
    begin(store, an_attempt(1, "k1"))
    assert [one.key for one in store.failed_partitions("flights", unsure=True)] == ["k1"]


@pytest.mark.parametrize("state", [AttemptState.RETURNED, AttemptState.YIELDED])
def test_what_was_never_begun_or_is_gone_on_with_does_not_count(store: Store, state: AttemptState) -> None:
    end(store, 1, state, None)
    assert list(store.failed_partitions("flights", unsure=True)) == []
