"""Steering what nobody runs: recorded at once, for the coordinator that takes it up."""

from __future__ import annotations

import json
import re
import sys
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner, Result

from headgate.cli.main import main
from headgate.drivers.handover import hand_over
from headgate.drivers.session import Session
from headgate.drivers.submission import new_run
from headgate.model.plan import Request
from headgate.model.run import RunState
from headgate.project.load import load
from headgate.store.sqlite import open_store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from headgate.store.store import Store

TOML = '[project]\nmodules = ["steered"]\n[pools]\nwarehouse = 8\nflights = 2\n[classes.backfill]\nceiling = "50%"\n'
CODE = """
import headgate as hg

@hg.dataset(partitions=hg.daily("2024-01-01", "2024-01-04"), pools=["warehouse"], concurrency=3)
def flights(): ...

@hg.dataset(partitions=hg.daily("2024-01-01", "2024-01-04"))
def trend(flights): ...
"""


@pytest.fixture(autouse=True)
def import_path(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("HEADGATE_AUTHOR", "ada")
    before = sys.path.copy()
    yield
    sys.path[:] = before
    sys.modules.pop("steered", None)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "headgate.toml").write_text(TOML)
    (tmp_path / "steered.py").write_text(CODE)
    return tmp_path


def opened(root: Path) -> Store:
    return open_store(root / ".headgate" / "state.db", data_root=root / "data", create=True)


def recorded(root: Path, state: RunState) -> str:
    """Record a run in a state; return its id."""
    session = Session(root)
    try:
        run = new_run(session.plan(Request())[1], state, reason="a test", author="ada", service_class="backfill")
    finally:
        session.close()
    store = opened(root)
    with store.transaction() as tx:
        tx.add_run(run)
        if state is RunState.QUEUED:
            tx.add_command(run.id, "submit", author="ada", reason="", now_ms=1)
    store.close()
    return run.id


def call(root: Path, *arguments: str, code: int = 0) -> Result:
    done = CliRunner().invoke(main, ["-C", str(root), *arguments])
    assert done.exit_code == code, done.stderr
    return done


def data(root: Path, *arguments: str, code: int = 0) -> Any:
    return json.loads(call(root, *arguments, "--json", code=code).stdout)


def data_lines(root: Path, *arguments: str) -> list[Any]:
    return [json.loads(line) for line in call(root, *arguments, "--json").stdout.splitlines()]


def journal(root: Path) -> list[tuple[str, str, str, dict[str, Any]]]:
    store = opened(root)
    try:
        return [(one.kind, one.author, one.reason, json.loads(one.body)) for one in store.journal_entries()]
    finally:
        store.close()


@pytest.mark.parametrize("state", [RunState.QUEUED, RunState.INTERRUPTED, RunState.RUNNING])
def test_a_run_that_nobody_runs_is_paused_and_limited_for_when_it_is_taken_up(root: Path, state: RunState) -> None:
    run = recorded(root, state)
    paused = data(root, "pause", "latest", "--reason", "later")["run"]
    assert paused == {"id": run, "state": "interrupted", "is_paused": True, "controls": {}}
    assert "is paused already" in call(root, "pause", run, "--reason", "x", code=1).stderr
    changed = data(root, "set", run, "concurrency=4", "order=critical", "--reason", "gently")["run"]
    assert changed["controls"] == {"concurrency": 4, "order": "critical"}
    assert data(root, "set", run, "concurrency=0", "--reason", "x")["run"]["controls"] == {"order": "critical"}
    assert f"{run}  interrupted, paused  0 of 6" in call(root, "status").stdout
    assert [entry for entry in journal(root) if entry[2] in {"later", "gently"}] == [
        ("pause accepted", "ada", "later", {}),
        ("set accepted", "ada", "gently", {"concurrency": 4, "order": "critical"}),
    ]


