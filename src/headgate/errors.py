"""The whole error tree of Headgate.

Every error a user can meet says what happened and with which value; `hint` says what to do next.
A failed task is data and a refused plan is a verdict: neither is an exception.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class HeadgateError(Exception):
    """Something Headgate can name went wrong.

    Args:
        message: What happened, with the value and the place (file, line, key).
        hint: The next step for the person who reads it; empty when there is none.
    """

    exit_code = 1
    http_status = 500

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(HeadgateError):
    """The input is wrong: fix it and try again."""

    exit_code = 2
    http_status = 400


class ConflictError(HeadgateError):
    """The world moved, or somebody else holds what is needed."""

    http_status = 409


class UnavailableError(HeadgateError):
    """Something Headgate depends on failed: a disk, a database, a worker."""

    http_status = 503


class InternalError(HeadgateError):
    """A bug in Headgate: it stops instead of going on with a wrong state."""


def damaged(what: str) -> UnavailableError:
    """Return the error of a state store that says something that nobody wrote."""
    return UnavailableError(f"the state store is damaged: {what}", hint="Restore it from a backup.")


@contextmanager
def intact(what: str) -> Iterator[None]:
    """Take for damage what goes wrong while something that the state store keeps is decoded.

    Args:
        what: Names it: ``the plan of run r1``.

    Raises:
        UnavailableError: It cannot be decoded.
    """
    try:
        yield
    except (AttributeError, LookupError, OverflowError, TypeError, ValueError) as error:
        raise damaged(f"{what} cannot be read ({error!r})") from error
