from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from headgate.drivers.naming import named_run
from headgate.errors import UsageError
from headgate.model.run import RunState
from headgate.views import status
from headgate.views.reading import reading

if TYPE_CHECKING:
    from view_scene import Shop


def test_a_project_that_was_never_run_has_no_runs(shop: Shop) -> None:
    with reading(shop.root) as (_, store):
        assert status.runs(store, limit=10) == ()
    assert not (shop.root / ".headgate").exists()


def test_runs_come_newest_first_with_what_is_done(shop: Shop) -> None:
    first = shop.backfill()
    shop.land(3, "bad,1\n")
    second = shop.backfill()
    with reading(shop.root) as (_, store):
        newest, oldest = status.runs(store, limit=10)
        assert [newest.id] == [line.id for line in status.runs(store, limit=1)]
    assert (oldest.id, oldest.state, oldest.done, oldest.total) == (first.run, RunState.SUCCEEDED, 12, 12)
    assert (newest.id, newest.state, newest.done, newest.total) == (second.run, RunState.FAILED, 0, 5)
    assert (newest.author, newest.reason, newest.kind) == ("ada", "a test", "backfill")


def test_one_run_shows_its_datasets_and_its_failures(shop: Shop) -> None:
    shop.backfill()
    shop.land(3, "bad,1\n")
    shop.land(5, "a,5\n")
    summary = shop.backfill()
    with reading(shop.root) as (_, store):
        found = status.run_status(store, named_run(store, summary.run))
    lines = {line.name: line for line in found.datasets}
    assert list(lines) == ["sales", "trend", "total", "told"]
    assert (lines["sales"].total, lines["sales"].published, lines["sales"].failed) == (2, 1, 1)
    assert (lines["trend"].total, lines["trend"].published) == (3, 1)
    assert [(line.blocked, line.rest) for line in found.datasets] == [(0, 0), (2, 0), (1, 0), (1, 0)]
    (failure,) = found.failures
    assert (failure.dataset, failure.key, failure.number) == ("sales", "2024-01-03", 1)
    assert "a bad row" in failure.message
    assert "shop_pipeline.py" in failure.traceback


def test_failures_come_in_the_order_of_datasets_and_keys(shop: Shop) -> None:
    with (shop.root / "headgate.toml").open("a") as file:
        file.write('[concurrency]\norder = "newest"\n')
    for day in (2, 4):
        shop.land(day, "bad,1\n")
    shop.edit('return sales.group_by("name")', 'raise ValueError("no trend")')
    summary = shop.backfill()
    with reading(shop.root) as (_, store):
        found = status.run_status(store, named_run(store, summary.run))
        numbers = [failure.attempt for failure in found.failures]
    expected = [("sales", "2024-01-02"), ("sales", "2024-01-04"), ("trend", "2024-01-01")]
    assert [(failure.dataset, failure.key) for failure in found.failures] == expected
    assert [(failure.dataset, failure.key) for failure in summary.failures] == expected
    assert numbers != sorted(numbers), "they came in another order"


def test_the_same_content_again_is_unchanged_and_what_follows_is_skipped(shop: Shop) -> None:
    shop.backfill()
    shop.land(5, "b,10\na,5\n")
    summary = shop.backfill()
    with reading(shop.root) as (_, store):
        found = status.run_status(store, named_run(store, summary.run))
    assert found.run.done == found.run.total == 4
    counts = {line.name: (line.published, line.unchanged, line.rest) for line in found.datasets}
    assert counts == {"sales": (0, 1, 0), "trend": (0, 0, 1), "total": (0, 0, 1), "told": (0, 0, 1)}


def test_a_run_that_nobody_runs_is_interrupted(shop: Shop) -> None:
    summary = shop.backfill()
    store = shop.store()
    try:
        with store.lead():
            with store.transaction() as tx:
                tx.set_run_state(summary.run, RunState.RUNNING, author="ada", reason="", now_ms=1)
            assert status.runs(store, limit=1)[0].state is RunState.RUNNING
            assert status.run_status(store, named_run(store, "latest")).coordinator
        assert status.runs(store, limit=1)[0].state is RunState.INTERRUPTED
        assert status.run_status(store, named_run(store, "latest")).coordinator is None
    finally:
        store.close()


def test_a_run_is_found_by_its_beginning_and_as_latest(shop: Shop) -> None:
    shop.backfill("sales")
    newest = shop.backfill("trend").run
    with reading(shop.root) as (_, store):
        assert (
            named_run(store, "latest").id == named_run(store, newest).id == named_run(store, newest[:-1]).id == newest
        )
        with pytest.raises(UsageError, match="there is no run 'zz'") as caught:
            named_run(store, "zz")
        assert newest in caught.value.hint


def test_latest_without_runs_is_a_mistake(shop: Shop) -> None:
    with reading(shop.root) as (_, store), pytest.raises(UsageError, match="no run 'latest'") as caught:
        named_run(store, "latest")
    assert caught.value.hint == "There are no runs yet."
