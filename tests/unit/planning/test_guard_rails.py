from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import msgspec
import numpy as np
import pytest
from planning_worlds import built, dataset, ms, snapshot, source

import headgate
from headgate import UsageError
from headgate.model.guard_rail import GuardRails, Outcome, Rule, Setting
from headgate.model.mapping import Trailing
from headgate.model.plan import Request
from headgate.model.verdict import Override, Verdict
from headgate.planning.guard_rails import Amounts, Facts, judge
from headgate.planning.planner import make_plan

DAYS = headgate.daily("2013-01-01")
MONTHS = headgate.monthly("2013-01-01")
NOW = ms("2013-04-01")
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


def world(**daily):
    """Return landed -> daily -> monthly, with 90 days and 3 months, none of it built."""
    return snapshot(
        source("landed", DAYS),
        replace(dataset("daily", DAYS, "landed", tolerant=daily.pop("tolerant", False)), **daily),
        dataset("monthly", MONTHS, "daily"),
    )


def rule(name, **values):
    return Setting(Rule(name), **{"outcome": Outcome.DENY, "origin": "headgate.toml:3", **values})


def general(name, **values):
    return GuardRails(general={Rule(name): rule(name, **values)})


def own(name, dataset_name="daily", **values):
    return GuardRails(datasets={dataset_name: {Rule(name): rule(name, **values)}})


def both(name, *, project, daily):
    return GuardRails({Rule(name): rule(name, **project)}, {"daily": {Rule(name): rule(name, **daily)}})


def verdict(rails, facts=None, *, known=None, request=None, reason="because of OPS-12", overrides=()) -> Verdict:
    known = known or world()
    plan = make_plan(known, request or Request())
    return judge(plan, known, rails, facts or Facts(NOW), reason=reason, overrides=overrides)


def only(found: Verdict):
    (finding,) = found.findings
    return finding


def test_nothing_objects_to_a_plan_without_rules():
    assert verdict(GuardRails()) == Verdict(Outcome.ALLOW, ())


def test_nothing_objects_to_an_empty_plan():
    known = built(world())
    rails = GuardRails({Rule.MAX_TIME: rule("max_time", limit=1), Rule.TICKET: rule("ticket", pattern="X")})
    assert verdict(rails, known=known, reason="") == Verdict(Outcome.ALLOW, ())


def test_what_a_finding_says():
    rails = general(
        "max_partitions",
        limit=92,
        written="92",
        because="The warehouse is small.",
        group="leads",
        approvers=("ann",),
        persons=2,
        outcome=Outcome.APPROVAL,
    )
    found = verdict(rails)
    assert found.outcome is Outcome.APPROVAL
    finding = only(found)
    assert (finding.rule, finding.dataset, finding.partitions) == (Rule.MAX_PARTITIONS, None, 93)
    assert (finding.value, finding.limit) == ("93 partitions", "at most 92")
    assert (finding.origin, finding.because) == ("headgate.toml:3", "The warehouse is small.")
    assert (finding.group, finding.approvers, finding.persons) == ("leads", ("ann",), 2)
    assert msgspec.json.decode(msgspec.json.encode(found), type=Verdict) == found


def test_the_limit_itself_is_allowed():
    assert not verdict(general("max_partitions", limit=93)).findings


@pytest.mark.parametrize(
    ("project", "daily", "objections"),
    [
        # Its own limit frees a dataset from that of the project, which counts the others together.
        (3, 90, []),
        (2, 90, [(None, "3 partitions")]),
        (3, 89, [("daily", "90 partitions")]),
        (2, 89, [("daily", "90 partitions"), (None, "3 partitions")]),
    ],
)
def test_a_dataset_is_held_to_its_own_limit_and_the_others_to_that_of_the_project(project, daily, objections):
    found = verdict(both("max_partitions", project={"limit": project}, daily={"limit": daily}))
    assert [(finding.dataset, finding.value) for finding in found.findings] == objections


