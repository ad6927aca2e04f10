"""Steering a run from another terminal while its coordinator runs it: real processes, and rows in the state store."""

from __future__ import annotations

import json
import os
import select
import signal
import time
from typing import TYPE_CHECKING, Any

import pytest
from runs_from_terminals import LIMIT_S, Terminals

from headgate.store.sqlite import open_store

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.slow

TOML = """
[project]
modules = ["steered_pipeline"]
[workers]
processes = 2
[pools]
warehouse = 1
"""
PIPELINE = """
import time
from pathlib import Path

import pyarrow as pa

import headgate

ALL = headgate.input("sales", allow_missing=True)
DAYS = headgate.daily("2024-01-01", "2024-01-25")
HERE = Path(__file__).parent


def made(ctx):
    with (HERE / f"started-{ctx.dataset}").open("a") as started:
        started.write(ctx.key + "\\n")
    while (HERE / f"hold-{ctx.dataset}").exists():
        time.sleep(0.01)
    return pa.table({"day": [ctx.key]})


@headgate.dataset(partitions=DAYS)
def sales(ctx: headgate.Context) -> pa.Table:
    if ctx.key == "2024-01-02" and (HERE / "bad").exists():
        (HERE / "failed").touch()
        raise ValueError("no good")
    return made(ctx)


@headgate.dataset(partitions=headgate.weekly("2024-01-01", "2024-01-29"), inputs={"sales": ALL})
def week(sales: pa.Table | None) -> pa.Table:
    return pa.table({"rows": [sales.num_rows if sales else 0]})


@headgate.dataset(partitions=DAYS, pools=["warehouse"])
def loaded(ctx: headgate.Context) -> pa.Table:
    return made(ctx)
"""
DAYS = 24


class Place(Terminals):
    """A project whose runs are steered."""

    def held(self, dataset: str) -> subprocess.Popen[str]:
        """Start a backfill and return when its first tasks run; they do not end before `release`."""
        self.hold(dataset)
        process = self.start("backfill", dataset, "--yes", "--reason", "held")
        self.wait_for(f"started-{dataset}", process)
        return process

    def started(self, dataset: str) -> int:
        return len((self.root / f"started-{dataset}").read_text().split())

    def status_when(self, is_so: Callable[[Any], bool]) -> Any:
        """Return the status of the newest run once it is as wanted."""
        until_s = time.monotonic() + LIMIT_S
        while not is_so(status := self.data("status", "latest", "--why")):
            assert time.monotonic() < until_s, status
        return status

    def journal(self) -> list[tuple[str, str, str, dict[str, Any]]]:
        store = open_store(self.root / ".headgate" / "state.db", data_root=self.root / "data", create=False)
        try:
            return [(one.kind, one.author, one.reason, json.loads(one.body)) for one in store.journal_entries()]
        finally:
            store.close()


def held_for(status: Any) -> dict[str, int]:
    return {one["hold"]["reason"]: one["tasks"] for one in status["why"]["held"]}


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    (tmp_path / "headgate.toml").write_text(TOML)
    (tmp_path / "steered_pipeline.py").write_text(PIPELINE)
    made = Place(tmp_path)
    yield made
    made.clean_up()


def test_a_paused_run_starts_nothing_until_it_is_resumed(place: Place) -> None:
    process = place.held("sales")
    out, _ = place.call("pause", "latest", "--reason", "the disk is full")
    assert " is paused: nothing more of it starts\n" in out
    assert f"next: headgate -C {place.root} resume " in out
    assert "is paused already" in place.call("pause", "latest", "--reason", "again", code=1)[1]
    place.release("sales")
    status = place.status_when(lambda seen: seen["datasets"][0]["running"] == 0 and "paused" in held_for(seen))
    done = status["run"]["done"]
    assert (status["run"]["state"], status["run"]["is_paused"]) == ("running", True)
    assert 0 < done < DAYS
    assert place.status_when(lambda seen: sum(held_for(seen).values()) == DAYS - done)["run"]["done"] == done
    text, _ = place.call("status", "latest", "--why")
    assert " running, paused: " in text
    assert "the run is paused  until somebody resumes the run" in text
    assert place.call("resume", "latest", "--reason", "space again")[0].endswith(" goes on\n")
    assert "succeeded: 24 partitions" in place.end(process)[0]
    kinds = {kind: (author, reason) for kind, author, reason, _ in place.journal()}
    assert kinds["resume accepted"] == ("ada", "space again")
    assert kinds["pause accepted"] == ("ada", "the disk is full")
    assert kinds["pause refused"] == ("ada", "again")


