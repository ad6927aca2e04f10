from __future__ import annotations

import re
import textwrap
from dataclasses import replace
from pathlib import Path

import pytest

import headgate
from headgate import UsageError
from headgate.model.dataset import Dataset
from headgate.model.partitioning import UNPARTITIONED
from headgate.model.policy import BACKFILL, FRESH, MAINTENANCE, BreakerPolicy, Effective, Pool, RetryPolicy, TaskOrder
from headgate.model.run import ErrorClass
from headgate.model.window import TimeWindow
from headgate.project.config import read_config
from headgate.project.places import read_document
from headgate.project.policies import Policies, resolve_policies
from headgate.project.policy_check import check_policies

FLIGHTS = Dataset(
    "flights", UNPARTITIONED, {}, "pipeline:flights", "", declared_at="pipeline.py:12", pools={"api": 1}, concurrency=6
)
PLAIN = Dataset("plain", UNPARTITIONED, {}, "pipeline:plain", "", declared_at="pipeline.py:20")

TEXT = """
[concurrency]
total = 16
per_run = 8
per_dataset = 4
order = "newest"

[pools]
warehouse = 8
api = { slots = 3, breaker = { failures = 2, cooldown = "5m" } }

[classes.backfill]
priority = 40
ceiling = "50%"
slots = 8
floor = 0.2
reserved = 1
weight = 2
patience = "5s"
timezone = "Europe/Zurich"
windows = [
  { days = "mon-fri", from = "08:00", to = "18:00", ceiling = "25%" },
  { month_days = "last", ceiling = 0 },
]
[classes.backfill.retry]
attempts = 5
backoff = "2s"
[classes.backfill.concurrency]
per_run = 6

[classes.urgent]
priority = 200

[retry]
attempts = 4
backoff_max = "2m"
on = ["transient"]

[breaker]
failures = 7

[owners.alice]
weight = 3.0
[owners.alice.retry]
attempts = 6
backoff = "3s"
budget_min = 0
[owners.alice.concurrency]
per_dataset = 3

[owners.bob]

[datasets.flights]
pools = { warehouse = 2 }
[datasets.flights.retry]
attempts = 7
[datasets.flights.breaker]
cooldown_max = "1h"
"""


@pytest.fixture
def policies(tmp_path):
    def resolve(text: str = "", *datasets: Dataset) -> Policies:
        (tmp_path / "headgate.toml").write_text(textwrap.dedent(text))
        found = resolve_policies(read_config(tmp_path))
        check_policies(found, {known.name: known for known in datasets}, read_document(tmp_path))
        return found

    return resolve


def test_an_empty_file_means_the_defaults(policies):
    found = policies("", PLAIN)
    assert found.classes == {"fresh": FRESH, "backfill": BACKFILL, "maintenance": MAINTENANCE}
    assert (found.pools, found.total, found.owner_weights, found.order) == ({}, None, {}, TaskOrder.OLDEST)
    effective = found.effective(PLAIN, "fresh", "anybody")
    assert set(effective.origins.values()) == {"default"}
    assert effective == Effective(origins=effective.origins)


def test_what_headgate_toml_declares(policies):
    found = policies(TEXT, FLIGHTS)
    assert list(found.classes) == ["urgent", "fresh", "backfill", "maintenance"]
    backfill = found.classes["backfill"]
    assert (backfill.priority, backfill.ceiling, backfill.slots, backfill.floor) == (40, 0.5, 8, 0.2)
    assert (backfill.reserved, backfill.weight, backfill.patience_ms) == (1, 2, 5_000)
    assert backfill.windows == (
        TimeWindow("Europe/Zurich", 0.25, frozenset(range(5)), frozenset(), 480, 1080),
        TimeWindow("Europe/Zurich", 0.0, frozenset(), frozenset({-1}), 0, 1440),
    )
    assert (found.classes["urgent"].floor, found.classes["urgent"].windows) == (0, ())
    assert found.pools == {
        "warehouse": Pool("warehouse", 8, BreakerPolicy(failures=7)),
        "api": Pool("api", 3, BreakerPolicy(failures=2, cooldown_ms=300_000)),
    }
    assert (found.total, found.order, found.owner_weights) == (16, TaskOrder.NEWEST, {"alice": 3.0})


