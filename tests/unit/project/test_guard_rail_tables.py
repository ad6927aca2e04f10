from __future__ import annotations

import textwrap
from dataclasses import replace
from datetime import datetime

import pytest

import headgate
from headgate import UsageError
from headgate.model.dataset import Dataset, Format, Source
from headgate.model.guard_rail import GuardRails, Outcome, Rule, Setting
from headgate.model.partitioning import UNPARTITIONED
from headgate.project.amounts import size_bytes, span_ms
from headgate.project.config import read_config
from headgate.project.guard_rails import resolve_guard_rails
from headgate.project.places import read_document
from headgate.project.policies import resolve_policies
from headgate.project.policy_check import check_policies

DAYS = headgate.daily("2024-01-01")


def made(name, partitioning=DAYS):
    return Dataset(name, partitioning, {}, f"pipeline:{name}", "", declared_at="pipeline.py:9")


DATASETS = [
    made("billing_daily"),
    made("events"),
    made("whole", UNPARTITIONED),
    replace(made("state"), snapshot_only=True),
    replace(made("mails"), idempotent=False),
]
SOURCES = [Source("raw", DAYS, "x", Format.CSV), Source("raw_codes", UNPARTITIONED, "x", Format.CSV)]


@pytest.fixture
def rails(tmp_path):
    def resolve(text: str) -> GuardRails:
        (tmp_path / "headgate.toml").write_text(textwrap.dedent(text))
        config, document = read_config(tmp_path), read_document(tmp_path)
        datasets, sources = ({one.name: one for one in found} for found in (DATASETS, SOURCES))
        check_policies(resolve_policies(config), datasets, document)
        return resolve_guard_rails(config, datasets, sources, document)

    return resolve


TEXT = """\
[approvers]
data-leads = ["ann", "bob"]
finance = ["cid", "dan"]
[rates]
slot_hour = 1

[policies]
approvers = "data-leads"
[policies.max_partitions]
limit = 10_000
because = "The warehouse is shared."
[policies.max_bytes]
limit = "2TB"
verdict = "deny"
[policies.require_reason]
min_length = 20

[templates.money]
match = ["billing_*", "invoices"]
[templates.money.policies.protected]
until = 2024-01-01
approvers = "finance"
persons = 2
[templates.money.policies.max_partitions]
limit = 31
[templates.landed]
match = ["raw*"]
policies.retention = { keep = "90d", because = "The vendor deletes." }

[datasets.billing_daily.policies.max_partitions]
persons = 2
[datasets.events.policies]
max_partitions = { limit = 100_000, approvers = "finance" }
max_time = { limit = "6h" }
max_cost = { limit = 12.5 }
fresh_deadline = { within = "30m" }
ticket = { pattern = "OPS-[0-9]+" }
schema_change = { verdict = "allow" }
[sources.raw_codes.policies.max_partitions]
"""


def test_what_headgate_toml_says(rails):
    text = TEXT.replace("[sources.raw_codes.policies.max_partitions]\n", "")
    found = rails(text)
    leads = {"group": "data-leads", "approvers": ("ann", "bob")}
    shared = Setting(
        Rule.MAX_PARTITIONS,
        Outcome.APPROVAL,
        10_000,
        "10,000",
        because="The warehouse is shared.",
        origin="headgate.toml:10",
        **leads,
    )
    assert found.general == {
        Rule.MAX_PARTITIONS: shared,
        Rule.MAX_BYTES: Setting(Rule.MAX_BYTES, Outcome.DENY, 2 * 10**12, "2TB", origin="headgate.toml:13", **leads),
        Rule.REQUIRE_REASON: Setting(Rule.REQUIRE_REASON, Outcome.DENY, 20, "20", origin="headgate.toml:16", **leads),
    }
    # Key by key: the persons of its own table, the limit of the template, the rationale of the project.
    assert found.datasets["billing_daily"] == {
        Rule.MAX_PARTITIONS: replace(shared, limit=31, written="31", persons=2, origin="headgate.toml:25"),
        Rule.PROTECTED: Setting(
            Rule.PROTECTED,
            Outcome.DENY,
            end=datetime(2024, 1, 1),
            group="finance",
            approvers=("cid", "dan"),
            persons=2,
            origin="headgate.toml:21",
        ),
    }
    events = found.datasets["events"]
    assert (events[Rule.MAX_PARTITIONS].limit, events[Rule.MAX_PARTITIONS].group) == (100_000, "finance")
    assert (events[Rule.MAX_TIME].limit, events[Rule.MAX_TIME].written) == (6 * 3_600_000, "6h")
    assert (events[Rule.MAX_COST].limit, events[Rule.MAX_COST].written) == (12.5, "12.5")
    assert events[Rule.FRESH_DEADLINE].limit == 1_800_000
    assert (events[Rule.TICKET].pattern, events[Rule.TICKET].limit) == ("OPS-[0-9]+", None)
    assert events[Rule.SCHEMA_CHANGE].outcome is Outcome.ALLOW
    assert set(found.datasets) == {"billing_daily", "events"}
    kept = Setting(
        Rule.RETENTION,
        Outcome.DENY,
        90 * 86_400_000,
        "90d",
        because="The vendor deletes.",
        origin="headgate.toml:28",
        **leads,
    )
    assert found.sources == {"raw": kept, "raw_codes": kept}


