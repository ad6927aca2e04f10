"""What is read again of published files, and of those that mirrors have beside them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from headgate.store.mirror import Unpacked
from headgate.views.verification import Examiner

if TYPE_CHECKING:
    from pathlib import Path


def copies(data: Path, *versions: int) -> list[Unpacked]:
    """Write what a mirror has of versions, of one row each."""
    (data / "sales/_mirror").mkdir(parents=True)
    for version in versions:
        pq.write_table(pa.table({"n": [version]}), data / f"sales/_mirror/v{version}.parquet")
    return [Unpacked(f"sales/_mirror/v{version}.parquet", 1, "") for version in versions]


def test_copies_of_a_mirror_count_among_what_was_read(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    examiner = Examiner(tmp_path, with_content=False, told=lambda *read: told.append(read))
    assert list(examiner.examine_copies(copies(tmp_path, 1, 2))) == []
    sizes = sum(path.stat().st_size for path in tmp_path.rglob("*.parquet"))
    assert (examiner.files, examiner.bytes) == told[-1] == (2, sizes)


def test_a_copy_that_its_mirror_removes_meanwhile_is_not_broken(tmp_path: Path) -> None:
    never, meanwhile, other = copies(tmp_path, 1, 2, 3)
    (tmp_path / never.path).unlink()

    def told(files: int, _bytes: int) -> None:
        # Between the look at it and the reading.
        if files == 1:
            (tmp_path / meanwhile.path).unlink()

    examiner = Examiner(tmp_path, with_content=False, told=told)
    assert list(examiner.examine_copies([never, meanwhile, other])) == []
    (tmp_path / other.path).write_bytes(b"no parquet")
    (problem,) = examiner.examine_copies([other])
    assert problem.startswith(f"{tmp_path / other.path} cannot be read: ")