def test_the_nearest_table_counts_key_by_key(policies):
    effective = policies(TEXT, FLIGHTS).effective(FLIGHTS, "backfill", "alice")
    assert effective.retry == RetryPolicy(
        attempts=7, backoff_ms=3000, backoff_max_ms=120_000, on=frozenset({ErrorClass.TRANSIENT}), budget_min=0
    )
    assert effective.breaker == BreakerPolicy(failures=7, cooldown_max_ms=3_600_000)
    assert (effective.concurrency, effective.run_concurrency, effective.pools) == (6, 6, {"warehouse": 2})
    assert effective.origins == {
        "retry.attempts": "[datasets.flights.retry]",
        "retry.backoff_ms": "[owners.alice.retry]",
        "retry.backoff_max_ms": "[retry]",
        "retry.on": "[retry]",
        "retry.budget": "default",
        "retry.budget_min": "[owners.alice.retry]",
        "breaker.failures": "[breaker]",
        "breaker.cooldown_ms": "default",
        "breaker.cooldown_max_ms": "[datasets.flights.breaker]",
        "concurrency": "@dataset at pipeline.py:12",
        "run_concurrency": "[classes.backfill.concurrency]",
        "pools": "[datasets.flights]",
        "typical": "default",
    }


@pytest.mark.parametrize(
    ("service_class", "owner", "attempts", "bounds", "origins"),
    [
        ("backfill", "bob", 5, (4, 6), ("[classes.backfill.retry]", "[concurrency]")),
        ("fresh", "alice", 6, (3, 8), ("[owners.alice.retry]", "[owners.alice.concurrency]")),
        ("fresh", "carol", 4, (4, 8), ("[retry]", "[concurrency]")),
        ("backfill", "alice", 6, (3, 6), ("[owners.alice.retry]", "[owners.alice.concurrency]")),
    ],
)
def test_owners_go_before_classes_and_those_before_the_general_tables(
    policies, service_class, owner, attempts, bounds, origins
):
    effective = policies(TEXT, FLIGHTS, PLAIN).effective(PLAIN, service_class, owner)
    assert effective.retry.attempts == attempts
    assert (effective.concurrency, effective.run_concurrency) == bounds
    assert (effective.origins["retry.attempts"], effective.origins["concurrency"]) == origins
    assert (effective.pools, effective.origins["pools"]) == ({}, "default")


def test_the_table_of_a_dataset_can_take_pools_and_bounds_away(policies):
    text = "[pools]\napi = 2\n[datasets.flights]\npools = []\nconcurrency = 1\n"
    effective = policies(text, FLIGHTS).effective(FLIGHTS, "fresh", "x")
    assert (effective.pools, effective.concurrency) == ({}, 1)
    assert effective.origins["pools"] == effective.origins["concurrency"] == "[datasets.flights]"


def test_an_owner_whose_name_needs_quotes(policies):
    found = policies('[owners."a.b c".retry]\nattempts = 9\n', PLAIN)
    effective = found.effective(PLAIN, "fresh", "a.b c")
    assert (effective.retry.attempts, effective.origins["retry.attempts"]) == (9, "[owners.'a.b c'.retry]")


def test_a_window_may_go_below_the_floor_and_more_may_be_reserved_than_there_is(policies):
    text = "[classes.backfill]\nfloor = 0.3\nreserved = 99\nwindows = [{ days = 'sat', ceiling = 0.2 }]\n"
    backfill = policies(f"{text}[workers]\nprocesses = 1\n").classes["backfill"]
    assert (backfill.floor, backfill.windows[0].ceiling, backfill.reserved) == (0.3, 0.2, 99)


