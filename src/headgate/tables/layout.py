"""Where data files lie under the data root: ``DATASET/RUN/KEY-aATTEMPT.parquet``, parts ``KEY-aATTEMPT-pPART``.

The attempt's number makes a path unique; the key in it is for people and never read back. No path is ever
computed from a user's text alone, and none leads out of the root.
"""

from __future__ import annotations

import os
import re
import shutil
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from headgate.errors import InternalError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

MAX_SLUG = 80

_COSMETIC = re.compile(r"[^A-Za-z0-9._-]")
_STAGED = re.compile(r".*-a([0-9]{1,19})(-p[0-9]{4,9})?\.parquet")
_PART = re.compile(r"-p[0-9]{4,9}\.parquet")


def stage_path(dataset: str, run: str, key: str, attempt: int) -> str:
    """Return where an attempt stages its file, relative to the data root, with slashes."""
    slug = _COSMETIC.sub("_", key)[:MAX_SLUG].lstrip(".")
    return f"{dataset}/{run}/{slug}-a{attempt:04d}.parquet"


def part_path(staged: str, number: int) -> str:
    """Return where an attempt stages a part of its result: beside the file that it would stage as a whole."""
    return f"{staged.removesuffix('.parquet')}-p{number:04d}.parquet"


def is_part(staged: str, path: str) -> bool:
    """Return whether a path is that of a part of what an attempt stages."""
    stem = staged.removesuffix(".parquet")
    return path.startswith(f"{stem}-p") and _PART.fullmatch(path, len(stem)) is not None


def resolve(data_root: Path, relative: str) -> Path:
    """Return the absolute path of a file that is recorded relative to the data root.

    Raises:
        InternalError: It would lie outside the root.
    """
    parts = relative.split("/")
    if not relative or "\0" in relative or "\\" in relative or any(part in {"", ".", ".."} for part in parts):
        raise InternalError(f"{relative!r} is no path inside the data root")
    return data_root / relative


def make_directories(data_root: Path, relatives: Iterable[str]) -> None:
    """Create the directories that staged files go into, durably. Idempotent.

    Raises:
        UnavailableError: The file system refused.
    """
    changed: set[Path] = set()
    for directory in {resolve(data_root, relative).parent for relative in relatives}:
        missing = directory
        absent: list[Path] = []
        while not missing.is_dir():
            absent.append(missing)
            missing = missing.parent
        for new in reversed(absent):
            try:
                new.mkdir(exist_ok=True)
            except OSError as error:
                raise UnavailableError(f"cannot create {new}: {error.strerror}") from error
            changed.add(new.parent)
    fsync_directories(changed)


def fsync_directories(directories: Iterable[Path]) -> None:
    """Make the entries of directories durable: files in them survive a loss of power under their names.

    Raises:
        UnavailableError: The file system refused; what was staged there must not be published.
    """
    for directory in set(directories):
        try:
            descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise UnavailableError(f"cannot fsync {directory}: {error.strerror}") from error


def downloads_of(staged: Path) -> Path:
    """Return the folder for what an attempt downloads, beside the file that it stages."""
    return staged.with_name(staged.name + ".inputs")


def remove_downloads(staged: Path) -> None:
    """Remove what an attempt downloaded. Idempotent."""
    shutil.rmtree(downloads_of(staged), ignore_errors=True)


def collect(data_root: Path, relative: str) -> None:
    """Remove what an attempt left behind: its staged file and its downloads. Idempotent.

    Raises:
        InternalError: The path would lie outside the root.
        UnavailableError: The file system refused.
    """
    path = resolve(data_root, relative)
    remove_downloads(path)
    try:
        with suppress(FileNotFoundError, NotADirectoryError):
            path.unlink()
    except OSError as error:
        raise UnavailableError(f"cannot remove {path}: {error.strerror}") from error


def collect_parts(data_root: Path, staged: dict[int, str], used: Collection[str]) -> None:
    """Remove the parts that attempts left behind, but for those in use. Idempotent.

    Args:
        data_root: The data root.
        staged: Where each attempt would stage a whole file, by its number.
        used: Paths of parts that are needed, relative to the data root.

    Raises:
        InternalError: A path would lie outside the root.
        UnavailableError: The file system refused.
    """
    for folder in {path.rpartition("/")[0] for path in staged.values()}:
        for name, attempt, is_part_of in _staged_in(resolve(data_root, folder)):
            path = f"{folder}/{name}"
            if is_part_of and attempt in staged and path not in used:
                collect(data_root, path)


def attempts_on_disk(data_root: Path) -> Iterator[tuple[str, int]]:
    """Yield the relative path and attempt number of every staged or published file, in no order."""
    for dataset in _directories(data_root):
        for run in _directories(dataset):
            for name, attempt, _ in _staged_in(run):
                yield f"{dataset.name}/{run.name}/{name}", attempt


def empty_folders(data_root: Path) -> Iterator[str]:
    """Yield the relative paths ``DATASET/FOLDER`` of folders in which nothing is, in no order."""
    for dataset in _directories(data_root):
        for folder in _directories(dataset):
            with suppress(OSError), os.scandir(folder) as entries:
                if next(entries, None) is None:
                    yield f"{dataset.name}/{folder.name}"


def remove_empty(data_root: Path, folder: str) -> bool:
    """Remove a folder if nothing is in it; return whether it went.

    Raises:
        InternalError: The path would lie outside the root.
    """
    try:
        resolve(data_root, folder).rmdir()
    except OSError:
        # It holds something, or is gone already. An empty folder that stays does no harm.
        return False
    return True


def _staged_in(folder: Path) -> Iterator[tuple[str, int, bool]]:
    """Yield the name of each staged file in a folder, its attempt, and whether it is a part."""
    with suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder) as entries:
        for entry in entries:
            if match := _STAGED.fullmatch(entry.name):
                yield entry.name, int(match[1]), match[2] is not None


def _directories(parent: Path) -> list[Path]:
    try:
        with os.scandir(parent) as entries:
            return [Path(entry.path) for entry in entries if entry.is_dir()]
    except FileNotFoundError:
        return []
