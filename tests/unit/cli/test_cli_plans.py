"""Plans from the command line: kept, shown, compared, decided on, and what is refused. Nothing is run here."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner, Result

from headgate.cli.main import main
from headgate.drivers.session import Session
from headgate.drivers.submission import new_run
from headgate.model.plan import Request
from headgate.model.run import RunState
from headgate.planning.codec import plan_from_json
from headgate.store.sqlite import open_store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from headgate.model.plan import StoredPlan
    from headgate.store.store import Store

TOML = '[project]\nname = "shop"\nmodules = ["planned"]\n'
APPROVERS = '[approvers]\nleads = ["bob", "cid"]\n'
FEW = APPROVERS + '[policies.max_partitions]\nlimit = 4\napprovers = "leads"\npersons = 2\nbecause = "It is shared."\n'
CODE = """
import headgate as hg

DAYS = hg.daily("2024-01-01", "2024-01-04")

hg.source("raw", path="raw/{key}.csv", partitions=DAYS)

@hg.dataset(partitions=DAYS)
def flights(raw): ...

@hg.dataset(partitions=DAYS)
def trend(flights): ...
"""


@pytest.fixture(autouse=True)
def import_path(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("HEADGATE_AUTHOR", "ada")
    before = sys.path.copy()
    yield
    sys.path[:] = before
    sys.modules.pop("planned", None)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    configure(tmp_path, "")
    (tmp_path / "planned.py").write_text(CODE)
    (tmp_path / "raw").mkdir()
    for day in range(1, 4):
        land(tmp_path, day, "1\n")
    return tmp_path


def configure(root: Path, text: str) -> None:
    (root / "headgate.toml").write_text(TOML + text)


def land(root: Path, day: int, rows: str) -> None:
    (root / "raw" / f"2024-01-{day:02}.csv").write_text("value\n" + rows)


def opened(root: Path, *, create: bool = True) -> Store:
    return open_store(root / ".headgate" / "state.db", data_root=root / "data", create=create)


def call(root: Path, *arguments: str, code: int = 0) -> Result:
    done = CliRunner().invoke(main, ["-C", str(root), *arguments])
    assert done.exit_code == code, done.output
    return done


def data(root: Path, *arguments: str, code: int = 0) -> Any:
    return json.loads(call(root, *arguments, "--json", code=code).stdout)


def planned(root: Path, *arguments: str) -> str:
    """Make a plan; return its name."""
    name: str = data(root, "plan", *arguments)["id"]
    return name


def refused(root: Path, *arguments: str, code: int = 2) -> str:
    """Call what is refused; return the message and the hint."""
    done = call(root, *arguments, code=code)
    assert done.stdout == ""
    assert done.stderr.startswith("error: ")
    assert call(root, *arguments, "--json", code=code).stdout == ""
    return done.stderr


def kept(root: Path, name: str) -> StoredPlan:
    store = opened(root)
    try:
        found = store.plan(name)
    finally:
        store.close()
    assert found is not None
    return found


def runs(root: Path) -> list[Any]:
    found: list[Any] = data(root, "runs")["runs"]
    return found


def as_run(root: Path, name: str) -> str:
    """Record that a plan has become a run; return its id."""
    plan = plan_from_json(kept(root, name).body)
    run = new_run(plan, RunState.INTERRUPTED, reason="a test", author="ada", service_class="backfill")
    store = opened(root)
    with store.transaction() as tx:
        tx.add_run(run)
    store.close()
    return run.id


def test_a_plan_is_kept_with_a_name_and_says_how_it_is_run(root: Path) -> None:
    done = call(root, "plan")
    (plan,) = data(root, "plan", "list")["plans"]
    assert done.stdout.splitlines()[0] == "6 partitions to build"
    *_, name, following = done.stdout.splitlines()
    assert name.startswith(f"plan {plan['id']}, good until 20")
    assert following == f"  headgate -C {root} backfill --plan {plan['id']} --reason ..."
    assert done.stderr == ""
    with_reason = call(root, "plan", "--reason", "a new column").stdout.splitlines()[-1]
    assert with_reason.endswith(data(root, "plan", "list")["plans"][0]["id"])


def test_a_plan_as_json_says_its_name_until_when_it_holds_and_how_it_stands(root: Path) -> None:
    found = data(root, "plan", "--reason", "x", "--class", "maintenance")
    stored = kept(root, found["id"])
    assert found["hash"] == stored.hash
    assert found["hash"].startswith(found["id"])
    assert (found["expires_ms"], found["standing"]) == (stored.expires_ms, "ready")
    assert stored.expires_ms - stored.created_ms == 24 * 60 * 60 * 1000
    assert (stored.author, stored.reason, stored.service_class) == ("ada", "x", "maintenance")
    assert found["forecast"]["p50_ms"] > 0
    shown = data(root, "plan", "show", found["id"])
    assert {**shown["plan"], "forecast": found["forecast"]} == found
    assert shown["record"]["standing"] == "ready"


def test_plans_are_listed_newest_first(root: Path) -> None:
    assert call(root, "plan", "list").stdout == "there are no plans yet: headgate plan makes one\n"
    first, second = planned(root, "--reason", "one"), planned(root, "flights", "--reason", "two")
    lines = call(root, "plan", "list").stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["plan", second, first]
    assert "can be run" in lines[1]
    assert lines[1].endswith("two")


def test_a_plan_is_shown_as_it_was_kept(root: Path) -> None:
    name = planned(root, "flights", "--start", "2023-12-01", "--reason", "x")
    land(root, 2, "2\n")
    shown = call(root, "plan", "show", name[:6]).stdout.splitlines()
    assert shown[0] == f"plan {name} can be run"
    assert shown[1].startswith("  made by ada at 20")
    assert shown[2] == "  reason: x"
    assert shown[3].startswith("  expires at 20")
    assert shown[5] == "--start 2023-12-01 is before the start of flights: cut to 2024-01-01"
    assert shown[6] == "3 partitions to build"


def test_what_two_plans_differ_in(root: Path) -> None:
    whole, part = planned(root), planned(root, "--end", "2024-01-03")
    shown = call(root, "plan", "diff", part, whole).stdout.splitlines()
    assert shown[0].startswith(f"from plan {part}: 4 partitions, about ")
    assert shown[1].startswith(f"to   plan {whole}: 6 partitions, about ")
    assert shown[1].endswith(", allowed")
    assert [line.split() for line in shown[4:]] == [
        ["flights", "1", "added", "2024-01-03"],
        ["trend", "1", "added", "2024-01-03"],
    ]
    found = data(root, "plan", "diff", whole, part)
    assert [(one["name"], one["removed"]["count"]) for one in found["datasets"]] == [("flights", 1), ("trend", 1)]
    assert found["datasets"][0]["removed"]["ranges"] == [{"first": "2024-01-03", "last": "2024-01-03", "count": 1}]
    same = planned(root)
    assert call(root, "plan", "diff", whole, same).stdout == f"plan {whole} and plan {same} do the same\n"


def test_why_a_partition_is_in_the_plan(root: Path) -> None:
    shown = call(root, "plan", "--why", "trend", "2024-01-02").stdout
    assert shown.splitlines()[0] == "trend/2024-01-02 is in the plan"
    assert "because it has no version yet" in shown
    assert (
        "trend/2024-01-03 is not in the plan"
        in call(root, "plan", "--end", "2024-01-03", "--why", "trend", "2024-01-03").stdout
    )
    assert data(root, "plan", "--why", "trend", "2024-01-02")["steps"][0]["why"] == "missing"
    assert not (root / ".headgate").exists()


def test_an_empty_plan_is_no_failure_is_not_kept_and_says_why(root: Path) -> None:
    done = call(root, "plan", "flights", "--start", "2025-01-01")
    assert done.stdout.startswith("nothing to do: no partition is in this range, they go from 2024-01-01")
    assert "nothing to do" in call(root, "backfill", "flights", "--start", "2025-01-01", "--reason", "x").stdout
    assert not (root / ".headgate").exists()


@pytest.mark.parametrize(
    "command",
    [
        ["backfill", "--yes", "--reason", "x", "--plan"],
        ["backfill", "--replan", "--plan"],
        ["plan", "show"],
        ["plan", "diff", "x"],
        ["approve", "--reason", "x"],
        ["reject", "--reason", "x"],
    ],
)
def test_a_plan_that_is_not_there_is_refused_everywhere(root: Path, command: list[str]) -> None:
    assert "error: there is no plan" in refused(root, *command, "feed\x1b[31m")
    assert not (root / "data").exists()


def test_plans_of_another_project_expired_and_used_ones_are_refused(root: Path) -> None:
    name = planned(root)
    stored = kept(root, name)
    store = opened(root)
    with store.transaction() as tx:
        tx.add_plan(replace(stored, hash="e" * 64, expires_ms=stored.created_ms - 1))
        tx.add_plan(replace(stored, hash="f" * 64, project="another"))
    store.close()
    expired = refused(root, "backfill", "--plan", "eee", "--yes", code=1)
    assert expired.startswith("error: plan eeeeeeeeeeee has expired\nhint: Plan again: ")
    assert "--plan eeeeeeeeeeee --replan" in expired
    assert "plan ffffffffffff is for project another, and this is shop" in refused(
        root, "backfill", "--plan", "fff", "--yes"
    )
    run = as_run(root, name)
    # And not that a reason is missing: one would not help.
    assert f"error: plan {name} was run already, as run {run}\n" in refused(
        root, "backfill", "--plan", name, "--yes", code=1
    )
    assert "was run already" in refused(root, "approve", name, "--reason", "x", code=1)
    shown = call(root, "plan", "list").stdout
    assert "expired" in shown
    assert f"was run as {run}" in shown
    assert data(root, "plan", "show", "eee")["plan"]["standing"] == "expired"
    # Nor is one of another project suggested.
    assert "ffffffffffff" not in shown
    assert "ffffffffffff" not in refused(root, "plan", "show", "f" * 11 + "0")


def test_a_beginning_of_several_plans_is_refused(root: Path) -> None:
    stored = kept(root, planned(root, "--reason", "x"))
    store = opened(root)
    with store.transaction() as tx:
        tx.add_plan(replace(stored, hash="ab" + "0" * 62))
        tx.add_plan(replace(stored, hash="ab" + "1" * 62))
    store.close()
    assert "several plans start with ab" in refused(root, "plan", "show", "ab")


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["flights"], "SELECT"),
        (["--start", "2024-01-02", "--end", "2024-01-03"], "--start, --end"),
        (["--all"], "--all"),
        (["--class", "fresh"], "--class"),
        (["--override", "max_partitions", "--because", "x"], "--override, --because"),
    ],
)
def test_a_plan_is_run_as_it_is(root: Path, arguments: list[str], named: str) -> None:
    name = planned(root, "--reason", "x")
    told = refused(root, "backfill", "--plan", name, *arguments)
    assert f"--plan runs a plan as it is: {named} cannot be given with it" in told


def test_replan_needs_a_plan(root: Path) -> None:
    assert "--replan is about a plan that was kept" in refused(root, "backfill", "--replan", "--reason", "x")


def test_the_reason_is_given_with_the_plan_or_when_it_is_run(root: Path) -> None:
    without, with_one = planned(root), planned(root, "--reason", "a new column")
    assert "error: --reason is missing\n" in refused(root, "backfill", "--plan", without, "--yes")
    other = refused(root, "backfill", "--plan", with_one, "--yes", "--reason", "another")
    assert "the plan has a reason already: 'a new column'" in other
    # Both get as far as the question, which nobody is there to answer.
    for arguments in ([without, "--reason", "y"], [with_one], [with_one, "--reason", "a new column"]):
        assert "nobody is there to confirm" in refused(root, "backfill", "--plan", *arguments)
    assert runs(root) == []


def test_each_override_has_its_own_reason(root: Path) -> None:
    for command in (["plan"], ["backfill", "--reason", "x"]):
        told = refused(root, *command, "--override", "retention", "--override", "ticket", "--because", "x")
        assert "2 --override and 1 --because were given" in told
        assert "there is no guard rail 'retentoin'" in refused(
            root, *command, "--override", "retentoin", "--because", "x"
        )
        assert "retention did not object" in refused(root, *command, "--override", "retention", "--because", "x")


def test_a_world_that_moved_is_refused_with_the_difference(root: Path) -> None:
    name = planned(root, "--reason", "x")
    land(root, 2, "2\n")
    done = call(root, "backfill", "--plan", name, "--yes", code=1)
    assert done.stdout.splitlines()[0].startswith(f"from plan {name}: 6 partitions, ")
    assert done.stdout.splitlines()[1] == "to   what it would be now"
    assert ["flights", "reads", "or", "replaces", "others", "than", "before"] in [
        line.split() for line in done.stdout.splitlines()
    ]
    assert done.stderr == (
        "\nnothing was started: the world has moved since this plan was made\n"
        f"  headgate -C {root} backfill --plan {name} --replan\n"
    )
    found = data(root, "backfill", "--plan", name, "--yes", code=1)
    assert found["run"] is None
    assert found["moved"]["first"]["id"] == name
    assert [(one["name"], one["inputs_moved"]) for one in found["moved"]["datasets"]] == [("flights", True)]
    assert runs(root) == []


def test_replan_plans_the_same_anew_and_runs_nothing(root: Path) -> None:
    name = planned(root, "flights", "--end", "2024-01-03", "--reason", "x", "--class", "maintenance")
    land(root, 2, "2\n")
    again = data(root, "backfill", "--plan", name, "--replan")
    assert again["id"] != name
    assert (again["partitions"], again["standing"]) == (2, "ready")
    stored = kept(root, again["id"])
    assert (stored.reason, stored.service_class) == ("x", "maintenance")
    done = call(root, "backfill", "--plan", name, "--replan", "--reason", "y")
    assert done.stdout.splitlines()[0] == "2 partitions to build"
    assert kept(root, data(root, "plan", "list")["plans"][0]["id"]).reason == "y"
    assert runs(root) == []


def test_changed_guard_rails_are_said(root: Path) -> None:
    name = planned(root, "--reason", "x")
    configure(root, FEW)
    done = call(root, "backfill", "--plan", name, "--yes", code=1)
    assert done.stdout.endswith("\n\n  the guard rails in headgate.toml were changed\n")


def test_a_plan_that_needs_approval_says_who_may_and_is_approved_by_another(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure(root, FEW)
    shown = call(root, "plan", "--reason", "x").stdout
    name = data(root, "plan", "list")["plans"][0]["id"]
    assert shown.endswith(
        "guard rails: needs approval\n"
        "  max_partitions: 6 partitions; at most 4 (headgate.toml:7)\n"
        "    because: It is shared.\n"
        "    may be approved by leads (bob, cid, not its author)\n"
        "\n"
        f"plan {name} needs the approval of leads\n"
        f"  headgate -C {root} approve {name} --reason ...\n"
    )
    assert "needs the approval of leads" in refused(root, "backfill", "--plan", name, "--yes", code=1)
    assert "ada may not approve it: that is for leads (bob, cid)" in refused(
        root, "approve", name, "--reason", "me", code=1
    )
    monkeypatch.setenv("HEADGATE_AUTHOR", "bob")
    own = planned(root, "--reason", "mine")
    assert "bob is the author of the plan, and max_partitions takes two persons" in refused(
        root, "approve", own, "--reason", "me", code=1
    )
    assert call(root, "approve", name, "--reason", "fine").stdout == (
        f"plan {name} is approved\n  headgate -C {root} backfill --plan {name}\n"
    )
    assert "nobody is there to confirm" in refused(root, "backfill", "--plan", name)
    assert f"plan={name}  fine\n" in call(root, "journal").stdout
    assert "  approved by bob at 20" in call(root, "plan", "show", name).stdout
    record = data(root, "plan", "show", name)["record"]
    assert (record["standing"], [one["author"] for one in record["decisions"]]) == ("ready", ["bob"])
    entry = json.loads(call(root, "journal", "--kind", "plan.approved", "--json").stdout)
    assert (entry["author"], entry["reason"], entry["details"]["plan"][:12]) == ("bob", "fine", name)


def test_what_still_lacks_another_approval_says_so(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = '[datasets.trend.policies.protected]\nverdict = "approval"\napprovers = "leads"\n'
    other = FEW.replace("[policies", 'finance = ["dan", "eve"]\n[policies').replace(
        'approvers = "leads"', 'approvers = "finance"'
    )
    configure(root, other.replace("limit = 4", "limit = 5") + ours)
    name = planned(root, "--reason", "x")
    monkeypatch.setenv("HEADGATE_AUTHOR", "cid")
    assert call(root, "approve", name, "--reason", "y").stdout == (
        f"plan {name} is approved by you; it still needs the approval of finance\n"
    )
    monkeypatch.setenv("HEADGATE_AUTHOR", "dan")
    assert data(root, "approve", name, "--reason", "y")["standing"] == "ready"


def test_a_rejected_plan_is_not_run(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = planned(root, "--reason", "x")
    monkeypatch.setenv("HEADGATE_AUTHOR", "eve")
    assert call(root, "reject", name, "--reason", "not now").stdout == f"plan {name} is rejected\n"
    assert f"plan {name} was rejected by eve: not now" in refused(root, "backfill", "--plan", name, "--yes", code=1)
    assert "was rejected by eve" in refused(root, "approve", name, "--reason", "x", code=1)
    assert "rejected" in call(root, "plan", "list").stdout


def test_a_backfill_that_needs_approval_is_kept_as_a_plan_and_not_started(root: Path) -> None:
    configure(root, FEW)
    done = call(root, "backfill", "--reason", "x", "--yes", code=1)
    assert "max_partitions: 6 partitions" in done.stdout
    (plan,) = data(root, "plan", "list")["plans"]
    assert done.stderr == (
        f"\nnothing was started: plan {plan['id']} needs the approval of leads\n"
        f"  headgate -C {root} approve {plan['id']} --reason ...\n"
    )
    found = data(root, "backfill", "--reason", "x", "--yes", code=1)
    assert (found["run"], found["plan"]["standing"]) == (None, "pending")
    assert runs(root) == []


def test_a_denied_backfill_goes_on_with_an_override_of_that_rule_alone(root: Path) -> None:
    configure(
        root, '[policies.max_partitions]\nlimit = 4\nverdict = "deny"\n[policies.require_reason]\nmin_length = 3\n'
    )
    done = call(root, "backfill", "--reason", "x", "--yes", code=1)
    (plan,) = data(root, "plan", "list")["plans"]
    assert f"plan {plan['id']} is denied by max_partitions, require_reason\n" in done.stderr
    assert done.stderr.endswith(
        'plan again with --reason "..." --override max_partitions --because ... (a reason of at least 3 characters)\n'
    )
    only_one = ["--override", "max_partitions", "--because", "Sunday"]
    done = call(root, "plan", "--reason", "x", *only_one)
    assert done.stdout.endswith(
        'is denied by require_reason\n  plan again with --reason "..." (a reason of at least 3 characters)\n'
    )
    assert "overridden by ada: Sunday" in done.stdout
    name = planned(root, "--reason", "a new column", *only_one)
    assert data(root, "plan", "show", name)["record"]["standing"] == "ready"
    assert "nobody is there to confirm" in refused(root, "backfill", "--plan", name)
    # An override is decided on for one plan: the next one is judged anew.
    assert data(root, "backfill", "--plan", name, "--replan")["standing"] == "denied"
    assert data(root, "backfill", "--plan", name, "--replan", *only_one)["standing"] == "ready"


def test_a_backfill_that_nobody_confirms_leaves_nothing_behind(root: Path) -> None:
    assert "nobody is there to confirm" in refused(root, "backfill", "--reason", "x")
    assert not (root / ".headgate").exists()


def test_a_plan_is_kept_beside_a_coordinator_that_is_alive(root: Path) -> None:
    coordinator = opened(root)
    with coordinator.lead("something else"):
        name = planned(root, "--reason", "x")
        with coordinator.transaction() as tx:
            tx.journal("test", author="ada", run="", reason="it goes on", body={}, now_ms=1)
        assert data(root, "reject", name, "--reason", "y")["standing"] == "rejected"
        found = coordinator.plan(name)
        assert found is not None
        assert found.decisions
    coordinator.close()
    assert call(root, "journal", "--verify").stdout.startswith("journal ok")


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is where nobody can make a folder, not even root")
def test_who_may_not_write_sees_the_plan_all_the_same(root: Path) -> None:
    configure(root, '[state]\npath = "/proc/headgate/state.db"\n')
    done = call(root, "plan")
    assert done.stdout.splitlines()[0] == "6 partitions to build"
    assert "plan " not in done.stdout.splitlines()[-1]
    assert done.stderr.startswith("this plan was not kept, so nobody can approve it or run it by its name: ")
    assert "/proc/headgate" in done.stderr
    found = data(root, "plan")
    assert (found["partitions"], found["id"], found["standing"]) == (6, None, None)


def test_runs_are_listed_and_one_is_shown_with_all_that_was_decided(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "no runs yet" in call(root, "runs").stdout
    configure(root, FEW + '[policies.ticket]\npattern = "OPS"\nbecause = "Audit."\n')
    other = planned(root, "flights", "--reason", "OPS-1")
    call(root, "reject", other, "--reason", "another plan")
    name = planned(root, "--reason", "a column", "--override", "ticket", "--because", "no tracker today")
    monkeypatch.setenv("HEADGATE_AUTHOR", "bob")
    call(root, "approve", name, "--reason", "fine by me")
    run = as_run(root, name)
    call(root, "set", run, "concurrency=2", "order=newest", "--reason", "gently")
    call(root, "pause", run, "--reason", "lunch")
    lines = call(root, "runs").stdout.splitlines()
    assert lines[1].split()[:3] == [run, "interrupted,", "paused"]
    assert call(root, "runs", "list").stdout == call(root, "runs").stdout
    assert [one["id"] for one in data(root, "runs", "--limit", "1")["runs"]] == [run]
    shown = call(root, "runs", "show", "latest").stdout
    for part in (
        f"run {run} interrupted, paused: 0 of 6 partitions done\n",
        "  backfill of class backfill by ada, 20",
        "  set by hand: concurrency 2, order newest\n",
        f"plan {name}, made by ada at 20",
        "  approved by bob at 20",
        ": fine by me\n",
        "max_partitions: 6 partitions; at most 4 (headgate.toml:7)\n",
        "because: It is shared.\n",
        "overridden by ada: no tracker today\n",
        "concurrency=2 order=newest  gently\n",
        "pause accepted",
        "lunch\n",
        "done after",
    ):
        assert part in shown
    record = data(root, "runs", "show", run[:10])
    assert record["plan"]["id"] == name
    assert (record["plan"]["author"], record["plan"]["decisions"][0]["author"]) == ("ada", "bob")
    by_rule = {finding["rule"]: finding for finding in record["plan"]["verdict"]["findings"]}
    assert by_rule["ticket"]["overridden_because"] == "no tracker today"
    assert (record["overlap"], record["skipped"]) == ("refuse", 0)
    assert [(one["kind"], one["author"], one["reason"]) for one in record["entries"]] == [
        ("set accepted", "bob", "gently"),
        ("pause accepted", "bob", "lunch"),
    ]
    assert record["forecast"]["forecast"]["p50_ms"] > 0
    assert record["forecast_error"] is None
    exported = [json.loads(line) for line in call(root, "journal", "--run", run, "--json").stdout.splitlines()]
    assert [(one["kind"], one["author"], one["reason"]) for one in exported] == [
        ("plan.override", "ada", "no tracker today"),
        ("plan.approved", "bob", "fine by me"),
        ("run.submitted", "ada", "a test"),
        ("set accepted", "bob", "gently"),
        ("pause accepted", "bob", "lunch"),
    ]
    newest = call(root, "journal", "--run", run, "--limit", "4", "--json").stdout.splitlines()
    assert [json.loads(line)["seq"] for line in newest] == [one["seq"] for one in exported[1:]]
    (approved,) = call(root, "journal", "--run", run, "--kind", "plan.approved", "--json").stdout.splitlines()
    assert json.loads(approved) == exported[1]
    assert refused(root, "runs", "show", "nope").startswith("error: there is no run 'nope'")


def test_a_run_whose_plan_was_not_kept_is_shown_too(root: Path) -> None:
    session = Session(root)
    plan = session.plan(Request())[1]
    session.close()
    store = opened(root)
    with store.transaction() as tx:
        tx.add_run(new_run(plan, RunState.INTERRUPTED, reason="x", author="ada", service_class="backfill"))
    store.close()
    record = data(root, "runs", "show", "latest")
    assert (record["plan"], record["forecast"], record["entries"]) == (None, None, [])
    assert "plan " not in call(root, "runs", "show", "latest").stdout


@pytest.mark.parametrize("words", [("plan", "--json", "list"), ("plan", "list", "--json")])
def test_options_may_stand_before_the_word(root: Path, words: tuple[str, ...]) -> None:
    assert json.loads(call(root, *words).stdout) == {"plans": []}


@pytest.mark.parametrize(("given", "says"), [((), ""), (("abc",), ": abc is one, the other is missing")])
def test_a_diff_of_fewer_than_two_plans_says_what_is_missing(root: Path, given: tuple[str, ...], says: str) -> None:
    told = refused(root, "plan", "diff", *given)
    assert told.startswith(f"error: plan diff compares two plans{says}\n")
    assert (
        f"such as headgate plan diff {given[0] if given else '4dc3a13148b0'} bb20b54fcac6; `headgate plan list`" in told
    )


def test_a_plan_without_a_ticket_says_how_it_would_be_one_with_it(root: Path) -> None:
    configure(root, '[policies.ticket]\npattern = "OPS-[0-9]+"\n[policies.require_reason]\nmin_length = 9\n')
    done = call(root, "plan", "--reason", "x")
    assert done.stdout.endswith(
        "is denied by require_reason, ticket\n"
        '  plan again with --reason "OPS-123 ..." (a reason of at least 9 characters)\n'
    )
    assert data(root, "plan", "--reason", "OPS-1 for audit")["standing"] == "ready"
    configure(root, '[policies.ticket]\npattern = "(?=O)[^a]"\n')
    assert call(root, "plan", "--reason", "x").stdout.endswith('\n  plan again with --reason "..."\n')
