"""Asking a coordinator from outside: its answer, and what happens if it dies before it gives one."""

from __future__ import annotations

import select
import threading
from typing import TYPE_CHECKING

import pytest

from headgate.drivers.control import NOBODY, request
from headgate.store.sqlite import open_store

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from headgate.store.records import Command
    from headgate.store.store import Store


@pytest.fixture
def opener(tmp_path: Path) -> Callable[[], Store]:
    return lambda: open_store(tmp_path / "state.db", data_root=tmp_path / "data", create=True)


class Asking(threading.Thread):
    """Asks for a pool from another thread, with a store of its own."""

    def __init__(self, opener: Callable[[], Store]) -> None:
        super().__init__()
        self.answer: str | None = None
        self._opener = opener

    def run(self) -> None:
        store = self._opener()
        self.answer = request(
            store, "", "set pool", author="ada", reason="x", arguments={"pool": "warehouse", "slots": 4}
        )
        store.close()


def pending(store: Store) -> list[Command]:
    with store.transaction() as tx:
        return tx.pending_commands()


def left(store: Store) -> Command:
    """Return the request once it is there."""
    while not (found := pending(store)):
        select.select([], [], [], 0.01)
    return found[0]


def test_nobody_is_asked_where_nobody_leads(opener: Callable[[], Store]) -> None:
    store = opener()
    assert request(store, "", "set pool", author="ada", reason="x") == NOBODY
    assert pending(store) == []
    store.close()


@pytest.mark.parametrize("answer", ["", "there is no pool warehouse"])
def test_the_answer_is_awaited(opener: Callable[[], Store], answer: str) -> None:
    store, asking = opener(), Asking(opener)
    with store.lead():
        asking.start()
        command = left(store)
        with store.transaction() as tx:
            tx.settle_commands([(command.id, answer)])
        asking.join()
    assert asking.answer == answer
    assert (command.verb, command.author, command.arguments["slots"]) == ("set pool", "ada", 4)
    store.close()


def test_a_request_dies_with_the_coordinator_that_had_it(opener: Callable[[], Store]) -> None:
    store, asking = opener(), Asking(opener)
    with store.lead():
        asking.start()
        command = left(store)
    asking.join()
    assert asking.answer == NOBODY
    assert pending(store) == []
    assert store.command_answer(command.id) == NOBODY
    store.close()


def test_a_run_that_is_not_there_is_not_asked_about(opener: Callable[[], Store]) -> None:
    store = opener()
    with store.lead():
        assert request(store, "gone", "pause", author="ada", reason="x") == "run gone has ended"
    store.close()
