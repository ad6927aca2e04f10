from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from store_cases import RUN, a_candidate, an_attempt, begin, publish

from headgate.drivers.history import histories
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
    found = histories(store, ["flights", "weather"])
    store.close()
    assert set(found) == {"flights"}
    behaviour = found["flights"].behaviour(np.array([-1, -1]))
    assert behaviour.durations_ms.tolist() == [1_000] * 3
    assert (behaviour.failure_rate, behaviour.error_class) == (pytest.approx(2 / 5), ErrorClass.TRANSIENT)
    assert behaviour.factors is None


def test_rates_are_of_each_dataset_however_much_others_do(tmp_path: Path) -> None:
    store = open_store(tmp_path / "state.db", data_root=tmp_path / "data", create=True)
    mine = [an_attempt(n, f"k{n}", started_ms=0) for n in (1, 2)]
    others = [an_attempt(n, f"k{n}", "weather", started_ms=0) for n in range(3, 6_003)]
    begin(store, *mine, *others)
    publish(store, a_candidate(mine[0], started_ms=0), a_candidate(others[0], started_ms=0), now_ms=1_000)
    with store.transaction() as tx:
        ended = [*mine[1:], *others[1:]]
        failure = Failure(ErrorClass.RESOURCE, "x")
        tx.end_attempts([(attempt.id, AttemptState.RETRIED, failure) for attempt in ended], now_ms=2_000)
    found = histories(store, ["flights", "weather"])
    assert found["flights"].failure_rate == 0.5
    assert found["weather"].failure_rate == pytest.approx(1, abs=1e-3)
    assert found["flights"].error_class is ErrorClass.RESOURCE
    assert store.attempts(RUN, dataset="flights")[0].id == 1
    store.close()


def test_cold_starts_are_no_durations_but_a_warm_up(tmp_path: Path) -> None:
    store = open_store(tmp_path / "state.db", data_root=tmp_path / "data", create=True)
    attempts = [an_attempt(n, f"k{n}", started_ms=0) for n in range(1, 9)]
    begin(store, *attempts)
    publish(store, *(a_candidate(one, started_ms=1_000) for one in attempts[:2]), now_ms=6_000)
    for at_ms, one in enumerate(attempts[2:], start=60):
        publish(store, a_candidate(one, started_ms=100 * at_ms), now_ms=100 * at_ms + 50)
    found = histories(store, ["flights"])["flights"]
    store.close()
    assert found.warm_up_ms == 4_950
    assert found.behaviour(np.array([-1])).durations_ms.tolist() == [50] * 6
