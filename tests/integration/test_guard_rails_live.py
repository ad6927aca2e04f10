"""Guard rails by the command line: what they deny, whom they ask, and that a run that goes on is held to them again."""

from __future__ import annotations

import json
import os
import signal
from typing import TYPE_CHECKING

import pytest
from runs_from_terminals import Terminals

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.slow

TOML = """
[project]
modules = ["railed_pipeline"]
[workers]
processes = 1
[approvers]
leads = ["bob"]
[policies]
approvers = "leads"
"""
PIPELINE = """
import select
from pathlib import Path

import pyarrow as pa

import headgate

HERE = Path(__file__).parent
DAYS = headgate.daily("2024-01-01", "2024-01-05")

headgate.source("landed", path="landed/{key}.csv", partitions=DAYS)


def wait(name):
    (HERE / f"{name}-started").touch()
    while (HERE / f"hold-{name}").exists():
        select.select([], [], [], 0.02)


@headgate.dataset(partitions=DAYS, inputs={"landed": headgate.input("landed", allow_missing=True)})
def sales(ctx: headgate.Context, landed: pa.Table) -> pa.Table:
    # The first: a worker holds more orders at a time once it has ended some, and a drain lets those run.
    if ctx.key == "2024-01-01":
        wait("sales")
    if ctx.key == "2024-01-04" and (HERE / "bad").exists():
        raise ValueError("no good")
    return pa.table({"n": [0 if landed is None else landed.num_rows]})


@headgate.dataset(partitions=headgate.static(["a", "b"]), idempotent=False)
def mail(ctx: headgate.Context) -> None:
    with (HERE / "sent").open("a") as sent:
        sent.write(ctx.key)
    if ctx.key == "a":
        wait("mail")
"""


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Terminals]:
    (tmp_path / "railed_pipeline.py").write_text(PIPELINE)
    (tmp_path / "landed").mkdir()
    for day in range(1, 5):
        (tmp_path / "landed" / f"2024-01-{day:02}.csv").write_text("n\n1\n")
    configure(tmp_path, "")
    terminals = Terminals(tmp_path)
    yield terminals
    terminals.clean_up()


def configure(root: Path, text: str) -> None:
    (root / "headgate.toml").write_text(TOML + text)


def lose(shop: Terminals, day: int) -> None:
    (shop.root / "landed" / f"2024-01-{day:02}.csv").unlink()


GONE = "without files of landed that were there before"


def test_a_range_whose_files_are_gone_is_refused_instead_of_rebuilt_empty(shop: Terminals) -> None:
    shop.call("backfill", "sales", "--yes", "--reason", "x")
    kept = shop.data("plan", "sales", "--all", "--reason", "again")
    assert kept["standing"] == "ready"
    before = shop.data("history", "sales")["versions"]
    lose(shop, 2)
    lose(shop, 3)
    _, told = shop.call("backfill", "--plan", kept["id"], "--yes", code=1)
    assert "nothing was started" in told
    # Both are stale now, since they would be built without their files.
    out, told = shop.call("backfill", "sales", "--yes", "--reason", "x", code=1)
    assert f"retention: sales: 2 partitions (2024-01-02 to 2024-01-03) {GONE}; 2024-01-02: " in out
    assert "is denied by retention" in told
    assert shop.data("plan", "sales", "--all", "--start", "2024-01-02")["standing"] == "denied"
    assert shop.data("plan", "sales", "--all", "--start", "2024-01-04")["standing"] == "ready"
    assert shop.data("history", "sales")["versions"] == before
    overridden = ["--override", "retention", "--because", "they were empty"]
    shop.call("backfill", "sales", "--yes", "--reason", "x", *overridden)
    sizes = {one["key"]: one["rows"] for one in shop.data("history", "sales")["versions"] if one["is_head"]}
    assert sizes.keys() == {f"2024-01-0{day}" for day in range(1, 5)}
    shop.author = "eve"
    assert "plan.override" in shop.call("journal", "--run", "latest")[0]


