"""Runs for a coordinator that is alive already: handed over through the state store, and taken in there."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from headgate.drivers.active import Controls
from headgate.drivers.clock import now_ms
from headgate.drivers.control import lift_pause
from headgate.drivers.naming import named_run
from headgate.drivers.resume import RETRY, restore
from headgate.drivers.steering import SUBMIT
from headgate.drivers.world import look
from headgate.errors import ConflictError, HeadgateError, InternalError, UsageError
from headgate.model.policy import OnOverlap
from headgate.model.run import RunState
from headgate.planning.codec import plan_from_json
from headgate.planning.wording import ranges_text

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from headgate.drivers.live import Coordinator
    from headgate.drivers.resume import Recorded
    from headgate.drivers.world import World
    from headgate.model.plan import Plan
    from headgate.model.run import Run
    from headgate.project.load import Project
    from headgate.store.records import Command
    from headgate.store.store import Store

SHOWN_DATASETS = 5
HELD = frozenset({RunState.QUEUED, RunState.RUNNING})
_ON_OVERLAP = "--overlap join waits for them and takes them, --overlap queue builds them after it."
_WAIT = "Wait until it has ended, or cancel it."
_STAGED_OVERLAP = "One of the two publishes together, so none can take from it: wait until it has ended, or cancel it."


def _refuse_overlap(store: Store, project: Project, new: Run, hint: str) -> None:
    """Refuse a run that shares partitions with others that are under way, unless it knows what to do then.

    A run of a higher class takes them over. Nobody can take what a run has only staged, or build on it.

    Raises:
        ConflictError: It does, or one that is under way was planned with other partitions of the same dataset.
    """
    is_told = Controls.from_json(new.controls).overlap is not OnOverlap.REFUSE
    plan, rank = plan_from_json(new.plan), _rank(project, new)
    found: list[str] = []
    for listed in store.runs(states=HELD):
        run = store.run(listed.id)
        if run is None:
            continue
        is_above = rank > _rank(project, run)
        is_staged = (new if is_above else run).publication.is_staged
        if (is_above or is_told) and not is_staged:
            continue
        if shared := _shared_text(project, plan, run):
            found.append(f"run {run.id} is under way and builds {shared}")
            hint = _STAGED_OVERLAP if is_staged else hint
    if found:
        raise ConflictError("; ".join(found), hint=hint)


def _rank(project: Project, run: Run) -> int:
    found = project.policies.classes.get(run.service_class)
    return found.priority if found else 0


def _shared_text(project: Project, plan: Plan, run: Run) -> str:
    """Return which partitions of a plan a run builds, in words; empty for none.

    Raises:
        ConflictError: The run was planned with other partitions, so that nobody can say.
    """
    held = {part.name: part for part in plan_from_json(run.plan).datasets}
    texts: list[str] = []
    for part in plan.datasets:
        other = held.get(part.name)
        if other is None:
            continue
        if other.partitioning != part.partitioning:
            raise ConflictError(
                f"run {run.id} is under way and builds {part.name} partitioned by {other.partitioning}, "
                f"which is partitioned by {part.partitioning} now",
                hint=_WAIT,
            )
        indices = np.intersect1d(part.indices, other.indices, assume_unique=True)
        if len(indices):
            grid = project.datasets[part.name].partitioning.grid(plan.as_of_ms)
            of = f"{len(indices):,} of {'' if texts else 'these partitions of '}{part.name}"
            texts.append(f"{of} ({ranges_text(grid, indices)})")
    more = [f"of {len(texts) - SHOWN_DATASETS:,} more datasets"] if len(texts) > SHOWN_DATASETS else []
    *others, last = [*texts[:SHOWN_DATASETS], *more] or [""]
    return " and ".join(filter(None, (", ".join(others), last)))


def hand_over(
    store: Store,
    project: Project,
    run: Run,
    *,
    is_new: bool,
    retry: bool,
    reason: str,
    author: str,
    lifts_pause: bool = False,
) -> int:
    """Leave a run to the coordinator that is alive, unless it shares partitions with one that is under way.

    Args:
        store: The state store.
        project: The user's project.
        run: The run.
        is_new: Whether it is not recorded yet.
        retry: Whether what failed in it gets another chance.
        reason: Why.
        author: Who asks.
        lifts_pause: Whether it starts although it was paused before it was interrupted or ended.

    Returns:
        The number of the request, by which its answer is found.

    Raises:
        ConflictError: It does, or the run is in another state by now.
    """
    with store.transaction() as tx:
        # In the transaction: two that are handed over at once must see each other.
        _refuse_overlap(store, project, run, _ON_OVERLAP if is_new else _WAIT)
        if is_new:
            tx.add_run(run)
        elif not tx.set_run_state(
            run.id, RunState.QUEUED, author=author, reason=reason, now_ms=now_ms(), expected=frozenset({run.state})
        ):
            raise ConflictError(f"run {run.id} is not {run.state} any more", hint="Look at headgate status.")
        if lifts_pause:
            lift_pause(store, tx, run.id, author=author, reason=reason)
        if retry:
            # Now, so that it counts whoever takes the run up.
            body: dict[str, object] = {"first": store.next_id()}
            tx.journal(RETRY, author=author, run=run.id, reason=reason, body=body, now_ms=now_ms())
        arguments: dict[str, object] = {"retry": retry, "reason": reason}
        request = tx.add_command(run.id, SUBMIT, author=author, reason=reason, now_ms=now_ms(), arguments=arguments)
    assert request is not None
    return request


@dataclass(frozen=True, slots=True)
class _Looked:
    """A run that was handed over, and how things stand for it; or why it cannot be taken up."""

    command: Command
    found: tuple[Run, World, Recorded] | None
    error: Exception | None


class Intake:
    """Takes in runs that are handed over, one after the other.

    Looking at the world takes as long as there are files of sources to look at. So it is done in a thread, with a
    connection to the state store of its own, while the coordinator goes on with the runs that it has.

    Args:
        project: The user's project.
        open_store: Opens the state store once more.
        wake: Wakes the coordinator; called from the thread.
        author: Who takes them in, for the journal.
    """

    def __init__(
        self, project: Project, open_store: Callable[[], Store], *, wake: Callable[[], None], author: str
    ) -> None:
        self._project = project
        self._open_store = open_store
        self._wake = wake
        self._author = author
        self._waiting: dict[int, Command] = {}
        self._thread: threading.Thread | None = None
        self._looked: _Looked | None = None

    @property
    def waiting(self) -> int:
        """Return how many runs are on their way to the coordinator."""
        return len(self._waiting)

    def receive(self, commands: Sequence[Command]) -> None:
        """Take note of the requests that wait; those that it knows count once."""
        for command in commands:
            self._waiting.setdefault(command.id, command)
        self._look_at_next()

    def hand_on(self, coordinator: Coordinator, store: Store) -> None:
        """Let a run that was looked at join those of the coordinator, or leave it interrupted, and answer its request.

        Args:
            coordinator: Which takes it up.
            store: Its connection to the state store.
        """
        looked = self._looked
        if looked is None:
            return
        self._looked = self._thread = None
        try:
            self._settle(coordinator, store, looked)
        finally:
            del self._waiting[looked.command.id]
        self._look_at_next()

    def _look_at_next(self) -> None:
        if self._thread is None and self._waiting:
            command = next(iter(self._waiting.values()))
            self._thread = threading.Thread(target=self._look, args=(command,), name="intake", daemon=True)
            self._thread.start()

    def _look(self, command: Command) -> None:
        found: tuple[Run, World, Recorded] | None = None
        error: Exception | None = None
        try:
            store = self._open_store()
            try:
                run = named_run(store, command.run)
                _check_definitions(self._project, plan_from_json(run.plan))
                world = look(self._project, store, now_ms())
                found = run, world, restore(self._project, store, world, run, retry=_is_retry(command))
            finally:
                store.close()
        except Exception as caught:
            # Raised again in the coordinator's thread.
            error = caught
        self._looked = _Looked(command, found, error)
        self._wake()

    def _settle(self, coordinator: Coordinator, store: Store, looked: _Looked) -> None:
        command, answer = looked.command, ""
        if looked.found is not None:
            run, world, recorded = looked.found
            reason = str(command.arguments.get("reason", ""))
            try:
                coordinator.go_on(
                    run, world, recorded, retry=_is_retry(command), reason=reason, expected=frozenset({RunState.QUEUED})
                )
            except (ConflictError, UsageError) as refused:
                answer = refused.message
        elif isinstance(looked.error, HeadgateError) and not isinstance(looked.error, InternalError):
            # Files that cannot be read now are no reason to stop other people's runs.
            answer = looked.error.message
        elif looked.error is not None:
            raise looked.error
        with store.transaction() as tx:
            tx.settle_commands([(command.id, answer)])
            if answer:
                tx.set_run_state(
                    command.run,
                    RunState.INTERRUPTED,
                    author=self._author,
                    reason=answer,
                    now_ms=now_ms(),
                    expected=frozenset({RunState.QUEUED}),
                )


def _is_retry(command: Command) -> bool:
    return bool(command.arguments.get("retry"))


def _check_definitions(project: Project, plan: Plan) -> None:
    """Raise if a coordinator knows a dataset of a plan by another definition than whoever made the plan."""
    for part in plan.datasets:
        dataset = project.datasets.get(part.name)
        if dataset is None or dataset.code != part.code or dataset.partitioning.spec != part.partitioning:
            raise ConflictError(
                f"{part.name} was changed after the coordinator that is alive had started: let that end first"
            )
