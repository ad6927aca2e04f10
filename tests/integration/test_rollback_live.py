"""Rollbacks from the command line, alone and beside a coordinator that is alive: real processes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from runs_from_terminals import Terminals

from headgate.store.sqlite import open_store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from headgate.store.store import Store

pytestmark = pytest.mark.slow

CONFIG = '[project]\nname = "back"\nmodules = ["back_pipeline"]\n[workers]\nprocesses = 2\n'
PIPELINE = """
import time
from pathlib import Path

import pyarrow as pa

import headgate as hg

HERE = Path(__file__).parent
DAYS = hg.daily("2024-01-01", "2024-01-05")


@hg.dataset(partitions=DAYS, gates=[hg.in_range("n", max=1, severity="warn")])
def flights(ctx: hg.Context) -> pa.Table:
    while (HERE / "hold-flights").exists():
        (HERE / f"began-flights-{ctx.key}").touch()
        time.sleep(0.02)
    return pa.table({"n": [VALUE]})


OF_FLIGHTS = hg.sql("select * from this where n not in (select n * 10 from flights)", severity="warn")


@hg.dataset(partitions=DAYS, gates=[OF_FLIGHTS, hg.row_count(within=0.5)])
def daily(flights: pa.Table, ctx: hg.Context) -> pa.Table:
    while (HERE / "hold-daily").exists():
        (HERE / f"began-daily-{ctx.key}").touch()
        time.sleep(0.02)
    return pa.table({"n": [flights["n"][0].as_py() * 10]})
