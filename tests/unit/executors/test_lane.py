from __future__ import annotations

import math

from headgate.executors.lane import DEEPEST, Pace


def test_two_at_first() -> None:
    assert Pace().depth == 2


def test_short_attempts_raise_the_depth_slowly() -> None:
    pace = Pace()
    depths = []
    for _ in range(60):
        pace.learn(0.02)
        depths.append(pace.depth)
    assert depths == sorted(depths)
    assert depths[2] <= 3
    assert depths[-1] == DEEPEST


def test_millisecond_attempts_queue_about_fifteen_milliseconds() -> None:
    pace = Pace()
    for _ in range(60):
        pace.learn(1.0)
    assert pace.depth == 16


def test_one_long_attempt_lowers_the_depth_at_once() -> None:
    pace = Pace()
    for _ in range(60):
        pace.learn(0.02)
    pace.learn(40.0)
    assert pace.depth == 2
    pace.learn(5000.0)
    assert pace.depth == 1
    for _ in range(20):
        pace.learn(20.0)
    assert pace.depth == 2


def test_a_duration_that_is_none_does_not_harm() -> None:
    pace = Pace()
    for elapsed_ms in (math.nan, -1.0, math.inf, 0.0, *[0.0] * 5000):
        pace.learn(elapsed_ms)
    assert pace.depth == DEEPEST
