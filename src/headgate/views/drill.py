"""What drills look at wrong data with: the same as `headgate diff` and `headgate verify`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headgate.drivers.drill import Eyes
from headgate.views.diff import run_diff
from headgate.views.verification import Examiner

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from headgate.model.run import Run
    from headgate.model.version import Version
    from headgate.store.store import Store


def differing(store: Store, data_root: Path, run: Run) -> set[tuple[str, str]]:
    """Return dataset and key of the partitions that are not what they were before a run."""
    return {
        (dataset.name, part.key)
        for dataset in run_diff(store, data_root, run)
        for part in dataset.parts
        if part.added or part.removed
    }


def examined(data_root: Path, versions: Sequence[Version]) -> Iterator[tuple[Version, list[str]]]:
    """Yield versions with what is wrong with their files."""
    return Examiner(data_root, with_content=False).examine(versions)


EYES = Eyes(differing, examined)
