"""From the scheduler's wish to start a task to the order that a worker gets: inputs pinned, place to stage named."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from headgate.drivers.baseline import Asked, wants_of, with_baselines
from headgate.drivers.batches import going_on
from headgate.drivers.holding import without_held
from headgate.drivers.in_flight import InFlight
from headgate.model.run import Attempt, AttemptState
from headgate.planning.digest import pinned_digest, window_seed
from headgate.project.landing import absolute
from headgate.store.rollback import input_taken_back
from headgate.tables import layout
from headgate.worker.messages import FilePin, InputPin, Order

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from headgate.core.effects import StartAttempt
    from headgate.drivers.baseline import Wanted
    from headgate.model.dataset import Dataset, Input, Source
    from headgate.model.grid import Grid
    from headgate.model.mapping import Lists, Spans
    from headgate.model.plan import Plan
    from headgate.model.run import Failure, Run
    from headgate.model.version import Version
    from headgate.planning.snapshot import Snapshot
    from headgate.project.load import Project
    from headgate.store.transaction import Transaction


@dataclass(frozen=True, slots=True)
class _Read:
    """One input of a dataset, for all of its tasks.

    Args:
        parameter: What it fills.
        entry: What it reads.
        source: Where that comes from if it is a source.
        seed: Its part of the digest.
        grid: The partitions of what it reads.
        absent: Those of them whose files cannot be read.
        upstream: Those that each task reads.
    """

    parameter: str
    entry: Input
    source: Source | None
    seed: int
    grid: Grid
    absent: Collection[int]
    upstream: Spans | Lists


@dataclass(frozen=True, slots=True)
class _Stage:
    """One dataset of the plan.

    Args:
        dataset: The dataset.
        grid: Its partitions.
        indices: Those that are planned.
        heads: Their versions in the snapshot, for each partition of the grid.
        seed: What its windows add to the digest.
        reads: Its inputs.
        wanted: What its gates want to know; None for nothing.
    """

    dataset: Dataset
    grid: Grid
    indices: NDArray[np.int64]
    heads: NDArray[np.int64]
    seed: int
    reads: list[_Read]
    wanted: Wanted | None


class Dispatcher:
    """Makes attempts and orders for the tasks of one run.

    What each task reads is worked out once for the whole run, so that starting one costs look-ups only.

    Args:
        project: The user's project.
        snapshot: Definitions and heads when the run was submitted or resumed; heads have moved since.
        plan: The plan of the run.
        run: The run.
        tried: Attempts that earlier sessions of the run made, for each dataset and key.
        lifts_holds: Whether the run builds also what rollbacks hold.
    """

    def __init__(
        self,
        project: Project,
        snapshot: Snapshot,
        plan: Plan,
        run: Run,
        *,
        tried: Mapping[tuple[str, str], int],
        lifts_holds: bool,
    ) -> None:
        self._project = project
        self._run = run
        self._tried = tried
        self._lifts_holds = lifts_holds
        self._data_root = f"{project.paths.data}/"
        self._stages = [
            _stage(project.datasets[part.name], part.indices, snapshot, project.sources) for part in plan.datasets
        ]
        self._has_baselines = any(stage.wanted is not None for stage in self._stages)
        self._can_resume = any(stage.dataset.batches_ms is not None for stage in self._stages)

    def prepare(
        self,
        tx: Transaction,
        starts: Sequence[StartAttempt],
        *,
        first_id: int,
        now_ms: int,
    ) -> list[tuple[InFlight, Order]]:
        """Pin inputs and make the attempt and the order of each start, numbered from `first_id`.

        The caller records the attempts in the same transaction, before any order goes out.
        """
        keys = [self._keys_read_by(start) for start in starts]
        versions = self._pin(tx, starts, keys)
        prepared = [
            self._one(start, first_id + n, now_ms, mine, versions)
            for n, (start, mine) in enumerate(zip(starts, keys, strict=True))
        ]
        if not self._lifts_holds:
            prepared = without_held(tx, prepared)
        if self._has_baselines:
            asked = [self._asked(start) for start in starts]
            prepared = with_baselines(partial(self._present, tx), prepared, asked, self._data_root)
        return going_on(tx, prepared, self._project.paths.data) if self._can_resume else prepared

    def _asked(self, start: StartAttempt) -> Asked | None:
        stage = self._stages[start.stage]
        if stage.wanted is None:
            return None
        return Asked(stage.wanted, stage.grid, int(stage.indices[start.position]))

    def _keys_read_by(self, start: StartAttempt) -> list[list[str]]:
        """Return the keys that a task reads, for each of its inputs."""
        # What is absent has been accepted as missing, or the task would be blocked.
        return [
            [read.grid.key(at) for at in read.upstream.of(start.position) if at not in read.absent]
            for read in self._stages[start.stage].reads
        ]

    def _pin(
        self, tx: Transaction, starts: Sequence[StartAttempt], keys: Sequence[list[list[str]]]
    ) -> dict[str, dict[str, Version]]:
        """Return the present versions of everything that is read, in one question for each dataset."""
        wanted: dict[str, dict[str, None]] = {}
        for start, mine in zip(starts, keys, strict=True):
            for read, of_read in zip(self._stages[start.stage].reads, mine, strict=True):
                wanted.setdefault(read.entry.dataset, {}).update(dict.fromkeys(of_read))
        return {
            dataset: {
                key: version
                for key, version in zip(asked, self._present(tx, dataset, list(asked)), strict=True)
                if version is not None
            }
            for dataset, asked in wanted.items()
        }

    def _present(self, tx: Transaction, dataset: str, keys: list[str]) -> list[Version | None]:
        if self._run.publication.is_staged:
            return tx.staged_or_heads(self._run.id, dataset, keys)
        return tx.heads(dataset, keys)

    def _one(
        self,
        start: StartAttempt,
        attempt_id: int,
        now_ms: int,
        keys: list[list[str]],
        versions: Mapping[str, Mapping[str, Version]],
    ) -> tuple[InFlight, Order]:
        stage, run = self._stages[start.stage], self._run
        dataset = stage.dataset
        name, index = dataset.name, int(stage.indices[start.position])
        key = stage.grid.key(index)
        inputs: list[InputPin] = []
        pinned: list[int] = []
        digest = stage.seed
        refusal: Failure | None = None
        for read, wanted in zip(stage.reads, keys, strict=True):
            heads = versions[read.entry.dataset]
            pins = [heads[upstream_key] for upstream_key in wanted if upstream_key in heads]
            if len(pins) < len(wanted) and not read.entry.allow_missing:
                lost = next(upstream_key for upstream_key in wanted if upstream_key not in heads)
                refusal = input_taken_back(read.entry.dataset, lost)
            pinned += [version.id for version in pins]
            digest += pinned_digest(read.seed, [version.identity for version in pins])
            inputs.append(self._input(read, pins))
        path = layout.stage_path(name, run.id, key, attempt_id)
        number = self._tried.get((name, key), 0) + start.number
        attempt = Attempt(attempt_id, run.id, name, key, number, AttemptState.RUNNING, path, None, now_ms)
        order = Order(
            attempt=attempt_id,
            entry=dataset.entry,
            dataset=name,
            key=key,
            window=stage.grid.window(index),
            number=number,
            run=run.id,
            inputs=inputs,
            stage=self._data_root + path,
            parameters=self._project.config.parameters,
            is_async=dataset.is_async,
            timeout_ms=dataset.timeout_ms,
            code=dataset.code,
            declared_version=dataset.version,
            service_class=run.service_class,
            spread=start.spread,
            batches_ms=dataset.batches_ms,
            partition_column=dataset.partition_column or "",
            zone=stage.grid.axis.zone if stage.grid.axis else "UTC",
        )
        flight = InFlight(
            start,
            attempt,
            dataset,
            tuple(pinned),
            digest & (2**64 - 1),
            replaces=bool(stage.heads[index]),
            refusal=refusal,
        )
        return flight, order

    def _input(self, read: _Read, pins: Sequence[Version]) -> InputPin:
        source = read.source
        files = [
            FilePin(
                absolute(self._project.root, file.path) if source else self._data_root + file.path,
                file.bytes,
                file.hash,
                version.key,
                file.row_group,
            )
            for version in pins
            for file in version.files
        ]
        encoding = source.format if source else "parquet"
        keys = [version.key for version in pins]
        return InputPin(read.parameter, read.entry.dataset, str(encoding), keys, files, source is None)


def _stage(dataset: Dataset, indices: NDArray[np.int64], snapshot: Snapshot, sources: Mapping[str, Source]) -> _Stage:
    name = dataset.name
    reads = [
        _Read(
            parameter,
            entry,
            sources.get(entry.dataset),
            snapshot.seed(parameter, entry),
            snapshot.grids[entry.dataset],
            snapshot.heads[entry.dataset].absent,
            snapshot.reads(name, entry, indices),
        )
        for parameter, entry in dataset.inputs.items()
    ]
    seed = window_seed(dataset.partitioning)
    return _Stage(dataset, snapshot.grids[name], indices, snapshot.heads[name].version, seed, reads, wants_of(dataset))
