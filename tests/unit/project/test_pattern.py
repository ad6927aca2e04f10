from __future__ import annotations

import pytest

import headgate
from headgate import UsageError
from headgate.model.calendar import instant, zone_of
from headgate.model.partitioning import UNPARTITIONED
from headgate.project.pattern import parse_pattern

NEW_YORK = "America/New_York"
KEYS = headgate.static(["EWR", "JFK"])
DAYS = headgate.daily("2024-01-01", "2024-01-04", tz=NEW_YORK)
FAR = 4_000_000_000_000


def paths(pattern, partitioning):
    grid = partitioning.grid(FAR)
    parsed = parse_pattern(pattern, partitioning)
    return [parsed.path(grid, index) for index in range(grid.size)]


def test_the_window_is_written_in_the_zone_of_the_partitioning():
    assert paths("in/{start:%Y-%m-%d}_{end:%d}.csv", DAYS) == [
        "in/2024-01-01_02.csv",
        "in/2024-01-02_03.csv",
        "in/2024-01-03_04.csv",
    ]


def test_keys_and_static_keys():
    both = headgate.product(headgate.monthly("2024-01-01", "2024-03-01"), KEYS)
    assert paths("{static}/{start:%Y%m}.csv", both) == [
        "EWR/202401.csv",
        "JFK/202401.csv",
        "EWR/202402.csv",
        "JFK/202402.csv",
    ]
    assert paths("{key}.csv", both)[3] == "2024-02/JFK.csv"
    assert paths("{static}.csv", KEYS) == ["EWR.csv", "JFK.csv"]
    assert paths("{{all}}_{key}_100%.csv", UNPARTITIONED) == ["{all}_all_100%.csv"]


@pytest.mark.parametrize(
    ("pattern", "partitioning", "says"),
    [
        ("", UNPARTITIONED, "is empty"),
        ("a\0.csv", UNPARTITIONED, "cannot be printed"),
        ("{", UNPARTITIONED, "Single '{'"),
        ("a}.csv", UNPARTITIONED, "Single '}'"),
        ("{}.csv", DAYS, "no placeholder"),
        ("{0}.csv", DAYS, "no placeholder"),
        ("{day}.csv", DAYS, "'{day}' is no placeholder"),
        ("{key.x}.csv", DAYS, "no placeholder"),
        ("{key!r}.csv", DAYS, "has a conversion"),
        ("{key:>9}.csv", DAYS, "takes no format"),
        ("{static}.csv", DAYS, "needs static keys"),
        ("{start:%Y}.csv", KEYS, "needs a time window"),
        ("{start}.csv", DAYS, "has no date format"),
        ("{start:YYYY}.csv", DAYS, "has no date format"),
        ("{start:%Y-%Q}.csv", DAYS, "unknown directive %Q"),
        ("{start:%Y%}.csv", DAYS, "unknown directive %"),
        ("{start:%-d}.csv", DAYS, "unknown directive %-"),
        ("{start:{key}}.csv", DAYS, "has no date format"),
        ("in.csv", KEYS, "same for every static key"),
        ("{start:%Y-%m-%d}.csv", headgate.product(DAYS, KEYS), "same for every static key"),
        ("{static}.csv", headgate.product(DAYS, KEYS), "two partitions"),
        ("{start:%Y-%m}.csv", DAYS, "two partitions"),
        ("{start:%m-%d}.csv", DAYS, "two partitions"),
        ("{start:%G}-{end:%V}.csv", headgate.weekly("2024-01-01"), "two partitions"),
        ("{start:%Y-%V}.csv", headgate.weekly("2024-01-01"), "two partitions"),
        ("{start:%m}.csv", headgate.monthly("2024-01-01"), "two partitions"),
        ("{start:%Y-%m-%d}.csv", headgate.hourly("2024-01-01"), "two partitions"),
        ("{start:%Y-%m-%dT%I}.csv", headgate.hourly("2024-01-01"), "two partitions"),
        ("{start:%Y-%m-%dT%H}.csv", headgate.hourly("2024-01-01", tz=NEW_YORK), "two partitions"),
        ("{start:%Y-%m-%dT%H}.csv", headgate.minutely("2024-01-01"), "two partitions"),
        ("{start:%Y-%m-%dT%H%M}.csv", headgate.minutely("2024-01-01", tz=NEW_YORK), "two partitions"),
    ],
)
def test_patterns_that_cannot_be(pattern, partitioning, says):
    with pytest.raises(UsageError, match=says):
        parse_pattern(pattern, partitioning)


@pytest.mark.parametrize(
    ("pattern", "partitioning"),
    [
        ("{start:%Y%m%d}", DAYS),
        ("{start:%y%j}", DAYS),
        ("{start:%G-%V-%u}", DAYS),
        ("{start:%Y}/{start:%b}/{start:%d}", DAYS),
        ("{start:%Y-%W-%a}", DAYS),
        ("{end:%Y-%m-%d}", DAYS),
        ("{start:%G-%V}", headgate.weekly("2024-01-03")),
        ("{start:%Y-%U}", headgate.weekly("2024-01-03")),
        ("{end:%B %Y}", headgate.monthly("2024-01-01")),
        ("{start:%Y-%m-%dT%H%z}", headgate.hourly("2024-01-01", tz="Australia/Lord_Howe")),
        ("{start:%y%m%d%I%p%z}", headgate.hourly("2024-01-01", tz=NEW_YORK)),
        ("{start:%Y%j%H}", headgate.hourly("2024-01-01")),
        ("{start:%Y%j%H%M%z}", headgate.minutely("2024-11-02", "2024-11-05", tz=NEW_YORK)),
    ],
)
def test_every_partition_of_three_years_has_a_file_of_its_own(pattern, partitioning):
    grid = partitioning.grid(instant_of(2027))
    parsed = parse_pattern(pattern, partitioning)
    found = [parsed.path(grid, index) for index in range(grid.size)]
    assert len(set(found)) == len(found) > 0


def instant_of(year: int) -> int:
    from datetime import datetime

    return instant(datetime(year, 1, 1), zone_of("UTC"))
