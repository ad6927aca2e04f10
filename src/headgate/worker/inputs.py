"""What a function gets for its parameters: its pinned input files, as what it annotates.

Light: libraries are imported in `frames` when a parameter asks for them. Files must be what was pinned: their sizes
are compared before the call, their times around it, and text files also by hash, because they are read at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from headgate.model.run import ErrorClass
from headgate.project.functions import InputKind
from headgate.tables.layout import downloads_of, remove_downloads
from headgate.worker.failures import AttemptError

if TYPE_CHECKING:
    from collections.abc import Iterable

    import duckdb
    import pandas as pd
    import polars as pl
    import pyarrow as pa

    from headgate.worker.messages import FilePin, InputPin

_PLAN_AGAIN = "Plan again: the new file will be seen as a new version."


@dataclass(frozen=True, slots=True)
class InputFiles:
    """The pinned files of an input, unread: for what no annotation gives.

    Args:
        dataset: The dataset or source.
        keys: Its pinned partitions, in order, also those without files.
        format: ``parquet``, ``csv``, ``csv-text`` or ``jsonl``.
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

    def as_kind(self, kind: InputKind) -> object:
        """Return the files as a parameter wants them."""
        match kind:
            case InputKind.FILES:
                return self
            case InputKind.POLARS_LAZY_FRAME:
                return self.polars()
            case InputKind.POLARS_DATA_FRAME:
                from headgate.worker import frames

                return frames.polars(self)
            case InputKind.ARROW_TABLE:
                return self.arrow()
            case InputKind.ARROW_READER:
                return self.arrow().to_reader()
            case InputKind.DUCKDB_RELATION:
                return self.duckdb()
            case InputKind.PANDAS_DATA_FRAME:
                return self.pandas()


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
        self._downloads = 0

    def arguments(self, kinds: dict[str, InputKind]) -> dict[str, object]:
        """Return the value of each parameter: None for one without files.

        Raises:
            AttemptError: A file is missing, has changed since it was pinned, or is malformed.
        """
        return {pin.parameter: self._argument(pin, kinds.get(pin.parameter, InputKind.FILES)) for pin in self._pins}

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
        if self._downloads:
            remove_downloads(Path(self._stage))

    def _argument(self, pin: InputPin, kind: InputKind) -> object:
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
        return InputFiles(pin.dataset, tuple(pin.keys), pin.format, files).as_kind(kind)

    def _local(self, file: FilePin) -> FilePin:
        if not file.path.lower().startswith(("http://", "https://")):
            return file
        from headgate.worker.download import download

        folder = downloads_of(Path(self._stage))
        folder.mkdir(exist_ok=True)
        self._downloads += 1
        return download(file, folder / str(self._downloads))


def _stat(path: str) -> tuple[int, int]:
    try:
        status = Path(path).stat()
    except OSError as error:
        raise AttemptError(
            ErrorClass.DATA, f"{path} cannot be read: {error.strerror}", hint="Bring it back, or plan again."
        ) from error
    return status.st_size, status.st_mtime_ns
