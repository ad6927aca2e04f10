"""Drills: in a scratch copy, wrong data is published, noticed, and taken back, as one day it will have to be."""

from __future__ import annotations

import hashlib
import os
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from headgate.drivers.clock import now_ms
from headgate.drivers.drill_run import DrillRun
from headgate.drivers.drill_sample import nothing_to_rehearse_on, take_sample
from headgate.drivers.rollback import aim_at_run, check_decided, resolve, roll_back
from headgate.drivers.scratch import copy_files, scratch_copy
from headgate.drivers.takeover import take_over
from headgate.errors import ConflictError, UnavailableError
from headgate.model.rollback import OnMovedOn
from headgate.planning.snapshot import Heads, Snapshot
from headgate.tables import layout

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from headgate.drivers.drill_run import Spoiled
    from headgate.drivers.drill_sample import Sample
    from headgate.drivers.scratch import Scratch
    from headgate.model.run import Run
    from headgate.model.version import Version
    from headgate.project.load import Project
    from headgate.store.store import Store

KIND = "drill"
"""Of the entries of the journal."""
_JOURNALED = 20


class Eyes(NamedTuple):
    """By what wrong data is noticed, beside gates.

    Args:
        differing: Returns dataset and key of the partitions that are not what they were before a run.
        examined: Yields versions with what is wrong with their files in a data folder, as sentences.
    """

    differing: Callable[[Store, Path, Run], set[tuple[str, str]]]
    examined: Callable[[Path, Sequence[Version]], Iterable[tuple[Version, list[str]]]]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is rehearsed.

    Args:
        datasets: Names; the newest ones, if there are none.
        partitions: How many partitions at most, of all datasets.
        keep: Whether the copy stays.
        author: Who rehearses.
        reason: Why.
    """

    datasets: tuple[str, ...]
    partitions: int
    keep: bool
    author: str
    reason: str


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a drill: what was done, how long it took, and what came of it."""

    name: str
    ms: float
    found: str


@dataclass(frozen=True, slots=True)
class Missed:
    """A spoiled partition that no gate of its dataset noticed."""

    dataset: str
    key: str
    how: str


@dataclass(slots=True)
class Drill:
    """What came of a drill.

    Args:
        steps: What was done.
        datasets: What it was rehearsed on.
        chosen: How many partitions were spoiled.
        derived: How many that were made from these were spoiled with them.
        gated: How many of those chosen have gates.
        by_gates: How many of those gates noticed.
        by_diff: How many of all these the comparison with what was before noticed.
        to_safety_ms: From the first spoiled version to the proof that everything is as before; None if there was none.
        missed: What gates did not notice.
        skipped: What was not rehearsed on, as sentences.
        problems: What did not hold, as sentences.
        folder: Where the copy is, if it stays.
        not_journaled: Why nothing stands in the journal; empty if it does.
    """

    steps: list[Step] = field(default_factory=list)
    datasets: tuple[str, ...] = ()
    chosen: int = 0
    derived: int = 0
    gated: int = 0
    by_gates: int = 0
    by_diff: int = 0
    to_safety_ms: float | None = None
    missed: list[Missed] = field(default_factory=list)
    skipped: tuple[str, ...] = ()
    problems: list[str] = field(default_factory=list)
    folder: str | None = None
    not_journaled: str = ""

    @property
    def ok(self) -> bool:
        """Return whether everything held."""
        return not self.problems


def drill(project: Project, store: Store, wanted: Wanted, eyes: Eyes, told: Callable[[Step], None]) -> Drill:
    """Rehearse a rollback on a copy, and journal how it went.

    Args:
        project: The user's project, of which nothing is changed.
        store: Its state store, which gets one entry in its journal.
        wanted: What is rehearsed.
        eyes: By what wrong data is noticed.
        told: Is told each step when it is done.

    Raises:
        UsageError: Nothing is published that could be rehearsed on.
        UnavailableError: There is no room for the copy, or something cannot be read.
    """
    if not store.datasets():
        raise nothing_to_rehearse_on()
    result = Drill()
    began_s = time.perf_counter()
    with scratch_copy(project, keep=wanted.keep) as scratch:
        result.folder = str(scratch.folder) if wanted.keep else None
        rehearsal = _Rehearsal(scratch, wanted, eyes, result, told)
        try:
            with scratch.store.lead("drill"):
                rehearsal.go_through(began_s)
        except ConflictError as error:
            # Nobody else is there: what refuses to be published or taken back would refuse in earnest, too.
            result.problems.append(error.message)
    _journal(store, wanted, result)
    return result


