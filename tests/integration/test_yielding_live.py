"""A backfill that fills all slots gives one to a fresh run, and goes on from where it was: real processes."""

from __future__ import annotations

import json
import select
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from runs_from_terminals import Terminals

from headgate.model.run import AttemptState
from headgate.store.sqlite import open_store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.slow

TOML = """
[project]
modules = ["yielding_pipeline"]
[workers]
processes = 2
[classes.fresh]
patience = "1s"
"""
PIPELINE = """
import json
import time
from pathlib import Path

import pyarrow as pa

import headgate

DAYS = headgate.daily("2024-01-01", "2024-01-03")
HERE = Path(__file__).parent


@headgate.dataset(partitions=DAYS, batches=0)
def history(ctx: headgate.Context):
    n = ctx.resume_from or 0
    with (HERE / "seen").open("a") as seen:
        seen.write(json.dumps([ctx.attempt, ctx.key, ctx.resume_from]) + "\\n")
    while n < 3 or (HERE / "hold-history").exists():
        yield headgate.Batch(pa.table({"n": [n]}), offset=n + 1)
        n += 1
        time.sleep(0.05)


@headgate.dataset(partitions=DAYS)
def urgent(ctx: headgate.Context) -> pa.Table:
    return pa.table({"day": [ctx.key]})
"""


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Terminals]:
    (tmp_path / "headgate.toml").write_text(TOML)
    (tmp_path / "yielding_pipeline.py").write_text(PIPELINE)
    made = Terminals(tmp_path)
    yield made
    made.clean_up()


def test_a_backfill_yields_to_a_fresh_run_and_goes_on_from_its_offset(place: Terminals) -> None:
    place.hold("history")
    backfill = place.start("backfill", "history", "--yes", "--reason", "all of it")
    place.wait_for("seen", backfill)
    until_saved(place, 2)
    out, _ = place.call("backfill", "urgent", "--yes", "--reason", "now", "--class", "fresh")
    assert "succeeded: 2 partitions" in out
    # It holds all slots until it is released, and was not killed for the other one.
    assert backfill.poll() is None
    place.release("history")
    place.end(backfill)

    seen = [json.loads(line) for line in (place.root / "seen").read_text().splitlines()]
    first, later = seen[:2], seen[2:]
    assert [offset for _, _, offset in first] == [None, None]
    assert later
    place.call("check", "--state")
    store = open_store(place.root / ".headgate" / "state.db", data_root=place.root / "data", create=False)
    run = next(run for run in store.runs() if run.reason == "all of it")
    states = {attempt.id: attempt.state for attempt in store.attempts(run.id)}
    heads = {version.key: version for version in store.heads("history")}
    store.close()
    assert sorted(states.values()).count(AttemptState.SUCCEEDED) == 2
    assert sorted(states.values()).count(AttemptState.YIELDED) == len(later)
    named = set()
    for key, head in heads.items():
        parts = {file.path: pq.read_table(place.root / "data" / file.path) for file in head.files}
        named.update(parts)
        rows = pa.concat_tables(parts.values()).column("n").to_pylist()
        assert rows == list(range(len(rows)))
        # Where an attempt went on is where those before it had ended.
        for attempt, offset in [(attempt, offset) for attempt, of, offset in later if of == key]:
            before = [path for path in parts if int(path.rsplit("-a", 1)[1].split("-")[0]) < attempt]
            assert offset == len(before) > 0
    assert on_disk(place) == named


@pytest.mark.parametrize("changed", ["nothing", "the code", "a file"])
def test_a_cancelled_run_goes_on_from_its_batches_while_they_hold(place: Terminals, changed: str) -> None:
    place.hold("history")
    backfill = place.start("backfill", "history", "--yes", "--reason", "why")
    place.wait_for("seen", backfill)
    until_saved(place, 2)
    place.call("cancel", "latest", "--reason", "stop")
    place.end(backfill, code=1)
    place.call("check", "--state")
    (place.root / "seen").unlink()
    place.release("history")
    if changed == "the code":
        (place.root / "yielding_pipeline.py").write_text(PIPELINE.replace("n < 3", "n < 2"))
    elif changed == "a file":
        next((place.root / "data" / "history").rglob("2024-01-01-*-p0001.parquet")).unlink()
    place.call("retry", "latest")
    seen = [json.loads(line) for line in (place.root / "seen").read_text().splitlines()]
    goes_on = {key: offset is not None for _, key, offset in seen}
    assert goes_on == {"2024-01-01": changed == "nothing", "2024-01-02": changed != "the code"}
    place.call("check", "--state")
    store = open_store(place.root / ".headgate" / "state.db", data_root=place.root / "data", create=False)
    named = {file.path for version in store.heads("history") for file in version.files}
    assert store.uncollected_attempts() == []
    store.close()
    assert on_disk(place) == named


def test_a_rebuild_that_changes_nothing_leaves_no_parts_behind(place: Terminals) -> None:
    place.call("backfill", "history", "--yes", "--reason", "first")
    before = on_disk(place)
    assert len(before) == 6
    place.call("backfill", "history", "--all", "--yes", "--reason", "again")
    assert on_disk(place) == before
    # Another part with the same number of bytes is found.
    first, second = sorted(path for path in before if "2024-01-01" in path)[:2]
    data = place.root / "data"
    assert (data / first).stat().st_size == (data / second).stat().st_size
    (data / first).write_bytes((data / second).read_bytes())
    out, err = place.call("check", "--state", code=1)
    assert "has the hash" in out + err


def on_disk(place: Terminals) -> set[str]:
    data = place.root / "data"
    return {str(path.relative_to(data)) for path in (data / "history").rglob("*.parquet")}


def until_saved(place: Terminals, tasks: int) -> None:
    """Return when batches of so many tasks are saved."""
    store = open_store(place.root / ".headgate" / "state.db", data_root=place.root / "data", create=False)
    try:
        while len({path.rsplit("-a", 1)[0] for path in store.parts_in_use([])}) < tasks:
            select.select([], [], [], 0.02)
    finally:
        store.close()
