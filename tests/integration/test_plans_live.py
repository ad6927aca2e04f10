"""A plan from when it is made until it has become a run, in processes of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from runs_from_terminals import Terminals

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.slow

TOML = """
[project]
modules = ["approved_pipeline"]
[workers]
processes = 1
[approvers]
leads = ["ada", "bob"]
[policies.max_partitions]
limit = 3
approvers = "leads"
persons = 2
because = "The warehouse is shared."
"""
PIPELINE = """
import select
from pathlib import Path

import pyarrow as pa

import headgate

HERE = Path(__file__).parent
DAYS = headgate.daily("2024-01-01", "2024-01-04")

headgate.source("landed", path="landed/{key}.csv", partitions=DAYS)


@headgate.dataset(partitions=DAYS)
def rounded(landed: pa.Table) -> pa.Table:
    return pa.table({"n": [value // 10 for value in landed.column("n").to_pylist()]})


@headgate.dataset(partitions=DAYS)
def doubled(rounded: pa.Table) -> pa.Table:
    return rounded


@headgate.dataset
def held() -> pa.Table:
    (HERE / "held-started").touch()
    while (HERE / "hold-held").exists():
        select.select([], [], [], 0.02)
    return pa.table({"n": [1]})
"""


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Terminals]:
    (tmp_path / "headgate.toml").write_text(TOML)
    (tmp_path / "approved_pipeline.py").write_text(PIPELINE)
    (tmp_path / "landed").mkdir()
    for day in range(1, 4):
        land(tmp_path, day, 10 * day)
    terminals = Terminals(tmp_path)
    yield terminals
    terminals.clean_up()


def land(root: Path, day: int, value: int) -> None:
    (root / "landed" / f"2024-01-{day:02}.csv").write_text(f"n\n{value}\n")


def test_a_plan_is_approved_by_another_run_as_it_was_shown_and_never_again(shop: Terminals) -> None:
    plan = shop.data("plan", "+doubled", "--reason", "a new column")
    assert (plan["partitions"], plan["standing"]) == (6, "pending")
    name = plan["id"]
    _, told = shop.call("backfill", "--plan", name, "--yes", code=1)
    assert "needs the approval of leads" in told
    _, told = shop.call("approve", name, "--reason", "mine", code=1)
    assert "takes two persons" in told
    shop.author = "bob"
    assert shop.data("approve", name, "--reason", "looks right")["standing"] == "ready"
    summary = shop.data("backfill", "--plan", name, "--yes")
    assert [(part["name"], part["published"]) for part in summary["datasets"]] == [("rounded", 3), ("doubled", 3)]
    run = summary["run"]["id"]
    _, told = shop.call("backfill", "--plan", name, "--yes", code=1)
    assert f"error: plan {name} was run already, as run {run}" in told
    record = shop.data("runs", "show", run)
    assert (record["run"]["author"], record["run"]["reason"]) == ("bob", "a new column")
    assert (record["plan"]["hash"], record["plan"]["author"]) == (plan["hash"], "ada")
    assert [(one["author"], one["reason"]) for one in record["plan"]["decisions"]] == [("bob", "looks right")]
    assert record["forecast"]["forecast"]["p50_ms"] == plan["forecast"]["p50_ms"]
    assert len(shop.data("status")["runs"]) == 1


def test_what_was_skipped_because_nothing_had_changed_is_said(shop: Terminals) -> None:
    shop.author = "ada"
    shop.call("backfill", "rounded", "--yes", "--reason", "x")
    shop.call("backfill", "doubled", "--yes", "--reason", "x")
    direct = shop.data("runs", "show", "latest")
    assert (direct["plan"]["run"], direct["skipped"]) == (direct["run"]["id"], 0)
    assert direct["forecast"]["forecast"]["p50_ms"] > 0
    for day in range(1, 4):
        # Other files, and the same once they are rounded.
        land(shop.root, day, 10 * day + 5)
    name = shop.data("plan", "+doubled", "--reason", "x")["id"]
    shop.author = "bob"
    shop.call("approve", name, "--reason", "x")
    out, _ = shop.call("backfill", "--plan", name, "--yes")
    assert "guard rails: needs approval\n" in out
    assert "  approved by bob at 20" in out
    assert ", 3 of 6 skipped: inputs unchanged\n" in out
    assert ", 3 of 6 skipped: inputs unchanged\n" in shop.call("runs", "show", "latest")[0]
    record = shop.data("runs", "show", "latest")
    assert [(part["name"], part["unchanged"], part["rest"]) for part in record["datasets"]] == [
        ("rounded", 3, 0),
        ("doubled", 0, 3),
    ]
    assert record["skipped"] == 3


def test_a_plan_is_made_approved_and_handed_over_while_a_coordinator_is_alive(shop: Terminals) -> None:
    shop.hold("held")
    first = shop.start("backfill", "held", "--yes", "--reason", "it takes its time")
    shop.wait_for("held-started", first)
    name = shop.data("plan", "+doubled", "--reason", "beside it")["id"]
    shop.author = "bob"
    shop.call("approve", name, "--reason", "x")
    second = shop.start("backfill", "--plan", name, "--yes")
    shop.wait_for_run(state="running", count=2)
    shop.release("held")
    out, _ = shop.end(second)
    assert "succeeded: 6 partitions" in out
    shop.end(first)
    assert shop.data("plan", "show", name)["record"]["standing"] == "run"
    assert shop.call("journal", "--verify")[0].startswith("journal ok")
