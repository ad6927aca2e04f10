"""What a function's annotations ask its inputs to be, without importing any of the libraries they come from."""

from __future__ import annotations

import types
import typing
from enum import StrEnum
from typing import TYPE_CHECKING

from headgate.errors import UsageError
from headgate.model.names import shown
from headgate.project.declare import unwrapped

if TYPE_CHECKING:
    from collections.abc import Callable


class InputKind(StrEnum):
    """What Headgate can hand an input over as."""

    POLARS_LAZY_FRAME = "polars.LazyFrame"
    POLARS_DATA_FRAME = "polars.DataFrame"
    ARROW_TABLE = "pyarrow.Table"
    ARROW_READER = "pyarrow.RecordBatchReader"
    DUCKDB_RELATION = "duckdb.DuckDBPyRelation"
    PANDAS_DATA_FRAME = "pandas.DataFrame"
    FILES = "headgate.InputFiles"


def kind_of(function: Callable[..., object], parameter: str) -> InputKind | None:
    """Return what a parameter is annotated as; None if that says nothing. ``X | None`` counts as X.

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
        return None
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