"""


@pytest.fixture
def terminals(tmp_path: Path) -> Iterator[Terminals]:
    (tmp_path / "headgate.toml").write_text(CONFIG)
    write(tmp_path, 1)
    found = Terminals(tmp_path)
    yield found
    found.clean_up()


def write(root: Path, value: int) -> None:
    (root / "back_pipeline.py").write_text(PIPELINE.replace("VALUE", str(value)))


def backfill(terminals: Terminals, *more: str, code: int = 0) -> str:
    """Backfill to the end; return the id of the run."""
    done: dict[str, Any] = terminals.data("backfill", "--yes", "--reason", "test", *more, code=code)
    run: str = done["run"]["id"]
    return run


def opened(terminals: Terminals) -> Store:
    root = terminals.root
    return open_store(root / ".headgate" / "state.db", data_root=root / "data", create=False)


def contents(terminals: Terminals, dataset: str) -> dict[str, str]:
    store = opened(terminals)
    try:
        return {version.key: version.content for version in store.heads(dataset)}
    finally:
        store.close()


def test_a_bad_run_is_put_back_held_resolved_and_built_anew(terminals: Terminals) -> None:
    backfill(terminals)
    good = {name: contents(terminals, name) for name in ("flights", "daily")}
    write(terminals.root, 2)
    bad = backfill(terminals)
    assert contents(terminals, "daily") != good["daily"]

    _, err = terminals.call("rollback", bad, "--reason", "wrong", code=2)
    assert "nobody is there to confirm" in err
    done = terminals.data("rollback", bad, "--reason", "wrong", "--yes")
    rollback = done["run"]
    # Gates about inputs look into those that the older version was made from; the version before it is not known.
    assert (done["moved"]["partitions"], done["held"], done["warnings"]) == (8, 8, [])
    assert done["not_asked"] == ["daily: row_count(within=0.5)"]
    assert [(group["dataset"], group["count"]) for group in done["stale"]] == [("flights", 4)]
    assert {name: contents(terminals, name) for name in good} == good
    terminals.call("check", "--state")
    shown = terminals.data("runs", "show", rollback)
    assert (shown["run"]["kind"], shown["run"]["done"], shown["skipped"]) == ("rollback", 8, 0)
    assert "rollback" in terminals.call("runs")[0]
    text, _ = terminals.call("runs", "show", rollback)
    assert f"run {rollback} succeeded: 8 heads moved\n  rollback by ada, " in text
    assert f"it took back what run {bad} had published: " in text
    assert f"8 partitions held until the cause is mended: headgate -C {terminals.root} resolve {rollback} " in text
    assert "digest" not in text
    assert (shown["rollback"]["of"], shown["rollback"]["kind"], shown["rollback"]["held"]) == (bad, "backfill", 8)
    assert "heads moved" in terminals.call("status", rollback)[0]

    # The bad code is still there, and no plan builds it again.
    out, _ = terminals.call("plan", "flights")
    assert f"held by rollback {rollback}" in out
    assert terminals.data("plan", "flights")["partitions"] == 0
    assert f"rollback {rollback} holds it" in terminals.call("plan", "flights", "--why", "flights", "2024-01-02")[0]
    assert f"held by rollback {rollback}" in terminals.call("explain", "flights", "2024-01-02")[0]
    assert [one["partitions"] for one in terminals.data("holds")["holds"]] == [4, 4]
    assert "1 rollback not resolved" in terminals.call("status")[0]
    now, was = (terminals.data("history", "flights", "2024-01-02")["versions"][n]["version"] for n in (1, 0))
    moved = f"  2024-01-02  version {was} -> version {now}  by {rollback}, "
    assert moved in terminals.call("history", "flights", "2024-01-02")[0]
    assert f"{rollback} put version {now} in place of {was}, " in terminals.call("explain", "flights", "2024-01-02")[0]
    assert "nothing to do: all of it is held" in out
    override = ("--override", "held", "--because", "it is a test")
    backfill(terminals, "flights", "--end", "2024-01-02", *override)
    assert contents(terminals, "flights")["2024-01-01"] != good["flights"]["2024-01-01"]

    write(terminals.root, 3)
    terminals.call("resolve", rollback, "--reason", "mended")
    _, err = terminals.call("resolve", rollback, "--reason", "mended", code=1)
    assert "holds nothing any more" in err
    backfill(terminals)
    assert terminals.data("plan")["partitions"] == 0
    terminals.call("check", "--state")


def test_what_is_downstream_needs_a_decision_and_an_undo_puts_all_forth_again(terminals: Terminals) -> None:
    backfill(terminals)
    good = {name: contents(terminals, name) for name in ("flights", "daily")}
    write(terminals.root, 2)
    first = backfill(terminals, "flights")
    backfill(terminals, "daily")
    bad = {name: contents(terminals, name) for name in good}
    out, err = terminals.call("rollback", first, "--reason", "wrong", "--yes", code=2)
    assert "was made from that, and stays:" in out
    assert "--with-downstream" in err
    nothing, err = terminals.call("rollback", "flights", "2024-01-01", "--to", first, "--reason", "?", "--yes", code=1)
    assert (nothing, err) == ("", "error: there is nothing to roll back: flights shows what it showed then\n")
    assert {name: contents(terminals, name) for name in good} == bad
    rollback = terminals.data("rollback", first, "--with-downstream", "--reason", "wrong", "--yes")["run"]
    assert {name: contents(terminals, name) for name in good} == good
    terminals.call("rollback", rollback, "--reason", "it was right", "--yes")
    assert f"it undid rollback {rollback}: " in terminals.call("runs", "show", "latest")[0]
    assert {name: contents(terminals, name) for name in good} == bad
    assert terminals.data("holds")["holds"] == []
    left = terminals.data("rollback", first, "--leave-downstream", "--reason", "wrong", "--yes")
    assert [(group["dataset"], group["count"]) for group in left["stale"]] == [("flights", 4), ("daily", 4)]
    assert contents(terminals, "daily") == bad["daily"]
    terminals.call("check", "--state")


def test_partitions_go_back_to_a_time_a_run_or_a_version_and_gates_look_again(terminals: Terminals) -> None:
    write(terminals.root, 5)
    first = backfill(terminals, "flights")
    write(terminals.root, 1)
    backfill(terminals, "flights")
    span = ("--start", "2024-01-02", "--end", "2024-01-04")
    done = terminals.data("rollback", "flights", *span, "--to", first, "--yes", "--reason", "x")
    assert done["moved"]["restored"][0]["ranges"] == [{"first": "2024-01-02", "last": "2024-01-03", "count": 2}]
    assert [(one["key"], one["gate"]) for one in done["warnings"]] == [
        ("2024-01-02", "in_range(n)"), ("2024-01-03", "in_range(n)"),
    ]  # fmt: skip
    version = terminals.data("history", "flights", "2024-01-01")["versions"][1]["version"]
    terminals.call("rollback", "flights", "2024-01-01", "--to", str(version), "-y", "--reason", "x")
    _, err = terminals.call("rollback", "flights", "--to", "2199-01-01", "-y", "--reason", "x", code=2)
    assert "has not come yet" in err
    _, err = terminals.call("rollback", "flights", "--to", "nonsense", "-y", "--reason", "x", code=2)
    assert "is no version, time or run" in err
    _, err = terminals.call("rollback", "flights", "-y", "--reason", "x", code=2)
    assert "go back to what?" in err
    out, _ = terminals.call("rollback", "flights", "--to", "2024-01-01", "-y", "--reason", "x")
    assert "will have no version, as before:" in out
    assert contents(terminals, "flights") == {}
    terminals.call("check", "--state")


def test_beside_a_coordinator_an_attempt_that_read_what_was_taken_back_cannot_publish(terminals: Terminals) -> None:
    backfill(terminals, "flights")
    good = contents(terminals, "flights")
    write(terminals.root, 2)
    bad = backfill(terminals, "flights")
    terminals.hold("daily")
    building = terminals.start("backfill", "daily", "--yes", "--reason", "reads what is bad")
    terminals.wait_for("began-daily-2024-01-01", building)
    terminals.wait_for("began-daily-2024-01-02", building)
    terminals.call("rollback", bad, "--reason", "wrong", "--yes")
    assert contents(terminals, "flights") == good
    terminals.release("daily")
    out, err = terminals.end(building, code=1)
    assert "was rolled back meanwhile" in out + err
    # What had not begun has read what is visible again.
    assert sorted(contents(terminals, "daily")) == ["2024-01-03", "2024-01-04"]
    terminals.call("check", "--state")


def test_beside_a_coordinator_what_has_lost_its_input_or_is_held_does_not_begin(terminals: Terminals) -> None:
    bad = backfill(terminals, "flights")
    terminals.hold("daily")
    building = terminals.start("backfill", "daily", "--yes", "--reason", "reads what is bad")
    terminals.wait_for("began-daily-2024-01-01", building)
    terminals.wait_for("began-daily-2024-01-02", building)
    terminals.call("rollback", bad, "--reason", "wrong", "--yes")
    terminals.release("daily")
    out, err = terminals.end(building, code=1)
    assert "was rolled back meanwhile" in out + err
    assert contents(terminals, "daily") == {}
    states = {attempt.key: attempt.state.value for attempt in attempts(terminals)}
    assert states == {
        "2024-01-01": "superseded", "2024-01-02": "superseded", "2024-01-03": "failed", "2024-01-04": "failed",
    }  # fmt: skip
    terminals.call("check", "--state")


def attempts(terminals: Terminals) -> list[Any]:
    store = opened(terminals)
    try:
        run = next(run for run in store.runs() if run.reason == "reads what is bad")
        return store.attempts(run.id)
    finally:
        store.close()


def test_a_run_under_way_has_to_be_cancelled_first(terminals: Terminals) -> None:
    terminals.hold("flights")
    building = terminals.start("backfill", "flights", "--yes", "--reason", "slow")
    terminals.wait_for("began-flights-2024-01-01", building)
    _, err = terminals.call("rollback", "latest", "--reason", "wrong", "--yes", code=1)
    assert "is running: it may still publish" in err
    assert "headgate cancel" in err
    terminals.release("flights")
    terminals.end(building)


def test_readers_see_whole_states_only(terminals: Terminals) -> None:
    backfill(terminals)
    write(terminals.root, 2)
    bad = backfill(terminals)
    store = opened(terminals)
    try:
        states = {tuple(sorted((v.dataset, v.key, v.id) for v in heads(store)))}
        run = bad
        for reason in ("back", "forth", "back"):
            rolling = terminals.start("rollback", run, "--reason", reason, "--yes", "--json")
            while rolling.poll() is None:
                states.add(tuple(sorted((v.dataset, v.key, v.id) for v in heads(store))))
            out, _ = terminals.end(rolling)
            run = out.split('"run": "')[1].split('"')[0]
            states.add(tuple(sorted((v.dataset, v.key, v.id) for v in heads(store))))
    finally:
        store.close()
    assert len(states) == 2
    assert {len(state) for state in states} == {8}


def heads(store: Store) -> list[Any]:
    """Return all heads at one instant."""
    with store.transaction() as tx:
        days = [f"2024-01-{day:02}" for day in range(1, 5)]
        return [head for name in ("flights", "daily") for head in tx.heads(name, days) if head is not None]
