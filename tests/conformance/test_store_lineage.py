from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from store_cases import OPENERS, RUN, a_candidate, a_run, an_attempt, begin, publish, seen

from headgate.model.rollback import Aim
from headgate.model.run import Publication, RunKind, RunState
from headgate.store.lineage import Descent, Visibility
from headgate.store.records import Published

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from headgate.store.store import Store

ALWAYS = {"since_ms": 0, "until_ms": 1 << 60}


@pytest.fixture(params=OPENERS)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    (tmp_path / "data").mkdir()
    opened = OPENERS[request.param](tmp_path)()
    yield opened
    opened.close()


def make(
    store: Store,
    number: int,
    dataset: str = "flights",
    key: str = "k1",
    *,
    inputs: tuple[int, ...] = (),
    run: str | None = None,
    now_ms: int = 3_000,
    **changes: object,
) -> Published:
    """Start an attempt in a run of its own, unless one is given, and publish what it made of some versions."""
    (head,) = list(store.heads(dataset, [key])) or [None]
    run = run or f"{RUN}-{number}"
    attempt = an_attempt(number, key, dataset, run, expects=head.identity if head else None)
    begin(store, attempt, run=run)
    (verdict,) = publish(store, a_candidate(attempt, inputs=inputs, **changes), now_ms=now_ms)
    return verdict


def land(store: Store, key: str, content: str, now_ms: int = 2_000) -> int:
    with store.transaction() as tx:
        tx.observe([seen(key, content)], author="ada", now_ms=now_ms)
    (head,) = store.heads("landing", [key])
    return head.id


def test_what_a_version_was_made_from_is_found_to_the_files(store: Store) -> None:
    one, two = land(store, "a", "A"), land(store, "b", "B")
    make(store, 10, key="a", inputs=(one,))
    make(store, 11, key="b", inputs=(two,))
    make(store, 12, "monthly", inputs=(10, 11))
    whole = [Descent(10, one, True), Descent(11, two, True), Descent(12, 10, True), Descent(12, 11, True)]
    assert sorted(store.made_from([12])) == whole
    assert sorted(store.made_from([12], depth=1)) == whole[2:]
    assert store.made_from([one]) == []
    assert sorted(store.made_of([one])) == [Descent(10, one, True), Descent(12, 10, True)]
    assert store.made_of([one], depth=1) == [Descent(10, one, True)]
    assert store.made_of([12]) == store.made_of([999]) == store.made_from([999]) == []


def test_a_version_tells_how_it_was_made(store: Store) -> None:
    file = land(store, "a", "A")
    make(store, 10, key="a", inputs=(file,), declared_version="2", parameters='{"carrier":"AA","n":3}', now_ms=5_000)
    source, made = store.traced([file, 10, 999])
    assert (source.dataset, source.key, source.run, source.parameters) == ("landing", "a", "", None)
    assert [one.path for one in source.files] == ["landing/a.csv"]
    assert (made.version, made.made_ms, made.run, made.code) == (10, 5_000, f"{RUN}-10", "c0de")
    assert (made.declared_version, made.parameters) == ("2", {"carrier": "AA", "n": 3})
    assert (made.visibility, made.shown_as, made.confirmations) == (Visibility.HEAD, 10, 0)


def test_parameters_stand_in_the_checkpoint(store: Store) -> None:
    make(store, 10, parameters='{"n":3}')
    make(store, 11, key="k2", parameters='{"n":3}')
    make(store, 12, key="k3")
    assert [one.parameters for one in store.checkpoints("flights")] == [None, {"n": 3}, {"n": 3}]
    assert [one.parameters for one in store.checkpoints("flights", "k1")] == [{"n": 3}]
    assert [one.parameters for one in store.run_checkpoints(f"{RUN}-10")] == [{"n": 3}]


