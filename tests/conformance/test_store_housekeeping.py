from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from store_cases import OPENERS, RUN, a_candidate, a_run, an_attempt, begin, build, publish, seen

from headgate.model.run import RunKind, RunState
from headgate.model.version import File
from headgate.store.housekeeping import Keep

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator
    from pathlib import Path

    from headgate.store.store import Store

EVER = 2**62
NOTHING = Keep(EVER, 0)
"""Keeps what something else needs, and nothing else."""


@pytest.fixture(params=sorted(OPENERS))
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    opened = OPENERS[request.param](tmp_path)()
    yield opened
    opened.close()


def removable(store: Store, keep: Keep = NOTHING) -> list[int]:
    return [one.version for one in store.removable(keep, 0, EVER)]


def doom(store: Store, keep: Keep = NOTHING, ids: tuple[int, int] | None = (0, EVER)) -> list[int]:
    with store.transaction() as tx:
        return [one.version for one in tx.doom(keep, ids, author="ada", reason="full disk", now_ms=9_000)]


def raw(store: Store, statement: str, *values: object) -> None:
    """Write what other parts of the store write, without them."""
    with store.transaction() as tx:
        tx._connection.execute(statement, values)


def pack(store: Store, first: int, *keys: str) -> None:
    """Publish the heads of partitions again, as row groups of one file."""
    run = f"{RUN}-pack{first}"
    with store.transaction() as tx:
        tx.add_run(a_run(run, kind=RunKind.COMPACTION))
    for n, key in enumerate(keys):
        (head,) = store.heads("flights", [key])
        attempt = replace(an_attempt(first + n, key, expects=head.identity), run=run)
        begin(store, attempt, run=run)
        file = File(f"flights/{run}/k-a{first:04}.parquet", 10, 5_000, "sha256:ab", n)
        publish(store, a_candidate(attempt, files=(file,), content=head.content, renews=True, origin=head.identity))


def test_heads_are_needed_and_what_they_replaced_is_not(store: Store) -> None:
    for number in (1, 2, 3):
        build(store, number)
    build(store, 4, "k2")
    found = store.removable(NOTHING, 0, EVER)
    assert [(one.version, one.dataset, one.key, one.bytes) for one in found] == [
        (1, "flights", "k1", 1_000),
        (2, "flights", "k1", 1_000),
    ]
    assert found[0].paths == ("staging/flights/1.parquet",)
    assert [one.version for one in store.removable(NOTHING, 2, EVER)] == [2]


def test_the_newest_so_many_of_each_partition_stay(store: Store) -> None:
    for number in (1, 2, 3, 4):
        build(store, number)
    assert removable(store, Keep(EVER, 1)) == [1, 2, 3]
    assert removable(store, Keep(EVER, 3)) == [1]
    assert removable(store, Keep(EVER, 4)) == []


def test_what_was_a_head_since_some_time_stays(store: Store) -> None:
    for number, at_ms in ((1, 1_000), (2, 2_000), (3, 3_000)):
        attempt = replace(an_attempt(number, expects=number - 1 or None), run=f"{RUN}-{number}")
        begin(store, attempt, run=attempt.run)
        publish(store, a_candidate(attempt), now_ms=at_ms)
    assert removable(store, Keep(3_001, 0)) == [1, 2]
    assert removable(store, Keep(3_000, 0)) == [1]
    assert removable(store, Keep(2_001, 0)) == [1]
    assert removable(store, Keep(2_000, 0)) == []


def test_a_running_attempt_needs_what_was_a_head_when_it_began(store: Store) -> None:
    build(store, 1)
    begin(store, replace(an_attempt(2, "other"), run=f"{RUN}-2", started_ms=2_500), run=f"{RUN}-2")
    build(store, 3)
    assert removable(store) == []
    with store.transaction() as tx:
        tx.fence_attempts(now_ms=5_000)
    assert removable(store) == [1]


def test_what_a_rollback_moved_away_is_needed_as_long_as_what_was_published(store: Store) -> None:
    build(store, 1)
    build(store, 2)
    raw(store, "UPDATE head SET version = 1, checkpoint = 1")
    raw(
        store,
        "INSERT INTO moved (run, dataset, key, before, before_checkpoint, after, after_checkpoint, at_ms, entry) "
        "VALUES (1, 1, 'k1', 2, 2, 1, 1, 7000, 9)",
    )
    assert removable(store, Keep(7_000, 0)) == []
    assert removable(store, Keep(7_001, 0)) == [2]


def test_what_a_staged_run_holds_back_is_needed_until_it_is_decided(store: Store) -> None:
    build(store, 1)
    build(store, 2)
    raw(store, "INSERT INTO staged_run (run, needs_approval) SELECT run, 0 FROM attempt WHERE id = 2")
    raw(store, "UPDATE head SET version = 1, checkpoint = 1")
    raw(store, "INSERT INTO staged_head SELECT run, 1, 'k1', 2, 2 FROM attempt WHERE id = 2")
    assert removable(store) == []
    raw(store, "DELETE FROM staged_head")
    # Nobody has ever seen it, so it is none of the newest versions either.
    assert removable(store, Keep(EVER, 3)) == [2]


