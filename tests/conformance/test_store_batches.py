"""The contract of state stores: batch checkpoints."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from store_cases import OPENERS, RUN, SCHEMA, a_candidate, a_run, an_attempt, begin, publish

from headgate.errors import InternalError
from headgate.model.run import AttemptState, RunState
from headgate.model.version import File
from headgate.store.records import Published, SavedBatch, Uncollected

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from headgate.store.store import Store

OTHER = "20130102T000000-b2"


@pytest.fixture(params=OPENERS)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    opened = OPENERS[request.param](tmp_path)()
    yield opened
    opened.close()


def a_batch(attempt: int, part: int = 1, **changes: object) -> SavedBatch:
    file = File(f"flights/{attempt}-p{part}.parquet", 5, 500, f"sha256:{attempt:032x}{part:032x}")
    made = SavedBatch(attempt, file, f"h@1:5:{part}", part * 10, SCHEMA, 7, {"topic": part}, 2**64 - 5, "c0de")
    return replace(made, **changes)


def save(store: Store, *batches: SavedBatch) -> list[bool]:
    with store.transaction() as tx:
        return [tx.save_batch(batch) for batch in batches]


def saved(store: Store, *keys: str, run: str = RUN) -> dict[str, list[SavedBatch]]:
    with store.transaction() as tx:
        return tx.batches(run, "flights", keys or ("k1",))


def end(store: Store, attempt: int, state: AttemptState = AttemptState.YIELDED) -> None:
    with store.transaction() as tx:
        tx.end_attempts([(attempt, state, None)], now_ms=3_000)


def test_batches_are_kept_in_order_over_the_attempts_of_a_task(store: Store) -> None:
    begin(store, an_attempt(1), an_attempt(2, "k2"))
    first = [a_batch(1), a_batch(1, 2, offset="page 2", watermark_ms=None, offsets=None)]
    assert save(store, *first) == [True, True]
    assert save(store, a_batch(2)) == [True]
    end(store, 1)
    begin(store, an_attempt(3))
    assert save(store, a_batch(3)) == [True]
    assert saved(store, "k1", "k2", "k3") == {"k1": [*first, a_batch(3)], "k2": [a_batch(2)]}
    with store.transaction() as tx:
        assert tx.batches(RUN, "trains", ["k1"]) == {}
        with pytest.raises(InternalError, match="no run"):
            tx.batches("never", "flights", ["k1"])


@pytest.mark.parametrize("state", [AttemptState.YIELDED, AttemptState.LOST, AttemptState.FAILED])
def test_progress_of_an_attempt_that_has_ended_is_ignored(store: Store, state: AttemptState) -> None:
    begin(store, an_attempt(1))
    end(store, 1, state)
    assert save(store, a_batch(1), a_batch(99)) == [False, False]
    assert saved(store) == {}


def test_progress_of_a_fenced_attempt_is_ignored(store: Store) -> None:
    begin(store, an_attempt(1))
    save(store, a_batch(1))
    with store.transaction() as tx:
        tx.fence_attempts(now_ms=5_000)
    assert save(store, a_batch(1, 2)) == [False]
    assert saved(store) == {"k1": [a_batch(1)]}


@pytest.mark.parametrize("content", ["h@1:10:3", "new"])
def test_publishing_removes_what_was_saved_of_the_task(store: Store, content: str) -> None:
    begin(store, an_attempt(1))
    publish(store, a_candidate(an_attempt(1), content="h@1:10:3"))
    begin(
        store,
        *(an_attempt(n, key, expects=1 if key == "k1" else None, run=OTHER) for n, key in ((3, "k1"), (4, "k2"))),
        run=OTHER,
    )
    save(store, a_batch(3), a_batch(4))
    candidate = a_candidate(an_attempt(3, run=OTHER), content=content)
    assert publish(store, candidate) == [Published.UNCHANGED if content == "h@1:10:3" else Published.NEW]
    assert saved(store, "k1", "k2", run=OTHER) == {"k2": [a_batch(4)]}


@pytest.mark.parametrize("state", [RunState.FAILED, RunState.CANCELLED, RunState.RUNNING, RunState.INTERRUPTED])
def test_publishing_removes_what_others_had_saved_unless_they_go_on_later(store: Store, state: RunState) -> None:
    begin(store, an_attempt(1))
    save(store, a_batch(1))
    end(store, 1, AttemptState.FAILED)
    with store.transaction() as tx:
        tx.add_run(a_run(OTHER))
        tx.set_run_state(RUN, state, author="ada", reason="", now_ms=4_000)
        tx.start_attempts([an_attempt(2, run=OTHER)])
    assert publish(store, a_candidate(an_attempt(2, run=OTHER))) == [Published.NEW]
    assert saved(store) == ({"k1": [a_batch(1)]} if state is RunState.INTERRUPTED else {})


@pytest.mark.parametrize(
    ("state", "left"),
    [
        (RunState.SUCCEEDED, set()),
        (RunState.FAILED, {"k2"}),
        (RunState.CANCELLED, {"k2"}),
        (RunState.INTERRUPTED, None),
    ],
)
def test_a_run_that_ends_keeps_what_somebody_may_go_on_from(
    store: Store, state: RunState, left: set[str] | None
) -> None:
    """An interrupted run has saved some of k1 and k2; another publishes k1 meanwhile, so it has nothing to do there."""
    begin(store, an_attempt(1), an_attempt(2, "k2"))
    save(store, a_batch(1), a_batch(2))
    end(store, 1)
    end(store, 2)
    with store.transaction() as tx:
        tx.set_run_state(RUN, RunState.INTERRUPTED, author="ada", reason="", now_ms=3_100)
    begin(store, an_attempt(3, run=OTHER), run=OTHER)
    assert publish(store, a_candidate(an_attempt(3, run=OTHER))) == [Published.NEW]
    assert saved(store, "k1", "k2").keys() == {"k1", "k2"}
    with store.transaction() as tx:
        tx.set_run_state(RUN, state, author="ada", reason="", now_ms=3_200)
    assert saved(store, "k1", "k2").keys() == ({"k1", "k2"} if left is None else left)


def test_what_is_forgotten_is_gone(store: Store) -> None:
    begin(store, an_attempt(1), an_attempt(2, "k2"))
    save(store, a_batch(1), a_batch(2))
    for _ in range(2):
        with store.transaction() as tx:
            tx.forget_batches(RUN, "flights", ["k1", "k9"])
    assert saved(store, "k1", "k2") == {"k2": [a_batch(2)]}
    save(store, a_batch(1, 5))
    assert saved(store) == {"k1": [a_batch(1, 5)]}


def test_parts_are_in_use_while_batches_or_versions_name_them(store: Store) -> None:
    begin(store, an_attempt(1), an_attempt(2, "k2"))
    part, other = a_batch(1), a_batch(2)
    save(store, part, other)
    assert store.parts_in_use([]) == {part.file.path, other.file.path}
    end(store, 1)
    uncollected = [Uncollected(1, an_attempt(1).path)]
    assert store.uncollected_attempts() == uncollected
    with store.transaction() as tx:
        tx.forget_paths([1])
    # Its parts are to be collected once nobody goes on from them.
    assert store.uncollected_attempts() == uncollected
    begin(store, an_attempt(3))
    last = File("flights/3-p1.parquet", 5, 500, "sha256:3")
    publish(store, a_candidate(an_attempt(3), files=(part.file, last)))
    assert store.parts_in_use([]) == {other.file.path}
    assert store.parts_in_use([1]) == {other.file.path, part.file.path, last.path}
    with store.transaction() as tx:
        tx.forget_paths([1])
    assert store.uncollected_attempts() == []