class _Rehearsal:
    """A drill under way. Pre: the caller leads in the copy."""

    def __init__(
        self, scratch: Scratch, wanted: Wanted, eyes: Eyes, result: Drill, told: Callable[[Step], None]
    ) -> None:
        self._scratch = scratch
        self._store = scratch.store
        self._wanted = wanted
        self._eyes = eyes
        self._result = result
        self._told = told

    @contextmanager
    def _step(self, name: str, began_s: float | None = None) -> Iterator[list[str]]:
        """Time a step; what came of it goes into the list."""
        found: list[str] = []
        began_s = time.perf_counter() if began_s is None else began_s
        yield found
        step = Step(name, round((time.perf_counter() - began_s) * 1000, 1), ", ".join(found))
        self._result.steps.append(step)
        self._told(step)

    def go_through(self, began_s: float) -> None:
        """Do everything, step by step."""
        snapshot = _snapshot(self._scratch.project)
        sample = self._copy(snapshot, began_s)
        heads = self._look(sample)
        if not heads:
            return
        before, holds = _state(self._store), self._store.holds()
        spoiling_s = time.perf_counter()
        bad, spoiled = self._spoil(snapshot, sample, heads)
        self._notice(bad, spoiled)
        rollback, held = self._take_back(bad[0], spoiled)
        self._compare(heads, before)
        self._result.to_safety_ms = round((time.perf_counter() - spoiling_s) * 1000, 1)
        with self._step("resolve") as found:
            _, released = resolve(self._store, rollback.id, author=self._wanted.author, reason=self._wanted.reason)
            found.append(f"partitions: {released:,}")
            if released != held or self._store.holds() != holds:
                self._result.problems.append(f"{released} of {held} held partitions were released")

    def _copy(self, snapshot: Snapshot, began_s: float) -> Sample:
        """Choose partitions and copy their files."""
        wanted, result = self._wanted, self._result
        with self._step("copy", began_s) as found:
            take_over(self._store, self._scratch.data, now_ms(), author=wanted.author, reason="a drill copied it")
            sample = take_sample(self._store, snapshot, wanted.datasets, wanted.partitions)
            files, size = copy_files(self._scratch, sample.versions)
            found += [f"the state; partitions: {len(sample.versions):,}", f"files: {files:,}, of {size:,} bytes"]
        result.skipped = sample.skipped
        result.datasets = tuple(dict.fromkeys(version.dataset for version in sample.chosen))
        return sample

    def _look(self, sample: Sample) -> dict[tuple[str, str], Version]:
        """Look at how things are without any drill; return the heads that are sound."""
        problems = self._result.problems
        with self._step("look") as found:
            wrong = [f"the state store is not sound, without any drill: {what}" for what in self._store.check()]
            sound = {}
            # Where they are, not in the copy: it is these that readers have.
            for version, differences in self._eyes.examined(self._scratch.original, sample.versions):
                if not differences:
                    sound[version.dataset, version.key] = version
                for what in differences:
                    wrong.append(
                        f"{version.dataset}/{version.key} (version {version.id}) is broken, without any drill: {what}"
                    )
            problems += wrong
            found.append(f"intact: {len(sound):,} of {len(sample.versions):,}")
        return sound

    def _spoil(
        self, snapshot: Snapshot, sample: Sample, heads: dict[tuple[str, str], Version]
    ) -> tuple[list[Run], list[Spoiled]]:
        """Publish spoiled versions, and versions made from them."""
        result, reason = self._result, self._wanted.reason
        run = DrillRun(self._scratch, snapshot, author=self._wanted.author, reason=reason)

        def sound(versions: Sequence[Version]) -> list[Version]:
            return [version for version in versions if (version.dataset, version.key) in heads]

        with self._step("publish") as found:
            # If all that was chosen is broken, what was made from it is still there to rehearse on.
            chosen, derived = sound(sample.chosen), sound(sample.derived)
            first, spoiled = run.publish(chosen or derived)
            runs, result.chosen = [first], len(spoiled)
            found.append(f"partitions: {len(spoiled):,}")
        if chosen and derived:
            with self._step("build on") as found:
                second, made = run.publish(derived, made_from=[one.version for one in spoiled])
                runs.append(second)
                spoiled = spoiled + made
                result.derived = len(made)
                found.append(f"made from these: {len(made):,}")
        return runs, spoiled

    def _notice(self, runs: Sequence[Run], spoiled: Sequence[Spoiled]) -> None:
        """Count what gates and the comparison have noticed; cut a file off, and look for it."""
        result, data = self._result, self._scratch.data
        with self._step("gates") as found:
            gated = [one for one in spoiled if one.has_gates]
            result.missed = [Missed(one.dataset, one.key, one.how.value) for one in gated if not one.gates]
            result.gated, result.by_gates = len(gated), len(gated) - len(result.missed)
            found.append(f"noticed {result.by_gates:,} of {len(gated):,}")
            if without := result.chosen - len(gated):
                found.append(f"without gates: {without:,}")
        with self._step("diff") as found:
            differing = {place for run in runs for place in self._eyes.differing(self._store, data, run)}
            unseen = [one for one in spoiled if (one.dataset, one.key) not in differing]
            result.by_diff = len(spoiled) - len(unseen)
            found.append(f"noticed {result.by_diff:,} of {len(spoiled):,}")
            for one in unseen:
                result.problems.append(f"diff did not notice {one.dataset}/{one.key}: {one.how.value}")
        with self._step("verify") as found:
            cut = spoiled[0]
            _cut_off(layout.resolve(data, cut.path))
            now = [version for version in map(self._store.version, (one.version for one in spoiled)) if version]
            broken = {version.id for version, wrong in self._eyes.examined(data, now) if wrong}
            found.append(f"noticed {int(cut.version in broken)} of 1, cut off")
            if broken != {cut.version}:
                result.problems.append(f"verify finds {len(broken)} versions broken, where one file was cut off")

    def _take_back(self, bad: Run, spoiled: Sequence[Spoiled]) -> tuple[Run, int]:
        """Roll back, with what was made from it; return the rollback and how many partitions it holds."""
        with self._step("rollback") as found:
            aim = aim_at_run(self._store, bad.id, downstream=True, moved_on=OnMovedOn.REFUSE)
            shown = self._store.take_back(aim)
            check_decided(shown, aim, decided=True)
            rollback, held = roll_back(self._store, aim, shown, author=self._wanted.author, reason=self._wanted.reason)
            derived = sum(move.is_derived for move in shown.moves)
            found.append(f"heads: {len(shown.moves):,}, of these made from bad ones: {derived:,}")
            if len(shown.moves) != len(spoiled):
                self._result.problems.append(f"{len(shown.moves)} heads moved back, {len(spoiled)} were spoiled")
        return rollback, held

    def _compare(self, heads: dict[tuple[str, str], Version], before: dict[str, str]) -> None:
        """Prove that everything is as it was: heads, checkpoints and bytes."""
        problems = self._result.problems
        with self._step("prove") as found:
            after = _state(self._store)
            for name in sorted(before.keys() | after.keys()):
                if before.get(name) != after.get(name):
                    problems.append(f"after the rollback the heads of {name} are not those of before")
            again = [version for name, keys in _by_dataset(heads).items() for version in self._store.heads(name, keys)]
            for version in again:
                if heads[version.dataset, version.key] != version:
                    problems.append(f"after the rollback {version.dataset}/{version.key} shows another version")
            for version, wrong in self._eyes.examined(self._scratch.data, again):
                problems += [f"after the rollback {version.dataset}/{version.key}: {what}" for what in wrong]
            wrong = self._store.check()
            problems += [f"after the rollback the state store is not sound: {what}" for what in wrong]
            found.append(f"compared byte by byte: {len(again):,} of {len(heads):,}")