def test_an_unknown_class(policies):
    with pytest.raises(UsageError) as caught:
        policies("").effective(PLAIN, "backfil", "x")
    assert caught.value.message == "there is no service class 'backfil'"
    assert caught.value.hint == "Did you mean backfill?"
    assert policies("").service_class("fresh") == FRESH


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        # Names.
        ("[clases.x]\n", "headgate.toml:1: clases is unknown in headgate.toml", "Did you mean classes?"),
        (
            "[classes.backfil]\nfloor = 0.1",
            "headgate.toml:1: classes.backfil.priority is missing: backfil is a class of your own",
            "Did you mean backfill? Larger is served first",
        ),
        ("[classes.'a b']\npriority = 1", "headgate.toml:1: classes.'a b' is a name that cannot be", "Use letters"),
        (
            '[classes.fresh]\n\n[classes."a]b"]\npriority = 1',
            "headgate.toml:3: classes.'a]b' is a name that cannot be",
            "Use letters",
        ),
        ("[pools]\n'1x' = 1", "headgate.toml:2: pools.'1x' is a name that cannot be", "Use letters"),
        (
            "[datasets.fligths]\nconcurrency = 1",
            "headgate.toml:1: datasets.fligths cannot be: there is no dataset 'fligths'",
            "Did you mean flights?",
        ),
        (
            "[pools]\nwarehouse = 8\napi = 1\n[datasets.flights]\npools = ['warehose']",
            "headgate.toml:5: datasets.flights.pools.warehose cannot be: there is no pool 'warehose'",
            "Did you mean warehouse?",
        ),
        (
            "[pools]\napi = 1\n[classes.fresh]\nfoo = 1",
            "classes.fresh.foo is unknown in [classes.fresh]",
            "Did you mean",
        ),
        (
            "[classes.fresh.retry]\natempts = 1",
            "headgate.toml:2: classes.fresh.retry.atempts is unknown in [classes.fresh.retry]",
            "Did you mean attempts?",
        ),
        (
            "[classes.fresh]\nwindows = [{ ceiling = 0, form = '08:00' }]",
            "headgate.toml:2: classes.fresh.windows.form is unknown in [classes.fresh.windows]",
            "Did you mean from?",
        ),
        (
            "[pools]\napi = { slot = 1 }",
            "headgate.toml:2: pools.api.slot is unknown in [pools.api]",
            "Did you mean slots?",
        ),
        ("[pools]\napi = {}", "headgate.toml:2: pools.api.slots is missing", ""),
        (
            "[workers]\nmax_attempts = 3",
            "headgate.toml:2: workers.max_attempts is unknown",
            "It is [retry] attempts now.",
        ),
        # Numbers.
        ("[concurrency]\ntotal = 0", "headgate.toml:2: concurrency.total must be at least 1, got 0", ""),
        ("[concurrency]\nper_run = -1", "headgate.toml:2: concurrency.per_run must be at least 1, got -1", ""),
        ("[pools]\napi = 0", "headgate.toml:2: pools.api.slots must be at least 1, got 0", ""),
        ("[pools]\napi = 'many'", "headgate.toml:2: pools.api must be a number of slots, or a table, got the text", ""),
        ("[pools]\napi = { slots = -3 }", "headgate.toml:2: pools.api.slots must be at least 1, got -3", ""),
        ("[classes.fresh]\nslots = -1", "headgate.toml:2: classes.fresh.slots must be at least 1, got -1", ""),
        ("[classes.fresh]\nreserved = -1", "classes.fresh.reserved must be at least 0, got -1", ""),
        ("[classes.fresh]\nweight = 0", "classes.fresh.weight must be at least 0.001, got 0", ""),
        (
            "[classes.fresh]\npatience = 0",
            'classes.fresh.patience must be a length of time, such as 90, "90s", "10m", "2h" or "7d", got 0',
            "",
        ),
        (
            "[classes.fresh]\nceiling = 50",
            'classes.fresh.ceiling must be a share, from 0 to 1 or from "0%" to "100%"',
            "",
        ),
        ("[classes.fresh]\nfloor = '-1%'", "classes.fresh.floor must be a share", ""),
        ("[datasets.flights]\npools = 'api'", "datasets.flights.pools must be a list of pools, or a table", ""),
        ("[datasets.flights]\npools = { api = 0 }", "datasets.flights.pools.api must be at least 1, got 0", ""),
        (
            "[pools]\napi = 1\n[datasets.flights]\npools = { api = 2 }",
            "datasets.flights.pools.api cannot be: an attempt would take 2 slots of pool api, which has 1",
            "",
        ),
        # Choices.
        (
            "[concurrency]\norder = 'oldes'",
            "concurrency.order must be one of oldest, newest, critical",
            "Did you mean oldest?",
        ),
        (
            "[retry]\non = ['transient', 'lots']",
            "headgate.toml:2: retry.on entry 2 must be one of transient,",
            "Did you mean lost?",
        ),
        (
            "[classes.fresh]\ntimezone = 'Europe/Zurih'",
            "headgate.toml:2: classes.fresh.timezone must be a time zone, got the text 'Europe/Zurih'",
            "Did you mean Europe/Zurich?",
        ),
        ("[classes.fresh]\ntimezone = 3", "classes.fresh.timezone must be a time zone, got 3", "Use an IANA name"),
        # Floors.
        (
            "[classes.fresh]\nfloor = 0.5\nceiling = 0.4",
            "headgate.toml:2: classes.fresh.floor cannot be: the floor of fresh, 0.5, is above its ceiling, 0.4",
            "",
        ),
        (
            "[classes.backfill]\nceiling = '5%'\nfloor = '10%'",
            "classes.backfill.floor cannot be: the floor of backfill, 0.1, is above its ceiling, 0.05",
            "",
        ),
        (
            "[classes.fresh]\nfloor = 0.5\n[classes.mine]\npriority = 1\nfloor = 0.4",
            "headgate.toml:5: classes.mine.floor cannot be: the floors of all classes add up to more than 100 %",
            "backfill has 0.1 and maintenance 0.05",
        ),
        # Retries and breakers.
        ("[retry]\nattempts = 0", "headgate.toml:2: retry.attempts must be at least 1, got 0", ""),
        ("[retry]\nattempts = inf", "headgate.toml:2: retry.attempts must be a whole number, got inf", ""),
        ("[retry]\nattempts = 1001", "headgate.toml:2: retry.attempts must be at most 1000, got 1001", ""),
        ("[owners.a.retry]\nbackoff = 0", "headgate.toml:2: owners.a.retry.backoff must be a length of time", ""),
        ("[retry]\nbudget = 2", "headgate.toml:2: retry.budget must be a share", ""),
        (
            "[retry]\nbackoff = '10m'",
            "headgate.toml:2: retry.backoff cannot be: the first backoff, 10m, is longer than backoff_max, 5m",
            "Set backoff_max beside it.",
        ),
        ("[breaker]\nfailures = 0", "headgate.toml:2: breaker.failures must be at least 1, got 0", ""),
        (
            "[breaker]\ncooldown = '2h'\ncooldown_max = '90m'",
            "headgate.toml:3: breaker.cooldown_max cannot be: the first cooldown, 2h, is longer than cooldown_max, 90m",
            "",
        ),
        (
            "[pools]\napi = { slots = 1, breaker = { cooldown = '5h' } }",
            "pools.api.breaker.cooldown cannot be: the first cooldown, 5h, is longer than cooldown_max, 4h",
            "Set cooldown_max beside it.",
        ),
        # Windows.
        (
            "[classes.fresh]\nwindows = [{ from = '08:00', to = '08:00', ceiling = 0 }]",
            "headgate.toml:2: classes.fresh.windows entry 1 holds always",
            "Set the ceiling of the class, or give",
        ),
        (
            "[classes.fresh]\nwindows = [{ days = 'mon', from = '24:00', ceiling = 0 }]",
            "headgate.toml:2: classes.fresh.windows entry 1 cannot begin at 24:00",
            "That is 00:00 of the next day.",
        ),
        (
            "[classes.fresh]\nwindows = [{ days = 'mon-sun', ceiling = 0 }]",
            "headgate.toml:2: classes.fresh.windows entry 1 holds always",
            "Set the ceiling of the class, or give",
        ),
        (
            "[classes.fresh]\nceiling = 0.5\nwindows = [{ days = 'sat', ceiling = 1 }]",
            "classes.fresh.windows entry 1 can never matter: its ceiling, 1, is above that of fresh, 0.5",
            "The smaller one counts: give the class the larger, and windows the smaller.",
        ),
        (
            "[classes.fresh]\nwindows = [{ from = '06:00', to = '22:00', ceiling = 0 }, "
            "{ days = 'mon-fri', from = '22:00', to = '06:00', ceiling = 0 }, "
            "{ days = 'sat-sun', from = '22:00', to = '06:00', ceiling = 0 }]",
            "headgate.toml:2: classes.fresh.windows cannot be: they close fresh for ever",
            "Leave it a time in which it may start something; a class that never shall has ceiling = 0.",
        ),
        (
            "[classes.fresh]\nwindows = [{ month_days = '1-31', ceiling = 0 }]",
            "headgate.toml:2: classes.fresh.windows cannot be: they close fresh for ever",
            "Leave it a time in which it may start something",
        ),
        (
            "[classes.fresh]\nwindows = [{ ceiling = 0.5 }]",
            "headgate.toml:2: classes.fresh.windows entry 1 holds always",
            "Set the ceiling of the class, or give",
        ),
        (
            "[classes.fresh]\nwindows = [{ days = 'sat', ceiling = 0 }, { from = '22:00', to = '06:00', ceiling = 1 }]",
            "headgate.toml:2: classes.fresh.windows entries 1 and 2 overlap with ceilings of 0 and 1",
            "Cut one of them.",
        ),
        (
            "[classes.fresh]\nwindows = [{ days = 'mon-fry', ceiling = 0 }]",
            "headgate.toml:2: classes.fresh.windows entry 1: days must be days of the week",
            "",
        ),
        (
            "[classes.fresh]\nwindows = [{ month_days = 32, ceiling = 0 }]",
            "classes.fresh.windows entry 1: month_days must be days of the month",
            "",
        ),
        (
            "[classes.fresh]\nwindows = [{ from = '8:00', ceiling = 0 }]",
            "classes.fresh.windows entry 1: from must be a time of day",
            "",
        ),
        ("[classes.fresh]\nwindows = [{ days = 'sat' }]", "classes.fresh.windows entry 1: ceiling is missing", ""),
        ("[classes.fresh]\nwindows = { days = 'sat' }", "classes.fresh.windows must be a list, got a table", ""),
    ],
)
def test_mistakes_are_named_with_their_line(policies, text, message, hint):
    with pytest.raises(UsageError) as caught:
        policies(text, Dataset("flights", UNPARTITIONED, {}, "m:f", ""))
    assert message in caught.value.message
    assert caught.value.message.startswith("headgate.toml:")
    assert caught.value.hint.startswith(hint)
    assert hint or not caught.value.hint
    assert "\n" not in caught.value.message