QUANTITIES = [("max_bytes", "bytes", "forecast 8 bytes"), ("max_cost", "cost", "forecast 8.00 CHF")]


@pytest.mark.parametrize(("name", "field", "text"), [*QUANTITIES, ("max_time", "p90_ms", "forecast 8 ms")])
def test_forecast_quantities_of_the_plan(name, field, text):
    facts = Facts(NOW, Amounts(**{field: 8}), currency="CHF")
    assert only(verdict(general(name, limit=7, written="7"), facts)).value == text
    assert not verdict(general(name, limit=8), facts).findings


@pytest.mark.parametrize(("name", "field"), [(name, field) for name, field, _ in QUANTITIES])
def test_quantities_of_several_datasets_add_up(name, field):
    amounts = {known: Amounts(**{field: 4}) for known in ("daily", "monthly")}
    facts = Facts(NOW, Amounts(**{field: 8}), amounts)
    assert not verdict(both(name, project={"limit": 4}, daily={"limit": 4}), facts).findings
    found = verdict(both(name, project={"limit": 3}, daily={"limit": 3}), facts)
    assert [finding.dataset for finding in found.findings] == ["daily", None]


def test_several_datasets_are_done_when_the_last_one_is():
    known = snapshot(dataset("a", DAYS), dataset("b", DAYS), dataset("daily", DAYS))
    amounts = {"a": Amounts(p90_ms=5000), "b": Amounts(p90_ms=6000), "daily": Amounts(p90_ms=60_000)}
    facts = Facts(NOW, Amounts(p90_ms=60_000), amounts)
    rails = both("max_time", project={"limit": 5999}, daily={"limit": 60_000})
    assert only(verdict(rails, facts, known=known)).value == "forecast 6 s"
    rails = both("max_time", project={"limit": 6000}, daily={"limit": 59_999})
    assert only(verdict(rails, facts, known=known)).dataset == "daily"


@pytest.mark.parametrize("name", ["max_bytes", "max_time", "max_cost"])
@pytest.mark.parametrize(
    ("outcome", "approvers", "asks"),
    [
        (Outcome.DENY, ("ann",), Outcome.APPROVAL),
        (Outcome.APPROVAL, ("ann",), Outcome.APPROVAL),
        # Nobody is named who could look at it.
        (Outcome.DENY, (), Outcome.DENY),
        (Outcome.ALLOW, ("ann",), Outcome.ALLOW),
    ],
)
def test_what_is_not_known_is_not_allowed(name, outcome, approvers, asks):
    finding = only(verdict(general(name, limit=1e12, written="much", outcome=outcome, approvers=approvers)))
    assert (finding.outcome, finding.value, finding.limit) == (
        asks,
        "not known: there is no forecast",
        "at most much",
    )


def test_a_part_of_what_is_allowed_as_a_whole_need_not_be_known():
    rails = both("max_bytes", project={"limit": 10}, daily={"limit": 10})
    assert not verdict(rails, Facts(NOW, Amounts(bytes=10))).findings
    found = verdict(rails, Facts(NOW, Amounts(bytes=11)))
    assert [finding.value for finding in found.findings] == ["not known: there is no forecast"] * 2


def test_a_protected_dataset():
    finding = only(verdict(own("protected")))
    assert (finding.dataset, finding.partitions) == ("daily", 90)
    assert (finding.value, finding.limit) == ("90 partitions (2013-01-01 to 2013-03-31)", "protected")


@pytest.mark.parametrize(
    ("start", "end", "value", "limit"),
    [
        (None, "2013-01-03", "2 partitions (2013-01-01 to 2013-01-02)", "protected until 2013-01-03 (UTC)"),
        ("2013-03-31", None, "1 partition (2013-03-31)", "protected from 2013-03-31 (UTC)"),
        # A window of which a part is protected cannot be rebuilt either.
        (
            "2013-01-01T23:00",
            "2013-01-02T01:00",
            "2 partitions (2013-01-01 to 2013-01-02)",
            "protected from 2013-01-01 23:00 until 2013-01-02 01:00 (UTC)",
        ),
    ],
)
def test_a_protected_range(start, end, value, limit):
    moments = {key: datetime.fromisoformat(text) for key, text in (("start", start), ("end", end)) if text is not None}
    finding = only(verdict(own("protected", **moments)))
    assert (finding.value, finding.limit) == (value, limit)


