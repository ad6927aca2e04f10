"""Quarantine from the command line: how it is shown, and what is refused. Nothing is run here."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner, Result

from headgate.cli.main import main
from headgate.model.audit import GateFinding
from headgate.model.gate import Severity
from headgate.model.run import Attempt, AttemptState, ErrorClass, Failure, Run, RunKind, RunState
from headgate.store.records import Candidate
from headgate.store.sqlite import open_store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

RUN = "20240105T000000-a1"
NULLS = GateFinding("not_null(n)", Severity.BLOCK, False, "3 of 10 rows are \x1b[31mnull")
MOVED = GateFinding("moves(rows=0.1)", Severity.APPROVE, False, "10 rows and 90 before")
FINE = GateFinding("unique(n)", Severity.BLOCK, True, "10 values")
CODE = """
import headgate as hg

@hg.dataset(partitions=hg.daily("2024-01-01", "2024-01-04"))
def flights(): ...
"""


@pytest.fixture(autouse=True)
def import_path(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("HEADGATE_AUTHOR", "ada")
    before = sys.path.copy()
    yield
    sys.path[:] = before
    sys.modules.pop("refused_ones", None)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "headgate.toml").write_text('[project]\nmodules = ["refused_ones"]\n')
    (tmp_path / "refused_ones.py").write_text(CODE)
    return tmp_path


def refuse(root: Path, *days: int, gates: tuple[GateFinding, ...] = (NULLS, FINE)) -> None:
    """Record attempts, numbered by their days, whose results gates have refused."""
    store = open_store(root / ".headgate" / "state.db", data_root=root / "data", create=True)
    with store.transaction() as tx:
        if store.run(RUN) is None:
            plan = '{"datasets": []}'
            tx.add_run(Run(RUN, RunKind.BACKFILL, RunState.RUNNING, "why", "ada", plan, "hash", 1_000, None))
        running = AttemptState.RUNNING
        keys = {day: f"2024-01-{day:02}" for day in days}
        tx.start_attempts(
            [
                Attempt(day, RUN, "flights", key, 1, running, f"f/{day}.parquet", None, 2_000)
                for day, key in keys.items()
            ]
        )
        failure = Failure(ErrorClass.DATA, "refused", "")
        refused = [
            Candidate(
                day,
                RUN,
                "flights",
                key,
                (),
                10,
                100,
                f"c{day}",
                None,
                "c0de",
                None,
                (),
                0,
                None,
                None,
                2_000,
                gates=gates,
            )
            for day, key in keys.items()
        ]
        tx.quarantine([(one, failure) for one in refused], author="ada", now_ms=3_000)
    store.close()


def call(root: Path, *arguments: str, code: int = 0) -> Result:
    done = CliRunner().invoke(main, ["-C", str(root), "quarantine", *arguments])
    assert done.exit_code == code, done.output
    return done


def data(root: Path, *arguments: str) -> Any:
    return json.loads(call(root, *arguments, "--json").stdout)


def refused(root: Path, *arguments: str, code: int = 2) -> str:
    """Call what is refused; return the message and the hint."""
    done = call(root, *arguments, code=code)
    assert done.stdout == ""
    assert done.stderr.startswith("error: ")
    return done.stderr


def test_where_nothing_was_refused_nothing_is_listed(root: Path) -> None:
    assert call(root, "list").stdout == call(root).stdout == "nothing is held in quarantine\n"
    assert call(root, "list", "--all").stdout == "nothing was ever quarantined\n"
    assert data(root, "list") == data(root) == {"quarantined": []}


def test_what_is_held_is_listed_newest_first(root: Path) -> None:
    refuse(root, 1, 2)
    refuse(root, 3, gates=(MOVED,))
    out = call(root).stdout
    assert out.index("waits for a release") < out.index("blocked")
    assert "not_null(n): 3 of 10 rows are \\x1b[31mnull" in out
    assert [one["attempt"] for one in data(root, "list")["quarantined"]] == [3, 2, 1]
    assert [one["attempt"] for one in data(root, "list", "--limit", "2")["quarantined"]] == [3, 2]
    assert "the newest 2; --limit shows more" in call(root, "list", "--limit", "2").stdout
    assert json.loads(call(root, "--json", "list").stdout) == data(root, "list")
    call(root, "drop", "3", "--reason", "rubbish")
    assert [one["attempt"] for one in data(root, "list")["quarantined"]] == [2, 1]
    assert "dropped by ada" in call(root, "list", "--all").stdout


def test_one_of_them_is_shown_with_all_gates_and_what_comes_next(root: Path) -> None:
    refuse(root, 1)
    out = call(root, "show", "1").stdout
    assert out.startswith("attempt 1 of flights/2024-01-01 is held: a gate has blocked it\n")
    assert "nothing is published of this partition" in out
    assert "unique(n)" in out
    assert f"headgate -C {root} quarantine release 1 --reason WHY publishes it" in out
    assert call(root, "show", "flights", "2024-01-01").stdout == out
    view = data(root, "show", "1")
    assert (view["why_not"], view["head"], len(view["gates"])) == ("", None, 2)
    call(root, "release", "1", "--reason", "fine")
    out = call(root, "show", "1").stdout
    assert "is released\n" in out
    assert "released by ada at " in out
    assert "next:" not in out


UNKNOWN = [
    (["9"], "nothing of attempt 9 was ever quarantined"),
    (["1", "9"], "nothing of attempt 9 was ever quarantined"),
    (["9" * 30], "is no attempt in quarantine"),
    (["flights"], "'flights' is no attempt in quarantine"),
    (["flights", "2024-01-02"], "nothing of flights/2024-01-02 was ever quarantined"),
    (["flights", "2024-02-30"], "2024-02-30"),
    (["flihgts", "2024-01-01"], "there is no dataset 'flihgts'"),
]


@pytest.mark.parametrize(("which", "said"), UNKNOWN)
def test_what_was_never_refused_is_unknown(root: Path, which: list[str], said: str) -> None:
    refuse(root, 1)
    assert said in refused(root, "show", *which)
    assert said in refused(root, "release", *which, "--reason", "x")
    assert said in refused(root, "drop", *which, "--reason", "x")
    assert said in refused(root, "query", *which, "select 1")


def test_what_was_decided_is_not_decided_again(root: Path) -> None:
    refuse(root, 1, 2)
    call(root, "release", "1", "--reason", "fine")
    call(root, "drop", "2", "--reason", "rubbish")
    for attempt, said in (("1", "was released already, by ada: fine"), ("2", "was dropped already, by ada: rubbish")):
        assert said in refused(root, "release", attempt, "--reason", "x", code=1)
        assert said in refused(root, "drop", attempt, "--reason", "x", code=1)
    assert "was dropped" in refused(root, "query", "2", "select * from this")


def test_of_several_all_are_decided_or_none(root: Path) -> None:
    refuse(root, 1, 2, 3)
    call(root, "drop", "2", "--reason", "rubbish")
    refused(root, "release", "1", "2", "3", "--reason", "fine", code=1)
    refused(root, "drop", "1", "2", "--reason", "fine", code=1)
    assert [one["attempt"] for one in data(root)["quarantined"]] == [3, 1]
    released = data(root, "release", "3", "1", "3", "--reason", "fine")["released"]
    assert [(one["attempt"], one["verdict"]) for one in released] == [(3, "new"), (1, "new")]
    assert "several were named" in refused(root, "show", "1", "3")


def test_a_decision_needs_a_reason(root: Path) -> None:
    refuse(root, 1)
    for verb in ("release", "drop"):
        assert "--reason" in refused(root, verb, "1")
        assert "--reason is empty" in refused(root, verb, "1", "--reason", " ")
    assert data(root)["quarantined"][0]["state"] == "held"


def test_what_has_no_files_cannot_be_queried(root: Path) -> None:
    refuse(root, 1)
    assert "it has no files" in refused(root, "query", "1", "select * from this")


def test_a_refused_decision_stands_in_the_journal(root: Path) -> None:
    refuse(root, 1)
    (root / "headgate.toml").write_text(
        '[project]\nmodules = ["refused_ones"]\n[approvers]\nleads = ["bob"]\nothers = ["cid"]\n'
    )
    said = refused(root, "release", "1", "--reason", "mine", code=1)
    assert "ada may not release attempt 1: that is for leads (bob) and others (cid)" in said
    done = CliRunner().invoke(main, ["-C", str(root), "journal", "--kind", "quarantine", "--json"])
    held, entry = map(json.loads, done.stdout.splitlines())
    assert (held["kind"], held["run"]) == ("quarantine.held", RUN)
    assert (entry["kind"], entry["author"], entry["reason"]) == ("quarantine release refused", "ada", "mine")
