"""What mirrors note in the embedded store; the contract is in `store.mirror`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headgate.store.sqlite_publishing import Publishing

if TYPE_CHECKING:
    from collections.abc import Mapping


class Mirroring(Publishing):
    """What a transaction does for mirrors."""

    def begin_mirror(self, dataset: str) -> None:
        """Note that there is a mirror of a dataset."""
        self._connection.execute(self._sql["begin_mirror"], {"dataset": dataset})

    def mirror_reached(self, dataset: str, seq: int, *, now_ms: int) -> None:
        """Note that a mirror shows the heads as of a journal entry."""
        self._connection.execute(self._sql["mirror_reached"], {"dataset": dataset, "seq": seq, "at_ms": now_ms})

    def mirror_failed(self, dataset: str, error: str) -> None:
        """Note what keeps a mirror from going on; empty for nothing."""
        self._connection.execute(self._sql["mirror_failed"], {"dataset": dataset, "error": error})

    def forget_mirror(self, dataset: str) -> None:
        """Forget that there is a mirror."""
        self._connection.execute(self._sql["forget_mirror"], {"dataset": dataset})

    def add_unpacked(self, paths: Mapping[int, str]) -> None:
        """Note where a mirror keeps what versions have in packs as files of their own."""
        self._connection.executemany(self._sql["add_unpacked"], list(paths.items()))