def test_a_range_outside_of_the_plan_and_datasets_without_windows_are_not_protected():
    rails = general("protected", end=datetime(2013, 1, 1))
    assert not verdict(rails).findings
    everything = general("protected", end=datetime(2013, 2, 1))
    assert not verdict(everything, known=snapshot(dataset("whole", headgate.static(["a"])))).findings


def test_a_protected_range_is_in_the_time_of_the_dataset():
    zoned = headgate.daily("2013-01-01", tz="Asia/Tokyo")
    rails = own("protected", end=datetime(2013, 1, 2))
    finding = only(verdict(rails, known=snapshot(dataset("daily", zoned))))
    assert (finding.value, finding.limit) == (
        "1 partition (2013-01-01)",
        "protected until 2013-01-02 (Asia/Tokyo)",
    )


def test_a_source_that_keeps_90_days():
    rails = GuardRails(sources={"landed": rule("retention", limit=60 * DAY_MS, written="60d")})
    finding = only(verdict(rails))
    # 60 days before April 1st is January 31st: of that day on all is there.
    assert (finding.dataset, finding.partitions) == ("daily", 30)
    assert finding.value == "30 partitions (2013-01-01 to 2013-01-30) from landed before 2013-01-31 00:00 UTC"
    assert finding.limit == "landed keeps 60d"


def test_a_window_of_which_a_part_is_kept_is_not_held():
    rails = GuardRails(sources={"landed": rule("retention", limit=60 * DAY_MS, written="60d")})
    assert only(verdict(rails, Facts(NOW + 1))).partitions == 31


def test_what_is_within_the_retention_or_not_built_is_not_refused():
    rails = GuardRails(sources={"landed": rule("retention", limit=90 * DAY_MS, written="90d")})
    assert not verdict(rails).findings
    old = GuardRails(sources={"landed": rule("retention", limit=60 * DAY_MS, written="60d")})
    assert not verdict(old, request=Request(start="2013-02-01")).findings
    # Its file is missing and nothing else would do: it is left out of the run.
    gone = snapshot(source("landed", DAYS), dataset("daily", DAYS, "landed"), absent={"landed": {0: "gone"}})
    assert not verdict(old, known=gone, request=Request(end="2013-01-02")).findings


def test_readers_of_several_windows_of_a_source():
    known = snapshot(source("landed", DAYS), dataset("daily", DAYS, ("landed", Trailing(7))))
    rails = GuardRails(sources={"landed": rule("retention", limit=60 * DAY_MS, written="60d")})
    assert only(verdict(rails, known=known)).partitions == 36


def recorded_and_gone(*, tolerant):
    """Return a world in which the file of 2013-01-02 was recorded once and is absent now."""
    known = world(tolerant=tolerant)
    known.heads["landed"] = replace(known.heads["landed"], absent={1: "in/2013-01-02.csv: there is no such file"})
    return known


def test_a_file_that_was_there_before_and_is_gone():
    finding = only(verdict(GuardRails(), known=recorded_and_gone(tolerant=True)))
    assert (finding.rule, finding.outcome, finding.dataset) == (Rule.RETENTION, Outcome.DENY, "daily")
    assert finding.value == "1 partition (2013-01-02) without files of landed that were there before"
    assert finding.limit == "2013-01-02: in/2013-01-02.csv: there is no such file"
    assert finding.origin == "default"


def test_a_file_that_is_gone_does_no_harm_where_nothing_is_built_without_it():
    assert not verdict(GuardRails(), known=recorded_and_gone(tolerant=False)).findings


