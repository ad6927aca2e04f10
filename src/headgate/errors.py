"""The whole error tree of Headgate.

Every error a user can meet says what happened and with which value; `hint` says what to do next.
A failed task is data and a refused plan is a verdict: neither is an exception.
"""

from __future__ import annotations


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
