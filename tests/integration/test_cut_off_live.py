"""Early cut-off where two datasets are read: a partition is built again if either brought something new, else not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from runs_from_terminals import Terminals

from headgate.store.sqlite import open_store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.slow

TOML = """
[project]
modules = ["cut_off_pipeline"]
[workers]
processes = 2
[retry]
attempts = 1
"""
PIPELINE = """
from datetime import date

import pyarrow as pa
import pyarrow.compute as pc

import headgate as hg

DAYS = hg.daily("2024-01-01", "2024-01-07")
BATCH = {batch}
SPLIT = dict(batch=BATCH, partition_column="day") if BATCH > 1 else {{}}

hg.source("a_landed", path="landing/a-{{key}}.csv", partitions=DAYS)
hg.source("b_landed", path="landing/b-{{key}}.csv", partitions=DAYS)


def cleaned(landed):
    if "bad" in landed["value"].to_pylist():
        raise ValueError("a bad value")
    days = [day if isinstance(day, date) else date.fromisoformat(day) for day in landed["day"].to_pylist()]
    return landed.drop_columns(["noise"]).set_column(0, "day", pa.array(days))


@hg.dataset(partitions=DAYS, **SPLIT)
def a(a_landed: pa.Table) -> pa.Table:
    return cleaned(a_landed)


@hg.dataset(partitions=DAYS, **SPLIT)
def b(b_landed: pa.Table) -> pa.Table:
    return cleaned(b_landed)


@hg.dataset(partitions=DAYS, **SPLIT)
def c(a: pa.Table, b: pa.Table) -> pa.Table:
    # What comes behind a slash does not get into the result.
    return pa.concat_tables([one.set_column(1, "value", pc.list_element(pc.split_pattern(one["value"], "/"), 0))
                             for one in (a, b)])


@hg.dataset(partitions=DAYS, **SPLIT)
def d(c: pa.Table) -> pa.Table:
    return c
"""
DAYS = [f"2024-01-0{day}" for day in range(1, 7)]
NOISE, VALUE, BEHIND, BAD = ("v,more noise", "w,noise", "v/2,noise", "bad,noise")
"""A line that changes the file only, the partition made from it, that but nothing made from it, or fails."""
LANDED = {
    DAYS[0]: (NOISE, NOISE),
    DAYS[1]: (NOISE, VALUE),
    DAYS[2]: (VALUE, NOISE),
    DAYS[3]: (BAD, VALUE),
    DAYS[4]: (NOISE, BEHIND),
}
"""What lands anew for a and b; nothing does on the last day."""
WITHOUT = {
    "blocked": 0,
    "cancelled": 0,
    "failed": 0,
    "left": 0,
    "published": 0,
    "skipped": 0,
    "taken": 0,
    "unchanged": 0,
}


class Place(Terminals):
    """A project with all partitions built."""

    def land(self, name: str, day: str, line: str) -> None:
        (self.root / "landing").mkdir(exist_ok=True)
        (self.root / "landing" / f"{name}-{day}.csv").write_text(f"day,value,noise\n{day},{line}\n")

    def backfill(self, *, code: int = 0) -> dict[str, Any]:
        summary = self.data("backfill", "--yes", "--reason", "what has landed", code=code)
        return {"run": summary["run"]["id"], **{part["name"]: part for part in summary["datasets"]}}

    def built(self, run: str) -> dict[str, list[str]]:
        """Return the days of which each dataset was built in a run."""
        store = open_store(self.root / ".headgate" / "state.db", data_root=self.root / "data", create=False)
        try:
            found: dict[str, list[str]] = {"a": [], "b": [], "c": [], "d": []}
            for checkpoint in store.run_checkpoints(run):
                found[checkpoint.dataset].append(checkpoint.key)
            return {name: sorted(days) for name, days in found.items()}
        finally:
            store.close()


@pytest.fixture(params=[1, 30])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    (tmp_path / "headgate.toml").write_text(TOML)
    (tmp_path / "cut_off_pipeline.py").write_text(PIPELINE.format(batch=request.param))
    made = Place(tmp_path)
    for day in DAYS:
        made.land("a", day, "v,noise")
        made.land("b", day, "v,noise")
    assert made.backfill()["d"]["published"] == len(DAYS)
    yield made
    made.clean_up()


def test_two_upstreams(place: Place) -> None:
    for day, (a, b) in LANDED.items():
        place.land("a", day, a)
        place.land("b", day, b)
    summary = place.backfill(code=1)
    counts = {name: {what: summary[name][what] for what in WITHOUT} for name in "abcd"}
    assert counts == {
        "a": {**WITHOUT, "published": 1, "unchanged": 3, "failed": 1},
        "b": {**WITHOUT, "published": 3, "unchanged": 2},
        "c": {**WITHOUT, "published": 2, "unchanged": 1, "skipped": 1, "blocked": 1},
        "d": {**WITHOUT, "published": 2, "skipped": 2, "blocked": 1},
    }
    assert place.built(summary["run"]) == {
        "a": [*DAYS[:3], DAYS[4]],
        "b": DAYS[:5],
        "c": [DAYS[1], DAYS[2], DAYS[4]],
        "d": [DAYS[1], DAYS[2]],
    }
    out, _ = place.call("runs", "show", summary["run"])
    assert "3 of 20 skipped: inputs unchanged" in out
    # What was blocked is built once its upstream can be, although that brings nothing new: the other one did.
    place.land("a", DAYS[3], "v,noise")
    repaired = place.backfill()
    assert place.built(repaired["run"]) == {"a": [DAYS[3]], "b": [], "c": [DAYS[3]], "d": [DAYS[3]]}
    assert repaired["a"]["unchanged"] == 1
    assert "nothing to do" in place.call("backfill", "--yes", "--reason", "again")[0]
    place.call("check", "--state")