def test_a_queued_run_is_shown_as_such_while_a_coordinator_lives_and_is_cancelled_at_once(root: Path) -> None:
    run = recorded(root, RunState.QUEUED)
    other = opened(root)
    with other.lead("something else"):
        assert data(root, "status")["runs"][0]["state"] == "queued"
        why = data(root, "status", run, "--why")["why"]
        assert [(one["dataset"], one["tasks"], one["hold"]["reason"]) for one in why["held"]] == [
            ("flights", 3, "queued"),
            ("trend", 3, "queued"),
        ]
        shown = call(root, "status", run, "--why").stdout
        assert "the coordinator is about to take up the run  until it has looked at what is there" in shown
        assert "next: " not in shown
        (task,) = [data(root, "explain", "trend", "2024-01-02")["task"]]
        assert (task["hold"]["reason"], task["hold"]["next"]) == ("queued", [])
        assert " queued: 0 of 6 partitions done" in call(root, "status", run).stdout
        data(root, "pause", run, "--reason", "x")
        assert call(root, "resume", run).stdout == f"run {run} goes on\n"
        assert data(root, "cancel", run, "--reason", "no need") == {"run": {"id": run, "state": "cancelled"}}
    with other.transaction() as tx:
        assert tx.pending_commands() == []
    other.close()
    assert "is cancelled: there is nothing to cancel" in call(root, "cancel", run, "--reason", "x", code=1).stderr
    assert data(root, "status", run, "--why")["why"]["held"] == []


@pytest.mark.parametrize("state", [RunState.INTERRUPTED, RunState.CANCELLED])
def test_a_run_that_was_paused_does_not_stay_so_when_it_is_taken_up_by_hand(root: Path, state: RunState) -> None:
    run = recorded(root, RunState.INTERRUPTED)
    call(root, "pause", run, "--reason", "x")
    call(root, "set", run, "concurrency=2", "--reason", "x")
    store = opened(root)
    with store.transaction() as tx:
        tx.set_run_state(run, state, author="ada", reason="", now_ms=1)
    found = store.run(run)
    assert found is not None
    is_retry = state is RunState.CANCELLED
    hand_over(store, load(root), found, is_new=False, retry=is_retry, reason="go", author="ada", lifts_pause=True)
    found = store.run(run)
    assert found is not None
    assert json.loads(found.controls) == {"concurrency": 2}
    store.close()
    assert ("resume accepted", "ada", "go", {}) in journal(root)


@pytest.mark.parametrize(("verb", "state"), [("resume", RunState.INTERRUPTED), ("retry", RunState.FAILED)])
def test_a_pause_stands_if_the_run_may_not_go_on(root: Path, verb: str, state: RunState) -> None:
    run = recorded(root, RunState.INTERRUPTED)
    call(root, "pause", run, "--reason", "x")
    store = opened(root)
    with store.transaction() as tx:
        tx.set_run_state(run, state, author="ada", reason="", now_ms=1)
    (root / "steered.py").write_text(CODE.replace("2024-01-04", "2024-01-05"))
    assert "when this run was planned" in call(root, verb, run, code=1).stderr
    found = store.run(run)
    store.close()
    assert found is not None
    assert json.loads(found.controls) == {"is_paused": True}


@pytest.mark.parametrize("verb", ["resume", "retry"])
def test_a_reason_that_was_left_out_is_seen_to_be_so(root: Path, verb: str) -> None:
    recorded(root, RunState.SUCCEEDED)
    call(root, verb, "latest", code=1)
    kind, _, reason, _ = journal(root)[-1]
    assert (kind, reason) == (f"{verb} refused", "no reason given")


@pytest.mark.parametrize("verb", ["pause", "set"])
def test_what_has_ended_is_not_steered(root: Path, verb: str) -> None:
    run = recorded(root, RunState.SUCCEEDED)
    changes = ["concurrency=1"] if verb == "set" else []
    done = call(root, verb, run, *changes, "--reason", "x", code=1)
    assert done.stderr == f"error: run {run} has succeeded: there is nothing to {verb}\n"
    assert done.stdout == ""
    assert journal(root)[-1][0] == f"{verb} refused"


