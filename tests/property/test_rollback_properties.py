"""Runs, rollbacks and undos in any order: heads are where a plain model of what readers saw has them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headgate.model.rollback import Aim, OnMovedOn
from headgate.model.run import Attempt, AttemptState, Run, RunKind, RunState
from headgate.store.records import Candidate
from headgate.store.sqlite import SqliteStore, open_store

PLACES = [*(("a", key) for key in "123"), *(("b", key) for key in "123"), ("c", "all")]
READS = {"a": lambda _: [], "b": lambda key: [("a", key)], "c": lambda _: [("b", key) for key in "123"]}
Place = tuple[str, str]


class Made(NamedTuple):
    """A checkpoint of the model."""

    number: int
    run: int
    place: Place
    version: int
    content: int
    reads: tuple[int, ...]


class Moved(NamedTuple):
    place: Place
    before: int | None
    after: int | None


class Judged(NamedTuple):
    """A move, and whether it says that what was there is bad: an undo does not."""

    move: Moved
    is_bad: bool


@dataclass
class Model:
    """What readers saw of each partition, event by event: checkpoints, and where rollbacks moved heads to."""

    made: dict[int, Made] = field(default_factory=dict)
    seen: dict[Place, list[int | None]] = field(default_factory=lambda: {place: [None] for place in PLACES})
    rollbacks: dict[int, list[Moved]] = field(default_factory=dict)
    holding: set[int] = field(default_factory=set)
    moves: list[Judged] = field(default_factory=list)

    def head(self, place: Place) -> int | None:
        return self.seen[place][-1]

    def version(self, number: int | None) -> int | None:
        return None if number is None else self.made[number].version

    def withdrawn(self, place: Place) -> set[int]:
        found: set[int] = set()
        for move, is_bad in self.moves:
            before, after = self.version(move.before), self.version(move.after)
            if move.place == place and before != after:
                if before is not None and is_bad:
                    found.add(before)
                found.discard(-1 if after is None else after)
        return found

    def tainted(self, run: int, *, include: bool) -> dict[int, int]:
        """Return checkpoints that rest on what a run made: 0 for the same content, 1 for what was made from it."""
        level = {made.number: 0 for made in self.made.values() if made.run == run}
        if include:
            for made in [self.made[number] for number in level]:
                if made.version == made.number:
                    later = [one for one in self.made.values() if one.place == made.place and one.number > made.number]
                    level |= {one.number: 0 for one in later}
        while True:
            bad = {number: at for number, at in level.items() if self.made[number].version == number}
            more = dict(level)
            for made in self.made.values():
                found = [bad[made.version]] if made.version in bad else []
                found += [1] if any(read in bad for read in made.reads) else []
                if found:
                    more[made.number] = min([*found, more.get(made.number, 1)])
            if more == level:
                return level
            level = more

    def take_back(self, run: int, *, downstream: bool, include: bool) -> list[Moved]:
        if run in self.rollbacks:
            return [
                Moved(move.place, self.head(move.place), move.before)
                for move in self.rollbacks[run]
                if self.head(move.place) != move.before and (include or self.head(move.place) == move.after)
            ]
        tainted = {n for n, level in self.tainted(run, include=include).items() if level <= downstream}
        found = []
        for place in PLACES:
            head, withdrawn = self.head(place), self.withdrawn(place)
            if head in tainted:
                good = next(
                    state
                    for state in reversed(self.seen[place])
                    if state is None or (state not in tainted and self.made[state].version not in withdrawn)
                )
                found.append(Moved(place, head, good))
        return found

    def move(self, rollback: int, of: int, moves: list[Moved]) -> None:
        self.rollbacks[rollback] = moves
        if of not in self.holding:
            self.holding.add(rollback)
        self.moves += [Judged(move, rollback in self.holding) for move in moves]
        for move in moves:
            self.seen[move.place].append(move.after)


class World:
    """The store and the model of it, driven alike."""

    def __init__(self, store: SqliteStore) -> None:
        self.store = store
        self.model = Model()
        self.runs = 0
        self.number = 0

    def build(self, places: list[Place], content: int) -> None:
        self.runs += 1
        run = f"r{self.runs:03}"
        self._add(Run(run, RunKind.BACKFILL, RunState.RUNNING, "", "ada", "{}", "", self.runs, None))
        for place in sorted(set(places)):
            reads = [self.model.version(self.model.head(above)) for above in READS[place[0]](place[1])]
            if None not in reads:
                self._publish(run, place, content, tuple(read for read in reads if read is not None))
        with self.store.transaction() as tx:
            tx.set_run_state(run, RunState.SUCCEEDED, author="ada", reason="", now_ms=self.runs)

    def _publish(self, run: str, place: Place, content: int, reads: tuple[int, ...]) -> None:
        self.number += 1
        head = self.model.head(place)
        is_same = head is not None and self.model.made[head].content == content
        version = self.model.made[head].version if is_same and head is not None else self.number
        attempt = Attempt(self.number, run, *place, 1, AttemptState.RUNNING, "", None, 1)
        made = (f"h@1:1:{content}", None, "code", None, reads, 0, None, None, 1)
        with self.store.transaction() as tx:
            tx.start_attempts([attempt])
            tx.publish([Candidate(self.number, run, *place, (), 1, 1, *made)], author="ada", now_ms=self.runs)
        self.model.made[self.number] = Made(self.number, self.runs, place, version, content, reads)
        self.model.seen[place].append(self.number)

    def roll_back(self, run: int, *, downstream: bool, include: bool) -> None:
        expected = self.model.take_back(run, downstream=downstream, include=include)
        moved_on = OnMovedOn.INCLUDE if include else OnMovedOn.SKIP
        aim = Aim(run=f"r{run:03}", downstream=downstream, moved_on=moved_on)
        shown = self.store.take_back(aim)
        assert [Moved((m.dataset, m.key), m.before_checkpoint, m.after_checkpoint) for m in shown.moves] == expected
        assert all(m.after == self.model.version(m.after_checkpoint) for m in shown.moves)
        if not expected:
            return
        self.runs += 1
        rollback = Run(
            f"r{self.runs:03}", RunKind.ROLLBACK, RunState.SUCCEEDED, "", "ada", "", "", self.runs, self.runs
        )
        with self.store.transaction() as tx:
            tx.add_run(rollback)
            tx.roll_back(rollback, aim, shown)
            tx.resolve(rollback.id, author="ada", reason="", now_ms=self.runs)
        self.model.move(self.runs, run, expected)

    def _add(self, run: Run) -> None:
        with self.store.transaction() as tx:
            tx.add_run(run)

    def check(self) -> None:
        shown = {
            (name, key.decode()): (version, attempt)
            for name in "abc"
            for some in self.store.head_columns(name)
            for key, version, attempt in zip(
                some.keys.tolist(), some.version.tolist(), some.attempt.tolist(), strict=True
            )
        }
        heads = {place: self.model.head(place) for place in PLACES}
        assert shown == {p: (self.model.made[n].version, n) for p, n in heads.items() if n is not None}


BUILDS = st.tuples(st.just("build"), st.lists(st.sampled_from(PLACES), min_size=1, max_size=7), st.integers(1, 3))
BACK = st.tuples(st.just("back"), st.integers(0, 30), st.tuples(st.booleans(), st.booleans()))


@pytest.mark.slow
@settings(max_examples=120, deadline=None)
@given(st.lists(BUILDS | BACK, min_size=3, max_size=14))
def test_heads_are_where_a_plain_model_has_them(steps: list[tuple[str, object, object]]) -> None:
    with TemporaryDirectory() as folder:
        store = open_store(Path(folder) / "state.db", data_root=Path(folder) / "data", create=True)
        try:
            world = World(store)
            world.build(PLACES, 1)
            for verb, which, how in steps:
                if verb == "build":
                    world.build(which, how)  # type: ignore[arg-type]
                else:
                    downstream, include = how  # type: ignore[misc]
                    world.roll_back(1 + which % world.runs, downstream=downstream, include=include)  # type: ignore[operator]
                world.check()
            assert store.check() == []
        finally:
            store.close()


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(st.lists(BUILDS, min_size=2, max_size=8), st.integers(0, 30), st.booleans())
def test_an_undo_at_once_leaves_everything_as_it_was(
    builds: list[tuple[str, list[Place], int]], which: int, downstream: bool
) -> None:
    with TemporaryDirectory() as folder:
        store = open_store(Path(folder) / "state.db", data_root=Path(folder) / "data", create=True)
        try:
            world = World(store)
            for _, places, content in builds:
                world.build(places, content)
            runs = world.runs
            before = {place: world.model.head(place) for place in PLACES}
            world.roll_back(1 + which % runs, downstream=downstream, include=True)
            if world.runs > runs:
                world.roll_back(world.runs, downstream=False, include=False)
            world.check()
            assert {place: world.model.head(place) for place in PLACES} == before
        finally:
            store.close()
