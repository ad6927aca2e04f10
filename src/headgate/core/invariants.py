"""What must hold between any two events. Slow and plain: for tests, and for a look at a scheduler that misbehaves."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from headgate.core.breaker import Breaker
from headgate.core.edges import SharedEdge
from headgate.core.effects import StartAttempt
from headgate.core.limit import Limit, PoolLimit
from headgate.core.queues import MOST_CREDIT_MS
from headgate.core.states import DONE, ENDED, HALTED
from headgate.core.task_table import task_of
from headgate.model.breaker import BreakerState
from headgate.model.run import RunState, TaskState

if TYPE_CHECKING:
    from collections.abc import Iterator

    from headgate.core.admission import LaneQueue
    from headgate.core.effects import Step
    from headgate.core.live_run import LiveRun
    from headgate.core.queues import ClassQueue, StageQueue
    from headgate.core.ranged import RangedAttempt
    from headgate.core.scheduler import Scheduler
    from headgate.core.task_table import TaskTable

_RETRIED = frozenset({TaskState.FAILED, TaskState.CANCELLED})
_AFTER_UPSTREAM = frozenset({TaskState.READY, TaskState.RUNNING, TaskState.BACKING_OFF, *DONE})


def violations(scheduler: Scheduler) -> list[str]:
    """Return what does not hold; nothing for a sound scheduler. Changes nothing.

    Assumes that transitions have been taken by `Scheduler.handle`, as they are between two events.
    """
    found = [*_slots(scheduler), *_breakers(scheduler), *_listed(scheduler), *_idle(scheduler)]
    for run, live in scheduler.runs.items():
        table = live.tasks
        parts = (_counts(table), _waits(table), _order(table), _queues(live), _timers(scheduler, live), _progress(live))
        found += [f"run {run}: {text}" for part in (*parts, _ranged(live)) for text in part]
    return found


def unlawful_starts(scheduler: Scheduler, step: Step) -> list[str]:
    """Return what the latest step started although a rule forbade it; nothing for a sound scheduler.

    What was started before a limit shrank may be beyond it, so only this tells that limits are kept.
    """
    found = []
    later: Counter[Limit] = Counter()
    starts = [effect for effect in step.effects if isinstance(effect, StartAttempt)]
    for run, task in [(one.run, one.task) for one in reversed(starts) if one.lead in (None, one.task)]:
        live = scheduler.runs[run]
        stage = live.stages[live.tasks.stage_of(task)[0]]
        key = live.ranged[task].key if task in live.ranged else task
        queue = stage.line.owner.class_queue
        broken = [f"{pool.name} has {pool.capacity} slots" for pool, _ in stage.pools if pool.used > pool.capacity]
        # Another run may have a wider bound, and have started more after it.
        beside, most = stage.dataset.used - later[stage.dataset], stage.stage.concurrency
        if most is not None and beside > most:
            broken.append(f"{beside} of {stage.dataset.name} run, it may be one of {most}")
        later[stage.dataset] += 1
        if live.concurrency is not None and live.used > live.concurrency:
            broken.append(f"the run may have {live.concurrency}")
        if scheduler.total is not None and scheduler.used > scheduler.total:
            broken.append(f"all may have {scheduler.total}")
        mine = queue.service_class
        share = min(mine.ceiling, scheduler.window_of(mine.name)[0])
        in_lanes = sum(lane.by_name[mine.name].used for lane in scheduler.lanes.values())
        if scheduler.total is not None and in_lanes > max(1, share * scheduler.total):
            broken.append(f"{in_lanes} of {mine.name} run, it may have {share:.0%} of {scheduler.total} in all")
        if queue.used > queue.allowed:
            broken.append(f"{queue.service_class.name} may have {queue.allowed}")
        if live.is_paused or live.closing is not None or live.finished:
            broken.append("the run starts nothing")
        for breaker in stage.breakers:
            if breaker.state is not BreakerState.CLOSED and breaker.probe != (run, key):
                broken.append(f"breaker {breaker.name} is {breaker.state}")
        found += [f"task {task} of run {run} was started, but {text}" for text in broken]
    return found


def _running(scheduler: Scheduler) -> Iterator[tuple[LiveRun, StageQueue, int]]:
    """Yield the attempts that run, by task or by the key of a ranged one."""
    for live in scheduler.runs.values():
        keys = {
            live.ranged[task].key if task in live.ranged else task: live.stages[live.tasks.stage_of(task)[0]]
            for task in live.tasks.tasks_in(TaskState.RUNNING)
        }
        for key in sorted(keys):
            yield live, keys[key], key


def _slots(scheduler: Scheduler) -> Iterator[str]:
    """Count again, attempt by attempt, what is in use."""
    limits: Counter[Limit] = Counter()
    queues: Counter[ClassQueue] = Counter()
    tasks: dict[str, list[int]] = {run: [] for run in scheduler.runs}
    for live, stage, task in _running(scheduler):
        limits[stage.dataset] += 1
        for pool, slots in stage.pools:
            limits[pool] += slots
        queues[stage.line.owner.class_queue] += 1
        tasks[live.id].append(task)
    for limit in (*scheduler.pools.values(), *scheduler.datasets.values()):
        if limit.used != limits[limit]:
            yield f"{limit.name} counts {limit.used} slots, {limits[limit]} are taken"
    yielding = [(live, stage, task) for live, stage, task in _running(scheduler) if stage.stage.can_yield]
    for lane in scheduler.lanes.values():
        for queue in lane.classes:
            if queue.used != queues[queue]:
                yield f"{queue.service_class.name} counts {queue.used} attempts in {lane.lane}, {queues[queue]} run"
            # Who was asked already is not asked again.
            asked = {task for other in lane.classes for task in other.asked}
            mine = {(live.id, task) for live, stage, task in yielding if stage.line.owner.class_queue is queue}
            if set(queue.yielding) != mine - asked:
                yield f"{queue.service_class.name} could ask {sorted(queue.yielding)} in {lane.lane} to yield"
    for run, live in scheduler.runs.items():
        if live.used != len(tasks[run]) or sorted(live.started_ms) != tasks[run]:
            yield f"run {run} counts {live.used} attempts, {len(tasks[run])} run"
    if scheduler.used != sum(map(len, tasks.values())):
        yield f"{scheduler.used} attempts are counted, {sum(map(len, tasks.values()))} run"


def _breakers(scheduler: Scheduler) -> Iterator[str]:
    running = {(live.id, task) for live, _, task in _running(scheduler)}
    due = {(due_ms, name) for due_ms, _, name, task in scheduler.due if task < 0}
    for name, breaker in scheduler.breakers.items():
        where = f"breaker {name} is {breaker.state}"
        if breaker.probe is not None and breaker.state is not BreakerState.HALF_OPEN:
            yield f"{where} and has a probe"
        if breaker.probe is not None and breaker.probe not in running:
            yield f"{where}, its probe {breaker.probe} does not run"
        if (breaker.until_ms > 0) != (breaker.state is BreakerState.OPEN):
            yield f"{where} until {breaker.until_ms}"
        if breaker.state is BreakerState.OPEN and (breaker.until_ms, name) not in due:
            yield f"{where}, and nothing ends that"


def _listed(scheduler: Scheduler) -> Iterator[str]:
    """Check that whoever has something to start is in the heap above, once."""
    for live in scheduler.runs.values():
        for line in live.lines:
            owner = line.owner
            places = sum(entry[-1] is line for entry in owner.runs)
            if places != line.is_queued:
                yield f"run {live.id} is {places} times in its owner's heap"
            if line.front and live.may_start() and not places and any(stage.ready for stage in line.stages.values()):
                yield f"run {live.id} has something to start, and does not queue"
    held: Counter[ClassQueue] = Counter()
    for limit in (*scheduler.pools.values(), *scheduler.datasets.values()):
        held.update(stage.line.owner.class_queue for stage in limit.held)
    for lane in scheduler.lanes.values():
        for queue in lane.classes:
            if queue.n_held != held[queue]:
                yield f"{queue.service_class.name} counts {queue.n_held} stages that are held back, not {held[queue]}"
        for owner in lane.owners.values():
            places = sum(entry[-1] is owner for entry in owner.class_queue.owners)
            if places != owner.is_queued or (owner.runs and not places):
                yield f"owner {owner.name!r} is {places} times in the heap of {owner.class_queue.service_class.name}"


def _idle(scheduler: Scheduler) -> Iterator[str]:
    """Check that no task is ready, and allowed by every rule, while a slot is free for it."""
    for lane in scheduler.lanes.values():
        if lane.free <= 0 or (scheduler.total is not None and scheduler.used >= scheduler.total):
            continue
        waiting = [
            (live, stage)
            for live in scheduler.runs.values()
            for stage in live.stages
            if stage.stage.lane is lane.lane and stage.ready
        ]
        for live, stage in waiting:
            # Whether a floor is due goes by the attempt that is next in the class, which may be of any of these.
            cost_ms = max(other.typical_ms for one, other in waiting if one.service_class == live.service_class)
            if _may_start(scheduler, lane, live, stage, cost_ms):
                yield f"run {live.id}: stage {stage.number} has a ready task, and a slot is free for it"


def _may_start(scheduler: Scheduler, lane: LaneQueue, live: LiveRun, stage: StageQueue, cost_ms: float) -> bool:
    queue = stage.line.owner.class_queue
    mine = queue.service_class
    if not live.may_start() or stage.obstacle() is not None or queue.used >= queue.allowed:
        return False
    if not scheduler.in_all.lets_in(mine):
        return False
    used = sum(other.used for other in lane.classes)
    reserved = sum(
        max(0, other.service_class.reserved - (other.used + lane.depth - 1) // lane.depth)
        for other in lane.classes
        if other.service_class.priority > mine.priority
    )
    is_owed = mine.floor > 0 and queue.credit >= min(cost_ms, MOST_CREDIT_MS)
    if not is_owed and not scheduler.in_all.leaves_reserved(mine):
        return False
    return is_owed or not reserved or used < max(1, lane.slots - reserved) * lane.depth


def _counts(table: TaskTable) -> Iterator[str]:
    for stage, counts in enumerate(table.counts):
        seen = Counter(table.state[table.base[stage] : table.base[stage + 1]])
        if [seen[state] for state in TaskState] != counts:
            yield f"stage {stage} counts {counts}, its tasks say {dict(seen)}"
        tasks = range(table.base[stage], table.base[stage + 1])
        taken_over = sum(table.inherited[task] and table.state[task] == TaskState.SKIPPED for task in tasks)
        if taken_over != table.taken_over[stage]:
            yield f"stage {stage} counts {table.taken_over[stage]} tasks as taken over, there are {taken_over}"
    if table.totals != [sum(column) for column in zip(*table.counts, strict=True)] and table.counts:
        yield f"totals {table.totals} are not the sum of the stages"
    if table.moved:
        yield f"{len(table.moved)} transitions were not taken"


def _waits(table: TaskTable) -> Iterator[str]:
    """Recount, edge by edge, what each task waits for and whether anything before it changed."""
    for stage, declared in enumerate(table.stages):
        for position in range(len(declared.states)):
            task = table.base[stage] + position
            unmet, dirty = 0, False
            for edge in declared.edges:
                base = table.base[edge.upstream]
                upstream = [base + at for at in edge.upstream_of(position)]
                left = sum(table.state[at] not in DONE for at in upstream)
                unmet += left > 0 if isinstance(edge, SharedEdge) else left
                if not isinstance(edge, SharedEdge) or not left:
                    dirty = dirty or any(table.changed[at] for at in upstream)
            unmet += table.held.get(task, 0)
            if unmet != table.unmet[task]:
                yield f"task {task} waits for {table.unmet[task]}, by its edges for {unmet}"
            if not unmet and dirty != table.dirty[task]:
                yield f"task {task} is {'' if table.dirty[task] else 'not '}marked as changed upstream, wrongly"


def _order(table: TaskTable) -> Iterator[str]:
    """Check each task against what it reads. Tasks that were submitted as ended are not judged."""
    for stage, declared in enumerate(table.stages):
        for position, submitted in enumerate(declared.states):
            task = table.base[stage] + position
            if TaskState(submitted) in ENDED:
                # A retry takes back what halted, but not what was never to run.
                if table.state[task] != submitted and submitted not in _RETRIED:
                    yield f"task {task} had ended, and moved"
                continue
            state = TaskState(table.state[task])
            if table.inherited[task] and state is TaskState.SKIPPED:
                continue
            upstream = [table.base[edge.upstream] + at for edge in declared.edges for at in edge.upstream_of(position)]
            states = {TaskState(table.state[at]) for at in upstream}
            if state in _AFTER_UPSTREAM and not states <= DONE:
                yield f"task {task} is {state.name} before its upstream is done"
            if state is TaskState.WAITING and states <= DONE and task not in table.held:
                yield f"task {task} waits, but its upstream is done"
            if state is TaskState.SKIPPED and (
                not declared.skippable[position] or any(table.changed[at] for at in upstream)
            ):
                yield f"task {task} was skipped although it had to run"
            if (state is TaskState.BLOCKED and not states & HALTED) or (state is TaskState.WAITING and states & HALTED):
                yield f"task {task} is {state.name}, its upstream is {sorted(states)}"


def _queues(live: LiveRun) -> Iterator[str]:
    """Check that the ready tasks of each stage are queued, and that the stage is, or is held back by what holds."""
    table = live.tasks
    ready: list[list[int]] = [[] for _ in live.stages]
    for task in table.tasks_in(TaskState.READY):
        ready[table.stage_of(task)[0]].append(task)
    for stage, tasks in zip(live.stages, ready, strict=True):
        heap, name = stage.ready, f"stage {stage.number}"
        queued = [task_of(entry) for entry in heap]
        gathering, base = table.gatherings[stage.number], table.base[stage.number]
        due = [task for task in tasks if gathering is None or not gathering.is_held(task - base)]
        if sorted(task for task in queued if task not in table.taken) != due:
            yield f"{name} queues {queued}, ready are {due}, taken from their midst were {sorted(table.taken)}"
        if queued and queued[0] in table.taken:
            yield f"the first in the queue of {name} was taken"
        if any(heap[(child - 1) // 2] > heap[child] for child in range(1, len(heap))):
            yield f"the queue of {name} is no heap"
        if heap and live.closing is None:
            yield from _place(stage, name)


def _place(stage: StageQueue, name: str) -> Iterator[str]:
    holder = stage.held_by
    is_listed = stage.listed == stage.ready[0] and (stage.listed, stage.number) in stage.line.front
    if holder is None:
        if not is_listed:
            yield f"{name} has ready tasks, but neither queues nor is held back"
        return
    if is_listed:
        yield f"{name} queues although {holder.name} holds it back"
    if sum(one is stage for one in holder.held) != 1:
        yield f"{name} is held back by {holder.name}, which does not know it"
    match holder:
        case PoolLimit():
            holds = any(pool is holder and not pool.has_room(stage, slots) for pool, slots in stage.pools)
        case Limit():
            most = stage.stage.concurrency
            holds = holder is stage.dataset and most is not None and holder.used >= most
        case Breaker():
            holds = holder in stage.breakers and not holder.lets_through()
    if not holds:
        yield f"{name} is held back by {holder.name}, which has room"


def _timers(scheduler: Scheduler, live: LiveRun) -> Iterator[str]:
    """Check that whatever backs off waits for a time or for the retry budget."""
    due = {(due_ms, task) for due_ms, _, name, task in scheduler.due if name == live.id}
    parked = [task for stage in live.stages for task in stage.parked]
    if len(set(parked)) != len(parked):
        yield f"tasks are parked twice: {parked}"
    for task in parked:
        if live.tasks.state[task] != TaskState.BACKING_OFF:
            yield f"task {task} is parked, but {TaskState(live.tasks.state[task]).name}"
    for task in [] if live.finished else live.tasks.tasks_in(TaskState.BACKING_OFF):
        timed = (live.due_ms.get(task), task) in due
        if timed == (task in parked):
            yield f"task {task} backs off {'twice' if timed else 'for ever'}"


def _ranged(live: LiveRun) -> Iterator[str]:
    """Check that ranged attempts have the tasks that they say."""
    attempts: dict[RangedAttempt, list[int]] = {}
    for task, ranged in live.ranged.items():
        attempts.setdefault(ranged, []).append(task)
    for ranged, tasks in attempts.items():
        where = f"the ranged attempt {ranged.key}"
        stages = {live.tasks.stage_of(task)[0] for task in tasks}
        most = live.tasks.stages[min(stages)].batch
        if len(stages) > 1 or not len(tasks) == ranged.left <= most:
            yield f"{where} counts {ranged.left} tasks, it has {sorted(tasks)}, {most} may be"
        idle = [task for task in tasks if live.tasks.state[task] != TaskState.RUNNING]
        if idle:
            yield f"{where} has {idle}, which do not run"
        if live.apart.intersection(tasks):
            yield f"{where} has tasks that have failed before"


def _progress(live: LiveRun) -> Iterator[str]:
    """Check that nothing runs too often, and that a run that has ended says so."""
    table = live.tasks
    for task in table.tasks_in(TaskState.RUNNING):
        attempts = table.stages[table.stage_of(task)[0]].retry.attempts
        if not 0 < table.tries[task] <= attempts:
            yield f"task {task} runs for the {table.tries[task]}th time"
    running = table.total(TaskState.RUNNING)
    left = table.total(TaskState.WAITING, TaskState.READY, TaskState.BACKING_OFF)
    if live.finished != (not running and (not left or live.closing is not None)):
        yield f"its end is {'' if live.finished else 'not '}reported with {running} running and {left} left"
    if left and live.closing is RunState.CANCELLED:
        yield f"{left} tasks are left of a cancelled run"
