"""How an attempt fails: which class an exception belongs to, and what is kept of it."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import TYPE_CHECKING

from headgate.errors import HeadgateError, UnavailableError
from headgate.model.policy import FailureMode
from headgate.model.run import ErrorClass
from headgate.worker.messages import Failed

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import TracebackType

MAX_MESSAGE = 2_000
MAX_TRACEBACK = 16_000

_OURS = str(Path(__file__).parent.parent)
_RESOURCE_ERRNOS = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EROFS}
)
_TRANSIENT_ERRNOS = frozenset(
    {errno.EAGAIN, errno.EBUSY, errno.EHOSTUNREACH, errno.ENETDOWN, errno.ENETRESET, errno.ENETUNREACH, errno.ESTALE}
)
_KNOWN = (
    *(
        FailureMode(name, ErrorClass.TRANSIENT, "")
        for name in (
            "http.client.IncompleteRead",
            "requests.ConnectionError",
            "requests.Timeout",
            "httpx.TransportError",
            "aiohttp.ClientConnectionError",
            "aiohttp.ClientPayloadError",
            "urllib3.exceptions.TimeoutError",
            "urllib3.exceptions.ProtocolError",
        )
    ),
    # A name that cannot be resolved for now, as opposed to one that is not there (EAI_NONAME).
    FailureMode("socket.gaierror", ErrorClass.TRANSIENT, "", "Temporary failure in name resolution"),
    FailureMode("duckdb.OutOfMemoryException", ErrorClass.RESOURCE, ""),
)
"""What common libraries raise that derives from nothing above. Compared by name, so that none is imported."""


class AttemptError(HeadgateError):
    """Something outside the user's function failed an attempt; it knows its class."""

    def __init__(self, error_class: ErrorClass, message: str, *, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.error_class = error_class


def failed(attempt: int, error: BaseException, modes: Iterable[FailureMode] = ()) -> Failed:
    """Return the failure that an exception means for an attempt.

    Args:
        attempt: Its number.
        error: What ended it.
        modes: Failure modes of its dataset: the first that matches says class and hint, unless the failure came from
            outside of the function.
    """
    mode = None if isinstance(error, AttemptError) else _mode_of(error, modes)
    hint = error.hint if isinstance(error, HeadgateError) else ""
    message = error.message if isinstance(error, HeadgateError) else f"{type(error).__name__}: {text_of(error)}"
    return Failed(
        attempt=attempt,
        error_class=mode.error_class if mode else _class_of(error),
        message=_line(message)[:MAX_MESSAGE],
        hint=mode.remedy if mode else hint,
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


def _mode_of(error: BaseException, modes: Iterable[FailureMode]) -> FailureMode | None:
    leaves = list(_leaves(error))
    return next((mode for mode in modes if any(_matches(mode, leaf) for leaf in leaves)), None)


def _matches(mode: FailureMode, error: BaseException) -> bool:
    if not any(_is_named(kind, mode.exception) for kind in type(error).__mro__):
        return False
    return " ".join(mode.contains.split()) in text_of(error)


def _is_named(kind: type, name: str) -> bool:
    """Return whether a class has a name, with or without its module or the beginning of that.

    Libraries define exceptions in modules below the one that they offer them in: requests.HTTPError comes from
    requests.exceptions, duckdb.Error from _duckdb.
    """
    if name in {kind.__name__, kind.__qualname__, f"{kind.__module__}.{kind.__qualname__}"}:
        return True
    offered_in, _, own_name = name.lstrip("_").rpartition(".")
    return own_name == kind.__name__ and f"{kind.__module__.lstrip('_')}.".startswith(f"{offered_in}.")


def _leaves(error: BaseException) -> Iterator[BaseException]:
    """Yield what an exception is about: those in a group, such as an `asyncio.TaskGroup` raises, or itself."""
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error


def _class_of(error: BaseException) -> ErrorClass:
    match error:
        case AttemptError():
            return error.error_class
        case BaseExceptionGroup():
            kinds = {_class_of(leaf) for leaf in _leaves(error)}
            return kinds.pop() if len(kinds) == 1 else ErrorClass.PERMANENT
        case MemoryError():
            return ErrorClass.RESOURCE
        case UnavailableError() if isinstance(error.__cause__, OSError):
            # A disk that is full, say: what it is about is in the cause.
            return ErrorClass.RESOURCE if error.__cause__.errno in _RESOURCE_ERRNOS else ErrorClass.TRANSIENT
        case ConnectionError() | TimeoutError() | UnavailableError():
            return ErrorClass.TRANSIENT
        case OSError() if error.errno in _RESOURCE_ERRNOS:
            return ErrorClass.RESOURCE
        case OSError() if error.errno in _TRANSIENT_ERRNOS:
            return ErrorClass.TRANSIENT
        case OSError() if isinstance(reason := getattr(error, "reason", None), OSError):
            # What urllib.error.URLError is about.
            return _class_of(reason)
        case _:
            known = _mode_of(error, _KNOWN)
            return known.error_class if known else ErrorClass.PERMANENT


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
