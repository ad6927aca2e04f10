from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from planning_worlds import built, dataset, planned, snapshot, source

from headgate.errors import UsageError
from headgate.model.guard_rail import GuardRails, Outcome, Rule, Setting
from headgate.model.partitioning import daily
from headgate.model.plan import Request
from headgate.model.verdict import Override
from headgate.planning.codec import plan_from_json, plan_hash, plan_to_json
from headgate.planning.empty import empty_because
from headgate.planning.guard_rails import Facts, judge
from headgate.planning.planner import make_plan

if TYPE_CHECKING:
    from headgate.planning.snapshot import Snapshot

DAYS = daily("2013-01-01", "2013-01-07")


def world(held: dict[int, str], *, is_built: bool = True) -> Snapshot:
    """Return six days of `a` and of `b`, which reads it; some of `a` are held, and all its code has changed."""
    found = snapshot(source("src", DAYS), dataset("a", DAYS, "src"), dataset("b", DAYS, "a"))
    found = built(found) if is_built else found
    found.heads["a"] = replace(found.heads["a"], held=held, codes=("other",))
    return found


def test_what_is_held_is_left_out_and_said() -> None:
    plan = make_plan(world({1: "r1", 2: "r1", 4: "r2"}), Request())
    assert planned(plan) == {"a": {"CODE": [0, 3, 5]}, "b": {"UPSTREAM": [0, 3, 5]}}
    assert plan.notes == (
        "2 partitions of a (2013-01-02 to 2013-01-03) are held by rollback r1 and left out: "
        "headgate resolve r1 --reason TEXT",
        "1 partition of a (2013-01-05) is held by rollback r2 and left out: headgate resolve r2 --reason TEXT",
    )
    assert plan.considered == 9


def test_what_is_held_outside_of_what_was_asked_for_is_not_said() -> None:
    plan = make_plan(world({1: "r1"}), Request(("b",), "2013-01-04"))
    assert plan.notes == ()
    assert make_plan(world({1: "r1"}), Request(("a",), "2013-01-04")).notes == ()


def test_all_of_it_can_be_left_out_even_if_everything_was_asked_for() -> None:
    plan = make_plan(world(dict.fromkeys(range(6), "r1")), Request(("a",), forced=True))
    assert plan.size == 0


def test_a_plan_of_nothing_says_that_the_rest_is_held() -> None:
    found = world(dict.fromkeys(range(6), "r1"))
    for request, why in (
        (Request(("a",)), "all of it is held"),
        (Request(("a",), "2013-01-02"), "all of it is held"),
        (Request(("a+",)), "all 6 other partitions are up to date"),
        (Request(("b",)), "all 6 partitions are up to date"),
    ):
        assert empty_because(found, request, make_plan(found, request)) == why


def test_what_needs_a_held_partition_without_a_version_says_so() -> None:
    plan = make_plan(world({0: "r1"}, is_built=False), Request(("a", "b"), end="2013-01-02"))
    (problem,) = plan.problems
    assert problem.text == "needs a/2013-01-01, which has no version and is not in this plan: rollback r1 holds it"


def test_a_request_can_ask_for_what_is_held_and_is_kept_so() -> None:
    found = world({1: "r1", 4: "r2"})
    plan = make_plan(found, Request(("a",), held=True))
    assert planned(plan)["a"]["CODE"] == [0, 1, 2, 3, 4, 5]
    text = plan_to_json(plan)
    assert plan_from_json(text).request.held
    assert plan_hash(text) != plan_hash(plan_to_json(make_plan(found, Request(("a",)))))


def test_only_an_override_lets_what_is_held_be_built() -> None:
    found = world({1: "r1", 4: "r2"})
    plan, facts = make_plan(found, Request(("a",), held=True)), Facts(0)
    denied = judge(plan, found, GuardRails(), facts, reason="")
    (finding,) = denied.findings
    assert (denied.outcome, finding.rule, finding.partitions) == (Outcome.DENY, Rule.HELD, 2)
    assert finding.value == "2 partitions (2013-01-02 to 2013-01-05) held by rollback r1 and r2"
    over = Override("held", "to look at it", "ada")
    assert judge(plan, found, GuardRails(), facts, reason="", overrides=[over]).outcome is Outcome.ALLOW
    with pytest.raises(UsageError, match="held did not object"):
        judge(make_plan(found, Request(("a",))), found, GuardRails(), facts, reason="", overrides=[over])


def test_a_mild_verdict_does_not_let_it_pass_and_approvers_are_asked_all_the_same() -> None:
    found = world({1: "r1"})
    plan = make_plan(found, Request(("a",), held=True))
    mild = GuardRails({Rule.HELD: Setting(Rule.HELD, Outcome.ALLOW, group="leads", approvers=("bob",))})
    assert judge(plan, found, mild, Facts(0), reason="").outcome is Outcome.DENY
    over = Override("held", "to look at it", "ada")
    assert judge(plan, found, mild, Facts(0), reason="", overrides=[over]).outcome is Outcome.APPROVAL
