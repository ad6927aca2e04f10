"""How a run stands that publishes together. Light: `headgate status` needs it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from headgate.model.run import Publication, RunState

if TYPE_CHECKING:
    from collections.abc import Iterable

    from headgate.store.staged import Conflict


@dataclass(frozen=True, slots=True)
class ConflictLine:
    """A partition that keeps a staged run from being published, and why: what follows its name."""

    dataset: str
    key: str
    why: str


@dataclass(frozen=True, slots=True)
class StagedView:
    """What has become visible of a run that publishes together.

    Args:
        needs_approval: Whether somebody has to approve before anything does.
        is_published: Whether all of it is visible; otherwise nothing is.
        conflicts: What keeps it from being published.
    """

    needs_approval: bool
    is_published: bool
    conflicts: tuple[ConflictLine, ...]


def staged_view(publication: Publication, state: RunState, conflicts: Iterable[Conflict]) -> StagedView | None:
    """Return what has become visible of a run; None for one that publishes each partition by itself."""
    if not publication.is_staged:
        return None
    return StagedView(
        publication is Publication.APPROVED,
        state is RunState.SUCCEEDED,
        tuple(ConflictLine(one.dataset, one.key, one.why) for one in conflicts),
    )
