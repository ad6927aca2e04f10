"""What a function gets for its parameters: its pinned input files, as what it annotates.

Light: libraries are imported in `frames` when a parameter asks for them. Files must be what was pinned: their sizes
are compared before the call, their times around it. Those of sources are hashed too: by who reads them whole, and
here where a function or a library reads them later.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from headgate.project.functions import InputKind
from headgate.tables.layout import downloads_of, remove_downloads
from headgate.worker.pinned import changed, check_content, check_size, look

if TYPE_CHECKING:
    from collections.abc import Iterable

    import duckdb
    import pandas as pd
    import polars as pl
    import pyarrow as pa

    from headgate.project.seen_files import FileState
    from headgate.worker.messages import FilePin, InputPin


@dataclass(frozen=True, slots=True)
class InputFiles:
    """The pinned files of an input, unread: for what no annotation gives.

    Args:
        dataset: The dataset or source.
        keys: Its pinned partitions, in order, also those without files.
        format: ``parquet``, ``csv``, ``csv-text`` or ``jsonl``.
        files: The files in the order of the keys, with sizes and hashes.
        immutable: Whether they are Headgate's own, which never change.
    """

    dataset: str
    keys: tuple[str, ...]
    format: str
    files: tuple[FilePin, ...]
    immutable: bool = False

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
        self._seen: dict[str, tuple[FileState, bool]] = {}
        self._downloads = 0
        self.files: dict[str, InputFiles] = {}
        """What was opened, by parameter: without those that have no files."""

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
        for path, (before, immutable) in self._seen.items():
            if look(path, immutable=immutable) != before:
                raise changed(f"{path} changed while it was read")

    def close(self) -> None:
        """Remove what was downloaded."""
        if self._downloads:
            remove_downloads(Path(self._stage))

    def _argument(self, pin: InputPin, kind: InputKind) -> object:
        if not pin.files:
            return None
        files = InputFiles(
            pin.dataset,
            tuple(pin.keys),
            pin.format,
            tuple(self._local(file, kind) for file in pin.files),
            pin.immutable,
        )
        self.files[pin.parameter] = files
        is_read_later = not pin.immutable and not self._is_read_at_once(files, kind)
        for file in files.files:
            state = look(file.path, immutable=pin.immutable)
            check_size(file, state.size)
            self._seen[file.path] = (state, pin.immutable)
            if is_read_later:
                check_content(file, state)
        return files.as_kind(kind)

    def _is_read_at_once(self, files: InputFiles, kind: InputKind) -> bool:
        """Return whether all bytes are read, and hashed there, before the function gets anything."""
        if kind is InputKind.FILES:
            return False
        from headgate.worker.frames import is_small

        return files.format != "parquet" or is_small(files)

    def _local(self, file: FilePin, kind: InputKind) -> FilePin:
        if file.row_group is not None and kind is InputKind.FILES:
            # Whoever opens the pack by its path would read other partitions, too.
            from headgate.worker.frames import unpack

            return unpack(file, self._new_download())
        if not file.path.lower().startswith(("http://", "https://")):
            return file
        from headgate.worker.download import download

        return download(file, self._new_download())

    def _new_download(self) -> Path:
        folder = downloads_of(Path(self._stage))
        folder.mkdir(exist_ok=True)
        self._downloads += 1
        return folder / str(self._downloads)