@pytest.mark.parametrize(
    "windows",
    [
        "{ days = 'sat', ceiling = 0 }, { days = 'sun', ceiling = 1 }",
        "{ days = 'sat', ceiling = 0.5 }, { from = '22:00', to = '06:00', ceiling = 0.5 }",
        "{ from = '08:00', to = '18:00', ceiling = 0.25 }, { from = '18:00', to = '08:00', ceiling = 1 }",
        "{ days = 'fri', from = '18:00', to = '18:00', ceiling = 0 }",
        "{ month_days = 1, ceiling = 0 }, { month_days = 'last', ceiling = 0.5 }, { days = 'sat', ceiling = 0.1 }",
    ],
)
def test_windows_that_can_be(policies, windows):
    assert policies(f"[classes.fresh]\nwindows = [{windows}]").classes["fresh"].windows


def test_windows_as_tables_of_their_own(policies):
    text = (
        "[[classes.fresh.windows]]\ndays = 'sat'\nceiling = 0\n[[classes.fresh.windows]]\ndays = 'sun'\nceiling = 1\n"
    )
    assert [window.ceiling for window in policies(text).classes["fresh"].windows] == [0, 1]


@pytest.mark.parametrize(
    ("text", "pools", "message", "hint"),
    [
        ("", {"api": 1}, "there is no pool 'api'", "Declare it in headgate.toml: [pools] api = 8."),
        ("[pools]\napis = 1", {"api": 1}, "there is no pool 'api'", "Did you mean apis?"),
        ("[pools]\napi = 1", {"api": 2}, "an attempt would take 2 slots of pool api, which has 1", ""),
    ],
)
def test_pools_that_a_declaration_names(policies, text, pools, message, hint):
    with pytest.raises(UsageError) as caught:
        policies(text, Dataset("a", UNPARTITIONED, {}, "m:a", "", declared_at="pipeline.py:3", pools=pools))
    assert (caught.value.message, caught.value.hint) == (f"pipeline.py:3: dataset a: {message}", hint)


