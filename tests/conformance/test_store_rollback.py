from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from store_cases import OPENERS, RUN, a_candidate, a_run, an_attempt, begin, build, publish, seen

from headgate.errors import ConflictError, UsageError
from headgate.model.rollback import Aim, Hold, Move, OnMovedOn, Partition, TakeBack
from headgate.model.run import AttemptState, RunKind, RunState
from headgate.store.housekeeping import Keep
from headgate.store.records import Published

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from headgate.store.store import Store

BACK = "20130401T000000-r"


@pytest.fixture(params=sorted(OPENERS))
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    opened = OPENERS[request.param](tmp_path)()
    yield opened
    opened.close()


def made(
    store: Store,
    run: str,
    *places: tuple[int, str, str],
    at_ms: int = 3_000,
    reads: tuple[int, ...] = (),
    **rest: object,
) -> list[Published]:
    """Let a run publish partitions, given as number, dataset and key; all read the same versions."""
    attempts = [replace(an_attempt(number, key, dataset), run=run) for number, dataset, key in places]
    begin(store, *attempts, run=run)
    verdicts = publish(store, *(a_candidate(one, inputs=reads, **rest) for one in attempts), now_ms=at_ms)
    with store.transaction() as tx:
        tx.set_run_state(run, RunState.SUCCEEDED, author="ada", reason="", now_ms=at_ms)
    return verdicts


def roll_back(store: Store, aim: Aim, run: str = BACK, at_ms: int = 50_000) -> TakeBack:
    shown = store.take_back(aim)
    rollback = a_run(run, kind=RunKind.ROLLBACK, state=RunState.SUCCEEDED, created_ms=at_ms, finished_ms=at_ms)
    with store.transaction() as tx:
        tx.add_run(rollback)
        tx.roll_back(rollback, aim, shown)
    assert [problem for problem in store.check() if "no coordinator is alive" not in problem] == []
    return shown


def heads(store: Store) -> dict[str, tuple[int, int]]:
    """Return version and attempt of each head by dataset and key."""
    return {
        f"{name}/{key.decode()}": (version, attempt)
        for name in store.datasets()
        for some in store.head_columns(name)
        for key, version, attempt in zip(some.keys.tolist(), some.version.tolist(), some.attempt.tolist(), strict=True)
    }


def test_a_run_is_taken_back_to_what_was_there_before_it(store: Store) -> None:
    made(store, "r1", (1, "flights", "k1"), (2, "flights", "k2"))
    before = heads(store)
    made(store, "r2", (3, "flights", "k1"), (4, "flights", "k2"), (5, "flights", "k3"))
    back = roll_back(store, Aim(run="r2"))
    assert heads(store) == before
    assert back.moves[0] == Move("flights", "k1", 3, 3, 1, 1)
    assert back.moves[2] == Move("flights", "k3", 5, 5, None, None)
    assert (back.dependants, back.moved_on, back.gone) == ((), (), ())
    *_, entry = store.journal_entries()
    assert (entry.kind, entry.run, entry.reason) == ("rollback", BACK, "why not")
    assert json.loads(entry.body) | {"digest": ""} == {
        "of": "r2", "moved": 3, "held": 3, "left": 0, "downstream": False, "digest": "",
    }  # fmt: skip
    assert [(line.dataset, line.succeeded, line.new) for line in store.made(BACK)] == [("flights", 3, 3)]


def test_content_that_was_the_same_again_goes_back_to_its_older_checkpoint(store: Store) -> None:
    made(store, "r1", (1, "flights", "k1"), content="same")
    assert made(store, "r2", (2, "flights", "k1"), content="same") == [Published.UNCHANGED]
    roll_back(store, Aim(run="r2"))
    assert heads(store) == {"flights/k1": (1, 1)}
    # The version was not taken back, so who has read it may publish.
    begin(store, an_attempt(9, "k9"))
    with store.transaction() as tx:
        tx.resolve(BACK, author="ada", reason="", now_ms=60_000)
    assert publish(store, a_candidate(an_attempt(9, "k9"), inputs=(1,))) == [Published.NEW]