def test_a_run_is_neither_resumed_nor_retried_over_files_that_are_gone(shop: Terminals) -> None:
    (shop.root / "bad").touch()
    shop.hold("sales")
    first = shop.start("backfill", "sales", "--yes", "--reason", "x")
    shop.wait_for("sales-started", first)
    os.kill(first.pid, signal.SIGINT)
    shop.wait_for_words("draining", first)
    shop.release("sales")
    shop.end(first, code=130)
    landed = shop.root / "landed" / "2024-01-04.csv"
    landed.rename(shop.root / "aside")
    _, told = shop.call("resume", "latest", code=1)
    assert f"must not go on: retention of sales: 1 partition (2024-01-04) {GONE}" in told
    assert 'hint: Plan what is left without it, or in spite of that: headgate plan sales --reason "..." ' in told
    assert shop.data("status")["runs"][0]["state"] == "interrupted"
    (shop.root / "aside").rename(landed)
    shop.call("resume", "latest", code=1)
    assert shop.data("status")["runs"][0]["state"] == "failed"
    (shop.root / "bad").unlink()
    landed.rename(shop.root / "aside")
    _, told = shop.call("retry", "latest", "--reason", "mended", code=1)
    assert GONE in told
    refused = [(one["kind"], one["reason"]) for one in journal(shop, "latest") if one["kind"].endswith("refused")]
    assert refused == [("resume refused", "no reason given"), ("retry refused", "mended")]
    (shop.root / "aside").rename(landed)
    assert "succeeded" in shop.call("retry", "latest")[0]
    assert len(shop.data("history", "sales")["versions"]) == 4


def journal(shop: Terminals, run: str) -> list[dict[str, str]]:
    return [json.loads(line) for line in shop.call("journal", "--run", run, "--json")[0].splitlines()]


def test_effects_of_an_attempt_that_was_lost_happen_again_by_an_override_only(shop: Terminals) -> None:
    shop.hold("mail")
    first = shop.start("backfill", "mail", "--yes", "--reason", "x")
    shop.wait_for("mail-started", first)
    os.killpg(first.pid, signal.SIGKILL)
    first.communicate()
    shop.release("mail")
    # Before anybody has taken over.
    plan = shop.data("plan", "mail", "--reason", "x")
    assert plan["standing"] == "denied"
    (finding,) = plan["verdict"]["findings"]
    # The other one was ordered already, too: nobody can say that it was not begun.
    assert (finding["rule"], finding["value"]) == ("non_idempotent", "2 partitions (a to b) once more")
    run = shop.data("status")["runs"][0]["id"]
    why = shop.call("plan", "mail", "--why", "mail", "a")[0]
    assert f"because its last attempt, in run {run}, came to no end: nobody knows how far it came" in why
    shop.call("resume", "latest", code=1)
    assert (shop.root / "sent").read_text() == "a"
    _, told = shop.call("retry", "latest", code=1)
    assert "non_idempotent of mail: 2 partitions (a to b) once more; its effects must not happen twice" in told
    shop.call("backfill", "mail", "--yes", "--reason", "x", "--override", "non_idempotent", "--because", "none came")
    assert (shop.root / "sent").read_text() == "aab"


def test_a_change_of_schema_asks_for_approval_once_it_is_known(shop: Terminals) -> None:
    configure(shop.root, '[policies.schema_change]\nbecause = "Readers break."\n')
    shop.call("backfill", "sales", "--yes", "--reason", "x")
    path = shop.root / "railed_pipeline.py"
    path.write_text(
        path.read_text().replace('{"n": [0 if landed is None else landed.num_rows]}', '{"n": ["1"], "m": [1]}')
    )
    shop.call("backfill", "sales", "--end", "2024-01-02", "--yes", "--reason", "one first")
    out, told = shop.call("backfill", "sales", "--yes", "--reason", "the others", code=1)
    assert "schema_change: sales: column m is new (int64), column n: int64 is string now" in out
    assert "because: Readers break." in out
    assert "needs the approval of leads" in told
    shop.author = "bob"
    name = shop.data("plan", "list")["plans"][0]["id"]
    shop.call("approve", name, "--reason", "readers know")
    shop.call("backfill", "--plan", name, "--yes")
    assert shop.data("plan", "sales", "--all", "--reason", "x")["standing"] == "ready"


def test_a_plan_that_moves_too_many_bytes_is_denied(shop: Terminals) -> None:
    limit = '[policies.max_bytes]\nlimit = "{}"\nverdict = "deny"\n'
    configure(shop.root, limit.format("1TB"))
    # Nobody knows yet how much is written: somebody is asked to look.
    assert shop.data("plan", "sales", "--reason", "x")["standing"] == "pending"
    configure(shop.root, "")
    shop.call("backfill", "sales", "--yes", "--reason", "x")
    configure(shop.root, limit.format("1TB"))
    assert shop.data("plan", "sales", "--all", "--reason", "x")["standing"] == "ready"
    configure(shop.root, limit.format("100 B"))
    out, told = shop.call("backfill", "sales", "--all", "--yes", "--reason", "x", code=1)
    assert "max_bytes: forecast " in out
    assert "; at most 100 B (headgate.toml:11)" in out
    assert "is denied by max_bytes" in told
    configure(shop.root, "[datasets.sales.policies.max_bytes]\nlimit = '1TB'\n" + limit.format("100 B"))
    assert shop.data("plan", "sales", "--all", "--reason", "x")["standing"] == "ready"
