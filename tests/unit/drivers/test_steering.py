"""What a live coordinator makes of requests, in one process: tasks of the project ask for them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from headgate.core.events import PoolResized
from headgate.drivers import live, telling
from headgate.drivers.clock import now_ms
from headgate.drivers.follow import follow
from headgate.drivers.live import Coordinator
from headgate.drivers.takeover import take_over
from headgate.drivers.world import look
from headgate.executors.inline import InlineExecutor
from headgate.model.plan import Request
from headgate.model.reason import Wait
from headgate.model.run import RunState
from headgate.planning.planner import make_plan
from headgate.project.load import load
from headgate.store.sqlite import open_store
from headgate.views.waiting import said

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from headgate.drivers.progress import Progress, RunSummary
    from headgate.project.load import Project
    from headgate.store.store import Store
    from headgate.views.waiting import Said

TOML = """
[project]
modules = ["asking_pipeline"]
[pools]
warehouse = 4
[retry]
attempts = 6
backoff = 0.001
[breaker]
failures = 1
cooldown = 0.001
[datasets.made.breaker]
failures = 100
"""
PIPELINE = """
from pathlib import Path

import pyarrow as pa

import headgate
from headgate.store.sqlite import open_store

HERE = Path(__file__).parent


def ask(*verbs):
    store = open_store(HERE / ".headgate" / "state.db", data_root=HERE / "data", create=False)
    run = store.runs(limit=1)[0].id
    with store.transaction() as tx:
        for verb in verbs:
            tx.add_command(run, verb, author="bob", reason="why", now_ms=1)
    store.close()


@headgate.dataset(partitions=headgate.static(["a", "b", "c", "d"]))
def made(ctx: headgate.Context) -> pa.Table:
    if ctx.key == "a":
        raise ValueError("no good")
    if ctx.key == "b":
        ask("cancel", "retry", "pause", "resume")
    return pa.table({"key": [ctx.key]})


@headgate.dataset(partitions=headgate.static(["a", "b", "c", "d"]), idempotent=False)
def sent(ctx: headgate.Context) -> None:
    if ctx.key == "a":
        raise ValueError("no good")
    if ctx.key == "b":
        ask("retry")


@headgate.dataset
def shaky(ctx: headgate.Context) -> pa.Table:
    if not (HERE / "tried").exists():
        (HERE / "tried").touch()
        raise ConnectionError("they are busy")
    if not (HERE / "probed").exists():
        (HERE / "probed").touch()
        raise ConnectionError("they are still busy")
    return pa.table({"key": [1]})


@headgate.dataset(pools={"warehouse": 4})
def loaded(ctx: headgate.Context) -> pa.Table:
    return pa.table({"key": [1]})
"""


class Place:
    """A project and its coordinator."""

    def __init__(self, project: Project, store: Store, executor: InlineExecutor) -> None:
        self.project, self.store, self.executor = project, store, executor
        self.coordinator = Coordinator(project, store, executor, author="ada")

    def submit(self, dataset: str) -> str:
        world = look(self.project, self.store, now_ms())
        return self.coordinator.submit(world, make_plan(world.snapshot, Request((dataset,))), reason="a test")

    def journal(self, kind: str) -> list[tuple[str, str, str, dict[str, Any]]]:
        found = self.store.journal_entries(kind=kind)
        return [(one.kind, one.author, one.reason, json.loads(one.body)) for one in found]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    monkeypatch.setattr(live, "COMMANDS_EVERY_S", 0.0)
    monkeypatch.setattr(telling, "LEAVE_EVERY_S", 0.0)
    monkeypatch.setattr(telling, "SHOW_EVERY_S", 0.0)
    (tmp_path / "headgate.toml").write_text(TOML)
    (tmp_path / "asking_pipeline.py").write_text(PIPELINE)
    project = load(tmp_path)
    store = open_store(project.paths.state, data_root=project.paths.data, create=True)
    executor = InlineExecutor(tmp_path)
    with store.lead():
        take_over(store, project.paths.data, now_ms(), author="ada")
        yield Place(project, store, executor)
    executor.close()
    store.close()


def test_a_run_that_is_being_cancelled_takes_no_other_request(place: Place) -> None:
    run = place.submit("made")
    summary = place.coordinator.drive()
    assert summary is not None
    assert summary.state is RunState.CANCELLED
    for verb in ("retry", "pause", "resume"):
        refused = f"run {run} is being cancelled: {verb} comes too late"
        assert place.journal(verb) == [(f"{verb} refused", "bob", "why", {"refused": refused})]
    assert [failure.key for failure in summary.failures] == ["a"], "what has failed is not forgotten"


def test_effects_that_must_not_happen_twice_are_not_retried_while_the_run_lives(place: Place) -> None:
    run = place.submit("sent")
    assert place.coordinator.drive().state is RunState.FAILED
    ((kind, _, _, body),) = place.journal("retry")
    assert kind == "retry refused"
    assert body["refused"] == (
        "non_idempotent of sent: its effects must not happen twice, and attempts of it have failed: "
        f"wait until run {run} has ended"
    )
    assert [one.number for one in place.store.attempts(run) if one.key == "a"] == [1]


def test_a_probe_that_fails_is_in_the_journal(place: Place) -> None:
    place.submit("shaky")
    summary = place.coordinator.drive()
    assert summary is not None
    assert summary.state is RunState.SUCCEEDED
    told = place.journal("breaker")
    assert [(kind, reason) for kind, _, reason, _ in told] == [
        ("breaker.opened", "1 failure in a row"),
        ("breaker.reopened", "its probe did not succeed"),
        ("breaker.closed", ""),
    ]
    assert all(body["breaker"] == "dataset:shaky" for *_, body in told)
    assert [body.get("for_s") for *_, body in told] == [0, 0, None]


class Leaving:
    """Follows a run from another process, and leaves at the first sight."""

    def started(self, run: str, *, is_followed: bool = False) -> None:
        assert is_followed
        raise KeyboardInterrupt

    def progressed(self, progress: Progress) -> None:
        pass

    def ended(self, summary: RunSummary, others: int) -> None:
        pass

    def interrupted(self, runs: Sequence[str]) -> None:
        pass


class Listener:
    """Keeps what was said of a run when that waits, and drains its coordinator then."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.heard: Said | None = None

    def started(self, run: str, *, is_followed: bool) -> None:
        pass

    def progressed(self, progress: Progress) -> None:
        if self.heard is None and (found := said(self.place.store, progress.run)) is not None and found.held:
            self.heard = found
            left = follow(self.place.store, progress.run, Leaving())
            self.followed = left.progress.held if left else ()
            self.place.coordinator.drain()

    def ended(self, summary: RunSummary, others: int) -> None:
        pass

    def interrupted(self, runs: Sequence[str]) -> None:
        pass


def test_a_pool_that_was_made_too_small_for_a_later_run_is_told(place: Place) -> None:
    listener = Listener(place)
    place.coordinator = Coordinator(place.project, place.store, place.executor, author="ada", watcher=listener)
    place.coordinator.scheduler.handle(PoolResized("warehouse", 2), now_ms())
    place.submit("loaded")
    place.coordinator.drive()
    assert listener.heard is not None
    (held,) = listener.heard.held
    assert (held.dataset, held.tasks, held.hold.reason) == ("loaded", 1, "pool")
    assert held.hold.until == "pool warehouse has 4 slots, which an attempt of loaded takes"
    assert held.hold.next == ("set", "pool", "warehouse=4")
    # Who follows the run from another process reads the same.
    assert [(one.wait, one.tasks, one.what) for one in listener.followed] == [(Wait.POOL, 1, "warehouse")]
