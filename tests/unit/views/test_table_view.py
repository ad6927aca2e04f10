from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

import headgate
from headgate.drivers.rollback import roll_back
from headgate.errors import UnavailableError, UsageError
from headgate.model.rollback import Aim
from headgate.views.query import query
from headgate.views.reading import reading

if TYPE_CHECKING:
    from pathlib import Path

    from view_scene import Shop

    from headgate.views.table import Table


def test_what_was_taken_back_is_not_just_missing(shop: Shop) -> None:
    run = shop.backfill().run
    store = shop.store()
    rolled_back, _ = roll_back(store, aim := Aim(run=run), store.take_back(aim), author="ada", reason="wrong")
    store.close()
    with pytest.raises(UsageError) as caught:
        headgate.read("sales", project=shop.root)
    assert caught.value.message == f"nothing of sales is published any more: rollback {rolled_back.id} took it back"
    assert f"headgate runs show {rolled_back.id}" in caught.value.hint
    with reading(shop.root) as (places, store), pytest.raises(UsageError) as asked:
        query(store, places.data, "select * from Sales")
    assert asked.value.message == caught.value.message
    with pytest.raises(UsageError, match="nothing is published under the name 'sale'"):
        headgate.read("sale", project=shop.root)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"start": "2024-13-01"}, "start '2024-13-01' is no date"),
        ({"end": "noon"}, "end 'noon' is no date"),
        ({"start": 20240101}, "start '20240101' is no date"),
        ({"start": "2024-01-03", "end": "2024-01-02"}, "end 2024-01-02 is not after start 2024-01-03"),
    ],
)
def test_a_range_is_spoken_of_as_it_was_given(shop: Shop, given: dict[str, Any], said: str) -> None:
    shop.backfill()
    with pytest.raises(UsageError) as caught:
        headgate.read("sales", project=shop.root, **given)
    assert caught.value.message == said
    assert "--" not in caught.value.hint


def a_file(shop: Shop, table: Table) -> Path:
    return shop.root / "data" / table.versions[2].files[0].path


@pytest.mark.parametrize("how", ["arrow", "polars", "duckdb"])
def test_files_that_are_gone_since_the_table_was_read_are_named(shop: Shop, how: str) -> None:
    shop.backfill()
    table = headgate.read("sales", project=shop.root)
    a_file(shop, table).unlink()
    with pytest.raises(UnavailableError, match=r"sales/2024-01-03 is damaged: .* cannot be read: No such file"):
        getattr(table, how)()


@pytest.mark.parametrize("how", ["arrow", "polars", "duckdb"])
def test_files_that_have_rotted_since_the_table_was_read_are_named(shop: Shop, how: str) -> None:
    shop.backfill()
    table = headgate.read("sales", project=shop.root)
    file = a_file(shop, table)
    rotten = bytearray(file.read_bytes())
    rotten[20] ^= 255
    file.write_bytes(rotten)
    with pytest.raises(UnavailableError, match="sales/2024-01-03 is damaged"):
        getattr(table, how)()
