from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np
import pytest

from headgate.errors import UsageError
from headgate.model.mapping import All, Custom, Fixed, Lists, Mapping, Offset, Overlap, Trailing, describe, upstream
from headgate.model.partitioning import UNPARTITIONED, Partitioning, Unit, daily, hourly, monthly, product, static

if TYPE_CHECKING:
    from collections.abc import Callable

NOW_MS = round(datetime(2014, 1, 1, tzinfo=UTC).timestamp() * 1000)
DAYS = daily("2013-01-01", "2014-01-01")
MONTHS = monthly("2013-01-01", "2014-01-01")
AIRPORTS = static(["EWR", "JFK", "LGA"])
DAYS_AIRPORTS = product(DAYS, AIRPORTS)


def keys(mapping: Mapping, reader: Partitioning, read: Partitioning, key: str, now_ms: int = NOW_MS) -> list[str]:
    down, up = reader.grid(now_ms), read.grid(now_ms)
    reads = upstream(mapping, down, up, np.array([down.index(key, "reader")]))
    return up.keys(reads.of(0))


@pytest.mark.parametrize(
    ("mapping", "reader", "read", "key", "expected"),
    [
        (Overlap(), DAYS, DAYS, "2013-05-01", ["2013-05-01"]),
        (Overlap(), DAYS, MONTHS, "2013-05-31", ["2013-05"]),
        (Overlap(), DAYS, UNPARTITIONED, "2013-05-31", ["all"]),
        (Overlap(), DAYS_AIRPORTS, DAYS, "2013-05-31/JFK", ["2013-05-31"]),
        (Overlap(), DAYS_AIRPORTS, AIRPORTS, "2013-05-31/JFK", ["JFK"]),
        (Overlap(), DAYS_AIRPORTS, DAYS_AIRPORTS, "2013-05-31/JFK", ["2013-05-31/JFK"]),
        (Overlap(), DAYS, DAYS_AIRPORTS, "2013-05-31", ["2013-05-31/EWR", "2013-05-31/JFK", "2013-05-31/LGA"]),
        (Overlap(), UNPARTITIONED, AIRPORTS, "all", ["EWR", "JFK", "LGA"]),
        (Trailing(3), DAYS, DAYS, "2013-05-02", ["2013-04-30", "2013-05-01", "2013-05-02"]),
        (Trailing(3), DAYS, DAYS, "2013-01-01", ["2013-01-01"]),
        (Trailing(2), MONTHS, DAYS, "2013-05", ["2013-05-30", "2013-05-31"]),
        (Trailing(2, Unit.DAY), MONTHS, DAYS, "2013-05", ["2013-05-30", "2013-05-31"]),
        (Trailing(2, Unit.DAY), DAYS, MONTHS, "2013-05-01", ["2013-04", "2013-05"]),
        (Trailing(2), DAYS_AIRPORTS, DAYS_AIRPORTS, "2013-05-02/LGA", ["2013-05-01/LGA", "2013-05-02/LGA"]),
        (Offset(-1), DAYS, DAYS, "2013-05-01", ["2013-04-30"]),
        (Offset(-1), DAYS, DAYS, "2013-01-01", []),
        (Offset(1), DAYS, DAYS, "2013-12-31", []),
        (Offset(-1), DAYS_AIRPORTS, DAYS_AIRPORTS, "2013-05-01/JFK", ["2013-04-30/JFK"]),
        (All(), DAYS_AIRPORTS, AIRPORTS, "2013-05-01/JFK", ["EWR", "JFK", "LGA"]),
        (Fixed("JFK"), DAYS, AIRPORTS, "2013-05-01", ["JFK"]),
        (Fixed("JFK"), DAYS, DAYS_AIRPORTS, "2013-05-01", ["2013-05-01/JFK"]),
        (Fixed("2013-01-01"), DAYS, DAYS, "2013-05-01", ["2013-01-01"]),
        (Fixed("2013-01-01/JFK"), DAYS, DAYS_AIRPORTS, "2013-05-01", ["2013-01-01/JFK"]),
        (Fixed("all"), DAYS, UNPARTITIONED, "2013-05-01", ["all"]),
        (Custom(lambda key: [key[:7], "2013-01"], "f"), DAYS, MONTHS, "2013-05-01", ["2013-01", "2013-05"]),
    ],
)
def test_a_mapping_says_what_a_partition_reads(
    mapping: Mapping, reader: Partitioning, read: Partitioning, key: str, expected: list[str]
) -> None:
    assert keys(mapping, reader, read, key) == expected


def test_the_month_waits_for_its_last_day() -> None:
    noon_ms = NOW_MS + 43_200_000
    months, days = monthly("2013-01-01"), daily("2013-01-01", tz="America/New_York")
    reads = upstream(Overlap(), months.grid(NOW_MS), days.grid(NOW_MS), np.arange(12))
    assert reads.beyond.tolist() == [False] * 11 + [True]
    reads = upstream(Overlap(), months.grid(noon_ms), days.grid(noon_ms), np.arange(12))
    assert not reads.beyond.any()


