"""The ways in which functions are known to fail, as projects write them."""

from __future__ import annotations

from headgate.errors import UsageError
from headgate.model.names import shown, shown_value
from headgate.model.policy import FailureMode
from headgate.model.run import ErrorClass

_DECLARABLE = (ErrorClass.TRANSIENT, ErrorClass.PERMANENT, ErrorClass.DATA, ErrorClass.RESOURCE)


def failure(
    exception: type[BaseException] | str, error_class: ErrorClass | str, remedy: str, contains: str = ""
) -> FailureMode:
    """Say what an exception means and what a person should try: for ``@headgate.dataset(failures=[...])``.

    Args:
        exception: Its class or the name of that, with or without the module; classes derived from it count too.
        error_class: ``"transient"`` and ``"resource"`` failures are tried again, ``"permanent"`` and ``"data"``
            failures are not, unless ``[retry] on`` says otherwise.
        remedy: The next step for a person, shown wherever the failure is.
        contains: Text that the message must contain.

    Raises:
        UsageError: Something of this cannot be.
    """
    if isinstance(exception, type) and issubclass(exception, BaseException):
        name = exception.__qualname__
        if exception.__module__ != "builtins":
            name = f"{exception.__module__}.{name}"
    elif isinstance(exception, str) and all(part.isidentifier() for part in exception.split(".")):
        name = exception
    else:
        raise UsageError(
            f"failure() takes a class of exceptions, got {shown_value(exception)}",
            hint='Give it the class or its name, such as ValueError or "requests.HTTPError".',
        )
    if not isinstance(error_class, str) or error_class not in _DECLARABLE:
        raise UsageError(
            f"failure {name}: there is no class of errors {shown(str(error_class))} to declare",
            hint=f"There are {', '.join(_DECLARABLE)}.",
        )
    if not isinstance(remedy, str) or not remedy.strip():
        raise UsageError(f"failure {name}: remedy must be text", hint="Say what a person should try.")
    if not isinstance(contains, str):
        raise UsageError(f"failure {name}: contains must be text, got {type(contains).__name__}")
    return FailureMode(name, ErrorClass(error_class), remedy.strip(), contains)


def failure_modes(where: str, failures: object) -> tuple[FailureMode, ...]:
    """Return the ways in which a function is known to fail.

    Raises:
        UsageError: It is no list of them.
    """
    if failures is None:
        return ()
    if not isinstance(failures, list) or not all(isinstance(mode, FailureMode) for mode in failures):
        raise UsageError(
            f"{where}: failures must be a list of failure modes, got {shown(repr(failures))}",
            hint='Write failures=[headgate.failure(ValueError, "data", "Look at the file.")].',
        )
    return tuple(failures)
