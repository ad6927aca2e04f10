"""A coordinator as the live one, around the model store: takes over, then turn by turn one transaction and its orders.

It can die at any point that is named here, and then everything that it knew is gone.
"""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from headgate.core.effects import FinishRun, SaveBreaker, StartAttempt, StopAttempt, YieldAttempt
from headgate.core.events import (
    AttemptCancelled,
    AttemptFailed,
    AttemptReturned,
    AttemptSucceeded,
    AttemptYielded,
    Lane,
    PauseRequested,
    RunSubmitted,
    SlotsOffered,
    TimePassed,
)
from headgate.core.scheduler import Scheduler
from headgate.core.states import ENDED
from headgate.drivers.faulty.model_store import AttemptRow
from headgate.drivers.faulty.scene import Sharing, priorities
from headgate.drivers.faulty.steering import Steering
from headgate.drivers.faulty.violation import Violation
from headgate.drivers.faulty.watch import Watch
from headgate.drivers.faulty.workers import Answer, Kind, Order
from headgate.model.breaker import BreakerState
from headgate.model.run import AttemptState, ErrorClass, RunState, TaskState
from headgate.store.records import Published

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from headgate.core.effects import Effect
    from headgate.core.events import Event
    from headgate.drivers.faulty.luck import Luck
    from headgate.drivers.faulty.model_store import ModelStore, Transaction
    from headgate.drivers.faulty.scene import Request, Scene
    from headgate.drivers.faulty.workers import Workers

_FAILED = frozenset({AttemptState.FAILED, AttemptState.SUPERSEDED})


class Crashed(Exception):
    """The coordinator is dead."""


