"""Packs small files of cold, closed partitions into large ones: other files, the same content.

A compaction is a run of its own and needs the lead, since it numbers attempts. Each pack is written, read back, and
published in one transaction, for all of its partitions or for none; killed anywhere, readers see the small files or
the pack, and what is left over is collected by whoever leads next. The small files stay until vacuum removes them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from typing import TYPE_CHECKING

import numpy as np

from headgate.crashpoints import crash_point
from headgate.drivers.clock import now_ms
from headgate.drivers.packs import PackPlan, plan_packs
from headgate.drivers.submission import new_run_id
from headgate.drivers.takeover import take_over
from headgate.errors import ConflictError, UsageError
from headgate.model.plan import Plan, PlannedDataset, Request
from headgate.model.policy import MAINTENANCE
from headgate.model.reason import Why
from headgate.model.run import Attempt, AttemptState, Run, RunKind, RunState
from headgate.model.version import File
from headgate.model.window import ceiling_at
from headgate.planning.codec import plan_hash, plan_to_json
from headgate.store.records import Candidate, Published
from headgate.tables import layout
from headgate.tables.opened import Piece
from headgate.tables.verify import verify_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from headgate.drivers.packs import Wanted
    from headgate.project.load import Project
    from headgate.store.store import Store
    from headgate.store.transaction import Transaction
    from headgate.tables.packing import Group, PackedFile

_EDGES_AHEAD = 1000


@dataclass(frozen=True, slots=True)
class Compacted:
    """What a compaction did.

    Args:
        run: Its id; empty if there was nothing to pack.
        packs: Packs that were published.
        partitions: Partitions in them.
        files: Files that they had before.
        bytes_before: The size of these.
        bytes_after: The size of the packs.
        problems: What was left as it was because something is wrong with it, as sentences.
        closed_until_ms: When it may go on, if its time window closed before it was done; None if it is done.
    """

    run: str
    packs: int
    partitions: int
    files: int
    bytes_before: int
    bytes_after: int
    problems: tuple[str, ...]
    closed_until_ms: int | None


def closed_until(project: Project, at_ms: int) -> int | None:
    """Return until when the time windows of class maintenance keep compactions from running; None if they do not.

    Raises:
        UsageError: The class has a ceiling of 0, so that it may never run.
    """
    maintenance = project.policies.service_class(MAINTENANCE.name)
    if maintenance.ceiling == 0 or maintenance.slots == 0:
        raise UsageError(
            "compactions are of class maintenance, which may never run: its ceiling is 0",
            hint="Give [classes.maintenance] a ceiling above 0; windows may still close it for a time.",
        )
    ceiling, until_ms = ceiling_at(maintenance.windows, at_ms)
    for _ in range(_EDGES_AHEAD):
        if ceiling > 0 or until_ms is None:
            return None
        opens_ms = until_ms
        ceiling, until_ms = ceiling_at(maintenance.windows, opens_ms)
        if ceiling > 0:
            return opens_ms
    return until_ms


def compact(
    project: Project,
    store: Store,
    names: Sequence[str],
    wanted: Wanted,
    *,
    author: str,
    reason: str,
    told: Callable[[int, int], None],
) -> Compacted:
    """Pack what there is to pack.

    Args:
        project: The user's project.
        store: Its state store.
        names: The datasets.
        wanted: What to pack.
        author: Who wants it.
        reason: Why.
        told: Is told how many packs of how many are done.

    Raises:
        ConflictError: A coordinator is alive, or compactions may not run now.
        UnavailableError: The file system refused; packs that were published by then stay.
    """
    until_ms = closed_until(project, now_ms())
    if until_ms is not None:
        raise ConflictError(
            "the time windows of class maintenance are closed now",
            hint=f"They open at {datetime.fromtimestamp(until_ms / 1000, UTC):%Y-%m-%d %H:%M} UTC.",
        )
    with store.lead("compact"):
        take_over(store, project.paths.data, now_ms(), author=author)
        packs = plan_packs(project, store, names, wanted, now_ms())
        if not packs:
            return Compacted("", 0, 0, 0, 0, 0, (), None)
        run = _run(project, packs, author=author, reason=reason)
        with store.transaction() as tx:
            tx.add_run(run)
        return _Compaction(project, store, run).do(packs, told)


def _run(project: Project, packs: Sequence[PackPlan], *, author: str, reason: str) -> Run:
    at_ms = now_ms()
    parts = []
    for name in dict.fromkeys(pack.dataset for pack in packs):
        dataset = project.datasets[name]
        grid = dataset.partitioning.grid(at_ms)
        keys = [version.key for pack in packs if pack.dataset == name for version in pack.versions]
        indices = np.array(sorted(grid.index(key, name) for key in keys), dtype=np.int64)
        why = np.full(len(indices), Why.FORCED, dtype=np.uint8)
        spec = dataset.partitioning.spec
        parts.append(PlannedDataset(name, spec, dataset.code, indices, why, np.zeros(len(indices), dtype=bool)))
    request = Request(tuple(part.name for part in parts), kind=RunKind.COMPACTION)
    text = plan_to_json(Plan(request, tuple(parts), (), sum(len(part.indices) for part in parts), at_ms))
    return Run(
        new_run_id(at_ms),
        RunKind.COMPACTION,
        RunState.RUNNING,
        reason,
        author,
        text,
        plan_hash(text),
        at_ms,
        None,
        MAINTENANCE.name,
    )


class _Compaction:
    """A compaction under way. Pre: the caller leads.

    Args:
        project: The user's project.
        store: Its state store.
        run: Its run, recorded.
    """

    def __init__(self, project: Project, store: Store, run: Run) -> None:
        self._project = project
        self._store = store
        self._run = run
        self._data_root = project.paths.data
        self._problems: list[str] = []

    def do(self, packs: Sequence[PackPlan], told: Callable[[int, int], None]) -> Compacted:
        """Write and publish packs, one after another."""
        done: list[tuple[PackPlan, int]] = []
        until_ms: int | None = None
        try:
            for number, planned in enumerate(packs):
                told(number, len(packs))
                until_ms = closed_until(self._project, now_ms())
                if until_ms is not None:
                    break
                pack = self._sound(planned)
                if pack.versions:
                    size = self._pack(pack)
                    done += [(pack, size)] if size else []
        except BaseException:
            self._end(RunState.FAILED)
            raise
        self._end(RunState.FAILED if self._problems else RunState.SUCCEEDED)
        return Compacted(
            run=self._run.id,
            packs=len(done),
            partitions=sum(len(pack.versions) for pack, _ in done),
            files=sum(pack.files for pack, _ in done),
            bytes_before=sum(pack.bytes for pack, _ in done),
            bytes_after=sum(size for _, size in done),
            problems=tuple(self._problems),
            closed_until_ms=until_ms,
        )

    def _end(self, state: RunState) -> None:
        reason = self._problems[0] if self._problems else self._run.reason
        with self._store.transaction() as tx:
            tx.set_run_state(self._run.id, state, author=self._run.author, reason=reason, now_ms=now_ms())

    def _sound(self, pack: PackPlan) -> PackPlan:
        """Return a pack without the versions that have rotted, which are told."""
        sound = []
        for version in pack.versions:
            wrong = [what for file in version.files for what in verify_bytes(self._path(file.path), file)]
            self._problems += [f"{pack.dataset}/{version.key}: {what}" for what in wrong]
            if not wrong:
                sound.append(version)
        return PackPlan(pack.dataset, tuple(sound))

    def _path(self, relative: str) -> Path:
        return layout.resolve(self._data_root, relative)

    def _pack(self, pack: PackPlan) -> int:
        """Write and publish one pack; return its size, 0 if it was not published."""
        from headgate.tables.packing import write_pack

        attempts = self._begin(pack)
        path = attempts[0].path
        layout.make_directories(self._data_root, [path])
        try:
            pieces = [[Piece(str(self._path(file.path))) for file in version.files] for version in pack.versions]
            packed = write_pack(self._path(path), pieces)
            layout.fsync_directories([self._path(path).parent])
            crash_point("compact.after_audit")
            wrong = self._differences(pack, packed.groups)
            if not wrong:
                self._publish(pack, attempts, packed)
                crash_point("compact.after_publish")
                return packed.bytes
        except _Refused as refused:
            wrong = [str(refused)]
        except BaseException:
            self._give_back(attempts)
            raise
        self._problems += wrong
        self._give_back(attempts)
        return 0

    def _begin(self, pack: PackPlan) -> list[Attempt]:
        """Record the intents: one attempt for each partition, the first of which stages the pack."""
        first, at_ms, run = self._store.next_id(), now_ms(), self._run.id
        path = layout.stage_path(pack.dataset, run, pack.versions[0].key, first)
        attempts = [
            Attempt(number, run, pack.dataset, version.key, 1, AttemptState.RUNNING, path, version.identity, at_ms)
            for number, version, path in zip(count(first), pack.versions, _then_nothing(path))
        ]
        with self._store.transaction() as tx:
            tx.start_attempts(attempts)
        crash_point("compact.after_intents")
        return attempts

    def _differences(self, pack: PackPlan, groups: Sequence[Group]) -> list[str]:
        """Return in which partitions a pack does not hold what was published, as sentences."""
        return [
            f"{pack.dataset}/{version.key}: packed it would have {group.content}, published is {version.content}"
            for version, group in zip(pack.versions, groups, strict=True)
            if group.content != version.content
        ]

    def _publish(self, pack: PackPlan, attempts: Sequence[Attempt], packed: PackedFile) -> None:
        """Move the heads of all partitions of a pack to it, or of none.

        Raises:
            _Refused: Something has happened to one of them meanwhile.
        """
        with self._store.transaction() as tx:
            candidates = self._candidates(tx, pack, attempts, packed)
            verdicts = tx.publish(candidates, author=self._run.author, now_ms=now_ms())
            for candidate, verdict in zip(candidates, verdicts, strict=True):
                if verdict is not Published.NEW:
                    raise _Refused(f"{candidate.dataset}/{candidate.key} is not what it was: {verdict.value}")

    def _candidates(
        self, tx: Transaction, pack: PackPlan, attempts: Sequence[Attempt], packed: PackedFile
    ) -> list[Candidate]:
        made = tx.head_checkpoints(pack.dataset, [version.key for version in pack.versions])
        found = []
        for number, (version, attempt, group) in enumerate(zip(pack.versions, attempts, packed.groups, strict=True)):
            before = made.get(version.key)
            if before is None:
                raise _Refused(f"{pack.dataset}/{version.key} has no head any more")
            parameters = None if before.parameters is None else _canonical(before.parameters)
            found.append(
                Candidate(
                    attempt=attempt.id,
                    run=self._run.id,
                    dataset=pack.dataset,
                    key=version.key,
                    files=(File(attempts[0].path, group.rows, packed.bytes, packed.hash, number),),
                    rows=version.rows,
                    bytes=group.bytes,
                    content=version.content,
                    schema=version.schema,
                    code=before.code,
                    declared_version=before.declared_version,
                    inputs=tuple(sorted({*tx.pinned(before.attempt), version.id})),
                    inputs_digest=before.inputs_digest,
                    watermark_ms=before.watermark_ms,
                    offsets=before.offsets,
                    started_ms=attempt.started_ms,
                    renews=True,
                    origin=version.identity,
                    parameters=parameters,
                )
            )
        return found

    def _give_back(self, attempts: Sequence[Attempt]) -> None:
        """End attempts of which nothing came, and remove what they staged."""
        with self._store.transaction() as tx:
            tx.end_attempts([(one.id, AttemptState.RETURNED, None) for one in attempts], now_ms=now_ms())
        layout.collect(self._data_root, attempts[0].path)
        with self._store.transaction() as tx:
            tx.forget_paths([attempts[0].id])


class _Refused(Exception):
    """A pack cannot be published, because one of its partitions is not what it was."""


def _then_nothing(first: str) -> Iterator[str]:
    yield first
    while True:
        yield ""


def _canonical(parameters: dict[str, str | int | float | bool]) -> str:
    return json.dumps(parameters, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
