"""Why tasks wait, told from what the coordinator last said and from their attempts."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from headgate.cli.main import main
from headgate.drivers.naming import named_run
from headgate.drivers.submission import new_run
from headgate.model.breaker import BreakerRecord, BreakerState
from headgate.model.plan import Request
from headgate.model.reason import Wait
from headgate.model.run import Attempt, AttemptState, ErrorClass, Failure, RunState
from headgate.planning.planner import make_plan
from headgate.views.explain import explain
from headgate.views.status import RunStatus, run_status
from headgate.views.waiting import hold

if TYPE_CHECKING:
    from collections.abc import Iterator

    from view_scene import Shop

    from headgate.store.store import Store
    from headgate.views.task import Task

BUSY = Failure(ErrorClass.TRANSIENT, "they are busy", "Nothing: it is tried again.")


class Scene:
    """A run of the whole shop that somebody seems to run."""

    def __init__(self, shop: Shop, store: Store) -> None:
        self.shop, self.store = shop, store
        plan = make_plan(shop.snapshot(store), Request())
        run = new_run(plan, RunState.RUNNING, reason="a test", author="ada", service_class="backfill")
        self.run = run.id
        with store.transaction() as tx:
            tx.add_run(run)

    def attempt(self, dataset: str, key: str, *states: AttemptState) -> None:
        """Record attempts of a task, the last of which may still run."""
        with self.store.transaction() as tx:
            for number, state in enumerate(states, 1):
                attempt = self.store.next_id()
                tx.start_attempts([Attempt(attempt, self.run, dataset, key, number, AttemptState.RUNNING, "", None, 1)])
                if state is not AttemptState.RUNNING:
                    failure = BUSY if state in {AttemptState.RETRIED, AttemptState.FAILED} else None
                    tx.end_attempts([(attempt, state, failure)], now_ms=2)

    def say(self, *delays: tuple[str, Wait, int, str, int | None]) -> None:
        body = json.dumps(
            [[dataset, wait.name, tasks, what, until_ms] for dataset, wait, tasks, what, until_ms in delays]
        )
        with self.store.transaction() as tx:
            tx.put_live(self.run, body, 5_000)

    def end(self, state: RunState) -> None:
        with self.store.transaction() as tx:
            tx.set_run_state(self.run, state, author="ada", reason="", now_ms=9)

    def task(self, dataset: str, key: str) -> Task:
        found = explain(self.shop.project(), self.store, self.shop.snapshot(self.store), dataset, key).task
        assert found is not None
        return found

    def reason(self, dataset: str, key: str) -> Any:
        found = self.task(dataset, key).hold
        return found and (found.reason, found.what, found.until_ms)

    def status(self) -> RunStatus:
        return run_status(self.store, named_run(self.store, self.run), why=True)


@contextmanager
def opened(shop: Shop) -> Iterator[Scene]:
    store = shop.store(create=True)
    try:
        with store.lead():
            yield Scene(shop, store)
    finally:
        store.close()


@pytest.fixture
def scene(shop: Shop) -> Iterator[Scene]:
    with opened(shop) as made:
        yield made


def test_what_the_coordinator_says_is_counted_by_dataset_and_reason(scene: Scene) -> None:
    why = scene.status().why
    assert why is not None
    assert (why.at_ms, why.held) == (None, ())
    scene.say(("sales", Wait.BREAKER, 4, "dataset:sales", 70_000), ("trend", Wait.UPSTREAM, 5, "", None))
    why = scene.status().why
    assert why is not None
    assert why.at_ms == 5_000
    breaker, upstream = why.held
    assert (breaker.dataset, breaker.tasks, breaker.hold.until, breaker.hold.until_ms) == (
        "sales",
        4,
        "dataset:sales lets a probe through",
        70_000,
    )
    assert breaker.hold.next == ("breaker", "reset", "dataset:sales")
    assert (upstream.dataset, upstream.tasks, upstream.hold.reason, upstream.hold.next) == ("trend", 5, "upstream", ())


def test_a_task_has_the_reason_that_holds_for_it(scene: Scene) -> None:
    scene.attempt("sales", "2024-01-01", AttemptState.RUNNING)
    scene.attempt("sales", "2024-01-02", AttemptState.RETRIED)
    scene.attempt("sales", "2024-01-03", AttemptState.RETRIED, AttemptState.YIELDED)
    scene.attempt("sales", "2024-01-04", AttemptState.YIELDED)
    assert scene.reason("sales", "2024-01-02") == ("backing_off", "", None)
    assert scene.reason("sales", "2024-01-05") == ("slots", "", None)
    scene.say(
        ("sales", Wait.BACKING_OFF, 1, "", 70_000),
        ("sales", Wait.POOL, 2, "warehouse", None),
        ("trend", Wait.UPSTREAM, 5, "", None),
    )
    assert scene.task("sales", "2024-01-01").state == "running"
    assert scene.reason("sales", "2024-01-01") is None
    assert scene.reason("sales", "2024-01-02") == ("backing_off", "", 70_000)
    assert scene.reason("sales", "2024-01-05") == ("pool", "warehouse", None)
    assert scene.reason("trend", "2024-01-02") == ("upstream", "", None)
    yielded = scene.task("sales", "2024-01-04")
    assert (yielded.state, yielded.wait, yielded.attempts) == ("waiting", "a pool is full", 0)
    scene.say(("sales", Wait.RETRY_BUDGET, 1, "sales", None), ("sales", Wait.POOL, 2, "warehouse", None))
    assert scene.reason("sales", "2024-01-02") == ("retry_budget", "sales", None)
    scene.say(("sales", Wait.WINDOW, 3, "backfill", 90_000))
    assert scene.reason("sales", "2024-01-02") == ("window", "backfill", 90_000)


def test_a_failure_that_is_tried_again_is_shown_with_its_remedy_and_is_no_failed_task(scene: Scene) -> None:
    scene.attempt("sales", "2024-01-02", AttemptState.RETRIED)
    task = scene.task("sales", "2024-01-02")
    assert (task.state, task.attempts) == ("waiting", 1)
    assert task.failure is not None
    assert (task.failure.message, task.failure.hint) == (BUSY.message, BUSY.hint)
    status = scene.status()
    assert (status.failures, status.datasets[0].failed, status.datasets[0].rest) == ((), 0, 5)
    scene.end(RunState.FAILED)
    assert scene.task("sales", "2024-01-02").state == "failed"
    assert [failure.key for failure in scene.status().failures] == ["2024-01-02"]


@pytest.mark.parametrize("wait", [Wait.BACKING_OFF, Wait.RETRY_BUDGET, Wait.BREAKER])
def test_the_last_failure_is_told_of_what_waits_because_of_failures(scene: Scene, wait: Wait) -> None:
    scene.attempt("sales", "2024-01-02", AttemptState.RETRIED)
    scene.attempt("sales", "2024-01-03", AttemptState.RETRIED)
    scene.attempt("sales", "2024-01-04", AttemptState.RETRIED, AttemptState.RUNNING)
    scene.attempt("trend", "2024-01-03", AttemptState.RETRIED)
    scene.say(("sales", wait, 2, "x", None), ("trend", Wait.POOL, 5, "warehouse", None))
    status = scene.status()
    assert status.failures == ()
    assert status.why is not None
    (failure,) = status.why.failures
    assert (failure.dataset, failure.key, failure.error_class) == ("sales", "2024-01-03", ErrorClass.TRANSIENT)
    assert (failure.message, failure.hint) == (BUSY.message, BUSY.hint)
    scene.say(("sales", Wait.POOL, 2, "warehouse", None))
    status = scene.status()
    assert status.why is not None
    assert status.why.failures == (), "they wait for something else"


def test_status_shows_the_last_failure_of_what_is_tried_again_once(scene: Scene) -> None:
    scene.attempt("sales", "2024-01-02", AttemptState.RETRIED)
    scene.say(("sales", Wait.BREAKER, 2, "dataset:sales", 70_000))
    arguments = ["-C", str(scene.shop.root), "status", scene.run, "--why"]
    shown = CliRunner().invoke(main, arguments).stdout
    assert "why tasks wait, as of " in shown
    told = f"last failure there\n  sales/2024-01-02 (transient) {BUSY.message}\n    hint: {BUSY.hint}\n"
    assert told in shown
    (failure,) = json.loads(CliRunner().invoke(main, [*arguments, "--json"]).stdout)["why"]["failures"]
    assert (failure["message"], failure["error_class"], failure["hint"]) == (BUSY.message, "transient", BUSY.hint)
    scene.attempt("sales", "2024-01-03", AttemptState.FAILED)
    shown = CliRunner().invoke(main, arguments).stdout
    assert "last failure there" not in shown
    assert shown.count(BUSY.message) == 1, "it is shown with what failed for good"


def test_a_pool_that_is_too_small_for_an_attempt_is_told_with_the_way_out(scene: Scene) -> None:
    with scene.store.transaction() as tx:
        tx.put_live(scene.run, json.dumps([["sales", "POOL", 5, "warehouse", None, 4]]), 5_000)
    status = scene.status()
    assert status.why is not None
    hold = status.why.held[0].hold
    assert (hold.reason, hold.text, hold.until) == (
        "pool",
        "an attempt takes more slots than the pool has",
        "pool warehouse has 4 slots, which an attempt of sales takes",
    )
    assert hold.next == ("set", "pool", "warehouse=4")


def test_what_is_blocked_is_told_with_the_failed_task_while_the_run_lives(scene: Scene) -> None:
    scene.attempt("sales", "2024-01-02", AttemptState.FAILED)
    scene.say(
        ("trend", Wait.UPSTREAM, 3, "", None),
        ("trend", Wait.BLOCKED, 2, "sales/2024-01-02", None),
        ("total", Wait.BLOCKED, 1, "sales/2024-01-02", None),
        ("told", Wait.BLOCKED, 9, "", None),
    )
    status = scene.status()
    assert [(line.failed, line.blocked, line.rest) for line in status.datasets] == [
        (1, 0, 4),
        (0, 2, 3),
        (0, 1, 0),
        (0, 1, 0),
    ]
    assert status.why is not None
    hold = status.why.held[1].hold
    assert (hold.reason, hold.until, hold.next) == (
        "blocked",
        "sales/2024-01-02, which failed, is built",
        ("retry", scene.run),
    )
    assert status.why.held[3].hold.next == ()
    assert scene.reason("trend", "2024-01-03") == ("blocked", "sales/2024-01-02", None)
    assert scene.reason("told", "all") == ("blocked", "sales/2024-01-02", None)
    assert scene.reason("trend", "2024-01-01") == ("upstream", "", None)
    scene.end(RunState.INTERRUPTED)
    why = scene.status().why
    assert why is not None
    assert [(held.dataset, held.tasks, held.hold.reason) for held in why.held] == [
        ("trend", 2, "blocked"),
        ("total", 1, "blocked"),
        ("told", 9, "blocked"),
        ("sales", 4, "no_coordinator"),
        ("trend", 3, "no_coordinator"),
    ]
    scene.end(RunState.QUEUED)
    assert scene.reason("trend", "2024-01-03") == ("queued", "", None)


def test_what_is_missing_blocks_too(shop: Shop) -> None:
    (shop.root / "landing" / "2024-01-03.csv").unlink()
    summary = shop.backfill()
    assert summary.state is RunState.FAILED
    store = shop.store()
    try:
        status = run_status(store, named_run(store, summary.run), why=True)
        assert {line.name: line.blocked for line in status.datasets} == {"sales": 1, "trend": 2, "total": 1, "told": 1}
        assert status.why is not None
        assert {(one.hold.reason, one.hold.what, one.hold.next) for one in status.why.held} == {("blocked", "", ())}
        task = explain(shop.project(), store, shop.snapshot(store), "trend", "2024-01-04").task
        assert task is not None
        assert task.hold is not None
        assert (task.state, task.hold.until) == ("blocked", "what is missing is there")
    finally:
        store.close()


def test_what_was_not_needed_is_skipped_also_in_a_run_that_failed(shop: Shop) -> None:
    shop.backfill()
    shop.land(1, "b,2\na,1\n")
    shop.land(5, "bad,1\n")
    summary = shop.backfill()
    store = shop.store()
    try:
        status = run_status(store, named_run(store, summary.run))
        lines = {line.name: (line.unchanged, line.failed, line.blocked, line.rest) for line in status.datasets}
        assert lines["sales"] == (1, 1, 0, 0)
        assert lines["trend"] == (0, 0, 1, 2)
        skipped = explain(shop.project(), store, shop.snapshot(store), "trend", "2024-01-01").task
        assert skipped is not None
        assert skipped.state == "skipped"
    finally:
        store.close()


def test_nothing_waits_in_a_run_that_has_ended(scene: Scene) -> None:
    scene.say(("sales", Wait.POOL, 2, "warehouse", None))
    scene.end(RunState.CANCELLED)
    status = scene.status()
    assert status.why is not None
    assert status.why.held == ()
    assert (scene.task("sales", "2024-01-02").state, scene.reason("sales", "2024-01-02")) == ("not built", None)


def test_what_nobody_runs_waits_for_a_coordinator_whatever_was_said_before(shop: Shop) -> None:
    with opened(shop) as scene:
        scene.say(("sales", Wait.POOL, 2, "warehouse", None))
        run = scene.run
    store = shop.store()
    try:
        status = run_status(store, named_run(store, run), why=True)
    finally:
        store.close()
    assert status.run.state is RunState.INTERRUPTED
    assert status.why is not None
    assert {held.dataset: (held.tasks, held.hold.reason) for held in status.why.held} == {
        "sales": (5, "no_coordinator"),
        "trend": (5, "no_coordinator"),
        "total": (1, "no_coordinator"),
        "told": (1, "no_coordinator"),
    }
    assert status.why.held[0].hold.next == ("resume", run)


def test_only_breakers_that_hold_something_back_are_shown(scene: Scene) -> None:
    with scene.store.transaction() as tx:
        tx.save_breakers(
            [
                BreakerRecord("dataset:sales", BreakerState.OPEN, 5, 600_000, 70_000),
                BreakerRecord("dataset:trend", BreakerState.CLOSED, 2, 600_000, 0),
                BreakerRecord("pool:api", BreakerState.HALF_OPEN, 3, 600_000, 0),
            ]
        )
    assert [(line.name, line.until_ms) for line in scene.status().breakers] == [
        ("dataset:sales", 70_000),
        ("pool:api", None),
    ]


@pytest.mark.parametrize("wait", Wait)
@pytest.mark.parametrize("until_ms", [None, 70_000])
def test_every_reason_says_what_would_lift_it(wait: Wait, until_ms: int | None) -> None:
    found = hold(wait, "run", "sales", "thing", until_ms)
    assert (found.text, found.reason, found.until_ms) == (str(wait), wait.name.lower(), until_ms)
    assert found.until
    assert not found.until.endswith(".")
