"""Whatever is wrong with a project or a request: one message with the place, exit code 2, nothing on stdout."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner, Result

from headgate.cli.main import main

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TOML = '[project]\nmodules = ["bad_pipeline"]\n'
GOOD = """
import headgate as hg
DAYS = hg.daily("2024-01-01", "2024-01-04")
@hg.dataset(partitions=DAYS)
def flights(): ...
@hg.dataset(partitions=DAYS)
def trend(flights): ...
"""


@pytest.fixture(autouse=True)
def import_path() -> Iterator[None]:
    before = sys.path.copy()
    yield
    sys.path[:] = before


def call(root: Path, *arguments: str, toml: str = TOML, code: str = GOOD) -> Result:
    (root / "headgate.toml").write_text(toml)
    (root / "bad_pipeline.py").write_text(code)
    return CliRunner().invoke(main, ["-C", str(root), *arguments])


def refused(done: Result, *parts: str) -> None:
    assert (done.exit_code, done.stdout) == (2, ""), done.stderr
    first, *rest = done.stderr.splitlines()
    assert first.startswith("error: ")
    for part in parts:
        assert part in first
    assert len(rest) <= 1
    assert all(line.startswith("hint: ") for line in rest)


@pytest.mark.parametrize(
    ("toml", "parts"),
    [
        ('[project\nmodules = ["x"]', ["headgate.toml:1", "not TOML"]),
        (TOML + "[workers]\nproceses = 2\n", ["headgate.toml:4", "proceses", "unknown"]),
        (TOML + '[workers]\nprocesses = "two"\n', ["headgate.toml:4", "processes", "whole number"]),
        (TOML + '[data]\npath = "../x\0"\n', ["headgate.toml:4"]),
        (TOML + "[workers]\nmax_attempts = 2\n", ["headgate.toml:4", "max_attempts", "unknown"]),
        (TOML + "[classes.bulk]\nfloor = 0.1\n", ["headgate.toml:3", "classes.bulk.priority is missing"]),
        (TOML + "[classes.fresh]\nfloor = 0.9\n", ["headgate.toml:4", "more than 100 %"]),
        (TOML + "[classes.fresh]\nfloor = 0.9\nceiling = 0.5\n", ["headgate.toml:4", "above its ceiling"]),
        (TOML + "[classes.fresh]\ntimezone = 'Mars'\n", ["headgate.toml:4", "must be a time zone"]),
        (TOML + "[pools]\nwarehouse = -8\n", ["headgate.toml:4", "must be at least 1, got -8"]),
        (TOML + "[datasets.flihgts]\nconcurrency = 1\n", ["headgate.toml:3", "there is no dataset 'flihgts'"]),
        (TOML + "[datasets.flights]\npools = ['w']\n", ["headgate.toml:4", "there is no pool 'w'"]),
        (TOML + "[retry]\nattempts = 0\n", ["headgate.toml:4", "must be at least 1"]),
        (TOML + "[breaker]\ncooldown = '5h'\n", ["headgate.toml:4", "longer than cooldown_max"]),
    ],
)
@pytest.mark.parametrize("command", [["check"], ["plan", "--json"]])
def test_broken_configuration(tmp_path: Path, toml: str, parts: list[str], command: list[str]) -> None:
    refused(call(tmp_path, *command, toml=toml), *parts)


@pytest.mark.parametrize(
    ("code", "parts"),
    [
        ("import headgate\n1 / 0\n", ["bad_pipeline.py:2", "ZeroDivisionError"]),
        ("import headgate\ndef (\n", ["bad_pipeline.py:2"]),
        ("import headgate as hg\n@hg.dataset\ndef a(nope): ...\n", ["bad_pipeline.py:2", "'nope'"]),
        (GOOD + "@hg.dataset(name='flights')\ndef again(): ...\n", ["bad_pipeline.py", "flights"]),
        (GOOD.replace("def flights()", "def flights(trend)"), ["needs itself", "flights/2024-01-01"]),
        ("import headgate as hg\n@hg.dataset(name='../x')\ndef a(): ...\n", ["bad_pipeline.py:2", "'../x'"]),
        ("import headgate as hg\n@hg.dataset(name='a\\0b')\ndef a(): ...\n", ["bad_pipeline.py:2", "x00"]),
        ("import headgate as hg\n@hg.dataset(name='x' * 300)\ndef a(): ...\n", ["bad_pipeline.py:2"]),
        ("import headgate as hg\nhg.static(['a', '\\U0001f600'])\n", ["bad_pipeline.py:2"]),
        ("import headgate as hg\nhg.daily('2024-02-01', '2024-01-01')\n", ["bad_pipeline.py:2", "2024-01-01"]),
        ("x = 1\n", ["no dataset"]),
        (GOOD + "@hg.dataset(pools=['w'])\ndef a(): ...\n", ["bad_pipeline.py:8", "there is no pool 'w'"]),
        (GOOD + "hg.failure(int, 'data', 'x')\n", ["bad_pipeline.py:8", "takes a class of exceptions"]),
    ],
)
def test_broken_modules(tmp_path: Path, code: str, parts: list[str]) -> None:
    refused(call(tmp_path, "check", code=code), *parts)


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["plan", "flihgts"], ["there is no dataset 'flihgts'"]),
        (["plan", "flights\0'\"; drop"], ["there is no dataset", "x00"]),
        (["plan", "../flights"], ["'../flights'"]),
        (["plan", "x" * 300], ["there is no dataset"]),
        (["plan", "\N{SNOWMAN}"], ["u2603"]),
        (["plan", ""], ["is no selection"]),
        (["plan", "--start", "2024-01-03", "--end", "2024-01-02"], ["--end 2024-01-02 is not after --start"]),
        (["plan", "--start", "2024-01-03", "--end", "2024-01-03"], ["--end"]),
        (["plan", "--start", "2024-13-01"], ["--start '2024-13-01' is no date"]),
        (["plan", "--end", ""], ["--end '' is no date"]),
        (["explain", "flights", "2024-01-09"], ["flights has no partition '2024-01-09'"]),
        (["explain", "flights", "../../etc/passwd"], ["flights has no partition"]),
        (["explain", "flight", "2024-01-01"], ["there is no dataset 'flight'"]),
        (["history", "flights", "2024-01-09"], ["flights has no partition '2024-01-09'"]),
        (["history", "flight"], ["there is no dataset 'flight'"]),
        (["status", "nope"], ["there is no run 'nope'"]),
        (["resume", "nope"], ["there is no run 'nope'"]),
        (["retry", "nope"], ["there is no run 'nope'"]),
        (["cancel", "nope", "--reason", "x"], ["there is no run 'nope'"]),
        (["cancel", "\x1b[31m", "--reason", "x"], ["x1b"]),
        (["query", "from flights"], ["nothing is published under the name 'flights'"]),
        (["backfill", "--reason", "x"], ["nobody is there to confirm"]),
    ],
)
def test_wrong_requests(tmp_path: Path, arguments: list[str], parts: list[str]) -> None:
    refused(call(tmp_path, *arguments), *parts)
    refused(call(tmp_path, *arguments, "--json"), *parts)
    assert not (tmp_path / ".headgate").exists()
    assert not (tmp_path / "data").exists()


def test_a_lost_state_store_is_refused_with_an_explanation(tmp_path: Path) -> None:
    lost = tmp_path / "data" / "flights" / "run"
    lost.mkdir(parents=True)
    (lost / "2024-01-01-a0001.parquet").write_bytes(b"PAR1")
    for arguments in (["status"], ["plan"], ["check", "--state"], ["backfill", "--reason", "x", "--yes"]):
        done = call(tmp_path, *arguments)
        assert (done.exit_code, done.stdout) == (1, "") or arguments[0] == "check"
        assert "it was lost" in done.stderr.splitlines()[0]
        assert done.stderr.splitlines()[1].startswith("hint: ")
    assert not (tmp_path / ".headgate").exists()
