"""What the tables of headgate.toml are made of: `config` and `rule_sections` say which there are."""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, PlainValidator
from pydantic_core import PydanticCustomError

from headgate.project.amounts import length_ms

if TYPE_CHECKING:
    from collections.abc import Callable
    from enum import StrEnum

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,99}")


class Section(BaseModel):
    """A table: unknown keys and values of another type are refused."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


def reads(read: Callable[[object], Any], demand: str) -> PlainValidator:
    """Return the check of a value that a function reads, or finds to be none."""

    def check(value: object) -> Any:
        found = read(value)
        if found is None:
            raise PydanticCustomError("amount", "must be {demand}", {"demand": demand})
        return found

    return PlainValidator(check)


def choice(kind: type[StrEnum]) -> PlainValidator:
    """Return the check of a value that must be one of a few texts."""

    def check(value: object) -> Any:
        if not isinstance(value, str) or value not in set(kind):
            close = get_close_matches(value, set(kind), n=1) if isinstance(value, str) else []
            hint = f"Did you mean {close[0]}?" if close else ""
            raise PydanticCustomError("choice", "must be one of {known}", {"known": ", ".join(kind), "hint": hint})
        return kind(value)

    return PlainValidator(check)


def named(value: dict[str, Any]) -> dict[str, Any]:
    """Return a table of named tables if all of its names can be."""
    for name in value:
        if not _NAME.fullmatch(name):
            hint = "Use letters, digits, - and _, and start with a letter."
            raise PydanticCustomError("name", "is a name that cannot be", {"name": name, "hint": hint})
    return value


Length = Annotated[int, reads(length_ms, 'a length of time, such as 90, "90s", "10m", "2h" or "7d"')]
