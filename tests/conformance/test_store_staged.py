"""Runs that publish together: what they stage is seen by nobody else, and becomes visible as a whole or not at all."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from store_cases import OPENERS, RUN, a_candidate, a_run, an_attempt, begin, build, head_rows, publish

from headgate.errors import ConflictError
from headgate.model.rollback import Aim
from headgate.model.run import AttemptState, ErrorClass, Failure, Publication, RunKind, RunState
from headgate.model.version import File
from headgate.store.records import Published, SavedBatch
from headgate.store.staged import Conflict, StagedRun

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from headgate.model.run import Attempt
    from headgate.store.store import Store

STAGED = "20130101T000000-s1"


@pytest.fixture(params=OPENERS)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    opened = OPENERS[request.param](tmp_path)()
    yield opened
    opened.close()


def begin_staged(store: Store, *attempts: Attempt, needs_approval: bool = False) -> None:
    """Begin a staged run if there is none yet, and attempts of it."""
    if store.run(STAGED) is None:
        publication = Publication.APPROVED if needs_approval else Publication.TOGETHER
        with store.transaction() as tx:
            tx.add_run(a_run(STAGED, publication=publication, plan_hash="sph"))
    begin(store, *attempts, run=STAGED)


def stage(store: Store, *attempts: Attempt, needs_approval: bool = False, **changes: object) -> list[Published]:
    """Publish in a staged run what attempts have made."""
    begin_staged(store, *attempts, needs_approval=needs_approval)
    return publish(store, *(a_candidate(attempt, **changes) for attempt in attempts))


def staged_attempt(number: int, key: str = "k1", dataset: str = "flights", **changes: object) -> Attempt:
    return an_attempt(number, key, dataset, run=STAGED, **changes)


def show(store: Store, reason: str = "good") -> list[Conflict]:
    with store.transaction() as tx:
        return tx.publish_staged(STAGED, author="bea", reason=reason, now_ms=9_000)


def take_back(store: Store, run: str, rollback: str, at_ms: int) -> None:
    """Roll a run back."""
    aim, made = Aim(run=run), a_run(rollback, kind=RunKind.ROLLBACK, state=RunState.SUCCEEDED, created_ms=at_ms)
    shown = store.take_back(aim)
    with store.transaction() as tx:
        tx.add_run(made)
        tx.roll_back(made, aim, shown)


def test_the_publication_of_a_run_is_kept(store: Store) -> None:
    with store.transaction() as tx:
        tx.add_run(a_run("r1"))
        tx.add_run(a_run("r2", publication=Publication.TOGETHER, plan_hash="p2"))
        tx.add_run(a_run("r3", publication=Publication.APPROVED, plan_hash="p3"))
    assert {run.id: run.publication for run in store.runs()} == {
        "r1": Publication.EACH,
        "r2": Publication.TOGETHER,
        "r3": Publication.APPROVED,
    }
    assert store.staged_run("r1") is None
    assert store.staged_run("r2") == StagedRun(needs_approval=False, published_ms=None, partitions=0)
    assert store.staged_run("r3") == StagedRun(needs_approval=True, published_ms=None, partitions=0)
    assert store.staged_runs() == []


def test_what_is_staged_is_no_head_and_only_its_run_reads_it(store: Store) -> None:
    assert build(store, 1, "k1") is Published.NEW
    made = stage(store, staged_attempt(2, "k1", expects=1), staged_attempt(3, "k2"))
    assert made == [Published.NEW, Published.NEW]
    assert {version.id for version in store.heads("flights")} == {1}
    with store.transaction() as tx:
        assert [v and v.id for v in tx.heads("flights", ["k1", "k2", "k3"])] == [1, None, None]
        assert [v and v.id for v in tx.staged_or_heads(STAGED, "flights", ["k1", "k2", "k3"])] == [2, 3, None]
        tx.add_run(a_run("other", publication=Publication.TOGETHER, plan_hash="oph"))
        assert [v and v.id for v in tx.staged_or_heads("other", "flights", ["k1", "k2"])] == [1, None]
        assert tx.staged_or_heads(STAGED, "unheard of", ["k1"]) == [None]
    assert {made.attempt for made in store.run_checkpoints(STAGED)} == {2, 3}
    assert store.staged_runs() == [STAGED]
    assert store.check() == []


def test_one_call_makes_everything_visible_and_says_so(store: Store) -> None:
    build(store, 1, "k1")
    stage(store, staged_attempt(2, "k1", expects=1), staged_attempt(3, "k2"))
    stage(store, staged_attempt(4, "d1", "daily"), inputs=(2, 3), inputs_digest=77)
    assert show(store) == []
    assert head_rows(store) == [("k1", 2, "c0de", 0, 2), ("k2", 3, "c0de", 0, 3)]
    assert head_rows(store, "daily") == [("d1", 4, "c0de", 77, 4)]
    (entry,) = store.journal_entries(kind="publish.together")
    assert (entry.run, entry.author, entry.reason) == (STAGED, "bea", "good")
    body = json.loads(entry.body)
    assert (body["moved"], body["datasets"]) == (3, {"daily": 1, "flights": 2})
    assert store.staged_run(STAGED) == StagedRun(needs_approval=False, published_ms=9_000, partitions=0)
    assert store.staged_runs() == []
    assert store.check() == []
    with pytest.raises(ConflictError, match="nothing staged"):
        show(store)


def test_unchanged_content_is_compared_with_the_head_and_gets_the_new_digest(store: Store) -> None:
    build(store, 1, "k1", content="same", inputs_digest=5)
    assert stage(store, staged_attempt(2, expects=1), content="same", inputs_digest=6) == [Published.UNCHANGED]
    assert head_rows(store) == [("k1", 1, "c0de", 5, 1)]
    assert show(store) == []
    assert head_rows(store) == [("k1", 1, "c0de", 6, 2)]
    assert store.check() == []


def test_one_head_that_has_moved_keeps_everything_back_until_it_is_as_it_was(store: Store) -> None:
    build(store, 1, "k1")
    stage(store, staged_attempt(2, "k1", expects=1), staged_attempt(3, "k2"), staged_attempt(4, "k3"))
    build(store, 5, "k1")
    build(store, 6, "k3")
    before = list(store.journal_entries())
    expected = [
        Conflict("flights", "k1", 1, 5, "20130101T000000-a1-5"),
        Conflict("flights", "k3", None, 6, "20130101T000000-a1-6"),
    ]
    assert store.staged_conflicts(STAGED) == expected
    assert show(store) == expected
    assert {version.key: version.id for version in store.heads("flights")} == {"k1": 5, "k3": 6}
    assert list(store.journal_entries()) == before
    assert store.staged_run(STAGED) == StagedRun(needs_approval=False, published_ms=None, partitions=3)
    assert store.check() == []


def test_what_rollbacks_hold_keeps_everything_back_and_is_named_once(store: Store) -> None:
    build(store, 1, "k1")
    build(store, 2, "k1")
    build(store, 3, "k1")
    stage(store, staged_attempt(4, "k1", expects=3), staged_attempt(5, "k2"))
    for number in (3, 2):
        with store.transaction() as tx:
            tx.set_run_state(f"{RUN}-{number}", RunState.SUCCEEDED, author="ada", reason="", now_ms=4_000)
        take_back(store, f"{RUN}-{number}", f"back-{number}", 6_000 - number)
    (conflict,) = store.staged_conflicts(STAGED)
    assert (conflict.dataset, conflict.key, conflict.previous, conflict.head) == ("flights", "k1", 3, 1)
    assert conflict.why == "is held by rollback back-2"
    assert show(store) == [conflict]
    for number in (2, 3):
        with store.transaction() as tx:
            tx.resolve(f"back-{number}", author="bea", reason="mended", now_ms=7_000)
    (conflict,) = store.staged_conflicts(STAGED)
    assert conflict.why == "shows version 1 again: rollback back-2 has moved it since"
    # The undo of both: it shows again what it showed when the run built on it.
    take_back(store, "back-2", "undo-2", 8_000)
    take_back(store, "back-3", "undo-3", 8_100)
    assert {version.key: version.id for version in store.heads("flights")} == {"k1": 3}
    for undo in ("undo-2", "undo-3"):
        with store.transaction() as tx:
            tx.resolve(undo, author="bea", reason="mended", now_ms=8_200)
    assert store.staged_conflicts(STAGED) == []
    assert show(store) == []
    assert {version.key: version.id for version in store.heads("flights")} == {"k1": 4, "k2": 5}
    assert store.check() == []


def test_what_an_undo_has_put_forth_again_is_no_version_of_its_run_since(store: Store) -> None:
    build(store, 1, "k1")
    build(store, 2, "k1")
    for number in (2, 1):
        with store.transaction() as tx:
            tx.set_run_state(f"{RUN}-{number}", RunState.SUCCEEDED, author="ada", reason="", now_ms=4_000)
    take_back(store, f"{RUN}-2", "back", 5_000)
    with store.transaction() as tx:
        tx.resolve("back", author="bea", reason="mended", now_ms=5_500)
    stage(store, staged_attempt(3, "k1", expects=1))
    take_back(store, "back", "undo", 6_000)
    (conflict,) = store.staged_conflicts(STAGED)
    assert (conflict.previous, conflict.head, conflict.moved_by) == (1, 2, "undo")
    assert conflict.why == "shows version 2 again: rollback undo has moved it since"
    # What somebody publishes after it is what is in the way.
    build(store, 4, "k1")
    assert store.staged_conflicts(STAGED)[0].why == f"has another version since, of run {RUN}-4"


def test_what_was_made_from_what_was_taken_back_is_not_published(store: Store) -> None:
    build(store, 1, "k1")
    build(store, 2, "k1")
    stage(store, staged_attempt(3, "d1", "daily"), inputs=(2,))
    stage(store, staged_attempt(4, "d2", "daily"))
    with store.transaction() as tx:
        tx.set_run_state(f"{RUN}-2", RunState.SUCCEEDED, author="ada", reason="", now_ms=4_000)
    take_back(store, f"{RUN}-2", "back", 5_000)
    (conflict,) = store.staged_conflicts(STAGED)
    assert (conflict.dataset, conflict.key, conflict.head) == ("daily", "d1", None)
    assert conflict.why == "was made from flights/k1, which was rolled back since"
    assert show(store) == [conflict]
    assert list(store.heads("daily")) == []
    take_back(store, "back", "undo", 6_000)
    assert store.staged_conflicts(STAGED) == []
    assert show(store) == []


def test_what_is_staged_is_superseded_when_the_head_moved_under_the_attempt(store: Store) -> None:
    attempt = staged_attempt(1, "k1")
    stage(store)
    begin(store, attempt, run=STAGED)
    build(store, 2, "k1")
    assert publish(store, a_candidate(attempt)) == [Published.SUPERSEDED]
    assert store.staged_run(STAGED) == StagedRun(needs_approval=False, published_ms=None, partitions=0)


def test_what_is_discarded_is_gone_for_good(store: Store) -> None:
    stage(store, staged_attempt(2, "k1"), needs_approval=True)
    with store.transaction() as tx:
        assert tx.discard_staged(STAGED) == 1
        assert tx.discard_staged(STAGED) == 0
        tx.set_run_state(STAGED, RunState.DISCARDED, author="bea", reason="no", now_ms=9_000)
    assert list(store.heads("flights")) == []
    run = store.run(STAGED)
    assert run is not None
    assert (run.state, run.finished_ms) == (RunState.DISCARDED, 9_000)
    with pytest.raises(ConflictError, match="is discarded"), store.transaction() as tx:
        tx.set_run_state(STAGED, RunState.RUNNING, author="bea", reason="yes", now_ms=9_500)
    assert store.check() == []


def test_what_a_discarded_run_has_saved_of_batches_is_gone_too(store: Store) -> None:
    stage(store, staged_attempt(2, "k1"))
    begin(store, staged_attempt(3, "k2"), run=STAGED)
    with store.transaction() as tx:
        assert tx.save_batch(SavedBatch(3, File("p", 1, 1, "h"), "c", 1, (("n", "int64"),), None, None, 0, "c0de"))
        tx.end_attempts([(3, AttemptState.FAILED, Failure(ErrorClass.PERMANENT, "no", ""))], now_ms=2_600)
    with store.transaction() as tx:
        assert tx.discard_staged(STAGED) == 1
        assert tx.batches(STAGED, "flights", ["k2"]) == {}
        tx.forget_paths([3])
    assert store.uncollected_attempts() == []


def test_changes_are_what_a_run_made_beside_what_was_there(store: Store) -> None:
    build(store, 1, "k2")
    stage(store, staged_attempt(2, "k2", expects=1), staged_attempt(3, "k1"), staged_attempt(4, "d1", "daily"))
    for _ in range(2):
        found = [(c.dataset, c.key, c.before and c.before.id, c.after.id) for c in store.changes(STAGED)]
        assert found == [("daily", "d1", None, 4), ("flights", "k1", None, 3), ("flights", "k2", 1, 2)]
        assert [c.key for c in store.changes(STAGED, "flights")] == ["k1", "k2"]
        # The same once they are published.
        assert show(store) == [] if store.staged_runs() else True
    assert list(store.changes("no such run")) == []


def test_a_run_that_publishes_each_is_not_touched_by_what_another_has_staged(store: Store) -> None:
    stage(store, staged_attempt(2, "k1"))
    assert build(store, 3, "k1") is Published.NEW
    assert head_rows(store) == [("k1", 3, "c0de", 0, 3)]
    assert store.check() == []
