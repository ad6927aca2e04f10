"""What gates refuse, with real processes: quarantined, looked at, released, dropped; nothing lost, nothing visible."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from runs_from_terminals import LIMIT_S, Terminals

from headgate.model.run import AttemptState
from headgate.store.sqlite import open_store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.slow

TOML = """
[project]
modules = ["gated_pipeline"]
[workers]
processes = 2
"""
PIPELINE = """
import time
from pathlib import Path

import pyarrow as pa

import headgate

DAYS = headgate.daily("2024-01-01", "2024-01-21")
HERE = Path(__file__).parent


def lines(name):
    return (HERE / name).read_text().split() if (HERE / name).exists() else []


@headgate.dataset(
    partitions=DAYS,
    gates=[
        headgate.not_null("n"),
        headgate.row_count(min=3, severity="warn"),
        headgate.row_count(max=9, severity="approve"),
    ],
)
def sales(ctx: headgate.Context) -> pa.Table:
    with (HERE / "calls").open("a") as calls:
        calls.write(ctx.key + "\\n")
    ctx_key = ctx.key
    while (HERE / "hold-sales").exists() and ctx_key > "2024-01-10":
        time.sleep(0.01)
    rows = 12 if ctx_key in lines("many") else 2 if ctx_key in lines("few") else 5
    numbers = list(range(rows))
    if ctx_key in lines("bad"):
        numbers[1] = None
    return pa.table({"day": [ctx_key] * rows, "n": pa.array(numbers, pa.int64()), "made": [len(lines("calls"))] * rows})


@headgate.dataset(partitions=DAYS, inputs={"sales": headgate.trailing(2)})
def trend(sales: pa.Table) -> pa.Table:
    return pa.table({"rows": [sales.num_rows]})


@headgate.dataset(gates=[headgate.not_null("n")], batches=0)
def readings(ctx):
    for n in range(ctx.resume_from or 0, 3):
        yield headgate.Batch(pa.table({"n": pa.array([n, None if lines("bad") else 1], pa.int64())}), offset=n + 1)
