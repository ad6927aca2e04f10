"""Gates after a rollback: what readers see again is looked at, and what does not hold is said and journaled."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from headgate.drivers.clock import now_ms
from headgate.model.gate import Moves, RowCount, inputs_of
from headgate.project.context import Context
from headgate.tables.layout import resolve
from headgate.worker.failures import AttemptError, text_of
from headgate.worker.inputs import InputFiles
from headgate.worker.messages import FilePin

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from headgate.model.dataset import Dataset
    from headgate.model.gate import Gate
    from headgate.model.grid import Grid
    from headgate.model.rollback import Move
    from headgate.model.run import Run
    from headgate.model.version import Version
    from headgate.planning.snapshot import Snapshot
    from headgate.project.load import Project
    from headgate.store.store import Store

KIND = "rollback.gates"
_JOURNALED = 20


@dataclass(frozen=True, slots=True)
class GateWarning:
    """A gate that does not hold for a version that a rollback made visible again."""

    dataset: str
    key: str
    version: int
    gate: str
    text: str


@dataclass(frozen=True, slots=True)
class LookedAgain:
    """What gates say of what a rollback made visible again.

    Args:
        warnings: What does not hold.
        not_asked: Gates that were not asked everywhere, since what they compare with is not known any more: the
            version before, neighbours, sources, files that are gone.
    """

    warnings: tuple[GateWarning, ...]
    not_asked: tuple[str, ...]


def look_again(project: Project, store: Store, snapshot: Snapshot, run: Run, moves: Sequence[Move]) -> LookedAgain:
    """Evaluate the gates of what a rollback made visible, with the inputs that it was made from; journal the result."""
    looked = 0
    found: list[GateWarning] = []
    not_asked: dict[str, None] = {}
    for move in moves:
        dataset = project.datasets.get(move.dataset)
        version = store.version(move.after) if dataset is not None and dataset.gates and move.after else None
        if dataset is not None and version is not None and version.schema is not None:
            looked += 1
            inputs = _inputs(project, store, snapshot, dataset, move)
            gates = tuple(gate for gate in dataset.gates if _can_be_asked(gate, dataset, inputs))
            not_asked |= {f"{dataset.name}: {gate.name}": None for gate in dataset.gates if gate not in gates}
            found += _warnings(project, snapshot.grids[dataset.name], dataset, version, gates=gates, inputs=inputs)
    if looked:
        body: dict[str, object] = {
            "looked": looked,
            "failed": len(found),
            "first": [f"{one.dataset}/{one.key} {one.gate}: {one.text}" for one in found[:_JOURNALED]],
            "not_asked": list(not_asked),
        }
        with store.transaction() as tx:
            tx.journal(KIND, author=run.author, run=run.id, reason=run.reason, body=body, now_ms=now_ms())
    return LookedAgain(tuple(found), tuple(not_asked))


def _can_be_asked(gate: Gate, dataset: Dataset, inputs: Mapping[str, InputFiles]) -> bool:
    if isinstance(gate, Moves) or (isinstance(gate, RowCount) and gate.within is not None):
        return False
    return all(name in inputs for name in inputs_of(gate, tuple(dataset.inputs)))


def _inputs(project: Project, store: Store, snapshot: Snapshot, dataset: Dataset, move: Move) -> dict[str, InputFiles]:
    """Return what a version was made from by parameter, where gates look into it and all of it is still there."""
    wanted = {name for gate in dataset.gates for name in inputs_of(gate, tuple(dataset.inputs))}
    index = snapshot.grids[dataset.name].find(move.key)
    if not wanted or index is None or move.after_checkpoint is None:
        return {}
    pinned = {(one.dataset, one.key): one for one in store.lineage(move.after_checkpoint)}
    found = {}
    for parameter in wanted:
        entry = dataset.inputs[parameter]
        if entry.dataset in project.datasets:
            grid = snapshot.grids[entry.dataset]
            reads = snapshot.reads(dataset.name, entry, np.array([index], dtype=np.int64)).of(0)
            read = [pinned[place] for one in reads if (place := (entry.dataset, grid.key(one))) in pinned]
            files = tuple(pin for version in read for pin in _pins(project, version))
            if files and all(Path(file.path).exists() for file in files):
                keys = tuple(version.key for version in read)
                found[parameter] = InputFiles(entry.dataset, keys, "parquet", files, immutable=True)
    return found


def _pins(project: Project, version: Version) -> Iterator[FilePin]:
    for file in version.files:
        path = str(resolve(project.paths.data, file.path))
        yield FilePin(path, file.bytes, file.hash, version.key, file.row_group)


def _warnings(
    project: Project,
    grid: Grid,
    dataset: Dataset,
    version: Version,
    *,
    gates: Sequence[Gate],
    inputs: Mapping[str, InputFiles],
) -> Iterator[GateWarning]:
    # Only here: it brings the frame libraries with it.
    from headgate.worker.gates.evaluate import evaluate
    from headgate.worker.gates.examined import Examined

    index = grid.find(version.key)
    zone = grid.axis.zone if grid.axis else "UTC"
    window = None if index is None else grid.window(index)
    context = Context(dataset.name, version.key, window, parameters=project.config.parameters, zone=zone)
    rows = InputFiles(dataset.name, (version.key,), "parquet", tuple(_pins(project, version)), immutable=True)
    examined = Examined(rows, version.rows, version.schema or (), context, inputs=inputs)
    try:
        results = evaluate(gates, examined)
    except AttemptError as error:
        yield GateWarning(dataset.name, version.key, version.id, "files", text_of(error))
        return
    for result in results:
        if not result.passed:
            yield GateWarning(dataset.name, version.key, version.id, result.gate, result.text)
