"""What partitions read, row by row: one can check each row with a calendar, and no row needs this code."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest

from headgate.model.mapping import All, Mapping, Offset, Overlap, Trailing, upstream
from headgate.model.partitioning import Partitioning, Unit, daily, hourly, minutely, monthly, weekly

NOW_MS = round(datetime(2026, 1, 1, tzinfo=UTC).timestamp() * 1000)
SAME = Overlap()
NEW_YORK, BERLIN, LORD_HOWE = "America/New_York", "Europe/Berlin", "Australia/Lord_Howe"
Row = tuple[Mapping, str, str]


def told(mapping: Mapping, reader: Partitioning, read: Partitioning, key: str) -> str:
    """Return what a partition reads: one key, or the first, the last and how many."""
    down, up = reader.grid(NOW_MS), read.grid(NOW_MS)
    reads = upstream(mapping, down, up, np.array([down.index(key, "reader")]))
    assert not reads.beyond[0]
    found = up.keys(reads.of(0))
    if not found:
        return "nothing"
    return found[0] if len(found) == 1 else f"{found[0]} .. {found[-1]} ({len(found)})"


def check(reader: Partitioning, read: Partitioning, rows: list[Row]) -> None:
    assert [(mapping, key, told(mapping, reader, read, key)) for mapping, key, _ in rows] == rows


MINUTES, HOURS, DAYS = minutely("2023-12-30"), hourly("2023-01-01"), daily("2023-01-01")
WEEKS, MONTHS = weekly("2023-01-02"), monthly("2023-01-01")


def test_the_same_window() -> None:
    check(MINUTES, MINUTES, [(SAME, "2024-02-29T23:59Z", "2024-02-29T23:59Z")])
    check(HOURS, HOURS, [(SAME, "2024-02-29T23:00Z", "2024-02-29T23:00Z")])
    check(DAYS, DAYS, [(SAME, "2024-02-29", "2024-02-29"), (SAME, "2023-01-01", "2023-01-01")])
    check(WEEKS, WEEKS, [(SAME, "2024-02-26", "2024-02-26")])
    check(MONTHS, MONTHS, [(SAME, "2024-02", "2024-02")])
    # Another start: the same day, at another index.
    check(DAYS, daily("2020-01-01"), [(SAME, "2024-02-29", "2024-02-29"), (SAME, "2023-01-01", "2023-01-01")])


def test_minutes_to_hours_to_days() -> None:
    check(
        HOURS,
        MINUTES,
        [
            (SAME, "2024-01-01T00:00Z", "2024-01-01T00:00Z .. 2024-01-01T00:59Z (60)"),
            (SAME, "2023-12-29T23:00Z", "nothing"),
            (Trailing(5), "2024-01-01T00:00Z", "2024-01-01T00:55Z .. 2024-01-01T00:59Z (5)"),
            (Trailing(90, Unit.MINUTE), "2024-01-01T01:00Z", "2024-01-01T00:30Z .. 2024-01-01T01:59Z (90)"),
        ],
    )
    check(
        DAYS,
        HOURS,
        [
            (SAME, "2024-01-01", "2024-01-01T00:00Z .. 2024-01-01T23:00Z (24)"),
            (SAME, "2024-02-29", "2024-02-29T00:00Z .. 2024-02-29T23:00Z (24)"),
        ],
    )
    check(MINUTES, HOURS, [(SAME, "2024-01-01T00:59Z", "2024-01-01T00:00Z")])
    check(HOURS, DAYS, [(SAME, "2024-01-01T23:00Z", "2024-01-01")])


def test_days_to_weeks_and_months() -> None:
    check(
        WEEKS,
        DAYS,
        [
            (SAME, "2024-02-26", "2024-02-26 .. 2024-03-03 (7)"),
            (SAME, "2024-12-30", "2024-12-30 .. 2025-01-05 (7)"),
        ],
    )
    check(
        MONTHS,
        DAYS,
        [
            (SAME, "2023-02", "2023-02-01 .. 2023-02-28 (28)"),
            (SAME, "2024-02", "2024-02-01 .. 2024-02-29 (29)"),
            (SAME, "2024-04", "2024-04-01 .. 2024-04-30 (30)"),
            (SAME, "2024-12", "2024-12-01 .. 2024-12-31 (31)"),
        ],
    )
    # Weeks do not fit into months: each month reads the weeks that touch it.
    check(
        MONTHS,
        WEEKS,
        [
            (SAME, "2024-02", "2024-01-29 .. 2024-02-26 (5)"),
            (SAME, "2023-05", "2023-05-01 .. 2023-05-29 (5)"),
            (SAME, "2023-01", "2023-01-02 .. 2023-01-30 (5)"),
        ],
    )
    check(DAYS, WEEKS, [(SAME, "2024-03-03", "2024-02-26"), (SAME, "2023-01-01", "nothing")])
    check(DAYS, MONTHS, [(SAME, "2024-02-29", "2024-02"), (SAME, "2024-03-01", "2024-03")])


def test_lags() -> None:
    check(
        DAYS,
        DAYS,
        [
            (Offset(-1), "2024-03-01", "2024-02-29"),
            (Offset(-1), "2023-03-01", "2023-02-28"),
            (Offset(-1), "2024-01-01", "2023-12-31"),
            (Offset(-7), "2024-03-05", "2024-02-27"),
            (Offset(-365), "2025-02-28", "2024-02-29"),
            (Offset(1), "2024-02-28", "2024-02-29"),
            (Offset(-1), "2023-01-01", "nothing"),
        ],
    )
    check(MONTHS, MONTHS, [(Offset(-1), "2024-01", "2023-12"), (Offset(-12), "2024-02", "2023-02")])
    # What the window before this one reads.
    check(MONTHS, DAYS, [(Offset(-1), "2024-03", "2024-02-01 .. 2024-02-29 (29)")])
    check(DAYS, HOURS, [(Offset(-1), "2024-03-01", "2024-02-29T00:00Z .. 2024-02-29T23:00Z (24)")])
    check(MINUTES, MINUTES, [(Offset(-1), "2024-03-01T00:00Z", "2024-02-29T23:59Z")])


def test_trailing_windows() -> None:
    check(
        DAYS,
        DAYS,
        [
            (Trailing(1), "2024-03-01", "2024-03-01"),
            (Trailing(7), "2024-03-03", "2024-02-26 .. 2024-03-03 (7)"),
            (Trailing(7), "2023-01-03", "2023-01-01 .. 2023-01-03 (3)"),
            (Trailing(7, Unit.DAY), "2024-03-03", "2024-02-26 .. 2024-03-03 (7)"),
            (Trailing(2, Unit.WEEK), "2024-03-03", "2024-02-19 .. 2024-03-03 (14)"),
            (Trailing(1, Unit.MONTH), "2024-02-29", "2024-02-01 .. 2024-02-29 (29)"),
            (Trailing(1, Unit.MONTH), "2024-03-14", "2024-02-15 .. 2024-03-14 (29)"),
        ],
    )
    check(MONTHS, DAYS, [(Trailing(3), "2024-02", "2024-02-27 .. 2024-02-29 (3)")])
    check(WEEKS, MONTHS, [(Trailing(2), "2024-02-26", "2024-02 .. 2024-03 (2)")])
    check(HOURS, HOURS, [(Trailing(24), "2024-03-01T11:00Z", "2024-02-29T12:00Z .. 2024-03-01T11:00Z (24)")])
    check(MONTHS, MONTHS, [(All(), "2023-05", "2023-01 .. 2025-12 (36)")])


def test_month_ends_of_a_trailing_month() -> None:
    # A month before the end of March's 30th, 24 hours into the 31st, is the end of February, leap year or not.
    check(
        DAYS,
        DAYS,
        [
            (Trailing(1, Unit.MONTH), "2024-03-29", "2024-02-29 .. 2024-03-29 (30)"),
            (Trailing(1, Unit.MONTH), "2024-03-30", "2024-02-29 .. 2024-03-30 (31)"),
            (Trailing(1, Unit.MONTH), "2023-03-28", "2023-02-28 .. 2023-03-28 (29)"),
            (Trailing(1, Unit.MONTH), "2023-03-30", "2023-02-28 .. 2023-03-30 (31)"),
            (Trailing(1, Unit.MONTH), "2024-03-31", "2024-03-01 .. 2024-03-31 (31)"),
            (Trailing(12, Unit.MONTH), "2024-02-28", "2023-02-28 .. 2024-02-28 (366)"),
        ],
    )


def test_clocks_that_go_forward() -> None:
    days, hours = daily("2024-03-01", tz=NEW_YORK), hourly("2024-03-01", tz=NEW_YORK)
    check(
        days,
        hours,
        [
            (SAME, "2024-03-09", "2024-03-09T00:00-05:00 .. 2024-03-09T23:00-05:00 (24)"),
            (SAME, "2024-03-10", "2024-03-10T00:00-05:00 .. 2024-03-10T23:00-04:00 (23)"),
            (SAME, "2024-03-11", "2024-03-11T00:00-04:00 .. 2024-03-11T23:00-04:00 (24)"),
        ],
    )
    check(
        hours,
        hours,
        [
            (Offset(-1), "2024-03-10T03:00-04:00", "2024-03-10T01:00-05:00"),
            (
                Trailing(24, Unit.HOUR),
                "2024-03-10T23:00-04:00",
                "2024-03-09T23:00-05:00 .. 2024-03-10T23:00-04:00 (24)",
            ),
            (Trailing(1, Unit.DAY), "2024-03-10T23:00-04:00", "2024-03-10T00:00-05:00 .. 2024-03-10T23:00-04:00 (23)"),
        ],
    )
    check(
        days,
        minutely("2024-03-10", tz=NEW_YORK),
        [
            (SAME, "2024-03-10", "2024-03-10T00:00-05:00 .. 2024-03-10T23:59-04:00 (1380)"),
        ],
    )
    check(
        hours,
        minutely("2024-03-10", tz=NEW_YORK),
        [
            (SAME, "2024-03-10T01:00-05:00", "2024-03-10T01:00-05:00 .. 2024-03-10T01:59-05:00 (60)"),
        ],
    )


def test_clocks_that_go_back() -> None:
    days, hours = daily("2024-10-01", tz=BERLIN), hourly("2024-10-01", tz=BERLIN)
    check(
        days,
        hours,
        [
            (SAME, "2024-10-27", "2024-10-27T00:00+02:00 .. 2024-10-27T23:00+01:00 (25)"),
            (Trailing(2), "2024-10-27", "2024-10-27T22:00+01:00 .. 2024-10-27T23:00+01:00 (2)"),
        ],
    )
    check(
        hours,
        hours,
        [
            (Offset(-1), "2024-10-27T02:00+01:00", "2024-10-27T02:00+02:00"),
            (Trailing(3), "2024-10-27T03:00+01:00", "2024-10-27T02:00+02:00 .. 2024-10-27T03:00+01:00 (3)"),
            (Trailing(1, Unit.DAY), "2024-10-27T23:00+01:00", "2024-10-27T00:00+02:00 .. 2024-10-27T23:00+01:00 (25)"),
        ],
    )
    check(hours, days, [(SAME, "2024-10-27T02:00+02:00", "2024-10-27"), (SAME, "2024-10-27T02:00+01:00", "2024-10-27")])
    check(
        hours,
        minutely("2024-10-27", tz=BERLIN),
        [
            (SAME, "2024-10-27T02:00+02:00", "2024-10-27T02:00+02:00 .. 2024-10-27T02:59+02:00 (60)"),
            (SAME, "2024-10-27T02:00+01:00", "2024-10-27T02:00+01:00 .. 2024-10-27T02:59+01:00 (60)"),
        ],
    )


def test_clocks_that_shift_by_half_an_hour() -> None:
    days, hours = daily("2024-04-01", tz=LORD_HOWE), hourly("2024-04-01", tz=LORD_HOWE)
    check(days, hours, [(SAME, "2024-04-07", "2024-04-07T00:00+11:00 .. 2024-04-07T23:00+10:30 (25)")])
    check(
        days,
        minutely("2024-04-01", tz=LORD_HOWE),
        [(SAME, "2024-04-07", "2024-04-07T00:00+11:00 .. 2024-04-07T23:59+10:30 (1470)")],
    )


def test_days_of_two_zones_overlap() -> None:
    utc, kolkata = daily("2024-01-01"), daily("2024-01-01", tz="Asia/Kolkata")
    check(utc, kolkata, [(SAME, "2024-03-01", "2024-03-01 .. 2024-03-02 (2)")])
    check(kolkata, utc, [(SAME, "2024-03-01", "2024-02-29 .. 2024-03-01 (2)"), (SAME, "2024-01-01", "2024-01-01")])
    # The day on which New York's clocks go forward, five hours and then four behind.
    check(
        daily("2024-03-01", tz=NEW_YORK),
        hourly("2024-03-01"),
        [(SAME, "2024-03-10", "2024-03-10T05:00Z .. 2024-03-11T03:00Z (23)")],
    )


def test_leap_days_in_weeks_and_years() -> None:
    check(WEEKS, DAYS, [(Offset(-1), "2024-03-04", "2024-02-26 .. 2024-03-03 (7)")])
    check(DAYS, DAYS, [(Trailing(366), "2024-12-31", "2024-01-01 .. 2024-12-31 (366)")])
    check(MONTHS, DAYS, [(Trailing(12, Unit.MONTH), "2024-12", "2024-01-01 .. 2024-12-31 (366)")])
    check(MONTHS, DAYS, [(Trailing(12, Unit.MONTH), "2023-12", "2023-01-01 .. 2023-12-31 (365)")])


@pytest.mark.parametrize("mapping", [SAME, Trailing(1), Trailing(3), Offset(-2)])
@pytest.mark.parametrize("partitioning", [MINUTES, HOURS, DAYS, WEEKS, MONTHS], ids=lambda p: p.time.unit)
def test_the_short_way_between_equal_grids_is_the_long_way(mapping: Mapping, partitioning: Partitioning) -> None:
    # A start of its own makes another grid of the same windows.
    assert partitioning.time is not None
    grid = partitioning.grid(NOW_MS)
    earlier = {MINUTES: minutely("2023-12-29"), HOURS: hourly("2022-12-31"), DAYS: daily("2022-12-31")}
    earlier |= {WEEKS: weekly("2022-12-26"), MONTHS: monthly("2022-12-01")}
    other = earlier[partitioning].grid(NOW_MS)
    index = np.arange(grid.size - 50, grid.size) if grid.size > 50 else np.arange(10, grid.size)
    short, long = upstream(mapping, grid, grid, index), upstream(mapping, grid, other, index)
    more = other.size - grid.size
    assert [list(short.of(i)) for i in range(len(index))] == [[u - more for u in long.of(i)] for i in range(len(index))]
