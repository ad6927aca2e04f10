"""Guard rails on ranges of indices agree with asking each partition by itself."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

import headgate
from headgate.model.calendar import instant, zone_of
from headgate.model.dataset import Dataset, Format, Input, Source
from headgate.model.guard_rail import GuardRails, Outcome, Rule, Setting
from headgate.model.mapping import Offset, Overlap, Trailing
from headgate.model.plan import Plan, PlannedDataset, Request
from headgate.planning.guard_rails import Facts, judge
from headgate.planning.snapshot import Heads, Snapshot

KEYS = headgate.static(["a", "b", "c"])
UNITS = {
    "hours": headgate.hourly("2024-03-09", "2024-03-12", tz="America/New_York"),
    "days": headgate.daily("2024-03-01", "2024-04-10", tz="Europe/Zurich"),
    "months": headgate.monthly("2023-06-01", "2024-06-01"),
}
END = datetime(2024, 5, 1, tzinfo=UTC)
LOCAL = st.datetimes(datetime(2023, 5, 1), datetime(2024, 7, 1))


def ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)


@st.composite
def worlds(draw):
    """Draw a source, a dataset that reads it and a plan of some partitions of that."""
    cut = [UNITS[draw(st.sampled_from(sorted(UNITS)))] for _ in range(2)]
    source, dataset = [headgate.product(one, KEYS) if draw(st.booleans()) else one for one in cut]
    mapping = draw(st.sampled_from([Overlap(), Trailing(3), Offset(-1)]))
    known = Dataset("made", dataset, {"raw": Input("raw", mapping, allow_missing=True)}, "m:f", "code")
    at = ms(END)
    grids = {"raw": source.grid(at), "made": dataset.grid(at)}
    size = grids["made"].size
    chosen = np.flatnonzero(draw(st.lists(st.booleans(), min_size=size, max_size=size))).astype(np.int64)
    blocked = np.array(draw(st.lists(st.booleans(), min_size=len(chosen), max_size=len(chosen))), dtype=bool)
    planned = PlannedDataset("made", "", "code", chosen, np.ones(len(chosen), np.uint8), blocked)
    heads = {name: Heads.empty(grid.size) for name, grid in grids.items()}
    gone = draw(st.lists(st.integers(0, grids["raw"].size - 1), max_size=3))
    heads["raw"].version[gone[:2]] = 5
    heads["raw"] = Heads(heads["raw"].version, heads["raw"].digest, heads["raw"].code, (), dict.fromkeys(gone, "gone"))
    snapshot = Snapshot({"made": known}, {"raw": Source("raw", source, "x", Format.CSV)}, grids, heads, at)
    return snapshot, Plan(Request(), (planned,) if len(chosen) else (), (), size, at)


def counted(world, rails) -> list[int]:
    snapshot, plan = world
    found = judge(plan, snapshot, rails, Facts(snapshot.as_of_ms), reason="")
    return [finding.partitions for finding in found.findings]


def open_indices(plan):
    return [int(index) for part in plan.datasets for index in part.indices[~part.blocked]]


def read_by(snapshot, index):
    entry = snapshot.datasets["made"].inputs["raw"]
    return snapshot.reads("made", entry, np.array([index], dtype=np.int64)).of(0)


@settings(max_examples=60)
@given(worlds(), LOCAL, LOCAL)
def test_protected_ranges(world, one, other):
    snapshot, plan = world
    start, end = min(one, other), max(one, other) + timedelta(minutes=1)
    rails = GuardRails({Rule.PROTECTED: Setting(Rule.PROTECTED, Outcome.DENY, start=start, end=end)})
    zone = zone_of(snapshot.grids["made"].axis.zone)
    first, last = (instant(local, zone) for local in (start, end))
    windows = [snapshot.grids["made"].window(int(index)) for part in plan.datasets for index in part.indices]
    inside = sum(window[0] < last and window[1] > first for window in windows)
    assert counted((snapshot, _without_gone(plan)), rails) == ([inside] if inside else [])


@settings(max_examples=60)
@given(worlds(), st.integers(1, 400))
def test_retention(world, days):
    snapshot, plan = world
    keep_ms = days * 86_400_000
    rails = GuardRails(sources={"raw": Setting(Rule.RETENTION, Outcome.DENY, keep_ms, f"{days}d")})
    old = gone = 0
    for index in open_indices(plan):
        reads = read_by(snapshot, index)
        raw = snapshot.heads["raw"]
        old += any(snapshot.grids["raw"].window(up)[0] < snapshot.as_of_ms - keep_ms for up in reads)
        gone += any(up in raw.absent and raw.version[up] for up in reads)
    assert counted(world, rails) == [number for number in (old, gone) if number]


def _without_gone(plan):
    """Return the plan with everything blocked: retention says nothing then."""
    parts = [
        PlannedDataset(part.name, "", "code", part.indices, part.why, np.ones(len(part.indices), dtype=bool))
        for part in plan.datasets
    ]
    return Plan(plan.request, tuple(parts), (), plan.considered, plan.as_of_ms)