def test_a_version_that_was_found_again_rests_on_what_was_read_then(store: Store) -> None:
    bad = land(store, "a", "bad")
    make(store, 10, key="a", inputs=(bad,), content="h@1:10:same")
    make(store, 11, "monthly", inputs=(10,))
    good = land(store, "a", "good")
    assert make(store, 20, key="a", inputs=(good,), content="h@1:10:same", code="n3w") is Published.UNCHANGED
    assert store.made_from([10]) == [Descent(10, bad, True)]
    # What was made from it before was not made from the new file.
    assert store.made_of([good]) == [Descent(10, good, False)]
    (version,) = store.traced([10])
    assert (version.confirmations, version.confirmed_by) == (1, f"{RUN}-20")
    assert store.resting_on([bad]) == []
    assert store.resting_on([good]) == [10]
    assert store.resting_on([10]) == [11]
    assert store.resting_on_code("c0de", **ALWAYS) == [11]
    assert store.resting_on_code("n3w", **ALWAYS) == [10]
    assert store.resting_on_run(f"{RUN}-10", **ALWAYS) == []
    assert store.resting_on_run(f"{RUN}-20", **ALWAYS) == [10]


def test_former_versions_keep_their_lineage(store: Store) -> None:
    first = land(store, "a", "A")
    make(store, 10, key="a", inputs=(first,))
    second = land(store, "a", "B")
    make(store, 20, key="a", inputs=(second,))
    assert [one.visibility for one in store.traced([first, second, 10, 20])] == ["former", "head", "former", "head"]
    assert store.made_of([first]) == [Descent(10, first, True)]
    assert store.resting_on([first]) == [10]


def test_a_compaction_is_the_version_that_it_holds_again(store: Store) -> None:
    file = land(store, "a", "A")
    make(store, 10, key="a", inputs=(file,), content="h@1:10:same")
    assert make(store, 20, key="a", inputs=(10,), content="h@1:10:same", origin=10, renews=True) is Published.NEW
    make(store, 30, "monthly", inputs=(20,))
    assert sorted(store.made_from([30])) == [Descent(10, file, True), Descent(30, 10, True)]
    assert sorted(store.made_of([file])) == [Descent(10, file, True), Descent(30, 10, True)]
    (version,) = store.traced([10])
    assert (version.visibility, version.shown_as, version.confirmations) == (Visibility.HEAD, 20, 0)
    assert store.resting_on([file]) == [10]
    assert store.resting_on([10]) == [30]
    # A compaction vouches for nothing; an attempt that finds the content again after it does.
    assert store.resting_on_run(f"{RUN}-20", **ALWAYS) == []
    again = land(store, "a", "B")
    assert make(store, 40, key="a", inputs=(again,), content="h@1:10:same") is Published.UNCHANGED
    assert store.resting_on([file]) == []
    assert store.resting_on([again]) == [10]
    assert store.made_of([again]) == [Descent(10, again, False)]


def test_what_is_staged_or_discarded_is_not_a_head(store: Store) -> None:
    with store.transaction() as tx:
        tx.add_run(a_run("staged", publication=Publication.TOGETHER))
    make(store, 10, run="staged")
    (version,) = store.traced([10])
    assert (version.visibility, version.shown_as) == (Visibility.STAGED, None)
    with store.transaction() as tx:
        tx.set_run_state("staged", RunState.DISCARDED, author="ada", reason="no", now_ms=9_000)
    assert [one.visibility for one in store.traced([10])] == ["discarded"]


def test_a_staged_run_that_was_published_has_heads(store: Store) -> None:
    with store.transaction() as tx:
        tx.add_run(a_run("staged", publication=Publication.TOGETHER))
    make(store, 10, run="staged")
    with store.transaction() as tx:
        assert tx.publish_staged("staged", author="ada", reason="yes", now_ms=9_000) == []
    assert [one.visibility for one in store.traced([10])] == ["head"]


def test_what_was_taken_back_says_so_until_it_is_back(store: Store) -> None:
    make(store, 10)
    make(store, 20)
    with store.transaction() as tx:
        tx.set_run_state(f"{RUN}-20", RunState.SUCCEEDED, author="ada", reason="", now_ms=4_000)
    roll_back(store, "back", f"{RUN}-20")
    assert [one.visibility for one in store.traced([10, 20])] == ["head", "rolled back"]
    roll_back(store, "undone", "back")
    assert [one.visibility for one in store.traced([10, 20])] == ["rolled back", "head"]


def roll_back(store: Store, run: str, taken: str) -> None:
    aim = Aim(taken)
    shown = store.take_back(aim)
    with store.transaction() as tx:
        made = a_run(run, kind=RunKind.ROLLBACK, state=RunState.SUCCEEDED, finished_ms=5_000, created_ms=5_000)
        tx.add_run(made)
        tx.roll_back(made, aim, shown)