class Coordinator:
    """Drives the scheduler.

    Args:
        scene: Project and policies.
        store: What is durable.
        workers: Who carries out attempts.
        luck: What goes wrong.
        wall_ms: The wall clock.
        say: Takes a line of the transcript.
    """

    def __init__(
        self,
        scene: Scene,
        store: ModelStore,
        workers: Workers,
        luck: Luck,
        *,
        wall_ms: Callable[[], int],
        say: Callable[..., None],
    ) -> None:
        self._scene, self._store, self._workers, self._luck = scene, store, workers, luck
        self._wall_ms, self._say = wall_ms, say
        self._take_over()
        for record in store.breakers.values():
            if record.state is not BreakerState.CLOSED:
                is_open = record.state is BreakerState.OPEN
                luck.note("breaker open after a crash" if is_open else "made half open again after a crash")
        self.scheduler = Scheduler(
            scene.classes,
            scene.pools,
            total=scene.total,
            owner_weights=scene.owner_weights,
            breakers=store.breakers.values(),
            traced=True,
        )
        self.watch = Watch(scene, self.scheduler, luck, store.breakers)
        self.wake_at_ms: int | None = None
        self._in_flight: dict[int, StartAttempt] = {}
        self._hands: set[str] = set()
        self._todo: list[Effect] = []
        self._steering = Steering(
            scene, store, self.scheduler, luck, hands=self._hands, handle=self._handle, take_up=self._take_up
        )
        for run, row in store.runs.items():
            if row.state is RunState.RUNNING:
                self._begin(scene.requests[run])
        if self.scheduler.overlaps:
            luck.note("in line again after a crash")

    def turn(self, answers: Sequence[Answer]) -> None:
        """Take in what came back, do as people ask, and let what follows begin. Raises `Crashed`."""
        self._die("crash before the transaction")
        tx = self._store.begin()
        todo, self._todo = self._todo, []
        try:
            for answer in answers:
                todo += self._absorb(tx, answer)
            for number, change in list(self._store.requests.items()):
                todo += self._steering.obey(tx, change)
                if change.verb != "cancel":
                    tx.settle(number)
            for lane in Lane:
                todo += self._handle(SlotsOffered(lane, self._workers.free(lane), *self._scene.lanes[lane]))
            if self.wake_at_ms is not None and self.wake_at_ms <= self._wall_ms():
                todo += self._handle(TimePassed())
            for lane in Lane:
                # What falls due in the next turn, before anybody was asked again, must not start in what is left.
                todo += self._handle(SlotsOffered(lane, 0, *self._scene.lanes[lane]))
            orders = self._carry_out(tx, todo)
            self._die("crash before the commit")
        except Crashed:
            tx.rollback()
            raise
        self._commit(tx)
        self._die("crash between commit and orders")
        for n, together in enumerate(orders):
            if n:
                self._die("crash between two orders")
            self._workers.submit(together)
        self._ask_to_stop(todo)
        self.watch.look(self._store.breakers)
        self._forget()
        self._die("crash after the orders")

    def _take_over(self) -> None:
        """Fence what the one before left, and end what had to be cancelled; then nothing of it can publish."""
        tx = self._store.begin()
        for attempt, row in self._store.attempts.items():
            if row.state is AttemptState.RUNNING:
                tx.end(attempt, AttemptState.LOST)
        for number, change in list(self._store.requests.items()):
            if change.verb == "cancel" and self._store.is_run(change.target, RunState.RUNNING, RunState.INTERRUPTED):
                tx.set_run(change.target, state=RunState.CANCELLED, is_cancelled=False)
                self._say("  ", change.target, "is cancelled")
            tx.settle(number)
        if self._luck.strikes("crash while taking over"):
            tx.rollback()
            self._luck.note("crash while taking over")
            raise Crashed

    def _die(self, point: str) -> None:
        if self._luck.strikes(point):
            self._luck.note(point)
            self._say("  ", point)
            raise Crashed

    def _handle(self, event: Event) -> list[Effect]:
        now_ms = self._wall_ms()
        if not isinstance(event, SlotsOffered) or event.free:
            self._say("  ", event if not isinstance(event, RunSubmitted) else f"RunSubmitted({event.run})")
        step = self.scheduler.handle(event, now_ms)
        for moved in step.transitions:
            self._say("    ", moved.run, moved.task, moved.state.name)
        for effect in step.effects:
            self._say("    ", effect)
        self.wake_at_ms = step.wake_at_ms
        self.watch.after(event, step, now_ms)
        return step.effects

    def _begin(self, request: Request) -> None:
        """Submit a run with what is recorded of it."""
        row = self._store.runs[request.run]
        made = {cp.task: number for number, cp in self._store.checkpoints.items() if cp.run == request.run}
        last = {a.task: (n, a.state) for n, a in self._store.attempts.items() if a.run == request.run}
        states: list[list[TaskState]] = []
        changed: list[list[bool]] = []
        task = 0
        for part in request.parts:
            states.append([])
            changed.append([])
            for is_blocked in part.blocked:
                state = TaskState.BLOCKED if is_blocked else TaskState.WAITING
                number, ended = last.get(task, (0, AttemptState.RUNNING))
                if task in made:
                    state = TaskState.SUCCEEDED
                elif ended in _FAILED and number >= row.retried_from:
                    state = TaskState.FAILED
                version = self._store.checkpoints[made[task]].version if task in made else -1
                states[-1].append(state)
                changed[-1].append(version == made.get(task))
                task += 1
        stages = self._scene.stages(request, states, changed, priorities(request, Random(row.order)))
        event = RunSubmitted(
            request.run,
            stages,
            request.service_class,
            request.owner,
            row.priority or request.priority,
            request.concurrency if row.concurrency is None else row.concurrency,
            shared=self._scene.shared(request, self.scheduler.runs),
            joins=request.joins,
        )
        self._hands.add(request.run)
        self._todo += self._handle(event)
        if row.is_paused:
            self._todo += self._handle(PauseRequested(request.run))

    # What comes back

    def _absorb(self, tx: Transaction, answer: Answer) -> list[Effect]:
        start = self._in_flight.pop(answer.attempt, None)
        self._say("  ", answer.kind.name, answer.attempt, *([answer.error] if answer.error else []))
        if start is None:
            self._refuse(tx, answer)
            return []
        run, task = start.run, start.task
        match answer.kind:
            case Kind.STAGED:
                return self._publish(tx, start, answer)
            case Kind.FAILED | Kind.LOST:
                assert answer.error is not None
                probes = [one for one in self.scheduler.breakers.values() if one.probe == (run, task)]
                effects = self._handle(AttemptFailed(run, task, answer.error))
                if any(one.state is BreakerState.HALF_OPEN for one in probes):
                    self._luck.note("probe gave no answer")
                has_ended = self.scheduler.runs[run].tasks.state[task] in ENDED
                given_up = AttemptState.FAILED if has_ended else AttemptState.RETRIED
                tx.end(answer.attempt, AttemptState.LOST if answer.kind is Kind.LOST else given_up)
                return effects
            case Kind.RETURNED:
                tx.end(answer.attempt, AttemptState.RETURNED)
                return self._handle(AttemptReturned(run, task))
            case Kind.YIELDED:
                tx.end(answer.attempt, AttemptState.YIELDED)
                return self._handle(AttemptYielded(run, task))
            case Kind.CANCELLED:
                tx.end(answer.attempt, AttemptState.CANCELLED)
                self._luck.note("cancelled while it ran")
                return self._handle(AttemptCancelled(run, task))

    def _refuse(self, tx: Transaction, answer: Answer) -> None:
        """Let what is not in flight try to publish: its token must not be good any more."""
        if answer.kind is not Kind.STAGED:
            return
        verdict = tx.publish(answer.attempt, answer.content)
        if verdict is not Published.FENCED:
            raise Violation(f"attempt {answer.attempt} had ended, and published: {verdict}")
        is_old = answer.session != self._workers.session
        self._luck.note("zombie after a crash fenced" if is_old else "zombie fenced")

    def _publish(self, tx: Transaction, start: StartAttempt, answer: Answer) -> list[Effect]:
        if self.scheduler.runs[start.run].closing is RunState.CANCELLED:
            self._luck.note("stopped and ended all the same")
        verdict = tx.publish(answer.attempt, answer.content)
        match verdict:
            case Published.NEW | Published.UNCHANGED:
                if verdict is Published.UNCHANGED:
                    self._luck.note("unchanged")
                return self._handle(AttemptSucceeded(start.run, start.task, verdict is Published.NEW))
            case Published.SUPERSEDED:
                if self._scene.sharing is not Sharing.BLIND:
                    raise Violation(f"the head of {self._store.attempts[answer.attempt].partition} moved by itself")
                self._luck.note("superseded")
                # In a ranged attempt it costs no try, but after a crash it counts as recorded.
                self._luck.unlucky.add((start.run, start.task))
                return self._handle(AttemptFailed(start.run, start.task, ErrorClass.PERMANENT))
            case Published.FENCED:
                raise Violation(f"attempt {answer.attempt} is in flight, and its token is no good")

    def _take_up(self, run: str) -> list[Effect]:
        self._begin(self._scene.requests[run])
        todo, self._todo = self._todo, []
        return todo

    # What follows

    def _carry_out(self, tx: Transaction, effects: Sequence[Effect]) -> list[list[Order]]:
        """Record what the effects intend; return the orders for when that is durable, those of an attempt together."""
        starts = [effect for effect in effects if isinstance(effect, StartAttempt)]
        rows = []
        for start in starts:
            partition = self._scene.requests[start.run].partition(start.task)
            rows.append(AttemptRow(start.run, start.task, partition, self._store.heads.get(partition)))
        orders: dict[tuple[str, int], list[Order]] = {}
        for number, start, row in zip(tx.start(rows), starts, rows, strict=True):
            self._in_flight[number] = start
            table = self._scene.tables[row.partition[0]]
            together = orders.setdefault((start.run, start.task if start.lead is None else ~start.lead), [])
            together.append(Order(number, start.run, table.lane, row.partition, table.can_yield))
            self._say("  ", "order", number, start.run, start.task)
        for effect in effects:
            match effect:
                case SaveBreaker(record):
                    tx.save_breaker(record)
                case FinishRun(run, state):
                    tx.set_run(run, state=state, is_cancelled=False)
                    tx.settle_cancel(run)
                case _:
                    pass
        return list(orders.values())

    def _commit(self, tx: Transaction) -> None:
        """Commit; or die; or find out whether it had been done, and do it again if not."""
        if self._luck.strikes("commit fails"):
            tx.rollback()
            self._luck.note("commit failed")
            self._say("   commit failed")
            raise Crashed
        if not self._luck.strikes("commit unknown"):
            return
        has_happened, dies = self._luck.random.random() < 0.5, self._luck.random.random() < 0.5
        self._luck.note(f"commit unknown and it had {'happened' if has_happened else 'not'}")
        self._say("  ", "commit unknown, done:", has_happened, "dies:", dies)
        if not has_happened:
            tx.rollback()
        if dies:
            raise Crashed
        if not has_happened:
            tx.again()

    def _ask_to_stop(self, effects: Sequence[Effect]) -> None:
        numbers = {(start.run, start.task): number for number, start in self._in_flight.items()}
        for effect in effects:
            match effect:
                case StopAttempt(run, task) if (run, task) in numbers:
                    self._workers.stop(numbers[run, task])
                case YieldAttempt(run, task) if (run, task) in numbers:
                    self._luck.note("asked to yield")
                    self._workers.ask_to_yield(numbers[run, task])
                case _:
                    pass

    def _forget(self) -> None:
        for run in sorted(self._hands):
            if self.scheduler.runs[run].finished:
                self._hands.discard(run)
                self.scheduler.forget(run)