@pytest.mark.parametrize(
    ("arguments", "code", "kind", "refused", "body"),
    [
        (["set", "pool", "warehouse=4"], 1, "set pool", "no coordinator is alive", {"pool": "warehouse", "slots": 4}),
        (["set", "pool", "wharehouse=4"], 2, "set pool", "there is no pool", {"pool": "wharehouse", "slots": "4"}),
        (["set", "pool", "warehouse=0"], 2, "set pool", "slots of pool warehouse must be", {"slots": "0"}),
        (["set", "latest", "concurrency=many"], 2, "set", "concurrency must be", {"concurrency": "many"}),
        (["set", "nope", "concurrency=1"], 2, "set", "there is no run 'nope'", {"concurrency": 1}),
        (["pause", "latest"], 1, "pause", "has succeeded: there is nothing to pause", {}),
        (["cancel", "latest"], 1, "cancel", "has succeeded: there is nothing to cancel", {}),
        (["resume", "latest"], 1, "resume", "has succeeded: nothing is left to do", {}),
        (["retry", "latest"], 1, "retry", "has succeeded: nothing is left to do", {}),
        (["retry", "nope"], 2, "retry", "there is no run 'nope'", {}),
        (["breaker", "trip", "flihgts"], 2, "breaker", "there is no breaker", {"breaker": "flihgts", "action": "trip"}),
    ],
)
def test_what_is_refused_is_in_the_journal_once(
    root: Path, arguments: list[str], code: int, kind: str, refused: str, body: dict[str, Any]
) -> None:
    run = recorded(root, RunState.SUCCEEDED)
    before = len(journal(root))
    call(root, *arguments, "--reason", "we need it", code=code)
    ((found, author, reason, said),) = journal(root)[before:]
    assert (found, author, reason) == (f"{kind} refused", "ada", "we need it")
    assert refused in said.pop("refused")
    assert body.items() <= said.items()
    about = {"latest": run, "nope": "nope"}.get(arguments[1], "")
    assert data_lines(root, "journal", "--kind", kind)[-1]["run"] == about


def test_a_breaker_is_tripped_and_reset_before_anything_ran(root: Path) -> None:
    assert call(root, "breaker").stdout == "all breakers are closed\n"
    assert not (root / ".headgate").exists()
    tripped = data(root, "breaker", "trip", "trend", "--reason", "broken")["breaker"]
    assert (tripped["name"], tripped["state"], tripped["failures"]) == ("dataset:trend", "open", 0)
    shown = call(root, "breaker", "trip", "dataset:trend", "--reason", "still").stdout
    assert shown.startswith("breaker dataset:trend is open: it lets an attempt through at ")
    (again,) = data(root, "breaker")["breakers"]
    assert again["until_ms"] - tripped["until_ms"] >= 600_000, "it is open for twice as long the second time"
    assert "breaker dataset:trend is open" in call(root, "status").stdout
    assert data(root, "status")["breakers"] == [again]
    reset = data(root, "breaker", "reset", "trend", "--reason", "mended")["breaker"]
    assert reset == {"name": "dataset:trend", "state": "closed", "failures": 0, "until_ms": None}
    assert data(root, "breaker") == {"breakers": []}
    assert [(kind, reason, body["action"]) for kind, _, reason, body in journal(root)] == [
        ("breaker accepted", "broken", "trip"),
        ("breaker accepted", "still", "trip"),
        ("breaker accepted", "mended", "reset"),
    ]


def test_a_pool_is_changed_in_the_configuration_where_no_coordinator_lives(root: Path) -> None:
    done = call(root, "set", "pool", "warehouse=4", "--reason", "x", code=1)
    assert done.stderr.splitlines() == [
        "error: no coordinator is alive whose pool warehouse could be changed",
        "hint: Change it in headgate.toml, under [pools]: warehouse = 4. The next run reads that.",
    ]


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["pause", "nope"], ["there is no run 'nope'"]),
        (["set", "nope", "concurrency=1"], ["there is no run 'nope'"]),
        (["set", "latest", "concurrency"], ["'concurrency' is not NAME=VALUE"]),
        (["set", "latest", "=4"], ["'=4' is not NAME=VALUE"]),
        (["set", "latest", "concurrency="], ["is not NAME=VALUE"]),
        (["set", "latest", "concurrency=1", "concurrency=2"], ["'concurrency' is given twice"]),
        (["set", "latest", "concurency=1"], ["a run has no setting 'concurency'"]),
        (["set", "latest", "concurrency=-1"], ["concurrency must be a whole number from 0", "'-1'"]),
        (["set", "latest", "concurrency=1.5"], ["concurrency must be a whole number", "'1.5'"]),
        (["set", "latest", "concurrency=\N{ARABIC-INDIC DIGIT FOUR}"], ["concurrency must be a whole number"]),
        (["set", "latest", "priority=high"], ["priority must be a whole number from -1,000,000", "'high'"]),
        (["set", "latest", "priority=" + "9" * 400], ["priority must be"]),
        (["set", "latest", "order=latest"], ["order must be one of oldest, newest, critical, got 'latest'"]),
        (["set", "latest", "order=none"], ["order must be one of"]),
        (["set", "pool", "warehose=4"], ["there is no pool 'warehose'"]),
        (["set", "pool", "warehouse=0"], ["slots of pool warehouse must be a whole number from 1"]),
        (["set", "pool", "warehouse=4", "flights=1"], ["one pool at a time"]),
        (["breaker", "trip"], ["trip which breaker?"]),
        (["breaker", "trip", "flihgts"], ["there is no breaker 'flihgts'"]),
        (["breaker", "trip", "pool:trend"], ["there is no breaker 'pool:trend'"]),
        (["breaker", "reset", "flights"], ["'flights' is a pool and a dataset"]),
        (["breaker", "trip", "\x1b[31m"], ["x1b"]),
    ],
)
def test_wrong_requests(root: Path, arguments: list[str], parts: list[str]) -> None:
    for extra in ([], ["--json"]):
        done = call(root, *arguments, "--reason", "x", *extra, code=2)
        assert done.stdout == ""
        first, *rest = done.stderr.splitlines()
        assert first.startswith("error: ")
        assert all(part in first for part in parts), first
        assert all(line.startswith("hint: ") for line in rest)
    assert not (root / ".headgate").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ["pause", "latest"],
        ["cancel", "latest"],
        ["set", "latest", "priority=1"],
        ["breaker", "trip", "trend"],
        ["pause", "latest", "--reason", " "],
        ["status", "--why"],
        ["breaker", "open", "trend", "--reason", "x"],
    ],
)
def test_what_is_missing_is_named(root: Path, arguments: list[str]) -> None:
    done = call(root, *arguments, code=2)
    assert done.stderr.startswith("error: ")
    assert "hint: " in done.stderr


