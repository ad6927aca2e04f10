"""What people decide on a staged run, and what they are told instead."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from headgate.drivers.staged import conflicts_hint, conflicts_text, discard, publish
from headgate.errors import ConflictError
from headgate.model.guard_rail import Outcome, Rule
from headgate.model.plan import StoredPlan
from headgate.model.run import Attempt, AttemptState, Publication, Run, RunKind, RunState
from headgate.model.verdict import Finding, Verdict
from headgate.model.version import File
from headgate.planning.verdict_codec import verdict_to_json
from headgate.store.records import Candidate
from headgate.store.sqlite import open_store
from headgate.store.staged import Conflict

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from headgate.store.store import Store

RUN = Run(
    "r1", RunKind.BACKFILL, RunState.RUNNING, "why", "ada", "{}", "h4sh", 1, None, publication=Publication.APPROVED
)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = open_store(tmp_path / "state.db", data_root=tmp_path / "data", create=True)
    yield opened
    opened.close()


def stage(store: Store, state: RunState = RunState.STAGED, **changes: object) -> None:
    """Record a staged run that has made one partition and is in a state."""
    run = replace(RUN, **changes)
    attempt = Attempt(1, run.id, "flights", "k1", 1, AttemptState.RUNNING, "flights/1.parquet", None, 2)
    files = (File(attempt.path, 1, 10, "sha256:0"),)
    made = Candidate(1, run.id, "flights", "k1", files, 1, 10, "c", None, "code", None, (), 0, None, None, 2)
    with store.transaction() as tx:
        tx.add_run(run)
        tx.start_attempts([attempt])
        tx.publish([made], author="ada", now_ms=3)
        tx.set_run_state(run.id, state, author="ada", reason="", now_ms=4, taken={"flights": 2})


def need_approval(store: Store, persons: int) -> None:
    finding = Finding(
        Rule.MAX_PARTITIONS, Outcome.APPROVAL, None, "9", "4", group="leads", approvers=("ada", "bob"), persons=persons
    )
    verdict = verdict_to_json(Verdict.of([finding]))
    plan = StoredPlan("h4sh", "shop", "ada", "why", "backfill", 0, 9, "{}", verdict, "", "{}")
    with store.transaction() as tx:
        tx.add_plan(plan)


def kinds(store: Store) -> list[str]:
    return [entry.kind for entry in store.journal_entries() if not entry.kind.startswith("run.submitted")]


def test_publishing_shows_it_and_keeps_what_was_taken(store: Store) -> None:
    stage(store)
    run = publish(store, "r1", author="bob", reason="fine")
    assert run.state is RunState.SUCCEEDED
    assert run.finished_ms is not None
    assert [version.id for version in store.heads("flights")] == [1]
    assert store.taken("r1") == {"flights": 2}
    assert kinds(store) == ["publish", "run.staged", "publish.together", "run.succeeded"]


def test_discarding_is_for_good(store: Store, tmp_path: Path) -> None:
    stage(store, RunState.FAILED)
    assert discard(store, tmp_path, "latest", author="bob", reason="wrong").state is RunState.DISCARDED
    assert list(store.heads("flights")) == []
    assert store.staged_runs() == []
    with pytest.raises(ConflictError, match="r1 was discarded already") as caught:
        discard(store, tmp_path, "r1", author="bob", reason="wrong")
    assert caught.value.hint == ""
    with pytest.raises(ConflictError, match="r1 was discarded: start a new backfill"):
        publish(store, "r1", author="bob", reason="right")
    assert kinds(store)[-2:] == ["discard refused", "publish refused"]


@pytest.mark.parametrize(
    ("state", "says", "hint"),
    [
        (RunState.FAILED, "has failed: not all partitions have passed", "headgate retry r1"),
        (RunState.CANCELLED, "is cancelled: not all partitions have passed", "headgate discard r1"),
        (RunState.INTERRUPTED, "is interrupted", "headgate resume r1"),
        # Nobody leads: what ran was killed.
        (RunState.RUNNING, "is interrupted", "headgate resume r1"),
        (RunState.SUCCEEDED, "was published already", ""),
    ],
)
def test_only_what_has_passed_is_published(store: Store, state: RunState, says: str, hint: str) -> None:
    stage(store, state)
    with pytest.raises(ConflictError, match=says) as caught:
        publish(store, "r1", author="bob", reason="now")
    assert hint in caught.value.hint
    assert list(store.heads("flights")) == []


def test_what_somebody_runs_is_not_published(store: Store) -> None:
    stage(store, RunState.RUNNING)
    with store.lead(), pytest.raises(ConflictError, match="run r1 is running") as caught:
        publish(store, "r1", author="bob", reason="now")
    assert caught.value.hint == "Look at headgate status r1."


def test_what_is_visible_is_not_discarded(store: Store, tmp_path: Path) -> None:
    stage(store, RunState.SUCCEEDED)
    with pytest.raises(ConflictError) as caught:
        discard(store, tmp_path, "r1", author="bob", reason="no")
    assert "headgate rollback r1" in caught.value.hint
    assert store.staged_runs() == ["r1"]


def test_what_somebody_runs_is_not_discarded(store: Store, tmp_path: Path) -> None:
    stage(store, RunState.RUNNING)
    with store.lead(), pytest.raises(ConflictError, match="run r1 is running") as caught:
        discard(store, tmp_path, "r1", author="bob", reason="no")
    assert "headgate cancel r1" in caught.value.hint
    assert store.staged_runs() == ["r1"]


@pytest.mark.parametrize("state", [RunState.RUNNING, RunState.QUEUED])
def test_what_was_killed_is_discarded_and_cannot_publish_any_more(
    store: Store, tmp_path: Path, state: RunState
) -> None:
    stage(store, state)
    with store.transaction() as tx:
        tx.start_attempts([Attempt(2, "r1", "flights", "k2", 1, AttemptState.RUNNING, "flights/2.parquet", None, 2)])
    assert discard(store, tmp_path, "r1", author="bob", reason="no").state is RunState.DISCARDED
    assert store.staged_runs() == []
    assert [attempt.state for attempt in store.attempts("r1")] == [AttemptState.SUCCEEDED, AttemptState.LOST]


def test_a_run_that_publishes_each_has_nothing_staged(store: Store, tmp_path: Path) -> None:
    stage(store, RunState.FAILED, publication=Publication.EACH)
    with pytest.raises(ConflictError, match="each partition by itself"):
        publish(store, "r1", author="bob", reason="x")
    with pytest.raises(ConflictError, match="each partition by itself"):
        discard(store, tmp_path, "r1", author="bob", reason="x")


@pytest.mark.parametrize(("persons", "approver", "may"), [(1, "ada", True), (2, "ada", False), (2, "bob", True)])
def test_who_may_publish_is_who_may_have_approved_the_plan(
    store: Store, persons: int, approver: str, may: bool
) -> None:
    need_approval(store, persons)
    stage(store)
    if may:
        publish(store, "r1", author=approver, reason="fine")
    else:
        with pytest.raises(ConflictError, match=r"that is for leads \(ada, bob\), another person than its author"):
            publish(store, "r1", author=approver, reason="fine")
    assert bool(list(store.heads("flights"))) is may


def test_somebody_else_may_not_publish(store: Store) -> None:
    need_approval(store, 1)
    stage(store)
    with pytest.raises(ConflictError, match=r"eve may not approve run r1 of ada: that is for leads \(ada, bob\)$"):
        publish(store, "r1", author="eve", reason="fine")


@pytest.mark.parametrize(
    ("conflicts", "expected"),
    [
        ([Conflict("d", "k", 1, 2, "r2")], "Nothing has changed. headgate discard r1 "),
        ([Conflict("d", "k", 1, 2, "r2", moved_by="r9")], "what it was built on, undo that: headgate rollback r9 "),
        ([Conflict("d", "k", 1, 2, "r2", held_by="r9")], "what it was built on, undo that: headgate rollback r9 "),
        (
            [Conflict("d", "k", 1, 1, "r0", held_by="r9", has_moved=False)],
            "If its cause is mended: headgate resolve r9 ",
        ),
        # It was compacted before.
        (
            [Conflict("d", "k", 1, 3, "r0", held_by="r9", has_moved=False)],
            "If its cause is mended: headgate resolve r9 ",
        ),
        (
            [Conflict("d", "k", 1, 2, "r2", moved_by="r9"), Conflict("d", "l", 1, 2, "r2")],
            "Nothing has changed. headgate discard r1 ",
        ),
    ],
)
def test_what_is_in_the_way_says_what_to_do(conflicts: list[Conflict], expected: str) -> None:
    hint = conflicts_hint("r1", conflicts)
    assert expected in hint
    assert hint.endswith('headgate discard r1 --reason "...", and start a new backfill.')


def test_many_conflicts_are_told_in_few_words() -> None:
    found = [Conflict("flights", f"k{n}", 1, 2, "r2") for n in range(3)]
    found += [Conflict("daily", "d1", 1, None, ""), Conflict("daily", "d2", 1, 1, "r1", "r9")]
    assert conflicts_text(found) == (
        "flights/k0 has another version since, of run r2; flights/k1 has another version since, of run r2; "
        "flights/k2 has another version since, of run r2; and 2 more"
    )
    assert conflicts_text(found[3:]) == "daily/d1 has no version any more; daily/d2 is held by rollback r9"
    gone = Conflict("d", "k", 1, None, "", moved_by="r9")
    assert gone.why == "has no version any more: rollback r9 has moved it since"
    assert Conflict("d", "k", 1, 1, "r1", withdrawn="raw/k").why == "was made from raw/k, which was rolled back since"
    assert Conflict("d", "k", None, 1, "").why == "has another version since"
