"""Contract of state stores: plans that people were shown."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from store_cases import OPENERS, RUN, SCHEMA, a_run, build

from headgate.errors import ConflictError, UsageError
from headgate.model.plan import Decision, StoredPlan
from headgate.store.records import Published

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from headgate.store.store import Store

DAY_MS = 24 * 60 * 60 * 1000
PLAN = StoredPlan("ab12", "shop", "ada", "a bug", "backfill", 1_000, 2_000, "{}", '{"outcome":"allow"}', "", "[1]")


@pytest.fixture(params=OPENERS)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    opened = OPENERS[request.param](tmp_path)()
    yield opened
    opened.close()


def add(store: Store, *plans: StoredPlan) -> None:
    with store.transaction() as tx:
        for plan in plans:
            tx.add_plan(plan)


def test_a_plan_is_kept_as_it_was_shown(store: Store) -> None:
    add(store, PLAN)
    assert store.plan("ab12") == PLAN
    add(store, replace(PLAN, author="eve", body="[2]"))
    assert store.plan("ab12") == PLAN


def test_it_is_found_by_the_beginning_of_its_hash(store: Store) -> None:
    add(store, PLAN, replace(PLAN, hash="ac34"))
    assert store.plan("ac") == replace(PLAN, hash="ac34")
    assert store.plan("b") is None
    assert store.plan("") is None
    with pytest.raises(UsageError, match="several plans start with a"):
        store.plan("a")


def test_the_list_is_newest_first_and_leaves_out_the_bodies(store: Store) -> None:
    newer = replace(PLAN, hash="ff", created_ms=1_500)
    add(store, PLAN, newer)
    assert store.plans() == [replace(newer, body=""), replace(PLAN, body="")]
    assert store.plans(limit=1) == [replace(newer, body="")]
    another = replace(PLAN, hash="ee", project="another", created_ms=1_900)
    add(store, another)
    assert [plan.hash for plan in store.plans()] == ["ee", "ff", PLAN.hash]
    assert [plan.hash for plan in store.plans(project=PLAN.project, limit=1)] == ["ff"]


def test_decisions_are_kept_in_order_and_journaled(store: Store) -> None:
    add(store, PLAN)
    no, yes = Decision("bob", False, "too much", 1_100), Decision("eve", True, "fine", 1_200)
    with store.transaction() as tx:
        assert tx.decide_plan("ab12", no)
        assert tx.decide_plan("ab12", yes)
        assert not tx.decide_plan("ab", yes)
    found = store.plan("ab12")
    assert found is not None
    assert found.decisions == (no, yes)
    told = [(entry.kind, entry.author, entry.reason, entry.body) for entry in store.journal_entries()]
    assert told == [
        ("plan.rejected", "bob", "too much", '{"plan":"ab12"}'),
        ("plan.approved", "eve", "fine", '{"plan":"ab12"}'),
    ]


def test_a_plan_becomes_one_run_and_then_nothing_is_decided_on_it(store: Store) -> None:
    add(store, PLAN)
    with store.transaction() as tx:
        tx.add_run(a_run(plan_hash="ab12"))
        assert not tx.decide_plan("ab12", Decision("eve", True, "late", 1_300))
    found = store.plan("ab12")
    assert found is not None
    assert (found.run, found.decisions) == (RUN, ())
    with pytest.raises(ConflictError, match=f"the plan was run already, as run {RUN}"), store.transaction() as tx:
        tx.add_run(a_run("another", plan_hash="ab12"))
    assert store.run("another") is None


def test_a_plan_that_was_rejected_becomes_no_run(store: Store) -> None:
    add(store, PLAN)
    with store.transaction() as tx:
        assert tx.decide_plan("ab12", Decision("bob", False, "no", 1_100))
    with pytest.raises(ConflictError, match="the plan was rejected"), store.transaction() as tx:
        tx.add_run(a_run(plan_hash="ab12"))
    assert store.run(RUN) is None


def test_what_expired_a_week_ago_is_removed_but_for_runs_and_decisions(store: Store) -> None:
    decided, used = replace(PLAN, hash="dd"), replace(PLAN, hash="ee")
    add(store, PLAN, decided, used)
    with store.transaction() as tx:
        tx.add_run(a_run(plan_hash="ee"))
        tx.decide_plan("dd", Decision("bob", False, "no", 1_100))
    later = replace(PLAN, hash="ff", expires_ms=30 * DAY_MS)
    add(store, replace(later, created_ms=2_000 + 7 * DAY_MS))
    assert {plan.hash for plan in store.plans()} == {"ab12", "dd", "ee", "ff"}
    add(store, replace(later, hash="a0", created_ms=2_001 + 7 * DAY_MS))
    assert {plan.hash for plan in store.plans()} == {"dd", "ee", "ff", "a0"}


def test_a_change_of_schema_is_told_once_both_are_known(store: Store) -> None:
    assert store.schema_change("flights", "new") is None
    assert build(store, 1, "k1", code="old") is Published.NEW
    assert store.schema_change("flights", "new") is None
    wider = (*SCHEMA, ("tail", "string"))
    assert build(store, 2, "k2", code="new", schema=wider) is Published.NEW
    assert store.schema_change("flights", "new") == (SCHEMA, wider)
    assert store.schema_change("weather", "new") is None