def test_content_that_a_later_run_found_again_is_taken_back_with_the_run_that_made_it(store: Store) -> None:
    made(store, "r1", (1, "flights", "k1"))
    made(store, "r2", (2, "flights", "k1"), content="bad")
    made(store, "r3", (3, "flights", "k1"), content="bad")
    roll_back(store, Aim(run="r2"))
    assert heads(store) == {"flights/k1": (1, 1)}


def test_what_was_withdrawn_before_is_gone_past(store: Store) -> None:
    for number in (1, 2, 3):
        made(store, f"r{number}", (number, "flights", "k1"))
    roll_back(store, Aim(run="r3"), "back3")
    with store.transaction() as tx:
        tx.resolve("back3", author="ada", reason="", now_ms=60_000)
    made(store, "r4", (4, "flights", "k1"))
    # 3 was taken back, so that 2 is the last good one.
    roll_back(store, Aim(run="r4"), "back4")
    assert heads(store) == {"flights/k1": (2, 2)}
    roll_back(store, Aim(run="r2"), "back2")
    assert heads(store) == {"flights/k1": (1, 1)}
    roll_back(store, Aim(run="r1"), "back1")
    assert heads(store) == {}


def a_chain(store: Store) -> None:
    """Make flights and, from them, daily, and from that monthly: all by r1, then flights by r2 and all by r3."""
    made(store, "r1", (1, "flights", "k1"))
    made(store, "r1d", (2, "daily", "k1"), reads=(1,))
    made(store, "r1m", (3, "monthly", "m"), reads=(2,))
    made(store, "r2", (4, "flights", "k1"))
    made(store, "r3d", (5, "daily", "k1"), reads=(4,))
    made(store, "r3m", (6, "monthly", "m"), reads=(5,))


def test_the_cone_of_dependants_is_named_or_goes_with_it(store: Store) -> None:
    a_chain(store)
    left = store.take_back(Aim(run="r2"))
    assert [move.dataset for move in left.moves] == ["flights"]
    assert left.dependants == (Partition("daily", "k1", 5, "r3d"), Partition("monthly", "m", 6, "r3m"))
    back = roll_back(store, Aim(run="r2", downstream=True))
    assert [(move.dataset, move.is_derived) for move in back.moves] == [
        ("daily", True), ("flights", False), ("monthly", True),
    ]  # fmt: skip
    assert heads(store) == {"flights/k1": (1, 1), "daily/k1": (2, 2), "monthly/m": (3, 3)}


def test_dependants_that_were_made_more_than_once_from_bad_versions_go_past_all_of_them(store: Store) -> None:
    a_chain(store)
    made(store, "r4", (7, "daily", "k1"), reads=(4,))
    roll_back(store, Aim(run="r2", downstream=True))
    assert heads(store)["daily/k1"] == (2, 2)


def test_heads_that_another_run_published_over_are_named_skipped_or_included(store: Store) -> None:
    made(store, "r1", (1, "flights", "k1"), (2, "flights", "k2"))
    made(store, "r2", (3, "flights", "k1"), (4, "flights", "k2"))
    made(store, "r3", (5, "flights", "k2"))
    named = store.take_back(Aim(run="r2"))
    assert named.moved_on == (Partition("flights", "k2", 5, "r3"),)
    assert [move.key for move in named.moves] == ["k1"]
    included = store.take_back(Aim(run="r2", moved_on=OnMovedOn.INCLUDE))
    assert included.moves == (Move("flights", "k1", 3, 3, 1, 1), Move("flights", "k2", 5, 5, 2, 2))
    roll_back(store, Aim(run="r2", moved_on=OnMovedOn.SKIP))
    assert heads(store) == {"flights/k1": (1, 1), "flights/k2": (5, 5)}


