"""Why tasks do not run: exactly one reason for each, from the closed list, with what would lift it and when."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from headgate.core.breaker import Breaker
from headgate.model.reason import Wait
from headgate.model.run import TaskState

if TYPE_CHECKING:
    from headgate.core.live_run import LiveRun
    from headgate.core.queues import StageQueue
    from headgate.core.scheduler import Scheduler


class Delay(NamedTuple):
    """Why some tasks of a stage do not run.

    Args:
        stage: The stage.
        wait: The reason.
        tasks: How many.
        what: The pool, breaker, class or run that holds them back; empty where the reason says all.
        until_ms: When that ends by itself at the latest, if that is known.
    """

    stage: int
    wait: Wait
    tasks: int
    what: str = ""
    until_ms: int | None = None


def delays(scheduler: Scheduler, run: str) -> list[Delay]:
    """Return why the tasks of a run that could run some day do not run now, stage by stage."""
    live = scheduler.runs[run]
    due_ms = live.backing_off_until()
    found: list[Delay] = []
    for stage in live.stages:
        counts = live.tasks.counts[stage.number]
        held = _held(live, stage) if live.tasks.held else 0
        if held:
            mine = range(live.tasks.base[stage.number], live.tasks.base[stage.number + 1])
            found.append(Delay(stage.number, Wait.OTHER_RUN, held, scheduler.overlaps.holder_of(run, mine)))
        if counts[TaskState.WAITING] > held:
            found.append(Delay(stage.number, Wait.UPSTREAM, counts[TaskState.WAITING] - held))
        if stage.parked:
            found.append(Delay(stage.number, Wait.RETRY_BUDGET, len(stage.parked), stage.stage.dataset))
        backing_off = counts[TaskState.BACKING_OFF] - len(stage.parked)
        if backing_off:
            found.append(Delay(stage.number, Wait.BACKING_OFF, backing_off, "", due_ms.get(stage.number)))
        gathering = live.tasks.gatherings[stage.number]
        gathered = 0 if gathering is None else gathering.held
        if gathered:
            found.append(Delay(stage.number, Wait.NEIGHBOURS, gathered))
        if counts[TaskState.READY] > gathered:
            wait, what, until_ms = _held_back(scheduler, live, stage)
            found.append(Delay(stage.number, wait, counts[TaskState.READY] - gathered, what, until_ms))
    return found


def _held(live: LiveRun, stage: StageQueue) -> int:
    """Return how many tasks of a stage wait for other runs."""
    table = live.tasks
    base, end = table.base[stage.number], table.base[stage.number + 1]
    return sum(base <= task < end and table.state[task] == TaskState.WAITING for task in table.held)


def _held_back(scheduler: Scheduler, live: LiveRun, stage: StageQueue) -> tuple[Wait, str, int | None]:
    """Return why the ready tasks of a stage do not start."""
    if live.closing is not None:
        return Wait.DRAINING, "", None
    if live.is_paused:
        return Wait.PAUSED, "", None
    obstacle = stage.obstacle()
    if isinstance(obstacle, Breaker):
        return Wait.BREAKER, obstacle.name, obstacle.until_ms or None
    if obstacle is not None:
        return obstacle.wait, obstacle.name, None
    if not live.may_start():
        return Wait.RUN, "", None
    lane = scheduler.lanes[stage.stage.lane]
    queue = lane.by_name[live.service_class]
    # A class that has every slot waits for slots, not for its ceiling.
    if queue.used >= queue.allowed and queue.allowed < lane.slots * lane.depth:
        window, until_ms = scheduler.window_of(live.service_class)
        if window < queue.service_class.ceiling and queue.used >= queue.spread * lane.depth:
            return Wait.WINDOW, live.service_class, until_ms
        return Wait.CEILING, live.service_class, None
    # Who may have all that there may be waits for that, not for its ceiling.
    allowed = scheduler.in_all.allowed(queue.service_class)
    if scheduler.total is not None and allowed < scheduler.total and not scheduler.in_all.lets_in(queue.service_class):
        window, until_ms = scheduler.window_of(live.service_class)
        if window < queue.service_class.ceiling:
            return Wait.WINDOW, live.service_class, until_ms
        return Wait.CEILING, live.service_class, None
    if scheduler.total is not None and scheduler.used >= scheduler.total:
        return Wait.TOTAL, "", None
    if not lane.leaves_reserved(queue):
        return Wait.RESERVED, "", None
    return Wait.SLOTS, "", None
