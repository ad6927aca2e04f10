from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from store_cases import OPENERS, RUN, a_candidate, a_run, an_attempt, begin, build, head_rows, publish

from headgate.model.rollback import Aim
from headgate.model.run import Publication, RunKind, RunState
from headgate.model.version import File
from headgate.store.records import Published

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from headgate.store.store import Store

COMPACTION = "20130301T000000-c1"


@pytest.fixture(params=sorted(OPENERS))
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    opened = OPENERS[request.param](tmp_path)()
    yield opened
    opened.close()


def compact(store: Store, number: int, key: str = "k1", run: str = COMPACTION) -> Published:
    """Publish the head of a partition again, as a row group of another file."""
    (head,) = store.heads("flights", [key])
    (made, *_) = store.checkpoints("flights", key, limit=1)
    attempt = replace(an_attempt(number, key, expects=head.identity), run=run)
    if store.run(run) is None:
        with store.transaction() as tx:
            tx.add_run(a_run(run, kind=RunKind.COMPACTION))
    begin(store, attempt, run=run)
    candidate = a_candidate(
        attempt,
        files=(File(f"flights/{run}/pack-a{number:04}.parquet", head.rows, 5_000, "sha256:ab", 3),),
        content=head.content,
        schema=head.schema,
        code=made.code,
        inputs_digest=made.inputs_digest,
        inputs=(*(pinned.id for pinned in store.lineage(made.attempt)), head.id),
        renews=True,
        origin=head.identity,
    )
    (verdict,) = publish(store, candidate)
    return verdict


def test_a_compaction_changes_files_and_nothing_that_planning_sees(store: Store) -> None:
    build(store, 1)
    build(store, 2, "k2")
    before = head_rows(store)
    assert compact(store, 3) is Published.NEW
    assert compact(store, 4, run=f"{COMPACTION}-again") is Published.NEW
    assert head_rows(store) == before
    (head,) = store.heads("flights", ["k1"])
    assert (head.id, head.identity, head.origin) == (4, 1, 1)
    assert head.files[0].row_group == 3
    assert store.version(1).identity == 1
    assert store.check() == []


def test_the_attempt_of_a_packed_head_is_that_of_the_checkpoint_before(store: Store) -> None:
    build(store, 1)
    assert build(store, 2, content="h@1:10:1") is Published.UNCHANGED
    before = head_rows(store)
    assert before[0][4] == 2
    compact(store, 3)
    assert head_rows(store) == before
    assert build(store, 4, content="h@1:10:1") is Published.UNCHANGED
    (row,) = head_rows(store)
    assert (row[1], row[4]) == (1, 4)


def test_what_was_compacted_before_it_was_held_has_not_moved_for_a_staged_run(store: Store) -> None:
    staged = "20130401T000000-s1"
    build(store, 1)
    with store.transaction() as tx:
        tx.add_run(a_run(staged, publication=Publication.TOGETHER, plan_hash="sph"))
    attempt = replace(an_attempt(2, expects=1), run=staged)
    begin(store, attempt, run=staged)
    publish(store, a_candidate(attempt))
    compact(store, 3)
    newer = an_attempt(4, expects=1)
    begin(store, newer)
    assert publish(store, a_candidate(newer)) == [Published.NEW]
    with store.transaction() as tx:
        tx.set_run_state(RUN, RunState.SUCCEEDED, author="ada", reason="", now_ms=4_000)
    back = a_run("back", kind=RunKind.ROLLBACK, state=RunState.SUCCEEDED, plan_hash="", created_ms=5_000)
    aim = Aim(run=RUN)
    shown = store.take_back(aim)
    with store.transaction() as tx:
        tx.add_run(back)
        tx.roll_back(back, aim, shown)
    (conflict,) = store.staged_conflicts(staged)
    assert (conflict.previous, conflict.head, conflict.held_by, conflict.has_moved) == (1, 3, "back", False)


def test_an_attempt_that_began_before_a_compaction_publishes_after_it(store: Store) -> None:
    build(store, 1)
    attempt = replace(an_attempt(2, expects=1), run=f"{RUN}-2")
    begin(store, attempt, run=attempt.run)
    compact(store, 3)
    assert publish(store, a_candidate(attempt)) == [Published.NEW]
    (head,) = store.heads("flights", ["k1"])
    assert head.identity == head.id == 2
    assert store.checkpoints("flights", "k1", limit=1)[0].previous == 3


def test_an_attempt_that_knows_an_older_content_is_superseded_in_spite_of_a_compaction(store: Store) -> None:
    build(store, 1)
    attempt = replace(an_attempt(4), run=f"{RUN}-4")
    begin(store, attempt, run=attempt.run)
    build(store, 5)
    compact(store, 6)
    assert publish(store, a_candidate(attempt)) == [Published.SUPERSEDED]


def test_a_compaction_of_what_was_replaced_meanwhile_is_superseded(store: Store) -> None:
    build(store, 1)
    attempt = replace(an_attempt(2, expects=1), run=COMPACTION)
    begin(store, attempt, run=COMPACTION)
    build(store, 3)
    assert publish(store, a_candidate(attempt, renews=True, origin=1)) == [Published.SUPERSEDED]
    (head,) = store.heads("flights", ["k1"])
    assert head.id == 3


def test_compactions_do_not_count_where_it_matters_how_long_things_take(store: Store) -> None:
    build(store, 1)
    build(store, 2, "k2")
    durations, past = store.durations("flights"), store.past_attempts("flights")
    compact(store, 3)
    assert store.durations("flights") == durations
    assert store.past_attempts("flights") == past


def test_a_compaction_that_was_killed_leaves_no_doubt_about_its_partition(store: Store) -> None:
    build(store, 1)
    with store.transaction() as tx:
        tx.add_run(a_run(COMPACTION, kind=RunKind.COMPACTION))
        tx.start_attempts([replace(an_attempt(2, expects=1), run=COMPACTION)])
    with store.transaction() as tx:
        tx.fence_attempts(now_ms=4_000)
    assert list(store.failed_partitions("flights", unsure=True)) == []
