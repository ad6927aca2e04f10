"""From the scheduler's wish to start a task to the order that a worker gets: inputs pinned, place to stage named."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from headgate.errors import InternalError
from headgate.model.run import Attempt, AttemptState
from headgate.model.version import Pin
from headgate.planning.digest import pinned_digest, window_seed
from headgate.project.landing import absolute
from headgate.tables import layout
from headgate.worker.messages import FilePin, InputPin, Order

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from headgate.core.effects import StartAttempt
    from headgate.model.dataset import Dataset, Input
    from headgate.model.mapping import Lists, Spans
    from headgate.model.plan import Plan
    from headgate.model.run import Run
    from headgate.model.version import Version
    from headgate.planning.snapshot import Snapshot
    from headgate.project.load import Project
    from headgate.store.store import Transaction


Read = tuple[str, "Input", list[str]]
"""A parameter, what it reads, and the keys that one task reads through it."""


@dataclass(frozen=True, slots=True)
class InFlight:
    """An attempt that was ordered and has not come back."""

    start: StartAttempt
    attempt: Attempt
    dataset: Dataset
    inputs: tuple[int, ...]
    inputs_digest: int


class Dispatcher:
    """Makes attempts and orders for the tasks of one run.

    What each task reads is worked out once for the whole run, so that starting one costs look-ups only.

    Args:
        project: The user's project.
        snapshot: Definitions and heads when the run was submitted or resumed; while this coordinator lives
            only its runs move heads.
        plan: The plan of the run.
        run: The run.
        tried: Attempts that earlier sessions of the run made, for each dataset and key.
        published: Heads that runs have moved since the snapshot, by dataset and key; grows while they run.
    """

    def __init__(
        self,
        project: Project,
        snapshot: Snapshot,
        plan: Plan,
        run: Run,
        *,
        tried: Mapping[tuple[str, str], int],
        published: Mapping[tuple[str, str], int],
    ) -> None:
        self._project = project
        self._snapshot = snapshot
        self._plan = plan
        self._run = run
        self._tried = tried
        self._published = published
        self._data_root = f"{project.paths.data}/"
        self._reads: list[list[tuple[str, Input, Spans | Lists]]] = [
            [
                (parameter, entry, snapshot.reads(part.name, entry, part.indices))
                for parameter, entry in project.datasets[part.name].inputs.items()
            ]
            for part in plan.datasets
        ]

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
        reads = [self._read_by(start) for start in starts]
        versions = _pin(tx, reads)
        return [
            self._one(start, first_id + n, now_ms, read, versions)
            for n, (start, read) in enumerate(zip(starts, reads, strict=True))
        ]

    def _read_by(self, start: StartAttempt) -> list[Read]:
        """Return each input of a task with the keys that it reads."""
        found: list[Read] = []
        for parameter, entry, reads in self._reads[start.stage]:
            grid, absent = self._snapshot.grids[entry.dataset], self._snapshot.heads[entry.dataset].absent
            # What is absent has been accepted as missing, or the task would be blocked.
            found.append((parameter, entry, [grid.key(at) for at in reads.of(start.position) if at not in absent]))
        return found

    def _one(
        self,
        start: StartAttempt,
        attempt_id: int,
        now_ms: int,
        reads: list[Read],
        versions: dict[tuple[str, str], Version],
    ) -> tuple[InFlight, Order]:
        part = self._plan.datasets[start.stage]
        dataset = self._project.datasets[part.name]
        grid = self._snapshot.grids[part.name]
        index = int(part.indices[start.position])
        key = grid.key(index)
        inputs: list[InputPin] = []
        pinned: list[int] = []
        digest = window_seed(dataset.partitioning)
        for parameter, entry, keys in reads:
            pins = [
                Pin(entry.dataset, upstream_key, version.id, version.files)
                for upstream_key in keys
                if (version := versions.get((entry.dataset, upstream_key))) is not None
            ]
            if len(pins) < len(keys) and not entry.allow_missing:
                raise InternalError(f"{part.name}/{key} was started before all of {entry.dataset} had a version")
            ids = [pin.version for pin in pins]
            pinned += ids
            digest += pinned_digest(self._snapshot.seed(parameter, entry), ids)
            inputs.append(self._input(parameter, entry.dataset, pins))
        run = self._run
        path = layout.stage_path(part.name, run.id, key, attempt_id)
        tried = self._tried.get((part.name, key), 0) + start.number
        expects = self._published.get((part.name, key)) or int(self._snapshot.heads[part.name].version[index]) or None
        attempt = Attempt(attempt_id, run.id, part.name, key, tried, AttemptState.RUNNING, path, expects, now_ms)
        order = Order(
            attempt=attempt_id,
            entry=dataset.entry,
            dataset=part.name,
            key=key,
            window=grid.window(index),
            number=tried,
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
        )
        return InFlight(start, attempt, dataset, tuple(pinned), digest & (2**64 - 1)), order

    def _input(self, parameter: str, name: str, pins: list[Pin]) -> InputPin:
        source = self._project.sources.get(name)
        files = [
            FilePin(
                absolute(self._project.root, file.path) if source else self._data_root + file.path,
                file.bytes,
                file.hash,
                pin.key,
            )
            for pin in pins
            for file in pin.files
        ]
        encoding = source.format if source else "parquet"
        return InputPin(parameter, name, str(encoding), [pin.key for pin in pins], files, source is None)


def _pin(tx: Transaction, reads: Sequence[list[Read]]) -> dict[tuple[str, str], Version]:
    """Return the present versions of everything that is read, in one question for each dataset."""
    wanted: dict[str, dict[str, None]] = {}
    for read in reads:
        for _, entry, keys in read:
            wanted.setdefault(entry.dataset, {}).update(dict.fromkeys(keys))
    return {
        (dataset, key): version
        for dataset, keys in wanted.items()
        for key, version in zip(keys, tx.heads(dataset, list(keys)), strict=True)
        if version is not None
    }
