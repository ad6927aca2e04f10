"""What stores know of mirrors: how far each is, what holds it back, and what vacuum leaves because of that."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from store_cases import OPENERS, a_candidate, a_run, an_attempt, begin, build, publish

from headgate.model.version import File
from headgate.store.housekeeping import Keep
from headgate.store.mirror import Followed, ShownVersion, Unpacked

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from headgate.store.store import Store

NOTHING = Keep(since_ms=10**15, versions=0)


@pytest.fixture(params=OPENERS)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    opened = OPENERS[request.param](tmp_path)()
    yield opened
    opened.close()


def reach(store: Store, seq: int | None = None, now_ms: int = 7_000) -> None:
    with store.transaction() as tx:
        tx.begin_mirror("flights")
        tx.mirror_reached("flights", store.journal_seq() if seq is None else seq, now_ms=now_ms)


def fail(store: Store, error: str) -> None:
    with store.transaction() as tx:
        tx.begin_mirror("flights")
        tx.mirror_failed("flights", error)


def removable(store: Store) -> set[int]:
    return {one.version for one in store.removable(NOTHING, 1, 10**6)}


def test_heads_are_told_with_the_entry_up_to_which_they_are(store: Store) -> None:
    assert store.heads_now("flights") == (0, frozenset())
    build(store, 1, "k1")
    build(store, 2, "k2")
    build(store, 3, "k1")
    assert store.heads_now("flights") == (store.journal_seq(), {2, 3})
    assert store.heads_now("elsewhere").versions == frozenset()


def test_versions_are_told_by_their_ids(store: Store) -> None:
    build(store, 1)
    (version,) = store.heads("flights")
    assert store.shown_versions([1, 99]) == [ShownVersion(1, version.files, version.content, version.created_ms)]
    assert store.shown_versions([]) == []


def test_a_mirror_is_behind_by_the_partitions_that_moved_since(store: Store) -> None:
    assert store.mirrors() == []
    build(store, 1, "k1")
    reach(store)
    assert store.has_mirror("flights")
    seq = store.journal_seq()
    assert store.mirrors() == [Followed("flights", seq, 7_000, "", 0)]
    build(store, 2, "k1")
    build(store, 3, "k1")
    build(store, 4, "k2")
    assert store.mirrors() == [Followed("flights", seq, 7_000, "", 2)]


def test_what_holds_a_mirror_back_is_kept_until_it_goes_on(store: Store) -> None:
    build(store, 1)
    fail(store, "column n is uint8")
    assert store.mirrors() == [Followed("flights", 0, 0, "column n is uint8", 1)]
    assert store.stuck_mirrors() == {"flights": "column n is uint8"}
    reach(store, 3)
    assert (store.stuck_mirrors(), store.mirrors()[0].seq) == ({}, 3)
    fail(store, "no room")
    assert store.mirrors()[0][:4] == ("flights", 3, 7_000, "no room")


def test_nothing_is_noted_of_a_dataset_that_is_not_there_and_nothing_journaled(store: Store) -> None:
    with store.transaction() as tx:
        tx.begin_mirror("nowhere")
        tx.mirror_reached("nowhere", 1, now_ms=1)
        tx.mirror_failed("nowhere", "x")
    assert (store.mirrors(), store.journal_seq()) == ([], 0)


def test_a_mirror_can_be_forgotten(store: Store) -> None:
    build(store, 1)
    reach(store)
    for _ in range(2):
        with store.transaction() as tx:
            tx.forget_mirror("flights")
    with store.transaction() as tx:
        # By somebody who did not know yet.
        tx.mirror_reached("flights", 1, now_ms=1)
        tx.mirror_failed("flights", "x")
    assert store.mirrors() == []
    assert not store.has_mirror("flights")


def test_files_that_a_mirror_that_lags_names_are_kept(store: Store) -> None:
    build(store, 1)
    fail(store, "")
    build(store, 2)
    assert removable(store) == set()
    reach(store)
    assert removable(store) == {1}
    build(store, 3)
    assert removable(store) == {1}
    reach(store)
    assert removable(store) == {1, 2}


def test_what_was_unpacked_goes_with_its_version(store: Store) -> None:
    build(store, 1, "k1")
    build(store, 2, "k2")
    run = "20130101T000000-c1"
    pack = [an_attempt(3, "k1", run=run, expects=1), an_attempt(4, "k2", run=run, expects=2, path="")]
    begin(store, *pack, run=run)
    publish(
        store,
        *(
            a_candidate(one, files=(File("flights/pack.parquet", 10, 99, "h", n),), origin=n + 1, renews=True)
            for n, one in enumerate(pack)
        ),
    )
    for _ in range(2):
        with store.transaction() as tx:
            tx.add_unpacked({4: "flights/_mirror/v4.parquet"})
    assert store.unpacked("flights") == [Unpacked("flights/_mirror/v4.parquet", 10, "h@1:10:4")]
    assert store.unpacked("elsewhere") == []
    build(store, 5, "k1")
    assert store.removable_packed(NOTHING) == []
    build(store, 6, "k2")
    found = {one.version: one.paths for one in store.removable_packed(NOTHING)}
    assert found == {3: ("flights/pack.parquet",), 4: ("flights/pack.parquet", "flights/_mirror/v4.parquet")}
    with store.transaction() as tx:
        tx.doom(NOTHING, None, author="ada", reason="", now_ms=9_000)
    gone = ["flights/_mirror/v4.parquet", "flights/pack.parquet"]
    assert store.doomed() == gone
    assert set(gone) <= store.needed_paths()
    with store.transaction() as tx:
        tx.forget_doomed(gone)
    assert store.unpacked("flights") == []
    # Nothing is left of them that would keep anything that comes to lie there.
    assert not set(gone) & store.needed_paths()


def test_a_run_that_shows_nothing_leaves_a_mirror_where_it_is(store: Store) -> None:
    build(store, 1)
    reach(store)
    with store.transaction() as tx:
        tx.add_run(a_run("another"))
    assert store.mirrors()[0].behind == 0
