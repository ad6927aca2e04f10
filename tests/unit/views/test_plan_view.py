from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from headgate.model.partitioning import daily
from headgate.model.plan import Request
from headgate.planning.planner import make_plan
from headgate.views.plan import plan_view
from headgate.views.ranges import KeyRange, key_ranges
from headgate.views.reading import reading

if TYPE_CHECKING:
    from view_scene import Shop

FAR = 4_000_000_000_000


def test_neighbours_are_one_range() -> None:
    grid = daily("2024-01-01", "2024-02-01").grid(FAR)
    assert key_ranges(grid, np.array([0, 1, 2, 5, 7, 8])) == (
        KeyRange("2024-01-01", "2024-01-03", 3),
        KeyRange("2024-01-06", "2024-01-06", 1),
        KeyRange("2024-01-08", "2024-01-09", 2),
    )
    assert key_ranges(grid, np.array([], dtype=np.int64)) == ()


def test_a_plan_is_shown_by_dataset_and_reason(shop: Shop) -> None:
    shop.backfill()
    shop.land(2, "a,100\n")
    (shop.root / "landing" / "2024-01-05.csv").unlink()
    shop.edit("rows", "n_rows")
    with reading(shop.root) as (_, store):
        snapshot = shop.snapshot(store)
    view = plan_view(make_plan(snapshot, Request()), snapshot)
    assert (view.considered, view.partitions, view.blocked, view.problems) == (12, 5, 0, ())
    assert [(part.name, [(r.why, r.count, r.keys) for r in part.reasons]) for part in view.datasets] == [
        ("sales", [("late", 1, None)]),
        ("trend", [("upstream", 2, None)]),
        ("total", [("code", 1, None)]),
        ("told", [("upstream", 1, None)]),
    ]
    assert view.datasets[1].reasons[0].ranges == (KeyRange("2024-01-02", "2024-01-03", 2),)


def test_keys_are_listed_when_asked_for_and_what_is_missing_is_named(shop: Shop) -> None:
    (shop.root / "landing" / "2024-01-05.csv").unlink()
    with reading(shop.root) as (_, store):
        snapshot = shop.snapshot(store)
    view = plan_view(make_plan(snapshot, Request(("sales",))), snapshot, with_keys=True)
    (part,) = view.datasets
    (reason,) = part.reasons
    assert reason.keys == tuple(f"2024-01-0{day}" for day in range(1, 6))
    assert (part.blocked, view.blocked) == (1, 1)
    (problem,) = view.problems
    assert (problem.dataset, problem.key) == ("sales", "2024-01-05")
    assert "landing/2024-01-05.csv" in problem.text
