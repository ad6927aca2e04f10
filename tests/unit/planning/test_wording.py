from __future__ import annotations

import pytest

from headgate.planning.wording import cost_text, length_text


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (0, "0 ms"),
        (205, "205 ms"),
        (204.2, "204 ms"),
        (999, "999 ms"),
        (1000, "1 s"),
        (1001, "2 s"),
        (59_001, "1 min"),
        (5_400_000, "1 h 30 min"),
        (90_061_000, "1 d 1 h"),
    ],
)
def test_a_length_of_time_is_rounded_up(ms: float, text: str) -> None:
    assert length_text(ms) == text


@pytest.mark.parametrize(
    ("cost", "text"),
    [
        (0.0, "0.00 EUR"),
        (0.0004, "0.0004 EUR"),
        (0.01, "0.01 EUR"),
        (8.0, "8.00 EUR"),
        # More than a limit of 50 looks like more.
        (50.0001, "50.01 EUR"),
        (50.000000001, "50.01 EUR"),
        (12_345.67, "12,345.67 EUR"),
    ],
)
def test_an_amount_of_money_is_rounded_up(cost: float, text: str) -> None:
    assert cost_text(cost, "EUR") == text


def test_an_amount_without_a_currency_is_a_number() -> None:
    assert cost_text(1.5, "") == "1.50"