def test_a_file_that_was_never_there_does_no_harm():
    known = snapshot(
        source("landed", DAYS), dataset("daily", DAYS, "landed", tolerant=True), absent={"landed": {1: "none"}}
    )
    assert not verdict(GuardRails(), known=known).findings


def test_a_snapshot_has_only_its_current_window():
    finding = only(verdict(GuardRails(), known=world(snapshot_only=True)))
    assert (finding.rule, finding.dataset, finding.outcome) == (Rule.SNAPSHOT_ONLY, "daily", Outcome.DENY)
    assert finding.value == "89 partitions (2013-01-01 to 2013-03-30)"
    assert finding.limit == "only the current window can be built: 2013-03-31"
    assert not verdict(GuardRails(), known=world(snapshot_only=True), request=Request(start="2013-03-31")).findings


@pytest.mark.parametrize(("later_ms", "past"), [(0, 30), (DAY_MS - 1, 30), (DAY_MS, 31)])
def test_the_last_window_of_a_snapshot_is_current_until_another_would_have_ended(later_ms, past):
    ended = headgate.daily("2013-03-01", "2013-04-01")
    known = snapshot(replace(dataset("daily", ended), snapshot_only=True))
    finding = only(verdict(GuardRails(), Facts(NOW + later_ms), known=known))
    assert finding.partitions == past
    assert (finding.limit == "no window is left") == (past == 31)


def test_a_snapshot_without_windows_can_always_be_taken():
    known = snapshot(replace(dataset("whole", headgate.static(["a", "b"])), snapshot_only=True))
    assert not verdict(GuardRails(), known=known).findings


def test_all_keys_of_the_current_window_of_a_snapshot_can_be_built():
    known = snapshot(replace(dataset("x", headgate.product(DAYS, headgate.static(["a", "b"]))), snapshot_only=True))
    assert only(verdict(GuardRails(), known=known)).partitions == 2 * 89


def test_effects_that_must_not_happen_twice():
    known = world(idempotent=False)
    assert not verdict(GuardRails(), known=known).findings
    known.heads["daily"].version[[3, 5]] = 7, 8
    finding = only(verdict(GuardRails(), known=known, request=Request(forced=True)))
    assert (finding.rule, finding.partitions) == (Rule.NON_IDEMPOTENT, 2)
    assert finding.value == "2 partitions (2013-01-04 to 2013-01-06) once more"


def test_effects_that_an_attempt_may_have_had_before_it_failed():
    known = world(idempotent=False)
    known.heads["daily"] = replace(known.heads["daily"], failed=np.array([7]))
    assert only(verdict(GuardRails(), known=known)).value == "1 partition (2013-01-08) once more"


def test_a_change_of_schema():
    before = (("day", "date"), ("price", "int64"), ("vat", "double"))
    after = (("day", "date"), ("price", "double"), ("tax", "double"))
    facts = Facts(NOW, schemas={"daily": (before, after), "monthly": (before, before)})
    finding = only(verdict(general("schema_change"), facts))
    assert finding.dataset == "daily"
    assert finding.value == "column vat looks renamed to tax (double), column price: int64 is double now"
    assert not verdict(GuardRails(), facts).findings