def test_a_paused_run_whose_coordinator_is_killed_is_resumed_for_good(place: Place) -> None:
    process = place.held("sales")
    place.call("pause", "latest", "--reason", "x")
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    place.release("sales")
    status = place.data("status", "latest", "--why")
    assert (status["run"]["state"], status["run"]["is_paused"]) == ("interrupted", True)
    (held,) = status["why"]["held"]
    assert (held["tasks"], held["hold"]["reason"]) == (DAYS, "no_coordinator")
    assert held["hold"]["next"] == ["resume", status["run"]["id"]]
    assert "succeeded" in place.call("resume", "latest")[0]
    assert place.data("check", "--state")["ok"]


def test_limits_of_a_run_change_while_it_runs(place: Place) -> None:
    process = place.held("sales")
    out, _ = place.call("set", "latest", "concurrency=1", "priority=-5", "order=newest", "--reason", "slowly")
    assert out.endswith(": concurrency 1, priority -5, order newest\n")
    assert place.data("status", "latest")["controls"] == {"concurrency": 1, "priority": -5, "order": "newest"}
    status = place.status_when(lambda seen: "run" in held_for(seen))
    assert status["why"]["at_ms"] is not None
    text, _ = place.call("status", "latest", "--why")
    assert "set by hand: concurrency 1, priority -5, order newest" in text
    assert "the run has as many attempts as it may  until an attempt of the run ends" in text
    run = place.data("set", "latest", "concurrency=none", "--reason", "fast again")["run"]
    assert run["controls"] == {"priority": -5, "order": "newest"}
    place.release("sales")
    place.end(process)
    assert ("set accepted", "ada", "slowly", {"concurrency": 1, "priority": -5, "order": "newest"}) in place.journal()
    refused = place.call("set", "latest", "concurrency=2", "--reason", "late", code=1)[1]
    assert "has succeeded: there is nothing to set" in refused


def test_a_pool_gets_more_slots_while_it_is_full(place: Place) -> None:
    process = place.held("loaded")
    status = place.status_when(lambda seen: "pool" in held_for(seen))
    (held,) = status["why"]["held"]
    assert (held["tasks"], held["hold"]["what"], held["hold"]["until"]) == (
        DAYS - 1,
        "warehouse",
        "pool warehouse has free slots",
    )
    task = place.data("explain", "loaded", "2024-01-20")["task"]
    assert (task["state"], task["wait"], task["hold"]["what"]) == ("waiting", "a pool is full", "warehouse")
    out, _ = place.call("set", "pool", "warehouse=2", "--reason", "it is idle")
    assert out == "pool warehouse: 2 slots until the coordinator ends; headgate.toml says 1\n"
    while place.started("loaded") < 2:
        assert process.poll() is None
        select.select([], [], [], 0.02)
    assert "there is no pool 'wharehouse'" in place.call("set", "pool", "wharehouse=2", "--reason", "x", code=2)[1]
    place.release("loaded")
    place.end(process)
    _, err = place.call("set", "pool", "warehouse=3", "--reason", "x", code=1)
    assert err.startswith("error: no coordinator is alive")
    assert "warehouse = 3" in err


