"""Why tasks wait, and what would lift it. Light: `headgate status --why` answers from here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, assert_never

from headgate.drivers.told import told_from_json
from headgate.model.reason import Wait

if TYPE_CHECKING:
    from headgate.store.store import Store


@dataclass(frozen=True, slots=True)
class Hold:
    """What keeps tasks from running.

    Args:
        reason: Name of the `Wait`, in lower case.
        text: The reason in words.
        what: The pool, breaker, dataset, class or failed task that holds them back; empty where the reason says all.
        until: What would lift it, in words.
        until_ms: When that happens by itself, if that is known.
        next: Words of the `headgate` command that would lift it; empty if there is none.
    """

    reason: str
    text: str
    what: str
    until: str
    until_ms: int | None
    next: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class HeldTasks:
    """Tasks of a dataset that wait for one reason."""

    dataset: str
    tasks: int
    hold: Hold


@dataclass(frozen=True, slots=True)
class Said:
    """What the coordinator last said of a run.

    Args:
        at_ms: Since when that has been so.
        held: Its tasks that do not run and have not ended, or are blocked.
    """

    at_ms: int
    held: tuple[HeldTasks, ...]


def said(store: Store, run: str) -> Said | None:
    """Return what the coordinator last said of why the tasks of a run wait; None if nothing."""
    found = store.live(run)
    if found is None:
        return None
    body, at_ms = found
    held = (
        HeldTasks(dataset, tasks, hold(wait, run, dataset, what, until_ms, takes=takes))
        for dataset, wait, tasks, what, until_ms, takes in told_from_json(body)
    )
    return Said(at_ms, tuple(held))


def hold(wait: Wait, run: str, dataset: str, what: str = "", until_ms: int | None = None, *, takes: int = 0) -> Hold:
    """Return what keeps tasks of a dataset in a run from running, and what would lift it.

    Args:
        wait: The reason.
        run: The run.
        dataset: The dataset.
        what: As in `Hold`.
        until_ms: As in `Hold`.
        takes: How many slots of the pool `what` an attempt takes, where that is more than the pool has; else 0.
    """
    if takes:
        return Hold(
            wait.name.lower(),
            "an attempt takes more slots than the pool has",
            what,
            f"pool {what} has {takes:,} slots, which an attempt of {dataset} takes",
            until_ms,
            ("set", "pool", f"{what}={takes}"),
        )
    return Hold(
        wait.name.lower(),
        wait.value,
        what,
        _until(wait, dataset, what, is_timed=until_ms is not None),
        until_ms,
        _next(wait, run, what),
    )


def _until(wait: Wait, dataset: str, what: str, *, is_timed: bool) -> str:
    """Return what would lift a reason, as what follows the word until."""
    match wait:
        case Wait.NO_COORDINATOR:
            return "a coordinator takes up the run"
        case Wait.QUEUED:
            return "it has looked at what is there"
        case Wait.BLOCKED:
            return f"{what}, which failed, is built" if what else "what is missing is there"
        case Wait.OTHER_RUN:
            return f"run {what} has ended with it"
        case Wait.UPSTREAM:
            return "everything upstream is built"
        case Wait.NEIGHBOURS:
            return "everything upstream of its neighbours is built"
        case Wait.BACKING_OFF:
            return "the next attempt is due"
        case Wait.RETRY_BUDGET:
            return f"more attempts of {dataset} have succeeded"
        case Wait.PAUSED | Wait.DRAINING:
            return "somebody resumes the run"
        case Wait.BREAKER:
            return f"{what} lets a probe through" if is_timed else f"the probe of {what} succeeds"
        case Wait.POOL:
            return f"pool {what} has free slots"
        case Wait.DATASET:
            return f"an attempt of {dataset} ends"
        case Wait.RUN:
            return "an attempt of the run ends"
        case Wait.WINDOW:
            return f"the time window of class {what} changes" if is_timed else f"an attempt of class {what} ends"
        case Wait.CEILING:
            return f"an attempt of class {what} ends"
        case Wait.TOTAL:
            return "any attempt ends"
        case Wait.RESERVED:
            return "more slots are free than are reserved"
        case Wait.SLOTS:
            return "a worker is free"
        case _:
            assert_never(wait)


def _next(wait: Wait, run: str, what: str) -> tuple[str, ...]:
    """Return the command that lifts a reason, if there is one for just that."""
    match wait:
        case Wait.NO_COORDINATOR | Wait.PAUSED:
            return ("resume", run)
        case Wait.BLOCKED:
            return ("retry", run) if what else ()
        case Wait.BREAKER:
            return ("breaker", "reset", what)
        case _:
            return ()