@pytest.mark.parametrize(
    ("p90_ms", "objects"), [(DAY_MS + HOUR_MS // 2, False), (DAY_MS + HOUR_MS // 2 + 1, True), (None, True)]
)
def test_the_next_fresh_deadline(p90_ms, objects):
    rails = own("fresh_deadline", limit=HOUR_MS / 2)
    found = verdict(rails, Facts(NOW, Amounts(p90_ms=p90_ms)))
    assert bool(found.findings) == objects
    if objects:
        assert only(found).limit == "done by 2013-04-02 00:30 UTC, when the next window of daily is due"


def test_a_dataset_that_gets_no_more_windows_has_no_deadline():
    known = snapshot(
        dataset("daily", headgate.daily("2013-01-01", "2013-02-01")), dataset("whole", headgate.static(["a"]))
    )
    rails = general("fresh_deadline", limit=0)
    assert not verdict(rails, Facts(NOW, Amounts(p90_ms=10**12)), known=known).findings


@pytest.mark.parametrize(("reason", "value"), [("", "no reason"), ("  x  ", "a reason of 1 character"), ("four", None)])
def test_a_reason_of_some_length(reason, value):
    found = verdict(general("require_reason", limit=4), reason=reason)
    assert [(finding.value, finding.limit) for finding in found.findings] == (
        [(value, "at least 4 characters")] if value else []
    )


@pytest.mark.parametrize(("reason", "names_one"), [("see OPS-7", True), ("see ops-7", False), ("", False)])
def test_a_reason_with_a_ticket(reason, names_one):
    found = verdict(own("ticket", "monthly", pattern="OPS-[0-9]+"), reason=reason)
    assert [(finding.dataset, finding.example) for finding in found.findings] == (
        [] if names_one else [("monthly", "OPS-123")]
    )


def test_the_most_severe_finding_counts_and_what_is_allowed_is_said():
    rails = GuardRails(
        {
            Rule.MAX_PARTITIONS: rule("max_partitions", limit=1, outcome=Outcome.APPROVAL, approvers=("ann",)),
            Rule.PROTECTED: rule("protected", outcome=Outcome.ALLOW),
        }
    )
    found = verdict(rails)
    assert found.outcome is Outcome.APPROVAL
    assert [(finding.rule, finding.dataset) for finding in found.findings] == [
        (Rule.MAX_PARTITIONS, None),
        (Rule.PROTECTED, "daily"),
        (Rule.PROTECTED, "monthly"),
    ]


# Overrides.


@pytest.mark.parametrize(("approvers", "outcome"), [((), Outcome.ALLOW), (("ann",), Outcome.APPROVAL)])
def test_an_override_lifts_a_denial_or_leaves_it_to_the_approvers(approvers, outcome):
    override = Override("protected", " The bill was wrong. ", "bob")
    found = verdict(general("protected", approvers=approvers), overrides=[override])
    assert found.outcome is outcome
    assert [finding.dataset for finding in found.findings] == ["daily", "monthly"]
    for finding in found.findings:
        assert finding.is_overridden
        assert (finding.overridden_by, finding.overridden_because) == ("bob", "The bill was wrong.")


def test_an_override_lifts_only_the_rule_that_it_names():
    rails = GuardRails({Rule.PROTECTED: rule("protected"), Rule.TICKET: rule("ticket", pattern="X")})
    found = verdict(rails, overrides=[Override("ticket", "none yet")])
    assert found.outcome is Outcome.DENY
    assert {finding.rule for finding in found.findings if finding.is_overridden} == {Rule.TICKET}


@pytest.mark.parametrize(
    ("overrides", "message", "hint"),
    [
        ([("retentoin", "x")], "there is no guard rail 'retentoin'", "Did you mean retention?"),
        ([("force", "x")], "there is no guard rail 'force'", "There are max_partitions, "),
        ([("retention", "x")], "retention did not object", "Leave --override retention out."),
        ([("protected", "")], "the override of protected says no reason", "--because"),
        ([("protected", "x"), ("protected", "y")], "protected is overridden twice", "one --override"),
        (
            [("max_partitions", "x")],
            "max_partitions does not deny this plan: it asks for approval",
            "Leave --override max_partitions out.",
        ),
    ],
)
def test_overrides_that_cannot_be(overrides, message, hint):
    rails = GuardRails(
        {
            Rule.PROTECTED: rule("protected"),
            Rule.MAX_PARTITIONS: rule("max_partitions", limit=1, outcome=Outcome.APPROVAL, approvers=("ann",)),
        }
    )
    with pytest.raises(UsageError) as caught:
        verdict(rails, overrides=[Override(*pair) for pair in overrides])
    assert caught.value.message == message
    assert hint in caught.value.hint
