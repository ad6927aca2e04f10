"""One bad file among many: who is tainted, and a repair that builds exactly that. With real workers."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from headgate.cli.main import main

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from click.testing import Result

CONFIG = """
[project]
modules = ["tainted_pipeline"]
[workers]
processes = 1
[parameters]
currency = "EUR"
"""
PIPELINE = """
import pyarrow as pa
import headgate

DAYS = headgate.daily("2024-01-01", "2024-01-21")

headgate.source("landed", path="landing/{key}.csv", partitions=DAYS)
headgate.source("rates", path="rates/{key}.csv", partitions=DAYS)

@headgate.dataset(partitions=DAYS)
def sales(landed: pa.Table) -> pa.Table:
    return landed

@headgate.dataset(partitions=DAYS, version="7")
def prices(rates: pa.Table) -> pa.Table:
    return rates

@headgate.dataset(partitions=DAYS, inputs={"sales": headgate.trailing(3)}, version="7")
def trend(sales: pa.Table, prices: pa.Table) -> pa.Table:
    return pa.table({"sum": [sum(sales.column("value").to_pylist())], "rate": prices.column("value")[:1]})

@headgate.dataset
def total(trend: pa.Table) -> pa.Table:
    return pa.table({"sum": [sum(trend.column("sum").to_pylist())]})
"""


@pytest.fixture(autouse=True)
def import_path() -> Iterator[None]:
    before = sys.path.copy()
    yield
    sys.path[:] = before
    sys.modules.pop("tainted_pipeline", None)


def headgate(root: Path, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["-C", str(root), *arguments])


def told(root: Path, *arguments: str) -> Any:
    done = headgate(root, *arguments, "--json")
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def build(root: Path) -> Path:
    (root / "headgate.toml").write_text(CONFIG)
    (root / "tainted_pipeline.py").write_text(PIPELINE)
    for name in ("landing", "rates"):
        (root / name).mkdir()
        for day in range(1, 21):
            (root / name / f"2024-01-{day:02}.csv").write_text(f"value\n{day}\n")
    done = headgate(root, "backfill", "--yes", "--reason", "first")
    assert done.exit_code == 0, done.output
    return root


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return build(tmp_path)


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return one that no test changes."""
    before = sys.path.copy()
    try:
        return build(tmp_path_factory.mktemp("kept"))
    finally:
        sys.path[:] = before
        sys.modules.pop("tainted_pipeline", None)


def heads(root: Path) -> dict[str, int]:
    """Return the version of each head."""
    return {
        f"{name}/{entry['key']}": entry["version"]
        for name in ("sales", "prices", "trend", "total")
        for entry in told(root, "history", name, "--limit", "100")["versions"]
        if entry["is_head"]
    }


@pytest.mark.slow
def test_a_repair_builds_exactly_what_a_bad_file_has_tainted(root: Path) -> None:
    cured = {"sales/2024-01-07", "trend/2024-01-07", "trend/2024-01-08", "trend/2024-01-09", "total/all"}
    before = heads(root)
    # As long as the file is as it was, a rebuild would be of no use.
    refused = headgate(root, "impact", "--source-file", "landing/2024-01-07.csv", "--plan", "--reason", "x")
    assert refused.exit_code == 1
    assert "no plan was made: a rebuild would cure nothing as things are" in refused.output
    (root / "landing" / "2024-01-07.csv").write_text("value\n700\n")
    # Something else is stale, too: it is no part of the repair.
    (root / "landing" / "2024-01-15.csv").write_text("value\n1500\n")
    found = told(root, "impact", "--source-file", "landing/2024-01-07.csv", "--plan", "--reason", "a bad export")
    assert (found["impact"]["heads"], found["impact"]["curable"], found["plan"]["partitions"]) == (5, 5, 5)
    plan = found["plan"]["id"]
    why = told(root, "plan", "show", plan, "--why", "trend", "2024-01-08")
    assert [step["text"] for step in why["steps"]] == ["its head rests on landing/2024-01-07.csv"]
    done = headgate(root, "backfill", "--plan", plan, "--yes")
    assert done.exit_code == 0, done.output
    after = heads(root)
    assert {place for place in after if after[place] != before[place]} == cured
    record = told(root, "runs", "show", "latest")
    assert (record["run"]["kind"], record["run"]["reason"], record["run"]["total"]) == ("repair", "a bad export", 5)
    (sums,) = told(root, "query", "select sum from trend order by all desc limit 1")
    assert sums == {"sum": 700 + 8 + 9}
    bad = told(root, "lineage", "sales", "2024-01-07", "--version", str(before["sales/2024-01-07"]))
    assert bad["root"]["state"] == "former"
    (file,) = [node for node in bad["nodes"] if node["dataset"] == "landed"]
    again = ("impact", "--source-file", "landing/2024-01-07.csv", "--hash", file["files"][0]["hash"])
    assert told(root, *again)["impact"]["heads"] == 0
    assert "no head is tainted any more" in headgate(root, *again).output


