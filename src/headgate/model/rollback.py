"""Rollbacks: what is to be taken back, and which heads that moves."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple


class OnMovedOn(StrEnum):
    """What becomes of heads that something else has moved since: refuse all, leave them, or take them back, too."""

    REFUSE = "refuse"
    SKIP = "skip"
    INCLUDE = "include"


@dataclass(frozen=True, slots=True)
class Aim:
    """What a rollback takes back: all that a run published, or partitions of a dataset.

    A run that is itself a rollback is undone: heads go back to what they were before it.

    Args:
        run: Id of a run; empty for partitions of a dataset.
        dataset: The dataset, if it is not a run.
        keys: Its partitions.
        until_ms: They become what they were at this time; None if a version says where to.
        version: The one partition becomes this version.
        downstream: Whether what was made from bad versions is taken back with them. Of an undo: no meaning.
        moved_on: What becomes of heads that something else has moved since.
    """

    run: str = ""
    dataset: str = ""
    keys: tuple[str, ...] = ()
    until_ms: int | None = None
    version: int | None = None
    downstream: bool = False
    moved_on: OnMovedOn = OnMovedOn.REFUSE


class Move(NamedTuple):
    """One head that moves: version and checkpoint before and after; None for no head.

    `is_derived` says that it is not what was aimed at, but was made from that.
    """

    dataset: str
    key: str
    before: int | None
    before_checkpoint: int | None
    after: int | None
    after_checkpoint: int | None
    is_derived: bool = False


class HeadMove(NamedTuple):
    """That a rollback moved the head of a partition from a version to another; None for no head."""

    key: str
    before: int | None
    after: int | None
    at_ms: int
    run: str
    author: str
    reason: str


class Partition(NamedTuple):
    """A partition with a version of it (None for no head) and the run that published that; empty for none."""

    dataset: str
    key: str
    version: int | None
    run: str


@dataclass(frozen=True, slots=True)
class TakeBack:
    """What a rollback comes to, all by dataset and key.

    Args:
        moves: The heads that move.
        dependants: Heads that were made from bad versions and stay, because the aim leaves what is downstream.
        moved_on: Heads that something else has moved since: they stay, unless the aim includes them.
        gone: Where heads would have to go to, but vacuum has removed the files.
    """

    moves: tuple[Move, ...]
    dependants: tuple[Partition, ...]
    moved_on: tuple[Partition, ...]
    gone: tuple[Partition, ...]


@dataclass(frozen=True, slots=True)
class Hold:
    """Partitions of a dataset that a rollback took back, and nothing rebuilds until its cause is resolved.

    Args:
        run: The rollback.
        dataset: The dataset.
        partitions: How many.
        author: Who rolled back.
        reason: Why.
        created_ms: When.
    """

    run: str
    dataset: str
    partitions: int
    author: str
    reason: str
    created_ms: int
