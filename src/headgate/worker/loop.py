"""The worker for plain functions: one attempt at a time, several waiting.

The main thread runs attempts. A side thread sends beats, ends the process with its coordinator, and gives back
what waits behind an attempt that takes long. Whoever holds the lock may read the channel, write to it and touch
the queue, so that each order is either run or given back, never both.
"""

from __future__ import annotations

import os
import select
import socket
import threading
import time
import traceback
from collections import deque
from typing import TYPE_CHECKING, NoReturn

from headgate.worker.lifeline import Lifeline
from headgate.worker.messages import (
    Beat,
    Cancelled,
    Drop,
    Order,
    Progressed,
    Returned,
    Work,
    YieldUp,
    frame,
    split_frames,
    to_worker,
)
from headgate.worker.replies import broken_runner, reply

if TYPE_CHECKING:
    from collections.abc import Callable

    from headgate.worker.link import Link
    from headgate.worker.messages import Ending

PATIENCE_S = 1.0
"""How long an attempt may run before what waits behind it is given back."""

TICK_S = 0.25
CHUNK_BYTES = 256 * 1024


class SyncWorker:
    """Serves one channel until its coordinator is gone.

    Args:
        channel: The worker's end of the socket pair, blocking.
        run: Runs one attempt and returns its outcome; does not raise for a user's failure.
        beat_s: Time between two beats.
    """

    def __init__(self, channel: socket.socket, run: Callable[[Order, Link], Ending], beat_s: float) -> None:
        self._channel = channel
        self._run = run
        self._beat_s = beat_s
        self._lifeline = Lifeline(channel)
        self._readable = select.poll()
        self._readable.register(channel, select.POLLIN)
        self._lock = threading.Lock()
        self._queue: deque[Order] = deque()
        self._inbox = bytearray()
        self._running = 0
        self._running_since = 0.0
        self._asked = 0
        """The last attempt that was asked to yield while it ran."""

    def report(self, message: Progressed) -> None:
        """Send the progress of the attempt that runs."""
        with self._lock:
            self._channel.sendall(frame([message]))

    def is_asked(self) -> bool:
        """Return whether the attempt that runs was asked to yield."""
        return self._asked == self._running

    def serve(self) -> NoReturn:
        """Run orders as they come; end with the coordinator."""
        # A fork inside a user's function must neither read our orders nor keep the channel open after our death.
        os.register_at_fork(after_in_child=self._channel.close)
        threading.Thread(target=self._watch, name="headgate-watch", daemon=True).start()
        try:
            while True:
                order = self._next()
                answer = reply(self._outcome(order))
                with self._lock:
                    # Before the next one starts: the coordinator takes the first without a result for the running one.
                    self._channel.sendall(answer)
                    self._running = 0
        except OSError:
            self._lifeline.end()

    def _next(self) -> Order:
        while True:
            with self._lock:
                self._receive()
                if self._queue:
                    order = self._queue.popleft()
                    self._running = order.attempt
                    self._running_since = time.monotonic()
                    return order
            self._readable.poll()

    def _outcome(self, order: Order) -> Ending:
        try:
            return self._run(order, self)
        except Exception as error:
            return broken_runner(order.attempt, error)

    def _receive(self) -> None:
        """Take in all that has arrived. Needs the lock."""
        while True:
            try:
                data = self._channel.recv(CHUNK_BYTES, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return
            if not data:
                self._lifeline.end()
            self._inbox += data
            for body in split_frames(self._inbox):
                for message in to_worker.decode(body):
                    self._obey(message)
            if len(data) < CHUNK_BYTES:
                return

    def _obey(self, message: Work | Drop | YieldUp) -> None:
        match message:
            case Work():
                self._queue.extend(message.orders)
            case Drop():
                dropped = [order.attempt for order in self._queue if order.attempt in message.attempts]
                self._queue = deque(order for order in self._queue if order.attempt not in dropped)
                if dropped:
                    self._channel.sendall(frame([Cancelled(attempt) for attempt in dropped]))
            case YieldUp():
                if self._running in message.attempts:
                    self._asked = self._running
                self._give_back([order.attempt for order in self._queue if order.attempt in message.attempts])

    def _watch(self) -> NoReturn:
        try:
            beat_at = time.monotonic()
            while True:
                now = time.monotonic()
                with self._lock:
                    if self._running:
                        self._receive()
                        if self._queue and now - self._running_since > PATIENCE_S:
                            self._give_back([order.attempt for order in self._queue])
                    if now >= beat_at:
                        self._channel.sendall(frame([Beat(self._running)]))
                        beat_at = now + self._beat_s
                self._lifeline.wait(min(TICK_S, self._beat_s))
        except OSError:
            self._lifeline.end()
        except Exception:
            # Without this thread the worker would outlive its coordinator.
            traceback.print_exc()
            self._lifeline.end()

    def _give_back(self, attempts: list[int]) -> None:
        if attempts:
            self._queue = deque(order for order in self._queue if order.attempt not in attempts)
            self._channel.sendall(frame([Returned(attempts)]))
