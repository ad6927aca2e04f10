"""What headgate.toml may say, checked key by key. The one file that imports pydantic; import it where it is needed."""

from __future__ import annotations

import os
from difflib import get_close_matches
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, PlainValidator, ValidationError
from pydantic_core import PydanticCustomError

from headgate.model.names import shown
from headgate.project.places import DATA_DEFAULT, FILE_NAME, STATE_DEFAULT, Document, paths, read_document

if TYPE_CHECKING:
    from pathlib import Path

    from pydantic_core import ErrorDetails

    from headgate.errors import UsageError

Scalar = str | int | float | bool


def _scalar(value: object) -> Scalar:
    if not isinstance(value, str | int | float):
        raise PydanticCustomError("scalar", "must be text, a number or true/false")
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise PydanticCustomError("scalar", "does not fit into 64 bits")
    return value


def _module(value: object) -> str:
    if not isinstance(value, str) or not all(part.isidentifier() for part in value.split(".")):
        raise PydanticCustomError("module", 'must name a Python module, such as "pipeline" or "package.module"')
    return value


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class ProjectSection(_Section):
    """`[project]`: its name, by default that of its folder, and the modules that declare datasets."""

    name: str = Field(default="", max_length=100)
    modules: list[Annotated[str, PlainValidator(_module)]] = Field(default=["pipeline"], min_length=1)


class StateSection(_Section):
    """`[state]`: where the state store lies, relative to the project."""

    path: str = STATE_DEFAULT


class DataSection(_Section):
    """`[data]`: where data files lie, relative to the project."""

    path: str = DATA_DEFAULT


class WorkersSection(_Section):
    """`[workers]`: the local processes that run functions.

    `processes` defaults to the number of cores; `io_concurrency` is how many `async` functions run at a time;
    `max_attempts` how often a task is tried whose worker was lost.
    """

    processes: int = Field(default_factory=_cores, ge=1, le=1024)
    io_concurrency: int = Field(default=1000, ge=1, le=100_000)
    heartbeat_timeout_s: float = Field(default=30, ge=1, le=86_400)
    max_attempts: int = Field(default=3, ge=1, le=1000)


class Config(_Section):
    """The whole of headgate.toml."""

    project: ProjectSection = Field(default_factory=ProjectSection)
    state: StateSection = Field(default_factory=StateSection)
    data: DataSection = Field(default_factory=DataSection)
    workers: WorkersSection = Field(default_factory=WorkersSection)
    parameters: dict[str, Annotated[Scalar, PlainValidator(_scalar)]] = Field(default_factory=dict)


def read_config(root: Path) -> Config:
    """Read and check the headgate.toml of a project's folder.

    Raises:
        UsageError: There is none, it is not TOML, or a key is unknown or has a value that cannot be.
    """
    document = read_document(root)
    try:
        config = Config.model_validate(document.values)
    except ValidationError as error:
        details = error.errors(include_url=False)
        raise _refused(document, min(details, key=lambda detail: document.line(_key(detail)))) from None
    paths(root, document)
    if not config.project.name:
        named = config.project.model_copy(update={"name": root.resolve().name})
        config = config.model_copy(update={"project": named})
    return config


def _key(detail: ErrorDetails) -> tuple[str, ...]:
    return tuple(part for part in detail["loc"] if isinstance(part, str))


def _refused(document: Document, detail: ErrorDetails) -> UsageError:
    key = _key(detail)
    if detail["type"] == "extra_forbidden":
        return _unknown(document, key)
    got = _shown_value(detail["input"])
    entry = next((f"entry {part + 1} " for part in detail["loc"] if isinstance(part, int)), "")
    return document.refuse(key, f"{entry}{_demand(detail)}, got {got}")


def _unknown(document: Document, key: tuple[str, ...]) -> UsageError:
    *above, last = key
    fields: dict[str, Any] = Config.model_fields
    for table in above:
        fields = fields[table].annotation.model_fields
    close = get_close_matches(last, fields, n=1)
    hint = f"Did you mean {close[0]}?" if close else f"There are {', '.join(fields)}."
    place = f"[{'.'.join(above)}]" if above else FILE_NAME
    return document.refuse(key, f"is unknown in {place}", hint=hint)


def _demand(detail: ErrorDetails) -> str:
    limits = detail.get("ctx", {})
    match detail["type"]:
        case "int_type":
            return "must be a whole number"
        case "float_type" | "finite_number":
            return "must be a number"
        case "string_type":
            return "must be text"
        case "list_type":
            return "must be a list"
        case "model_type" | "model_attributes_type" | "dict_type":
            return "must be a table"
        case "greater_than_equal":
            return f"must be at least {limits['ge']}"
        case "less_than_equal":
            return f"must be at most {limits['le']}"
        case "string_too_long":
            return f"must have at most {limits['max_length']} characters"
        case "too_short":
            return f"must have at least {limits['min_length']} entry"
        case _:
            return detail["msg"]


def _shown_value(value: object) -> str:
    match value:
        case str():
            return f"the text {shown(value)}"
        case bool():
            return str(value).lower()
        case int():
            return str(value) if abs(value) < 10**40 else "a number of more than 40 digits"
        case float():
            return str(value)
        case list():
            return "a list" if value else "an empty list"
        case dict():
            return "a table"
        case _:
            return shown(str(value))
