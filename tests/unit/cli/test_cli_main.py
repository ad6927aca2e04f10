from __future__ import annotations

import re
import signal
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click
import pytest
from click.testing import CliRunner

import headgate
from headgate.cli.main import COMMANDS, Commands, main
from headgate.errors import InternalError, UnavailableError, UsageError
from headgate.model.reason import Wait

if TYPE_CHECKING:
    from collections.abc import Iterator


class Failing(Commands):
    """The commands, of which each fails in the same way."""

    def __init__(self, error: BaseException) -> None:
        super().__init__("headgate")
        self._error = error

    def invoke(self, ctx: click.Context) -> NoReturn:
        raise self._error


@pytest.fixture(autouse=True)
def interruptible() -> Iterator[None]:
    before = signal.getsignal(signal.SIGINT)
    yield
    signal.signal(signal.SIGINT, before)


def test_every_command_is_listed_and_has_help_of_its_own() -> None:
    listed = CliRunner().invoke(main, ["--help"])
    assert listed.exit_code == 0
    for name in COMMANDS:
        assert re.search(rf"^  {name} +\S", listed.stdout, re.MULTILINE)
        own = CliRunner().invoke(main, [name, "--help"])
        assert own.exit_code == 0
        assert "--json" in own.stdout


def test_the_version_is_that_of_the_package() -> None:
    assert CliRunner().invoke(main, ["--version"]).stdout == f"headgate {headgate.__version__}\n"


@pytest.mark.parametrize(
    ("error", "code", "lines"),
    [
        (UsageError("no such key", hint="try another"), 2, ["error: no such key", "hint: try another"]),
        (UnavailableError("the disk is gone"), 1, ["error: the disk is gone"]),
        (UsageError("got \x1b[31m\nLINE 1: x", hint="\x07"), 2, ["error: got \\x1b[31m", "LINE 1: x", "hint: \\x07"]),
        (FileNotFoundError(2, "No such file", "x"), 1, ["error: x: No such file"]),
        (KeyboardInterrupt(), 130, ["", "interrupted"]),
        (click.Abort(), 130, ["interrupted"]),
    ],
)
def test_errors_are_one_message_and_an_exit_code(error: BaseException, code: int, lines: list[str]) -> None:
    done = CliRunner().invoke(Failing(error), ["status"])
    assert (done.exit_code, done.stdout) == (code, "")
    assert done.stderr.splitlines() == lines


@pytest.mark.parametrize("error", [ZeroDivisionError("by zero"), InternalError("two heads")])
def test_bugs_are_called_so_and_show_where(error: Exception) -> None:
    done = CliRunner().invoke(Failing(error), ["status"])
    assert (done.exit_code, done.stdout) == (1, "")
    assert str(error) in done.stderr
    assert "Traceback" in done.stderr
    assert "This is a bug in Headgate" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["frobnicate"], "No such command 'frobnicate'"),
        (["status", "--frob"], "--frob"),
        (["status", "--limit", "0"], "--limit"),
        (["explain"], "Missing argument 'DATASET'"),
        (["backfill"], "--reason is missing"),
        (["backfill", "--reason", "x", "--replan"], "--replan is about a plan that was kept"),
        (["approve", "x"], "Missing option '--reason'"),
        (["reject", "x", "--reason", " "], "--reason is empty"),
        (["plan", "diff", "x"], "plan diff compares two plans: x is one, the other is missing"),
        (["plan", "show"], "Missing argument 'PLAN'"),
        (["runs", "show"], "show which run?"),
        (["runs", "list", "x"], "runs list names no run"),
        (["runs", "show", "x", "--limit", "2"], "--limit is about the list of runs"),
        (["backfill", "--reason", " \t"], "--reason is empty"),
        (["resume", "x", "--reason", ""], "--reason is empty"),
        (["resume"], "Missing argument 'RUN'"),
        (["query"], "Missing argument 'SQL'"),
    ],
)
def test_wrong_use_says_what_and_where_help_is(tmp_path: Path, arguments: list[str], message: str) -> None:
    done = CliRunner().invoke(main, ["-C", str(tmp_path), *arguments])
    assert (done.exit_code, done.stdout) == (2, "")
    assert message in done.stderr.splitlines()[0]
    assert done.stderr.splitlines()[1].startswith("hint: ")


@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "init"])
def test_a_folder_without_a_project_is_refused_by_every_command(tmp_path: Path, name: str) -> None:
    more = {
        "explain": ["flights", "x"],
        "history": ["flights"],
        "lineage": ["flights", "x"],
        "impact": ["--run", "latest"],
        "query": ["select 1"],
        "approve": ["x", "--reason", "y"],
        "reject": ["x", "--reason", "y"],
        "backfill": ["--reason", "x", "--yes"],
        "resume": ["latest"],
        "retry": ["latest"],
        "cancel": ["latest", "--reason", "x"],
        "publish": ["latest", "--reason", "x"],
        "discard": ["latest", "--reason", "x"],
        "rollback": ["latest", "--reason", "x"],
        "resolve": ["latest", "--reason", "x"],
        "diff": ["latest"],
        "pause": ["latest", "--reason", "x"],
        "set": ["latest", "priority=1", "--reason", "x"],
    }
    for json in ([], ["--json"]):
        done = CliRunner().invoke(main, ["-C", str(tmp_path / "no"), name, *more.get(name, []), *json])
        assert (done.exit_code, done.stdout) == (2, "")
        assert done.stderr.startswith(
            f"error: there is no headgate.toml in {tmp_path / 'no'}\nhint: Run `headgate init`"
        )
    assert list(tmp_path.iterdir()) == []


def test_bare_headgate_shows_the_help() -> None:
    done = CliRunner().invoke(main, [])
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr == CliRunner().invoke(main, ["--help"]).stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_the_folder_can_follow_every_command(tmp_path: Path, name: str) -> None:
    more = {
        "explain": ["flights", "x"],
        "history": ["flights"],
        "lineage": ["flights", "x"],
        "impact": ["--run", "latest"],
        "query": ["select 1"],
        "approve": ["x", "--reason", "y"],
        "reject": ["x", "--reason", "y"],
        "backfill": ["--reason", "x", "--yes"],
        "resume": ["latest"],
        "retry": ["latest"],
        "cancel": ["latest", "--reason", "x"],
        "publish": ["latest", "--reason", "x"],
        "discard": ["latest", "--reason", "x"],
        "rollback": ["latest", "--reason", "x"],
        "resolve": ["latest", "--reason", "x"],
        "diff": ["latest"],
        "pause": ["latest", "--reason", "x"],
        "set": ["latest", "priority=1", "--reason", "x"],
    }
    there = tmp_path / "there"
    done = CliRunner().invoke(main, ["-C", str(tmp_path / "not"), name, *more.get(name, []), "-C", str(there)])
    if name == "init":
        assert f"headgate -C {there} plan" in done.stdout
        assert (there / "headgate.toml").exists()
    else:
        assert done.exit_code == 2
        assert f"there is no headgate.toml in {there}\n" in done.stderr


@pytest.mark.parametrize("wait", Wait)
def test_every_reason_is_in_the_reference(wait: Wait) -> None:
    reference = (Path(__file__).parents[3] / "docs/reference.md").read_text()
    assert re.search(rf"^\|[^|]*`{wait.name.lower()}`[^|]*\|.+\|.+\|$", reference, re.MULTILINE)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_in_the_reference(name: str) -> None:
    reference = (Path(__file__).parents[3] / "docs/reference.md").read_text()
    assert re.search(rf"^\|.* `{name}\b.*\|.*\|$", reference, re.MULTILINE)
