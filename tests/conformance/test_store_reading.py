"""The contract of state stores: runs, the journal, reads, and what is there after opening again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from store_cases import OPENERS, RUN, a_candidate, a_run, an_attempt, begin, build, publish

from headgate.errors import ConflictError, InternalError, UsageError
from headgate.model.run import RunState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from headgate.store.store import Store


@pytest.fixture(params=OPENERS)
def opener(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Store]:
    return OPENERS[request.param](tmp_path)


@pytest.fixture
def store(opener: Callable[[], Store]) -> Iterator[Store]:
    opened = opener()
    yield opened
    assert opened.check() == []
    opened.close()


def test_an_empty_store_reads_as_empty(store: Store) -> None:
    assert store.next_id() == 1
    assert list(store.head_columns("flights")) == list(store.heads("flights")) == list(store.heads("flights", [])) == []
    assert store.datasets() == store.runs() == store.running_attempts() == store.uncollected_attempts() == []
    assert store.version(1) is store.run("x") is store.run("") is store.leader() is None
    assert store.checkpoints("flights") == store.checkpoints("flights", "k1") == store.lineage(1) == []
    assert list(store.run_checkpoints("x")) == list(store.journal_entries()) == []


def test_runs_newest_first_without_plans_and_one_by_prefix(store: Store) -> None:
    runs = [a_run(f"2013-{i}-x", created_ms=1_000 + i // 2) for i in range(4)]
    with store.transaction() as tx:
        for run in runs:
            tx.add_run(run)
    assert [run.id for run in store.runs()] == ["2013-3-x", "2013-2-x", "2013-1-x", "2013-0-x"]
    assert [run.plan for run in store.runs(limit=2)] == ["", ""]
    assert store.run("2013-2-x") == store.run("2013-2") == runs[2]
    assert store.run("2014") is store.run("2013-2-xx") is store.run("%") is None
    with pytest.raises(UsageError, match="several runs start with 2013") as caught:
        store.run("2013")
    assert "2013-0-x" in caught.value.message
    assert caught.value.hint


def test_a_run_whose_id_begins_another_is_found(store: Store) -> None:
    with store.transaction() as tx:
        tx.add_run(a_run("a"))
        tx.add_run(a_run("ab"))
    assert store.run("a") == a_run("a")


def test_states_of_runs_are_journaled_with_author_and_reason(store: Store) -> None:
    with store.transaction() as tx:
        tx.add_run(a_run())
        tx.set_run_state(RUN, RunState.INTERRUPTED, author="bob", reason="ctrl-c", now_ms=2_000)
    assert store.run(RUN) == a_run(state=RunState.INTERRUPTED)
    for state in (RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELLED):
        with store.transaction() as tx:
            tx.set_run_state(RUN, state, author="bob", reason="", now_ms=3_000)
        assert store.run(RUN) == a_run(state=state, finished_ms=3_000)
    with store.transaction() as tx:
        tx.set_run_state(RUN, RunState.RUNNING, author="bob", reason="again", now_ms=4_000)
    assert store.run(RUN) == a_run()
    entries = list(store.journal_entries())
    assert [(e.seq, e.kind, e.author, e.reason, e.run) for e in entries[:2]] == [
        (1, "run.submitted", "ada", "why not", RUN),
        (2, "run.interrupted", "bob", "ctrl-c", RUN),
    ]
    assert entries[1].body == '{"from":"running"}'
    assert list(store.journal_entries(limit=2)) == entries[-2:]
    assert len({e.hash for e in entries}) == len(entries)
    with pytest.raises(InternalError), store.transaction() as tx:
        tx.set_run_state("none", RunState.FAILED, author="bob", reason="", now_ms=3_000)


def test_two_runs_of_one_id_are_a_bug(store: Store) -> None:
    with store.transaction() as tx:
        tx.add_run(a_run())
    with pytest.raises(InternalError), store.transaction() as tx:
        tx.add_run(a_run())
    assert len(list(store.journal_entries())) == 1


def test_a_state_is_set_only_where_it_is_expected(store: Store) -> None:
    with store.transaction() as tx:
        tx.add_run(a_run())
        assert tx.set_run_state(RUN, RunState.SUCCEEDED, author="ada", reason="", now_ms=2_000)
    entries = list(store.journal_entries())
    live = frozenset({RunState.RUNNING, RunState.INTERRUPTED})
    with store.transaction() as tx:
        assert not tx.set_run_state(RUN, RunState.CANCELLED, author="bob", reason="", now_ms=3_000, expected=live)
    assert store.run(RUN) == a_run(state=RunState.SUCCEEDED, finished_ms=2_000)
    assert list(store.journal_entries()) == entries
    ended = frozenset({RunState.SUCCEEDED, RunState.FAILED})
    with store.transaction() as tx:
        assert tx.set_run_state(RUN, RunState.RUNNING, author="bob", reason="", now_ms=4_000, expected=ended)
        assert not tx.set_run_state(RUN, RunState.RUNNING, author="bob", reason="", now_ms=5_000, expected=ended)
    assert store.run(RUN) == a_run()
    assert len(list(store.journal_entries())) == len(entries) + 1
    with pytest.raises(InternalError), store.transaction() as tx:
        tx.set_run_state("none", RunState.FAILED, author="bob", reason="", now_ms=6_000, expected=ended)


def test_runs_are_found_by_state_newest_first(store: Store) -> None:
    with store.transaction() as tx:
        for number, state in enumerate((RunState.RUNNING, RunState.FAILED, RunState.RUNNING, RunState.SUCCEEDED)):
            tx.add_run(a_run(f"r{number}", state=state, created_ms=1_000 + number))

    def found(*states: RunState, limit: int = 100) -> list[str]:
        return [run.id for run in store.runs(limit=limit, states=frozenset(states))]

    assert found(RunState.RUNNING) == ["r2", "r0"]
    assert found(RunState.RUNNING, limit=1) == ["r2"]
    assert found(RunState.FAILED, RunState.SUCCEEDED) == ["r3", "r1"]
    assert found(RunState.CANCELLED) == found() == []


def test_any_text_can_be_journaled_and_none_that_is_not_unicode(store: Store) -> None:
    with store.transaction() as tx:
        tx.journal("note", author="\u00e9\U0001f600", run="", reason='a "b"\n', body={"x": [1, "\u00e9"]}, now_ms=5)
    (entry,) = store.journal_entries()
    assert (entry.author, entry.reason, entry.body) == ("\u00e9\U0001f600", 'a "b"\n', '{"x":[1,"\u00e9"]}')
    with pytest.raises(UsageError, match="not valid Unicode"), store.transaction() as tx:
        tx.journal("note", author="ada", run="", reason="\udcff", body={}, now_ms=5)
    with pytest.raises(UsageError, match="not valid Unicode"):
        store.run("\udcff")


def test_checkpoints_newest_first_and_limited(store: Store) -> None:
    build(store, 1, "k1")
    build(store, 2, "k2")
    build(store, 3, "k1")
    assert [c.attempt for c in store.checkpoints("flights")] == [3, 2, 1]
    assert [c.attempt for c in store.checkpoints("flights", limit=2)] == [3, 2]
    assert [c.attempt for c in store.checkpoints("flights", "k1")] == [3, 1]
    assert [c.attempt for c in store.checkpoints("flights", "k1", limit=1)] == [3]


def test_checkpoints_of_a_run_come_in_order_of_publishing(store: Store) -> None:
    attempts = [an_attempt(n, f"k{n}") for n in (1, 2, 3)]
    begin(store, *attempts)
    publish(store, a_candidate(attempts[2]))
    publish(store, a_candidate(attempts[1]), a_candidate(attempts[0]))
    assert [c.attempt for c in store.run_checkpoints(RUN)] == [3, 1, 2]
    assert [c.run for c in store.run_checkpoints(RUN)] == [RUN] * 3


def test_heads_of_given_keys_only_and_each_once(store: Store) -> None:
    for number in (1, 2, 3):
        build(store, number, f"k{number}")
    assert sorted(v.key for v in store.heads("flights", ["k3", "k1", "k1", "none"])) == ["k1", "k3"]
    with store.transaction() as tx:
        found = tx.heads("flights", ["k3", "none", "k1", "k3"])
    assert [v.key if v else None for v in found] == ["k3", None, "k1", "k3"]


def test_another_reader_sees_what_is_committed_and_nothing_else(opener: Callable[[], Store], store: Store) -> None:
    reader = opener()
    begin(store, an_attempt(1))
    with store.transaction() as tx:
        tx.publish([a_candidate(an_attempt(1))], author="ada", now_ms=3_000)
        assert list(reader.heads("flights")) == []
        assert len(reader.running_attempts()) == 1
    assert [v.id for v in reader.heads("flights")] == [1]
    assert reader.running_attempts() == []
    reader.close()


def test_everything_is_there_after_opening_again(opener: Callable[[], Store]) -> None:
    first = opener()
    build(first, 1)
    before = (list(first.heads("flights")), list(first.journal_entries()), first.runs(), first.next_id())
    first.close()
    first.close()
    again = opener()
    assert (list(again.heads("flights")), list(again.journal_entries()), again.runs(), again.next_id()) == before
    build(again, 2)
    assert again.check() == []
    again.close()


def test_attempts_that_run_without_a_coordinator_are_reported(store: Store) -> None:
    begin(store, an_attempt(1))
    (sentence,) = store.check()
    assert "attempt 1 of flights k1" in sentence
    assert "no coordinator is alive" in sentence
    with store.lead("run 1"):
        assert store.check() == []
    with store.transaction() as tx:
        tx.fence_attempts(now_ms=5)


def test_the_lead_is_held_by_one(opener: Callable[[], Store], store: Store) -> None:
    other = opener()
    with store.lead("run abc"):
        holder = other.leader()
        assert holder is not None
        assert "run abc" in holder
        with pytest.raises(ConflictError, match=r"another coordinator .*run abc"), other.lead():
            pass
    assert other.leader() is store.leader() is None
    with other.lead():
        assert store.leader() is not None
    other.close()


def test_all_reads_in_a_snapshot_see_one_moment(opener: Callable[[], Store]) -> None:
    reading, writing = opener(), opener()
    build(writing, 1)
    with reading.snapshot():
        assert [version.id for version in reading.heads("flights")] == [1]
        build(writing, 2)
        assert [version.id for version in reading.heads("flights")] == [1]
    assert [version.id for version in reading.heads("flights")] == [2]
    reading.close()
    writing.close()