def test_partitions_become_what_they_were_at_a_time(store: Store) -> None:
    made(store, "r1", (1, "flights", "k1"), (2, "flights", "k2"), at_ms=1_000)
    made(store, "r2", (3, "flights", "k1"), (4, "flights", "k3"), at_ms=2_000)
    made(store, "r3", (5, "flights", "k1"), (6, "flights", "k2"), at_ms=3_000)
    made(store, "rd", (7, "daily", "k1"), reads=(5,), at_ms=4_000)
    keys = ("k1", "k2", "k3", "none")
    assert store.take_back(Aim(dataset="flights", keys=keys, until_ms=3_000)).moves == ()
    found = store.take_back(Aim(dataset="flights", keys=keys, until_ms=2_999))
    assert [(move.key, move.after) for move in found.moves] == [("k1", 3), ("k2", 2)]
    assert found.dependants == (Partition("daily", "k1", 7, "rd"),)
    found = roll_back(store, Aim(dataset="flights", keys=keys, until_ms=1_000, downstream=True))
    assert heads(store) == {"flights/k1": (1, 1), "flights/k2": (2, 2)}
    # And forth again, to what was shown just before the rollback.
    roll_back(store, Aim(dataset="flights", keys=keys, until_ms=49_999), "forth")
    assert heads(store) == {"flights/k1": (5, 5), "flights/k2": (6, 6), "flights/k3": (4, 4)}


def test_one_partition_becomes_a_version_that_it_has_shown(store: Store) -> None:
    for number in (1, 2, 3):
        made(store, f"r{number}", (number, "flights", "k1"))
    made(store, "other", (4, "flights", "k2"))
    roll_back(store, Aim(dataset="flights", keys=("k1",), version=1))
    assert heads(store) == {"flights/k1": (1, 1), "flights/k2": (4, 4)}
    roll_back(store, Aim(dataset="flights", keys=("k1",), version=3), "forth")
    assert heads(store)["flights/k1"] == (3, 3)
    for version in (4, 99):
        with pytest.raises(UsageError, match=f"never shown a version {version}"):
            store.take_back(Aim(dataset="flights", keys=("k1",), version=version))


def test_a_rollback_is_undone_exactly_and_that_again(store: Store) -> None:
    a_chain(store)
    bad = heads(store)
    roll_back(store, Aim(run="r2", downstream=True))
    good = heads(store)
    assert len(store.holds()) == 3
    roll_back(store, Aim(run=BACK), "undo")
    assert heads(store) == bad
    assert store.holds() == []
    roll_back(store, Aim(run="undo"), "redo")
    assert heads(store) == good
    assert [(hold.run, hold.dataset) for hold in store.holds()] == [
        ("redo", "daily"), ("redo", "flights"), ("redo", "monthly"),
    ]  # fmt: skip


def test_an_undo_names_heads_that_have_moved_since(store: Store) -> None:
    made(store, "r1", (1, "flights", "k1"), (2, "flights", "k2"))
    made(store, "r2", (3, "flights", "k1"), (4, "flights", "k2"))
    roll_back(store, Aim(run="r2"))
    with store.transaction() as tx:
        assert tx.resolve(BACK, author="ada", reason="mended", now_ms=60_000) == 2
        assert tx.resolve(BACK, author="ada", reason="mended", now_ms=60_000) == 0
    made(store, "r3", (5, "flights", "k2"))
    found = store.take_back(Aim(run=BACK))
    assert found.moves == (Move("flights", "k1", 1, 1, 3, 3),)
    assert found.moved_on == (Partition("flights", "k2", 5, "r3"),)
    roll_back(store, Aim(run=BACK, moved_on=OnMovedOn.INCLUDE), "undo")
    assert heads(store) == {"flights/k1": (3, 3), "flights/k2": (4, 4)}
    assert [entry.kind for entry in store.journal_entries(run=BACK)] == ["run.submitted", "rollback", "resolve"]


def test_what_another_rollback_took_back_is_no_concern_of_this_one(store: Store) -> None:
    made(store, "r1", (1, "flights", "k1"))
    made(store, "r2", (2, "flights", "k1"), (3, "flights", "k2"))
    roll_back(store, Aim(dataset="flights", keys=("k1",), version=1), "first")
    found = roll_back(store, Aim(run="r2"))
    assert found.moves == (Move("flights", "k2", 3, 3, None, None),)
    assert found.moved_on == ()
    assert store.take_back(Aim(run="r2")).moves == ()


def test_a_run_that_has_not_ended_is_refused(store: Store) -> None:
    begin(store, an_attempt(1))
    publish(store, a_candidate(an_attempt(1)))
    with pytest.raises(ConflictError, match="is running: it may still publish"):
        store.take_back(Aim(run=RUN))
    with store.transaction() as tx:
        tx.end_attempts([(1, AttemptState.LOST, None)], now_ms=4_000)


