"""The function of a dataset: its parameters, and what their annotations ask inputs to be.

Light, since workers import it before anything else; none of the libraries that annotations name is imported here.
"""

from __future__ import annotations

import types
import typing
from enum import StrEnum
from typing import TYPE_CHECKING, Any, cast

from headgate.errors import UsageError
from headgate.model.names import shown

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType, FunctionType

CONTEXT_PARAMETER = "ctx"


class InputKind(StrEnum):
    """What Headgate can hand an input over as."""

    POLARS_LAZY_FRAME = "polars.LazyFrame"
    POLARS_DATA_FRAME = "polars.DataFrame"
    ARROW_TABLE = "pyarrow.Table"
    ARROW_READER = "pyarrow.RecordBatchReader"
    DUCKDB_RELATION = "duckdb.DuckDBPyRelation"
    PANDAS_DATA_FRAME = "pandas.DataFrame"
    FILES = "headgate.InputFiles"


def unwrapped(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function below the decorators that used `functools.wraps`."""
    seen = {id(function)}
    while (inner := getattr(function, "__wrapped__", None)) is not None and id(inner) not in seen:
        seen.add(id(inner))
        function = inner
    return function


def code_of(function: Callable[..., Any]) -> CodeType:
    """Return the code object of a plain function."""
    return cast("FunctionType", function).__code__


def kind_of(function: Callable[..., object], parameter: str) -> InputKind:
    """Return what a parameter is annotated as; `FILES` if that says nothing. ``X | None`` counts as X.

    Raises:
        UsageError: It is annotated as something that Headgate cannot provide.
    """
    function = unwrapped(function)
    try:
        annotation = function.__annotations__.get(parameter)
        if isinstance(annotation, str):
            annotation = eval(annotation, function.__globals__)  # noqa: S307
    except Exception as error:
        raise UsageError(
            f"the annotation of {parameter} cannot be evaluated: {type(error).__name__}: {error}",
            hint="Import what it names at the top of the module, outside `if TYPE_CHECKING`.",
        ) from None
    if annotation is None or annotation is object or annotation is typing.Any:
        return InputKind.FILES
    kind = _kind(annotation)
    if kind is None:
        name = annotation.__qualname__ if isinstance(annotation, type) else str(annotation)
        raise UsageError(
            f"{parameter} is annotated as {shown(name)}, which no input can be",
            hint=f"Use one of {', '.join(InputKind)}.",
        )
    return kind


def _kind(annotation: object) -> InputKind | None:
    if typing.get_origin(annotation) in {typing.Union, types.UnionType}:
        present = [part for part in typing.get_args(annotation) if part is not types.NoneType]
        return _kind(present[0]) if len(present) == 1 else None
    if not isinstance(annotation, type):
        return None
    # Libraries define these in private modules and may move them there: only the library and the name count.
    library = annotation.__module__.partition(".")[0].lstrip("_")
    name = f"{library}.{annotation.__qualname__}"
    return InputKind(name) if name in set(InputKind) else None
