"""Partitions of packs as files of their own, for readers to whom a pack is one file.

Such a file has a name that only its version has, and it is there as a whole or not at all. So it is written once, and
who finds it takes it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from headgate.crashpoints import crash_point
from headgate.errors import UnavailableError
from headgate.tables import layout
from headgate.tables.packing import write_pack

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from headgate.tables.opened import Piece

# Other formats take what begins with an underscore for their own, and leave it alone.
FOLDER = "_mirror"


class Unpacking(NamedTuple):
    """What to write: where it is, the path that it gets relative to the data root, and its content checksum."""

    piece: Piece
    path: str
    content: str


def unpacked_path(dataset: str, version: int) -> str:
    """Return where what a version has in a pack is a file of its own, relative to the data root."""
    return f"{dataset}/{FOLDER}/v{version}.parquet"


def unpack(data_root: Path, wanted: Iterable[Unpacking]) -> None:
    """Write row groups of packs as files, durably; those that are there already stay. Idempotent.

    Pre: nobody else does the same meanwhile.

    Raises:
        UnavailableError: The file system refused, or a pack is damaged.
    """
    missing = [one for one in wanted if not layout.resolve(data_root, one.path).exists()]
    layout.make_directories(data_root, [one.path for one in missing])
    for one in missing:
        path = layout.resolve(data_root, one.path)
        draft = path.with_suffix(".draft")
        try:
            draft.unlink(missing_ok=True)
            (group,) = write_pack(draft, [[one.piece]]).groups
            if group.content != one.content:
                raise UnavailableError(
                    f"row group {one.piece.row_group} of {one.piece.path} is not what was published",
                    hint="`headgate verify` says what else is damaged.",
                )
            crash_point("mirror.mid_unpack")
            draft.rename(path)
        except OSError as error:
            raise UnavailableError(f"{path} cannot be written: {error.strerror or error}") from error
    layout.fsync_directories({layout.resolve(data_root, one.path).parent for one in missing})
