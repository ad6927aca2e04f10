"""What a run changes in the data, from the command line."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

import polars as pl
import pytest
from click.testing import CliRunner, Result

from headgate.cli.main import main
from headgate.model.run import Attempt, AttemptState, Publication, Run, RunKind, RunState
from headgate.model.version import File
from headgate.store.records import Candidate
from headgate.store.sqlite import open_store
from headgate.tables.schema import schema_text

if TYPE_CHECKING:
    from pathlib import Path

OLD = {"k1": [1, 2], "k2": [3], "k3": [4, 5]}
NEW = {"k1": [1, 2], "k2": [3, 6], "k3": [4, 7], "k4": [8]}


def make(root: Path, run: str, first: int, rows: dict[str, list[int]], *, extra: bool, staged: bool = False) -> None:
    """Let a run make partitions of `sales`: rows numbered by `line`, with an amount each."""
    publication = Publication.TOGETHER if staged else Publication.EACH
    made_as = Run(run, RunKind.BACKFILL, RunState.RUNNING, "", "ada", '{"datasets": []}', run, first, None)
    store = open_store(root / ".headgate" / "state.db", data_root=root / "data", create=True)
    heads = {version.key: version.id for version in store.heads("sales")}
    candidates, attempts = [], []
    for number, (key, amounts) in enumerate(rows.items(), start=first):
        frame = pl.DataFrame({"line": range(len(amounts)), "amount": amounts})
        frame = frame.with_columns(tax=pl.lit(0.5)) if extra and key == "k2" else frame
        path = f"sales/{run}/{key}-a{number:04}.parquet"
        (root / "data" / path).parent.mkdir(parents=True, exist_ok=True)
        frame.write_parquet(root / "data" / path)
        size = (root / "data" / path).stat().st_size
        schema = schema_text(frame.to_arrow().schema)
        attempts.append(Attempt(number, run, "sales", key, 1, AttemptState.RUNNING, path, heads.get(key), 1))
        hashed = f"sha256:{hashlib.sha256((root / 'data' / path).read_bytes()).hexdigest()}"
        file = File(path, len(amounts), size, hashed)
        content = f"{key}{amounts}{extra}" if key == "k2" else f"{key}{amounts}"
        candidates.append(
            Candidate(
                number, run, "sales", key, (file,), len(amounts), size, content, schema, "c", None, (), 0, None, None, 1
            )
        )
    with store.transaction() as tx:
        tx.add_run(Run(**{**{f: getattr(made_as, f) for f in Run.__slots__}, "publication": publication}))
        tx.start_attempts(attempts)
        tx.publish(candidates, author="ada", now_ms=first)
        tx.set_run_state(run, RunState.STAGED if staged else RunState.SUCCEEDED, author="ada", reason="", now_ms=first)
    store.close()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "headgate.toml").write_text("")
    make(tmp_path, "r1", 1, OLD, extra=False)
    make(tmp_path, "r2", 11, NEW, extra=True, staged=True)
    return tmp_path


def call(root: Path, *arguments: str, code: int = 0) -> Result:
    done = CliRunner().invoke(main, ["-C", str(root), "diff", *arguments])
    assert done.exit_code == code, done.output
    return done


def test_a_run_is_told_dataset_by_dataset(root: Path) -> None:
    out = call(root, "r2").stdout
    assert out.startswith("what run r2 has staged: nothing of it is visible\n")
    assert out.splitlines()[3].split() == ["sales", "4", "1", "1", "2", "5", "7", "3", "1", "-"]
    assert "  sales: column tax is new (double)" in out
    assert "partitions of" not in out
    assert call(root, "r1").stdout.startswith("what run r1 has published\n")


def test_a_dataset_is_told_partition_by_partition(root: Path) -> None:
    lines = call(root, "r2", "sales", "--on", "line", "--columns").stdout.splitlines()
    told = {words[0]: words[1:] for words in map(str.split, lines) if words}
    assert told["k2"] == ["1", "2", "1", "-", "-"]
    assert told["k3"] == ["2", "2", "-", "-", "1"]
    assert told["k4"] == ["new", "1", "1", "-", "-"]
    assert "k1" not in told
    assert told["amount"] == ["1", "-", "-", "12", "28"]
    assert told["tax"] == ["-", "-", "-", "1"]
    assert "... and 2 more: --limit 3 shows them" in call(root, "r2", "sales", "--limit", "1").stdout


def test_machines_get_all_of_it(root: Path) -> None:
    told = json.loads(call(root, "r2", "--json").stdout)
    assert told["run"] == {"id": "r2", "state": "staged"}
    (sales,) = told["datasets"]
    assert [part["key"] for part in sales["parts"]] == ["k2", "k3", "k4"]
    assert sales["parts"][2] == {
        "key": "k4", "rows_before": None, "rows_after": 1, "added": 1, "removed": 0, "changed": None,
    }  # fmt: skip
    assert (sales["partitions"], sales["new"], sales["same"], sales["differ"]) == (4, 1, 1, 2)
    assert (sales["added"], sales["removed"], sales["changed"]) == (3, 1, None)
    (sales,) = json.loads(call(root, "r2", "sales", "--key", "k3", "--on", "line", "--json").stdout)["datasets"]
    assert (sales["partitions"], sales["changed"]) == (1, 1)


def test_files_that_are_gone_are_no_reason_to_stop(root: Path) -> None:
    (root / "data" / "sales" / "r1" / "k3-a0003.parquet").unlink()
    out = call(root, "r2", "sales").stdout
    assert "files of 1 partition are gone" in out
    assert next(line.split() for line in out.splitlines() if " k3 " in line) == ["k3", "2", "2", "?", "?", "?"]
    out = call(root, "r2", "sales", "--key", "k3").stdout
    assert next(line.split() for line in out.splitlines() if " sales " in line)[-3:] == ["?", "?", "?"]


def test_what_cannot_be_told_is_said(root: Path) -> None:
    assert "--on is about one dataset" in call(root, "r2", "--on", "line", code=2).stderr
    assert "--key is about one dataset" in call(root, "r2", "--key", "k1", code=2).stderr
    done = call(root, "r2", "sale", code=2)
    assert "run r2 has not made 'sale'" in done.stderr
    assert "Did you mean sales?" in done.stderr
    done = call(root, "r2", "sales", "--key", "k9", code=2)
    assert done.stderr == "error: run r2 has not made 'sales/k9'\nhint: There are k1, k2, k3, k4.\n"
    assert "--on ',' names no column" in call(root, "r2", "sales", "--on", ",", code=2).stderr
    assert "has no column 'nope' on both sides" in call(root, "r2", "sales", "--on", "nope", code=2).stderr
    assert "there is no run" in call(root, "r9", code=2).stderr


def test_a_damaged_file_is_named(root: Path) -> None:
    path = root / "data" / "sales" / "r2" / "k3-a0013.parquet"
    path.write_bytes(path.read_bytes() + b"x")
    assert "the data of sales/k3 is damaged" in call(root, "r2", code=1).stderr


def test_the_history_tells_what_is_not_visible(root: Path) -> None:
    done = CliRunner().invoke(main, ["-C", str(root), "history", "sales", "k1", "--json"])
    told = [(one["version"], one["is_head"], one["is_hidden"]) for one in json.loads(done.stdout)["versions"]]
    # The same content: its checkpoint is staged, and the head rests on the one before.
    assert told == [(1, False, True), (1, True, False)]
    assert "not visible" in CliRunner().invoke(main, ["-C", str(root), "history", "sales", "k2"]).stdout
