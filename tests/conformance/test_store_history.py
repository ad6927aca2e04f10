from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from store_cases import a_candidate, an_attempt, begin, publish

from headgate.drivers.history import behaviours
from headgate.model.run import AttemptState, ErrorClass, Failure
from headgate.store.sqlite import open_store

if TYPE_CHECKING:
    from pathlib import Path


def test_failures_that_are_tried_again_are_a_rate_and_bugs_are_not(tmp_path: Path) -> None:
    store = open_store(tmp_path / "state.db", data_root=tmp_path / "data", create=True)
    attempts = [an_attempt(n, f"k{n}", started_ms=0) for n in range(1, 7)]
    begin(store, *attempts)
    publish(store, *[a_candidate(attempt, started_ms=0) for attempt in attempts[:3]], now_ms=1_000)
    with store.transaction() as tx:
        ends = [(ErrorClass.TRANSIENT, 4), (ErrorClass.TRANSIENT, 5), (ErrorClass.PERMANENT, 6)]
        tx.end_attempts([(attempt, AttemptState.RETRIED, Failure(kind, "x")) for kind, attempt in ends], now_ms=2_000)
    found = behaviours(store, ["flights", "weather"])
    store.close()
    flights = found["flights"]
    assert flights is not None
    assert flights.durations_ms.tolist() == [1_000] * 3
    assert (flights.failure_rate, flights.error_class) == (pytest.approx(2 / 5), ErrorClass.TRANSIENT)
    assert found["weather"] is None
