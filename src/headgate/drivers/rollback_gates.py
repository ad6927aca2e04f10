"""Gates after a rollback: what readers see again is looked at, and what does not hold is said and journaled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from headgate.drivers.clock import now_ms
from headgate.project.context import Context
from headgate.tables.layout import resolve
from headgate.worker.failures import AttemptError, text_of
from headgate.worker.inputs import InputFiles
from headgate.worker.messages import FilePin

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from headgate.model.dataset import Dataset
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


def look_again(
    project: Project, store: Store, snapshot: Snapshot, run: Run, moves: Sequence[Move]
) -> tuple[GateWarning, ...]:
    """Evaluate the gates of what a rollback made visible; return and journal what does not hold.

    Gates about what a version was made from, or about others beside it, are not asked again: they hold.
    """
    looked = 0
    found: list[GateWarning] = []
    for move in moves:
        dataset = project.datasets.get(move.dataset)
        version = store.version(move.after) if dataset is not None and dataset.gates and move.after else None
        if dataset is not None and version is not None and version.schema is not None:
            looked += 1
            found += _warnings(project, snapshot.grids[dataset.name], dataset, version)
    if looked:
        body: dict[str, object] = {
            "looked": looked,
            "failed": len(found),
            "first": [f"{one.dataset}/{one.key} {one.gate}: {one.text}" for one in found[:_JOURNALED]],
        }
        with store.transaction() as tx:
            tx.journal(KIND, author=run.author, run=run.id, reason=run.reason, body=body, now_ms=now_ms())
    return tuple(found)


def _warnings(project: Project, grid: Grid, dataset: Dataset, version: Version) -> Iterator[GateWarning]:
    # Only here: it brings the frame libraries with it.
    from headgate.worker.gates.evaluate import evaluate
    from headgate.worker.gates.examined import Examined

    index = grid.find(version.key)
    files = tuple(
        FilePin(str(resolve(project.paths.data, file.path)), file.bytes, file.hash, version.key, file.row_group)
        for file in version.files
    )
    zone = grid.axis.zone if grid.axis else "UTC"
    window = None if index is None else grid.window(index)
    context = Context(dataset.name, version.key, window, parameters=project.config.parameters, zone=zone)
    rows = InputFiles(dataset.name, (version.key,), "parquet", files, immutable=True)
    try:
        results = evaluate(dataset.gates, Examined(rows, version.rows, version.schema or (), context))
    except AttemptError as error:
        yield GateWarning(dataset.name, version.key, version.id, "files", text_of(error))
        return
    for result in results:
        if not result.passed:
            yield GateWarning(dataset.name, version.key, version.id, result.gate, result.text)
