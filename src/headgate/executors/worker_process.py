"""One worker process as its parent sees it: the process group, the channel, and what it holds."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

from headgate.worker.messages import from_worker, split_frames

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from headgate.worker.messages import Cancelled, Ending, FromWorker, Order, Outcome

CHUNK_BYTES = 1024 * 1024


class WorkerProcess:
    """A process that runs attempts, in a session and process group of its own.

    Its output goes to the log and never into the channel, so a function may print what it likes.

    Args:
        project_root: Folder that the project's modules are imported from; the working directory.
        log_fd: Where its output and errors go.
        threads: How many threads Polars gets, unless the environment says so: workers share the cores.
        beat_s: Time between two beats.
        is_io: Whether it runs async functions.
        now: Monotonic clock.

    Raises:
        OSError: The system cannot start a process.
    """

    def __init__(
        self, project_root: Path, log_fd: int, *, threads: int, beat_s: float, is_io: bool, now: float
    ) -> None:
        self.is_io = is_io
        self.held: dict[int, Order] = {}
        """What it was given and has not answered; for plain functions in its order: the first one runs."""
        self.asked: dict[int, tuple[float, Outcome]] = {}
        """What it was asked to stop: how long to wait for that, and what to report then."""
        self.abandoned: set[int] = set()
        """What has been reported without waiting longer; an answer may still come."""
        self.has_beaten = False
        self.heard_at = now
        self.head_since = now
        """Since when the first of `held` has been the first."""
        self.is_stalled = False
        """Whether it gave back what waited behind the attempt that it still runs."""
        self.due: dict[int, float] = {}
        """For async functions with a time limit: when it is up."""
        self.stopping: signal.Signals | None = None
        """The last signal it was sent; from then on it gets no more orders."""
        self.stopped_at_head: int | None = None
        """What it was to run when it got its first signal."""
        self.told = 0
        """What it said in its last beat that it runs."""
        self.stop_by = 0.0
        self.why_stopped = ""
        self.nonsense = ""
        """What it sent that makes no sense; nothing that it says later counts."""

        self._inbox = bytearray()
        self._outbox = bytearray()
        self.channel, theirs = socket.socketpair()
        self.channel.setblocking(False)
        command = [sys.executable, "-P", "-B", "-m", "headgate.worker", "--project", str(project_root)]
        command += ["--channel", str(theirs.fileno()), "--beat-s", str(beat_s), *(["--io"] if is_io else [])]
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log_fd,
                stderr=log_fd,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
                cwd=project_root,
                env={"POLARS_MAX_THREADS": str(threads), **os.environ},
            )
        except BaseException:
            self.channel.close()
            raise
        finally:
            theirs.close()
        self.pid = self._process.pid

    def head(self) -> int | None:
        """Return the attempt that a worker for plain functions runs now."""
        return next(iter(self.held), None)

    def hold(self, orders: Iterable[Order], now: float) -> None:
        """Take note of what it is given."""
        if not self.held:
            self.head_since = now
        for order in orders:
            self.held[order.attempt] = order
            if self.is_io and order.timeout_ms is not None:
                self.due[order.attempt] = now + order.timeout_ms / 1000

    def let_go(self, message: Ending | Cancelled, now: float) -> None:
        """Take note that an attempt has ended.

        Raises:
            ValueError: It does not hold that.
        """
        attempt = message.attempt
        if attempt == self.head():
            self.head_since = now  # From here on the next one runs.
        if self.held.pop(attempt, None) is None:
            raise ValueError(f"{type(message).__name__} for attempt {attempt}, which it does not have")
        self.due.pop(attempt, None)

    def next_deadline(self) -> float:
        """Return when the time of the attempt that a worker for plain functions runs is up.

        Those of async functions are looked at one by one: they may be thousands.
        """
        head = None if self.is_io else self.head()
        timeout_ms = None if head is None else self.held[head].timeout_ms
        return float("inf") if timeout_ms is None else self.head_since + timeout_ms / 1000

    def has_started_head(self) -> bool:
        """Return whether a worker for plain functions has to be taken for having started its head."""
        # What only became the head after the signal was most likely never begun, unless a beat says so.
        return self.stopping is None or self.head() in {self.stopped_at_head, self.told}

    def send(self, data: bytes) -> bool:
        """Send without blocking; return whether some of it has to wait until the channel is writable."""
        self._outbox += data
        return self.flush()

    def flush(self) -> bool:
        """Send what waits; return whether some of it still does."""
        while self._outbox:
            try:
                sent = self.channel.send(self._outbox)
            except BlockingIOError:
                return True
            except OSError:
                self._outbox.clear()  # It is dead: reading will tell.
                return False
            del self._outbox[:sent]
        return False

    def receive(self) -> list[FromWorker] | None:
        """Return what has arrived; None once the other end is closed and everything was read.

        What came before nonsense still counts.
        """
        messages: list[FromWorker] = []
        while True:
            try:
                data = self.channel.recv(CHUNK_BYTES)
            except BlockingIOError:
                return messages
            except OSError:
                data = b""
            if not data:
                return messages or None
            if not self.nonsense:
                self._inbox += data
                try:
                    for body in split_frames(self._inbox):
                        messages += from_worker.decode(body)
                except (ValueError, RecursionError) as error:
                    self.nonsense = str(error)
            if len(data) < CHUNK_BYTES:
                return messages

    def stop(self, number: signal.Signals, why: str, *, by: float) -> None:
        """Send a signal after which it gets no more orders; `by` is when it should have ended."""
        self.signal(number)
        if self.stopping is None:
            self.stopped_at_head = self.head()
        self.stopping = number
        self.stop_by = by
        self.why_stopped = self.why_stopped or why

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process and all that it started."""
        # The process is not reaped before `reap`, so its number cannot belong to anybody else.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)

    def has_exited(self) -> bool:
        """Return whether the process has ended; its channel may still be open in a fork of it."""
        try:
            return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
        except ChildProcessError:
            return True  # The host program ignores SIGCHLD.

    def reap(self, wait_s: float) -> str | None:
        """Kill what is left of the group, release everything, and say how the process ended.

        Returns:
            None if it does not end in time, because it hangs in the kernel: try again later.
        """
        self.signal(signal.SIGKILL)
        self.channel.close()
        try:
            status = self._process.wait(wait_s)
        except subprocess.TimeoutExpired:
            return None
        return f"worker process {self.pid} {_ending(status)}"


def _ending(status: int) -> str:
    if status >= 0:
        return f"exited with status {status}"
    try:
        name = f" ({signal.Signals(-status).name})"
    except ValueError:
        name = ""
    hint = ", perhaps because memory ran out" if -status == signal.SIGKILL else ""
    return f"was killed by signal {-status}{name}{hint}"
