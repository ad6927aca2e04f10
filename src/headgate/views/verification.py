"""Whether the files of versions still are what was published: all of them read again, in parallel."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

from headgate.errors import InternalError
from headgate.model.version import File
from headgate.tables import layout
from headgate.tables.verify import verify_bytes, verify_content

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from headgate.model.version import Version
    from headgate.store.mirror import Unpacked
    from headgate.store.store import Store

AT_A_TIME = 2_000
"""So many versions are looked at before what was found of them is kept and their files are forgotten."""

_FEWEST_THREADS = 2
_MOST_TOGETHER, _SLICES = 32, 16

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class Broken:
    """A version that is not what was published.

    Args:
        dataset: Name.
        key: Partition key.
        version: Its number.
        is_head: Whether it is what readers see.
        problems: What is wrong, as sentences.
        intact: Other versions of the partition whose files are as they were published, newest first.
    """

    dataset: str
    key: str
    version: int
    is_head: bool
    problems: tuple[str, ...]
    intact: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class BrokenCopy:
    """A file that the mirror of a dataset has of a version in a pack, and that is not what was published."""

    dataset: str
    problem: str


@dataclass(frozen=True, slots=True)
class Verification:
    """What was read again, and what is broken.

    Args:
        versions: Versions that were looked at.
        files: Files that were read, each once; with those that mirrors have copied from packs.
        bytes: Their size.
        broken: Versions that are not what was published.
        copies: What mirrors have copied from packs and is broken.
    """

    versions: int
    files: int
    bytes: int
    broken: tuple[Broken, ...]
    copies: tuple[BrokenCopy, ...]

    @property
    def ok(self) -> bool:
        """Return whether nothing is broken."""
        return not self.broken and not self.copies


@dataclass(slots=True)
class Examiner:
    """Reads files of versions again, in threads: hashing and decoding let other threads run.

    Args:
        data_root: The data folder.
        with_content: Whether to decode the rows and compare their checksum, beside size and hash.
        told: Is told how many files and bytes have been read, now and then.
        files: Files that were read.
        bytes: Their size.
    """

    data_root: Path
    with_content: bool
    told: Callable[[int, int], None] = lambda _files, _bytes: None
    files: int = 0
    bytes: int = 0
    _packs: dict[str, list[str]] = field(default_factory=dict)

    def examine(self, versions: Iterable[Version]) -> Iterator[tuple[Version, list[str]]]:
        """Yield each version with what is wrong with it, in their order; nothing for one that is intact."""
        remaining = iter(versions)
        with ThreadPoolExecutor(max(_FEWEST_THREADS, len(os.sched_getaffinity(0)))) as threads:
            while some := list(islice(remaining, AT_A_TIME)):
                yield from self._some(threads, some)

    def examine_copies(self, copies: Iterable[Unpacked]) -> Iterator[str]:
        """Yield what is wrong with files that a mirror has of versions in packs: of their bytes nothing is recorded.

        A mirror that follows the heads, or is made anew, may remove them meanwhile.
        """
        for copy in copies:
            path = layout.resolve(self.data_root, copy.path)
            try:
                self.bytes += path.stat().st_size
            except FileNotFoundError:
                continue
            self.files += 1
            self.told(self.files, self.bytes)
            file = File(copy.path, copy.rows, 0, "")
            yield from verify_content([path], [file], copy.content, may_be_gone=True)

    def _some(self, threads: ThreadPoolExecutor, versions: Sequence[Version]) -> Iterator[tuple[Version, list[str]]]:
        files = {file.path: file for version in versions for file in version.files if file.path not in self._packs}
        found: dict[str, list[str]] = {}
        for file, problems in zip(files.values(), _each(threads, self._bytes_of, list(files.values())), strict=True):
            found[file.path] = problems
            self.files += 1
            self.bytes += file.bytes
            self.told(self.files, self.bytes)
            if file.row_group is not None:
                # Other partitions are in it, too.
                self._packs[file.path] = problems
        found |= self._packs
        problems_of = [[what for path in _paths(version) for what in found[path]] for version in versions]
        if self.with_content:
            decoded = threads.map(self._content_of, versions, problems_of)
            problems_of = [known + more for known, more in zip(problems_of, decoded, strict=True)]
        yield from zip(versions, problems_of, strict=True)

    def _bytes_of(self, file: File) -> list[str]:
        try:
            return verify_bytes(layout.resolve(self.data_root, file.path), file)
        except InternalError as error:
            return [error.message]

    def _content_of(self, version: Version, known: list[str]) -> list[str]:
        if known or not version.files:
            return []
        paths = [layout.resolve(self.data_root, file.path) for file in version.files]
        return verify_content(paths, version.files, version.content)


def _each(
    threads: ThreadPoolExecutor, function: Callable[[_Item], _Result], items: Sequence[_Item]
) -> Iterator[_Result]:
    """Yield what a function makes of each item, in order; many small ones are handed to a thread together."""
    step = max(1, min(_MOST_TOGETHER, len(items) // _SLICES))
    slices = [items[at : at + step] for at in range(0, len(items), step)]
    for results in threads.map(lambda some: [function(item) for item in some], slices):
        yield from results


def _paths(version: Version) -> list[str]:
    return list(dict.fromkeys(file.path for file in version.files))


def verify(
    store: Store,
    data_root: Path,
    datasets: Sequence[str],
    *,
    all_versions: bool,
    with_content: bool,
    told: Callable[[int, int], None],
) -> Verification:
    """Read the files of datasets again, and compare them with what the state store says.

    Args:
        store: The state store.
        data_root: The data folder.
        datasets: Their names.
        all_versions: Whether to read every version that is kept; else the heads only.
        with_content: Whether to decode the rows and compare their checksum, beside size and hash.
        told: Is told how many files and bytes have been read.
    """
    examiner = Examiner(data_root, with_content, told)
    count = 0
    broken: list[Broken] = []
    copies: list[BrokenCopy] = []
    for name in datasets:
        # All of them at once: the store is not read from in between.
        kept = list(store.kept_versions(name, heads_only=not all_versions))
        count += len(kept)
        examined = examiner.examine(one.version for one in kept)
        for one, (version, problems) in zip(kept, examined, strict=True):
            if problems:
                intact = _intact(store, data_root, version, with_content)
                broken.append(Broken(name, version.key, version.id, one.is_head, tuple(problems), intact))
        copies += [BrokenCopy(name, problem) for problem in examiner.examine_copies(store.unpacked(name))]
    return Verification(count, examiner.files, examiner.bytes, tuple(broken), tuple(copies))


def _intact(store: Store, data_root: Path, broken: Version, with_content: bool) -> tuple[int, ...]:
    """Return the other versions of a partition that are intact, newest first."""
    others = [one.version for one in store.kept_versions(broken.dataset, key=broken.key)]
    examined = Examiner(data_root, with_content).examine(one for one in others if one.id != broken.id)
    return tuple(version.id for version, problems in examined if not problems)
