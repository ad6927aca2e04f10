"""SQL in files: named statements, and the migrations that make the schema."""

from __future__ import annotations

import re
import sqlite3
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from headgate.errors import InternalError

if TYPE_CHECKING:
    from collections.abc import Iterator

# Not importlib.resources: with its own imports it costs `status` 10 ms, and installers unpack packages anyway.
_HERE = Path(__file__).parent
_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)
_MIGRATION = re.compile(r"(\d{4})_\w+\.sql")


@cache
def statements() -> dict[str, str]:
    """Return every named statement of `sql/*.sql`: a line ``-- name: xyz``, then one statement."""
    named: dict[str, str] = {}
    for file in sorted((_HERE / "sql").glob("*.sql")):
        _, *parts = _NAME.split(file.read_text(encoding="utf-8"))
        for name, text in zip(parts[::2], parts[1::2], strict=True):
            if name in named:
                raise InternalError(f"two SQL statements are named {name}; one is in {file.name}")
            named[name] = text.strip()
    return named


def migrations() -> list[tuple[int, str]]:
    """Return the migrations as number and script, ascending: 1, 2, 3 ..."""
    found: list[tuple[int, str]] = []
    for file in sorted((_HERE / "migrations").iterdir()):
        match = _MIGRATION.fullmatch(file.name)
        if match:
            found.append((int(match[1]), file.read_text(encoding="utf-8")))
    if [number for number, _ in found] != list(range(1, len(found) + 1)):
        raise InternalError("the migrations of the state store are not numbered 1, 2, 3 ...")
    return found


def split(script: str) -> Iterator[str]:
    """Yield the statements of a script; each ends with its line.

    `executescript` would do, but it commits whatever transaction is open.
    """
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement.strip()
            statement = ""
    if statement.strip():
        raise InternalError(f"a migration ends inside a statement: {statement.strip()[:60]}")
