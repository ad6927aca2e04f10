"""Why a partition is in a plan, link by link, up to what is rebuilt for a reason of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from headgate.model.reason import Why
from headgate.planning.scope import wanted_by
from headgate.planning.why import root_causes, why_chain
from headgate.views.explain import Moved, Used, inputs_moved
from headgate.views.names import unknown_dataset
from headgate.views.ranges import KeyRange, key_ranges

if TYPE_CHECKING:
    from headgate.model.dataset import Dataset
    from headgate.model.plan import Plan
    from headgate.planning.snapshot import Snapshot
    from headgate.planning.why import Link
    from headgate.store.store import Store

SHOWN_STEPS = 12

SHOWN_CODE = 12
"""How much of a fingerprint is shown."""


@dataclass(frozen=True, slots=True)
class WhyStep:
    """A partition on the way up, and why it is in the plan.

    Args:
        dataset: Name.
        key: Partition key.
        why: The reason as a word: missing, failed, code, late, inputs, upstream, forced, tainted.
        text: The reason as a clause that can stand behind "because".
        others: How many partitions that it reads are in the plan, beside the one of the next step.
        moved: Inputs that are not what it was made from.
        code: The fingerprints of the code that made it and of the code now, if they differ.
    """

    dataset: str
    key: str
    why: str
    text: str
    others: int
    moved: tuple[Moved, ...]
    code: tuple[str, str] | None


@dataclass(frozen=True, slots=True)
class RootCause:
    """Partitions of a dataset that are in the plan for one reason of their own, and bring the partition in."""

    dataset: str
    why: str
    text: str
    count: int
    ranges: tuple[KeyRange, ...]


@dataclass(frozen=True, slots=True)
class WhyView:
    """Why a partition is in a plan.

    Args:
        dataset: Name.
        key: Partition key.
        steps: The way from it up to one root cause: each step's partition is an input of the one before. Empty if it
            is not in the plan.
        roots: All root causes.
        absent: Why it is not in the plan; empty if it is.
    """

    dataset: str
    key: str
    steps: tuple[WhyStep, ...]
    roots: tuple[RootCause, ...]
    absent: str

    @property
    def sentence(self) -> str:
        """Return all of it in one sentence."""
        place = f"{self.dataset}/{self.key}"
        if self.absent:
            return f"{place} is not in the plan: {self.absent}"
        texts = [step.text for step in self.steps]
        if len(texts) > SHOWN_STEPS:
            texts[SHOWN_STEPS - 2 : -2] = [f"... ({len(texts) - SHOWN_STEPS:,} more steps)"]
        return f"{place} is in the plan because {', because '.join(texts)}"


def plan_why(store: Store, snapshot: Snapshot, plan: Plan, dataset: str, key: str) -> WhyView:
    """Return why a partition is in a plan.

    Args:
        store: The state store.
        snapshot: What the plan was made from.
        plan: The plan.
        dataset: Name of a dataset.
        key: Key of one of its partitions.

    Raises:
        UsageError: There is no such dataset or partition.
    """
    if dataset not in snapshot.datasets:
        raise unknown_dataset(dataset, snapshot.datasets)
    grid = snapshot.grids[dataset]
    index = grid.index(key, dataset)
    chain = why_chain(snapshot, plan, dataset, index)
    if not chain:
        wanted = wanted_by(snapshot, plan.request).get(dataset)
        asked = wanted is not None and bool(wanted[index])
        held = snapshot.heads[dataset].held.get(index)
        if not asked:
            absent = "it is not in the selection and range that were asked for"
        else:
            absent = f"rollback {held} holds it" if held else "it is up to date"
        return WhyView(dataset, grid.key(index), (), (), absent)
    following = [*chain[1:], None]
    cause = plan.request.cause
    steps = tuple(_step(store, snapshot, link, after, cause) for link, after in zip(chain, following, strict=True))
    roots = []
    for name, indices in root_causes(snapshot, plan, dataset, index).items():
        part = next(part for part in plan.datasets if part.name == name)
        reasons = part.why[np.searchsorted(part.indices, indices)]
        for why in (why for why in Why if (reasons == why).any()):
            found = indices[reasons == why]
            ranges = key_ranges(snapshot.grids[name], found)
            roots.append(RootCause(name, why.name.lower(), why.text, len(found), ranges))
    return WhyView(dataset, grid.key(index), steps, tuple(roots), "")


def _step(store: Store, snapshot: Snapshot, link: Link, following: Link | None, cause: str) -> WhyStep:
    dataset, heads = snapshot.datasets[link.dataset], snapshot.heads[link.dataset]
    key = snapshot.grids[link.dataset].key(link.index)
    moved: tuple[Moved, ...] = ()
    code = None
    if heads.version[link.index] and following is None:
        attempt = int((heads.version if heads.attempt is None else heads.attempt)[link.index])
        used = tuple(Used(version.dataset, version.key, version.identity) for version in store.lineage(attempt))
        moved = inputs_moved(dataset, snapshot, link.index, used)
        before = heads.codes[heads.code[link.index]]
        code = (before, dataset.code) if before != dataset.code else None
    match link.why:
        case Why.UPSTREAM:
            assert following is not None
            above = f"{following.dataset}/{snapshot.grids[following.dataset].key(following.index)}"
            more = f" (as {'is' if link.others == 1 else 'are'} {link.others:,} more)" if link.others else ""
            text = f"its input {above} is in the plan{more}"
        case Why.CODE if code is not None:
            text = f"its code changed from {code[0][:SHOWN_CODE]} to {code[1][:SHOWN_CODE]}"
        case Why.LATE:
            text = _late_text([one for one in moved if one.dataset in snapshot.sources])
        case Why.INPUTS:
            text = _moved_text(moved)
        case Why.FAILED:
            text = _failed_text(store, dataset, key)
        case Why.FORCED:
            text = "everything that was asked for is rebuilt (--all)"
        case Why.MISSING:
            text = "it has no version yet"
        case Why.TAINTED:
            text = f"its head rests on {cause}"
        case _:
            text = link.why.text
    return WhyStep(link.dataset, key, link.why.name.lower(), text, link.others, moved, code)


def _late_text(moved: list[Moved]) -> str:
    if not moved:
        return "a file that it reads came or changed after it was built"
    first = next((one for one in moved if one.now is not None), moved[0])
    place = f"{first.dataset}/{first.key}"
    if first.before is None:
        what = "the file appeared after it was built"
    else:
        what = f"the file changed after version {first.before}"
    return f"its input {place} is late: {what}{_more(moved)}"


def _moved_text(moved: tuple[Moved, ...]) -> str:
    if not moved:
        return "it reads its inputs in another way now"
    first = moved[0]
    place = f"{first.dataset}/{first.key}"
    if first.now is None:
        text = f"it was made from version {first.before} of {place}, which is no input any more"
    elif first.before is None:
        text = f"its input {place} was not there when it was built"
    else:
        text = f"its input {place} moved from version {first.before} to {first.now or 'a changed file'}"
    return text + _more(moved)


def _more(moved: tuple[Moved, ...] | list[Moved]) -> str:
    return f" (as did {len(moved) - 1:,} more)" if len(moved) > 1 else ""


def _failed_text(store: Store, dataset: Dataset, key: str) -> str:
    failed = next(iter(list(store.failed_partitions(dataset.name, key, unsure=not dataset.idempotent))), None)
    if failed is None:
        return "its last attempt failed"
    if not failed.error:
        return f"its last attempt, in run {failed.run}, came to no end: nobody knows how far it came"
    return f"its last attempt failed in run {failed.run}: {failed.error}"
