"""Runs, tasks and attempts."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum


class RunKind(StrEnum):
    """What a run is for."""

    BACKFILL = "backfill"
    REPAIR = "repair"
    ROLLBACK = "rollback"
    COMPACTION = "compaction"


class RunState(StrEnum):
    """Where a run stands.

    `queued` was handed to a live coordinator, which has not taken it up yet. `interrupted` can be resumed; `failed`
    means that some tasks failed or were blocked and can be retried. `staged`: all that a run made which publishes
    together is there, nothing of it is visible, and a person decides. `discarded`: it never will be visible.
    """

    QUEUED = "queued"
    RUNNING = "running"
    INTERRUPTED = "interrupted"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    STAGED = "staged"
    DISCARDED = "discarded"

    @property
    def as_verb(self) -> str:
        """Return what goes behind the name of a run: ``is running``, ``has succeeded``."""
        return f"has {self}" if self in {RunState.SUCCEEDED, RunState.FAILED} else f"is {self}"


class Publication(StrEnum):
    """When readers see what a run has made.

    `each`: each partition as soon as it has passed. `together`: nothing until every partition has passed, then all of
    them at once. `approved`: likewise, and not before somebody has approved.
    """

    EACH = "each"
    TOGETHER = "together"
    APPROVED = "approved"

    @property
    def is_staged(self) -> bool:
        """Return whether what is made stays out of sight until the end of the run."""
        return self is not Publication.EACH


class TaskState(IntEnum):
    """Where a task stands; the numbers are what the scheduler's arrays hold."""

    WAITING = 0
    READY = 1
    RUNNING = 2
    BACKING_OFF = 3
    SUCCEEDED = 4
    SKIPPED = 5
    FAILED = 6
    BLOCKED = 7
    CANCELLED = 8


class AttemptState(StrEnum):
    """Where an attempt stands.

    `retried`: it failed, and its task is tried again. `lost`: its worker or coordinator died. `returned`: never
    started, given back by a worker; costs no try. `yielded`: it stopped where the next one goes on.
    `fenced`: it came back after another had taken its place. `superseded`: the head moved under it.
    """

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    RETRIED = "retried"
    LOST = "lost"
    RETURNED = "returned"
    YIELDED = "yielded"
    CANCELLED = "cancelled"
    FENCED = "fenced"
    SUPERSEDED = "superseded"


_FAILED = frozenset({AttemptState.FAILED, AttemptState.SUPERSEDED})
_TRIED_AGAIN = frozenset({AttemptState.LOST, AttemptState.RETRIED})


def has_failed(last: AttemptState, run: RunState) -> bool:
    """Return whether a task with such a last attempt has failed: some are tried again until the run gives up."""
    return last in _FAILED or (last in _TRIED_AGAIN and run is RunState.FAILED)


class ErrorClass(StrEnum):
    """What kind of failure an attempt met."""

    TRANSIENT = "transient"
    PERMANENT = "permanent"
    DATA = "data"
    RESOURCE = "resource"
    TIMEOUT = "timeout"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class Run:
    """A request and its execution.

    Args:
        id: Unique, sortable by time, safe in paths.
        kind: What it is for.
        state: Where it stands.
        reason: Why the author wanted it.
        author: Who asked for it.
        plan: The plan it executes, as stored (`planning.plan_to_json`).
        plan_hash: SHA-256 of the stored plan.
        created_ms: When it was submitted.
        finished_ms: When it ended; None while it has not.
        service_class: What it competes as: its priority, floor and ceiling.
        controls: What was changed of it while it lives (paused, concurrency, priority, order): the text of a JSON
            object; empty for nothing.
        publication: When readers see what it has made.
    """

    id: str
    kind: RunKind
    state: RunState
    reason: str
    author: str
    plan: str
    plan_hash: str
    created_ms: int
    finished_ms: int | None
    service_class: str = "backfill"
    controls: str = ""
    publication: Publication = Publication.EACH


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an attempt failed: its class, what happened, what to try, and where."""

    error_class: ErrorClass
    message: str
    hint: str = ""
    traceback: str = ""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try of a task, as the state store has it.

    Args:
        id: Number from one sequence for everything in a state store; the fencing token.
        run: Run id.
        dataset: Name.
        key: Partition key.
        number: First, second, ... try of this task in this run.
        state: Where it stands.
        path: Where it may stage its file, relative to the data root; empty for none or once collected.
        expects: Identity of the head's version when it started; None when there was none.
        started_ms: When its intent was recorded.
        finished_ms: When it ended; None while it runs.
        failure: Why it failed, if it did.
        lead: Of the partitions of a ranged attempt, the number of the first; None for one by itself.
    """

    id: int
    run: str
    dataset: str
    key: str
    number: int
    state: AttemptState
    path: str
    expects: int | None
    started_ms: int
    finished_ms: int | None = None
    failure: Failure | None = None
    lead: int | None = None