def test_an_empty_file_has_only_what_always_holds(rails):
    found = rails("")
    assert (found.general, found.datasets, found.sources) == ({}, {}, {})
    assert {rule for rule in Rule if found.common(rule)} == {
        Rule.RETENTION,
        Rule.SNAPSHOT_ONLY,
        Rule.NON_IDEMPOTENT,
        Rule.HELD,
    }


def test_a_later_template_goes_before_an_earlier_one_and_the_own_table_before_both(rails):
    text = """
    [templates.b]
    match = ["*"]
    policies.max_partitions = { limit = 1, verdict = "deny" }
    [templates.a]
    match = ["e*"]
    policies.max_partitions = { limit = 2, verdict = "deny" }
    [datasets.state.policies.max_partitions]
    limit = 3
    """
    limits = {name: own[Rule.MAX_PARTITIONS].limit for name, own in rails(text).datasets.items()}
    assert limits == {"billing_daily": 1, "events": 2, "whole": 1, "state": 3, "mails": 1}


def test_a_template_that_matches_nothing_is_fine(rails):
    assert rails("[templates.x]\nmatch = ['nothing*']\npolicies.protected = {}").datasets == {}


def test_rules_that_the_code_asks_for_are_set_beside_it(rails):
    text = """
    [approvers]
    ops = ["ann"]
    [datasets.state.policies.snapshot_only]
    verdict = "approval"
    approvers = "ops"
    [datasets.mails.policies]
    non_idempotent = { because = "Customers get them." }
    [templates.all]
    match = ["*"]
    policies.snapshot_only = { because = "..." }
    """
    found = rails(text)
    assert found.datasets["state"][Rule.SNAPSHOT_ONLY].approvers == ("ann",)
    assert found.datasets["mails"][Rule.NON_IDEMPOTENT].because == "Customers get them."


@pytest.mark.parametrize(
    "bounds", ["from = 2024-01-01\nuntil = 2024-02-01T05:00:00", "from = '2024-01-01'\nuntil = '2024-02-01T05:00'"]
)
def test_a_protected_range_as_text_or_as_a_date(rails, bounds):
    setting = rails(f"[datasets.events.policies.protected]\n{bounds}").datasets["events"][Rule.PROTECTED]
    assert (setting.start, setting.end) == (datetime(2024, 1, 1), datetime(2024, 2, 1, 5))


