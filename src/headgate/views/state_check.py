"""Whether what the state store says and what lies in the data folder are the same."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from headgate.errors import InternalError
from headgate.tables import layout
from headgate.tables.verify import verify_file

if TYPE_CHECKING:
    from pathlib import Path

    from headgate.model.version import File
    from headgate.store.store import Store

EVERY = 2**62


@dataclass(frozen=True, slots=True)
class StateCheck:
    """What was looked at, and what is wrong.

    Args:
        heads: Heads of datasets that were compared with their files.
        files: Files that were read and hashed.
        bytes: Their size.
        problems: What is wrong, as sentences; none when all is well.
        orphans: Files that no version has; they do no harm, and the next run removes those of attempts that ended.
    """

    heads: int
    files: int
    bytes: int
    problems: tuple[str, ...]
    orphans: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Return whether nothing is wrong."""
        return not self.problems


def check_state(store: Store, data_root: Path, sources: frozenset[str]) -> StateCheck:
    """Compare the state store with itself and with the data folder; read every published file.

    Args:
        store: The state store.
        data_root: The data folder.
        sources: Names whose files are not Headgate's.
    """
    problems = store.check()
    running = {attempt.id for attempt in store.running_attempts()}
    on_disk = sorted(layout.attempts_on_disk(data_root))
    heads = files = size = 0
    made: set[int] = set()
    for name in store.datasets():
        if name in sources:
            continue
        for version in store.heads(name):
            heads += 1
            for file in version.files:
                files += 1
                size += file.bytes
                problems += (
                    f"the head of {name} {version.key} (version {version.id}): {what}"
                    for what in _differences(data_root, file)
                )
        made.update(checkpoint.version for checkpoint in store.checkpoints(name, limit=EVERY))
    ceiling = store.next_id()
    orphans = []
    for path, attempt in on_disk:
        if attempt >= ceiling:
            problems.append(
                f"{path} was made by attempt {attempt}, but the state store knows only attempts below {ceiling}: "
                "it is older than the data"
            )
        elif attempt not in made and attempt not in running:
            orphans.append(path)
    return StateCheck(heads, files, size, tuple(problems), tuple(orphans))


def _differences(data_root: Path, file: File) -> list[str]:
    try:
        # The hash of the bytes proves the content, too: it was compared with the rows when it was published.
        return verify_file(layout.resolve(data_root, file.path), file, content="")
    except InternalError as error:
        return [error.message]
