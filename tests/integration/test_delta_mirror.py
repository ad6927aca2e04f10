"""Delta mirrors from the command line, alone and beside a live coordinator, read by Polars, DataFusion,
pandas, Arrow and DuckDB."""

from __future__ import annotations

import json
import select
import time
from typing import TYPE_CHECKING, Any

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable, QueryBuilder
from runs_from_terminals import LIMIT_S, Terminals

from headgate.drivers.mirror import Mirrors, take_down
from headgate.model.run import Attempt, AttemptState, Run, RunKind, RunState
from headgate.model.version import File
from headgate.store.records import Candidate, Published
from headgate.store.sqlite import open_store
from headgate.tables.opened import Piece, arrow

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from headgate.store.store import Store

pytestmark = pytest.mark.slow

CONFIG = '[project]\nname = "seen"\nmodules = ["seen_pipeline"]\n[workers]\nprocesses = 2\n'
PIPELINE = """
import time
from pathlib import Path

import pyarrow as pa

import headgate as hg

HERE = Path(__file__).parent
DAYS = hg.daily("2024-01-01", "2024-01-07")


@hg.dataset(partitions=DAYS, MIRROR, gates=[hg.row_count(min=2)])
def flights(ctx: hg.Context) -> pa.Table:
    while (HERE / f"hold-{ctx.key}").exists():
        (HERE / f"began-{ctx.key}").touch()
        time.sleep(0.02)
    day = int(ctx.key[-2:])
    COLUMNS
    return pa.table(columns)


@hg.dataset(partitions=DAYS)
def daily(flights: pa.Table) -> pa.Table:
    return flights
"""
DAYS = [f"2024-01-0{day}" for day in range(1, 7)]


def write(root: Path, columns: str = '{"day": [ctx.key] * 2, "n": [day, VALUE]}', value: int = 1, **more: str) -> None:
    text = PIPELINE.replace("COLUMNS", f"columns = {columns}").replace("VALUE", str(value))
    (root / "seen_pipeline.py").write_text(text.replace("MIRROR", more.get("mirror", 'mirror="delta"')))


@pytest.fixture
def terminals(tmp_path: Path) -> Iterator[Terminals]:
    (tmp_path / "headgate.toml").write_text(CONFIG)
    write(tmp_path)
    found = Terminals(tmp_path)
    yield found
    found.clean_up()


def backfill(terminals: Terminals, *more: str, code: int = 0) -> str:
    """Backfill to the end; return the id of the run."""
    done: dict[str, Any] = terminals.data("backfill", "--yes", "--reason", "test", *more, code=code)
    run: str = done["run"]["id"]
    return run


def table_of(terminals: Terminals) -> str:
    return str(terminals.root / "data" / "flights")


def commits(terminals: Terminals) -> int:
    return DeltaTable(table_of(terminals)).version() + 1


