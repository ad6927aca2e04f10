"""Who is next: stages of a run, runs of an owner, owners of a service class, each in a heap of its own.

Owners and runs share by start-time fair queueing: each start is charged to the run and to its owner, divided by the
weight, and who has been charged least is next. Who comes back after a pause starts where the others are, so nobody
saves up. What cannot start is taken out of its heap and put back when what holds it back has changed.

Source: P. Goyal, H. Vin, H. Cheng, Start-time Fair Queueing (SIGCOMM 1996).
"""

from __future__ import annotations

from heapq import heappop, heappush, heapreplace
from typing import TYPE_CHECKING

from headgate.core.ranged import Chain
from headgate.core.task_table import task_of
from headgate.model.run import TaskState

if TYPE_CHECKING:
    from headgate.core.breaker import Breaker, Task
    from headgate.core.events import Stage
    from headgate.core.limit import Limit, PoolLimit
    from headgate.core.live_run import LiveRun
    from headgate.model.policy import ServiceClass

MOST_CREDIT_MS = 60_000.0
"""A floor never owes more than this: who was kept out for an hour does not get the next hour alone."""

_NOT_LISTED = -1
_READY = TaskState.READY


class StageQueue:
    """The ready tasks of one stage, and what its attempts need.

    Args:
        run: The run.
        number: The stage's number in it.
        stage: The stage as submitted.
        ready: Heap of priority and task, kept by the run's `TaskTable`.
        pools: What its attempts take slots of, and how many.
        dataset: All attempts of its dataset.
        breakers: Those of its dataset and its pools.
        line: Where the run queues for the stage's lane.
    """

    __slots__ = (
        "attempts",
        "breakers",
        "chain",
        "dataset",
        "held_by",
        "line",
        "listed",
        "number",
        "parked",
        "pools",
        "ready",
        "retries",
        "run",
        "stage",
        "typical_ms",
    )

    def __init__(
        self,
        run: LiveRun,
        number: int,
        stage: Stage,
        *,
        ready: list[int],
        pools: tuple[tuple[PoolLimit, int], ...],
        dataset: Limit,
        breakers: tuple[Breaker, ...],
        line: RunQueue,
    ) -> None:
        self.run = run
        self.number = number
        self.stage = stage
        self.ready = ready
        self.pools = pools
        self.dataset = dataset
        self.breakers = breakers
        self.line = line
        self.listed = _NOT_LISTED
        self.held_by: Limit | Breaker | None = None
        self.typical_ms = stage.typical_ms
        is_ranged = stage.batch > 1 and not stage.can_yield
        self.chain = Chain(stage.successor) if is_ranged and stage.successor is not None else None
        self.attempts = 0
        self.retries = 0
        self.parked: list[int] = []
        """Tasks that wait until the retry budget has room."""

    def obstacle(self) -> Limit | Breaker | None:
        """Return what keeps the next task from starting, if anything of its own does."""
        for breaker in self.breakers:
            if not breaker.lets_through():
                return breaker
        for pool, slots in self.pools:
            if not pool.has_room(self, slots):
                return pool
        most = self.stage.concurrency
        return None if most is None or self.dataset.used < most else self.dataset

    @property
    def priority(self) -> int:
        """The priority of its service class."""
        return self.line.owner.class_queue.service_class.priority

    def enlist(self) -> None:
        """Let the run know that a task is ready, or that the first one is another."""
        if self.ready and self.held_by is None and self.listed != self.ready[0]:
            self.listed = self.ready[0]
            self.line.add(self)

    def take(self) -> list[int]:
        """Take the next task, and with it its neighbours that are ready and have not failed, in their order."""
        task, tasks = task_of(heappop(self.ready)), self.run.tasks
        if self.chain is None:
            if tasks.taken:
                tasks.take((), self.number)
            return [task]
        taken = [task]
        base = tasks.base[self.number]
        if not self.run.has_failed(task):
            taken = [base + at for at in self.chain.around(task - base, self.stage.batch, self._may_join)]
        tasks.take([other for other in taken if other != task], self.number)
        return taken

    def _may_join(self, position: int) -> bool:
        tasks = self.run.tasks
        task = tasks.base[self.number] + position
        if tasks.state[task] != _READY or self.run.has_failed(task):
            return False
        gathering = tasks.gatherings[self.number]
        return gathering is None or not gathering.is_held(position)

    def budget_has_room(self) -> bool:
        """Return whether another attempt may be a retry."""
        policy = self.stage.retry
        return self.retries < max(policy.budget_min, int(policy.budget * self.attempts))

    def unpark(self) -> None:
        """Let tasks go on that waited for the retry budget, as far as it has room."""
        while self.parked and self.budget_has_room():
            self.retries += 1
            self.run.tasks.make_ready(self.parked.pop(0), self.number)


