from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from headgate.drivers.naming import named_run
from headgate.drivers.rollback import roll_back
from headgate.errors import UsageError
from headgate.executors.inline import InlineExecutor
from headgate.model.reason import Wait
from headgate.model.rollback import Aim
from headgate.model.run import RunState
from headgate.views.explain import Explanation, Moved, Reader, explain
from headgate.views.partition import only_key
from headgate.views.ranges import KeyRange
from headgate.views.status import run_status
from headgate.views.task import Upstream
from headgate.worker.messages import Lost, Order

if TYPE_CHECKING:
    from view_scene import Shop

    from headgate.worker.messages import Outcome


class Losing(InlineExecutor):
    """Loses every worker that gets the third day of sales."""

    _lost: tuple[Lost, ...] = ()

    def submit(self, *orders: Order) -> None:
        lost = [order for order in orders if (order.dataset, order.key) == ("sales", "2024-01-03")]
        self._lost += tuple(Lost(order.attempt, "worker 7 was killed") for order in lost)
        super().submit(*(order for order in orders if order not in lost))

    def poll(self, timeout_s: float) -> list[Outcome]:
        lost, self._lost = self._lost, ()
        return list(lost) or super().poll(timeout_s)


def explained(shop: Shop, dataset: str, key: str | None) -> Explanation:
    store = shop.store()
    try:
        return explain(shop.project(), store, shop.snapshot(store), dataset, key)
    finally:
        store.close()


def test_what_was_never_built_is_missing(shop: Shop) -> None:
    found = explained(shop, "trend", "2024-01-02")
    assert (found.state, found.why) == ("missing", "no version has been published")
    assert found.upstream == (Reader("sales", (KeyRange("2024-01-01", "2024-01-02", 2),)),)
    assert (found.head, found.task, found.made_from, found.lacks) == (None, None, (), "")
    assert [(read.parameter, read.dataset, read.mapping) for read in found.reads] == [
        ("sales", "sales", "last 2 windows")
    ]


def test_what_has_no_partitions_needs_no_key(shop: Shop) -> None:
    shop.backfill()
    assert explained(shop, "total", None) == explained(shop, "total", "all")
    with pytest.raises(UsageError, match="trend has partitions, and KEY is missing") as caught:
        explained(shop, "trend", None)
    assert caught.value.hint == "Its 5 partitions go from 2024-01-01 to 2024-01-05."
    assert only_key(shop.root, "total") == "all"
    with pytest.raises(UsageError, match="sales has partitions, and KEY is missing"):
        only_key(shop.root, "sales")
    with pytest.raises(UsageError, match="no dataset"):
        only_key(shop.root, "tota")


def test_what_was_taken_back_is_missing_for_another_reason(shop: Shop) -> None:
    run = shop.backfill().run
    store = shop.store()
    roll_back(store, aim := Aim(run=run), store.take_back(aim), author="ada", reason="wrong")
    store.close()
    found = explained(shop, "trend", "2024-01-02")
    assert (found.state, found.why) == ("missing", "what was published was taken back")


def test_what_was_built_says_from_what(shop: Shop) -> None:
    run = shop.backfill().run
    found = explained(shop, "trend", "2024-01-02")
    assert (found.kind, found.state, found.why, found.moved, found.upstream) == ("dataset", "published", "", (), ())
    assert [(used.dataset, used.key) for used in found.made_from] == [("sales", "2024-01-01"), ("sales", "2024-01-02")]
    assert found.head is not None
    assert found.head.is_head
    assert found.read_by == (Reader("total", (KeyRange("all", "all", 1),)),)
    assert found.task is not None
    assert (found.task.run, found.task.run_state, found.task.state) == (run, RunState.SUCCEEDED, "succeeded")


def test_a_changed_file_makes_stale_what_reads_it_and_what_follows(shop: Shop) -> None:
    shop.backfill()
    recorded = explained(shop, "landed", "2024-01-02").head
    assert recorded is not None
    shop.land(2, "a,100\n")
    sales = explained(shop, "sales", "2024-01-02")
    assert (sales.state, sales.why) == ("stale", "late data: a file came or changed since")
    assert sales.moved == (Moved("landed", "2024-01-02", recorded.version, 0),)
    trend = explained(shop, "trend", "2024-01-03")
    assert (trend.state, trend.moved) == ("stale", ())
    assert trend.upstream == (Reader("sales", (KeyRange("2024-01-02", "2024-01-02", 1),)),)
    shop.backfill("sales")
    trend = explained(shop, "trend", "2024-01-03")
    (moved,) = trend.moved
    assert (moved.dataset, moved.key) == ("sales", "2024-01-02")
    assert moved.before is not None
    assert moved.now is not None
    assert moved.now > moved.before


def test_changed_code_shows_both_fingerprints(shop: Shop) -> None:
    shop.backfill("sales")
    before = shop.project().datasets["sales"].code
    shop.edit("return landed\n", "return landed.slice(0)\n")
    found = explained(shop, "sales", "2024-01-02")
    assert (found.state, found.why) == ("stale", "code changed")
    assert found.code == (before, shop.project().datasets["sales"].code)


