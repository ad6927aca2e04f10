"""How far mirrors are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from headgate.store.store import Store


@dataclass(frozen=True, slots=True)
class MirrorLine:
    """A mirror.

    Args:
        dataset: Of which dataset.
        table: Its folder.
        seq: The journal entry up to which it shows what the heads show; 0 for none.
        at_ms: When it last did; None for never.
        behind: Partitions whose heads have moved since; None if it never did.
        error: What keeps it from going on; empty for nothing.
        is_declared: Whether the dataset is declared with a mirror; None where that was not looked at.
    """

    dataset: str
    table: str
    seq: int
    at_ms: int | None
    behind: int | None
    error: str
    is_declared: bool | None = None


def mirror_lines(store: Store, data: str, declared: Iterable[str] | None = None) -> list[MirrorLine]:
    """Return the mirrors of a state store, and those that are declared and were never made.

    Args:
        store: The state store.
        data: The data folder.
        declared: The datasets that are declared with a mirror, if that is known.
    """
    known = None if declared is None else set(declared)
    lines = {
        one.dataset: MirrorLine(
            one.dataset,
            f"{data}/{one.dataset}",
            one.seq,
            one.at_ms or None,
            one.behind if one.at_ms else None,
            one.error,
            None if known is None else one.dataset in known,
        )
        for one in store.mirrors()
    }
    for name in known or ():
        lines.setdefault(name, MirrorLine(name, f"{data}/{name}", 0, None, None, "", True))
    return [lines[name] for name in sorted(lines)]
