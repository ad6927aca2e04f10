"""What people ask of a coordinator while it lives, as the live one takes it: an event, or refused."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from headgate.core.events import (
    BreakerReset,
    BreakerTripped,
    CancelRequested,
    ContinueRequested,
    DrainRequested,
    PauseRequested,
    PoolResized,
    RetryRequested,
    RunLimited,
    RunPrioritized,
    RunReordered,
)
from headgate.drivers.faulty.scene import priorities
from headgate.model.run import RunState, TaskState

if TYPE_CHECKING:
    from collections.abc import Callable, Set

    from headgate.core.effects import Effect
    from headgate.core.events import Event
    from headgate.core.scheduler import Scheduler
    from headgate.drivers.faulty.luck import Luck
    from headgate.drivers.faulty.model_store import ModelStore, Transaction
    from headgate.drivers.faulty.scene import Change, Scene


class Steering:
    """Carries out what people ask.

    Args:
        scene: Project and policies.
        store: What is durable.
        scheduler: Who is steered.
        luck: Where to count what was seen.
        hands: The runs in hand.
        handle: Gives an event to the scheduler.
        take_up: Submits a run with what is recorded of it.
    """

    def __init__(
        self,
        scene: Scene,
        store: ModelStore,
        scheduler: Scheduler,
        luck: Luck,
        *,
        hands: Set[str],
        handle: Callable[[Event], list[Effect]],
        take_up: Callable[[str], list[Effect]],
    ) -> None:
        self._scene, self._store, self._scheduler, self._luck = scene, store, scheduler, luck
        self._hands, self._handle, self._take_up = hands, handle, take_up

    def obey(self, tx: Transaction, change: Change) -> list[Effect]:
        """Carry out a request, or refuse it."""
        _, verb, target, value = change
        match verb:
            case "resize":
                if value < self._scheduler.pools[target].used:
                    self._luck.note("pool shrank below what was taken")
                return self._handle(PoolResized(target, value))
            case "trip" | "reset":
                if target in self._scheduler.breakers:
                    self._luck.note("breaker tripped by hand" if verb == "trip" else "breaker reset by hand")
                    return self._handle(BreakerTripped(target) if verb == "trip" else BreakerReset(target))
            case "submit":
                if target not in self._store.runs:
                    tx.set_run(target)
                    return self._take_up(target)
            case "resume":
                if self._store.is_run(target, RunState.INTERRUPTED):
                    tx.set_run(target, state=RunState.RUNNING)
                    self._luck.note("drained and taken up again")
                    return self._take_up(target)
            case "retry":
                return self._retry(tx, target)
            case "cancel":
                return self._cancel(tx, target)
            case _:
                if target in self._hands:
                    return self._steer(tx, verb, target, value)
        self._luck.note("change refused")
        return []

    def _steer(self, tx: Transaction, verb: str, run: str, value: int) -> list[Effect]:
        row = self._store.runs[run]
        match verb:
            case "pause":
                tx.set_run(run, is_paused=True)
                return self._handle(PauseRequested(run))
            case "continue":
                if row.is_paused:
                    self._luck.note("paused and continued")
                tx.set_run(run, is_paused=False)
                return self._handle(ContinueRequested(run))
            case "limit":
                self._luck.note("limited")
                limit = value or self._scene.requests[run].concurrency
                tx.set_run(run, concurrency=limit)
                return self._handle(RunLimited(run, limit))
            case "prioritize":
                self._luck.note("prioritized")
                tx.set_run(run, priority=value)
                return self._handle(RunPrioritized(run, value))
            case "reorder":
                self._luck.note("reordered")
                tx.set_run(run, order=value)
                return self._handle(RunReordered(run, priorities(self._scene.requests[run], Random(value))))
            case "drain":
                return self._handle(DrainRequested(run))
        raise AssertionError(verb)

    def _retry(self, tx: Transaction, run: str) -> list[Effect]:
        if run in self._hands:
            live = self._scheduler.runs[run]
            if live.tasks.total(TaskState.FAILED) and not live.finished:
                self._luck.note("retry of a live run")
                tx.set_run(run, retried_from=self._store.numbers["next"])
                return self._handle(RetryRequested(run))
        elif self._store.is_run(run, RunState.FAILED, RunState.CANCELLED):
            self._luck.note("retry of an ended run")
            tx.set_run(run, retried_from=self._store.numbers["next"], state=RunState.RUNNING, is_cancelled=False)
            return self._take_up(run)
        self._luck.note("change refused")
        return []

    def _cancel(self, tx: Transaction, run: str) -> list[Effect]:
        if run in self._hands and not self._store.runs[run].is_cancelled:
            tx.set_run(run, is_cancelled=True)
            return self._handle(CancelRequested(run))
        if self._store.is_run(run, RunState.INTERRUPTED):
            self._luck.note("cancelled while nobody ran it")
            tx.set_run(run, state=RunState.CANCELLED)
        if run not in self._hands:
            tx.settle_cancel(run)
        return []