def test_another_mapping_names_the_input_that_came_or_went(shop: Shop) -> None:
    shop.backfill("sales", "trend")
    shop.edit("trailing(2)", "trailing(1)")
    found = explained(shop, "trend", "2024-01-03")
    assert found.state == "stale"
    (moved,) = found.moved
    assert (moved.key, moved.now) == ("2024-01-02", None)


def test_a_failure_is_told_and_what_waits_for_it(shop: Shop) -> None:
    shop.land(3, "bad,1\n")
    shop.backfill()
    sales = explained(shop, "sales", "2024-01-03").task
    assert sales is not None
    assert (sales.state, sales.attempts) == ("failed", 1)
    assert sales.failure is not None
    assert "a bad row" in sales.failure.message
    trend = explained(shop, "trend", "2024-01-04").task
    assert trend is not None
    assert (trend.state, trend.failure) == ("blocked", None)
    assert trend.waits_for == (Upstream("sales", "2024-01-03", failed=True),)
    for dataset, key in (("trend", "2024-01-04"), ("total", "all"), ("told", "all")):
        task = explained(shop, dataset, key).task
        assert task is not None
        assert task.hold is not None
        assert (task.state, task.hold.reason, task.hold.what) == ("blocked", "blocked", "sales/2024-01-03")
        assert task.hold.next == ("retry", task.run)
    built = explained(shop, "trend", "2024-01-02").task
    assert built is not None
    assert (built.state, built.hold) == ("succeeded", None)


def test_a_task_that_lost_all_its_workers_has_failed_as_status_says(shop: Shop) -> None:
    run = shop.backfill(executor=Losing).run
    task = explained(shop, "sales", "2024-01-03").task
    assert task is not None
    assert task.failure is not None
    assert (task.run_state, task.state, task.failure.message) == (RunState.FAILED, "failed", "worker 7 was killed")
    assert task.attempts > 1
    waiting = explained(shop, "trend", "2024-01-04").task
    assert waiting is not None
    assert waiting.waits_for == (Upstream("sales", "2024-01-03", failed=True),)
    store = shop.store()
    try:
        assert run_status(store, named_run(store, run)).failures == (task.failure,)
    finally:
        store.close()


def test_a_drained_run_waits_for_a_coordinator(shop: Shop) -> None:
    summary = shop.backfill(drain=True)
    assert summary.state is RunState.INTERRUPTED
    task = explained(shop, "total", "all").task
    assert task is not None
    assert (task.run_state, task.state, task.wait) == (RunState.INTERRUPTED, "waiting", str(Wait.NO_COORDINATOR))
    assert Upstream("trend", "2024-01-05", failed=False) in task.waits_for


def test_unchanged_and_skipped_tasks_say_so(shop: Shop) -> None:
    shop.backfill()
    shop.land(5, "b,10\na,5\n")
    shop.backfill()
    sales, trend = explained(shop, "sales", "2024-01-05").task, explained(shop, "trend", "2024-01-05").task
    assert sales is not None
    assert trend is not None
    assert (sales.state, trend.state) == ("unchanged", "skipped")


def test_a_missing_file_says_what_it_keeps_from_being_built(shop: Shop) -> None:
    path = shop.root / "landing" / "2024-01-05.csv"
    path.unlink()
    source = explained(shop, "landed", "2024-01-05")
    assert (source.kind, source.state, source.file) == ("source", "missing", str(path))
    assert "there is no such file" in source.why
    assert "landing/2024-01-05.csv" in explained(shop, "sales", "2024-01-05").lacks
    assert explained(shop, "sales", "2024-01-04").lacks == ""


def test_a_source_is_present_before_it_is_recorded_and_changed_after_a_new_landing(shop: Shop) -> None:
    new = explained(shop, "landed", "2024-01-01")
    assert (new.state, new.why) == ("present", "no run has recorded it yet")
    assert new.read_by == (Reader("sales", (KeyRange("2024-01-01", "2024-01-01", 1),)),)
    shop.backfill("sales")
    assert explained(shop, "landed", "2024-01-01").why == ""
    shop.land(1, "c,1\n")
    assert explained(shop, "landed", "2024-01-01").state == "changed"


@pytest.mark.parametrize("key", ["2024-02-01", "../x", "", "\0", "2024-01-01'", "x" * 300, "\N{SNOWMAN}"])
def test_keys_outside_the_partitioning_are_refused(shop: Shop, key: str) -> None:
    with pytest.raises(UsageError, match="sales has no partition"):
        explained(shop, "sales", key)


def test_unknown_datasets_are_refused(shop: Shop) -> None:
    with pytest.raises(UsageError, match="there is no dataset 'trends'") as caught:
        explained(shop, "trends", "2024-01-01")
    assert caught.value.hint.startswith("Did you mean trend?")
