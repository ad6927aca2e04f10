"""Lineage of random histories of versions, against what a plain model says."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headgate.model.run import Attempt, AttemptState, Run, RunKind, RunState
from headgate.model.version import File
from headgate.store.records import Candidate
from headgate.store.sqlite import open_store

if TYPE_CHECKING:
    from headgate.store.store import Store
    from headgate.store.transaction import Transaction

KEYS = ("a", "b", "c")


@dataclass
class History:
    """What was published, plainly: versions by identity, and who vouches for each.

    Args:
        identities: Version -> identity.
        made: Identity -> identities that it was made from.
        found: Identity -> what was pinned when its content was found, in order; the first time made it.
        heads: Partition -> version.
    """

    identities: dict[int, int] = field(default_factory=dict)
    made: dict[int, set[int]] = field(default_factory=dict)
    found: defaultdict[int, list[set[int]]] = field(default_factory=lambda: defaultdict(list))
    heads: dict[tuple[str, str], int] = field(default_factory=dict)

    def up(self, version: int, depth: int | None) -> set[tuple[int, int, bool]]:
        edges: set[tuple[int, int, bool]] = set()
        frontier, seen = {version}, {version}
        while frontier and depth != 0:
            edges |= {(made, source, True) for made in frontier for source in self.made.get(made, ())}
            frontier = {source for made in frontier for source in self.made.get(made, ())} - seen
            seen |= frontier
            depth = None if depth is None else depth - 1
        return edges

    def down(self, version: int, depth: int | None) -> set[tuple[int, int, bool]]:
        edges: set[tuple[int, int, bool]] = set()
        frontier, seen = {version}, {version}
        while frontier and depth != 0:
            made = {(one, source, True) for one, sources in self.made.items() for source in sources & frontier}
            again = {
                (one, source, False)
                for one, times in self.found.items()
                for pinned in times[1:]
                for source in pinned & frontier
            }
            edges |= made | again
            frontier = {one for one, _, _ in made} - seen
            seen |= frontier
            depth = None if depth is None else depth - 1
        return edges

    def resting(self, version: int) -> set[int]:
        return {one for one, times in self.found.items() if version in times[-1]}


def play(tx: Transaction, steps: list[tuple[int, int, str, list[int]]]) -> History:
    """Publish what the steps say: dataset, key, what becomes of it, and which earlier versions are pinned."""
    history = History()
    for number, (level, key, wish, pins) in enumerate(steps, start=1):
        place = (f"d{level}", KEYS[key])
        head = history.heads.get(place)
        earlier = sorted(history.identities)
        pinned = {earlier[pin % len(earlier)] for pin in pins} if earlier else set()
        identity = None if head is None else history.identities[head]
        what = "new" if head is None else wish
        content = f"h@1:10:{number if what == 'new' else identity}"
        inputs, origin = (tuple(pinned), None) if what != "packed" else ((head,), identity)
        publish(tx, number, place, inputs, expects=identity, content=content, origin=origin)
        sources = {history.identities[pin] for pin in pinned}
        if what == "new":
            history.identities[number] = number
            history.made[number] = sources
            history.found[number].append(sources)
            history.heads[place] = number
        elif what == "packed":
            history.identities[number] = identity
            history.heads[place] = number
        else:
            history.found[identity].append(sources)
    return history


def publish(
    tx: Transaction,
    number: int,
    place: tuple[str, str],
    inputs: tuple[int, ...],
    *,
    expects: int | None,
    content: str,
    origin: int | None,
) -> None:
    dataset, key = place
    run, path = f"r{number}", f"staging/{number}.parquet"
    tx.add_run(Run(run, RunKind.BACKFILL, RunState.RUNNING, "", "ada", "{}", f"h{number}", number, None))
    tx.start_attempts([Attempt(number, run, dataset, key, 1, AttemptState.RUNNING, path, expects, number)])
    files = (File(path, 10, 100, f"sha256:{number}"),)
    made = (files, 10, 100, content, (("n", "int64"),), "c0de", None, inputs, 0, None, None, number)
    candidate = Candidate(number, run, dataset, key, *made, renews=origin is not None, origin=origin)
    tx.publish([candidate], author="ada", now_ms=3_000 + number)


STEPS = st.lists(
    st.tuples(
        st.integers(0, 3),
        st.integers(0, 2),
        st.sampled_from(["new", "new", "same", "packed"]),
        st.lists(st.integers(0, 50), max_size=4),
    ),
    min_size=1,
    max_size=25,
)


@pytest.mark.slow
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(STEPS, st.one_of(st.none(), st.integers(1, 4)))
def test_lineage_is_what_a_plain_model_says(steps, depth):
    with TemporaryDirectory() as folder:
        (Path(folder) / "data").mkdir()
        store: Store = open_store(Path(folder) / "state.db", data_root=Path(folder) / "data", create=True)
        try:
            with store.transaction() as tx:
                history = play(tx, steps)
            for version in history.made:
                assert set(store.made_from([version], depth=depth)) == history.up(version, depth)
                assert set(store.made_of([version], depth=depth)) == history.down(version, depth)
                assert set(store.resting_on([version])) == history.resting(version)
            heads = {history.identities[version]: version for version in history.heads.values()}
            for one in store.traced(history.made):
                assert one.shown_as == heads.get(one.version)
                assert one.confirmations == len(history.found[one.version]) - 1
        finally:
            store.close()
