"""What people ask of a live coordinator from another process: each request becomes an event, or is refused with why."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from headgate.core.events import (
    BreakerReset,
    BreakerTripped,
    CancelRequested,
    ContinueRequested,
    PauseRequested,
    PoolResized,
    RetryRequested,
    RunLimited,
    RunPrioritized,
    RunReordered,
)
from headgate.core.states import HALTED
from headgate.drivers.resume import RETRY
from headgate.errors import ConflictError
from headgate.model.guard_rail import Outcome, Rule
from headgate.model.policy import TaskOrder
from headgate.model.run import TaskState
from headgate.planning.stages import priorities_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from headgate.core.effects import Effect
    from headgate.core.events import Event
    from headgate.core.scheduler import Scheduler
    from headgate.drivers.active import ActiveRun
    from headgate.project.load import Project
    from headgate.store.records import Command
    from headgate.store.transaction import Transaction

SUBMIT = "submit"
"""The verb by which a run is handed over, with `retry` and `reason` as its arguments."""


class Steering:
    """Carries out the requests that were left for a coordinator.

    Args:
        project: The project as it was loaded when the coordinator started.
        scheduler: Its scheduler.
        runs: The runs in hand, by id.
        handle: Gives an event to the scheduler.
        next_id: Returns the number that the next attempt gets.
    """

    def __init__(
        self,
        project: Project,
        scheduler: Scheduler,
        runs: Mapping[str, ActiveRun],
        *,
        handle: Callable[[Event], list[Effect]],
        next_id: Callable[[], int],
    ) -> None:
        self._project = project
        self._scheduler = scheduler
        self._runs = runs
        self._handle = handle
        self._next_id = next_id
        self._now_ms = 0
        self._verbs: dict[str, Callable[[Transaction, Command], list[Effect]]] = {
            "cancel": self._cancel,
            "pause": self._pause,
            "resume": self._resume,
            "retry": self._retry,
            "set": self._set,
            "set pool": self._set_pool,
            "breaker": self._breaker,
        }

    def obey(self, tx: Transaction, now_ms: int) -> tuple[list[Effect], list[Command]]:
        """Carry out what waits. Everything is journaled with its author and reason, also what is refused.

        Returns:
            What follows, and the requests to take up a run, which wait for their answers.
        """
        self._now_ms = now_ms
        effects: list[Effect] = []
        submitted: list[Command] = []
        answers: list[tuple[int, str]] = []
        for command in tx.pending_commands():
            if command.verb == SUBMIT:
                submitted.append(command)  # Answered by who takes it up.
                continue
            if self._is_under_way(command):
                continue
            answer = ""
            try:
                effects += self._verb(command.verb)(tx, command)
            except ConflictError as refused:
                answer = refused.message
            except (KeyError, TypeError, ValueError) as broken:
                # Rows may come from another version of Headgate, or from elsewhere.
                answer = f"{command.verb} cannot be understood: {broken!r}"
            tx.journal(
                f"{command.verb} {'refused' if answer else 'accepted'}",
                author=command.author,
                run=command.run,
                reason=command.reason,
                body={**_as_table(command.arguments), **({"refused": answer} if answer else {})},
                now_ms=now_ms,
            )
            # A cancel stays on record until the run is cancelled, in case this process dies.
            if command.verb != "cancel" or answer:
                answers.append((command.id, answer))
        if answers:
            tx.settle_commands(answers)
        return effects, submitted

    def _is_under_way(self, command: Command) -> bool:
        run = self._runs.get(command.run)
        return command.verb == "cancel" and run is not None and run.cancel is not None

    def _verb(self, verb: str) -> Callable[[Transaction, Command], list[Effect]]:
        if verb not in self._verbs:
            raise ConflictError(f"this coordinator does not know {verb!r}: it runs another version of Headgate")
        return self._verbs[verb]

    def _run(self, command: Command) -> ActiveRun:
        run = self._runs.get(command.run)
        if run is None or run.ended is not None:
            raise ConflictError(f"run {command.run} is not in the hands of this coordinator")
        if run.cancel is not None:
            raise ConflictError(f"run {command.run} is being cancelled: {command.verb} comes too late")
        if self._scheduler.runs[command.run].finished:
            raise ConflictError(f"run {command.run} has just ended")
        return run

    def _cancel(self, _tx: Transaction, command: Command) -> list[Effect]:
        run = self._run(command)
        run.cancel = command
        return self._handle(CancelRequested(command.run))

    def _pause(self, tx: Transaction, command: Command) -> list[Effect]:
        run = self._run(command)
        if run.controls.is_paused:
            raise ConflictError(f"run {command.run} is paused already")
        run.change(is_paused=True)
        tx.set_run_controls(command.run, run.controls.to_json())
        return self._handle(PauseRequested(command.run))

    def _resume(self, tx: Transaction, command: Command) -> list[Effect]:
        run = self._run(command)
        if not run.controls.is_paused:
            raise ConflictError(f"run {command.run} is not paused")
        run.change(is_paused=False)
        tx.set_run_controls(command.run, run.controls.to_json())
        return self._handle(ContinueRequested(command.run))

    def _retry(self, tx: Transaction, command: Command) -> list[Effect]:
        run = self._run(command)
        if not run.tasks.total(*HALTED):
            raise ConflictError(f"nothing has failed in run {command.run} so far")
        self._refuse_second_effects(run)
        run.failures.clear()
        body: dict[str, object] = {"first": self._next_id()}
        tx.journal(RETRY, author=command.author, run=command.run, reason=command.reason, body=body, now_ms=self._now_ms)
        return self._handle(RetryRequested(command.run, _made(run, tx.released(command.run))))

    def _refuse_second_effects(self, run: ActiveRun) -> None:
        rails = self._project.guard_rails
        for stage, counts in zip(run.tasks.stages, run.tasks.counts, strict=True):
            if self._project.datasets[stage.dataset].idempotent or not counts[TaskState.FAILED]:
                continue
            setting = rails.own(Rule.NON_IDEMPOTENT, stage.dataset) or rails.common(Rule.NON_IDEMPOTENT)
            if setting is not None and setting.outcome is not Outcome.ALLOW:
                raise ConflictError(
                    f"{Rule.NON_IDEMPOTENT} of {stage.dataset}: its effects must not happen twice, and attempts of it "
                    f"have failed: wait until run {run.run.id} has ended"
                )

    def _set(self, tx: Transaction, command: Command) -> list[Effect]:
        run, wanted = self._run(command), command.arguments
        # All of it is read before any of it is done.
        concurrency = _whole(wanted["concurrency"], least=0) if "concurrency" in wanted else None
        priority = _whole(wanted["priority"]) if "priority" in wanted else None
        order = _order(wanted["order"]) if "order" in wanted else None
        effects: list[Effect] = []
        if concurrency is not None:
            run.change(concurrency=concurrency)
            effects += self._handle(RunLimited(command.run, concurrency or run.policy_concurrency))
        if priority is not None:
            run.change(priority=priority)
            effects += self._handle(RunPrioritized(command.run, priority))
        if order is not None:
            run.change(order=order)
            priorities = priorities_of(run.plan, run.snapshot, run.tasks.stages, order)
            effects += self._handle(RunReordered(command.run, priorities))
        tx.set_run_controls(command.run, run.controls.to_json())
        return effects

    def _set_pool(self, _tx: Transaction, command: Command) -> list[Effect]:
        pool, slots = str(command.arguments["pool"]), _whole(command.arguments["slots"], least=1)
        if pool not in self._scheduler.pools:
            known = ", ".join(sorted(self._scheduler.pools)) or "none"
            raise ConflictError(f"there is no pool {pool}; there are: {known}")
        most, dataset = max(
            (
                (dict(stage.pools).get(pool, 0), stage.dataset)
                for run in self._runs.values()
                for stage in run.tasks.stages
            ),
            default=(0, ""),
        )
        if slots < most:
            raise ConflictError(f"an attempt of {dataset} takes {most} slots of pool {pool}: it could never start")
        return self._handle(PoolResized(pool, slots))

    def _breaker(self, _tx: Transaction, command: Command) -> list[Effect]:
        name = str(command.arguments["breaker"])
        dataset = self._project.datasets.get(name.removeprefix("dataset:"))
        if name.startswith("dataset:") and dataset is not None:
            policies = self._project.policies
            effective = policies.effective(dataset, next(iter(policies.classes)), command.author)
            self._scheduler.add_breaker(name, effective.breaker)
        if name not in self._scheduler.breakers:
            known = ", ".join(sorted(self._scheduler.breakers)) or "none"
            raise ConflictError(f"there is no breaker {name}; there are: {known}")
        is_trip = command.arguments["action"] == "trip"
        return self._handle(BreakerTripped(name) if is_trip else BreakerReset(name))


def _made(run: ActiveRun, released: Iterable[tuple[str, str]]) -> frozenset[int]:
    """Return the tasks of a run whose results were released from quarantine."""
    stages = {part.name: (number, part.indices) for number, part in enumerate(run.plan.datasets)}
    found: set[int] = set()
    for dataset, key in released:
        number, indices = stages[dataset]
        index = run.snapshot.grids[dataset].find(key)
        at = np.flatnonzero(indices == index) if index is not None else ()
        found.update(run.tasks.base[number] + int(position) for position in at)
    return frozenset(found)


def _as_table(arguments: object) -> dict[str, object]:
    return arguments if isinstance(arguments, dict) else {"arguments": arguments}


def _order(value: object) -> TaskOrder:
    if value not in set(TaskOrder):
        raise ConflictError(f"{value!r} is no order; there are: {', '.join(TaskOrder)}")
    return TaskOrder(str(value))


def _whole(value: object, least: int | None = None) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise ConflictError(f"{value!r} is no whole number")
    if least is not None and value < least:
        raise ConflictError(f"{value} is less than {least}")
    return value
