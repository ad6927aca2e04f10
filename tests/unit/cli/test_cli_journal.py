"""The journal as people read it."""

from __future__ import annotations

import json
import sqlite3
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner, Result

from headgate.cli.main import main
from headgate.store.sqlite import open_store

if TYPE_CHECKING:
    from pathlib import Path

DAY_MS = 86_400_000
START_MS = 1_704_067_200_000  # 2024-01-01


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A project with a journal of one entry a day from 2024-01-01."""
    (tmp_path / "headgate.toml").write_text("")
    store = open_store(tmp_path / ".headgate" / "state.db", data_root=tmp_path / "data", create=True)
    entries: list[tuple[str, str, str, dict[str, object]]] = [
        ("observe", "", "", {"count": 3, "digest": "d" * 64}),
        ("set accepted", "r1", "slowly", {"concurrency": 2}),
        ("set refused", "r1", "faster", {"concurrency": 9, "refused": "run r1 has ended"}),
        ("set pool refused", "", "more", {"pool": "x", "slots": 1, "refused": "there is no pool x"}),
        ("settled", "r2", "", {}),
    ]
    with store.transaction() as tx:
        for day, (kind, run, reason, body) in enumerate(entries):
            tx.journal(kind, author="ada", run=run, reason=reason, body=body, now_ms=START_MS + day * DAY_MS)
    store.close()
    return tmp_path


def call(root: Path, *arguments: str, code: int = 0) -> Result:
    done = CliRunner().invoke(main, ["-C", str(root), "journal", *arguments])
    assert done.exit_code == code, done.stderr
    return done


def lines(root: Path, *arguments: str) -> list[Any]:
    return [json.loads(line) for line in call(root, *arguments, "--json").stdout.splitlines()]


def test_entries_come_newest_last_with_who_what_and_why(root: Path) -> None:
    header, *shown = call(root).stdout.splitlines()
    assert header.split() == ["when", "(UTC)", "who", "run", "what", "why"]
    assert len(shown) == 5
    assert shown[1].split() == ["2024-01-02", "00:00:00", "ada", "r1", "set", "accepted", "concurrency=2", "slowly"]
    assert shown[2].endswith("  concurrency=9   faster (refused: run r1 has ended)")
    assert "d" * 64 not in shown[0]


def test_the_export_is_one_document_a_line(root: Path) -> None:
    found = lines(root)
    assert [line["seq"] for line in found] == [1, 2, 3, 4, 5]
    assert found[2] == {
        "seq": 3,
        "at_ms": START_MS + 2 * DAY_MS,
        "author": "ada",
        "kind": "set refused",
        "run": "r1",
        "reason": "faster",
        "refused": "run r1 has ended",
        "details": {"concurrency": 9},
        "hash": found[2]["hash"],
    }
    assert len(found[2]["hash"]) == 64


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (["--kind", "set"], [2, 3, 4]),
        (["--kind", "set pool"], [4]),
        (["--kind", "set refused"], [3]),
        (["--kind", "se"], []),
        (["--limit", "2"], [4, 5]),
        (["--since", "2024-01-03"], [3, 4, 5]),
        (["--since", "2024-01-03T00:00+01:00"], [3, 4, 5]),
        (["--since", "2024-01-03T00:00-01:00"], [4, 5]),
        (["--since", "2h"], []),
        (["--kind", "set", "--since", "2024-01-03", "--limit", "1"], [4]),
    ],
)
def test_entries_are_chosen(root: Path, arguments: list[str], found: list[int]) -> None:
    assert [line["seq"] for line in lines(root, *arguments)] == found


def test_an_empty_choice_is_said(root: Path) -> None:
    assert call(root, "--kind", "set", "--since", "2h").stdout == "there are no such entries\n"
    assert call(root, "--since", "2h", "--json").stdout == ""


def test_a_kind_that_is_not_there_is_told_with_those_that_are(root: Path) -> None:
    told = "no entry is of kind 'se'; there are: observe, set, set pool, settled\n"
    assert call(root, "--kind", "se").stdout == told
    exported = call(root, "--kind", "se", "--json")
    assert (exported.stdout, exported.stderr) == ("", told)


def test_what_was_published_is_left_out_unless_it_is_asked_for(root: Path) -> None:
    store = open_store(root / ".headgate" / "state.db", data_root=root / "data", create=False)
    with store.transaction() as tx:
        for _ in range(60):
            tx.journal("publish", author="ada", run="r2", reason="", body={"new": 1}, now_ms=START_MS + 9 * DAY_MS)
    store.close()
    shown = call(root).stdout.splitlines()
    assert len(shown) == 8
    assert shown[-1] == "left out: 60 entries of kind publish; --all shows everything"
    assert "settled" in shown[5]
    assert "publish" not in "".join(shown[:-1])
    assert len(call(root, "--all").stdout.splitlines()) == 51, "the newest fifty, and what the columns are"
    assert "publish" in call(root, "--kind", "publish", "--limit", "1").stdout.splitlines()[1]
    assert len(lines(root)) == 65
    limited = call(root, "--limit", "2").stdout.splitlines()
    assert (len(limited), "set pool" in limited[1], "settled" in limited[2]) == (5, True, True)
    assert "left out" not in call(root, "--all").stdout


def test_the_chain_is_verified(root: Path) -> None:
    assert call(root, "--verify").stdout == "journal ok: the hash chain holds, of 5 entries\n"
    connection = sqlite3.connect(root / ".headgate" / "state.db")
    connection.execute("UPDATE journal SET reason = 'nothing' WHERE seq = 3")
    connection.commit()
    connection.close()
    broken = call(root, "--verify", code=1).stdout
    assert broken.startswith("problem: journal entry 3 (set refused) does not match its hash")
    assert json.loads(call(root, "--verify", "--json", code=1).stdout)["ok"] is False


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["--since", "yesterday"], "--since 'yesterday' is no time"),
        (["--run", "nope"], "there is no run 'nope'"),
        (["--limit", "0"], "--limit"),
        (["--verify", "--kind", "set"], "--verify is about the whole journal"),
        (["--verify", "--all"], "--verify is about the whole journal"),
    ],
)
def test_wrong_choices(root: Path, arguments: list[str], part: str) -> None:
    done = call(root, *arguments, code=2)
    assert done.stdout == ""
    assert part in done.stderr
    assert "hint: " in done.stderr


def test_before_the_first_run_there_is_nothing(tmp_path: Path) -> None:
    (tmp_path / "headgate.toml").write_text("")
    assert call(tmp_path).stdout == "there are no such entries\n"
    assert call(tmp_path, "--kind", "set").stdout.endswith("there are: none, as nothing has happened yet\n")
    assert call(tmp_path, "--verify").stdout == "journal ok: the hash chain holds, of 0 entries\n"
    assert not (tmp_path / ".headgate").exists()