def test_the_wait_of_a_dataset_may_use_the_bound_of_all(policies):
    text = "[retry]\nbackoff_max = '1h'\n[datasets.plain.retry]\nbackoff = '10m'\n"
    retry = policies(text, PLAIN).effective(PLAIN, "fresh", "x").retry
    assert (retry.backoff_ms, retry.backoff_max_ms) == (600_000, 3_600_000)


def test_failure_modes_are_public():
    assert isinstance(headgate.failure(ValueError, "data", "Look."), headgate.FailureMode)


def examples() -> list[str]:
    text = (Path(__file__).parents[3] / "docs/reference.md").read_text()
    section = text.partition("\n## headgate.toml\n")[2].partition("\n## ")[0]
    return [match[1] for match in re.finditer(r"\n\n((?:    .*\n|\n(?=    ))+)", section)]


@pytest.mark.parametrize("example", examples())
def test_the_examples_of_the_reference(policies, example):
    assert policies(example)


def test_the_reference_says_the_defaults(policies):
    text = (Path(__file__).parents[3] / "docs/reference.md").read_text()
    defaults = dict(re.findall(r"\| `((?:retry|breaker)\.\w+)` \| (.*?) \|", text))
    keys = [f"{key} = {value.strip('`')}" for key, value in defaults.items()]
    assert len(keys) == 9
    effective = policies("\n".join(keys)).effective(PLAIN, "fresh", "x")
    assert (effective.retry, effective.breaker) == (RetryPolicy(), BreakerPolicy())
    assert all(where.startswith("[") for name, where in effective.origins.items() if "." in name)


def test_a_floor_that_nobody_set_gives_way_to_a_ceiling(policies):
    assert policies("[classes.backfill]\nceiling = '5%'").classes["backfill"].floor == 0.05


def test_what_must_not_happen_twice_is_tried_once_unless_its_own_table_says_otherwise(policies):
    once = replace(PLAIN, idempotent=False)
    effective = policies("[retry]\nattempts = 5\n", once).effective(once, "fresh", "x")
    assert effective.retry.attempts == 1
    assert effective.origins["retry.attempts"].endswith("idempotent=False")
    text = f"[datasets.{once.name}.retry]\nattempts = 2\n"
    assert policies(text, once).effective(once, "fresh", "x").retry.attempts == 2
