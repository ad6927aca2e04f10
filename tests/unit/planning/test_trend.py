from __future__ import annotations

import numpy as np
import pytest

from headgate.planning.trend import trend_of

SIZES = [1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000]


def test_a_line_through_noisy_points_is_found_in_spite_of_wild_ones() -> None:
    noise = [1.02, 0.97, 1.01, 0.99, 1.03, 0.98, 1.0, 1.01]
    found = [round((100 + size / 100) * factor) for size, factor in zip(SIZES, noise, strict=True)]
    trend = trend_of([*SIZES, 1_000], [*found, 90_000])
    assert trend.slope == pytest.approx(1 / 100, rel=0.1)
    assert trend.at(np.array([400_000]))[0] == pytest.approx(4_100, rel=0.1)
    assert trend.at(np.array([-1]))[0] == pytest.approx(trend.constant + trend.slope * trend.middle)
    assert trend.middle == 10_000


def test_without_a_connection_the_plain_durations_count() -> None:
    found = [300, 100, 200, 300, 100, 200, 100, 300]
    trend = trend_of(SIZES, found)
    assert trend.slope == 0
    assert sorted(trend.ratios * trend.constant) == pytest.approx(sorted(np.clip(found, 100, 300)))
    assert trend.at(np.array([5, 5_000_000])).tolist() == [200, 200]


def test_a_falling_line_and_one_size_for_all_explain_nothing() -> None:
    assert trend_of(SIZES, [800, 700, 600, 500, 400, 300, 200, 100]).slope == 0
    assert trend_of([5] * 8, [1, 2, 3, 4, 5, 6, 7, 8]).slope == 0


def test_a_few_points_tell_no_slope() -> None:
    assert trend_of(SIZES[:4], [1, 2, 5, 10]).slope == 0
    assert trend_of([1, 1, 1, 9, 9, 9], [1, 2, 3, 7, 8, 9]).slope == 0


def test_two_sizes_are_enough() -> None:
    trend = trend_of([10, 1_000] * 4, [11, 99, 12, 101, 10, 100, 9, 98])
    assert trend.at(np.array([10]))[0] == pytest.approx(10, abs=2)
    assert trend.at(np.array([1_000]))[0] == pytest.approx(100, abs=3)


def test_nothing_takes_less_than_nothing() -> None:
    trend = trend_of(SIZES, [round(size**1.3 / 1_000) for size in SIZES])
    assert (trend.constant, trend.slope > 0) == (0, True)


def test_what_is_not_known_is_left_out_of_the_line_and_not_of_the_rest() -> None:
    assert trend_of([None] * 8, [5] * 8).middle == -1
    trend = trend_of([None, *SIZES], [50, *(size // 10 for size in SIZES)])
    assert trend.slope == pytest.approx(0.1, rel=0.05)
    assert trend_of([None], [7]).at(np.array([-1])).tolist() == [7]


def test_nothing_written_stays_nothing_and_rare_outliers_are_cut() -> None:
    nothing = trend_of([1] * 8, [0] * 8)
    assert nothing.mean_at(np.array([1])).tolist() == [0]
    mostly = trend_of([1] * 8, [0, 0, 0, 0, 0, 0, 8, 8])
    assert mostly.mean_at(np.array([1]))[0] == pytest.approx(2)
    slept = trend_of([1] * 300, [100] * 299 + [10**9])
    assert slept.ratios.max() == 1
