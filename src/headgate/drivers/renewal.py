"""Keeps early cut-off from holding on to a damaged file: rebuilding a partition is how people repair it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headgate.tables.layout import resolve
from headgate.tables.verify import verify_content, verify_file

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path

    from headgate.model.version import Version
    from headgate.store.records import Candidate
    from headgate.store.transaction import Transaction


def renewing(
    tx: Transaction, candidates: Sequence[Candidate], rebuilt: Collection[int], data_root: Path
) -> list[Candidate]:
    """Return candidates, with `renews` set where the head has the same content but its files are gone or damaged.

    Args:
        tx: The transaction that will publish them.
        candidates: What is to be published.
        rebuilt: The attempts among them whose partitions had a head when their run was taken up.
        data_root: The data folder.
    """
    keys: dict[str, list[str]] = {}
    for candidate in candidates:
        if candidate.attempt in rebuilt:
            keys.setdefault(candidate.dataset, []).append(candidate.key)
    if not keys:
        return list(candidates)
    heads = {
        (dataset, key): head
        for dataset, wanted in keys.items()
        for key, head in zip(wanted, tx.heads(dataset, wanted), strict=True)
    }
    return [
        candidate._replace(renews=True)
        if (head := heads.get((candidate.dataset, candidate.key))) is not None
        and head.content == candidate.content
        and _is_damaged(head, data_root)
        else candidate
        for candidate in candidates
    ]


def _is_damaged(head: Version, data_root: Path) -> bool:
    paths = [resolve(data_root, file.path) for file in head.files]
    if any(file.row_group is not None for file in head.files):
        # Hashing a pack takes long, and says nothing of this partition that decoding its row group does not.
        return bool(verify_content(paths, head.files, head.content))
    return any(verify_file(path, file, "") for path, file in zip(paths, head.files, strict=True))