def test_the_fingerprint_is_that_of_what_is_said(rails):
    one = rails("[policies.ticket]\npattern = 'A'\n[pools]\nx = 1").fingerprint
    assert rails("# moved\n[policies]\nticket.pattern = 'A'").fingerprint == one
    assert rails("[policies.ticket]\npattern = 'B'").fingerprint != one
    assert rails("[policies.ticket]\npattern = 'A'\n[approvers]\nx = ['ann']").fingerprint != one
    assert rails("[policies.ticket]\npattern = 'A'\n[datasets.events.policies.protected]").fingerprint != one


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        # Names.
        (
            "[policies.max_partition]\nlimit = 1",
            "headgate.toml:1: policies.max_partition is unknown in [policies]",
            "Did you mean max_partitions?",
        ),
        (
            "[policies.max_partitions]\nlimits = 1",
            "headgate.toml:2: policies.max_partitions.limits is unknown in [policies.max_partitions]",
            "Did you mean limit?",
        ),
        (
            "[datasets.event.policies.ticket]\npattern = 'X'",
            "headgate.toml:1: datasets.event cannot be: there is no dataset 'event'",
            "Did you mean events?",
        ),
        (
            "[sources.rawr.policies.retention]\nkeep = '1d'",
            "headgate.toml:1: sources.rawr cannot be: there is no source 'rawr'",
            "Did you mean raw?",
        ),
        (
            "[policies]\napprovers = 'leads'",
            "headgate.toml:2: policies.approvers cannot be: there is no group 'leads'",
            'Declare it: [approvers] leads = ["ann"].',
        ),
        (
            "[approvers]\nleads = ['ann']\n[policies.ticket]\npattern = 'X'\napprovers = 'laeds'",
            "headgate.toml:5: policies.ticket.approvers cannot be: there is no group 'laeds'",
            "Did you mean leads?",
        ),
        (
            "[templates.x]\nmatch = ['nothing']\n[templates.x.policies.protected]\napprovers = 'ops'",
            "headgate.toml:4: templates.x.policies.protected.approvers cannot be: there is no group 'ops'",
            "Declare it",
        ),
        ("[approvers]\n'a b' = ['ann']", "headgate.toml:2: approvers.'a b' is a name that cannot be", "Use letters"),
        (
            "[approvers]\nleads = []",
            "headgate.toml:2: approvers.leads must have at least 1 entry, got an empty list",
            "",
        ),
        ("[approvers]\nleads = 'ann'", "headgate.toml:2: approvers.leads must be a list, got the text 'ann'", ""),
        (
            "[approvers]\nleads = ['']",
            "headgate.toml:2: approvers.leads entry 1 must not be empty, got the text ''",
            "",
        ),
        ("[approvers]\nleads = ['ann', 'ann']", "headgate.toml:2: approvers.leads names ann twice", ""),
        ("[templates.x.policies.protected]", "headgate.toml:1: templates.x.match is missing", ""),
        ("[templates.x]\nmatch = []", "headgate.toml:2: templates.x.match must have at least 1 entry", ""),
        # Values.
        (
            "[policies.max_bytes]\nlimit = '2 hours'\nverdict = 'deny'",
            'headgate.toml:2: policies.max_bytes.limit must be a size with its unit, such as "500MB" or "2TB"',
            "",
        ),
        (
            "[policies.max_time]\nlimit = '2TB'",
            'headgate.toml:2: policies.max_time.limit must be a length of time with its unit, such as "45m", "6h"',
            "",
        ),
        ("[policies.max_time]\nlimit = 6", "policies.max_time.limit must be a length of time with its unit", ""),
        (
            "[policies.max_partitions]\nlimit = '10'",
            "policies.max_partitions.limit must be a whole number, got the text '10'",
            "",
        ),
        ("[policies.max_partitions]\nlimit = 0", "policies.max_partitions.limit must be at least 1, got 0", ""),
        ("[policies.max_cost]\nlimit = '5 EUR'", "policies.max_cost.limit must be a number, got the text '5 EUR'", ""),
        ("[policies.max_cost]\nlimit = -1", "policies.max_cost.limit must be at least 0, got -1", ""),
        ("[policies.ticket]\npattern = 'OPS-['", "policies.ticket.pattern must be a regular expression", ""),
        ("[policies.protected]\nfrom = 'monday'", "policies.protected.from must be a local date or time", ""),
        (
            "[policies.protected]\nfrom = 2024-01-01T00:00:00Z",
            "policies.protected.from must be a local date or time",
            "",
        ),
        (
            "[policies.protected]\nfrom = 2024-01-02\nuntil = 2024-01-02",
            "headgate.toml:3: policies.protected.until cannot be: 2024-01-02 is not after 2024-01-02",
            "",
        ),
        (
            "[policies.protected]\nverdict = 'denied'",
            "headgate.toml:2: policies.protected.verdict must be one of allow, approval, deny, got the text 'denied'",
            "Did you mean deny?",
        ),
        ("[policies.protected]\npersons = 3", "policies.protected.persons must be at most 2, got 3", ""),
        ("[policies.protected]\nbecause = 3", "policies.protected.because must be text, got 3", ""),
        ("[policies]\nprotected = true", "headgate.toml:2: policies.protected must be a table, got true", ""),
        # What is missing.
        (
            "[policies.max_partitions]\nverdict = 'deny'",
            "headgate.toml:1: policies.max_partitions.limit is missing",
            "",
        ),
        (
            "[templates.x]\nmatch = ['n']\n[templates.x.policies.ticket]",
            "headgate.toml:3: templates.x.policies.ticket.pattern is missing",
            "",
        ),
        (
            "[policies.max_partitions]\nlimit = 10",
            "headgate.toml:1: policies.max_partitions.approvers is missing: max_partitions asks for approval",
            'verdict = "deny"',
        ),
        (
            "[policies.protected]\nverdict = 'approval'",
            "headgate.toml:1: policies.protected.approvers is missing: protected asks for approval",
            "[approvers]",
        ),
        (
            "[policies.max_cost]\nlimit = 5\nverdict = 'deny'\n[rates]\ncurrency = 'EUR'\nslot_hour = 0",
            "headgate.toml:2: policies.max_cost.limit says nothing: no cost is known without rates",
            "Declare them, such as [rates] slot_hour = 0.12, or leave max_cost out.",
        ),
        (
            "[approvers]\nx = ['ann']\n[policies.protected]\napprovers = 'x'\npersons = 2",
            "headgate.toml:5: policies.protected.persons cannot be: group x is ann alone, whose own plans nobody could",
            "Name another person in [approvers] x, or leave out persons.",
        ),
        (
            "[approvers]\nx = ['ann']\n[policies]\napprovers = 'x'\n[templates.y]\nmatch = ['n*']\n"
            "[templates.y.policies.protected]\npersons = 2",
            "headgate.toml:8: templates.y.policies.protected.persons cannot be: group x is ann alone",
            "Name another person",
        ),
        (
            "[policies.protected]\npersons = 2",
            "headgate.toml:2: policies.protected.persons says nothing: nobody may approve",
            "Name a group",
        ),
        # What does not fit what it is set for.
        (
            "[datasets.events.policies.retention]\nkeep = '1d'",
            "headgate.toml:1: datasets.events.policies.retention cannot be: a source keeps data, not a dataset",
            "[sources.NAME.policies.retention]",
        ),
        (
            "[sources.raw.policies.protected]",
            "headgate.toml:1: sources.raw.policies.protected cannot be: a source is not built",
            "[datasets.NAME.policies.protected]",
        ),
        # That is said before what such a rule would lack.
        (
            "[sources.raw.policies.max_partitions]",
            "headgate.toml:1: sources.raw.policies.max_partitions cannot be: a source is not built",
            "[datasets.NAME.policies.max_partitions]",
        ),
        (
            "[datasets.events.policies.retention]",
            "headgate.toml:1: datasets.events.policies.retention cannot be: a source keeps data, not a dataset",
            "[sources.NAME.policies.retention]",
        ),
        (
            "[sources.raw_codes.policies.retention]\nkeep = '1d'",
            "headgate.toml:1: sources.raw_codes.policies.retention cannot be: raw_codes has no windows of time",
            "",
        ),
        (
            "[datasets.events.policies.snapshot_only]",
            "headgate.toml:1: datasets.events.policies.snapshot_only says nothing: events is not declared with",
            "pipeline.py:9",
        ),
        (
            "[datasets.events.policies.non_idempotent]",
            "datasets.events.policies.non_idempotent says nothing: events is not declared with idempotent=False",
            "pipeline.py:9",
        ),
        (
            "[datasets.whole.policies.protected]\nuntil = 2024-01-01",
            "datasets.whole.policies.protected cannot be: whole has no windows of time",
            "",
        ),
        (
            "[datasets.whole.policies.fresh_deadline]\nwithin = '1h'\nverdict = 'deny'",
            "datasets.whole.policies.fresh_deadline cannot be: whole has no windows of time",
            "",
        ),
    ],
)
def test_what_cannot_be_is_refused_with_its_line(rails, text, message, hint):
    with pytest.raises(UsageError) as caught:
        rails(text)
    assert message in caught.value.message
    assert caught.value.message.startswith("headgate.toml:")
    assert hint in caught.value.hint
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("45m", 2_700_000),
        ("1.5h", 5_400_000),
        ("90d", 7_776_000_000),
        ("2w", 1_209_600_000),
        ("90", None),
        (90, None),
        ("0d", None),
        ("-1d", None),
        ("1y", None),
        (None, None),
    ],
)
def test_lengths_of_time_with_days(text, ms):
    assert span_ms(text) == ms


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("2TB", 2 * 10**12),
        ("1.5 GB", 1_500_000_000),
        ("500kB", 500_000),
        ("500KB", 500_000),
        ("2TiB", 2 * 2**40),
        ("7B", 7),
        (4096, 4096),
        ("4096", None),
        ("2tb", None),
        ("5iB", None),
        (0, None),
        (True, None),
        (1.5, None),
    ],
)
def test_sizes(text, size):
    assert size_bytes(text) == size


def test_a_rate_of_a_pool_alone_is_a_rate(rails):
    text = """
    [policies.max_cost]
    limit = 5
    verdict = "deny"
    [pools]
    lake = 2
    [rates.pools.lake]
    slot_hour = 1
    """
    assert rails(text).general[Rule.MAX_COST].limit == 5
