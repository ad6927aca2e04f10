from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from headgate.cli.main import main
from headgate.drivers.vacuum import look, vacuum
from headgate.errors import UsageError
from headgate.model.run import RunState
from headgate.store.housekeeping import Keep
from headgate.store.sqlite import open_store
from headgate.tables import layout

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from click.testing import Result

    from headgate.store.sqlite import SqliteStore

EVER = 2**62
NOTHING = Keep(EVER, 0)
CONFIG = '[project]\nmodules = ["tidy"]\n[workers]\nprocesses = 1\n[parameters]\nshift = {}\n'
PIPELINE = """
import pyarrow as pa
import headgate

@headgate.dataset(partitions=headgate.daily("2024-01-01", "2024-01-04"))
def numbers(ctx: headgate.Context) -> pa.Table:
    return pa.table({"n": [ctx.parameters["shift"]]})
"""


def headgate(root: Path, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["-C", str(root), *arguments])


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("tidy")
    (root / "tidy.py").write_text(PIPELINE)
    for shift in (0, 1):
        (root / "headgate.toml").write_text(CONFIG.format(shift))
        done = headgate(root, "backfill", "--all", "--yes", "--reason", "first")
        assert done.exit_code == 0, done.output
    return root


@pytest.fixture
def root(built: Path, tmp_path: Path) -> Path:
    import shutil

    return shutil.copytree(built, tmp_path / "project")


@pytest.fixture
def store(root: Path) -> Iterator[SqliteStore]:
    opened = open_store(root / ".headgate" / "state.db", data_root=root / "data", create=False)
    yield opened
    opened.close()


def files(root: Path) -> set[Path]:
    return set((root / "data").rglob("*.parquet"))


def folders(root: Path) -> list[Path]:
    """The folders that runs staged in, oldest first: ids of runs of one second are in no order."""
    return sorted({path.parent for path in files(root)}, key=lambda folder: folder.stat().st_mtime_ns)


def run(store: SqliteStore, root: Path, keep: Keep = NOTHING):
    return vacuum(store, root / "data", keep, author="ada", reason="r", now_ms=EVER - 1)


@pytest.mark.slow
def test_a_look_says_what_would_go_and_changes_nothing(root: Path, store: SqliteStore) -> None:
    before = files(root)
    found = look(store, root / "data", NOTHING)
    assert (len(found.versions), found.files, len(before)) == (3, 3, 6)
    assert files(root) == before
    done = run(store, root)
    assert done.versions == found.versions
    assert len(files(root)) == 3
    assert look(store, root / "data", NOTHING).versions == ()


@pytest.mark.slow
def test_what_an_earlier_vacuum_had_decided_on_is_finished(root: Path, store: SqliteStore) -> None:
    with store.transaction() as tx:
        tx.doom(NOTHING, (0, EVER), author="ada", reason="r", now_ms=1)
    assert len(files(root)) == 6
    assert run(store, root).resumed == 3
    assert len(files(root)) == 3
    assert store.doomed() == []


@pytest.mark.slow
def test_files_of_our_attempts_that_nothing_refers_to_go_and_files_of_others_stay(
    root: Path, store: SqliteStore
) -> None:
    ours = min(files(root))
    orphan = ours.with_name(ours.name.replace(".parquet", "-p0007.parquet"))
    orphan.write_bytes(b"left behind")
    strange = [
        # Of an attempt that staged elsewhere, of no attempt at all, and of somebody who keeps files here.
        ours.parent.parent / "elsewhere" / ours.name,
        ours.with_name("2024-01-01-a0000.parquet"),
        ours.with_name("notes.parquet"),
    ]
    for path in strange:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"not ours")
    assert run(store, root, Keep(0, 9)).orphans == (str(orphan.relative_to(root / "data")),)
    assert not orphan.exists()
    assert all(path.exists() for path in strange)


@pytest.mark.slow
def test_folders_of_runs_that_are_empty_go_and_others_stay(root: Path, store: SqliteStore) -> None:
    first, second = folders(root)
    others = [first.with_name("mine"), first.with_name("_mirror"), root / "data" / "elsewhere" / first.name]
    for other in others:
        other.mkdir(parents=True)
    done = run(store, root)
    assert (len(done.versions), done.folders) == (3, 1)
    assert not first.exists()
    assert second.exists()
    assert all(other.exists() for other in others)
    first.mkdir()
    assert (look(store, root / "data", NOTHING).folders, first.exists()) == (1, True)
    assert "1 empty folder of runs, removed" in headgate(root, "vacuum", "--yes").stdout
    assert not first.exists()


@pytest.mark.slow
def test_a_folder_stays_that_a_run_begins_to_stage_in(root: Path, store: SqliteStore) -> None:
    folder = folders(root)[0]
    run(store, root)
    folder.mkdir()
    other = open_store(root / ".headgate" / "state.db", data_root=root / "data", create=False)
    begun: list[str] = []

    def go_on(statement: str) -> None:
        # It was seen to be empty, and is looked at once more.
        if statement.startswith("BEGIN IMMEDIATE") and not begun:
            begun.append(statement)
            with other.transaction() as tx:
                tx.set_run_state(folder.name, RunState.RUNNING, author="ada", reason="retry", now_ms=1)
            layout.make_directories(root / "data", [f"numbers/{folder.name}/x-a1.parquet"])

    store._connection.set_trace_callback(go_on)
    with other.lead("run x"):
        assert run(store, root).folders == 0
    assert begun
    assert folder.exists()
    other.close()


@pytest.mark.slow
def test_beside_a_live_coordinator_versions_go_and_what_attempts_left_stays(root: Path, store: SqliteStore) -> None:
    ours = min(files(root))
    ours.with_name(ours.name.replace(".parquet", "-p0007.parquet")).write_bytes(b"being written")
    with store.lead("run x"):
        done = run(store, root)
    assert (len(done.versions), done.orphans) == (3, ())
    assert "run x" in done.led_by
    assert len(files(root)) == 4


@pytest.mark.slow
def test_the_command_asks_and_can_be_read_by_programs(root: Path) -> None:
    assert headgate(root, "vacuum").stdout == "nothing to remove\n"
    shown = headgate(root, "vacuum", "--keep", "0", "--keep-versions", "1", "--dry-run", "--json")
    assert json.loads(shown.stdout)["versions"] == 3
    assert "below an hour" in shown.stderr
    refused = headgate(root, "vacuum", "--keep", "0", "--keep-versions", "1")
    assert refused.exit_code == UsageError.exit_code
    assert "nobody is there" in refused.stderr
    done = headgate(root, "vacuum", "--keep", "0", "--keep-versions", "1", "--yes", "--reason", "full")
    assert "3 versions in 3 files" in done.stdout
    assert "removed" in done.stdout
    entry = json.loads(headgate(root, "journal", "--kind", "vacuum", "--json").stdout)
    assert (entry["reason"], entry["details"]["files"]) == ("full", 3)
    assert headgate(root, "vacuum", "--keep", "soon").exit_code == UsageError.exit_code
