from __future__ import annotations

import pytest

from headgate.errors import UsageError
from headgate.model.partitioning import UNPARTITIONED, daily, hourly, monthly, product, static, weekly

DAYS = daily("2013-01-01", "2014-01-01", tz="America/New_York")


def test_a_spec_is_one_line_that_tells_partitionings_apart() -> None:
    specs = [
        each.spec
        for each in (
            UNPARTITIONED,
            DAYS,
            daily("2013-01-01"),
            daily("2013-01-01", "2014-01-01"),
            hourly("2013-01-01"),
            weekly("2013-01-01"),
            monthly("2013-01-01"),
            static(["a", "b"]),
            static(["b", "a"]),
            product(DAYS, static(["a", "b"])),
        )
    ]
    assert len(set(specs)) == len(specs)
    assert specs[0] == "unpartitioned"
    assert specs[1] == "day 2013-01-01T00:00:00..2014-01-01T00:00:00 America/New_York"
    assert specs[-1] == specs[1] + " x keys a,b"


def test_dates_can_be_written_in_several_ways() -> None:
    assert daily("2013-01-01").spec == daily("2013-01-01T00:00").spec == daily("20130101").spec


def test_grids_of_one_declaration_are_shared() -> None:
    assert DAYS.grid(10**12) is daily("2013-01-01", "2014-01-01", tz="America/New_York").grid(10**12)
    assert static(["a"]).grid(1) is static(["a"]).grid(2)


@pytest.mark.parametrize("keys", ["abc", [], ["a", "a"], ["a", ""], ["../a"], [1]])
def test_static_keys_that_make_no_partitioning_are_refused(keys: list[str]) -> None:
    with pytest.raises(UsageError):
        static(keys)


def test_a_product_takes_time_and_keys() -> None:
    keys = static(["a"])
    for time, statics in ((keys, DAYS), (DAYS, DAYS), (UNPARTITIONED, keys), (product(DAYS, keys), keys)):
        with pytest.raises(UsageError, match=r"product\(\) takes"):
            product(time, statics)
