from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from headgate.drivers.clock import now_ms
from headgate.views.state_check import StateCheck, check_state, next_steps

if TYPE_CHECKING:
    from pathlib import Path

    from view_scene import Shop


def checked(shop: Shop) -> StateCheck:
    store = shop.store()
    try:
        return check_state(store, shop.root / "data", frozenset({"landed"}))
    finally:
        store.close()


def some_file(shop: Shop) -> Path:
    return min((shop.root / "data" / "sales").rglob("*.parquet"))


def test_what_was_built_is_whole(shop: Shop) -> None:
    shop.backfill()
    found = checked(shop)
    assert (found.ok, found.problems, found.orphans) == (True, (), ())
    assert (found.heads, found.files) == (12, 11)
    assert found.bytes == sum(path.stat().st_size for path in (shop.root / "data").rglob("*.parquet"))


def test_nothing_built_is_fine(shop: Shop) -> None:
    assert checked(shop) == StateCheck(0, 0, 0, (), (), (), ())


def test_a_missing_file_is_found(shop: Shop) -> None:
    shop.backfill("sales")
    path = some_file(shop)
    path.unlink()
    (problem,) = checked(shop).problems
    assert str(path) in problem
    assert "sales 2024-01-01" in problem


def test_a_flipped_bit_is_found(shop: Shop) -> None:
    shop.backfill("sales")
    path = some_file(shop)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    (problem,) = checked(shop).problems
    assert "hash" in problem


def test_a_cut_file_is_found(shop: Shop) -> None:
    shop.backfill("sales")
    path = some_file(shop)
    path.write_bytes(path.read_bytes()[:-1])
    (problem,) = checked(shop).problems
    assert "bytes instead of" in problem


def test_a_file_of_no_version_is_told_but_no_problem(shop: Shop) -> None:
    shop.backfill("sales")
    path = some_file(shop)
    path.with_name("2024-01-01-a0001.parquet").write_bytes(b"left over")
    found = checked(shop)
    assert found.ok
    assert [orphan.rpartition("/")[2] for orphan in found.orphans] == ["2024-01-01-a0001.parquet"]


def test_a_file_from_the_future_is_a_problem(shop: Shop) -> None:
    shop.backfill("sales")
    path = some_file(shop)
    path.with_name("2024-01-01-a9999.parquet").write_bytes(b"?")
    (problem,) = checked(shop).problems
    assert "older than the data" in problem


def test_damaged_files_and_lost_runs_name_the_command_that_mends_them(shop: Shop) -> None:
    shop.backfill("sales", "trend", "total")
    for path in sorted((shop.root / "data" / "sales").rglob("*.parquet"))[1:3]:
        path.unlink()
    min((shop.root / "data" / "total").rglob("*.parquet")).unlink()
    found = replace(checked(shop), unowned=("20240101-1",))
    assert found.damaged == (("sales", "2024-01-02"), ("sales", "2024-01-03"), ("total", "all"))
    assert next_steps(found, shop.project().datasets, now_ms()) == (
        ("resume", "20240101-1"),
        ("backfill", "sales", "--start", "2024-01-02", "--end", "2024-01-04", "--all", "--reason", "repair"),
        ("backfill", "total", "--all", "--reason", "repair"),
    )
    assert next_steps(found, {}, now_ms()) == (("resume", "20240101-1"),)
