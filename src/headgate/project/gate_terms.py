"""The terms of which gates are declared, checked one by one: columns, inputs, shares, severities."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from headgate.errors import UsageError
from headgate.model.gate import Severity
from headgate.model.names import shown
from headgate.project.amounts import share

if TYPE_CHECKING:
    from collections.abc import Sequence


def named(what: str, *parts: str) -> str:
    """Return the name of a gate."""
    return f"{what}({', '.join(parts)})"


def severity_of(what: str, given: object) -> Severity:
    """Return a severity.

    Raises:
        UsageError: There is none of that name.
    """
    if not isinstance(given, str) or given not in set(Severity):
        raise UsageError(f"{what}: there is no severity {shown(repr(given))}", hint=f"There are {', '.join(Severity)}.")
    return Severity(given)


def column_names(what: str, given: Sequence[object]) -> tuple[str, ...]:
    """Return names of columns, at least one, each once.

    Raises:
        UsageError: They are not.
    """
    names = tuple(given) if isinstance(given, list | tuple) else (given,)
    if not names or not all(isinstance(name, str) and name for name in names):
        raise UsageError(
            f"{what} takes names of columns, got {shown(repr(given))}", hint=f'Write headgate.{what}("id").'
        )
    if len(set(names)) < len(names):
        raise UsageError(f"{what} names a column twice: {', '.join(map(str, names))}")
    return cast("tuple[str, ...]", names)


def input_name(what: str, given: object) -> str:
    """Return the name of an input.

    Raises:
        UsageError: It is none.
    """
    if not isinstance(given, str) or not given.isidentifier():
        raise UsageError(
            f"{what} takes an input of the function, got {shown(repr(given))}", hint="Name one of its parameters."
        )
    return given


def share_of(what: str, given: object) -> float:
    """Return a share, also one above 1: twice as many rows is 100 % more.

    Raises:
        UsageError: It is none.
    """
    found = share(given)
    if found is None and isinstance(given, int | float) and not isinstance(given, bool) and 1 < given <= 1e6:
        found = float(given)
    if found is None:
        raise UsageError(f"{what} {shown(repr(given))} is no share", hint='Write 0.2 or "20%".')
    return found


def shares_of(what: str, name: str, given: object) -> tuple[tuple[str, float], ...]:
    """Return shares by column.

    Raises:
        UsageError: They are none.
    """
    if given is None:
        return ()
    if not isinstance(given, dict):
        raise UsageError(
            f"{what}: {name} must say how far each column may move, got {shown(repr(given))}",
            hint=f'Write {name}={{"amount": 0.1}}.',
        )
    column_names(what, tuple(given) or (None,))
    return tuple((column, share_of(f"{what}: {name}[{column!r}]", value)) for column, value in given.items())


def ordered(where: str, least: Any, most: Any) -> None:
    """Raise unless a lower bound is below an upper one.

    Raises:
        UsageError: It is not, or they cannot be compared.
    """
    if least is None or most is None:
        return
    try:
        is_ordered = least <= most
    except TypeError:
        raise UsageError(f"{where} has bounds of two types: {least!r} and {most!r}") from None
    if not is_ordered:
        raise UsageError(f"{where} goes from {least} to {most}: nothing is between", hint="Swap min and max.")
