from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from headgate.drivers.rollback import instant
from headgate.errors import UsageError
from headgate.model.run import Run, RunKind, RunState
from headgate.store.sqlite import open_store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from headgate.store.store import Store

RUN = Run("20240304-060112-112042", RunKind.BACKFILL, RunState.SUCCEEDED, "", "ada", "{}", "ph", 1_000, 5_000)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = open_store(tmp_path / "state.db", data_root=tmp_path / "data", create=True)
    with opened.transaction() as tx:
        tx.add_run(RUN)
    yield opened
    opened.close()


@pytest.mark.parametrize("text", [RUN.id, RUN.id[:15], "20240304-0601", "20240304-06", "20240304-", "latest"])
def test_the_beginning_of_a_run_is_its_end_and_no_time(store: Store, text: str) -> None:
    assert instant(store, text) == 5_000


def test_a_time_is_one_in_utc_unless_it_says_a_zone(store: Store) -> None:
    assert instant(store, "1970-01-02") == instant(store, "19700102T000000") == 86_400_000
    assert instant(store, "1970-01-02 01:00+01:00") == 86_400_000


def test_what_several_runs_begin_with_is_refused(store: Store) -> None:
    with store.transaction() as tx:
        tx.add_run(replace(RUN, id="20240304-060159-aaaaaa"))
    with pytest.raises(UsageError, match=r"several runs start with 20240304-0601:"):
        instant(store, "20240304-0601")