def mirrored(terminals: Terminals) -> list[dict[str, Any]]:
    """Return what each of the foreign readers gets, after asserting that it is the same."""
    table = table_of(terminals)
    found = pl.scan_delta(table).collect().sort("day", "n").to_dicts()
    asked = QueryBuilder().register("t", DeltaTable(table)).execute("select * from t order by day, n").read_all()
    assert pa.table(asked).to_pylist() == found
    assert DeltaTable(table).to_pandas().sort_values(["day", "n"])["day"].to_list() == [row["day"] for row in found]
    dataset = DeltaTable(table).to_pyarrow_dataset()
    assert dataset.to_table().sort_by([("day", "ascending"), ("n", "ascending")]).to_pylist() == found
    with duckdb.connect() as connection:
        connection.register("t", dataset)
        assert connection.sql("select * from t order by day, n").to_arrow_table().to_pylist() == found
        # What a filter leaves out by the statistics in the log is what is not there.
        for row in found[:: max(1, len(found) // 3)]:
            asked = connection.execute("select count(*) from t where day = ?", [row["day"]]).fetchone()
            assert asked == (sum(one["day"] == row["day"] for one in found),)
            assert pl.scan_delta(table).filter(pl.col("day") == row["day"]).collect().height == asked[0]
    return found


def opened(terminals: Terminals) -> Store:
    root = terminals.root
    return open_store(root / ".headgate" / "state.db", data_root=root / "data", create=False)


def heads(terminals: Terminals) -> list[dict[str, Any]]:
    """Return the rows of the heads, as Headgate has them."""
    store = opened(terminals)
    try:
        tables = [
            arrow(Piece(str(terminals.root / "data" / file.path), file.row_group))
            for version in store.heads("flights")
            for file in version.files
        ]
    finally:
        store.close()
    if not tables:
        return []
    return pl.from_arrow(pa.concat_tables(tables, promote_options="default")).sort("day", "n").to_dicts()


def assert_mirrored(terminals: Terminals) -> None:
    assert mirrored(terminals) == heads(terminals)
    (line,) = terminals.data("mirror")["mirrors"]
    assert (line["behind"], line["error"]) == (0, "")


def test_a_mirror_follows_while_the_run_goes_on(terminals: Terminals) -> None:
    terminals.hold(DAYS[2])
    running = terminals.start("backfill", "flights", "--yes", "--reason", "test")
    terminals.wait_for(f"began-{DAYS[2]}", running)
    until_s = time.monotonic() + LIMIT_S
    while True:
        assert time.monotonic() < until_s
        if (terminals.root / "data" / "flights" / "_delta_log" / f"{0:020}.json").exists():
            found = pl.scan_delta(table_of(terminals)).collect()
            assert found.height % 2 == 0
            if found.height == 2 * (len(DAYS) - 1):
                break
        select.select([], [], [], 0.05)
    assert DAYS[2] not in found["day"].to_list()
    terminals.release(DAYS[2])
    terminals.end(running)
    assert_mirrored(terminals)
    assert commits(terminals) < len(DAYS)


def test_what_is_rebuilt_is_mirrored_and_what_is_the_same_is_no_commit(terminals: Terminals) -> None:
    backfill(terminals)
    first = commits(terminals)
    backfill(terminals, "--all")
    assert commits(terminals) == first
    write(terminals.root, value=2)
    backfill(terminals)
    assert [row["n"] for row in mirrored(terminals) if row["day"] == DAYS[4]] == [2, 5]
    assert_mirrored(terminals)


def test_a_rollback_is_mirrored_and_so_is_its_undoing(terminals: Terminals) -> None:
    backfill(terminals)
    before = mirrored(terminals)
    write(terminals.root, value=2)
    run = backfill(terminals)
    after = mirrored(terminals)
    assert after != before
    terminals.call("rollback", run, "--with-downstream", "--yes", "--reason", "bad")
    assert mirrored(terminals) == before
    undo = terminals.data("status")["runs"][0]["id"]
    terminals.call("rollback", undo, "--leave-downstream", "--yes", "--reason", "not bad after all")
    assert mirrored(terminals) == after
    assert_mirrored(terminals)


def test_a_rollback_of_everything_leaves_an_empty_table(terminals: Terminals) -> None:
    run = backfill(terminals)
    terminals.call("rollback", run, "--with-downstream", "--yes", "--reason", "bad")
    assert mirrored(terminals) == []
    assert_mirrored(terminals)


def test_a_staged_run_is_mirrored_when_it_is_published(terminals: Terminals) -> None:
    backfill(terminals)
    before = mirrored(terminals)
    write(terminals.root, value=3)
    run = backfill(terminals, "--approve-first")
    assert mirrored(terminals) == before
    terminals.call("publish", run, "--reason", "looks good")
    assert mirrored(terminals) != before
    assert_mirrored(terminals)


def test_what_is_released_from_quarantine_is_mirrored(terminals: Terminals) -> None:
    write(terminals.root, '{"day": [ctx.key] * (1 if day == 3 else 2), "n": [day, 1][: 1 if day == 3 else 2]}')
    backfill(terminals, code=1)
    assert DAYS[2] not in {row["day"] for row in mirrored(terminals)}
    (held,) = terminals.data("quarantine", "list")["quarantined"]
    terminals.call("quarantine", "release", str(held["attempt"]), "--reason", "it is so")
    assert DAYS[2] in {row["day"] for row in mirrored(terminals)}
    assert_mirrored(terminals)


def test_columns_come_and_a_column_that_cannot_be_stops_the_mirror(terminals: Terminals) -> None:
    backfill(terminals)
    write(terminals.root, '{"day": [ctx.key] * 2, "n": [day, 1], "x": [0.5, None]}')
    backfill(terminals, "flights", "--end", DAYS[3])
    seen = mirrored(terminals)
    assert {row["x"] for row in seen if row["day"] < DAYS[3]} == {None, 0.5}
    assert {row["x"] for row in seen if row["day"] >= DAYS[3]} == {None}
    write(terminals.root, '{"day": [ctx.key] * 2, "n": [f"{day}", "1"]}')
    backfill(terminals, "flights", "--all", "--end", DAYS[2])
    assert mirrored(terminals) == seen
    (line,) = terminals.data("mirror", code=1)["mirrors"]
    assert "column n is string" in line["error"]
    assert "rebuild the partitions" in line["error"]
    assert line["behind"] == 2
    assert terminals.data("status")["stuck_mirrors"] == {"flights": line["error"]}
    assert "the mirror of flights stands still: column n is string" in terminals.call("status")[0]
    backfill(terminals, "flights", "--all")
    assert mirrored(terminals)[0] == {"day": DAYS[0], "n": "1"}
    assert_mirrored(terminals)
    assert terminals.data("status")["stuck_mirrors"] == {}


def test_a_pack_is_mirrored_and_taken_apart_when_a_part_of_it_goes(terminals: Terminals) -> None:
    compact = ("compact", "flights", "--older-than", "0", "--min-files", "2", "--reason", "pack")
    vacuum = ("vacuum", "--keep", "0", "--keep-versions", "0", "--yes", "--reason", "tidy")
    backfill(terminals)
    before = mirrored(terminals)
    terminals.call(*compact)
    assert len(DeltaTable(table_of(terminals)).file_uris()) == 1
    assert mirrored(terminals) == before
    terminals.call(*vacuum)
    assert_mirrored(terminals)

    write(terminals.root, value=2)
    backfill(terminals, "flights", "--start", DAYS[1], "--end", DAYS[2])
    names = sorted(uri.rpartition("flights/")[2] for uri in DeltaTable(table_of(terminals)).file_uris())
    assert len(names) == len(DAYS)
    assert sum(name.startswith("_mirror/v") for name in names) == len(DAYS) - 1
    assert_mirrored(terminals)

    copy = terminals.root / "data" / "flights" / names[-1]
    sound = copy.read_bytes()
    copy.write_bytes(sound[:60] + bytes([sound[60] ^ 1]) + sound[61:])
    found = terminals.data("verify", "flights", code=1)
    (broken,) = found["copies"]
    # The pack, what was built since, and the copies.
    assert found["files"] == 2 + len(DAYS) - 1
    assert (broken["dataset"], str(copy) in broken["problem"]) == ("flights", True)
    out, _ = terminals.call("verify", code=1)
    assert "mirror of flights: 1 file from packs broken" in out
    assert "mirror flights --rebuild" in broken["next"]
    assert broken["next"] in out
    write(terminals.root, value=2, mirror="mirror=None")
    (broken,) = terminals.data("verify", code=1)["copies"]
    assert "mirror flights --stop" in broken["next"]
    write(terminals.root, value=2)
    terminals.call("mirror", "flights", "--rebuild", "--reason", "repair")
    assert terminals.data("verify")["copies"] == []
    assert copy.read_bytes() == sound
    assert_mirrored(terminals)

    store, data = opened(terminals), terminals.root / "data"
    mirrors = Mirrors(data, ["flights"], store)
    assert mirrors.follow() == {}
    # By somebody who is killed before the table is made anew: whoever follows the heads anyway does that.
    take_down(store, data, "flights", forget=False, author="ada", reason="repair")
    assert mirrors.follow() == {}
    store.close()
    assert_mirrored(terminals)

    terminals.call(*vacuum)
    assert_mirrored(terminals)
    backfill(terminals, "flights")
    terminals.call(*vacuum)
    assert_mirrored(terminals)
    assert list((terminals.root / "data" / "flights" / "_mirror").iterdir()) == []


def test_a_table_can_be_made_anew_and_taken_down(terminals: Terminals) -> None:
    backfill(terminals)
    before = mirrored(terminals)
    names = DeltaTable(table_of(terminals)).metadata().id
    terminals.call("mirror", "flights", "--rebuild", "--reason", "somebody broke it")
    assert mirrored(terminals) == before
    assert DeltaTable(table_of(terminals)).metadata().id != names
    _, err = terminals.call("mirror", "flights", "--stop", "--reason", "x", code=2)
    assert "is declared with a mirror" in err
    store, data = opened(terminals), terminals.root / "data"
    # A coordinator that was started with the declaration.
    mirrors = Mirrors(data, ["flights"], store)
    assert mirrors.follow() == {}
    write(terminals.root, mirror="version=None")
    assert terminals.data("mirror")["mirrors"][0]["is_declared"] is False
    assert terminals.data("mirror", "flights", "--stop", "--reason", "nobody reads it")["mirrors"] == []
    assert mirrors.follow() == {}
    assert store.mirrors() == []
    store.close()
    assert not (data / "flights" / "_delta_log").exists()
    kinds = {json.loads(line)["kind"] for line in terminals.call("journal", "--json")[0].splitlines()}
    assert {"mirror.rebuilt", "mirror.stopped"} <= kinds
    assert heads(terminals) == before


def test_a_mirror_is_made_for_what_is_there_already(terminals: Terminals) -> None:
    write(terminals.root, mirror="version=None")
    backfill(terminals)
    assert terminals.data("mirror")["mirrors"] == []
    assert "has no mirror" in terminals.call("mirror", "flights", code=2)[1]
    write(terminals.root)
    (line,) = terminals.data("mirror")["mirrors"]
    assert (line["behind"], line["seq"]) == (None, 0)
    (line,) = terminals.data("mirror", "--once")["mirrors"]
    assert line["behind"] == 0
    assert_mirrored(terminals)


def test_an_effect_has_no_mirror(terminals: Terminals) -> None:
    text = (terminals.root / "seen_pipeline.py").read_text()
    (terminals.root / "seen_pipeline.py").write_text(
        text.replace("-> pa.Table", "-> None").replace("gates=[hg.row_count(min=2)]", "")
    )
    assert "this function returns None" in terminals.call("plan", code=2)[1]
    write(terminals.root, mirror='mirror="iceberg"')
    assert 'Write mirror="delta"' in terminals.call("plan", code=2)[1]


PARTITIONS = 5_000


def test_five_thousand_partitions_are_one_commit(tmp_path: Path) -> None:
    """Through the state store alone: what counts is how many there are, not who made them."""
    data = tmp_path / "data"
    (data / "flights" / "r1").mkdir(parents=True)
    run = Run("r1", RunKind.BACKFILL, RunState.RUNNING, "test", "ada", "{}", "", 1, None)
    attempts = [
        Attempt(n, "r1", "flights", f"{n:05}", 1, AttemptState.RUNNING, f"flights/r1/k-a{n:04}.parquet", None, 1)
        for n in range(1, PARTITIONS + 1)
    ]
    store = open_store(tmp_path / "state.db", data_root=data, create=True)
    try:
        for attempt in attempts:
            pq.write_table(pa.table({"n": [attempt.id]}), data / attempt.path, compression="none")
        with store.transaction() as tx:
            tx.add_run(run)
            tx.start_attempts(attempts)
            verdicts = tx.publish(
                [
                    Candidate(
                        *(attempt.id, "r1", "flights", attempt.key),
                        (File(attempt.path, 1, (data / attempt.path).stat().st_size, "sha256:"),),
                        *(1, 1, f"h@1:1:{attempt.id}", (("n", "int64"),), "code", None, (), 0, None, None, 1),
                    )
                    for attempt in attempts
                ],
                author="ada",
                now_ms=2,
            )
        assert set(verdicts) == {Published.NEW}
        assert Mirrors(data, ["flights"], store).follow() == {}
        table = DeltaTable(str(data / "flights"))
        assert (table.version(), table.count()) == (0, PARTITIONS)
        total = pl.scan_delta(str(data / "flights")).select(pl.col("n").sum()).collect().item()
        assert total == PARTITIONS * (PARTITIONS + 1) // 2
    finally:
        store.close()
