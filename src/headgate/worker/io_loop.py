"""The worker for `async def` functions: thousands of attempts on one event loop.

Beats come from the loop itself. A function that blocks the loop stops them, and the coordinator kills a worker
without beats: every attempt that ran in it is lost.
"""

from __future__ import annotations

import asyncio
import os
import threading
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn

from headgate.model.run import ErrorClass
from headgate.worker.lifeline import Lifeline
from headgate.worker.messages import (
    Beat,
    Cancelled,
    Drop,
    Failed,
    Order,
    Work,
    YieldUp,
    frame,
    split_frames,
    to_worker,
)
from headgate.worker.replies import broken_runner, reply

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Coroutine

    from headgate.worker.messages import Ending


class IoWorker(asyncio.Protocol):
    """Serves one channel until its coordinator is gone.

    Args:
        channel: The worker's end of the socket pair.
        run: Runs one attempt and returns its outcome; does not raise for a user's failure.
        beat_s: Time between two beats.
    """

    def __init__(
        self, channel: socket.socket, run: Callable[[Order], Coroutine[Any, Any, Ending]], beat_s: float
    ) -> None:
        self._channel = channel
        self._run = run
        self._beat_s = beat_s
        self._lifeline = Lifeline(channel)
        self._inbox = bytearray()
        self._tasks: dict[int, asyncio.Task[Ending]] = {}
        self._dropped: set[int] = set()
        self._outbox = bytearray()
        self._transport: asyncio.WriteTransport

    def serve(self) -> NoReturn:
        """Run orders as they come; end with the coordinator."""
        os.register_at_fork(after_in_child=self._channel.close)
        threading.Thread(target=self._watch, name="headgate-watch", daemon=True).start()
        asyncio.run(self._beats())
        self._lifeline.end()

    async def _beats(self) -> None:
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_unix_connection(lambda: self, sock=self._channel)
        while True:
            self._send(frame([Beat(0)]))
            await asyncio.sleep(self._beat_s)

    def _watch(self) -> NoReturn:
        # Not on the loop: a function that blocks it must not keep the process alive.
        while True:
            self._lifeline.wait(self._beat_s)

    def connection_lost(self, exc: Exception | None) -> NoReturn:  # noqa: ARG002
        """End with the coordinator."""
        self._lifeline.end()

    def data_received(self, data: bytes) -> None:
        """Obey what the coordinator sent."""
        self._inbox += data
        for body in split_frames(self._inbox):
            for message in to_worker.decode(body):
                self._obey(message)

    def _obey(self, message: Work | Drop | YieldUp) -> None:
        match message:
            case Work():
                for order in message.orders:
                    task = asyncio.create_task(self._run(order))
                    self._tasks[order.attempt] = task
                    # Not a wrapper coroutine: one that is cancelled before its first step never gets to answer.
                    task.add_done_callback(partial(self._settle, order.attempt))
            case Drop():
                for attempt in message.attempts:
                    if attempt in self._tasks:
                        self._dropped.add(attempt)
                        self._tasks[attempt].cancel()
            case YieldUp():
                pass  # No async function has batch checkpoints.

    def _settle(self, attempt: int, task: asyncio.Task[Ending]) -> None:
        del self._tasks[attempt]
        was_dropped = attempt in self._dropped
        self._dropped.discard(attempt)
        if task.cancelled():
            answer = frame([Cancelled(attempt)]) if was_dropped else reply(_cancelled_itself(attempt))
        else:
            error = task.exception()
            answer = reply(task.result() if error is None else broken_runner(attempt, error))
        self._send(answer)

    def _send(self, data: bytes) -> None:
        # Everything that one turn of the loop produces goes out in one write.
        if not self._outbox:
            asyncio.get_running_loop().call_soon(self._flush)
        self._outbox += data

    def _flush(self) -> None:
        self._transport.write(bytes(self._outbox))
        self._outbox.clear()


def _cancelled_itself(attempt: int) -> Failed:
    message = "the function was cancelled from inside (asyncio.CancelledError), not by Headgate"
    return Failed(attempt, ErrorClass.PERMANENT, message, "", "")
