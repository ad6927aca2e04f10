from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from headgate.views.policies import ClassBounds, PolicyView, policy_view

if TYPE_CHECKING:
    from view_scene import Shop

TEXT = """
[project]
modules = ["shop_pipeline"]
[concurrency]
total = 16
order = "oldest"
[classes.backfill]
ceiling = "50%"
floor = 0.2
weight = 2
windows = [{ days = "mon-fri", from = "08:00", to = "18:00", ceiling = 0.25 }]
[owners."a.b"]
weight = 3
"""


def at_ms(day: int, hour: int) -> int:
    return int(datetime(2024, 1, day, hour, tzinfo=UTC).timestamp() * 1000)


def viewed(shop: Shop, text: str, now_ms: int = 0, author: str = "a.b") -> PolicyView:
    (shop.root / "headgate.toml").write_text(text)
    project = shop.project()
    return policy_view(project, project.datasets["sales"], None, author=author, now_ms=now_ms)


@pytest.mark.parametrize(
    ("hour", "ceiling", "until_hour", "origin"),
    [(7, 0.5, 8, "[classes.backfill]"), (9, 0.25, 18, "[classes.backfill] windows")],
)
def test_the_ceiling_is_the_one_of_now(shop: Shop, hour: int, ceiling: float, until_hour: int, origin: str) -> None:
    bounds = viewed(shop, TEXT, at_ms(1, hour)).service_class
    assert (bounds.ceiling, bounds.until_ms) == (ceiling, at_ms(1, until_hour))
    assert bounds.origins == {
        "priority": "default",
        "ceiling": origin,
        "slots": "default",
        "floor": "[classes.backfill]",
        "reserved": "default",
        "weight": "[classes.backfill]",
        "patience_ms": "default",
    }
    assert (bounds.floor, bounds.weight, bounds.patience_ms) == (0.2, 2.0, 30_000)


def test_every_value_of_a_class_says_where_it_is_set(shop: Shop) -> None:
    bounds = viewed(shop, '[project]\nmodules = ["shop_pipeline"]\n').service_class
    assert set(ClassBounds.__dataclass_fields__) - set(bounds.origins) == {"name", "until_ms", "origins"}
    assert set(bounds.origins.values()) == {"default"}


def test_a_floor_that_gives_way_to_the_ceiling_says_so(shop: Shop) -> None:
    text = '[project]\nmodules = ["shop_pipeline"]\n[classes.backfill]\nceiling = 0.05\n'
    bounds = viewed(shop, text).service_class
    assert (bounds.floor, bounds.origins["floor"]) == (0.05, "default, cut to the ceiling")


def test_bounds_of_everything_order_and_weights(shop: Shop) -> None:
    settings = {one.name: (one.value, one.origin) for one in viewed(shop, TEXT).settings}
    assert settings["concurrency.total"] == (16, "[concurrency]")
    assert settings["concurrency.order"] == ("oldest", "[concurrency]")
    assert settings["concurrency.per_run"] == (None, "default")
    assert settings["owner.weight"] == (3.0, "[owners.'a.b']")
    assert settings["run.priority"] == (0, "default")
    other = {one.name: (one.value, one.origin) for one in viewed(shop, TEXT, author="bob").settings}
    assert other["owner.weight"] == (1.0, "default")