def test_nothing_moves_if_heads_have_moved_since_they_were_shown(store: Store) -> None:
    made(store, "r1", (1, "flights", "k1"))
    made(store, "r2", (2, "flights", "k1"))
    shown = store.take_back(Aim(run="r2"))
    made(store, "r3", (3, "flights", "k1"))
    with pytest.raises(ConflictError, match="have moved since"), store.transaction() as tx:  # noqa: PT012
        rollback = a_run(BACK, kind=RunKind.ROLLBACK)
        tx.add_run(rollback)
        tx.roll_back(rollback, Aim(run="r2"), shown)
    assert heads(store) == {"flights/k1": (3, 3)}
    assert store.run(BACK) is None


def test_what_is_held_cannot_be_published_until_it_is_resolved_or_somebody_says_so(store: Store) -> None:
    made(store, "r1", (1, "flights", "k1"))
    made(store, "r2", (2, "flights", "k1"))
    begin(store, an_attempt(3), an_attempt(4, "k2"), run=RUN)
    roll_back(store, Aim(run="r2"))
    assert store.holds() == [Hold(BACK, "flights", 1, "ada", "why not", 50_000)]
    assert list(store.held("flights")) == [("k1", BACK)]
    with store.transaction() as tx:
        assert tx.held("flights", ["k1", "k2"]) == {"k1": BACK}
        # A decision to go on in spite of holds says nothing of those that came after it.
        candidates = [a_candidate(an_attempt(3), lifts_holds=True), a_candidate(an_attempt(4, "k2"))]
        verdicts = tx.publish(candidates, author="ada", now_ms=60_000)
        failure = tx.why_superseded(3)
    assert verdicts == [Published.SUPERSEDED, Published.NEW]
    assert failure.message == f"the partition is held by rollback {BACK}"
    assert store.attempts(RUN)[0].failure == failure
    begin(store, replace(an_attempt(5), run="r5"), run="r5")
    begin(store, replace(an_attempt(6), run="r6"), run="r6")
    assert publish(store, a_candidate(replace(an_attempt(5), run="r5"))) == [Published.SUPERSEDED]
    assert publish(store, a_candidate(replace(an_attempt(6), run="r6"), lifts_holds=True)) == [Published.NEW]


def test_two_rollbacks_hold_until_both_are_resolved(store: Store) -> None:
    for number in (1, 2, 3):
        made(store, f"r{number}", (number, "flights", "k1"))
    roll_back(store, Aim(run="r3"), "back3")
    roll_back(store, Aim(run="r2"), "back2")
    assert list(store.held("flights")) == [("k1", "back3")]
    with store.transaction() as tx:
        tx.resolve("back3", author="ada", reason="", now_ms=60_000)
        assert tx.held("flights", ["k1"]) == {"k1": "back2"}
        tx.resolve("back2", author="ada", reason="", now_ms=60_000)
        assert tx.held("flights", ["k1"]) == {}


def test_an_attempt_that_has_read_what_was_withdrawn_cannot_publish(store: Store) -> None:
    made(store, "r1", (1, "flights", "k1"))
    made(store, "r2", (2, "flights", "k1"))
    begin(store, an_attempt(3, "k1", "daily"), an_attempt(4, "k2", "daily"))
    roll_back(store, Aim(run="r2"))
    with store.transaction() as tx:
        verdicts = tx.publish(
            [
                a_candidate(an_attempt(3, "k1", "daily"), inputs=(2,)),
                a_candidate(an_attempt(4, "k2", "daily"), inputs=(1,)),
            ],
            author="ada",
            now_ms=60_000,
        )
        assert tx.why_superseded(3).message == "its input flights/k1 was rolled back meanwhile"
    assert verdicts == [Published.SUPERSEDED, Published.NEW]
    roll_back(store, Aim(run=BACK), "undo")
    begin(store, replace(an_attempt(5, "k1", "daily"), run="r5"), run="r5")
    assert publish(store, a_candidate(replace(an_attempt(5, "k1", "daily"), run="r5"), inputs=(2,))) == [Published.NEW]


