from __future__ import annotations

from dataclasses import replace

import pytest

from headgate.cli.forecast_text import (
    accuracy_text,
    basis_lines,
    cost_text,
    forecast_lines,
    forecast_table,
    hindsight_text,
)
from headgate.model.forecast import (
    Accuracy,
    ChainLink,
    Cost,
    DatasetForecast,
    Forecast,
    PoolUse,
    WidestStage,
)
from headgate.views.forecast import Hindsight

SALES = DatasetForecast("sales", 30, 31.0, 60_000, 1_860_000, "sizes", 4_000_000, 2_000_000)
TREND = DatasetForecast("trend", 30, 30.0, 1_000, 30_000, "assumed", None, None)
FOUND = Forecast(
    200,
    720_000,
    900_000,
    ("trend",),
    1000,
    datasets=(SALES, TREND),
    slot_ms=1_890_000,
    pools=(PoolUse("warehouse", 3_720_000),),
    read_bytes=4_000_000,
    written_bytes=2_000_000,
    unsized=("trend",),
    cost=Cost(12.5, "EUR", is_partial=True),
    chain=(ChainLink("sales", 1, 60_000), ChainLink("trend", 7, 7_000)),
    chain_ms=67_000,
    widest=WidestStage("sales", 30),
    accuracy=Accuracy(5, -0.12, 4),
)


def test_a_forecast_says_when_and_what_it_takes() -> None:
    assert forecast_lines(FOUND) == [
        "about 12 min 00 s, 90 % sure below 15 min 00 s (200 simulated runs)",
        "slots taken for 31 min 30 s, of pool warehouse for 1 h 02 min, at least 4.0 MB read, at least 2.0 MB written, "
        "costs at least 12.50 EUR",
        "longest chain 1 min 07 s: sales (1 min 00 s) > trend x 7 (7.0 s); widest stage: sales x 30",
        "no history of trend: assumed 1 s for each attempt",
        "the last 5 forecasts of this project were 12 % too short in the middle; 4 of 5 runs were done within the 90 %",
    ]


def test_what_is_certain_coarse_or_endless_is_said() -> None:
    assert forecast_lines(replace(FOUND, runs=1, p90_ms=720_010))[0] == "about 12 min 00 s (1 simulated run)"
    coarse = forecast_lines(replace(FOUND, is_coarse=True))[0]
    assert coarse.endswith("(200 simulated runs, neighbouring partitions as one)")
    endless = forecast_lines(replace(FOUND, runs=9, p50_ms=None, p90_ms=None))[0]
    assert endless == "would not end (9 simulated runs): see `headgate simulate`"


def test_a_run_that_leaves_something_unbuilt_is_not_called_done() -> None:
    when, unbuilt, *_ = forecast_lines(replace(FOUND, failed=2.5, complete=0.25))
    assert when.startswith("ends after about 12 min 00 s")
    assert unbuilt == (
        "2.5 partitions would not be built, because their attempts fail too often: 25 % of the runs build everything"
    )


def test_many_datasets_and_long_chains_are_cut() -> None:
    many = tuple(replace(TREND, name=f"d{n}") for n in range(8))
    links = tuple(ChainLink(f"d{n}", 1, 5) for n in range(10))
    lines = forecast_lines(replace(FOUND, datasets=(*many, replace(TREND, basis="declared")), chain=links))
    assert "no history of d0, d1, d2, d3, d4, d5 and 2 more datasets: assumed 1 s for each attempt" in lines
    assert "no history of trend: declared 1 s for each attempt" in lines
    (declared,) = basis_lines([replace(TREND, basis="declared", typical_ms=108_000_000)])
    assert declared == "no history of trend: declared 30 h 00 min for each attempt"
    assert "d7 (5 ms) > 2 more steps; widest" in lines[2]


def test_datasets_in_a_table() -> None:
    rows = [line.split() for line in forecast_table(FOUND.datasets).splitlines()]
    times = ["1", "min", "00", "s", "31", "min", "00", "s", "never"]
    assert rows[1] == ["sales", "30", *times, "4.0", "MB", "2.0", "MB"]
    assert rows[2][-3:] == ["never", "unknown", "unknown"]


def test_what_each_dataset_costs_and_when_it_is_done() -> None:
    sales = replace(SALES, p90_ms=600_000, cost=Cost(12.0, "EUR", is_partial=False))
    trend = replace(TREND, p90_ms=900_000, cost=Cost(0.5, "EUR", is_partial=True))
    header, first, second = forecast_table((sales, trend)).splitlines()
    assert "done after" in header
    assert "costs" in header
    assert first.endswith("  10 min 00 s   4.0 MB   2.0 MB          12.00 EUR")
    assert second.endswith("  15 min 00 s  unknown  unknown  at least 0.50 EUR")


def test_of_many_datasets_those_that_take_the_longest_are_in_the_table() -> None:
    many = tuple(replace(TREND, name=f"d{n}", busy_ms=n) for n in range(15))
    _, *rows, last = forecast_table(many).splitlines()
    assert [row.split()[0] for row in rows] == [f"d{n}" for n in range(3, 15)]
    assert last == "  and 3 more datasets"


@pytest.mark.parametrize(
    ("error", "shown"),
    [
        (-0.12, "12 % too short"),
        (0.3, "30 % too long"),
        (0.01, "right"),
        (1.9, "190 % too long"),
        (2.0, "3 times too long"),
        (23.02, "24 times too long"),
        (1999.0, "2,000 times too long"),
        (-0.6, "60 % too short"),
        (-0.96, "25 times too short"),
        (-1.0, "1,000,000 times too short"),
    ],
)
def test_one_earlier_forecast_is_told_as_one(error: float, shown: str) -> None:
    assert accuracy_text(Accuracy(1, error, 1)) == f"the last forecast of this project was {shown}"


def test_money_keeps_what_is_small() -> None:
    assert cost_text(Cost(0.0, "", is_partial=False)) == "0.00"
    assert cost_text(Cost(0.0004, "EUR", is_partial=False)) == "0.0004 EUR"
    assert cost_text(Cost(12_345.678, "USD", is_partial=False)) == "12,345.68 USD"


def test_a_forecast_beside_what_the_run_took() -> None:
    past = Hindsight(FOUND, 800_000, was_disturbed=False, slot_ms=2_000_000, read_bytes=5, written_bytes=6, datasets=())
    rows = [line.split("  ") for line in hindsight_text(past).splitlines()]
    assert [cell.strip() for cell in rows[1] if cell] == ["done after", "12 min 00 s", "13 min 20 s", "10 % too short"]
    assert "its time says little" in hindsight_text(replace(past, was_disturbed=True))
    assert "too short" not in hindsight_text(replace(past, was_disturbed=True))
    assert "not yet" in hindsight_text(replace(past, elapsed_ms=None))