def _by_dataset(places: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for dataset, key in places:
        found.setdefault(dataset, []).append(key)
    return found


def _snapshot(project: Project) -> Snapshot:
    """Return definitions and grids; without heads, as a drill knows what it takes, and without a look at sources."""
    at_ms = now_ms()
    declared = project.datasets | project.sources
    grids = {name: one.partitioning.grid(at_ms) for name, one in declared.items()}
    heads = {name: Heads.empty(grid.size) for name, grid in grids.items()}
    return Snapshot(project.datasets, project.sources, grids, heads, at_ms)


def _state(store: Store) -> dict[str, str]:
    """Return for each dataset a hash of its heads: keys, versions and checkpoints."""
    found = {}
    for name in store.datasets():
        some = list(store.head_columns(name))
        keys = np.concatenate([one.keys for one in some])
        order = np.argsort(keys, kind="stable")
        digest = hashlib.sha256(b"\0".join(keys[order].tolist()))
        digest.update(np.concatenate([one.version for one in some])[order].tobytes())
        digest.update(np.concatenate([one.attempt for one in some])[order].tobytes())
        found[name] = digest.hexdigest()
    return found


def _cut_off(path: Path) -> None:
    """Truncate a file of the copy; never through a link."""
    descriptor = os.open(path, os.O_WRONLY | os.O_NOFOLLOW)
    try:
        os.ftruncate(descriptor, os.fstat(descriptor).st_size // 2)
    finally:
        os.close(descriptor)


def _journal(store: Store, wanted: Wanted, result: Drill) -> None:
    """Record in the project's own journal how it went; where that cannot be written, say so."""
    body: dict[str, object] = {
        "ok": result.ok,
        "partitions": result.chosen + result.derived,
        "by_gates": result.by_gates,
        "gated": result.gated,
        "by_diff": result.by_diff,
        "problems": len(result.problems),
        "datasets": list(result.datasets),
        "first": result.problems[:_JOURNALED],
    }
    if result.to_safety_ms is not None:
        body["to_safety_ms"] = round(result.to_safety_ms)
    try:
        with store.transaction() as tx:
            tx.journal(KIND, author=wanted.author, run="", reason=wanted.reason, body=body, now_ms=now_ms())
    except UnavailableError as error:
        result.not_journaled = error.message
