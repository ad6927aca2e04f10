"""Taking in what is handed over, while the coordinator goes on with what it has."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from headgate.drivers.clock import now_ms
from headgate.drivers.handover import Intake, hand_over
from headgate.drivers.live import Coordinator
from headgate.drivers.submission import new_run
from headgate.drivers.takeover import take_over
from headgate.drivers.world import look
from headgate.errors import ConflictError, UnavailableError
from headgate.executors.inline import InlineExecutor
from headgate.model.plan import Request
from headgate.model.run import RunState
from headgate.planning.planner import make_plan
from headgate.project.load import load
from headgate.store.sqlite import open_store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from headgate.drivers.progress import Progress, RunSummary
    from headgate.project.load import Project
    from headgate.store.store import Store

LIMIT_S = 30
PIPELINE = """
import pyarrow as pa

import headgate

KEYS = headgate.static(["a", "b", "c", "d"])


@headgate.dataset(partitions=KEYS)
def first(ctx: headgate.Context) -> pa.Table:
    return pa.table({"attempt": [ctx.attempt]})


@headgate.dataset(partitions=headgate.daily("2024-01-01", "2024-01-11"))
def days(ctx: headgate.Context) -> pa.Table:
    return pa.table({"attempt": [ctx.attempt]})


@headgate.dataset(partitions=KEYS)
def second(ctx: headgate.Context) -> pa.Table:
    return pa.table({"attempt": [ctx.attempt]})
