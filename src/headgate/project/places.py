"""Reads headgate.toml as far as every command needs it: the text, its lines, and where state and data lie.

`status` and its like answer from here, without the 70 ms that importing pydantic takes.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from headgate.errors import UsageError
from headgate.model.names import shown

if TYPE_CHECKING:
    from pathlib import Path

FILE_NAME = "headgate.toml"
STATE_DEFAULT = ".headgate/state.db"
DATA_DEFAULT = "data"

_TABLE = re.compile(r"""\s*\[\[?((?:[^\[\]"']|"[^"]*"|'[^']*')+)\]\]?\s*(?:#.*)?$""")
_KEY = re.compile(r"""\s*((?:[\w-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[\w-]+|"[^"]*"|'[^']*'))*)\s*=""")
_KEY_PART = re.compile(r"""[\w-]+|"[^"]*"|'[^']*'""")


@dataclass(frozen=True, slots=True)
class Paths:
    """Where a project keeps what it made, as absolute paths.

    Args:
        state: The file of the state store.
        data: The root folder of the data files.
    """

    state: Path
    data: Path


@dataclass(frozen=True, slots=True)
class Document:
    """headgate.toml as read: its values, and its text for the line of each."""

    text: str
    values: dict[str, Any]

    def refuse(self, key: tuple[str, ...], message: str, *, hint: str = "") -> UsageError:
        """Return the error that names a key and its line."""
        name = ".".join(part if part.isidentifier() else shown(part) for part in key)
        return UsageError(f"{FILE_NAME}:{self.line(key)}: {name} {message}", hint=hint)

    def line(self, key: tuple[str, ...]) -> int:
        """Return the line in which a key is set, or else the nearest table above it that has one, or else 1.

        A table that has no line of its own, such as ``classes``, begins with the first of its keys.
        """
        lines = _lines(self.text)
        while key:
            if within := [line for known, line in lines.items() if known[: len(key)] == key]:
                return lines.get(key, min(within))
            key = key[:-1]
        return 1


def read_document(root: Path) -> Document:
    """Read the headgate.toml of a project's folder.

    Raises:
        UsageError: There is none, it cannot be read, or is not TOML.
    """
    path = root / FILE_NAME
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except (FileNotFoundError, NotADirectoryError):
        raise UsageError(
            f"there is no {FILE_NAME} in {root}",
            hint="Run `headgate init` to start a project, or choose its folder with -C DIR.",
        ) from None
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise UsageError(f"{FILE_NAME}:{line}: not UTF-8 text", hint="Save the file as UTF-8.") from None
    try:
        return Document(text, tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        found = re.search(r" \(at (?:line (\d+), column (\d+)|end of document)\)$", str(error))
        line = int(found[1]) if found and found[1] else text.count("\n") + 1
        what = str(error)[: found.start()] if found else str(error)
        column = f" in column {found[2]}" if found and found[2] else ""
        raise UsageError(f"{FILE_NAME}:{line}: not TOML{column}: {what}") from None
    except RecursionError:
        raise UsageError(f"{FILE_NAME}:1: nested too deeply") from None


def paths(root: Path, document: Document | None = None) -> Paths:
    """Return where a project keeps its state and its data.

    Args:
        root: The project's folder.
        document: Its headgate.toml, if it has been read already.

    Raises:
        UsageError: headgate.toml is missing or broken, or names places that cannot be.
    """
    document = document or read_document(root)
    state = _path(root, document, "state", STATE_DEFAULT)
    data = _path(root, document, "data", DATA_DEFAULT)
    if state == data or data in state.parents:
        raise document.refuse(
            ("data", "path"),
            f"is {shown(str(data))}, which holds the state, {shown(str(state))}",
            hint="Keep the data in a folder of its own.",
        )
    return Paths(state, data)


def _path(root: Path, document: Document, table: str, default: str) -> Path:
    section = document.values.get(table, {})
    if not isinstance(section, dict):
        raise document.refuse((table,), f"must be a table: [{table}]")
    text = section.get("path", default)
    if not isinstance(text, str):
        raise document.refuse((table, "path"), f"must be text, got {text!r}")
    if not text or not text.isprintable():
        raise document.refuse((table, "path"), f"is no path: {shown(text)}")
    return (root / text).resolve()


def _lines(text: str) -> dict[tuple[str, ...], int]:
    """Return the line of each table and key; a scan, so text that only looks like a key counts too."""
    found: dict[tuple[str, ...], int] = {}
    table: tuple[str, ...] = ()
    for number, line in enumerate(text.splitlines(), start=1):
        if match := _TABLE.match(line):
            table = _split(match[1])
            found.setdefault(table, number)
        elif match := _KEY.match(line):
            key = table + _split(match[1])
            found.setdefault(key, number)
    return found


def _split(dotted: str) -> tuple[str, ...]:
    return tuple(part.strip("\"'") for part in _KEY_PART.findall(dotted))
