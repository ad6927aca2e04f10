from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from headgate.cli.main import main
from headgate.errors import UsageError
from headgate.store.sqlite import open_store

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result

CONFIG = '[project]\nmodules = ["packed"]\n[workers]\nprocesses = 1\n'
PIPELINE = """
import pyarrow as pa
import headgate

DAYS = headgate.daily("2024-01-01", "2024-01-31")

@headgate.dataset(partitions=DAYS)
def numbers(ctx: headgate.Context) -> pa.Table:
    return pa.table({"n": [ctx.key] * 3})

@headgate.dataset(partitions=DAYS, allow_empty=True)
def sometimes(numbers: pa.Table) -> pa.Table:
    return numbers if numbers.column("n")[0].as_py() < "2024-01-16" else numbers.slice(0, 0)

@headgate.dataset(partitions=DAYS)
def told(numbers) -> None:
    return None
"""


def headgate(root: Path, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["-C", str(root), *arguments])


def planned(root: Path, *arguments: str) -> list[dict[str, object]]:
    shown = headgate(root, "compact", "--dry-run", "--json", *arguments)
    assert shown.exit_code == 0, shown.output
    return json.loads(shown.stdout)["planned"]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("packed")
    (root / "packed.py").write_text(PIPELINE)
    (root / "headgate.toml").write_text(CONFIG)
    done = headgate(root, "backfill", "--yes", "--reason", "first")
    assert done.exit_code == 0, done.output
    return root


@pytest.fixture
def root(built: Path, tmp_path: Path) -> Path:
    import shutil

    return shutil.copytree(built, tmp_path / "project")


@pytest.mark.slow
def test_small_old_partitions_with_rows_go_together_as_far_as_there_is_room(built: Path) -> None:
    assert planned(built) == []
    (numbers, sometimes) = planned(built, "--older-than", "0")
    assert planned(built, "--older-than", "0d") == [numbers, sometimes]
    assert (numbers["dataset"], numbers["partitions"], numbers["first"]) == ("numbers", 30, "2024-01-01")
    assert (sometimes["partitions"], sometimes["last"]) == (15, "2024-01-15")
    assert planned(built, "sometimes", "--older-than", "0", "--min-files", "16") == []
    total = int(numbers["bytes"])
    cut = planned(built, "numbers", "--older-than", "0", "--max-file-size", str(total // 2))
    assert sum(one["partitions"] for one in cut) in {30, 29, 28}
    assert all(int(one["bytes"]) <= total // 2 for one in cut)
    assert len(cut) == 2
    # What is no small part of a pack stays alone.
    assert planned(built, "numbers", "--older-than", "0", "--max-file-size", str(total // 8)) == []


@pytest.mark.slow
def test_a_compaction_is_a_run_whose_versions_are_the_same_to_planning(root: Path) -> None:
    rows = headgate(root, "query", "select n, count(*) c from numbers group by n order by n", "--json").stdout
    done = headgate(root, "compact", "numbers", "--older-than", "0", "--reason", "tidy", "--json")
    assert done.exit_code == 0, done.output
    result = json.loads(done.stdout)["done"]
    assert (result["packs"], result["partitions"], result["files"]) == (1, 30, 30)
    assert headgate(root, "query", "select n, count(*) c from numbers group by n order by n", "--json").stdout == rows
    assert "nothing to do" in headgate(root, "plan").output
    (run,) = [
        run for run in json.loads(headgate(root, "status", "--json").stdout)["runs"] if run["id"] == result["run"]
    ]
    assert (run["state"], run["reason"]) == ("succeeded", "tidy")
    explained = headgate(root, "explain", "numbers", "2024-01-05").output
    assert "is published" in explained
    assert "no input any more" not in explained
    assert "compaction" in headgate(root, "resume", result["run"]).output
    assert planned(root, "numbers", "--older-than", "0") == []
    store = open_store(root / ".headgate" / "state.db", data_root=root / "data", create=False)
    (head,) = store.heads("numbers", ["2024-01-05"])
    (made, before) = store.checkpoints("numbers", "2024-01-05")
    assert head.origin == before.version
    assert (made.code, made.inputs_digest, made.parameters) == (before.code, before.inputs_digest, before.parameters)
    assert [version.id for version in store.lineage(made.attempt)] == [before.version]
    assert head.rows == 3
    assert head.bytes < head.files[0].bytes
    store.close()


@pytest.mark.slow
def test_a_run_that_reads_and_one_that_rebuilds_packed_partitions(root: Path) -> None:
    assert headgate(root, "compact", "--older-than", "0").exit_code == 0
    arguments = ("--start", "2024-01-05", "--end", "2024-01-07", "--all", "--yes", "--reason", "again")
    again = headgate(root, "backfill", "sometimes", *arguments)
    assert again.exit_code == 0, again.output
    # What a pack gives is what the small files gave: nothing new is published.
    assert "unchanged" in again.output
    pipeline = root / "packed.py"
    pipeline.write_text(PIPELINE.replace("[ctx.key] * 3", "[ctx.key] * 4"))
    moved = headgate(root, "backfill", "numbers", *arguments[:4], "--yes", "--reason", "new")
    assert moved.exit_code == 0, moved.output
    counts = json.loads(headgate(root, "query", "select count(*) c, count(distinct n) d from numbers", "--json").stdout)
    assert counts == [{"c": 92, "d": 30}]
    assert headgate(root, "verify", "--content", "--all-versions").exit_code == 0
    assert headgate(root, "check", "--state").exit_code == 0


@pytest.mark.slow
def test_it_waits_for_the_time_windows_of_maintenance_and_for_the_lead(root: Path) -> None:
    config = root / "headgate.toml"
    days = [f"{datetime.now(UTC) + timedelta(days=n):%a}".lower() for n in (-1, 0, 1)]
    window = f"{{ days = {days}, ceiling = 0 }}"
    config.write_text(f"{CONFIG}[classes.maintenance]\nwindows = [{window}]\n")
    closed = headgate(root, "compact", "--older-than", "0")
    assert closed.exit_code == 1, closed.output
    assert "the time windows of class maintenance are closed now" in closed.output
    assert "They open at" in closed.output
    config.write_text(CONFIG)
    store = open_store(root / ".headgate" / "state.db", data_root=root / "data", create=False)
    with store.lead("run x"):
        led = headgate(root, "compact", "--older-than", "0")
    store.close()
    assert led.exit_code == 1
    assert "run x" in led.output
    refused = headgate(root, "compact", "--older-than", "never")
    assert (refused.exit_code, "--older-than never is no length of time" in refused.stderr) == (
        UsageError.exit_code,
        True,
    )
