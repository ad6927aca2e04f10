"""Runs that publish together, with real processes: readers see all of a run or nothing of it."""

from __future__ import annotations

import json
import os
import select
import signal
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from runs_from_terminals import LIMIT_S, Terminals

from headgate.model.run import AttemptState
from headgate.store.sqlite import open_store
from headgate.views.query import query

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator
    from pathlib import Path

    from headgate.store.store import Store

pytestmark = pytest.mark.slow

TOML = """
[project]
modules = ["staged_pipeline"]
[workers]
processes = 2
"""
PIPELINE = """
import time
from pathlib import Path

import polars as pl

import headgate

DAYS = headgate.daily("2024-01-01", "2024-01-07")
HERE = Path(__file__).parent


def held(name):
    while (HERE / f"hold-{name}").exists():
        time.sleep(0.01)


@headgate.dataset(partitions=DAYS)
def sales(ctx: headgate.Context) -> pl.DataFrame:
    held("sales")
    if (HERE / "fail").exists() and ctx.key == "2024-01-05":
        raise ValueError("the fifth")
    each = int((HERE / "each").read_text())
    return pl.DataFrame({"day": [ctx.key] * 3, "line": [1, 2, 3], "amount": [each] * 3})


@headgate.dataset(partitions=DAYS)
def costs(sales: pl.DataFrame) -> pl.DataFrame:
    held("costs")
    return sales.with_columns(cost=pl.col("amount") * 2)


@headgate.dataset
def total(costs: pl.DataFrame) -> pl.DataFrame:
    held("total")
    return costs.select(pl.col("amount").sum(), pl.col("cost").sum())
"""
DAYS, LINES = 6, 3
PARTITIONS = 2 * DAYS + 1
SEEN = "select (select sum(amount) from sales), (select sum(cost) from costs), (select sum(cost) from total)"


class Place(Terminals):
    """A project of which everything was built once, with 1 in every line."""

    def make(self, each: int) -> None:
        (self.root / "each").write_text(str(each))

    def store(self) -> Store:
        return open_store(self.root / ".headgate" / "state.db", data_root=self.root / "data", create=False)

    def together(self, reason: str, *arguments: str) -> subprocess.Popen[str]:
        return self.start("backfill", "--all", "--yes", "--reason", reason, "--publish", "together", *arguments)

    def run(self, reason: str) -> str:
        return next(run["id"] for run in self.data("status")["runs"] if run["reason"] == reason)

    def move(self, run: str) -> dict[str, Any]:
        """Return the journal entry that made a run visible."""
        lines, _ = self.call("journal", "--run", self.data("status", run)["run"]["id"], "--json")
        return next(entry for entry in map(json.loads, lines.splitlines()) if entry["kind"] == "publish.together")

    def state(self, reason: str) -> str:
        return next(run["state"] for run in self.data("status")["runs"] if run["reason"] == reason)

    def sums(self) -> tuple[object, ...]:
        store = self.store()
        try:
            (row,) = query(store, self.root / "data", SEEN).rows
            return row
        finally:
            store.close()

    def attempts(self, run: str, state: AttemptState) -> set[int]:
        """Return the attempts of a run in a state."""
        store = self.store()
        try:
            return {one.id for one in store.attempts(run) if one.state is state}
        finally:
            store.close()

    def until_staged(self, count: int) -> None:
        """Return when some run has staged so many partitions."""
        store, until_s = self.store(), time.monotonic() + LIMIT_S
        try:
            while True:
                assert time.monotonic() < until_s
                staged = [store.staged_run(run) for run in store.staged_runs()]
                if sum(one.partitions for one in staged if one) >= count:
                    return
                select.select([], [], [], 0.02)
        finally:
            store.close()

    def assert_sound(self) -> None:
        """Assert that the state is whole, and that nothing is stale."""
        self.call("check", "--state")
        assert self.data("plan")["datasets"] == []


