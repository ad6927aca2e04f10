from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from headgate.cli.main import main
from headgate.cli.simulate import _date

if TYPE_CHECKING:
    from collections.abc import Iterator

AT = ("--at", "2026-01-05T22:00", "--runs", "2")


@pytest.fixture(autouse=True)
def import_path() -> Iterator[None]:
    before = sys.path.copy()
    yield
    sys.path[:] = before
    sys.modules.pop("pipeline", None)


@pytest.fixture
def shop(tmp_path: Path) -> str:
    root = tmp_path / "shop"
    assert CliRunner().invoke(main, ["init", str(root)]).exit_code == 0
    toml = root / "headgate.toml"
    toml.write_text(toml.read_text() + "\n[workers]\nprocesses = 1\n")
    return str(root)


def call(shop: str, *arguments: str, command: str = "simulate") -> str:
    done = CliRunner().invoke(main, ["-C", shop, command, *arguments])
    assert (done.exit_code, done.stderr) == (0, "")
    return done.stdout


def data(shop: str, *arguments: str, command: str = "simulate") -> Any:
    return json.loads(call(shop, *arguments, "--json", command=command))


def refused(shop: str, *arguments: str) -> str:
    done = CliRunner().invoke(main, ["-C", shop, "simulate", *arguments])
    assert (done.exit_code, done.stdout) == (2, "")
    return done.stderr


def test_a_simulation_says_when_and_why(shop: str) -> None:
    shown = call(shop, *AT)
    assert shown.startswith("30 partitions to build as class backfill from 2026-01-05 22:00:00 UTC: 2 simulated runs\n")
    rows = [line.split() for line in shown.splitlines()]
    assert ["done", "after,", "half", "of", "the", "runs", "30", "s"] in rows
    assert ["done", "at,", "90", "%", "of", "the", "runs", "2026-01-05", "22:00:30"] in rows
    assert "all slots are taken" in shown
    assert ["orders", "14", "14", "x", "1.0", "s", "=", "14", "s"] in rows
    assert "longest chain: orders (1.0 s) > revenue (1.0 s) > revenue_weekly (1.0 s)\n" in shown
    assert shown.endswith("no history of orders, revenue, revenue_weekly: assumed 1 s for each attempt\n")


def test_a_change_is_shown_beside(shop: str) -> None:
    shown = call(shop, *AT, "--set", "processes=30", "--set", "duration.orders=4s")
    assert "with --set: processes=30 duration.orders=4s\n" in shown
    rows = [line.split() for line in shown.splitlines()]
    assert ["done", "after,", "half", "of", "the", "runs", "30", "s", "6.0", "s"] in rows
    assert "longest chain with --set: orders (4.0 s) > revenue (1.0 s) > revenue_weekly (1.0 s)\n" in shown


def test_as_json(shop: str) -> None:
    found = data(shop, *AT, "orders", "--start", "2024-01-02", "--end", "2024-01-04", "--set", "processes=2")
    assert (found["partitions"], found["blocked"], found["seed"], found["service_class"]) == (2, 0, 0, "backfill")
    assert found["start_ms"] == 1_767_650_400_000
    assert (found["changes"], found["assumed"]) == (["processes=2"], ["orders"])
    assert found["as_is"]["p50_at_ms"] == found["start_ms"] + 2000
    assert (found["as_is"]["p90_ms"], found["changed"]["p90_ms"]) == (2000, 1000)
    assert found["as_is"]["chain"] == [{"dataset": "orders", "partitions": 1, "elapsed_ms": 1000}]
    assert {wait["wait"] for wait in found["as_is"]["waits"]} == {"slots"}
    assert data(shop, *AT)["changed"] is None


def test_the_same_seed_says_the_same(shop: str) -> None:
    arguments = (*AT, "--set", "failures=20%", "--seed")
    assert data(shop, *arguments, "7") == data(shop, *arguments, "7")
    assert data(shop, *arguments, "7") != data(shop, *arguments, "8")