def test_an_attempt_whose_head_went_back_under_it_cannot_publish(store: Store) -> None:
    made(store, "r1", (1, "flights", "k1"))
    made(store, "r2", (2, "flights", "k1"))
    begin(store, an_attempt(3))
    roll_back(store, Aim(run="r2"))
    with store.transaction() as tx:
        tx.resolve(BACK, author="ada", reason="", now_ms=60_000)
    assert publish(store, a_candidate(an_attempt(3))) == [Published.SUPERSEDED]


def test_a_compaction_of_what_is_taken_back_goes_with_it_and_one_of_the_good_will_do(store: Store) -> None:
    made(store, "r1", (1, "flights", "k1"), (2, "flights", "k2"))
    compact(store, 3, "k1", origin=1, run="c1")
    made(store, "r2", (4, "flights", "k1"), (5, "flights", "k2"))
    compact(store, 6, "k1", origin=4, run="c2")
    begin(store, an_attempt(7, "k1", "daily"))
    publish(store, a_candidate(an_attempt(7, "k1", "daily"), inputs=(6,)))
    found = store.take_back(Aim(run="r2"))
    assert [(move.before, move.after) for move in found.moves] == [(6, 3), (5, 2)]
    assert found.dependants == (Partition("daily", "k1", 7, RUN),)
    # Only what the compaction did is taken back: nothing of the content, and nobody has read anything bad.
    found = roll_back(store, Aim(run="c2"))
    assert [(move.before, move.after) for move in found.moves] == [(6, 4)]
    assert (found.dependants, store.holds()) == ((), [])


def compact(store: Store, number: int, key: str, *, origin: int, run: str) -> None:
    with store.transaction() as tx:
        tx.add_run(a_run(run, kind=RunKind.COMPACTION))
    attempt = replace(an_attempt(number, key), run=run)
    begin(store, attempt, run=run)
    (head,) = store.heads("flights", [key])
    candidate = a_candidate(attempt, content=head.content, inputs=(head.id,), renews=True, origin=origin)
    assert publish(store, candidate) == [Published.NEW]
    with store.transaction() as tx:
        tx.set_run_state(run, RunState.SUCCEEDED, author="ada", reason="", now_ms=3_000)


def test_a_source_is_not_moved_by_a_rollback_of_who_read_it(store: Store) -> None:
    with store.transaction() as tx:
        tx.observe([seen("k1", "one")], author="ada", now_ms=1)
    made(store, "r1", (2, "flights", "k1"), reads=(1,))
    roll_back(store, Aim(run="r1", downstream=True))
    assert heads(store) == {"landing/k1": (1, 1)}


def test_a_rollback_that_cannot_be_committed_leaves_nothing(store: Store) -> None:
    build(store, 1)
    with store.transaction() as tx:
        tx.set_run_state(f"{RUN}-1", RunState.SUCCEEDED, author="ada", reason="", now_ms=4_000)
    aim = Aim(run=f"{RUN}-1")
    shown, before = store.take_back(aim), heads(store)
    with pytest.raises(ZeroDivisionError), store.transaction() as tx:  # noqa: PT012
        tx.add_run(a_run(BACK, kind=RunKind.ROLLBACK))
        tx.roll_back(a_run(BACK, kind=RunKind.ROLLBACK), aim, shown)
        _ = 1 // 0
    assert heads(store) == before
    assert store.holds() == []
    roll_back(store, aim)
    assert heads(store) == {}


def remove_files(store: Store, *versions: int) -> list[int]:
    """Let vacuum mark versions as removed that nobody needs; return which it did."""
    removed = []
    for version in versions:
        with store.transaction() as tx:
            found = tx.doom(Keep(2**62, 0), (version, version), author="ada", reason="full disk", now_ms=40_000)
        removed += [one.version for one in found]
    return removed


def test_where_vacuum_removed_the_files_the_same_content_elsewhere_is_shown_or_it_is_named(store: Store) -> None:
    made(store, "r1", (1, "flights", "k1"), (2, "flights", "k2"))
    compact(store, 3, "k1", origin=1, run="c1")
    made(store, "r2", (4, "flights", "k1"), (5, "flights", "k2"), at_ms=4_000)
    assert remove_files(store, 1, 2) == [1, 2]
    found = store.take_back(Aim(dataset="flights", keys=("k1", "k2"), until_ms=3_000))
    assert [(move.key, move.after) for move in found.moves] == [("k1", 3), ("k2", 2)]
    assert found.gone == (Partition("flights", "k2", 2, "r1"),)
    # To the very version whose files are gone: its content is still there.
    back = roll_back(store, Aim(dataset="flights", keys=("k1",), version=1))
    assert (back.moves[0].after, back.moves[0].after_checkpoint, back.gone) == (3, 3, ())


