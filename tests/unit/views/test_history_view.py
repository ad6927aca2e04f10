from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from headgate.errors import UsageError
from headgate.views.history import history
from headgate.views.partition import canonical_key
from headgate.views.reading import reading

if TYPE_CHECKING:
    from view_scene import Shop


def test_versions_come_newest_first_and_one_is_the_head(shop: Shop) -> None:
    first = shop.backfill("sales").run
    shop.land(2, "a,100\n")
    second = shop.backfill("sales").run
    with reading(shop.root) as (_, store):
        new, old = history(store, "sales", "2024-01-02", limit=10)
        assert len(history(store, "sales", None, limit=10)) == 6
        assert len(history(store, "sales", None, limit=2)) == 2
    assert [(entry.run, entry.is_head, entry.is_new) for entry in (new, old)] == [
        (second, True, True),
        (first, False, True),
    ]
    assert new.previous == old.version
    assert old.previous is None
    assert (new.rows, old.rows) == (1, 2)
    assert new.files[0].path.startswith(f"sales/{second}/2024-01-02-a")
    assert new.schema == (("name", "string"), ("value", "int64"))


def test_the_same_content_again_keeps_its_version(shop: Shop) -> None:
    shop.backfill("sales")
    shop.backfill("sales", forced=True)
    with reading(shop.root) as (_, store):
        again, made = history(store, "sales", "2024-01-02", limit=10)
    assert again.version == made.version == made.attempt
    assert (again.is_new, made.is_new) == (False, True)
    assert (again.is_head, made.is_head) == (True, False)


def test_nothing_published_is_no_history(shop: Shop) -> None:
    with reading(shop.root) as (_, store):
        assert history(store, "sales", None, limit=10) == ()


def test_a_key_is_checked_against_the_project(shop: Shop) -> None:
    assert canonical_key(shop.root, "sales", "2024-01-02") == "2024-01-02"
    assert canonical_key(shop.root, "landed", None) is None
    with pytest.raises(UsageError, match="there is no dataset 'sale'") as caught:
        canonical_key(shop.root, "sale", None)
    assert caught.value.hint == "Did you mean sales? There are landed, sales, told, total, trend."
    with pytest.raises(UsageError, match="sales has no partition '2024-02-01'"):
        canonical_key(shop.root, "sales", "2024-02-01")
