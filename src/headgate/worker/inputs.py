"""What a function gets for its parameters: its pinned input files, as what it annotates.

Light: libraries are imported in `frames` when a parameter asks for them. Files must be what was pinned: their sizes
are compared before the call, their times around it, and text files also by hash, because they are read at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from types import NoneType, SimpleNamespace, UnionType
from typing import TYPE_CHECKING, Any, Union, get_args, get_origin, get_type_hints

from headgate.errors import UsageError
from headgate.model.run import ErrorClass
from headgate.worker.failures import AttemptError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import duckdb
    import pandas as pd
    import polars as pl
    import pyarrow as pa

    from headgate.worker.messages import FilePin, InputPin

_PLAN_AGAIN = "Plan again: the new file will be seen as a new version."


class Shape(Enum):
    """What a parameter is annotated as: the library and name of the class."""

    FILES = ("headgate", "InputFiles")
    POLARS_LAZY = ("polars", "LazyFrame")
    POLARS = ("polars", "DataFrame")
    ARROW = ("pyarrow", "Table")
    ARROW_READER = ("pyarrow", "RecordBatchReader")
    DUCKDB = ("duckdb", "DuckDBPyRelation")
    PANDAS = ("pandas", "DataFrame")


@dataclass(frozen=True, slots=True)
class InputFiles:
    """The pinned files of an input, unread: for what no annotation gives.

    Args:
        dataset: The dataset or source.
        keys: Its pinned partitions, in order, also those without files.
        format: ``parquet``, ``csv`` or ``jsonl``.
        files: The files in the order of the keys, with sizes and hashes.
    """

    dataset: str
    keys: tuple[str, ...]
    format: str
    files: tuple[FilePin, ...]

    @property
    def paths(self) -> tuple[str, ...]:
        """Return the absolute paths of the files."""
        return tuple(file.path for file in self.files)

    def polars(self) -> pl.LazyFrame:
        """Return the rows of all files as a Polars LazyFrame."""
        from headgate.worker import frames

        return frames.polars_lazy(self)

    def arrow(self) -> pa.Table:
        """Return the rows of all files as a pyarrow Table."""
        from headgate.worker import frames

        return frames.arrow(self)

    def duckdb(self) -> duckdb.DuckDBPyRelation:
        """Return the rows of all files as a relation of DuckDB's default connection."""
        from headgate.worker import frames

        return frames.duckdb(self)

    def pandas(self) -> pd.DataFrame:
        """Return the rows of all files as a pandas DataFrame."""
        from headgate.worker import frames

        return frames.pandas(self)

    def shaped(self, shape: Shape) -> object:
        """Return the files as a parameter wants them."""
        match shape:
            case Shape.FILES:
                return self
            case Shape.POLARS_LAZY:
                return self.polars()
            case Shape.POLARS:
                return self.polars().collect()
            case Shape.ARROW:
                return self.arrow()
            case Shape.ARROW_READER:
                return self.arrow().to_reader()
            case Shape.DUCKDB:
                return self.duckdb()
            case Shape.PANDAS:
                return self.pandas()


def shape_of(function: Callable[..., Any], parameter: str) -> Shape:
    """Return what a parameter of a function is annotated as; `InputFiles` without annotation.

    Raises:
        UsageError: The annotation cannot be resolved, or no input can be given as it.
    """
    annotations = getattr(function, "__annotations__", {})
    if parameter not in annotations:
        return Shape.FILES
    where = f"parameter {parameter} of {function.__module__}.{function.__qualname__}"
    try:
        scope = SimpleNamespace(__annotations__={parameter: annotations[parameter]})
        kind = get_type_hints(scope, getattr(function, "__globals__", {}))[parameter]
    except Exception as error:
        raise UsageError(
            f"{where} is annotated as {annotations[parameter]!r}, which cannot be resolved: {error}",
            hint="Import its library at the top of the module, not under TYPE_CHECKING.",
        ) from error
    candidates = get_args(kind) if get_origin(kind) in {Union, UnionType} else (kind,)
    for candidate in candidates:
        library = getattr(candidate, "__module__", "").split(".")[0].lstrip("_")
        name = getattr(candidate, "__qualname__", "")
        for shape in Shape:
            if shape.value == (library, name):
                return shape
    if all(candidate in {Any, object, NoneType} for candidate in candidates):
        return Shape.FILES
    known = ", ".join(".".join(shape.value) for shape in Shape)
    raise UsageError(f"{where} is annotated as {kind}", hint=f"An input can be {known}, or one of them | None.")


class OpenInputs:
    """The inputs of one attempt: opened, watched and closed again.

    Args:
        pins: What the attempt reads.
        stage: Where it may stage its file; downloads lie beside it.
    """

    def __init__(self, pins: Iterable[InputPin], stage: str) -> None:
        self._pins = pins
        self._stage = stage
        self._seen: dict[str, tuple[int, int]] = {}
        self._downloads: list[Path] = []

    def arguments(self, shapes: dict[str, Shape]) -> dict[str, object]:
        """Return the value of each parameter: None for one without files.

        Raises:
            AttemptError: A file is missing, has changed since it was pinned, or is malformed.
        """
        return {pin.parameter: self._argument(pin, shapes.get(pin.parameter, Shape.FILES)) for pin in self._pins}

    def check(self) -> None:
        """Check that no file changed since `arguments`.

        Raises:
            AttemptError: One did.
        """
        for path, before in self._seen.items():
            if _stat(path) != before:
                raise AttemptError(ErrorClass.DATA, f"{path} changed while it was read", hint=_PLAN_AGAIN)

    def close(self) -> None:
        """Remove what was downloaded."""
        for path in self._downloads:
            path.unlink(missing_ok=True)

    def _argument(self, pin: InputPin, shape: Shape) -> object:
        if not pin.files:
            return None
        files = tuple(self._local(file) for file in pin.files)
        for file in files:
            size, changed_ns = _stat(file.path)
            if file.bytes >= 0 and size != file.bytes:
                raise AttemptError(
                    ErrorClass.DATA,
                    f"{file.path} changed since the plan: {size} bytes instead of {file.bytes}",
                    hint=_PLAN_AGAIN,
                )
            self._seen[file.path] = (size, changed_ns)
        return InputFiles(pin.dataset, tuple(pin.keys), pin.format, files).shaped(shape)

    def _local(self, file: FilePin) -> FilePin:
        if not file.path.lower().startswith(("http://", "https://")):
            return file
        from headgate.worker.download import download

        target = Path(f"{self._stage}.input{len(self._downloads)}")
        self._downloads.append(target)
        return download(file, target)


def _stat(path: str) -> tuple[int, int]:
    try:
        status = Path(path).stat()
    except OSError as error:
        raise AttemptError(
            ErrorClass.DATA, f"{path} cannot be read: {error.strerror}", hint="Bring it back, or plan again."
        ) from error
    return status.st_size, status.st_mtime_ns
