from __future__ import annotations

import pytest

from headgate.project.amounts import age_ms, length_ms, length_text, minute_of_day, month_days, share, weekdays


@pytest.mark.parametrize(
    ("value", "ms"),
    [
        (90, 90_000),
        (0.5, 500),
        ("90s", 90_000),
        ("1.5 h", 5_400_000),
        ("0.001s", 1),
        ("10m", 600_000),
        ("7d", 604_800_000),
        ("2w", 1_209_600_000),
    ],
)
def test_lengths(value, ms):
    assert length_ms(value) == ms


@pytest.mark.parametrize(("value", "ms"), [("0", 0), ("0d", 0), ("0.0 h", 0), ("0w", 0), ("90d", 7_776_000_000)])
def test_ages(value, ms):
    assert age_ms(value) == ms


@pytest.mark.parametrize("value", ["", "-0", "00", "0y", "10", "d", "\u0660"])
def test_what_is_no_age(value):
    assert age_ms(value) is None


@pytest.mark.parametrize("value", [0, -1, "0s", "10", "m", "1y", True, float("nan"), float("inf"), None, [], "\u0661s"])
def test_what_is_no_length(value):
    assert length_ms(value) is None


@pytest.mark.parametrize(("ms", "text"), [(3_600_000, "1h"), (5_400_000, "90m"), (90_000, "90s"), (500, "0.5s")])
def test_lengths_are_written_so_that_they_can_be_read(ms, text):
    assert length_text(ms) == text
    assert length_ms(text) == ms


@pytest.mark.parametrize(("value", "number"), [(0, 0), (1, 1), (0.25, 0.25), ("25%", 0.25), ("12.5 %", 0.125)])
def test_shares(value, number):
    assert share(value) == number


@pytest.mark.parametrize("value", [-0.1, 1.01, "101%", "0.5", "-1%", True, float("nan"), None, "%"])
def test_what_is_no_share(value):
    assert share(value) is None


@pytest.mark.parametrize(("value", "minute"), [("00:00", 0), ("08:30", 510), ("24:00", 1440)])
def test_times_of_day(value, minute):
    assert minute_of_day(value) == minute


@pytest.mark.parametrize("value", ["8:30", "24:01", "23:60", "25:00", 8, None, "08:30:00"])
def test_what_is_no_time_of_day(value):
    assert minute_of_day(value) is None


@pytest.mark.parametrize(
    ("value", "days"),
    [
        ("mon-fri", {0, 1, 2, 3, 4}),
        ("sat, sun", {5, 6}),
        (["mon", "wed-thu"], {0, 2, 3}),
        ("sat-mon", {5, 6, 0}),
        ("mon-sun", set(range(7))),
    ],
)
def test_weekdays(value, days):
    assert weekdays(value) == days


@pytest.mark.parametrize("value", ["", "monday", "mon-", "mon-tue-wed", [], [1], 3, "mon,,tue"])
def test_what_names_no_weekday(value):
    assert weekdays(value) is None


@pytest.mark.parametrize(
    ("value", "days"),
    [(1, {1}), ("last", {-1}), ("1-3", {1, 2, 3}), ([1, "15", "last"], {1, 15, -1}), ("1, 31", {1, 31})],
)
def test_month_days(value, days):
    assert month_days(value) == days


@pytest.mark.parametrize("value", [0, 32, -1, "", "5-1", "first", [], 1.5, True, "1-32"])
def test_what_names_no_day_of_the_month(value):
    assert month_days(value) is None
