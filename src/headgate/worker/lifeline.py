"""How a worker notices that its coordinator is gone, and takes along everything that it started."""

from __future__ import annotations

import os
import select
import signal
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    import socket


class Lifeline:
    """The coordinator's end of the channel, watched from a thread of its own.

    The kernel closes that end when the coordinator dies, however it dies. PR_SET_PDEATHSIG would be quicker by a
    moment, but kills the worker alone and leaves the processes that the user's function started.

    Args:
        channel: The worker's end of the socket pair.
    """

    def __init__(self, channel: socket.socket) -> None:
        self._pid = os.getpid()
        self._poller = select.poll()
        self._poller.register(channel, 0)  # Errors and hang-ups are reported in any case.

    def wait(self, wait_s: float) -> None:
        """Wait; do not return if the coordinator is gone."""
        if self._poller.poll(wait_s * 1000):
            self.end()

    def end(self) -> NoReturn:
        """End this process and its process group at once.

        Nothing is cleaned up: a staged file without an owner is collected by the next coordinator. A fork that came
        back from a user's function ends alone, and so does a worker that somebody started by hand.
        """
        if os.getpid() == self._pid == os.getpgrp():
            os.killpg(self._pid, signal.SIGKILL)
        os._exit(1)
