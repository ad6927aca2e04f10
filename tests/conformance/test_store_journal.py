"""The contract of state stores: choosing entries of the journal, checking it, and what was given up after all."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from store_cases import OPENERS, a_candidate, an_attempt, begin, publish

from headgate.model.run import AttemptState, ErrorClass, Failure

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from headgate.store.store import Store

BUSY = Failure(ErrorClass.TRANSIENT, "busy", "wait")


@pytest.fixture(params=OPENERS)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    opened = OPENERS[request.param](tmp_path)()
    yield opened
    assert opened.check() == opened.check_journal() == []
    opened.close()


def found(store: Store, **wanted: object) -> list[int]:
    return [entry.seq for entry in store.journal_entries(**wanted)]  # type: ignore[arg-type]


def test_entries_are_chosen_by_run_kind_and_time(store: Store) -> None:
    kinds = ["set accepted", "set pool refused", "setting", "set", "run.failed", "run", "s%t refused"]
    with store.transaction() as tx:
        for number, kind in enumerate(kinds, 1):
            tx.journal(kind, author="ada", run=f"r{number % 2}", reason="", body={}, now_ms=number)
    assert found(store) == [1, 2, 3, 4, 5, 6, 7]
    assert found(store, kind="set") == [1, 2, 4]
    assert found(store, kind="set pool") == [2]
    assert found(store, kind="run") == [5, 6]
    assert found(store, kind="s%t") == [7]
    assert found(store, kind="") == []
    assert found(store, run="r1") == [1, 3, 5, 7]
    assert found(store, run="r1", limit=2) == [5, 7]
    assert found(store, run="r") == []
    assert found(store, since_ms=6) == [6, 7]
    assert found(store, run="r0", kind="set", since_ms=3, limit=9) == [4]


def test_attempts_that_were_to_be_tried_again_are_given_up(store: Store) -> None:
    attempts = [an_attempt(number, f"k{number}") for number in range(1, 5)]
    begin(store, *attempts)
    publish(store, a_candidate(attempts[2]))
    with store.transaction() as tx:
        ends = [(1, AttemptState.RETRIED, BUSY), (2, AttemptState.LOST, None)]
        tx.end_attempts(ends, now_ms=5_000)
        tx.give_up([1, 2, 3, 4, 99])
        tx.end_attempts([(4, AttemptState.CANCELLED, None)], now_ms=6_000)
    first, *others = store.attempts(attempts[0].run)
    assert (first.state, first.failure, first.finished_ms) == (AttemptState.FAILED, BUSY, 5_000)
    assert [one.state for one in others] == [AttemptState.LOST, AttemptState.SUCCEEDED, AttemptState.CANCELLED]
