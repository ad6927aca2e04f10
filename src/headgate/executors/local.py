"""Worker processes on this machine, driven by one thread without any of its own.

Plain functions run in a fixed number of processes, one attempt at a time each; async functions in one more process,
many at a time. Each worker is the head of its own process group: stopping an attempt stops what it has started, and
costs no other attempt that runs.
"""

from __future__ import annotations

import os
import selectors
import signal
import time
from typing import TYPE_CHECKING, assert_never

from headgate.errors import UnavailableError
from headgate.executors.executor import Capabilities, Capacity
from headgate.executors.lane import LONG_MS, Lane
from headgate.executors.wake import WakePipe
from headgate.executors.worker_log import WorkerLog
from headgate.executors.worker_process import WorkerProcess
from headgate.model.run import ErrorClass
from headgate.worker.messages import (
    Beat,
    Cancelled,
    Drop,
    Failed,
    Lost,
    Progressed,
    Returned,
    Split,
    Staged,
    Work,
    Yielded,
    YieldUp,
    frame,
)

if TYPE_CHECKING:
    from pathlib import Path

    from headgate.worker.messages import FromWorker, Order, Outcome, Report

WATCH_S = 0.25
"""How often processes, beats and time limits are looked at, at least."""

BOOT_S = 60.0

READ = selectors.EVENT_READ
WRITE = selectors.EVENT_WRITE


