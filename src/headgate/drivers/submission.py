"""New runs, and what they have in common with those that live."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np

from headgate.core.events import Shared
from headgate.drivers.active import Controls
from headgate.drivers.clock import now_ms
from headgate.model.policy import OnOverlap
from headgate.model.run import Publication, Run, RunState
from headgate.planning.codec import plan_hash, plan_to_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from headgate.drivers.active import ActiveRun
    from headgate.model.plan import Plan


def new_run_id(at_ms: int) -> str:
    """Return an id that sorts by time and is safe in paths."""
    return f"{datetime.fromtimestamp(at_ms / 1000, UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"


def new_run(
    plan: Plan,
    state: RunState,
    *,
    reason: str,
    author: str,
    service_class: str,
    overlap: OnOverlap = OnOverlap.REFUSE,
    publication: Publication = Publication.EACH,
) -> Run:
    """Return a run of a plan, created now."""
    at, text = now_ms(), plan_to_json(plan)
    return Run(
        new_run_id(at),
        plan.request.kind,
        state,
        reason,
        author,
        text,
        plan_hash(text),
        at,
        None,
        service_class,
        Controls(overlap=overlap).to_json(),
        publication,
    )


def shared_with(plan: Plan, runs: Iterable[ActiveRun]) -> Iterator[Shared]:
    """Yield the partitions of a plan that runs build, stage by stage."""
    for run in runs:
        others = {part.name: (number, part) for number, part in enumerate(run.plan.datasets)}
        for number, part in enumerate(plan.datasets):
            if run.ended is None and part.name in others:
                other_number, other = others[part.name]
                _, mine, theirs = np.intersect1d(part.indices, other.indices, assume_unique=True, return_indices=True)
                if len(mine):
                    yield Shared(number, mine, run.run.id, other_number, theirs)