def test_a_compaction_whose_small_files_vacuum_removed_cannot_be_taken_back(store: Store) -> None:
    made(store, "r1", (1, "flights", "k1"))
    compact(store, 2, "k1", origin=1, run="c1")
    assert remove_files(store, 1) == [1]
    found = store.take_back(Aim(run="c1"))
    assert found.gone == (Partition("flights", "k1", 1, "r1"),)


def test_a_time_before_a_compaction_moves_nothing_as_its_content_is_still_shown(store: Store) -> None:
    made(store, "r1", (1, "flights", "k1"))
    made(store, "r2", (2, "flights", "k2"), at_ms=10_000)
    with store.transaction() as tx:
        tx.add_run(a_run("c1", kind=RunKind.COMPACTION))
    attempt = replace(an_attempt(3, "k1"), run="c1")
    begin(store, attempt, run="c1")
    (head,) = store.heads("flights", ["k1"])
    packed = a_candidate(attempt, content=head.content, inputs=(1,), renews=True, origin=1)
    assert publish(store, packed, now_ms=20_000) == [Published.NEW]
    found = store.take_back(Aim(dataset="flights", keys=("k1", "k2"), until_ms=5_000))
    assert [(move.key, move.before, move.after) for move in found.moves] == [("k2", 2, None)]
    remove_files(store, 1)
    assert store.take_back(Aim(dataset="flights", keys=("k1",), until_ms=5_000)).moves == ()
    # Somebody who names the version means just that, while its files are there.
    assert store.take_back(Aim(dataset="flights", keys=("k1",), version=1)).moves == ()


def test_what_rollbacks_moved_is_told_the_newest_first(store: Store) -> None:
    made(store, "r1", (1, "flights", "k1"))
    made(store, "r2", (2, "flights", "k1"), (3, "flights", "k2"))
    roll_back(store, Aim(run="r2"))
    roll_back(store, Aim(run=BACK), "undo", 60_000)
    told = store.head_moves("flights", None, limit=9)
    assert [move[:5] for move in told] == [
        ("k2", None, 3, 60_000, "undo"),
        ("k1", 1, 2, 60_000, "undo"),
        ("k2", 3, None, 50_000, BACK),
        ("k1", 2, 1, 50_000, BACK),
    ]
    assert [move.key for move in store.head_moves("flights", "k1", limit=1)] == ["k1"]
    assert store.head_moves("daily", None, limit=9) == []


def test_what_was_taken_back_put_forth_and_taken_back_again_goes_to_the_same_version(store: Store) -> None:
    made(store, "r1", (1, "flights", "k1"))
    made(store, "r2", (2, "flights", "k1"))
    made(store, "r3", (3, "flights", "k1"))
    back = roll_back(store, Aim(run="r3"))
    roll_back(store, Aim(run=BACK), "undo", 60_000)
    again = roll_back(store, Aim(run="r3"), "again", 70_000)
    assert again.moves == back.moves == (Move("flights", "k1", 3, 3, 2, 2),)
    # Undone and done again by way of runs it is the same, and what it took back stays back.
    roll_back(store, Aim(run="again"), "undone", 80_000)
    roll_back(store, Aim(run="undone"), "redone", 90_000)
    assert [(move.before, move.after) for move in store.take_back(Aim(run="r2")).moves] == [(2, 1)]


def test_a_version_that_somebody_went_forth_from_is_not_bad(store: Store) -> None:
    made(store, "r1", (1, "flights", "k1"), at_ms=1_000)
    made(store, "r2", (2, "flights", "k1"), at_ms=2_000)
    roll_back(store, Aim(dataset="flights", keys=("k1",), version=1))
    roll_back(store, Aim(dataset="flights", keys=("k1",), until_ms=49_999), "forth", 60_000)
    assert [(move.before, move.after) for move in store.take_back(Aim(run="r2")).moves] == [(2, 1)]