def built(each: int) -> tuple[int, int, int]:
    return DAYS * LINES * each, DAYS * LINES * each * 2, DAYS * LINES * each * 2


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    (tmp_path / "headgate.toml").write_text(TOML)
    (tmp_path / "staged_pipeline.py").write_text(PIPELINE)
    made = Place(tmp_path)
    made.make(1)
    made.call("backfill", "--yes", "--reason", "first")
    yield made
    made.clean_up()


class Reader:
    """Reads sums over all datasets again and again."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._read)
        self.seen: list[tuple[object, ...]] = []

    def _read(self) -> None:
        while not self._stop.is_set():
            self.seen.append(self._place.sums())

    def __enter__(self) -> Reader:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()


def test_readers_see_all_of_it_or_nothing(place: Place) -> None:
    place.make(2)
    with Reader(place) as reader:
        out, _ = place.end(place.together("second"))
        until_s = time.monotonic() + LIMIT_S
        while reader.seen[-1] != built(2):
            assert time.monotonic() < until_s
            select.select([], [], [], 0.01)
    assert set(reader.seen) == {built(1), built(2)}
    assert reader.seen == sorted(reader.seen)
    assert f"succeeded: {PARTITIONS} partitions" in out
    assert "published" in out
    entry = place.move("latest")
    assert entry["details"]["moved"] == PARTITIONS
    place.assert_sound()


def test_its_own_tasks_read_what_it_has_staged_and_other_runs_do_not(place: Place) -> None:
    place.make(2)
    place.hold("total")
    process = place.together("second")
    place.until_staged(2 * DAYS)
    assert place.sums() == built(1)
    assert place.data("plan")["datasets"] == []
    place.release("total")
    place.end(process)
    assert place.sums() == built(2)
    place.assert_sound()


def test_an_approval_is_waited_for(place: Place) -> None:
    place.make(2)
    out, _ = place.end(place.together("second", "--approve-first"))
    run = place.run("second")
    assert f"run {run} staged: {PARTITIONS} partitions" in out
    assert "it waits for an approval" in out
    assert f"headgate -C {place.root} publish {run}" in out
    assert place.sums() == built(1)
    status = place.data("status", run)
    assert status["staged"] == {"needs_approval": True, "is_published": False, "conflicts": []}
    head = place.data("explain", "sales", "2024-01-01")["head"]
    assert (head["run"], head["is_head"], head["is_hidden"]) == (place.run("first"), True, False)
    (sales,) = place.data("diff", run, "sales", "--on", "line", "--columns")["datasets"]
    assert (sales["added"], sales["removed"], sales["changed"]) == (0, 0, DAYS * LINES)
    amount = next(column for column in sales["columns"] if column["name"] == "amount")
    assert (amount["sum_before"], amount["sum_after"]) == (DAYS * LINES, 2 * DAYS * LINES)
    for verb in ("resume", "retry"):
        _, err = place.call(verb, run, code=1)
        assert "is staged" in err
        assert "headgate publish" in err
    place.author = "bea"
    out, _ = place.call("publish", run, "--reason", "looks right")
    assert out == f"run {run} is published\n"
    assert place.sums() == built(2)
    moved = place.move(run)
    assert (moved["author"], moved["reason"]) == ("bea", "looks right")
    assert place.state("second") == "succeeded"
    _, err = place.call("publish", run, "--reason", "again", code=1)
    assert "was published already" in err
    _, err = place.call("discard", run, "--reason", "no", code=1)
    assert "headgate rollback" in err
    place.assert_sound()


def test_what_is_discarded_never_becomes_visible(place: Place) -> None:
    place.make(2)
    place.end(place.together("second", "--approve-first"))
    place.call("discard", "latest", "--reason", "wrong")
    assert place.sums() == built(1)
    assert place.state("second") == "discarded"
    for verb in ("resume", "retry"):
        assert "is discarded" in place.call(verb, "latest", code=1)[1]
    assert "was discarded" in place.call("publish", "latest", "--reason", "after all", code=1)[1]
    place.call("check", "--state")
    place.end(place.together("third"))
    assert place.sums() == built(2)
    place.assert_sound()


def test_one_head_that_moved_meanwhile_keeps_all_of_it_back(place: Place) -> None:
    place.make(2)
    place.end(place.together("second", "--approve-first"))
    staged = place.run("second")
    place.make(5)
    place.call("backfill", "sales", "--all", "--start", "2024-01-02", "--end", "2024-01-03", "-y", "--reason", "other")
    before = place.data("query", "select * from sales order by day, line")
    _, err = place.call("publish", staged, "--reason", "looks right", code=1)
    assert f"sales/2024-01-02 has another version since, of run {place.run('other')}" in err
    assert f"headgate discard {staged}" in err
    assert place.data("query", "select * from sales order by day, line") == before
    assert place.state("second") == "staged"
    text, _ = place.call("status", staged)
    assert "1 partition cannot be published" in text
    place.call("discard", staged, "--reason", "overtaken")
    place.call("check", "--state")


def test_a_run_that_is_overtaken_at_its_end_says_so(place: Place) -> None:
    place.make(2)
    place.hold("total")
    process = place.together("second")
    place.until_staged(2 * DAYS)
    # Fresh data goes first, and makes visible what the other has only staged.
    other = place.start(
        *("backfill", "sales", "--all", "--start", "2024-01-02", "--end", "2024-01-03", "--class", "fresh"),
        *("-y", "--reason", "other"),
    )
    place.end(other)
    place.release("total")
    out, _ = place.end(process, code=1)
    assert "nothing of it is visible: 1 partition cannot be published" in out
    assert f"sales/2024-01-02 has another version since, of run {place.run('other')}" in out
    assert place.state("second") == "staged"
    place.call("check", "--state")


def test_a_run_of_the_same_class_does_not_take_what_is_only_staged(place: Place) -> None:
    place.make(2)
    place.hold("sales")
    process = place.together("second")
    place.wait_for_run(state="running", count=1)
    for overlap in ("refuse", "join", "queue"):
        _, err = place.call("backfill", "sales", "--all", "-y", "--reason", "other", "--overlap", overlap, code=1)
        assert "publishes together" in err
    place.release("sales")
    place.end(process)
    place.assert_sound()


def test_a_run_of_which_something_failed_stays_staged_until_it_is_retried(place: Place) -> None:
    place.make(2)
    (place.root / "fail").touch()
    out, _ = place.end(place.together("second"), code=1)
    assert "nothing of it is visible yet" in out
    assert "retry" in out
    assert place.sums() == built(1)
    run = place.run("second")
    _, err = place.call("publish", run, "--reason", "enough", code=1)
    assert "not all partitions have passed" in err
    assert f"headgate retry {run}" in err
    (place.root / "fail").unlink()
    place.call("retry", run)
    assert place.sums() == built(2)
    assert len(place.attempts(run, AttemptState.SUCCEEDED)) == PARTITIONS
    place.assert_sound()


def test_what_is_staged_counts_after_a_kill(place: Place) -> None:
    place.make(2)
    place.hold("costs")
    process = place.together("second")
    place.until_staged(2)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert place.sums() == built(1)
    run = place.run("second")
    staged = place.attempts(run, AttemptState.SUCCEEDED)
    place.release("costs")
    place.call("resume", run)
    assert place.sums() == built(2)
    # What was staged by then is not built again.
    assert len(staged) >= 2
    assert staged < place.attempts(run, AttemptState.SUCCEEDED)
    assert len(place.attempts(run, AttemptState.SUCCEEDED)) == PARTITIONS
    place.assert_sound()


def test_what_depends_on_what_was_staged_before_a_kill_is_not_skipped(place: Place) -> None:
    # By the heads total is up to date; only what the run has staged makes it stale.
    (place.root / "staged_pipeline.py").write_text(PIPELINE.replace("each = int(", "each = 1 * int("))
    place.make(2)
    place.hold("total")
    process = place.start("backfill", "-y", "--reason", "second", "--publish", "together")
    place.until_staged(2 * DAYS)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    place.release("total")
    place.call("resume", place.run("second"))
    assert place.sums() == built(2)
    place.assert_sound()
