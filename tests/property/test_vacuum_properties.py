"""Vacuum beside a plain model of what is needed: whatever happened before, it removes just what nobody needs."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headgate.model.run import Attempt, AttemptState, Run, RunKind, RunState
from headgate.model.version import File
from headgate.store.housekeeping import Keep
from headgate.store.records import Candidate, Published
from headgate.store.sqlite import open_store

if TYPE_CHECKING:
    from headgate.store.store import Store

KEYS = ("a", "b")
RUN = "20240101-000000-aaaaaa"


@dataclass
class Made:
    """A version as the model knows it."""

    key: str
    at_ms: int
    path: str
    origin: int


@dataclass
class Model:
    """What was published when, and what is left."""

    versions: dict[int, Made] = field(default_factory=dict)
    heads: dict[str, int] = field(default_factory=dict)
    seen: list[tuple[int, int]] = field(default_factory=list)
    """Version, and an instant at which readers saw it: when it became a head, and when it stopped being one."""
    running: list[int] = field(default_factory=list)
    """When the attempts that run have started."""
    mirror: int | None = None
    shown: list[tuple[int, int]] = field(default_factory=list)
    """Journal entry that moved a head, and a version that the head showed before or after."""
    removed: set[int] = field(default_factory=set)

    def needed(self, keep: Keep) -> set[int]:
        """Return the versions that stay, one rule after another, whatever that costs."""
        alive = {n: made for n, made in self.versions.items() if n not in self.removed}
        since_ms = min([keep.since_ms, *self.running])
        stay = set(self.heads.values())
        stay |= {n for n, at_ms in self.seen if at_ms >= since_ms}
        if self.mirror is not None:
            stay |= {n for entry, n in self.shown if entry > self.mirror}
        for key in KEYS:
            mine = sorted(n for n, made in alive.items() if made.key == key)
            contents = sorted({alive[n].origin for n in mine}, reverse=True)[: keep.versions]
            stay |= {max(n for n in mine if alive[n].origin == content) for content in contents}
        stay &= alive.keys()
        # A file stays for all who have it as long as one of them is needed.
        paths = {alive[n].path for n in stay}
        return {n for n, made in alive.items() if made.path in paths}


class Play:
    """The state store and the model, doing the same."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.model = Model()
        self.now_ms = 1_000
        self.runs = 0
        self.stay: list[int] = []

    def begin(self, keys: tuple[str, ...], kind: RunKind = RunKind.BACKFILL) -> list[Attempt]:
        """Start a run with an attempt for each key."""
        self.runs += 1
        run = f"{RUN}-{self.runs}"
        first = self.store.next_id()
        attempts = []
        for n, key in enumerate(keys):
            head = next(iter(list(self.store.heads("d", [key]))), None)
            expects = head.identity if head else None
            path = f"d/{run}/{key}-a{first + n:04}.parquet"
            attempts.append(Attempt(first + n, run, "d", key, 1, AttemptState.RUNNING, path, expects, self.now_ms))
        with self.store.transaction() as tx:
            tx.add_run(Run(run, kind, RunState.RUNNING, "r", "ada", "{}", run, self.now_ms, None))
            tx.start_attempts(attempts)
        return attempts

    def publish(self, attempts: list[Attempt], *, is_pack: bool) -> None:
        """Publish new content, or what is there again as row groups of one file."""
        candidates = []
        for n, attempt in enumerate(attempts):
            head = next(iter(list(self.store.heads("d", [attempt.key]))), None)
            path = attempts[0].path if is_pack else attempt.path
            origin = head.identity if is_pack and head else None
            candidates.append(
                Candidate(
                    attempt=attempt.id, run=attempt.run, dataset="d", key=attempt.key,
                    files=(File(path, 1, 10, f"sha256:{attempt.id}", n if is_pack else None),), rows=1, bytes=10,
                    content=head.content if is_pack and head else f"h@1:1:{attempt.id}", schema=(("n", "int64"),),
                    code="c", declared_version=None, inputs=(), inputs_digest=0, watermark_ms=None, offsets=None,
                    started_ms=self.now_ms, renews=is_pack, origin=origin,
                )
            )  # fmt: skip
        with self.store.transaction() as tx:
            assert set(tx.publish(candidates, author="ada", now_ms=self.now_ms)) == {Published.NEW}
        entry = self.store.journal_seq()
        for candidate in candidates:
            model, number, key = self.model, candidate.attempt, candidate.key
            before = model.heads.get(key)
            origin = number if candidate.origin is None else candidate.origin
            model.versions[number] = Made(key, self.now_ms, candidate.files[0].path, origin)
            for version in (before, number):
                if version is not None:
                    model.seen.append((version, self.now_ms))
                    model.shown.append((entry, version))
            model.heads[key] = number

    def build(self, key: str) -> None:
        self.publish(self.begin((key,)), is_pack=False)

    def pack(self) -> None:
        keys = tuple(sorted(self.model.heads))
        if keys:
            self.publish(self.begin(keys, RunKind.COMPACTION), is_pack=True)

    def start(self) -> None:
        """Start something that reads what is there, and does not end."""
        self.begin(("other",))
        self.model.running.append(self.now_ms)

    def end(self) -> None:
        with self.store.transaction() as tx:
            tx.fence_attempts(now_ms=self.now_ms)
        self.model.running.clear()

    def mirror(self) -> None:
        seq = self.store.journal_seq()
        with self.store.transaction() as tx:
            tx._connection.execute(
                "INSERT INTO mirror (dataset, seq, at_ms) SELECT id, ?, 1 FROM dataset WHERE name = 'd' "
                "ON CONFLICT (dataset) DO UPDATE SET seq = excluded.seq",
                (seq,),
            )
            known = tx._connection.execute("SELECT count(*) FROM mirror").fetchone()[0]
        self.model.mirror = seq if known else None

    def vacuum(self, keep_ms: int, versions: int) -> None:
        """Vacuum, and compare with the model."""
        keep = Keep(self.now_ms - keep_ms, versions)
        stay = self.model.needed(keep)
        gone: set[int] = set()
        for ids in ((0, 2**62), None):
            with self.store.transaction() as tx:
                gone |= {one.version for one in tx.doom(keep, ids, author="ada", reason="r", now_ms=self.now_ms)}
        alive = set(self.model.versions) - self.model.removed
        assert alive - gone == stay
        paths = set(self.store.doomed())
        assert paths == {self.model.versions[n].path for n in gone}
        assert not paths & {self.model.versions[n].path for n in stay}
        with self.store.transaction() as tx:
            tx.forget_doomed(paths)
        self.model.removed |= gone


steps = st.one_of(
    st.tuples(st.just("build"), st.sampled_from(KEYS)),
    st.tuples(st.just("pack")),
    st.tuples(st.just("start")),
    st.tuples(st.just("end")),
    st.tuples(st.just("mirror")),
    st.tuples(st.just("pass"), st.integers(1, 30)),
    st.tuples(st.just("vacuum"), st.integers(0, 40), st.integers(0, 3)),
)


@pytest.mark.slow
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(steps, min_size=5, max_size=40), st.integers(0, 40), st.integers(0, 3))
def test_vacuum_removes_what_nobody_needs_and_nothing_else(
    played: list[tuple[object, ...]], keep_ms: int, versions: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = open_store(Path(folder) / "state.db", data_root=Path(folder) / "data", create=True)
        play = Play(store)
        for step in [*played, ("vacuum", keep_ms, versions)]:
            match step:
                case ("pass", int(ms)):
                    play.now_ms += ms
                case ("build", str(key)):
                    play.build(key)
                case ("vacuum", int(ms), int(count)):
                    play.vacuum(ms, count)
                case (str(name),):
                    getattr(play, name)()
        assert store.check() == [] or play.model.running
        store.close()
