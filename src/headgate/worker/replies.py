"""What a worker answers when the runner or the answer itself is broken."""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING

from headgate.model.run import ErrorClass
from headgate.worker.messages import Failed, frame

if TYPE_CHECKING:
    from headgate.worker.messages import Ending


def reply(outcome: Ending) -> bytes:
    """Return an outcome as a frame; one that cannot be sent becomes a failure that says so."""
    try:
        return frame([outcome])
    except (ValueError, TypeError, OverflowError) as error:
        return frame([_failure(outcome.attempt, f"the result cannot be sent to the coordinator: {error!r}", "")])


def broken_runner(attempt: int, error: BaseException) -> Failed:
    """Return the outcome of an attempt whose runner raised, which it never should."""
    trace = "".join(traceback.format_exception(error))
    return _failure(attempt, f"the worker could not run the attempt: {error!r}", trace)


def _failure(attempt: int, message: str, trace: str) -> Failed:
    text = message.encode("utf-8", "backslashreplace").decode()
    return Failed(attempt, ErrorClass.PERMANENT, text, "", trace.encode("utf-8", "backslashreplace").decode())
