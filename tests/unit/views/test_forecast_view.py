from __future__ import annotations

from typing import TYPE_CHECKING

from headgate.drivers.outset import as_it_is
from headgate.model.forecast import ChainLink
from headgate.model.plan import Request
from headgate.planning.planner import make_plan
from headgate.views.forecast import forecast, outlooks
from headgate.views.reading import reading

if TYPE_CHECKING:
    from pathlib import Path

    from view_scene import Shop

    from headgate.drivers.outset import Outset
    from headgate.model.forecast import Forecast
    from headgate.model.plan import Plan
    from headgate.views.forecast import Outlooks

NAMES = ("sales", "trend", "total", "told")


def policies(shop: Shop, text: str) -> None:
    (shop.root / "headgate.toml").write_text(
        f'[project]\nmodules = ["shop_pipeline"]\n[workers]\nprocesses = 2\n{text}'
    )


def looked(shop: Shop, *changes: str, select: tuple[str, ...] = (), forced: bool = False, runs: int = 3) -> Outlooks:
    with reading(shop.root) as (_, store):
        snapshot = shop.snapshot(store)
        plan = make_plan(snapshot, Request(select, forced=forced))
        return outlooks(
            shop.project(),
            store,
            snapshot,
            plan,
            service_class="backfill",
            owner="ada",
            start_ms=1_000_000,
            changes=changes,
            runs=runs,
            budget_s=600,
        )


def glanced(shop: Shop, *, forced: bool = False) -> tuple[Plan, Forecast | None]:
    with reading(shop.root) as (_, store):
        snapshot = shop.snapshot(store)
        plan = make_plan(snapshot, Request(forced=forced))
        return plan, forecast(shop.project(), store, snapshot, plan, owner="ada")


def as_is(shop: Shop, *, service_class: str = "backfill") -> Outset:
    with reading(shop.root) as (_, store):
        snapshot = shop.snapshot(store)
        plan = make_plan(snapshot, Request(forced=True))
        return as_it_is(shop.project(), store, snapshot, plan, service_class=service_class, owner="ada", start_ms=0)


def test_without_a_history_a_second_is_assumed(shop: Shop) -> None:
    policies(shop, "")
    found = looked(shop)
    assert (found.partitions, found.blocked, found.assumed, found.changed) == (12, 0, NAMES, None)
    side = found.as_is
    # Two at a time; the last day of sales, its trend and the last two one after the other.
    assert (side.runs, side.endless, side.p50_ms, side.p90_ms) == (3, 0, 8000, 8000)
    assert (side.p50_at_ms, side.p90_at_ms) == (1_008_000, 1_008_000)
    assert side.chain == tuple(ChainLink(name, 1, 1000) for name in NAMES)
    assert side.chain_ms == 4000
    assert [(d.name, d.partitions, d.attempts, d.typical_ms, d.busy_ms) for d in side.datasets] == [
        ("sales", 5, 5, 1000, 5000),
        ("trend", 5, 5, 1000, 5000),
        ("total", 1, 1, 1000, 1000),
        ("told", 1, 1, 1000, 1000),
    ]
    assert side.waits[0].wait == "upstream"
    assert [wait.share for wait in side.waits] == sorted((wait.share for wait in side.waits), reverse=True)
    assert 0 <= side.fresh_p50_ms <= side.fresh_p90_ms <= 1000


def test_changes_are_a_second_setting(shop: Shop) -> None:
    policies(shop, "")
    found = looked(shop, "processes=5", "duration.sales=4s")
    assert found.changes == ("processes=5", "duration.sales=4s")
    assert (found.as_is.p50_ms, found.changed.p50_ms) == (8000, 7000)
    assert [(d.typical_ms, d.basis) for d in found.changed.datasets[:2]] == [(4000, "given"), (1000, "assumed")]
    assert looked(shop, "processes=1").changed.p50_ms == 12_000
    assert looked(shop, "concurrency=1").changed.p50_ms == 12_000


def test_a_run_that_never_ends_is_endless(shop: Shop) -> None:
    found = looked(shop, "class.backfill.floor=0", "class.backfill.ceiling=0")
    assert (found.changed.endless, found.changed.p50_ms, found.changed.p90_at_ms) == (3, None, None)


def test_policies_of_the_project_hold(shop: Shop) -> None:
    policies(
        shop,
        """
[concurrency]
total = 1
order = "newest"
per_run = 7
[pools]
warehouse = 3
[datasets.sales]
pools = ["warehouse"]
concurrency = 2
[classes.slow]
priority = 1
""",
    )
    outset = as_is(shop, service_class="slow")
    setting, assumed = outset.setting, outset.assumed
    assert (setting.total, setting.order, setting.concurrency, setting.service_class) == (1, "newest", 7, "slow")
    assert (setting.stages[0].pools, setting.stages[0].concurrency) == ((("warehouse", 1),), 2)
    assert setting.pools["warehouse"].slots == 3
    assert assumed == NAMES
    assert looked(shop).as_is.p50_ms == 12_000


def test_durations_come_from_the_history(shop: Shop) -> None:
    shop.backfill()
    outset = as_is(shop)
    setting = outset.setting
    assert outset.assumed == outset.declared == ()
    # The first attempt has waited for libraries to be loaded, unless they were.
    assert [len(behaviour.durations_ms) for behaviour in setting.behaviours][1:] == [5, 1, 1]
    assert setting.behaviours[0].warm_up_ms > 0 or len(setting.behaviours[0].durations_ms) == 5
    assert all(behaviour.durations_ms.min() >= 1 for behaviour in setting.behaviours)
    found = looked(shop, forced=True)
    assert {dataset.basis for dataset in found.as_is.datasets} == {"history"}


def test_what_cannot_be_built_takes_no_time(shop: Shop, tmp_path: Path) -> None:
    policies(shop, "")
    (tmp_path / "shop" / "landing" / "2024-01-05.csv").unlink()
    found = looked(shop)
    assert (found.partitions, found.blocked) == (8, 4)
    assert (found.as_is.p50_ms, found.as_is.failed, found.as_is.complete) == (4000, 0, 1)
    assert found.as_is.chain == (ChainLink("sales", 1, 1000), ChainLink("trend", 1, 1000))


def test_a_plan_gets_a_forecast_unless_there_is_nothing_to_do(shop: Shop) -> None:
    policies(shop, "")
    plan, found = glanced(shop)
    assert plan.size == 12
    assert (found.p50_ms, found.p90_ms, found.assumed, found.assumed_ms) == (8000, 8000, NAMES, 1000)
    shop.backfill()
    assert glanced(shop)[1] is None
    _, again = glanced(shop, forced=True)
    assert (again.assumed, again.assumed_ms) == ((), 0)
    assert 0 < again.p50_ms <= again.p90_ms
