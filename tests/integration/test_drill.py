"""Drills from the command line: a rollback rehearsed on a copy, with the project itself left alone. Real processes."""

from __future__ import annotations

import json
import signal
from typing import TYPE_CHECKING

import pytest
from runs_from_terminals import Terminals

from headgate.store.sqlite import open_store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from headgate.model.version import Version

pytestmark = pytest.mark.slow

CONFIG = '[project]\nname = "drill"\nmodules = ["drill_pipeline"]\n[workers]\nprocesses = 2\n'
PIPELINE = """
import time
from pathlib import Path

import pyarrow as pa

import headgate as hg

HERE = Path(__file__).parent
DAYS = hg.daily("2024-01-01", "2024-01-09")
landed = hg.source("landed", path="landed.csv")


def wait(rows):
    while (HERE / "hold-gate").exists():
        (HERE / "began-gate").touch()
        time.sleep(0.02)
    return True


@hg.dataset(
    partitions=DAYS,
    gates=[hg.not_null("n", "name"), hg.unique("n"), hg.row_count(within=0.1), hg.check(wait), GATES],
)
def flights(landed: pa.Table, ctx: hg.Context) -> pa.Table:
    while (HERE / "hold-flights").exists():
        (HERE / f"began-flights-{ctx.key}").touch()
        time.sleep(0.02)
    (HERE / "called").touch()
    return pa.table({"n": [VALUE * n for n in range(30)], "name": [ctx.key] * 30})


@hg.dataset(partitions=DAYS, gates=[hg.sums_match("flights", "n", "n")])
def daily(flights: pa.Table) -> pa.Table:
    return flights.append_column("nothing", pa.nulls(flights.num_rows, pa.int64()))


@hg.dataset
def total(daily: pa.Table) -> pa.Table:
    return pa.table({"rows": [daily.num_rows]})


@hg.dataset
def told(total: pa.Table) -> None:
    return None


@hg.dataset(partitions=DAYS)
def nothing() -> pa.Table:
    return pa.table({"n": pa.array([], pa.int64())})
"""


@pytest.fixture
def terminals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Terminals]:
    root = tmp_path / "project"
    root.mkdir()
    (root / "headgate.toml").write_text(CONFIG)
    (root / "landed.csv").write_text("n\n" + "".join(f"{n}\n" for n in range(30)))
    write(root, 1)
    (tmp_path / "scratch").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "scratch"))
    found = Terminals(root)
    yield found
    found.clean_up()


def write(root: Path, value: int) -> None:
    gate = "hg.foreign_key('n', 'landed')" if value == 1 else "hg.not_null('n')"
    (root / "drill_pipeline.py").write_text(PIPELINE.replace("VALUE", str(value)).replace("GATES", gate))


def backfill(terminals: Terminals, *more: str) -> str:
    run: str = terminals.data("backfill", "--yes", "--reason", "test", *more)["run"]["id"]
    return run


def heads(terminals: Terminals) -> list[Version]:
    root = terminals.root
    store = open_store(root / ".headgate" / "state.db", data_root=root / "data", create=False)
    try:
        return [version for name in store.datasets() for version in sorted(store.heads(name), key=lambda v: v.key)]
    finally:
        store.close()


def files(terminals: Terminals) -> dict[str, tuple[int, int, int, bytes]]:
    """Return every data file: when it was written, its inode, its links, its bytes."""
    found = {}
    for path in (terminals.root / "data").rglob("*.parquet"):
        stat = path.stat()
        found[str(path)] = (stat.st_mtime_ns, stat.st_ino, stat.st_nlink, path.read_bytes())
    return found


def left_in_scratch(terminals: Terminals) -> list[str]:
    return [path.name for path in (terminals.root.parent / "scratch").glob("headgate-*")]


def test_a_drill_notices_takes_back_and_proves_and_leaves_the_project_alone(terminals: Terminals) -> None:
    backfill(terminals)
    (terminals.root / "called").unlink()
    before, seen = heads(terminals), files(terminals)

    done = terminals.data("drill", "flights", "--partitions", "6", "--reason", "every week")
    assert (done["ok"], done["problems"], done["missed"], done["not_journaled"]) == (True, [], [], "")
    assert done["partitions"] == {"chosen": 6, "derived": 7}
    assert done["noticed"] == {"by_gates": 6, "gated": 6, "by_diff": 13}
    assert done["to_safety_ms"] > 0
    assert [step["name"] for step in done["steps"]] == [
        *("copy", "look", "publish", "build on", "gates", "diff", "verify", "rollback", "prove", "resolve")
    ]
    assert done["steps"][7]["found"] == "heads: 13, of these made from bad ones: 7"

    out, _ = terminals.call("drill")
    assert "everything held" in out
    assert "told: its newest versions have no rows in files" in out
    assert "nothing: its newest versions have no rows in files" in out
    assert (heads(terminals), files(terminals)) == (before, seen)
    assert not (terminals.root / "called").exists()
    assert left_in_scratch(terminals) == []
    entries = [json.loads(line) for line in terminals.call("journal", "--kind", "drill", "--json")[0].splitlines()]
    assert [(one["author"], one["reason"], one["details"]["ok"]) for one in entries] == [
        ("ada", "every week", True),
        ("ada", "no reason given", True),
    ]
    terminals.call("check", "--state")


