"""What SQLite's errors mean for the person who meets them."""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager
from typing import TYPE_CHECKING

from headgate.errors import HeadgateError, InternalError, UnavailableError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BUSY_TIMEOUT_S = 10.0

_MEANINGS = {
    "SQLITE_FULL": ("the disk is full", "Free some space and run the command again."),
    "SQLITE_BUSY": (
        f"another process has kept it locked for {BUSY_TIMEOUT_S:.0f} s",
        "Look for a program that has it open.",
    ),
    "SQLITE_LOCKED": ("it is locked", "Look for a program that has it open."),
    "SQLITE_CORRUPT": ("it is damaged", "Restore it from a backup."),
    "SQLITE_NOTADB": ("it is damaged or not a state store", "Restore it from a backup, or check the configured path."),
    "SQLITE_CANTOPEN": ("it cannot be opened", "Check that its folder exists and that you may write there."),
    "SQLITE_READONLY": ("it cannot be written", "Check its permissions and those of its folder."),
    "SQLITE_PERM": ("access to it is denied", "Check its permissions and those of its folder."),
    "SQLITE_IOERR": ("reading or writing it failed", "Check the disk."),
    "SQLITE_NOMEM": ("there is not enough memory", ""),
}
_NO_UTF_8 = "Could not decode to UTF-8"
"""So begins what Python's driver says of such a text; the error has no code of SQLite."""
_NO_JSON = "malformed JSON"
"""What SQLite says of a text that a statement looks into, with the code of any error."""


def explained(error: sqlite3.Error, path: Path) -> HeadgateError:
    """Return a driver's error as one of ours: what is wrong outside is unavailable, anything else is a bug."""
    if str(error).startswith(_NO_UTF_8):
        # What follows is the text itself, however long it is.
        column = str(error).removeprefix(_NO_UTF_8).partition(" with text ")[0].strip()
        text, hint = _MEANINGS["SQLITE_CORRUPT"]
        return UnavailableError(f"state store {path}: {text} (a text in {column} is not UTF-8)", hint=hint)
    code: str = getattr(error, "sqlite_errorname", "")
    kind = "SQLITE_CORRUPT" if str(error) == _NO_JSON else "_".join(code.split("_")[:2])
    meaning = _MEANINGS.get(kind)
    if meaning is None:
        return InternalError(f"state store {path}: {error} ({code or type(error).__name__})")
    text, hint = meaning
    return UnavailableError(f"state store {path}: {text} ({error})", hint=hint)


@contextmanager
def explaining(path: Path) -> Iterator[None]:
    """Turn errors of the driver inside the block into Headgate's."""
    try:
        yield
    except sqlite3.Error as error:
        raise explained(error, path) from error
    except UnicodeEncodeError as error:
        raise UsageError(
            f"{error.object!a} is not valid Unicode and cannot be stored",
            hint="Check the encoding of the terminal or file that it comes from.",
        ) from error