def test_the_choices_are_named(root: Path) -> None:
    assert (
        "Did you mean pool:warehouse?" in call(root, "breaker", "trip", "pool:warehose", "--reason", "x", code=2).stderr
    )
    assert (
        "Say which: pool:flights or dataset:flights."
        in call(root, "breaker", "trip", "flights", "--reason", "x", code=2).stderr
    )
    assert "There are flights, warehouse." in call(root, "set", "pool", "x=1", "--reason", "x", code=2).stderr


def pool_line(shown: str) -> list[str]:
    """Return the words of the line about a pool, without where that is set."""
    (line,) = [line for line in shown.splitlines() if line.startswith("  pool ")]
    return line.partition("@dataset")[0].split(maxsplit=2)


def cells(shown: str) -> list[list[str]]:
    """Return the cells of each line."""
    return [re.split(r"\s{2,}", line.strip()) for line in shown.splitlines()]


def test_explain_shows_the_policies_and_where_they_come_from(root: Path) -> None:
    shown = call(root, "explain", "flights", "2024-01-02").stdout
    assert "policies of a run of class backfill by ada; tables are those of headgate.toml\n" in shown
    lines = cells(shown)
    assert ["class.priority", "50", "default"] in lines
    assert ["class.ceiling", "50%", "[classes.backfill]"] in lines
    assert ["class.floor", "10%", "default"] in lines
    assert ["class.patience", "30 s", "default"] in lines
    assert ["owner.weight", "1", "default"] in lines
    assert ["concurrency.total", "no bound", "default"] in lines
    assert ["concurrency.per_dataset", "3", "@dataset at steered.py:4"] in lines
    assert ["concurrency.order", "oldest", "default"] in lines
    assert ["retry.attempts", "3", "default"] in lines
    assert [part.strip() for part in pool_line(shown)] == ["pool", "warehouse", "1 of 8 slots in headgate.toml"]
    run = recorded(root, RunState.INTERRUPTED)
    call(root, "set", run, "concurrency=7", "priority=-2", "order=newest", "--reason", "x")
    found = data(root, "explain", "trend", "2024-01-02")
    settings = {one["name"]: (one["value"], one["origin"]) for one in found["policies"]["settings"]}
    by_hand = f"headgate set, for run {run}"
    assert settings["concurrency.per_run"] == (7, by_hand)
    assert settings["run.priority"] == (-2, by_hand)
    assert settings["concurrency.order"] == ("newest", by_hand)
    assert settings["retry.on"] == (["lost", "resource", "timeout", "transient"], "default")
    assert found["policies"]["service_class"]["ceiling"] == 0.5
    assert found["task"]["hold"]["next"] == ["resume", run]