"""
DAYS = 20
BAD = ("2024-01-05", "2024-01-09")


class Place(Terminals):
    """A project whose gates refuse the days named in the file `bad`."""

    def name(self, file: str, *days: str) -> None:
        (self.root / file).write_text("\n".join(days))

    def backfill(self, *arguments: str, code: int = 0, as_json: bool = True) -> Any:
        call = ("backfill", "trend", "+trend", *arguments, "--yes", "--reason", "gated")
        return self.data(*call, code=code) if as_json else self.call(*call, code=code)

    def heads(self, dataset: str = "sales") -> dict[str, int]:
        store = open_store(self.root / ".headgate" / "state.db", data_root=self.root / "data", create=False)
        try:
            return {head.key: head.id for head in store.heads(dataset)}
        finally:
            store.close()

    def held(self) -> dict[str, int]:
        return {one["key"]: one["attempt"] for one in self.data("quarantine", "list")["quarantined"]}

    def calls(self) -> list[str]:
        return (self.root / "calls").read_text().split()

    def files(self, attempt: int) -> list[Path]:
        return [*(self.root / "data").rglob(f"*-a{attempt:04d}*.parquet")]

    def rows(self, sql: str) -> Any:
        return self.data("query", sql)

    def sound(self) -> None:
        assert self.call("check", "--state")[0]

    def crash(self, point: str, *arguments: str) -> None:
        """Run a command that is killed at a point."""
        done = subprocess.run(
            [sys.executable, "-m", "headgate", "-C", str(self.root), *arguments],
            env={**os.environ, "HEADGATE_AUTHOR": self.author, "HEADGATE_CRASH_AT": point},
            check=False,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
        )
        assert done.returncode == -signal.SIGKILL, done.stdout + done.stderr


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    (tmp_path / "headgate.toml").write_text(TOML)
    (tmp_path / "gated_pipeline.py").write_text(PIPELINE)
    made = Place(tmp_path)
    yield made
    made.clean_up()


@pytest.fixture
def gated(place: Place) -> Place:
    """A project in whose run two days were refused."""
    place.name("bad", *BAD)
    place.backfill(code=1)
    return place


def test_what_is_refused_is_held_and_the_rest_goes_on(gated: Place) -> None:
    assert len(gated.heads()) == DAYS - len(BAD)
    assert not gated.heads().keys() & set(BAD)
    # A day of trend reads two of sales.
    assert len(gated.heads("trend")) == DAYS - 4
    assert gated.held().keys() == set(BAD)
    assert len(gated.calls()) == DAYS, "what a gate has refused is not tried again"
    status = gated.data("status", "latest")
    assert (status["run"]["state"], status["quarantined"], status["warnings"]) == ("failed", 2, {})
    assert {failure["key"]: failure["error_class"] for failure in status["failures"]} == dict.fromkeys(BAD, "data")
    first = status["failures"][0]
    assert "not_null(n): " in first["message"]
    assert first["hint"] == f"headgate quarantine show {first['attempt']}"
    assert "2 quarantined: headgate -C" in gated.call("status", "latest")[0]
    assert "2 quarantined: headgate -C" in gated.call("runs", "show", "latest")[0]
    explained = gated.data("explain", "sales", BAD[0])
    assert [one["attempt"] for one in explained["quarantined"]] == [gated.held()[BAD[0]]]
    assert "quarantine  attempt" in gated.call("explain", "sales", BAD[0])[0]
    gated.sound()


def test_the_end_of_a_run_says_how_much_is_quarantined(place: Place) -> None:
    place.name("bad", *BAD)
    out, _ = place.backfill(code=1, as_json=False)
    assert "2 quarantined: headgate -C" in out
    here, run = f"headgate -C {place.root}", place.data("status", "latest")["run"]["id"]
    look = f"next: {here} quarantine show sales {BAD[0]}\n"
    assert out.endswith(f"{look}      {here} retry {run} goes on, once that is released or mended\n")
    assert place.call("status", "latest")[0].endswith(f"{look}next: {here} retry {run}\n")
    assert place.data("retry", "latest", code=1)["quarantined"] == 2


def test_the_old_head_stays_visible(place: Place) -> None:
    place.backfill()
    before = place.heads()
    place.name("bad", BAD[0])
    place.backfill("--all", "--start", "2024-01-05", "--end", "2024-01-07", code=1)
    assert place.heads()[BAD[0]] == before[BAD[0]]
    assert place.heads()["2024-01-06"] != before["2024-01-06"]
    assert place.rows(f"select count(*) as n from sales where day = '{BAD[0]}' and n is not null") == [{"n": 5}]


def test_what_is_quarantined_is_looked_at_beside_the_head(place: Place) -> None:
    place.backfill()
    place.name("bad", BAD[0])
    place.backfill("--all", "--start", "2024-01-05", "--end", "2024-01-06", code=1)
    attempt = place.held()[BAD[0]]
    view = place.data("quarantine", "show", str(attempt))
    assert view["line"]["gates"][0]["gate"] == "not_null(n)"
    assert [gate["passed"] for gate in view["gates"]] == [False, True, True]
    assert view["why_not"] == ""
    assert view["head"]["version"] == place.heads()[BAD[0]]
    out, _ = place.call("quarantine", "show", "sales", BAD[0])
    assert f"attempt {attempt} of sales/{BAD[0]} is held: a gate has blocked it\n" in out
    assert "5 rows" in out
    sql = "select count(*) - count(t.n) as nulls, count(h.n) as before from this t full join head h using (n)"
    assert place.data("quarantine", "query", str(attempt), sql) == [{"nulls": 2, "before": 5}]
    for outside in ("sales", f"'{place.root}/headgate.toml'"):
        assert place.call("quarantine", "query", str(attempt), f"select * from {outside}", code=2)[1]


def test_a_release_publishes_and_dependants_are_built_by_a_retry(gated: Place) -> None:
    called = len(gated.calls())
    gated.author = "bob"
    attempts = gated.held()
    out, _ = gated.call("quarantine", "release", "sales", BAD[0], "--reason", "that shop was closed")
    assert f"attempt {attempts[BAD[0]]} of sales/{BAD[0]} is published\nnext: headgate -C" in out
    assert gated.heads()[BAD[0]] == attempts[BAD[0]]
    assert gated.held().keys() == {BAD[1]}
    gated.data("retry", "latest", code=1)
    assert gated.calls()[called:] == [BAD[1]], "what was released is not built again"
    assert len(gated.heads("trend")) == DAYS - 2
    newest = gated.data("history", "sales", BAD[0])["versions"][0]
    assert newest["audit"]["held"] == 2
    assert [gate["gate"] for gate in newest["audit"]["failed"]] == ["not_null(n)"]
    assert "2 held, 1 overruled" in gated.call("history", "sales", BAD[0])[0]
    entry = json.loads(gated.call("journal", "--kind", "quarantine.released", "--json")[0])
    assert (entry["author"], entry["reason"]) == ("bob", "that shop was closed")
    gated.sound()


def test_what_waited_for_a_release_is_not_built_until_a_retry(gated: Place) -> None:
    assert gated.data("explain", "trend", BAD[0])["task"]["state"] == "blocked"
    gated.call("quarantine", "release", "sales", BAD[0], "--reason", "fine")
    assert gated.data("explain", "trend", BAD[0])["task"]["state"] == "not built"
    assert gated.data("explain", "trend", BAD[1])["task"]["state"] == "blocked"
    assert gated.data("status", "latest")["run"]["state"] == "failed"


def test_what_is_released_in_a_run_that_publishes_together_is_staged(place: Place) -> None:
    place.name("bad", BAD[0])
    place.backfill("--publish", "together", code=1)
    (attempt,) = place.held().values()
    released = place.data("quarantine", "release", str(attempt), "--reason", "fine")["released"]
    assert [(one["is_staged"], one["run_state"]) for one in released] == [(True, "failed")]
    assert place.heads() == {}
    place.call("retry", "latest")
    assert place.heads()[BAD[0]] == attempt
    place.sound()


def test_of_a_discarded_run_nothing_is_released(place: Place) -> None:
    place.name("bad", BAD[0])
    place.backfill("--publish", "together", code=1)
    (attempt,) = place.held().values()
    place.call("discard", "latest", "--reason", "no")
    run = place.data("status", "latest")["run"]["id"]
    out, _ = place.call("quarantine", "show", str(attempt))
    assert f"it cannot be released: run {run}, which it belongs to, was discarded" in out
    place.call("quarantine", "release", str(attempt), "--reason", "fine", code=1)
    assert "had staged: it was discarded" in place.call("diff", "latest")[0]


def test_what_is_released_beside_a_live_coordinator_is_not_built_again_by_a_retry(place: Place) -> None:
    place.name("bad", *BAD)
    place.hold("sales")
    process = place.start("backfill", "+trend", "--yes", "--reason", "gated", "--json")
    while place.root.joinpath(".headgate", "state.db").exists() is False or len(place.held()) < len(BAD):
        assert process.poll() is None, process.communicate()
    attempts = place.held()
    for attempt in attempts.values():
        place.call("quarantine", "release", str(attempt), "--reason", "fine")
    place.call("retry", "latest", "--reason", "released")
    place.release("sales")
    place.end(process)
    assert {day: place.heads()[day] for day in BAD} == attempts
    assert len(place.heads("trend")) == DAYS
    assert [place.calls().count(day) for day in BAD] == [1, 1]
    place.sound()


def test_a_drop_removes_the_files_and_a_retry_builds_anew(gated: Place) -> None:
    attempts = gated.held()
    assert all(gated.files(attempt) for attempt in attempts.values())
    gated.call("quarantine", "drop", *map(str, attempts.values()), "--reason", "rubbish")
    assert not any(gated.files(attempt) for attempt in attempts.values())
    assert gated.held() == {}
    gated.sound()
    gated.name("bad")
    gated.call("retry", "latest")
    assert len(gated.heads()) == len(gated.heads("trend")) == DAYS


def test_the_parts_of_a_dataset_of_batches_are_kept_and_removed_with_it(place: Place) -> None:
    place.name("bad", "yes")
    place.call("backfill", "readings", "--yes", "--reason", "gated", code=1)
    (attempt,) = place.held().values()
    assert len(place.files(attempt)) == 3
    # A new coordinator collects garbage.
    place.call("backfill", "sales", "--start", "2024-01-01", "--end", "2024-01-02", "--yes", "--reason", "other")
    assert len(place.files(attempt)) == 3
    sql = "select count(*) as n from this where n is null"
    assert place.data("quarantine", "query", str(attempt), sql) == [{"n": 3}]
    (run,) = {one["run"] for one in place.data("quarantine", "list")["quarantined"]}
    out, _ = place.call("quarantine", "release", str(attempt), "--reason", "fine")
    assert out.endswith(f"run {run} has succeeded: that was all it lacked\n")
    assert place.data("status", run)["run"]["state"] == "succeeded"
    assert place.rows("select count(*) as n from readings") == [{"n": 6}]
    place.call("backfill", "readings", "--all", "--yes", "--reason", "again", code=1)
    (second,) = place.held().values()
    place.call("quarantine", "drop", str(second), "--reason", "rubbish")
    assert (len(place.files(attempt)), place.files(second)) == (3, [])
    place.sound()


def test_warnings_are_published_and_recorded(place: Place) -> None:
    place.name("few", BAD[0])
    place.backfill()
    assert len(place.heads()) == DAYS
    assert place.data("status", "latest")["warnings"] == {"sales": 1}
    out, _ = place.call("status", "latest")
    assert f"1 partition published with warnings: headgate -C {place.root} history sales" in out
    (audit,) = (one["audit"] for one in place.data("history", "sales", BAD[0])["versions"])
    assert (audit["held"], [gate["severity"] for gate in audit["failed"]]) == (2, ["warn"])
    assert "warned: " in place.call("explain", "sales", BAD[0])[0]


def test_what_waits_for_a_release_takes_an_approver(place: Place) -> None:
    (place.root / "headgate.toml").write_text(
        TOML
        + '[approvers]\nleads = ["ada", "bob"]\n'
        + '[policies.max_partitions]\nlimit = 1000\nverdict = "approval"\napprovers = "leads"\npersons = 2\n'
    )
    place.name("many", BAD[0])
    place.backfill(code=1)
    attempt = str(place.held()[BAD[0]])
    assert "waits for a release: row_count(" in place.data("status", "latest")["failures"][0]["message"]
    assert "waits for a release" in place.call("quarantine", "list")[0]
    release = ("quarantine", "release", attempt, "--reason", "we know")
    _, err = place.call(*release, code=1)
    assert "ada is the author of run" in err
    assert err.endswith("hint: bob may.\n")
    place.author = "eve"
    assert "eve may not release attempt" in place.call(*release, code=1)[1]
    assert BAD[0] not in place.heads()
    place.author = "bob"
    place.call(*release)
    assert BAD[0] in place.heads()
    refused = [json.loads(line) for line in place.call("journal", "--kind", "quarantine", "--json")[0].splitlines()]
    assert [entry["author"] for entry in refused if entry["kind"] == "quarantine release refused"] == ["ada", "eve"]


def test_a_partition_that_is_made_again_takes_the_place_of_what_is_held(gated: Place) -> None:
    first = gated.held()
    gated.name("bad", BAD[0])
    run = gated.data("retry", "latest", code=1)["run"]["id"]
    second = gated.held()
    assert second.keys() == {BAD[0]}
    assert second[BAD[0]] > first[BAD[0]]
    out, _ = gated.call("quarantine", "show", str(first[BAD[0]]))
    assert "dropped by ada at " in out
    assert f": superseded by attempt {second[BAD[0]]} of run {run}, which is held in its place" in out
    _, err = gated.call("quarantine", "release", str(first[BAD[1]]), "--reason", "late", code=1)
    newer = gated.heads()[BAD[1]]
    assert f"was dropped already, by ada: superseded by attempt {newer} of run {run}, which was published" in err
    gated.call("vacuum")
    assert not any(gated.files(attempt) for attempt in first.values())
    assert gated.files(second[BAD[0]])
    gated.sound()


def test_a_damaged_file_is_not_released(gated: Place) -> None:
    attempt = gated.held()[BAD[0]]
    (file,) = gated.files(attempt)
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    _, err = gated.call("quarantine", "release", str(attempt), "--reason", "fine", code=1)
    assert "is damaged" in err
    assert BAD[0] not in gated.heads()


@pytest.mark.parametrize("point", ["quarantine.inside_hold:1", "coordinator.after_publish:1"])
def test_a_kill_around_the_quarantine_loses_nothing_and_shows_nothing(place: Place, point: str) -> None:
    place.name("bad", BAD[0])
    day = ("--start", "2024-01-05", "--end", "2024-01-06")
    place.crash(point, "backfill", "sales", *day, "--yes", "--reason", "k")
    assert place.heads() == {}
    place.call("resume", "latest", code=1)
    assert place.heads() == {}
    assert place.held().keys() == {BAD[0]}
    store = open_store(place.root / ".headgate" / "state.db", data_root=place.root / "data", create=False)
    (run,) = store.runs()
    states = [attempt.state for attempt in store.attempts(run.id)]
    store.close()
    assert states.count(AttemptState.FAILED) == 1
    attempt = place.held()[BAD[0]]
    assert len([*(place.root / "data").rglob("*.parquet")]) == len(place.files(attempt)) == 1
    place.sound()
    place.call("quarantine", "release", str(attempt), "--reason", "fine")
    assert place.heads() == {BAD[0]: attempt}
    place.sound()