class RunQueue:
    """The stages of one run that have something to start in one lane.

    Args:
        run: The run.
        order: Its number among all submissions: of equals the older is first.
    """

    __slots__ = ("charged", "front", "is_queued", "order", "owner", "run", "stages")

    def __init__(self, run: LiveRun, order: int, owner: OwnerQueue) -> None:
        self.run = run
        self.order = order
        self.owner = owner
        self.charged = 0.0
        self.front: list[tuple[int, int]] = []
        self.stages: dict[int, StageQueue] = {}
        self.is_queued = False

    def add(self, stage: StageQueue) -> None:
        """Put a stage into the heap at its first ready task."""
        heappush(self.front, (stage.listed, stage.number))
        if not self.is_queued:
            self.owner.add(self)

    def wake(self) -> None:
        """Queue again if there is something to start."""
        if self.front and not self.is_queued:
            self.owner.add(self)

    def first(self) -> StageQueue | None:
        """Return the stage whose task is next; those that are held back leave the heap."""
        front = self.front
        while front:
            listed, number = front[0]
            stage = self.stages[number]
            if stage.listed != listed:
                heappop(front)  # It has another first task by now, or was held back.
                continue
            if not stage.ready:
                heappop(front)  # What was ready waits for another run by now.
                stage.listed = _NOT_LISTED
                continue
            obstacle = stage.obstacle()
            if obstacle is None:
                return stage
            heappop(front)
            stage.listed = _NOT_LISTED
            stage.held_by = obstacle
            obstacle.hold(stage)
        return None

    def pop(self, stage: StageQueue) -> list[int]:
        """Take the next task of the stage that `first` returned, and what is started with it."""
        tasks = stage.take()
        if stage.ready:
            stage.listed = stage.ready[0]
            heapreplace(self.front, (stage.listed, stage.number))
        else:
            stage.listed = _NOT_LISTED
            heappop(self.front)
        return tasks


class OwnerQueue:
    """The runs of one owner, of one service class, that have something to start in one lane."""

    __slots__ = ("charged", "class_queue", "is_queued", "name", "runs", "served", "weight")

    def __init__(self, name: str, weight: float, class_queue: ClassQueue) -> None:
        self.name = name
        self.weight = weight
        self.class_queue = class_queue
        self.charged = 0.0
        self.served: dict[int, float] = {}
        """What the run that was served last had been charged, by priority: those of one do not share with another's."""
        self.runs: list[tuple[int, float, int, RunQueue]] = []
        self.is_queued = False

    def add(self, line: RunQueue) -> None:
        """Queue a run."""
        line.is_queued = True
        line.charged = max(line.charged, self.served.get(line.run.priority, 0.0))
        heappush(self.runs, (-line.run.priority, line.charged, line.order, line))
        if not self.is_queued:
            self.class_queue.add(self)

    def first(self) -> tuple[RunQueue, StageQueue] | None:
        """Return the run that is next and its stage; those that cannot start anything leave the heap."""
        while self.runs:
            line = self.runs[0][-1]
            if line.run.may_start():
                stage = line.first()
                if stage is not None:
                    return line, stage
            heappop(self.runs)
            line.is_queued = False
        return None


class ClassQueue:
    """The owners of one service class that have something to start in one lane.

    Args:
        service_class: The class.
        order: Its number among the classes.
    """

    __slots__ = (
        "allowed",
        "asked",
        "charged",
        "credit",
        "is_away",
        "n_held",
        "order",
        "owners",
        "served",
        "service_class",
        "spread",
        "used",
        "waits_since_ms",
        "yielding",
    )

    def __init__(self, service_class: ServiceClass, order: int) -> None:
        self.service_class = service_class
        self.order = order
        self.owners: list[tuple[float, str, OwnerQueue]] = []
        self.used = 0
        self.allowed = 0
        """How many of its attempts may be in the lane at a time."""
        self.spread = 0
        """In how many slots."""
        self.charged = 0.0
        self.served = 0.0
        self.is_away = False
        """Whether it could start nothing lately."""
        self.n_held = 0
        """Stages that wait for slots of a pool, or for fewer attempts of a dataset."""
        self.credit = 0.0
        """Slot time that its floor owes it, ms."""
        self.waits_since_ms: int | None = None
        """Since when it could start something if only a slot were free."""
        self.yielding: dict[Task, None] = {}
        """Its attempts that can stop early and were not asked to, in the order in which they were started."""
        self.asked: dict[Task, None] = {}
        """Attempts of other classes that were asked to, for its sake."""

    def owes(self, stage: StageQueue) -> bool:
        """Return whether its floor owes it an attempt of a stage."""
        return self.credit >= min(stage.typical_ms, MOST_CREDIT_MS)

    def add(self, owner: OwnerQueue) -> None:
        """Queue an owner."""
        owner.is_queued = True
        owner.charged = max(owner.charged, self.served)
        heappush(self.owners, (owner.charged, owner.name, owner))

    def first(self) -> tuple[OwnerQueue, RunQueue, StageQueue] | None:
        """Return who is next; owners that cannot start anything leave the heap."""
        while self.owners:
            owner = self.owners[0][-1]
            found = owner.first()
            if found is not None:
                return owner, *found
            heappop(self.owners)
            owner.is_queued = False
        return None

    def charge(self, owner: OwnerQueue, line: RunQueue, cost_ms: float) -> None:
        """Charge a start to who `first` returned."""
        owner.served[line.run.priority] = line.charged
        line.charged += cost_ms
        heapreplace(owner.runs, (-line.run.priority, line.charged, line.order, line))
        self.served = owner.charged
        owner.charged += cost_ms / owner.weight
        heapreplace(self.owners, (owner.charged, owner.name, owner))


def release(holder: Limit | Breaker) -> None:
    """Put the stages that something held back into their queues again."""
    for stage in holder.let_go():
        stage.held_by = None
        stage.enlist()