@pytest.mark.slow
def test_a_repair_is_refused_once_the_world_has_moved_and_is_planned_anew(root: Path) -> None:
    (root / "landing" / "2024-01-07.csv").write_text("value\n700\n")
    found = told(root, "impact", "--source-file", "landing/2024-01-07.csv", "--plan", "--reason", "a bad export")
    plan = found["plan"]["id"]
    (root / "landing" / "2024-01-07.csv").write_text("value\n701\n")
    moved = headgate(root, "backfill", "--plan", plan, "--yes")
    assert moved.exit_code == 1
    assert "the world has moved since this plan was made" in moved.output
    anew = told(root, "backfill", "--plan", plan, "--replan")
    assert anew["partitions"] == 5
    assert anew["id"] != plan or anew["hash"] == found["plan"]["hash"]
    done = headgate(root, "backfill", "sales", "trend", "total", "--start", "2024-01-07", "--yes", "--reason", "x")
    assert done.exit_code == 0, done.output
    assert told(root, "impact", "--version", "7")["impact"]["heads"] == 0


@pytest.mark.slow
def test_lineage_as_text_and_as_a_graph(kept: Path) -> None:
    text = headgate(kept, "lineage", "trend", "2024-01-05").output
    assert text.startswith("trend/2024-01-05  version ")
    assert "  sales  3 partitions: 2024-01-03 to 2024-01-05  (3 head)\n" in text
    assert "parameters currency=EUR" in text
    assert "code version 7" in text
    assert headgate(kept, "lineage", "trend", "2024-01-05", "--all").output.count("landing/2024-01-0") == 3
    down = headgate(kept, "lineage", "landed", "2024-01-05", "--down").output
    assert "  from it was made\n  sales/2024-01-05  version " in down
    dot = headgate(kept, "lineage", "sales", "2024-01-05", "--dot").output
    assert dot.startswith("digraph lineage {\n")
    assert " -> v" in dot


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "message", "hint"),
    [
        (("impact",), "impact of what?", "--source-file"),
        (("impact", "--run", "latest", "--version", "1"), "impact is about one cause", "--run"),
        (("impact", "--hash", "aa", "--run", "latest"), "--hash is about a file", "--source-file"),
        (("impact", "--version", "1", "--since", "1h"), "a version was made at one time", "--since"),
        (("impact", "--run", "latest", "--since", "1h", "--until", "2h"), "--until 2h is not after --since 1h", ""),
        (("impact", "--run", "latest", "--since", "noon"), "--since 'noon' is no time", "2026-01-05"),
        (("impact", "--source-file", "2024-01-07.cvs"), "no source has ever had a file", "2024-01-07.csv"),
        (("impact", "--source-file", "2024-01-07.csv"), "2 files are called '2024-01-07.csv'", "more of the path"),
        (("impact", "--code-version", "zz"), "nothing was made by code 'zz'", "of trend"),
        (("impact", "--code-version", "7"), "code of several fingerprints has the declared version '7'", "fingerprint"),
        (("impact", "--version", "9999"), "there is no version 9999", "headgate history"),
        (("lineage", "trend", "2024-01-77"), "trend has no partition '2024-01-77'", "Did you mean 2024-01-"),
        (("lineage", "trends", "2024-01-07"), "there is no dataset 'trends'", "Did you mean trend?"),
        (("lineage", "sales", "2024-01-07", "--version", "9999"), "no version 9999", "Its newest versions"),
        (("lineage", "sales", "2024-01-07", "--version", "1"), "version 1 is one of landed/2024-01-01", "newest"),
        (("lineage", "sales", "2024-01-07", "--dot", "--json"), "--dot and --json", "one of them"),
    ],
)
def test_what_is_not_there_is_refused_with_what_is(kept: Path, arguments, message: str, hint: str) -> None:
    done = headgate(kept, *arguments)
    assert done.exit_code == 2
    assert message in done.output
    assert hint in done.output
