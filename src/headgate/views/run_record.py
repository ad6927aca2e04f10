"""What stands on record of a run: who wanted it and why, how its plan was decided, what was changed, how it went."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from headgate.drivers.clock import now_ms
from headgate.model.policy import OnOverlap
from headgate.model.run import RunKind, RunState
from headgate.store.journal import ROLLBACK
from headgate.views.forecast import hindsight
from headgate.views.journal import PLAN, journal
from headgate.views.status import run_status
from headgate.views.stored_plan import stored_plan_view

if TYPE_CHECKING:
    from headgate.model.run import Run
    from headgate.store.store import Store
    from headgate.views.forecast import Hindsight
    from headgate.views.journal import JournalLine
    from headgate.views.status import DatasetLine, RunLine
    from headgate.views.stored_plan import StoredPlanView

_WORK = frozenset({"publish", "observe", "run.submitted", "run.succeeded", "run.failed"})
"""Kinds of entries that say nothing about a run that its line and its counts do not say."""


@dataclass(frozen=True, slots=True)
class RollbackRecord:
    """What a rollback did.

    Args:
        of: The run that it took back, or the dataset of which it put partitions back.
        kind: The kind of that run; empty for a dataset.
        to_ms: The time whose state partitions were put back to; None for others.
        to_version: The version that a partition was put back to; None for others.
        moved: How many heads it moved.
        downstream: Whether also what was made from bad versions.
        left: How many that it would have concerned it left as they were.
        held: How many partitions it still holds.
    """

    of: str
    kind: str
    to_ms: int | None
    to_version: int | None
    moved: int
    downstream: bool
    left: int
    held: int


@dataclass(frozen=True, slots=True)
class RunRecord:
    """A run and what was decided on it.

    Args:
        run: The run.
        overlap: What it was told to do about partitions that another run builds: refuse, join, queue.
        controls: What people changed of it while it lives: concurrency, priority, order.
        plan: Its plan as it was kept: who made it, what the guard rails said, overrides, approvals. None for a run
            whose plan was not kept.
        entries: What stands in the journal about it beside its plan, its submission and its work, oldest first.
        forecast: What was forecast, beside what it took; None if nothing was.
        forecast_error: By which share of the actual time the middle of the forecast was too long; None if that says
            nothing.
        datasets: Its tasks by dataset, upstream first.
        skipped: Tasks that were not built because their inputs turned out to be unchanged; 0 while that is not known.
        taken: Tasks that were not built because another run had made them; 0 while that is not known.
        quarantined: How many of its results are held in quarantine.
        warnings: Of how many of its published results a gate has warned, by dataset.
        rollback: What it did, if it is a rollback.
    """

    run: RunLine
    overlap: str
    controls: dict[str, int | str]
    plan: StoredPlanView | None
    entries: tuple[JournalLine, ...]
    forecast: Hindsight | None
    forecast_error: float | None
    datasets: tuple[DatasetLine, ...]
    skipped: int
    taken: int
    quarantined: int
    warnings: dict[str, int]
    rollback: RollbackRecord | None


def run_record(store: Store, run: Run) -> RunRecord:
    """Return what stands on record of a run."""
    status = run_status(store, run)
    stored = store.plan(run.plan_hash)
    found = hindsight(store, run.id)
    entries = tuple(line for line in journal(store, run=run.id, limit=None) if _is_told(line))
    has_ended = status.run.state in {RunState.SUCCEEDED, RunState.FAILED, RunState.STAGED}
    return RunRecord(
        status.run,
        str(status.controls.get("overlap", OnOverlap.REFUSE)),
        {name: value for name, value in status.controls.items() if name != "overlap"},
        stored_plan_view(stored, now_ms()) if stored else None,
        entries,
        found,
        found.error if found and not found.was_disturbed else None,
        status.datasets,
        sum(line.rest for line in status.datasets) if has_ended else 0,
        sum(line.taken for line in status.datasets),
        status.quarantined,
        status.warnings,
        _rollback(store, run, entries) if run.kind is RunKind.ROLLBACK else None,
    )


def _rollback(store: Store, run: Run, entries: tuple[JournalLine, ...]) -> RollbackRecord:
    said = next(line.details for line in entries if line.kind == ROLLBACK)
    aimed = store.run(said["of"])
    return RollbackRecord(
        said["of"],
        aimed.kind if aimed else "",
        said.get("to_ms"),
        said.get("to_version"),
        said["moved"],
        said["downstream"],
        said["left"],
        sum(hold.partitions for hold in store.holds() if hold.run == run.id),
    )


def _is_told(line: JournalLine) -> bool:
    return line.kind not in _WORK and not line.kind.startswith(f"{PLAN}.")
