"""The contract of state stores: results that gates have refused, and what gates said of those that were published."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from store_cases import OPENERS, RUN, a_candidate, a_run, an_attempt, begin, build, publish

from headgate.errors import ConflictError, InternalError
from headgate.model.audit import GateFinding
from headgate.model.gate import Severity
from headgate.model.rollback import Aim
from headgate.model.run import AttemptState, ErrorClass, Failure, Publication, RunKind, RunState
from headgate.model.version import File
from headgate.store.quarantine import Audit, QuarantineState
from headgate.store.records import Published, SavedBatch, Uncollected

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from headgate.model.run import Attempt
    from headgate.store.records import Candidate
    from headgate.store.store import Store

NULLS = GateFinding("not_null(n)", Severity.BLOCK, False, "3 of 10 rows are null")
FEW = GateFinding("rows(min=20)", Severity.WARN, False, "10 rows")
FINE = GateFinding("unique(day)", Severity.BLOCK, True, "10 values")
WHY = Failure(ErrorClass.DATA, "not_null(n): 3 of 10 rows are null", "headgate quarantine show")


@pytest.fixture(params=OPENERS)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    opened = OPENERS[request.param](tmp_path)()
    yield opened
    assert opened.check() == []
    opened.close()


def refused(attempt: Attempt, **changes: object) -> Candidate:
    return a_candidate(attempt, **({"gates": (NULLS, FINE)} | changes))


def hold(store: Store, *candidates: Candidate, now_ms: int = 3_000) -> list[tuple[Candidate, Failure]]:
    with store.transaction() as tx:
        return tx.quarantine([(one, WHY) for one in candidates], author="ada", now_ms=now_ms)


def held(store: Store, number: int = 1, key: str = "k1", **changes: object) -> Candidate:
    """Start an attempt that expects the present head, and quarantine what it made."""
    (head,) = list(store.heads("flights", [key])) or [None]
    run = f"{RUN}-{number}"
    attempt = an_attempt(number, key, run=run, expects=head.id if head else None)
    begin(store, attempt, run=run)
    candidate = refused(attempt, **changes)
    assert hold(store, candidate) == []
    return candidate


def release(store: Store, attempt: int, **more: bool) -> Published:
    with store.transaction() as tx:
        return tx.release(attempt, author="bob", reason="seen and fine", now_ms=5_000, **more)


def drop(store: Store, attempt: int) -> None:
    with store.transaction() as tx:
        tx.drop(attempt, author="bob", reason="rubbish", now_ms=5_000)


def head_of(store: Store, key: str = "k1") -> int | None:
    return next((version.id for version in store.heads("flights", [key])), None)


def test_what_is_refused_is_kept_and_nobody_sees_it(store: Store) -> None:
    build(store, 1)
    candidate = held(
        store, 2, offsets={"topic": 5}, inputs_digest=2**64 - 5, declared_version="v2", schema=(("a", "int64"),)
    )
    assert head_of(store) == 1
    assert len(store.checkpoints("flights")) == 1
    (kept,) = store.quarantined()
    assert kept.candidate == candidate
    assert (kept.expects, kept.at_ms, kept.state, kept.decided_ms) == (1, 3_000, QuarantineState.HELD, None)
    (attempt,) = store.attempts(f"{RUN}-2")
    assert (attempt.state, attempt.finished_ms, attempt.failure) == (AttemptState.FAILED, 3_000, WHY)
    assert [found.key for found in store.failed_partitions("flights")] == ["k1"]
    *_, entry = store.journal_entries()
    assert (entry.kind, entry.author, entry.run) == ("quarantine.held", "ada", f"{RUN}-2")
    assert json.loads(entry.body) == {"attempts": [2], "datasets": ["flights"], "partitions": 1}


def test_time_in_quarantine_is_no_work(store: Store) -> None:
    held(store)
    assert release(store, 1) is Published.NEW
    assert store.durations("flights") == [(1_000, 1_000)]
    assert [one.elapsed_ms for one in store.past_attempts("flights")] == [1_000]
    assert [one.elapsed_ms for one in store.spent(f"{RUN}-1")] == [1_000]


def test_what_is_held_is_not_collected(store: Store) -> None:
    candidate = held(store)
    assert store.uncollected_attempts() == []
    assert store.parts_in_use([]) == {candidate.files[0].path}
    with store.transaction() as tx:
        tx.forget_paths([1])
    assert store.attempts(f"{RUN}-1")[0].path == candidate.files[0].path


def test_parts_that_earlier_attempts_of_the_task_made_are_kept_with_it(store: Store) -> None:
    first, second = an_attempt(1), an_attempt(2)
    begin(store, first, second)
    parts = [File(f"staging/flights/{n}-p0001.parquet", 5, 500, f"h{n}") for n in (1, 2)]
    for n, part in enumerate(parts, start=1):
        with store.transaction() as tx:
            assert tx.save_batch(SavedBatch(n, part, "c", n, (("n", "int64"),), None, None, 0, "c0de"))
    with store.transaction() as tx:
        tx.end_attempts([(1, AttemptState.LOST, None)], now_ms=2_500)
    hold(store, refused(second, files=tuple(parts)))
    with store.transaction() as tx:
        assert tx.batches(RUN, "flights", ["k1"]) == {}, "the next attempt begins anew"
    assert store.parts_in_use([1, 2]) == {part.path for part in parts}
    assert [left.attempt for left in store.uncollected_attempts()] == [1]
    with store.transaction() as tx:
        tx.forget_paths([1])
    drop(store, 2)
    assert [left.attempt for left in store.uncollected_attempts()] == [1, 2]
    assert store.parts_in_use([1, 2]) == set()


def test_a_zombie_leaves_nothing_in_quarantine(store: Store) -> None:
    begin(store, an_attempt(1), an_attempt(2, "k2"))
    with store.transaction() as tx:
        tx.fence_attempts(now_ms=2_500)
    begin(store, an_attempt(3, "k2"))
    fenced = hold(store, refused(an_attempt(1)), refused(an_attempt(3, "k2")))
    assert [candidate.attempt for candidate, _ in fenced] == [1]
    assert [one.candidate.attempt for one in store.quarantined()] == [3]
    assert [a.state for a in store.attempts(RUN)] == [AttemptState.FENCED, AttemptState.LOST, AttemptState.FAILED]
    before = store.journal_seq()
    assert len(hold(store, refused(an_attempt(2, "k2")))) == 1
    assert store.journal_seq() == before


def test_releasing_publishes_with_checkpoint_and_lineage(store: Store) -> None:
    build(store, 1)
    build(store, 2, "source")
    held(store, 3, inputs=(2,), inputs_digest=7, offsets={"topic": 5}, watermark_ms=77)
    assert release(store, 3) == Published.NEW
    (head,) = store.heads("flights", ["k1"])
    assert (head.id, head.created_ms, head.files[0].path) == (3, 5_000, "staging/flights/3.parquet")
    newest = store.checkpoints("flights", "k1")[0]
    assert (newest.attempt, newest.run, newest.version, newest.previous) == (3, f"{RUN}-3", 3, 1)
    assert (newest.inputs_digest, newest.offsets, newest.watermark_ms) == (7, {"topic": 5}, 77)
    assert (newest.started_ms, newest.published_ms) == (2_000, 5_000)
    assert [version.id for version in store.lineage(3)] == [2]
    (attempt,) = store.attempts(f"{RUN}-3")
    assert (attempt.state, attempt.path, attempt.failure) == (AttemptState.SUCCEEDED, "", None)
    assert store.last_attempts(f"{RUN}-3") == []
    assert [made.new for made in store.made(f"{RUN}-3")] == [1]
    assert list(store.failed_partitions("flights")) == store.uncollected_attempts() == []
    (kept,) = store.quarantined()
    assert (kept.state, kept.decided_ms, kept.author) == (QuarantineState.RELEASED, 5_000, "bob")
    assert kept.reason == "seen and fine"
    assert store.audits([1, 3]) == {3: Audit(1, (NULLS,))}
    publishing, entry = [*store.journal_entries()][-2:]
    assert (publishing.kind, publishing.author, publishing.reason) == ("publish", "bob", "seen and fine")
    assert (entry.kind, entry.author, entry.run) == ("quarantine.released", "bob", f"{RUN}-3")
    assert json.loads(entry.body) == {"attempt": 3, "dataset": "flights", "gates": ["not_null(n)"], "key": "k1"}


def test_the_tasks_of_a_run_that_were_released(store: Store) -> None:
    first, second = an_attempt(1), an_attempt(2, "k2")
    begin(store, first, second)
    hold(store, refused(first), refused(second))
    release(store, 2)
    with store.transaction() as tx:
        assert tx.released(RUN) == [("flights", "k2")]
        assert tx.released("none") == []


def test_releasing_what_the_head_shows_keeps_it(store: Store) -> None:
    build(store, 1, content="same")
    held(store, 2, content="same")
    assert release(store, 2) == Published.UNCHANGED
    assert head_of(store) == 1
    assert store.uncollected_attempts() == [Uncollected(2, "staging/flights/2.parquet")]
    held(store, 3, content="same")
    assert release(store, 3, renews=True) == Published.NEW


def test_what_was_overtaken_is_not_released_and_stays(store: Store) -> None:
    build(store, 1)
    build(store, 2)
    candidate = held(store, 3)
    roll_back(store, f"{RUN}-2", resolved=True)
    with pytest.raises(ConflictError, match="flights/k1: the head has moved on: it is version 1, and was version 2"):
        release(store, 3)
    assert head_of(store) == 1
    (kept,) = store.quarantined()
    assert (kept.state, kept.candidate) == (QuarantineState.HELD, candidate)
    assert store.attempts(f"{RUN}-3")[0].failure == WHY


def test_releasing_removes_saved_batches_of_runs_that_ended(store: Store) -> None:
    held(store, 1)
    other = an_attempt(2, run="other")
    begin(store, other, run="other")
    with store.transaction() as tx:
        tx.save_batch(SavedBatch(2, File("p", 1, 1, "h"), "c", 1, (("n", "int64"),), None, None, 0, "c0de"))
        tx.end_attempts([(2, AttemptState.FAILED, WHY)], now_ms=2_600)
    release(store, 1)
    with store.transaction() as tx:
        assert tx.batches("other", "flights", ["k1"]) == {}


def test_dropping_makes_garbage_of_it(store: Store) -> None:
    candidate = held(store)
    drop(store, 1)
    assert head_of(store) is None
    assert store.uncollected_attempts() == [Uncollected(1, candidate.files[0].path)]
    assert store.parts_in_use([1]) == set()
    (kept,) = store.quarantined()
    assert (kept.state, kept.author, kept.reason) == (QuarantineState.DROPPED, "bob", "rubbish")
    assert store.attempts(f"{RUN}-1")[0].failure == WHY
    *_, entry = store.journal_entries()
    assert (entry.kind, entry.reason) == ("quarantine.dropped", "rubbish")
    with store.transaction() as tx:
        tx.forget_paths([1])
    assert store.uncollected_attempts() == []


def test_what_is_decided_stays_so(store: Store) -> None:
    held(store, 1, "k1")
    held(store, 2, "k2")
    release(store, 1)
    drop(store, 2)
    before = store.journal_seq()
    for attempt, said in ((1, "released already, by bob: seen"), (2, "dropped already, by bob: rubbish")):
        with pytest.raises(ConflictError, match=said):
            release(store, attempt)
        with pytest.raises(ConflictError, match=said):
            drop(store, attempt)
    for decide in (release, drop):
        with pytest.raises(InternalError, match="attempt 99 was never quarantined"):
            decide(store, 99)
    assert store.journal_seq() == before
    assert head_of(store, "k2") is None


def test_what_is_asked_for_is_found_newest_first(store: Store) -> None:
    held(store, 1, "k1")
    held(store, 2, "k2")
    drop(store, 1)
    held(store, 3, "k1")

    def numbers(**wanted: object) -> list[int]:
        return [one.candidate.attempt for one in store.quarantined(**wanted)]

    assert numbers() == [3, 2, 1]
    assert numbers(limit=1) == [3]
    assert numbers(states=frozenset({QuarantineState.HELD})) == [3, 2]
    assert numbers(dataset="flights", key="k1") == [3, 1]
    assert numbers(dataset="flights", key="k1", states=frozenset({QuarantineState.DROPPED})) == [1]
    assert numbers(run=f"{RUN}-2") == numbers(attempt=2) == [2]
    assert numbers(attempt=9) == numbers(run="none") == numbers(dataset="none") == numbers(states=frozenset()) == []


def test_what_gates_said_is_kept_with_what_was_published(store: Store) -> None:
    attempts = [an_attempt(1, "k1"), an_attempt(2, "k2"), an_attempt(3, "k3")]
    begin(store, *attempts)
    first, second, third = attempts
    publish(store, a_candidate(first, gates=(FINE, FEW)), a_candidate(second, gates=(FINE,)), a_candidate(third))
    assert store.audits([1, 2, 3, 99]) == {1: Audit(1, (FEW,)), 2: Audit(1, ())}
    assert store.warnings(RUN) == {"flights": 1}
    assert store.warnings("none") == {}


def test_a_new_coordinator_leaves_alone_what_is_held(store: Store) -> None:
    held(store, 1)
    with store.transaction() as tx:
        tx.add_run(a_run("other"))
        assert tx.fence_attempts(now_ms=9_000) == []
    assert [one.state for one in store.quarantined()] == [QuarantineState.HELD]
    assert release(store, 1) == Published.NEW


def roll_back(store: Store, run: str, *, resolved: bool = False) -> None:
    with store.transaction() as tx:
        tx.set_run_state(run, RunState.SUCCEEDED, author="ada", reason="", now_ms=4_000)
    aim = Aim(run=run)
    shown = store.take_back(aim)
    rollback = a_run("back", kind=RunKind.ROLLBACK, state=RunState.SUCCEEDED, finished_ms=4_500)
    with store.transaction() as tx:
        tx.add_run(rollback)
        tx.roll_back(rollback, aim, shown)
        if resolved:
            tx.resolve("back", author="ada", reason="mended", now_ms=4_700)


def test_what_a_rollback_holds_is_not_released(store: Store) -> None:
    build(store, 1)
    build(store, 2)
    roll_back(store, f"{RUN}-2")
    assert head_of(store) == 1
    held(store, 3)
    with pytest.raises(ConflictError, match="flights/k1: the partition is held by rollback back"):
        release(store, 3)
    with store.transaction() as tx:
        tx.resolve("back", author="ada", reason="mended", now_ms=4_700)
    assert release(store, 3) == Published.NEW


def test_what_was_made_from_something_that_was_taken_back_is_not_released(store: Store) -> None:
    build(store, 1, "source")
    build(store, 2, "source")
    held(store, 3, inputs=(2,))
    roll_back(store, f"{RUN}-2")
    with pytest.raises(ConflictError, match="flights/k1: its input flights/source was rolled back"):
        release(store, 3)
    assert [one.state for one in store.quarantined()] == [QuarantineState.HELD]


def test_what_is_released_of_a_run_that_publishes_together_becomes_visible_with_it(store: Store) -> None:
    attempt = an_attempt(1)
    with store.transaction() as tx:
        tx.add_run(a_run(publication=Publication.TOGETHER))
        tx.start_attempts([attempt])
    hold(store, refused(attempt))
    assert release(store, 1) == Published.NEW
    assert head_of(store) is None
    with store.transaction() as tx:
        assert tx.publish_staged(RUN, author="ada", reason="", now_ms=6_000) == []
    assert head_of(store) == 1


def test_nothing_of_a_discarded_run_is_released(store: Store) -> None:
    attempt = an_attempt(1)
    with store.transaction() as tx:
        tx.add_run(a_run(publication=Publication.TOGETHER))
        tx.start_attempts([attempt])
    hold(store, refused(attempt))
    with store.transaction() as tx:
        tx.discard_staged(RUN)
        tx.set_run_state(RUN, RunState.DISCARDED, author="ada", reason="no", now_ms=4_000)
    with pytest.raises(ConflictError, match="was discarded"):
        release(store, 1)
    drop(store, 1)


@pytest.mark.parametrize("newer_is_held", [True, False])
def test_an_older_one_that_is_released_after_a_newer_failed_is_what_happened_last(
    store: Store, newer_is_held: bool
) -> None:
    older, newer = an_attempt(1), an_attempt(2, run=f"{RUN}-2")
    begin(store, older)
    begin(store, newer, run=f"{RUN}-2")
    if newer_is_held:
        hold(store, refused(newer))
    else:
        with store.transaction() as tx:
            tx.end_attempts([(2, AttemptState.FAILED, WHY)], now_ms=3_000)
    hold(store, refused(older))
    assert [found.attempt for found in store.failed_partitions("flights")] == [2]
    assert release(store, 1) is Published.NEW
    assert list(store.failed_partitions("flights")) == []
    # Of what must not happen twice nobody knows how far the newer one came.
    assert [found.attempt for found in store.failed_partitions("flights", unsure=True)] == [2]


def states(store: Store) -> dict[int, str]:
    return {one.candidate.attempt: one.state.value for one in store.quarantined()}


def superseded(store: Store) -> list[tuple[str, object]]:
    """Return what the journal says of results that a newer one took the place of: author and attempts."""
    entries = [entry for entry in store.journal_entries() if entry.kind == "quarantine.superseded"]
    return [(entry.author, json.loads(entry.body)["attempts"]) for entry in entries]


def test_a_newer_result_that_is_held_takes_the_place_of_the_older_one(store: Store) -> None:
    build(store, 1)
    candidate = held(store, 2)
    held(store, 3, "k2")
    held(store, 4)
    assert states(store) == {2: "dropped", 3: "held", 4: "held"}
    kept = store.quarantined(attempt=2)[0]
    said = f"superseded by attempt 4 of run {RUN}-4, which is held in its place"
    assert (kept.decided_ms, kept.author, kept.reason) == (3_000, "ada", said)
    assert superseded(store) == [("ada", [2])]
    assert store.uncollected_attempts() == [Uncollected(2, candidate.files[0].path)]
    with pytest.raises(ConflictError, match="was dropped already, by ada: superseded by attempt 4"):
        release(store, 2)
    assert release(store, 4) == Published.NEW


@pytest.mark.parametrize("content", ["same", "other"])
def test_a_newer_result_that_is_published_takes_the_place_of_the_older_one(store: Store, content: str) -> None:
    build(store, 1, content="same")
    held(store, 2)
    held(store, 3, "k2")
    build(store, 4, content=content)
    assert states(store) == {2: "dropped", 3: "held"}
    assert store.quarantined(attempt=2)[0].reason == f"superseded by attempt 4 of run {RUN}-4, which was published"
    assert superseded(store) == [("ada", [2])]


def test_an_older_result_takes_nothing_out_of_quarantine(store: Store) -> None:
    older, newer = an_attempt(1), an_attempt(2, run="other")
    begin(store, older)
    begin(store, newer, run="other")
    hold(store, refused(newer))
    publish(store, a_candidate(older))
    assert states(store) == {2: "held"}


def test_what_a_zombie_made_takes_no_place(store: Store) -> None:
    held(store, 1)
    zombie = an_attempt(2, run="zombie")
    begin(store, zombie, run="zombie")
    with store.transaction() as tx:
        tx.end_attempts([(2, AttemptState.LOST, None)], now_ms=2_500)
    assert len(hold(store, refused(zombie))) == 1
    publish(store, a_candidate(zombie))
    assert states(store) == {1: "held"}


def test_a_compaction_leaves_what_is_held(store: Store) -> None:
    build(store, 1, content="same")
    held(store, 2)
    packing = an_attempt(3, run="packing", expects=1)
    begin(store, packing, run="packing")
    assert publish(store, a_candidate(packing, content="same", origin=1, renews=True)) == [Published.NEW]
    assert states(store) == {2: "held"}
    assert release(store, 2) == Published.NEW


def stage(store: Store, number: int) -> Attempt:
    attempt = an_attempt(number, run="staged")
    with store.transaction() as tx:
        if store.run("staged") is None:
            tx.add_run(a_run("staged", publication=Publication.TOGETHER))
        tx.start_attempts([attempt])
    return attempt


def test_what_a_run_stages_takes_the_place_of_what_others_hold_when_it_is_published(store: Store) -> None:
    held(store, 1)
    hold(store, refused(stage(store, 2)))
    assert states(store) == {1: "held", 2: "held"}
    publish(store, a_candidate(stage(store, 3)))
    assert states(store) == {1: "held", 2: "dropped"}, "of its own run at once"
    with store.transaction() as tx:
        assert tx.publish_staged("staged", author="eve", reason="", now_ms=6_000) == []
    assert states(store) == {1: "dropped", 2: "dropped"}
    assert superseded(store) == [("ada", [2]), ("eve", [1])]
