from __future__ import annotations

import pytest

from headgate.model.guard_rail import Outcome, Rule
from headgate.model.verdict import Finding, Verdict, may_approve


def finding(rule, outcome=Outcome.APPROVAL, *, group="leads", approvers=("ann", "bob"), persons=1):
    return Finding(Rule(rule), outcome, None, "", "", group=group, approvers=approvers, persons=persons)


def verdict(*findings):
    return Verdict.of(findings)


@pytest.mark.parametrize(
    ("outcomes", "outcome"),
    [
        ([], "allow"),
        (["allow"], "allow"),
        (["allow", "approval", "allow"], "approval"),
        (["deny", "approval"], "deny"),
    ],
)
def test_the_most_severe_finding_counts(outcomes, outcome):
    assert verdict(*(finding("ticket", Outcome(each)) for each in outcomes)).outcome == outcome


ONE = verdict(finding("max_cost"))
TWO = verdict(finding("max_cost", persons=2))
GROUPS = verdict(finding("max_cost"), finding("protected", group="finance", approvers=("cid", "bob")))


@pytest.mark.parametrize(
    ("found", "approver", "why_not"),
    [
        (ONE, "bob", None),
        (ONE, "ann", None),
        (ONE, "cid", "cid may not approve it: that is for leads (ann, bob)"),
        (TWO, "bob", None),
        (TWO, "ann", "ann is the author of the plan, and max_cost takes two persons"),
        (GROUPS, "cid", None),
        (GROUPS, "eve", "eve may not approve it: that is for leads (ann, bob) and finance (cid, bob)"),
        (verdict(), "bob", "the plan needs no approval"),
        (
            verdict(finding("max_cost"), finding("ticket", Outcome.DENY), finding("ticket", Outcome.DENY)),
            "bob",
            "the plan is denied by ticket, and no approval lifts that",
        ),
    ],
)
def test_who_may_approve_a_plan_of_ann(found, approver, why_not):
    assert may_approve(found, "ann", approver, "looks right") == why_not


def test_an_approval_needs_a_reason():
    assert may_approve(ONE, "ann", "bob", " ") == "an approval needs a reason"


def test_each_group_gives_its_own_approval():
    assert [left.rule for left in GROUPS.pending("ann")] == ["max_cost", "protected"]
    assert [left.rule for left in GROUPS.pending("ann", {"cid"})] == ["max_cost"]
    assert may_approve(GROUPS, "ann", "cid", "again", {"cid"}) == "cid may not approve it: that is for leads (ann, bob)"
    assert GROUPS.pending("ann", {"bob"}) == ()
    assert may_approve(GROUPS, "ann", "ann", "late", {"bob"}) == "the plan has all approvals that it needs"


def test_the_approval_of_the_author_does_not_count_where_two_persons_are_required():
    assert len(TWO.pending("ann", {"ann"})) == 1
    assert TWO.pending("ann", {"ann", "bob"}) == ()


def test_what_is_denied_is_pending_for_nobody():
    assert verdict(finding("ticket", Outcome.DENY)).pending("ann") == ()
