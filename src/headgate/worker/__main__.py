"""``python -m headgate.worker``: started by an executor, never by a person."""

from __future__ import annotations

import argparse
import contextlib
import faulthandler
import io
import logging
import socket
import sys
from pathlib import Path
from typing import NoReturn

OOM_SCORE = "500"
"""The kernel, when memory runs out, should take a worker before it takes the coordinator."""


def main() -> NoReturn:
    """Serve the channel that the executor passed on."""
    parser = argparse.ArgumentParser(prog="python -m headgate.worker", description="Started by Headgate's executor.")
    parser.add_argument("--project", required=True, help="folder that the project's modules are imported from")
    parser.add_argument("--channel", required=True, type=int, help="file descriptor of a connected stream socket")
    parser.add_argument("--beat-s", default=1.0, type=float, help="seconds between two signs of life")
    parser.add_argument("--io", action="store_true", help="run async functions, many at a time")
    options = parser.parse_args()

    faulthandler.enable()
    _log_to_stderr()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)  # The log must hold what was printed before a kill.
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(OOM_SCORE)
    channel = socket.socket(fileno=options.channel)
    channel.set_inheritable(False)
    sys.path.insert(0, options.project)

    if options.io:
        from headgate.worker.attempt import run_attempt_async
        from headgate.worker.io_loop import IoWorker

        IoWorker(channel, run_attempt_async, options.beat_s).serve()
    from headgate.worker.attempt import run_attempt
    from headgate.worker.loop import SyncWorker

    SyncWorker(channel, run_attempt, options.beat_s).serve()


def _log_to_stderr() -> None:
    """Write what functions log, which the executor keeps in a file, with the partition it is about."""
    handler = logging.StreamHandler()
    template = "%(asctime)s %(levelname)s %(name)s %(partition)s: %(message)s"
    handler.setFormatter(logging.Formatter(template, defaults={"partition": "-"}))
    logging.basicConfig(level=logging.INFO, handlers=[handler])


if __name__ == "__main__":
    main()