def test_a_drill_of_the_same_state_is_the_same_and_its_copy_can_be_kept(terminals: Terminals) -> None:
    backfill(terminals)
    first, again = (terminals.data("drill", "--partitions", "5", "--keep") for _ in range(2))
    for done in (first, again):
        assert done.pop("to_safety_ms") > 0
        for step in done["steps"]:
            del step["ms"]
    folders = {first.pop("folder"), again.pop("folder")}
    assert first == again
    assert {folder.rpartition("/")[2] for folder in folders} == set(left_in_scratch(terminals))


def test_a_drill_beside_a_coordinator_that_is_alive(terminals: Terminals) -> None:
    backfill(terminals, "flights", "--end", "2024-01-05")
    terminals.hold("flights")
    run = terminals.start("backfill", "--yes", "--reason", "goes on")
    terminals.wait_for("began-flights-2024-01-05", run)
    assert terminals.data("drill")["problems"] == []
    assert run.poll() is None
    terminals.release("flights")
    terminals.end(run)
    assert len([head for head in heads(terminals) if head.dataset == "daily"]) == 8
    terminals.call("check", "--state")
    terminals.call("journal", "--verify")


def test_packed_held_and_stale_partitions_are_rehearsed_on_too(terminals: Terminals) -> None:
    backfill(terminals, "flights", "daily")
    terminals.call("compact", "flights", "--older-than", "0", "--min-files", "2", "--reason", "pack")
    write(terminals.root, 2)
    bad = backfill(terminals, "flights", "daily", "--end", "2024-01-04")
    terminals.call("rollback", bad, "--with-downstream", "--reason", "wrong", "--yes")
    held = terminals.data("holds")
    before, seen = heads(terminals), files(terminals)
    done = terminals.data("drill", "--partitions", "16")
    assert (done["problems"], done["partitions"]) == ([], {"chosen": 16, "derived": 0})
    assert (heads(terminals), files(terminals), terminals.data("holds")) == (before, seen, held)


def test_what_is_rotten_without_any_drill_is_said(terminals: Terminals) -> None:
    backfill(terminals)
    head = next(one for one in heads(terminals) if (one.dataset, one.key) == ("flights", "2024-01-08"))
    (terminals.root / "data" / head.files[0].path).write_bytes(b"rotten")
    gone = next(one for one in heads(terminals) if (one.dataset, one.key) == ("flights", "2024-01-07"))
    (terminals.root / "data" / gone.files[0].path).unlink()
    done = terminals.data("drill", "flights", "--partitions", "4", code=1)
    assert not done["ok"]
    assert len(done["problems"]) == 2
    assert f"flights/2024-01-08 (version {head.id}) is broken, without any drill" in " ".join(done["problems"])
    assert done["partitions"] == {"chosen": 2, "derived": 3}
    assert done["noticed"]["by_diff"] == 5
    out, _ = terminals.call("drill", code=1)
    assert "not everything held" in out
    assert '"ok": false' in terminals.call("journal", "--kind", "drill", "--json")[0]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_who_is_interrupted_leaves_no_copy(terminals: Terminals, number: signal.Signals) -> None:
    backfill(terminals, "flights")
    terminals.hold("gate")
    drill = terminals.start("drill")
    terminals.wait_for("began-gate", drill)
    assert len(left_in_scratch(terminals)) == 1
    drill.send_signal(number)
    terminals.end(drill, code=130)
    assert left_in_scratch(terminals) == []
    assert terminals.call("journal", "--kind", "drill")[0].startswith("no entry is of kind")


def test_without_published_rows_there_is_nothing_to_rehearse_on(terminals: Terminals) -> None:
    _, err = terminals.call("drill", code=2)
    assert "nothing to rehearse on: nothing is published yet" in err
    backfill(terminals, "nothing")
    _, err = terminals.call("drill", "nothing", "flights", code=2)
    assert "flights: nothing of it is published" in err
    assert left_in_scratch(terminals) == []