def test_a_breaker_is_tripped_and_reset_by_hand(place: Place) -> None:
    process = place.held("loaded")
    breaker = place.data("breaker", "trip", "warehouse", "--reason", "it is being moved")["breaker"]
    assert (breaker["name"], breaker["state"]) == ("pool:warehouse", "open")
    assert place.data("breaker")["breakers"] == [breaker]
    assert "pool:warehouse  open" in place.call("breaker")[0]
    status = place.status_when(lambda seen: "breaker" in held_for(seen))
    (held,) = status["why"]["held"]
    assert held["hold"]["until_ms"] == breaker["until_ms"]
    assert status["breakers"] == [breaker]
    place.release("loaded")
    place.status_when(lambda seen: seen["datasets"][0]["running"] == 0)
    text, _ = place.call("explain", "loaded", "2024-01-20")
    assert "waiting: a circuit breaker is open\n" in text
    assert "until pool:warehouse lets a probe through at " in text
    assert f"next: headgate -C {place.root} breaker reset pool:warehouse\n" in text
    # No run that is under way builds this one.
    assert place.data("breaker", "trip", "dataset:sales", "--reason", "x")["breaker"]["state"] == "open"
    assert place.data("breaker", "reset", "sales", "--reason", "y")["breaker"]["state"] == "closed"
    assert place.call("breaker", "reset", "warehouse", "--reason", "moved")[0] == "breaker pool:warehouse is closed\n"
    assert "succeeded: 24 partitions" in place.end(process)[0]
    assert place.call("breaker")[0] == "all breakers are closed\n"
    told = [(kind, reason) for kind, _, reason, _ in place.journal() if kind.startswith("breaker")]
    assert told == [
        ("breaker accepted", "it is being moved"),
        ("breaker.opened", ""),
        ("breaker accepted", "x"),
        ("breaker.opened", ""),
        ("breaker accepted", "y"),
        ("breaker.closed", ""),
        ("breaker accepted", "moved"),
        ("breaker.closed", ""),
    ]


def test_what_has_failed_is_retried_while_the_rest_still_runs(place: Place) -> None:
    (place.root / "bad").touch()
    process = place.held("sales")
    place.wait_for("failed", process)
    status = place.status_when(lambda seen: seen["datasets"][0]["failed"] == 1)
    assert status["run"]["state"] == "running"
    (place.root / "bad").unlink()
    assert "tries again what has failed so far" in place.call("retry", "latest", "--reason", "mended")[0]
    assert "nothing has failed in run " in place.call("retry", "latest", code=1)[1]
    place.release("sales")
    assert "succeeded: 24 partitions" in place.end(process)[0]
    assert ("retry accepted", "ada", "mended", {}) in place.journal()


def test_resuming_what_runs_follows_it_and_leaving_leaves_it_alone(place: Place) -> None:
    process = place.held("sales")
    followers = [place.start("resume", "latest"), place.start("resume", "latest")]
    for follower in followers:
        assert follower.stderr is not None
        assert follower.stderr.readline().endswith(" goes on in another process: Ctrl-C leaves it alone\n")
    followers[0].send_signal(signal.SIGINT)
    assert "it goes on in another process\n" in place.end(followers[0], code=130)[0]
    assert process.poll() is None
    place.release("sales")
    assert "succeeded: 24 partitions" in place.end(followers[1])[0]
    assert "succeeded: 24 partitions" in place.end(process)[0]


def test_what_waits_for_a_failed_task_is_blocked_while_the_run_lives(place: Place) -> None:
    (place.root / "bad").touch()
    place.hold("sales")
    process = place.start("backfill", "sales+", "--yes", "--reason", "held")
    place.wait_for("failed", process)
    status = place.status_when(lambda seen: "blocked" in held_for(seen))
    assert status["run"]["state"] == "running"
    assert {line["name"]: line["blocked"] for line in status["datasets"]} == {"sales": 0, "week": 1}
    text, _ = place.call("status", "latest", "--why")
    assert "something upstream failed or is missing  until sales/2024-01-02, which failed, is built" in text
    assert f"next: headgate -C {place.root} retry {status['run']['id']}" in text
    text, _ = place.call("explain", "week", "2024-01-01")
    assert ": blocked: something upstream failed or is missing\n" in text
    assert "until sales/2024-01-02, which failed, is built" in text
    (place.root / "bad").unlink()
    place.call("retry", "latest", "--reason", "mended")
    place.status_when(lambda seen: "blocked" not in held_for(seen))
    place.release("sales")
    assert "succeeded: 28 partitions" in place.end(process)[0]
