"""The contract of state stores: what steers a live coordinator, and what it says of itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from store_cases import OPENERS, RUN, a_candidate, a_run, an_attempt, begin, publish, seen

from headgate.errors import InternalError, UsageError
from headgate.model.breaker import BreakerRecord, BreakerState
from headgate.model.run import AttemptState, RunState
from headgate.store.records import Command, Published

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from headgate.store.store import Store

DAY_MS = 24 * 60 * 60 * 1000


@pytest.fixture(params=OPENERS)
def opener(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Store]:
    return OPENERS[request.param](tmp_path)


@pytest.fixture
def store(opener: Callable[[], Store]) -> Iterator[Store]:
    opened = opener()
    yield opened
    assert opened.check() == []
    opened.close()


def ask(store: Store, run: str = "", verb: str = "set pool", *, now_ms: int = 1) -> int:
    with store.transaction() as tx:
        command = tx.add_command(run, verb, author="ada", reason="", now_ms=now_ms)
    assert command is not None
    return command


def settle(store: Store, *answers: tuple[int, str]) -> None:
    with store.transaction() as tx:
        tx.settle_commands(answers)


def test_an_empty_store_has_nothing_to_steer(store: Store) -> None:
    assert store.breakers() == store.durations("flights") == []
    assert store.live(RUN) is store.live("") is store.command_answer(1) is None
    with store.transaction() as tx:
        assert tx.pending_commands() == []


def test_a_queued_run_has_not_ended_and_is_found(store: Store) -> None:
    queued = a_run(state=RunState.QUEUED, service_class="fresh", controls='{"paused":true}')
    with store.transaction() as tx:
        tx.add_run(queued)
    assert store.run(RUN) == queued
    (found,) = store.runs(states=frozenset({RunState.QUEUED}))
    assert (found.service_class, found.controls, found.finished_ms) == ("fresh", '{"paused":true}', None)
    assert store.runs(states=frozenset({RunState.RUNNING})) == []
    with store.transaction() as tx:
        expected = frozenset({RunState.QUEUED})
        assert tx.set_run_state(RUN, RunState.RUNNING, author="bob", reason="", now_ms=2_000, expected=expected)
        assert tx.set_run_state(RUN, RunState.QUEUED, author="bob", reason="", now_ms=3_000)
    assert store.run(RUN) == queued


def test_controls_of_a_run_are_kept_and_not_journaled(opener: Callable[[], Store], store: Store) -> None:
    begin(store, run="other")
    begin(store)
    before = list(store.journal_entries())
    for controls in ('{"concurrency":4}', ""):
        with store.transaction() as tx:
            tx.set_run_controls(RUN, controls)
        other = opener()
        assert other.run(RUN) == a_run(controls=controls)
        assert [run.controls for run in other.runs()] == [controls, ""]
        other.close()
    assert list(store.journal_entries()) == before
    with pytest.raises(InternalError, match="no run none"), store.transaction() as tx:
        tx.set_run_controls("none", "{}")


def test_commands_wait_oldest_first_until_they_are_settled(opener: Callable[[], Store], store: Store) -> None:
    begin(store)
    other = opener()
    arguments: dict[str, object] = {"warehouse": 4, "order": "newest", "on": [True, None, 0.5], "\u00e9": {}}
    with other.transaction() as tx:
        assert tx.add_command(RUN, "set", author="ada", reason="night", now_ms=1, arguments=arguments) == 1
        assert tx.add_command(RUN, "cancel", author="bob", reason="", now_ms=2) == 2
    change, cancel = Command(1, RUN, "set", "ada", "night", arguments), Command(2, RUN, "cancel", "bob", "", {})
    for reader in (store, other, store):
        with reader.transaction() as tx:
            assert tx.pending_commands() == [change, cancel]
    assert other.command_answer(1) is other.command_answer(2) is None
    with store.transaction() as tx:
        tx.settle_commands([(change.id, "there is no pool warehouse"), (77, "")])
        assert tx.pending_commands() == [cancel]
    with store.transaction() as tx:
        tx.settle_commands([])
        tx.settle_commands([(cancel.id, "")])
        assert tx.pending_commands() == []
        # A number is not given twice: a command that is settled late must not answer a newer one.
        assert tx.add_command(RUN, "drain", author="ada", reason="", now_ms=3) == 3
        assert [command.id for command in tx.pending_commands()] == [3]
    assert [other.command_answer(command) for command in (1, 2, 3, 77)] == [
        "there is no pool warehouse",
        "",
        None,
        None,
    ]
    other.close()


def test_the_first_answer_stays(store: Store) -> None:
    command = ask(store)
    settle(store, (command, "no"))
    settle(store, (command, ""))
    assert store.command_answer(command) == "no"


def test_answers_are_forgotten_a_day_before_what_is_settled(store: Store) -> None:
    old, waiting, edge, new = (ask(store, now_ms=at_ms) for at_ms in (0, 0, 1, DAY_MS + 1))
    settle(store, (old, ""), (edge, ""))
    assert store.command_answer(old) == ""
    settle(store)
    settle(store, (77, ""))
    assert store.command_answer(old) == ""
    settle(store, (new, ""))
    assert [store.command_answer(command) for command in (old, waiting, edge, new)] == [None, None, "", ""]
    with store.transaction() as tx:
        assert [command.id for command in tx.pending_commands()] == [waiting]
    # Who waited long is answered, too, together with a newer one; and no number comes back.
    assert ask(store, now_ms=5 * DAY_MS) == new + 1
    settle(store, (waiting, "late"), (new + 1, ""))
    assert store.command_answer(waiting) == "late"
    settle(store, (ask(store, now_ms=9 * DAY_MS), ""))
    assert [store.command_answer(command) for command in (waiting, edge, new, new + 1)] == [None] * 4
    assert ask(store, now_ms=9 * DAY_MS) == new + 3


@pytest.mark.parametrize("state", list(RunState))
def test_commands_are_refused_when_nothing_is_left_to_do(store: Store, state: RunState) -> None:
    with store.transaction() as tx:
        tx.add_run(a_run(state=state))
        is_live = state in {RunState.QUEUED, RunState.RUNNING, RunState.INTERRUPTED}
        command = tx.add_command(RUN, "cancel", author="ada", reason="", now_ms=1)
        assert command == (1 if is_live else None)
        assert tx.add_command("none", "cancel", author="ada", reason="", now_ms=1) is None
        assert [command.run for command in tx.pending_commands()] == [RUN] * is_live


def test_commands_about_no_run_are_always_left(store: Store) -> None:
    assert ask(store) == 1
    begin(store)
    with store.transaction() as tx:
        tx.set_run_state(RUN, RunState.FAILED, author="ada", reason="", now_ms=2_000)
    assert ask(store) == 2
    with store.transaction() as tx:
        assert [(command.run, command.verb) for command in tx.pending_commands()] == [("", "set pool")] * 2


def test_texts_of_commands_are_data_and_unicode(store: Store) -> None:
    odd = "'; DROP TABLE command; -- {\"\n\u00e9"
    with store.transaction() as tx:
        tx.add_command("", odd, author=odd, reason=odd, now_ms=1, arguments={odd: odd})
        assert tx.pending_commands() == [Command(1, "", odd, odd, odd, {odd: odd})]
        tx.settle_commands([(1, odd)])
    assert store.command_answer(1) == odd
    with pytest.raises(UsageError, match="not valid Unicode"), store.transaction() as tx:
        tx.add_command("", "set", author="ada", reason="", now_ms=1, arguments={"x": "\udcff"})


def test_breakers_are_kept_by_name_until_they_are_sound(opener: Callable[[], Store], store: Store) -> None:
    opened = BreakerRecord("pool:warehouse", BreakerState.OPEN, 5, 600_000, 1_700_000_000_000)
    failing = BreakerRecord("dataset:flights", BreakerState.CLOSED, 2, 600_000, 0)
    with store.transaction() as tx:
        tx.save_breakers([opened, failing, BreakerRecord("dataset:sound", BreakerState.CLOSED, 0, 600_000, 0)])
    assert store.breakers() == [failing, opened]
    probing = BreakerRecord(opened.name, BreakerState.HALF_OPEN, 0, 1_200_000, 0)
    with store.transaction() as tx:
        tx.save_breakers([])
        tx.save_breakers([probing])
    assert store.breakers() == [failing, probing]
    with store.transaction() as tx:
        tx.save_breakers([BreakerRecord(failing.name, BreakerState.CLOSED, 0, 600_000, 0)])
    again = opener()
    assert again.breakers() == [probing]
    assert list(again.journal_entries()) == []
    again.close()


def test_the_last_word_on_a_run_replaces_the_one_before(opener: Callable[[], Store], store: Store) -> None:
    begin(store)
    begin(store, run="other")
    before = store.journal_seq()
    with store.transaction() as tx:
        tx.put_live(RUN, '{"ready":5}', 2_000)
        tx.put_live("other", "{}", 2_000)
    with store.transaction() as tx:
        tx.put_live(RUN, '{"ready":4}', 3_000)
    reader = opener()
    assert reader.live(RUN) == ('{"ready":4}', 3_000)
    with store.transaction() as tx:
        tx.clear_live(RUN)
        tx.clear_live(RUN)
        tx.clear_live("none")
    assert reader.live(RUN) is None
    assert reader.live("other") == ("{}", 2_000)
    assert reader.journal_seq() == before
    reader.close()
    with pytest.raises(InternalError), store.transaction() as tx:
        tx.put_live("none", "{}", 3_000)


def test_durations_are_of_what_was_published_newest_first(store: Store) -> None:
    attempts = [an_attempt(n, f"k{n}", started_ms=2_000 + n) for n in range(1, 5)]
    elsewhere = an_attempt(5, dataset="weather")
    begin(store, *attempts, elsewhere)
    with store.transaction() as tx:
        tx.observe([seen("k1", "aa")], author="ada", now_ms=2_500)
        tx.end_attempts([(4, AttemptState.FAILED, None)], now_ms=9_000)
    publish(store, a_candidate(attempts[1], bytes=20), a_candidate(elsewhere), now_ms=3_000)
    publish(store, a_candidate(attempts[2], bytes=30), a_candidate(attempts[0], bytes=10), now_ms=5_000)
    assert store.durations("flights") == [(2_997, 30), (2_999, 10), (998, 20)]
    assert store.durations("flights", 2) == store.durations("flights", limit=2) == [(2_997, 30), (2_999, 10)]
    assert store.durations("weather") == [(1_000, 1_000)]
    # Nobody has made what was observed.
    assert store.durations("landing") == store.durations("none") == []


def test_durations_of_unchanged_content_count_and_none_is_negative(store: Store) -> None:
    first, second = an_attempt(1), an_attempt(2, run="again", expects=1, started_ms=4_000)
    begin(store, first)
    publish(store, a_candidate(first, content="same", bytes=7), now_ms=1_000)
    begin(store, second, run="again")
    assert publish(store, a_candidate(second, content="same", bytes=7), now_ms=4_500) == [Published.UNCHANGED]
    assert store.durations("flights") == [(500, 7), (0, 7)]


def test_what_steers_is_of_the_transaction_or_absent(store: Store) -> None:
    begin(store)
    command = ask(store)
    with pytest.raises(ZeroDivisionError), store.transaction() as tx:  # noqa: PT012
        tx.set_run_controls(RUN, "{}")
        tx.add_command("", "set", author="ada", reason="", now_ms=3)
        tx.settle_commands([(command, "no")])
        tx.save_breakers([BreakerRecord("pool:x", BreakerState.OPEN, 5, 1, 2)])
        tx.put_live(RUN, "{}", 3)
        _ = 1 // 0
    assert store.run(RUN) == a_run()
    assert store.breakers() == []
    assert store.live(RUN) is store.command_answer(command) is None
    with store.transaction() as tx:
        assert [waiting.id for waiting in tx.pending_commands()] == [command]
