"""What a run will do, partition by partition, and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from headgate.model.reason import Why
from headgate.model.run import RunKind

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


MAX_PROBLEMS = 100


@dataclass(frozen=True, slots=True)
class Exactly:
    """Partitions of one dataset that are named one by one.

    Args:
        dataset: Name.
        partitioning: Spec of its partitioning: only with that the indices mean what was named.
        runs: Grid indices as half-open runs, ascending.
    """

    dataset: str
    partitioning: str
    runs: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Request:
    """What a person asks to have built.

    Args:
        select: Selections such as ``flights``, ``+monthly``, ``flights+``; none means every dataset.
        start: Local date or datetime as typed, or None for no bound.
        end: Its exclusive end, likewise.
        forced: Rebuild what is up to date too.
        kind: What the run is for.
        only: Just these partitions, which are rebuilt because they are tainted; nothing is selected then.
        cause: What these rest on that went wrong, as people name it.
        held: Also what rollbacks hold.
    """

    select: tuple[str, ...] = ()
    start: str | None = None
    end: str | None = None
    forced: bool = False
    kind: RunKind = RunKind.BACKFILL
    only: tuple[Exactly, ...] = ()
    cause: str = ""
    held: bool = False


@dataclass(frozen=True, slots=True)
class Problem:
    """A partition that cannot be built as things are, and what is missing."""

    dataset: str
    key: str
    text: str


@dataclass(frozen=True, slots=True)
class PlannedDataset:
    """The partitions of one dataset in a plan.

    Args:
        name: The dataset.
        partitioning: Spec of its partitioning when planned.
        code: Code fingerprint when planned.
        indices: Grid indices, ascending.
        why: `Why` of each.
        blocked: Whether it cannot be built as things are (see the plan's problems).

    Shape:
        indices (int64), why (uint8) and blocked (bool): (partitions,).
    """

    name: str
    partitioning: str
    code: str
    indices: NDArray[np.int64]
    why: NDArray[np.uint8]
    blocked: NDArray[np.bool_]

    def counts(self) -> dict[Why, int]:
        """Return how many partitions are there for which reason."""
        return {why: n for why in Why if (n := int((self.why == why).sum()))}


@dataclass(frozen=True, slots=True)
class Plan:
    """A plan: what will be rebuilt, in the order of the graph.

    Args:
        request: What was asked.
        datasets: Only those with partitions to build, upstream first.
        problems: What blocked partitions lack; at most `MAX_PROBLEMS` for each dataset.
        considered: How many partitions the request covers, rebuilt or not.
        as_of_ms: The instant up to which windows count as ended.
        notes: What is done otherwise than it was asked for, as sentences.
    """

    request: Request
    datasets: tuple[PlannedDataset, ...]
    problems: tuple[Problem, ...]
    considered: int
    as_of_ms: int
    notes: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        """Return the number of partitions to build."""
        return sum(len(part.indices) for part in self.datasets)

    @property
    def blocked(self) -> int:
        """Return the number of partitions that cannot be built as things are."""
        return sum(int(part.blocked.sum()) for part in self.datasets)


@dataclass(frozen=True, slots=True)
class Decision:
    """What somebody decided on a stored plan, and why."""

    author: str
    is_approval: bool
    reason: str
    at_ms: int


@dataclass(frozen=True, slots=True)
class StoredPlan:
    """A plan as it was shown to people: kept, so that exactly this can be approved and run.

    Args:
        hash: Its name: SHA-256 of its body.
        project: Name of the project that it is for.
        author: Who made it.
        reason: Why; empty if nobody has said.
        service_class: Class of the run that it would become.
        created_ms: When it was made.
        expires_ms: When it can no longer be run.
        basis: The state of the world that it was made from, as JSON (`planning.binding`).
        verdict: What the guard rails said, as JSON.
        forecast: What it was said to cost, as JSON; empty if nothing was.
        body: The plan, as `planning.codec` writes it.
        run: The run that it became, if any.
        decisions: What was decided on it, oldest first.
    """

    hash: str
    project: str
    author: str
    reason: str
    service_class: str
    created_ms: int
    expires_ms: int
    basis: str
    verdict: str
    forecast: str
    body: str
    run: str | None = None
    decisions: tuple[Decision, ...] = ()