"""


class Watching:
    """Remembers what it is told, and lets the look at the world begin when the first run has ended."""

    def __init__(self) -> None:
        self.may_look = threading.Event()
        self.told: list[tuple[RunState, int]] = []

    def started(self, run: str, *, is_followed: bool) -> None:
        raise AssertionError(run, is_followed)

    def progressed(self, progress: Progress) -> None:
        assert progress.run

    def ended(self, summary: RunSummary, others: int) -> None:
        self.told.append((summary.state, others))
        self.may_look.set()

    def interrupted(self, runs: Sequence[str]) -> None:
        raise AssertionError(runs)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    (tmp_path / "headgate.toml").write_text('[project]\nmodules = ["handed_over"]\n')
    (tmp_path / "handed_over.py").write_text(PIPELINE)
    return load(tmp_path)


@pytest.fixture
def opener(project: Project) -> Callable[[], Store]:
    return lambda: open_store(project.paths.state, data_root=project.paths.data, create=True)


@pytest.fixture
def store(project: Project, opener: Callable[[], Store]) -> Iterator[Store]:
    opened = opener()
    with opened.lead():
        take_over(opened, project.paths.data, now_ms(), author="ada")
        yield opened
    opened.close()


def handed_over(project: Project, store: Store, *datasets: str, **request: str) -> tuple[str, int]:
    """Leave a run to the coordinator; return its id and the number of the request."""
    plan = make_plan(look(project, store, now_ms()).snapshot, Request(datasets, **request))
    run = new_run(plan, RunState.QUEUED, reason="more", author="bob", service_class="backfill")
    return run.id, hand_over(store, project, run, is_new=True, retry=False, reason="more", author="bob")


def with_later_days(project: Project) -> Project:
    """Return the project as somebody else loads it after its days were made to start later."""
    (project.root / "handed_over.py").write_text(PIPELINE.replace('"2024-01-01"', '"2024-01-05"'))
    return load(project.root)


def drive(project: Project, store: Store, open_again: Callable[[], Store], watching: Watching) -> None:
    """Drive a run of `first`, with what is handed over while it goes on."""
    executor = InlineExecutor(project.root)
    intake = Intake(project, open_again, wake=executor.wake, author="ada")
    coordinator = Coordinator(project, store, executor, author="ada", watcher=watching, intake=intake)
    world = look(project, store, now_ms())
    coordinator.submit(world, make_plan(world.snapshot, Request(("first",))), reason="a test")
    coordinator.drive()
    executor.close()


def test_runs_go_on_and_end_while_the_world_is_looked_at_for_another(
    project: Project, store: Store, opener: Callable[[], Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headgate.drivers.live.COMMANDS_EVERY_S", 0)
    watching = Watching()
    run, request = handed_over(project, store, "second")

    def open_later() -> Store:
        assert watching.may_look.wait(LIMIT_S)
        return opener()

    drive(project, store, open_later, watching)
    assert watching.told == [(RunState.SUCCEEDED, 1)]
    assert [one.state for one in store.runs()] == [RunState.SUCCEEDED] * 2
    assert store.command_answer(request) == ""
    assert [(one.succeeded, one.new) for one in store.made(run)] == [(4, 4)]


def test_what_cannot_be_looked_at_is_refused_and_the_others_go_on(
    project: Project, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headgate.drivers.live.COMMANDS_EVERY_S", 0)
    run, request = handed_over(project, store, "second")

    def refuse() -> Store:
        raise UnavailableError("the disk is gone")

    drive(project, store, refuse, Watching())
    assert store.command_answer(request) == "the disk is gone"
    states = {one.id: one.state for one in store.runs()}
    assert states.pop(run) is RunState.INTERRUPTED
    assert list(states.values()) == [RunState.SUCCEEDED]


def test_a_bug_in_the_look_is_raised_where_it_is_seen(
    project: Project, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headgate.drivers.live.COMMANDS_EVERY_S", 0)
    handed_over(project, store, "second")

    def fail() -> Store:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        drive(project, store, fail, Watching())


def test_a_run_that_was_cancelled_meanwhile_is_left_alone(
    project: Project, store: Store, opener: Callable[[], Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headgate.drivers.live.COMMANDS_EVERY_S", 0)
    run, _ = handed_over(project, store, "second")

    def cancel_first() -> Store:
        opened = opener()
        with opened.transaction() as tx:
            tx.set_run_state(run, RunState.CANCELLED, author="bob", reason="", now_ms=now_ms())
        return opened

    drive(project, store, cancel_first, Watching())
    found = store.run(run)
    assert found is not None
    assert found.state is RunState.CANCELLED
    assert store.made(run) == []


def test_what_two_runs_would_both_build_is_named(project: Project, store: Store) -> None:
    run, _ = handed_over(project, store, "first", "days", start="2024-01-02", end="2024-01-09")
    with pytest.raises(ConflictError) as refused:
        handed_over(project, store, "days", end="2024-01-04")
    assert refused.value.message == (
        f"run {run} is under way and builds 2 of these partitions of days (2024-01-02 to 2024-01-03)"
    )
    with pytest.raises(ConflictError) as refused:
        handed_over(project, store)
    assert refused.value.message == (
        f"run {run} is under way and builds 7 of these partitions of days (2024-01-02 to 2024-01-08) "
        "and 4 of first (a to d)"
    )
    handed_over(project, store, "days", start="2024-01-09")


def test_every_run_that_is_in_the_way_is_named(project: Project, store: Store) -> None:
    first, _ = handed_over(project, store, "days", start="2024-01-02", end="2024-01-03")
    second, _ = handed_over(project, store, "days", start="2024-01-05", end="2024-01-07")
    handed_over(project, store, "second")
    with pytest.raises(ConflictError) as refused:
        handed_over(project, store, "days", "first")
    assert refused.value.message == (
        f"run {second} is under way and builds 2 of these partitions of days (2024-01-05 to 2024-01-06); "
        f"run {first} is under way and builds 1 of these partitions of days (2024-01-02)"
    )


def test_partitions_that_were_cut_otherwise_are_not_compared(project: Project, store: Store) -> None:
    run, _ = handed_over(project, store, "days", end="2024-01-03")
    changed = with_later_days(project)
    with pytest.raises(ConflictError) as refused:
        handed_over(changed, store, "days", start="2024-01-06")
    assert f"run {run} is under way and builds days partitioned by day 2024-01-01" in refused.value.message
    assert "which is partitioned by day 2024-01-05" in refused.value.message


def test_who_runs_newer_definitions_than_the_coordinator_is_told_so(
    project: Project, store: Store, opener: Callable[[], Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headgate.drivers.live.COMMANDS_EVERY_S", 0)
    _, request = handed_over(with_later_days(project), store, "days")
    drive(project, store, opener, Watching())
    expected = "days was changed after the coordinator that is alive had started: let that end first"
    assert store.command_answer(request) == expected