def test_a_closed_upstream_is_not_awaited() -> None:
    reads = upstream(
        Trailing(3),
        daily("2013-01-01").grid(NOW_MS),
        daily("2013-01-01", "2013-02-01").grid(NOW_MS),
        np.array([31, 300]),
    )
    assert [list(reads.of(i)) for i in (0, 1)] == [[28, 29, 30], [28, 29, 30]]
    assert not reads.beyond.any()


def test_a_later_window_is_awaited() -> None:
    days = daily("2013-01-01").grid(NOW_MS)
    reads = upstream(Offset(1), days, days, np.array([363, 364]))
    assert [list(reads.of(i)) for i in (0, 1)] == [[364], []]
    assert reads.beyond.tolist() == [False, True]


def test_windows_after_the_end_of_an_upstream_are_not_awaited() -> None:
    days = daily("2013-01-01").grid(NOW_MS)
    ending = daily("2013-01-01", "2014-01-03").grid(NOW_MS)
    reads = upstream(Offset(2), days, ending, np.array([363, 364]))
    assert reads.beyond.tolist() == [True, True]
    reads = upstream(Offset(3), days, ending, np.array([363, 364]))
    assert reads.beyond.tolist() == [True, False]


def test_a_million_partitions_are_three_arrays() -> None:
    hours = hourly("1900-01-01", "2014-01-01").grid(NOW_MS)
    reads = upstream(Trailing(24), hours, hours, np.arange(hours.size))
    assert hours.size > 999_000
    assert (reads.stop - reads.start)[23:].tolist() == [24] * (hours.size - 23)


def test_no_partition_reads_nothing() -> None:
    empty = daily("2030-01-01").grid(NOW_MS)
    nothing = np.zeros(0, dtype=np.int64)
    for mapping in (Overlap(), Trailing(2), Trailing(2, Unit.MONTH), Offset(3), All()):
        assert upstream(mapping, empty, empty, nothing).start.size == 0
    listed = upstream(Custom(lambda key: [key], "f"), empty, empty, nothing)
    assert isinstance(listed, Lists)
    assert listed.offsets.tolist() == [0]


@pytest.mark.parametrize(
    ("mapping", "reader", "read", "match"),
    [
        (Fixed("SFO"), DAYS, AIRPORTS, "the upstream has no partition 'SFO'"),
        (Fixed("2014-01-01"), DAYS, DAYS, "the upstream has no partition '2014-01-01'"),
        (Fixed("2012-12-31"), DAYS, daily("2013-01-01"), "the upstream has no partition '2012-12-31'"),
        (Overlap(), static(["JFK", "SFO"]), AIRPORTS, "the upstream has no key 'SFO'"),
        (Trailing(2), UNPARTITIONED, DAYS, "'last 2 windows' needs windows on both sides"),
        (Offset(-1), DAYS, AIRPORTS, "'1 window before' needs windows on both sides"),
        (Custom(lambda key: ["x"], "f"), DAYS, AIRPORTS, "f maps 2013-01-01 to 'x', which is not there"),
        (Custom(lambda key: [1], "f"), DAYS, AIRPORTS, "f failed for 2013-01-01: TypeError: it returned int"),
        (Custom(lambda key: "JFK", "f"), DAYS, AIRPORTS, "f failed for 2013-01-01: TypeError: it returned one text"),
        (Custom(lambda key: None, "f"), DAYS, AIRPORTS, "f failed for 2013-01-01: TypeError: 'NoneType'"),
        (Custom(lambda key: 1 / 0, "f"), DAYS, AIRPORTS, "f failed for 2013-01-01: ZeroDivisionError: division"),
    ],
)
def test_a_mapping_that_cannot_hold_is_refused(
    mapping: Mapping, reader: Partitioning, read: Partitioning, match: str
) -> None:
    with pytest.raises(UsageError, match=match):
        upstream(mapping, reader.grid(NOW_MS), read.grid(NOW_MS), np.array([0]))


@pytest.mark.parametrize(
    "make",
    [
        lambda: Trailing(0),
        lambda: Trailing(-1),
        lambda: Trailing(True),
        lambda: Trailing(1.5),
        lambda: Trailing(10**30),
        lambda: Trailing(1, "days"),
        lambda: Trailing(1, "day"),
        lambda: Offset("1"),
        lambda: Offset(-(10**30)),
        lambda: Fixed(3),
        lambda: Custom("f", "f"),
    ],
)
def test_parameters_that_mean_nothing_are_refused(make: Callable[[], Mapping]) -> None:
    with pytest.raises(UsageError):
        make()


def test_different_mappings_have_different_words() -> None:
    mappings = [
        Overlap(),
        Trailing(7),
        Trailing(7, Unit.DAY),
        Offset(-1),
        Offset(1),
        Offset(-2),
        All(),
        Fixed("all"),
        Custom(lambda key: [], "all"),
    ]
    words = [describe(mapping) for mapping in mappings]
    assert words[:4] == ["overlapping windows", "last 7 windows", "last 7 days", "1 window before"]
    assert len(set(words)) == len(words)