def test_what_never_ends_and_what_fails_is_said(shop: str) -> None:
    shut = call(shop, *AT, "--set", "class.backfill.floor=0", "--set", "class.backfill.ceiling=0")
    assert ["done", "after,", "half", "of", "the", "runs", "30", "s", "never"] in [x.split() for x in shut.splitlines()]
    failing = call(shop, *AT, "--set", "failures=100%")
    rows = [line.split() for line in failing.splitlines()]
    assert ["partitions", "that", "are", "not", "built", "0.0", "30.0"] in rows
    assert ["runs", "that", "build", "everything", "100%", "0%"] in rows
    assert "  ends after, half of the runs" in failing
    assert "done" not in failing
    found = data(shop, *AT, "--set", "failures=100%")
    assert (found["as_is"]["complete"], found["changed"]["complete"], found["changed"]["failed"]) == (1, 0, 30)


def test_long_attempts_end_some_day(shop: str) -> None:
    longest = call(shop, *AT, "--set", "duration=277777h")
    rows = [line.split() for line in longest.splitlines()]
    assert ["done", "after,", "half", "of", "the", "runs", "30", "s", "8,333,310", "h", "00", "min"] in rows
    assert "never" not in longest
    assert _date(10**15) == "after the year 9999"


def test_what_cannot_be_built_is_left_out(shop: str, tmp_path: Path) -> None:
    (tmp_path / "shop" / "landing" / "2024-01-03.csv").unlink()
    shown = call(shop, *AT)
    assert "27 partitions to build" in shown
    assert "3 partitions that cannot be built are left out\n" in shown


def test_nothing_to_do(shop: str) -> None:
    assert call(shop, "--start", "2030-01-01").startswith("nothing to do: no partition is in this range")
    assert data(shop, "--start", "2030-01-01")["partitions"] == 0
    assert data(shop, "--start", "2030-01-01", command="plan")["forecast"] is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--class", "fast"), "there is no service class 'fast'"),
        (("--set", "pool.x=1"), "there is no pool 'x'"),
        (("--set", "speed=1"), "--set does not know 'speed'"),
        (("--set", "concurrency=0"), "--set concurrency must be a whole number from 1 to 1000000, got '0'"),
        (("--set", "duration=0"), "--set duration must be a length of time"),
        (("--at", "tonight"), "--at tonight is no date"),
        (("--at", "1066-10-14"), "--at"),
        (("--runs", "0"), "--runs"),
    ],
)
def test_wrong_use_is_refused(shop: str, arguments: tuple[str, ...], message: str) -> None:
    assert message in refused(shop, *arguments)


def test_an_offset_of_the_begin_counts(shop: str) -> None:
    found = data(shop, "--at", "2026-01-05T22:00+01:00", "--runs", "1")
    assert found["start_ms"] == 1_767_646_800_000


def test_a_plan_shows_its_forecast(shop: str) -> None:
    shown = call(shop, command="plan")
    assert "\nabout 30 s (1 simulated run)\nslots taken for 30 s" in shown
    assert "\nno history of orders, revenue, revenue_weekly: assumed 1 s for each attempt" in shown
    found = data(shop, command="plan")["forecast"]
    names = ["orders", "revenue", "revenue_weekly"]
    assert (found["runs"], found["p50_ms"], found["p90_ms"]) == (1, 30_000, 30_000)
    assert (found["assumed"], found["assumed_ms"], found["accuracy"]) == (names, 1000, None)
    assert [(one["name"], one["basis"], one["busy_ms"]) for one in found["datasets"]] == [
        ("orders", "assumed", 14_000),
        ("revenue", "assumed", 14_000),
        ("revenue_weekly", "assumed", 2_000),
    ]


def test_a_ceiling_of_nothing_may_be_tried(shop: str) -> None:
    found = data(shop, *AT, "--set", "class.backfill.ceiling=0")
    assert (found["as_is"]["endless"], found["changed"]["endless"]) == (0, 2)
    toml = Path(shop) / "headgate.toml"
    toml.write_text(toml.read_text() + "[classes.backfill]\nfloor = 0.1\n")
    assert "hint: Set class.backfill.floor, too." in refused(shop, "--set", "class.backfill.ceiling=0")