class LocalExecutor:
    """Runs attempts in worker processes of this machine.

    Processes start with the first order of their kind. A dead, hung or overdue one is replaced: the attempt it ran
    is lost (or overdue), those that waited behind it are returned. All that runs in the process for async functions
    is lost together, also when one of them blocks its event loop for `heartbeat_timeout_s`.

    Args:
        project_root: Folder that the project's modules are imported from.
        processes: Processes for plain functions, at least 1; by default one for each core that may be used.
        io_concurrency: Attempts of async functions at a time.
        heartbeat_timeout_s: How long a worker may be silent. A function in C that keeps the interpreter's lock is.
        kill_grace_s: Time between SIGTERM and SIGKILL, and for an async attempt to end when it is cancelled.
        log: File that workers append their output to, or a descriptor.
    """

    capabilities = Capabilities(can_kill=True, can_reattach=False, is_local=True)

    def __init__(
        self,
        project_root: Path,
        *,
        processes: int | None = None,
        io_concurrency: int = 1000,
        heartbeat_timeout_s: float = 60.0,
        kill_grace_s: float = 2.0,
        log: Path | int = 2,
    ) -> None:
        self._project_root = project_root.resolve()
        self._heartbeat_timeout_s = heartbeat_timeout_s
        self._kill_grace_s = kill_grace_s
        self._log = WorkerLog(log)
        self._sync = Lane(processes or _cores(), None, is_io=False)
        self._io = Lane(1, io_concurrency, is_io=True)
        self._unreaped: list[WorkerProcess] = []
        self._outcomes: list[Report] = []
        self._watch_at = 0.0
        self._selector = selectors.DefaultSelector()
        self._wake = WakePipe()
        self._selector.register(self._wake, READ, None)
        self._is_closed = False

    def capacity(self) -> Capacity:
        """Return how many more orders are welcome in each lane."""
        return Capacity(self._sync.room(), self._io.room())

    def submit(self, *orders: Order) -> None:
        """Take orders; workers get them as soon as they have room."""
        for order in orders:
            lane = self._io if order.is_async else self._sync
            lane.backlog.append(order)
            lane.why_shut = ""
        now = time.monotonic()
        for lane in (self._sync, self._io):
            if lane.backlog:
                self._staff(lane, now)
                self._deal(lane, now)

    def poll(self, timeout_s: float) -> list[Report]:
        """Return the outcomes and the progress that have arrived, waiting up to `timeout_s` for the first.

        Raises:
            UnavailableError: Worker processes die before they can run anything.
        """
        now = time.monotonic()
        deadline = now + timeout_s
        while True:
            why = self._sync.why_shut or self._io.why_shut
            if why and not self._outcomes:
                raise self._unavailable(why)
            wait_s = 0.0 if self._outcomes else max(0.0, min(deadline, self._watch_at) - now)
            ready = self._selector.select(wait_s)
            now = time.monotonic()
            for key, events in ready:
                if key.data is None:
                    deadline = now if self._wake.drain() else deadline
                    continue
                if events & WRITE and not key.data.flush():
                    self._selector.modify(key.fileobj, READ, key.data)
                if events & READ:
                    self._read(key.data, now)
            # After reading: what came while this thread was away counts as a sign of life.
            if now >= self._watch_at:
                self._watch(now)
            for lane in (self._sync, self._io):
                if lane.backlog:
                    self._deal(lane, now)
            if self._outcomes or now >= deadline:
                outcomes, self._outcomes = self._outcomes, []
                return outcomes

    def cancel(self, attempt: int) -> None:
        """Stop an attempt: the one that runs with its process, one that waits by itself."""
        now = time.monotonic()
        for lane in (self._sync, self._io):
            for order in lane.backlog:
                if order.attempt == attempt:
                    lane.backlog.remove(order)
                    self._outcomes.append(Cancelled(attempt))
                    return
            for worker in lane.workers:
                if attempt in worker.held:
                    self._ask(worker, attempt, Cancelled(attempt), now)
                    return

    def ask_to_yield(self, attempt: int) -> None:
        """Have an attempt stop at its next batch checkpoint, or give it back if it has not started."""
        for lane in (self._sync, self._io):
            for order in lane.backlog:
                if order.attempt == attempt:
                    lane.backlog.remove(order)
                    self._outcomes.append(Returned([attempt]))
                    return
            for worker in lane.workers:
                if attempt in worker.held and worker.stopping is None:
                    self._send(worker, frame([YieldUp([attempt])]))
                    return

    def attached(self) -> set[int]:
        """Return the attempts that run or wait here."""
        attempts: set[int] = set()
        for lane in (self._sync, self._io):
            attempts.update(order.attempt for order in lane.backlog)
            for worker in lane.workers:
                attempts.update(worker.held)
        return attempts

    def wake(self) -> None:
        """Make a `poll` that waits return soon. Safe in a signal handler."""
        self._wake.ring()

    def close(self) -> None:
        """Kill all workers and what they started. Idempotent."""
        if self._is_closed:
            return
        self._is_closed = True
        workers = [*self._sync.workers, *self._io.workers, *self._unreaped]
        for worker in workers:
            worker.signal(signal.SIGKILL)
        for worker in workers:
            worker.reap(self._kill_grace_s)
        for lane in (self._sync, self._io):
            lane.workers.clear()
            lane.backlog.clear()
        self._selector.close()
        self._wake.close()
        self._log.close()

    def _staff(self, lane: Lane, now: float) -> None:
        """Start the workers that a lane lacks."""
        while len(lane.workers) < lane.size and now >= lane.spawn_at:
            beat_s = min(1.0, self._heartbeat_timeout_s / 4)
            try:
                worker = WorkerProcess(
                    self._project_root,
                    self._log.fd,
                    threads=max(1, _cores() // self._sync.size),
                    beat_s=beat_s,
                    is_io=lane.is_io,
                    now=now,
                )
            except OSError as error:
                self._boot_failed(lane, str(error), now)
                return
            lane.workers.append(worker)
            self._selector.register(worker.channel, READ, worker)

    def _boot_failed(self, lane: Lane, why: str, now: float) -> None:
        given_up = lane.boot_failed(why, now)
        self._watch_at = min(self._watch_at, lane.spawn_at)
        if given_up:
            self._outcomes.append(Returned([order.attempt for order in given_up]))

    def _unavailable(self, why: str) -> UnavailableError:
        return UnavailableError(
            ": ".join(filter(None, ["no worker process can start", why, self._log.last_line()])),
            hint=f"Look into {self._log}; it is the same Python that runs Headgate: is its installation complete?",
        )

    def _deal(self, lane: Lane, now: float) -> None:
        for worker, orders in lane.deal():
            self._give(worker, orders, now)

    def _give(self, worker: WorkerProcess, orders: list[Order], now: float) -> None:
        try:
            data = frame([Work(orders)])
        except ValueError as error:
            if len(orders) > 1:  # Too long together, or one of them cannot be sent at all.
                for order in orders:
                    self._give(worker, [order], now)
                return
            message = f"the order cannot be sent to a worker: {error!r}"
            self._outcomes.append(Failed(orders[0].attempt, ErrorClass.PERMANENT, message, "", ""))
            return
        worker.hold(orders, now)
        self._watch_at = min(self._watch_at, worker.next_deadline())
        self._send(worker, data)

    def _send(self, worker: WorkerProcess, data: bytes) -> None:
        if worker.send(data):
            self._selector.modify(worker.channel, READ | WRITE, worker)

    def _read(self, worker: WorkerProcess, now: float) -> bool:
        """Take in what a worker has sent; return whether there was anything and it still lives."""
        messages = worker.receive()
        if messages is None:
            self._bury(worker, now)
            return False
        try:
            for message in messages:
                self._take(worker, message, now)
        except ValueError as error:
            worker.nonsense = str(error)
        if worker.nonsense and worker.stopping is not signal.SIGKILL:
            why = f"worker process {worker.pid} sent what makes no sense and was killed: {worker.nonsense}"
            self._stop(worker, signal.SIGKILL, why, now)
        worker.heard_at = now
        self._watch_at = min(self._watch_at, worker.next_deadline())
        return bool(messages)

    def _take(self, worker: WorkerProcess, message: FromWorker, now: float) -> None:
        lane = self._lane(worker)
        match message:
            case Staged() | Failed() | Split():
                if message.attempt in worker.abandoned:
                    worker.abandoned.discard(message.attempt)
                    return
                worker.let_go(message, now)
                worker.asked.pop(message.attempt, None)
                self._outcomes.append(message)
                worker.is_stalled = False
                for told in message.members if isinstance(message, Split) else [message]:
                    if isinstance(told, Staged):
                        lane.pace.learn(told.elapsed_ms)
                        break
            case Progressed():
                if message.attempt in worker.held:
                    self._outcomes.append(message)
                elif message.attempt not in worker.abandoned:
                    raise ValueError(f"progress of attempt {message.attempt}, which it does not have")
            case Cancelled() | Yielded():
                if message.attempt in worker.abandoned:
                    worker.abandoned.discard(message.attempt)
                    return
                worker.let_go(message, now)
                _, verdict = worker.asked.pop(message.attempt, (now, message))
                self._outcomes.append(verdict)
                if isinstance(message, Yielded):
                    worker.is_stalled = False
            case Returned():
                returned = dict.fromkeys(message.attempts)
                if not returned.keys() <= worker.held.keys():
                    raise ValueError("it gave back attempts that it does not have")
                for attempt in returned:
                    del worker.held[attempt]
                self._return(worker, list(returned))
                worker.is_stalled = True
                lane.pace.learn(2 * LONG_MS)
            case Beat():
                worker.has_beaten = True
                worker.told = message.attempt
                lane.boot_failures = 0
            case _:
                assert_never(message)

    def _return(self, worker: WorkerProcess, attempts: list[int]) -> None:
        """Report attempts that never started."""
        kept = [attempt for attempt in attempts if attempt not in worker.asked]
        self._outcomes += [worker.asked.pop(attempt)[1] for attempt in attempts if attempt in worker.asked]
        if kept:
            self._outcomes.append(Returned(kept))

    def _ask(self, worker: WorkerProcess, attempt: int, verdict: Outcome, now: float) -> None:
        """Have an attempt stopped and `verdict` reported for it."""
        if attempt in worker.asked:
            return
        worker.asked[attempt] = (now + self._kill_grace_s, verdict)
        if worker.is_io or attempt != worker.head():
            self._send(worker, frame([Drop([attempt])]))
        elif worker.stopping is None:
            self._stop_head(worker, attempt, now)

    def _stop_head(self, worker: WorkerProcess, attempt: int, now: float) -> None:
        self._read(worker, now)
        if worker.head() != attempt or worker.stopping is not None:
            return  # Its end had arrived.
        why = f"worker process {worker.pid} was stopped together with attempt {worker.head()}"
        self._stop(worker, signal.SIGTERM, why, now)

    def _stop(self, worker: WorkerProcess, number: signal.Signals, why: str, now: float) -> None:
        worker.stop(number, why, by=now + self._kill_grace_s)

    def _bury(self, worker: WorkerProcess, now: float) -> None:
        """Release a worker that is gone, report what it held, and replace it."""
        lane = self._lane(worker)
        lane.workers.remove(worker)
        self._selector.unregister(worker.channel)
        ending = worker.reap(self._kill_grace_s)
        if ending is None:
            self._unreaped.append(worker)
            ending = f"worker process {worker.pid} hangs in the kernel"
        attempts = list(worker.held)
        started = attempts if worker.is_io else attempts[: worker.has_started_head()]
        for attempt in started:
            _, verdict = worker.asked.pop(attempt, (now, Lost(attempt, worker.why_stopped or ending)))
            self._outcomes.append(verdict)
        self._return(worker, attempts[len(started) :])
        worker.held.clear()
        if not worker.has_beaten:
            self._boot_failed(lane, worker.why_stopped or ending, now)
        if lane.backlog or not lane.boot_failures:
            self._staff(lane, now)

    def _watch(self, now: float) -> None:
        """Look after processes that died unnoticed, hang, or do not stop, and after attempts that take too long."""
        self._watch_at = now + WATCH_S
        self._unreaped = [worker for worker in self._unreaped if worker.reap(0) is None]
        for lane in (self._sync, self._io):
            for worker in list(lane.workers):
                if worker.has_exited():
                    while self._read(worker, now):
                        pass
                    if worker in lane.workers:
                        self._bury(worker, now)
                elif worker.stopping is None:
                    self._check_beats(worker, now)
                    self._check_attempts(worker, now)
                elif now >= worker.stop_by:
                    if worker.stopping is signal.SIGTERM:
                        self._stop(worker, signal.SIGKILL, "", now)
                    else:
                        self._bury(worker, now)
            if lane.backlog:
                self._staff(lane, now)

    def _check_beats(self, worker: WorkerProcess, now: float) -> None:
        limit_s = self._heartbeat_timeout_s if worker.has_beaten else max(self._heartbeat_timeout_s, BOOT_S)
        if now - worker.heard_at > limit_s:
            why = f"worker process {worker.pid} gave no sign of life for {limit_s:g} s and was killed"
            self._stop(worker, signal.SIGKILL, why, now)

    def _check_attempts(self, worker: WorkerProcess, now: float) -> None:
        head = worker.head()
        if worker.is_io:
            for attempt in [attempt for attempt, due_at in worker.due.items() if now >= due_at]:
                self._time_out(worker, attempt, now)
            for attempt in [attempt for attempt, (give_up_at, _) in worker.asked.items() if now >= give_up_at]:
                # It does not let itself be cancelled. Killing it would cost all others.
                del worker.held[attempt]
                worker.due.pop(attempt, None)
                worker.abandoned.add(attempt)
                self._outcomes.append(worker.asked.pop(attempt)[1])
        elif head is not None:
            if worker.next_deadline() <= now:
                self._time_out(worker, head, now)
            elif head in worker.asked and now >= worker.asked[head][0]:
                # It was asked while it waited, and has started since.
                self._stop_head(worker, head, now)
        self._watch_at = min(self._watch_at, max(now, worker.next_deadline()))

    def _time_out(self, worker: WorkerProcess, attempt: int, now: float) -> None:
        limit_ms = worker.held[attempt].timeout_ms or 0
        message = f"the attempt took longer than its time limit of {limit_ms / 1000:g} s"
        self._ask(worker, attempt, Failed(attempt, ErrorClass.TIMEOUT, message, "", ""), now)

    def _lane(self, worker: WorkerProcess) -> Lane:
        return self._io if worker.is_io else self._sync


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
