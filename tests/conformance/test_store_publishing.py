"""The contract of state stores: attempts, publishing and observing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from store_cases import OPENERS, RUN, SCHEMA, a_candidate, a_run, an_attempt, begin, build, head_rows, publish, seen

from headgate.errors import InternalError
from headgate.model.run import AttemptState, ErrorClass, Failure
from headgate.model.version import File
from headgate.store.records import Published, Uncollected

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from headgate.store.store import Store

NAME = "x'; DROP TABLE head;--\u00e9\U0001f600\""


@pytest.fixture(params=OPENERS)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    opened = OPENERS[request.param](tmp_path)()
    yield opened
    assert opened.check() == []
    opened.close()


def finish(store: Store) -> None:
    with store.transaction() as tx:
        tx.fence_attempts(now_ms=9_999)


def test_a_first_publish_makes_version_checkpoint_head_and_lineage(store: Store) -> None:
    with store.transaction() as tx:
        assert tx.observe([seen("k1", "aa"), seen("k2", "bb")], author="ada", now_ms=1_500) == 2
    source = [version.id for version in store.heads("landing", ["k1", "k2"])]
    attempt = an_attempt(store.next_id())
    begin(store, attempt)
    candidate = a_candidate(
        attempt,
        inputs=(*source, source[0]),
        inputs_digest=2**64 - 5,
        watermark_ms=77,
        offsets={"topic": 5, "file": "x"},
        declared_version="v2",
    )
    assert publish(store, candidate) == [Published.NEW]

    (head,) = store.heads("flights")
    assert (head.id, head.dataset, head.key, head.files) == (attempt.id, "flights", "k1", candidate.files)
    assert (head.rows, head.bytes, head.content, head.schema) == (10, 1_000, candidate.content, SCHEMA)
    assert head.created_ms == 3_000
    assert store.version(attempt.id) == head
    (checkpoint,) = store.checkpoints("flights")
    assert (checkpoint.attempt, checkpoint.run, checkpoint.version, checkpoint.previous) == (
        attempt.id,
        RUN,
        attempt.id,
        None,
    )
    assert (checkpoint.code, checkpoint.declared_version, checkpoint.inputs_digest) == ("c0de", "v2", 2**64 - 5)
    assert (checkpoint.watermark_ms, checkpoint.offsets) == (77, {"topic": 5, "file": "x"})
    assert (checkpoint.started_ms, checkpoint.published_ms) == (2_000, 3_000)
    assert head_rows(store) == [("k1", attempt.id, "c0de", 2**64 - 5, attempt.id)]
    assert [(v.dataset, v.key) for v in store.lineage(attempt.id)] == [("landing", "k1"), ("landing", "k2")]
    (ended,) = store.attempts(RUN)
    assert (ended.state, ended.finished_ms, ended.path) == (AttemptState.SUCCEEDED, 3_000, "")
    assert store.uncollected_attempts() == []


def test_an_effect_without_files_is_new_each_time(store: Store) -> None:
    changes = {"files": (), "content": "", "schema": None, "rows": 0, "bytes": 0}
    assert [build(store, 1, **changes), build(store, 2, **changes)] == [Published.NEW, Published.NEW]
    (head,) = store.heads("flights")
    assert (head.id, head.files, head.schema) == (2, (), None)


def test_equal_content_and_schema_keep_the_head_but_move_its_checkpoint(store: Store) -> None:
    build(store, 1, content="same")
    assert build(store, 2, content="same", code="c1", inputs_digest=9) == Published.UNCHANGED
    (head,) = store.heads("flights")
    assert head.id == 1
    assert store.version(2) is None
    newest, oldest = store.checkpoints("flights", "k1")
    assert (newest.attempt, newest.version, newest.previous) == (2, 1, 1)
    assert (oldest.attempt, oldest.version, oldest.previous) == (1, 1, None)
    assert head_rows(store) == [("k1", 1, "c1", 9, 2)]
    # What it staged is garbage, and found as such.
    assert store.uncollected_attempts() == [Uncollected(2, "staging/flights/2.parquet")]


def test_equal_content_under_another_schema_is_new(store: Store) -> None:
    build(store, 1, content="same")
    assert build(store, 2, content="same", schema=(("day", "date"), ("n", "int32"))) == Published.NEW
    assert build(store, 3, content="same", schema=None) == Published.NEW


@pytest.mark.parametrize("state", [AttemptState.LOST, AttemptState.CANCELLED, AttemptState.FAILED])
def test_an_attempt_that_does_not_run_any_more_is_fenced(store: Store, state: AttemptState) -> None:
    attempt = an_attempt(1)
    begin(store, attempt)
    with store.transaction() as tx:
        tx.end_attempts([(1, state, None)], now_ms=2_500)
    before = list(store.journal_entries())
    assert publish(store, a_candidate(attempt)) == [Published.FENCED]
    assert list(store.heads("flights")) == []
    assert store.checkpoints("flights") == []
    (ended,) = store.attempts(RUN)
    assert ended.state == (AttemptState.FENCED if state == AttemptState.LOST else state)
    assert ended.path == attempt.path
    assert list(store.journal_entries()) == before


def test_publishing_twice_is_fenced_and_leaves_the_success(store: Store) -> None:
    attempt = an_attempt(1)
    begin(store, attempt)
    assert publish(store, a_candidate(attempt)) == [Published.NEW]
    assert publish(store, a_candidate(attempt)) == [Published.FENCED]
    assert publish(store, a_candidate(an_attempt(77, "k2"))) == [Published.FENCED]
    assert [a.state for a in store.attempts(RUN)] == [AttemptState.SUCCEEDED]
    assert len(store.checkpoints("flights")) == 1


def test_an_attempt_whose_head_moved_is_superseded(store: Store) -> None:
    slow = an_attempt(1, run=RUN)
    begin(store, slow)
    build(store, 2)
    assert publish(store, a_candidate(slow)) == [Published.SUPERSEDED]
    (head,) = store.heads("flights")
    assert head.id == 2
    (ended,) = store.attempts(RUN)
    assert (ended.state, ended.finished_ms) == (AttemptState.SUPERSEDED, 3_000)
    assert ended.failure == Failure(ErrorClass.PERMANENT, "a newer version was published meanwhile", "Plan again.")
    assert store.uncollected_attempts() == [Uncollected(1, slow.path)]


def test_an_attempt_expects_the_head_that_is_there_when_it_starts(store: Store) -> None:
    build(store, 1)
    begin(store, an_attempt(2), an_attempt(3, "k2"))
    assert [attempt.expects for attempt in store.attempts(RUN)] == [1, None]
    assert publish(store, a_candidate(an_attempt(2)), a_candidate(an_attempt(3, "k2"))) == [Published.NEW] * 2


def test_a_group_gets_one_verdict_each_in_order_and_one_journal_entry(store: Store) -> None:
    build(store, 1, "k1", content="same")
    attempts = [an_attempt(2, "k1"), an_attempt(3, "k2"), an_attempt(4, "k3"), an_attempt(5, "k4")]
    begin(store, *attempts)
    build(store, 6, "k3")
    with store.transaction() as tx:
        tx.end_attempts([(5, AttemptState.LOST, None)], now_ms=2_500)
    entries = len(list(store.journal_entries()))
    candidates = [a_candidate(attempt) for attempt in attempts]
    candidates[0] = a_candidate(attempts[0], content="same")
    order = [3, 1, 0, 2]
    verdicts = publish(store, *[candidates[i] for i in order])
    assert verdicts == [Published.FENCED, Published.NEW, Published.UNCHANGED, Published.SUPERSEDED]
    *_, entry = store.journal_entries()
    assert entry.seq == entries + 1
    assert (entry.kind, entry.author, entry.run, entry.at_ms) == ("publish", "ada", RUN, 3_000)
    for part in ('"new":1', '"unchanged":1', '"fenced":1', '"superseded":1', '"first":2', '"last":3'):
        assert part in entry.body


def test_two_candidates_of_one_partition_are_a_bug(store: Store) -> None:
    first, second = an_attempt(1), an_attempt(2)
    begin(store, first, second)
    with pytest.raises(InternalError):
        publish(store, a_candidate(first), a_candidate(second))
    assert list(store.heads("flights")) == []
    finish(store)


def test_a_candidate_for_another_partition_than_its_attempt_is_a_bug(store: Store) -> None:
    begin(store, an_attempt(1))
    with pytest.raises(InternalError):
        publish(store, a_candidate(an_attempt(1, "k2")))
    finish(store)


def test_a_run_publishes_a_partition_once(store: Store) -> None:
    first = an_attempt(1)
    begin(store, first)
    publish(store, a_candidate(first))
    second = an_attempt(2, expects=1)
    begin(store, second)
    with pytest.raises(InternalError):
        publish(store, a_candidate(second))
    assert [c.attempt for c in store.checkpoints("flights")] == [1]
    finish(store)


def test_lineage_to_a_version_that_does_not_exist_is_a_bug(store: Store) -> None:
    attempt = an_attempt(1)
    begin(store, attempt)
    with pytest.raises(InternalError):
        publish(store, a_candidate(attempt, inputs=(77,)))
    finish(store)


def test_all_of_a_transaction_or_nothing(store: Store) -> None:
    begin(store, an_attempt(1))
    before = list(store.journal_entries())
    with pytest.raises(ZeroDivisionError), store.transaction() as tx:  # noqa: PT012
        tx.add_run(a_run("other"))
        tx.start_attempts([an_attempt(2, "k2", "brand_new", "other")])
        tx.publish([a_candidate(an_attempt(1))], author="ada", now_ms=3_000)
        assert [v.id if v else None for v in tx.heads("flights", ["k1", "none"])] == [1, None]
        tx.observe([seen("k1", "aa")], author="ada", now_ms=3_000)
        tx.add_command(RUN, "drain", author="ada", reason="", now_ms=3_000)
        _ = 1 // 0
    assert store.run("other") is None
    assert store.datasets() == []
    assert [a.state for a in store.attempts(RUN)] == [AttemptState.RUNNING]
    assert list(store.journal_entries()) == before
    assert store.next_id() == 2
    # The names and schemas that were new in it must not be remembered by numbers that are gone.
    begin(store, an_attempt(2, "k2", "brand_new"))
    assert publish(store, a_candidate(an_attempt(2, "k2", "brand_new"))) == [Published.NEW]
    assert [v.schema for v in store.heads("brand_new")] == [SCHEMA]
    finish(store)


def test_a_transaction_inside_another_is_a_bug(store: Store) -> None:
    with store.transaction(), pytest.raises(InternalError), store.transaction():
        pass
    with store.transaction() as tx:
        tx.add_run(a_run())
    assert store.run(RUN) == a_run()


def test_failures_are_kept_and_only_running_attempts_end(store: Store) -> None:
    failure = Failure(ErrorClass.DATA, "42 rows\nare \u00e9mpty", "look", "Traceback ...")
    begin(store, an_attempt(1), an_attempt(2, "k2"), an_attempt(3, "k3"))
    with store.transaction() as tx:
        tx.end_attempts([(1, AttemptState.FAILED, failure), (2, AttemptState.RETURNED, None)], now_ms=2_500)
    with store.transaction() as tx:
        tx.end_attempts([(1, AttemptState.CANCELLED, None)], now_ms=2_600)
    first, second, third = store.attempts(RUN)
    assert (first.state, first.finished_ms, first.failure) == (AttemptState.FAILED, 2_500, failure)
    assert (second.state, second.failure) == (AttemptState.RETURNED, None)
    assert (third.state, third.finished_ms) == (AttemptState.RUNNING, None)
    assert store.running_attempts() == [third]
    assert store.attempts(RUN, dataset="flights", key="k2") == [second]
    assert store.attempts(RUN, dataset="none") == store.attempts("none") == []
    finish(store)


def test_a_new_coordinator_fences_what_runs_and_collects_it(store: Store) -> None:
    begin(store, an_attempt(1), an_attempt(2, "k2"), an_attempt(3, "k3", path=""))
    publish(store, a_candidate(an_attempt(1)))
    with store.transaction() as tx:
        lost = tx.fence_attempts(now_ms=4_000)
    assert [(a.id, a.state, a.finished_ms) for a in lost] == [
        (2, AttemptState.LOST, 4_000),
        (3, AttemptState.LOST, 4_000),
    ]
    assert store.running_attempts() == []
    assert [left.attempt for left in store.uncollected_attempts()] == [2]
    with store.transaction() as tx:
        tx.forget_paths([2])
    assert store.uncollected_attempts() == []


def test_numbers_never_come_twice(store: Store) -> None:
    assert store.next_id() == 1
    begin(store, an_attempt(7, "k2"), an_attempt(5))
    assert store.next_id() == 8
    with store.transaction() as tx:
        tx.observe([seen("k1", "aa"), seen("k2", "bb")], author="ada", now_ms=1_500)
    assert sorted(v.id for v in store.heads("landing")) == [8, 9]
    assert store.next_id() == 10
    with pytest.raises(InternalError), store.transaction() as tx:
        tx.start_attempts([an_attempt(9)])
    with store.transaction() as tx:
        tx.start_attempts([])
    finish(store)


def test_sources_are_observed_once_for_each_content(store: Store) -> None:
    def observe(*observations: object) -> int:
        with store.transaction() as tx:
            return tx.observe(observations, author="ada", now_ms=1_500)

    assert observe(seen("k1", "aa"), seen("k2", "bb"), seen("k1", "cc", dataset="weather")) == 3
    entries = len(list(store.journal_entries()))
    assert observe(seen("k1", "aa"), seen("k2", "bb")) == 0
    assert len(list(store.journal_entries())) == entries
    assert observe(seen("k1", "aa"), seen("k2", "b2")) == 1
    newest, oldest = store.checkpoints("landing", "k2")
    assert (newest.run, newest.code, newest.previous, newest.version) == ("", "", oldest.version, newest.attempt)
    assert (newest.started_ms, newest.published_ms) == (1_500, 1_500)
    (head,) = store.heads("landing", ["k2"])
    assert (head.id, head.rows, head.bytes, head.content) == (newest.attempt, -1, 2, "")
    assert store.datasets() == ["landing", "weather"]


def test_a_source_file_that_only_moved_keeps_its_version(store: Store) -> None:
    with store.transaction() as tx:
        tx.observe([seen("k1", "aa")], author="ada", now_ms=1_500)
    (before,) = store.heads("landing")
    with store.transaction() as tx:
        assert tx.observe([seen("k1", "aa", path="lake/k1.csv")], author="ada", now_ms=1_600) == 0
    (after,) = store.heads("landing")
    assert after.id == before.id
    assert after.files == (File("lake/k1.csv", -1, 2, "xxh3:aa"),)
    assert store.version(before.id) == after
    assert [c.version for c in store.checkpoints("landing")] == [before.id]
    assert store.next_id() == before.id + 1
    assert [e.kind for e in store.journal_entries()] == ["observe", "observe"]


def test_a_source_file_that_moved_and_changed_has_a_new_version(store: Store) -> None:
    with store.transaction() as tx:
        tx.observe([seen("k1", "aa"), seen("k2", "bb")], author="ada", now_ms=1_500)
    first, second = sorted(version.id for version in store.heads("landing"))
    with store.transaction() as tx:
        moved = [seen("k1", "aa", path="lake/k1.csv"), seen("k2", "b2", path="lake/k2.csv")]
        assert tx.observe(moved, author="ada", now_ms=1_600) == 1
    after = {version.key: version for version in store.heads("landing")}
    assert (after["k1"].id, after["k1"].files[0].path) == (first, "lake/k1.csv")
    assert (after["k2"].id, after["k2"].files[0].path) == (second + 1, "lake/k2.csv")
    old = store.version(second)
    assert old is not None
    assert old.files == (seen("k2", "bb").file,)


def test_texts_are_data_never_sql(store: Store) -> None:
    attempt = an_attempt(1, NAME, NAME, NAME)
    begin(store, attempt, run=NAME)
    with store.transaction() as tx:
        tx.observe([seen(NAME, NAME, dataset="landing" + NAME)], author=NAME, now_ms=1)
        tx.add_command(NAME, NAME, author=NAME, reason=NAME, now_ms=1)
    (source,) = store.heads("landing" + NAME, [NAME])
    candidate = a_candidate(attempt, code=NAME, schema=((NAME, NAME),), content=NAME, inputs=(source.id,))
    assert publish(store, candidate) == [Published.NEW]
    assert store.datasets() == sorted(["landing" + NAME, NAME])
    (head,) = store.heads(NAME, [NAME, "none"])
    assert (head.dataset, head.key, head.schema, head.content) == (NAME, NAME, ((NAME, NAME),), NAME)
    assert [c.run for c in store.checkpoints(NAME, NAME)] == [NAME]
    assert [v.id for v in store.lineage(1)] == [source.id]
    assert store.run(NAME[:5]) == a_run(NAME)
