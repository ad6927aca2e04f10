"""How an attempt fails: which class an exception belongs to, and what is kept of it."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import TYPE_CHECKING

from headgate.errors import HeadgateError, UnavailableError
from headgate.model.run import ErrorClass
from headgate.worker.messages import Failed

if TYPE_CHECKING:
    from types import TracebackType

MAX_MESSAGE = 2_000
MAX_TRACEBACK = 16_000

_OURS = str(Path(__file__).parent.parent)
_RESOURCE_ERRNOS = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EROFS}
)


class AttemptError(HeadgateError):
    """Something outside the user's function failed an attempt; it knows its class."""

    def __init__(self, error_class: ErrorClass, message: str, *, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.error_class = error_class


def failed(attempt: int, error: BaseException) -> Failed:
    """Return the failure that an exception means for an attempt."""
    message = error.message if isinstance(error, HeadgateError) else f"{type(error).__name__}: {text_of(error)}"
    return Failed(
        attempt=attempt,
        error_class=_class_of(error),
        message=_line(message)[:MAX_MESSAGE],
        hint=error.hint if isinstance(error, HeadgateError) else "",
        traceback=_traceback(error),
    )


def text_of(error: BaseException) -> str:
    """Return what an exception says in one line, whatever its `__str__` does."""
    try:
        return _line(str(error))
    except Exception:
        return "(its text cannot be shown)"


def _line(text: str) -> str:
    # Lone surrogates could not be encoded on their way to the coordinator.
    return " ".join(text.encode("utf-8", "backslashreplace").decode().split())


def _class_of(error: BaseException) -> ErrorClass:
    match error:
        case AttemptError():
            return error.error_class
        case MemoryError():
            return ErrorClass.RESOURCE
        case ConnectionError() | TimeoutError() | UnavailableError():
            return ErrorClass.TRANSIENT
        case OSError() if error.errno in _RESOURCE_ERRNOS:
            return ErrorClass.RESOURCE
        case _:
            return ErrorClass.PERMANENT


def _traceback(error: BaseException) -> str:
    """Return the traceback from the user's first frame on; nothing for an error that is not from a user's code."""
    import traceback

    frame: TracebackType | None = error.__traceback__
    while frame is not None and frame.tb_frame.f_code.co_filename.startswith(_OURS):
        frame = frame.tb_next
    if frame is None and isinstance(error, HeadgateError):
        return ""
    try:
        text = "".join(traceback.format_exception(type(error), error, frame or error.__traceback__))
    except Exception:
        text = f"{type(error).__name__}: (its traceback cannot be shown)"
    return text[-MAX_TRACEBACK:].encode("utf-8", "backslashreplace").decode()