def test_what_a_held_result_was_made_from_is_needed(store: Store) -> None:
    build(store, 1)
    build(store, 2)
    raw(store, """INSERT INTO quarantine (attempt, at_ms, candidate, gates) VALUES (2, 1, '{"inputs":[1]}', '[]')""")
    assert removable(store) == []
    raw(store, "UPDATE quarantine SET state = 'dropped'")
    assert removable(store) == [1]


def test_a_mirror_that_lags_still_shows_what_was_replaced(store: Store) -> None:
    build(store, 1)
    build(store, 2)
    replaced = store.journal_seq()
    raw(store, "INSERT INTO mirror (dataset, seq, at_ms) VALUES (1, ?, 1)", replaced - 1)
    assert removable(store) == []
    raw(store, "UPDATE mirror SET seq = ?", replaced)
    assert removable(store) == [1]


def test_files_of_sources_are_never_removable(store: Store) -> None:
    build(store, 1)
    with store.transaction() as tx:
        tx.observe([seen("k1", "one")], author="ada", now_ms=1)
    with store.transaction() as tx:
        tx.observe([seen("k1", "two")], author="ada", now_ms=2)
    assert removable(store) == []
    assert list(store.kept_versions("landing")) == list(store.kept_versions("landing", heads_only=True)) == []


def test_doomed_versions_are_marked_journaled_and_their_paths_kept_until_forgotten(store: Store) -> None:
    build(store, 1)
    build(store, 2)
    assert doom(store) == [1]
    assert doom(store) == removable(store) == []
    assert store.doomed() == ["staging/flights/1.parquet"]
    (entry,) = store.journal_entries(kind="vacuum")
    assert (entry.author, entry.reason) == ("ada", "full disk")
    assert '"versions":1' in entry.body
    assert [kept.version.id for kept in store.kept_versions("flights")] == [2]
    with store.transaction() as tx:
        tx.forget_doomed(store.doomed())
        tx.forget_doomed(["staging/flights/1.parquet"])
    assert store.doomed() == []
    assert store.check() == []


def test_kept_versions_say_which_is_the_head(store: Store) -> None:
    build(store, 1)
    build(store, 2)
    build(store, 3, "k2")
    kept = [(one.version.id, one.is_head) for one in store.kept_versions("flights")]
    assert kept == [(3, True), (2, True), (1, False)]
    assert [one.version.id for one in store.kept_versions("flights", key="k1")] == [2, 1]
    assert [one.version.id for one in store.kept_versions("flights", key="k2", heads_only=True)] == [3]


def test_small_files_go_once_they_are_packed_and_count_as_the_version_that_they_were(store: Store) -> None:
    build(store, 1)
    build(store, 2, "k2")
    pack(store, 3, "k1", "k2")
    # The newest form of the content is among the newest versions; the older form is needed by nobody.
    assert removable(store, Keep(EVER, 3)) == [1, 2]
    build(store, 5)
    assert removable(store, Keep(EVER, 2)) == [1, 2]
    assert store.removable_packed(Keep(EVER, 2)) == []


def test_a_pack_goes_only_when_nobody_needs_any_version_in_it(store: Store) -> None:
    build(store, 1)
    build(store, 2, "k2")
    pack(store, 3, "k1", "k2")
    build(store, 5)
    assert doom(store, ids=None) == []
    build(store, 6, "k2")
    assert doom(store, ids=None) == [3, 4]
    assert len(store.doomed()) == 1


def test_a_partition_that_a_rollback_holds_is_told(store: Store) -> None:
    build(store, 1)
    raw(store, "INSERT INTO hold VALUES (1, 'k1', 1)")
    assert store.held_keys("flights") == {"k1"}


def test_what_is_asked_of_an_index_is_answered_by_it(store: Store) -> None:
    """A look at a million versions must not walk through all checkpoints for each of them."""
    build(store, 1)
    from headgate.store.named_sql import statements

    connection: sqlite3.Connection = store._connection
    values = {"since_ms": 0, "versions": 0, "first": 0, "last": 9, "is_packed": False}
    plan = [row[3] for row in connection.execute("EXPLAIN QUERY PLAN " + statements()["removable"], values)]
    assert not [step for step in plan if step.startswith("SCAN ") and step.split()[1] in {"v", "c", "h", "n", "made"}]


def test_folders_are_at_rest_when_nobody_has_their_run_in_hand(store: Store) -> None:
    folder = f"flights/{RUN}"

    def resting() -> list[str]:
        asked = [folder, f"elsewhere/{RUN}", "flights/mine", RUN, "flights", ""]
        with store.transaction() as tx:
            assert tx.resting_folders(asked) == store.resting_folders(asked)
        return store.resting_folders(asked)

    def become(state: RunState) -> None:
        with store.transaction() as tx:
            tx.set_run_state(RUN, state, author="ada", reason="", now_ms=4_000)

    begin(store, an_attempt(1))
    assert resting() == []
    publish(store, a_candidate(an_attempt(1)))
    # No attempt of it runs, but the next one may come at any moment.
    assert resting() == []
    become(RunState.SUCCEEDED)
    assert resting() == [folder]
    become(RunState.QUEUED)
    assert resting() == []
    begin(store, an_attempt(2))
    become(RunState.INTERRUPTED)
    assert resting() == []
    with store.transaction() as tx:
        tx.fence_attempts(now_ms=5_000)
    assert resting() == [folder]
