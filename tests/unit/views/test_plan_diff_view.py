"""In what plans differ, in keys that people know."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from headgate.drivers.live import now_ms
from headgate.drivers.plans import SHORT, Moved, keep, named_plan, redeem
from headgate.drivers.proposal import propose
from headgate.drivers.world import look
from headgate.errors import UsageError
from headgate.model.plan import Request
from headgate.planning.planner import make_plan
from headgate.views.plan_diff import DatasetDiff, PlanDiff, moved_diff, plan_diff
from headgate.views.ranges import KeyRange
from headgate.views.stored_plan import kept_plan, stored_plan_view

if TYPE_CHECKING:
    from view_scene import Shop

    from headgate.model.plan import StoredPlan


def made(
    shop: Shop, *select: str, start: str | None = None, end: str | None = None, forced: bool = False
) -> StoredPlan:
    project, store = shop.project(), shop.store(create=True)
    try:
        world = look(project, store, now_ms())
        plan = make_plan(world.snapshot, Request(select, start, end, forced))
        proposal = propose(project, store, world, plan, author="ada", reason="x", service_class="backfill")
        return keep(store, project, proposal, now_ms())
    finally:
        store.close()


def compared(shop: Shop, first: StoredPlan, second: StoredPlan) -> PlanDiff:
    store = shop.store()
    try:
        return plan_diff(shop.project(), store, first.hash, second.hash)
    finally:
        store.close()


def by_name(found: PlanDiff) -> dict[str, DatasetDiff]:
    return {part.name: part for part in found.datasets}


def days(*spans: tuple[int, int]) -> tuple[KeyRange, ...]:
    return tuple(KeyRange(f"2024-01-{first:02}", f"2024-01-{last:02}", last - first + 1) for first, last in spans)


def test_partitions_that_one_plan_has_are_ranges_of_keys(shop: Shop) -> None:
    wide, narrow = made(shop, "sales"), made(shop, "sales", "trend", start="2024-01-02", end="2024-01-04")
    found = by_name(compared(shop, wide, narrow))
    assert (found["sales"].removed.count, found["sales"].removed.ranges) == (3, days((1, 1), (4, 5)))
    assert (found["sales"].added.count, found["sales"].other_reason.count) == (0, 0)
    assert found["trend"].added.ranges == days((2, 3))
    back = by_name(compared(shop, narrow, wide))
    assert back["sales"].added.ranges == days((1, 1), (4, 5))
    assert back["trend"].removed.ranges == days((2, 3))


def test_both_sides_say_how_much_they_are_and_what_the_guard_rails_said(shop: Shop) -> None:
    first = made(shop, "sales")
    toml = (shop.root / "headgate.toml").read_text()
    (shop.root / "headgate.toml").write_text(f'{toml}[policies.max_partitions]\nlimit = 2\nverdict = "deny"\n')
    found = compared(shop, first, made(shop, "sales", end="2024-01-04"))
    assert found.second is not None
    assert (found.first.id, found.first.partitions, found.first.outcome) == (first.hash[:12], 5, "allow")
    assert (found.second.partitions, found.second.outcome) == (3, "deny")
    assert (found.first.p50_ms or 0) > 0
    assert found.guard_rails


def test_the_same_plan_made_twice_does_not_differ(shop: Shop) -> None:
    found = compared(shop, made(shop), made(shop))
    assert (found.datasets, found.guard_rails) == ((), False)


def test_who_looks_may_say_latest_and_who_decides_names_the_plan(shop: Shop) -> None:
    older, newer = made(shop, "sales", end="2024-01-03"), made(shop, "sales", end="2024-01-04")
    store = shop.store()
    try:
        found = plan_diff(shop.project(), store, older.hash, "latest")
        assert found.second is not None
        assert (found.first.id, found.second.id) == (older.hash[:SHORT], newer.hash[:SHORT])
        with pytest.raises(UsageError, match="there is no plan 'latest'"):
            named_plan(store, shop.project(), "latest")
    finally:
        store.close()


def test_another_reason_is_told(shop: Shop) -> None:
    shop.backfill("sales")
    forced = made(shop, "sales", forced=True)
    shop.edit("    return landed", "    return landed.slice(0)")
    found = by_name(compared(shop, forced, made(shop, "sales")))["sales"]
    assert found.other_reason.ranges == days((1, 5))
    assert found.code is not None
    assert found.code[0] != found.code[1]


def test_where_a_dataset_is_cut_otherwise_only_counts_are_told(shop: Shop) -> None:
    first = made(shop, "sales")
    shop.edit('"2024-01-06", tz="Europe/Berlin"', '"2024-01-05", tz="Europe/Berlin"')
    found = by_name(compared(shop, first, made(shop, "sales")))["sales"]
    assert found.partitioning is not None
    assert (found.removed.count, found.removed.ranges) == (5, ())
    assert (found.added.count, found.added.ranges) == (4, ())


def test_a_dataset_that_is_gone_is_told_by_its_count(shop: Shop) -> None:
    first, second = made(shop, "total", "told"), made(shop, "told")
    shop.edit("@headgate.dataset\ndef told(total)", "@headgate.dataset\ndef _told(total)")
    shop.edit("@headgate.dataset\ndef _told(total)", "def _told(total)")
    shop.edit("@headgate.dataset\ndef total(", "def _total(")
    assert by_name(compared(shop, first, second))["total"].removed.count == 1
    store = shop.store()
    try:
        assert kept_plan(shop.project(), store, first).partitions == 2
    finally:
        store.close()


def test_in_what_the_world_has_moved_since(shop: Shop) -> None:
    stored = made(shop, "sales")
    shop.land(2, "c,1\n")
    project, store = shop.project(), shop.store()
    try:
        moved = redeem(store, project, stored, now_ms())
        assert isinstance(moved, Moved)
        found = moved_diff(project, stored, moved)
    finally:
        store.close()
    assert (found.first.partitions, found.second, found.guard_rails) == (5, None, False)
    (part,) = found.datasets
    assert (part.name, part.inputs_moved, part.added.count, part.removed.count) == ("sales", True, 0, 0)


def test_a_plan_that_is_not_there(shop: Shop) -> None:
    stored = made(shop)
    store = shop.store()
    try:
        with pytest.raises(UsageError, match="there is no plan 'nope'"):
            plan_diff(shop.project(), store, stored.hash, "nope")
    finally:
        store.close()


def test_a_kept_plan_in_words_is_what_was_shown(shop: Shop) -> None:
    stored = made(shop, start="2023-06-01")
    (shop.root / "landing" / "2024-01-03.csv").unlink()
    store = shop.store()
    try:
        view = kept_plan(shop.project(), store, stored)
    finally:
        store.close()
    assert view.hash == stored.hash
    assert view.notes == ("--start 2023-06-01 is before the start of sales and trend: cut to 2024-01-01",)
    # What it lacks is as things are now: the file has gone since.
    assert (view.partitions, view.lacking) == (12, 1)
    assert view.forecast is not None
    stands = stored_plan_view(stored, now_ms())
    assert (stands.id, stands.standing, stands.run) == (stored.hash[:12], "ready", None)