def test_after_a_rollback_the_checkpoint_that_is_back_vouches(store: Store) -> None:
    good, other = land(store, "a", "A"), land(store, "b", "B")
    make(store, 10, key="a", inputs=(good,), content="h@1:10:same")
    assert make(store, 20, key="a", inputs=(other,), content="h@1:10:same") is Published.UNCHANGED
    assert store.resting_on([good]) == []
    with store.transaction() as tx:
        tx.set_run_state(f"{RUN}-20", RunState.SUCCEEDED, author="ada", reason="", now_ms=4_000)
    roll_back(store, "back", f"{RUN}-20")
    assert (store.resting_on([good]), store.resting_on([other])) == ([10], [])


def test_times_bound_what_rests_on_code_or_a_run(store: Store) -> None:
    make(store, 10, run="one", now_ms=1_000)
    make(store, 11, key="k2", run="one", now_ms=2_000)
    assert store.resting_on_code("c0de", since_ms=1_000, until_ms=2_000) == [10]
    assert store.resting_on_run("one", since_ms=1_001, until_ms=9_000) == [11]
    assert store.resting_on_run("two", **ALWAYS) == []


def test_code_is_found_by_the_beginning_of_its_fingerprint_or_its_declared_version(store: Store) -> None:
    land(store, "a", "A")
    make(store, 10, code="aabb", now_ms=1_000)
    make(store, 11, key="k2", code="aabb", now_ms=2_000)
    make(store, 12, "monthly", code="aacc", declared_version="7", now_ms=3_000)
    assert [(one.dataset, one.code, one.checkpoints, one.last_ms) for one in store.codes_in_use("aa")] == [
        ("monthly", "aacc", 1, 3_000),
        ("flights", "aabb", 2, 2_000),
    ]
    assert [one.code for one in store.codes_in_use("aab")] == ["aabb"]
    assert [one.declared_version for one in store.codes_in_use("7")] == ["7"]
    assert len(store.codes_in_use("")) == 2
    assert store.codes_in_use("zz") == []
    assert store.codes_in_use("%") == []


def test_versions_of_a_file_are_found_by_the_end_of_its_path(store: Store) -> None:
    first = land(store, 'a "quoted" ü', "A")
    second = land(store, 'a "quoted" ü', "B")
    land(store, "b", "B")
    make(store, 10)
    for end in ('landing/a "quoted" ü.csv', '/a "quoted" ü.csv', "ü.csv"):
        assert [one.id for one in store.source_versions(end)] == [first, second], end
    # Versions of datasets have files, too, and a path does not go on behind its end.
    assert store.source_versions(".parquet") == store.source_versions("landing/b") == []
    assert sorted(store.source_paths()) == ['landing/a "quoted" ü.csv', "landing/b.csv"]


@pytest.mark.slow
def test_wide_fans_long_chains_and_diamonds_are_walked_once(store: Store) -> None:
    with store.transaction() as tx:
        tx.add_run(a_run("big"))
        tx.start_attempts([an_attempt(n, f"k{n}", run="big") for n in range(1, 7_001)])
        tx.start_attempts([an_attempt(n, f"k{n}", "chain", run="big") for n in range(7_001, 8_001)])
        fan = [a_candidate(an_attempt(n, f"k{n}", run="big")) for n in range(1, 7_001)]
        tx.publish(fan, author="ada", now_ms=3_000)
        for n in range(7_001, 8_001):
            # Each of the chain reads the two before it: 2 ** 1000 ways lead up.
            inputs = tuple(range(1, 7_001)) if n == 7_001 else tuple(m for m in (n - 1, n - 2) if m > 7_000)
            attempt = an_attempt(n, f"k{n}", "chain", run="big")
            tx.publish([a_candidate(attempt, inputs=inputs)], author="ada", now_ms=3_000)
    edges = 7_000 + 1 + 2 * 998
    assert len(store.made_from([8_000])) == len(store.made_of(range(1, 7_001))) == edges
    assert len(store.made_of([1])) == edges - 6_999
    assert len(store.made_from([8_000], depth=10)) == 2 * 19
    assert len(list(store.traced(range(1, 8_001)))) == 8_000
