from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import headgate
from headgate.errors import UnavailableError

if TYPE_CHECKING:
    from pathlib import Path

    from view_scene import Shop

    from headgate.views.table import Table


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
