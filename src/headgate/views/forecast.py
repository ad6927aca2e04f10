"""When a plan would be done, and what it would wait for, by simulated runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from headgate.drivers.simulated import quantile, simulate
from headgate.drivers.what_if import as_it_is, changed
from headgate.model.run import TaskState
from headgate.planning.critical import longest_chain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headgate.core.events import Stage
    from headgate.drivers.simulated import Setting, Simulation
    from headgate.model.plan import Plan
    from headgate.planning.snapshot import Snapshot
    from headgate.project.load import Project
    from headgate.store.store import Store

RUNS = 200
LOOKS = 16
BUDGET_S = 2.0
"""What `outlooks` may take, for all settings together; each is simulated once in any case."""
GLANCE_S = 0.2
"""What `forecast` may take."""
GLANCE_TASKS = 4_000
"""A plan with more tasks takes longer than that to simulate even once."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """When a plan would be done.

    Args:
        runs: Simulated runs.
        p50_ms: Half of them took no longer; None if they never end.
        p90_ms: Nine of ten took no longer; None if fewer end.
        assumed: Datasets without a history, of which a duration is assumed.
        assumed_ms: That duration.
    """

    runs: int
    p50_ms: int | None
    p90_ms: int | None
    assumed: tuple[str, ...]
    assumed_ms: int


@dataclass(frozen=True, slots=True)
class Waited:
    """In which share of the time at least one task waited for something.

    Args:
        wait: The reason as a word, such as POOL.
        text: The reason in words.
        what: The pool, breaker, class or dataset; empty where the reason says all.
        share: From 0 to 1.
    """

    wait: str
    text: str
    what: str
    share: float


@dataclass(frozen=True, slots=True)
class ChainLink:
    """Neighbouring tasks of one dataset in a chain, and what they take."""

    dataset: str
    partitions: int
    elapsed_ms: int


@dataclass(frozen=True, slots=True)
class DatasetTime:
    """What the attempts of a dataset take.

    Args:
        name: The dataset.
        partitions: How many are built.
        attempts: How many attempts that takes, the mean over the runs.
        typical_ms: What one attempt takes.
        busy_ms: What all of them take together, the mean over the runs.
        is_assumed: Whether there is no history, so that the duration is assumed or given.
    """

    name: str
    partitions: int
    attempts: float
    typical_ms: int
    busy_ms: int
    is_assumed: bool


@dataclass(frozen=True, slots=True)
class Outlook:
    """What simulated runs of a plan came to in one setting.

    Args:
        runs: How many there were.
        endless: How many of them never ended.
        p50_ms: Half of the runs took no longer; None if they never end.
        p90_ms: Nine of ten took no longer.
        p50_at_ms: When that is, UTC.
        p90_at_ms: Likewise.
        failed: Partitions that failed or were blocked in the end, the mean over the runs.
        chain: The longest chain, by typical durations.
        chain_ms: What it takes: no number of slots makes the run faster.
        waits: What tasks waited for, the largest share first.
        datasets: What the attempts of each dataset take.
        fresh_p50_ms: What half of the fresh tasks that come at random times wait for their start, at most.
        fresh_p90_ms: Likewise for nine of ten.
    """

    runs: int
    endless: int
    p50_ms: int | None
    p90_ms: int | None
    p50_at_ms: int | None
    p90_at_ms: int | None
    failed: float
    chain: tuple[ChainLink, ...]
    chain_ms: int
    waits: tuple[Waited, ...]
    datasets: tuple[DatasetTime, ...]
    fresh_p50_ms: int | None
    fresh_p90_ms: int | None


@dataclass(frozen=True, slots=True)
class Outlooks:
    """A plan in one setting, or in two.

    Args:
        partitions: Partitions that can be built.
        blocked: Partitions that cannot.
        start_ms: When the run begins, UTC.
        service_class: Its class.
        seed: What the drawn durations follow from.
        changes: What is different in the second setting.
        assumed: Datasets without a history.
        as_is: The outlook as things are.
        changed: The outlook with the changes; None without any.
    """

    partitions: int
    blocked: int
    start_ms: int
    service_class: str
    seed: int
    changes: tuple[str, ...]
    assumed: tuple[str, ...]
    as_is: Outlook
    changed: Outlook | None


def forecast(
    project: Project, store: Store, snapshot: Snapshot, plan: Plan, *, owner: str, service_class: str = "backfill"
) -> Forecast | None:
    """Return when a plan would be done if it began now; None if there is nothing to do or too much to tell quickly."""
    if not 0 < plan.size - plan.blocked <= GLANCE_TASKS:
        return None
    setting, assumed = as_it_is(
        project, store, snapshot, plan, service_class=service_class, owner=owner, start_ms=snapshot.as_of_ms
    )
    found = simulate(setting, runs=RUNS, looks=0, budget_s=GLANCE_S)
    typical_ms = next((int(stage.typical_ms) for stage in setting.stages if stage.dataset in assumed), 0)
    return Forecast(found.runs, _ms(found.elapsed_ms, 0.5), _ms(found.elapsed_ms, 0.9), assumed, typical_ms)


def outlooks(
    project: Project,
    store: Store,
    snapshot: Snapshot,
    plan: Plan,
    *,
    service_class: str,
    owner: str,
    start_ms: int,
    changes: Sequence[str] = (),
    runs: int = RUNS,
    seed: int = 0,
    budget_s: float = BUDGET_S,
) -> Outlooks:
    """Return what simulated runs of a plan come to as things are, and with changes if there are any.

    Args:
        project: The user's project.
        store: Its state store.
        snapshot: What the plan was made from.
        plan: The plan.
        service_class: Class of the run.
        owner: Its author.
        start_ms: When it begins.
        changes: See `what_if.changed`.
        runs: How many to simulate in each setting, unless time runs out.
        seed: What is drawn follows from it.
        budget_s: How long to simulate.

    Raises:
        UsageError: There is no such class, or a change cannot be.
    """
    setting, assumed = as_it_is(
        project, store, snapshot, plan, service_class=service_class, owner=owner, start_ms=start_ms
    )
    other = changed(setting, changes, plan, snapshot) if changes else None
    each_s = budget_s / 2 if other else budget_s
    found = simulate(setting, runs=runs, seed=seed, looks=LOOKS, budget_s=each_s)
    beside = None
    if other:
        # What a change gives a duration is not assumed any more.
        same = zip(setting.stages, setting.behaviours, other.behaviours, strict=True)
        left = [stage.dataset for stage, before, after in same if before.durations_ms is after.durations_ms]
        found_beside = simulate(other, runs=found.runs, seed=seed, looks=LOOKS, budget_s=each_s)
        beside = outlook(other, found_beside, [name for name in assumed if name in left])
    return Outlooks(
        partitions=plan.size - plan.blocked,
        blocked=plan.blocked,
        start_ms=start_ms,
        service_class=service_class,
        seed=seed,
        changes=tuple(changes),
        assumed=assumed,
        as_is=outlook(setting, found, assumed),
        changed=beside,
    )


def outlook(setting: Setting, found: Simulation, assumed: Sequence[str] = ()) -> Outlook:
    """Return what simulated runs came to, with names.

    Args:
        setting: What was simulated.
        found: What it came to.
        assumed: Datasets without a history.
    """
    p50_ms, p90_ms = _ms(found.elapsed_ms, 0.5), _ms(found.elapsed_ms, 0.9)
    chain = _chain(setting.stages)
    return Outlook(
        runs=found.runs,
        endless=sum(took_ms == float("inf") for took_ms in found.elapsed_ms),
        p50_ms=p50_ms,
        p90_ms=p90_ms,
        p50_at_ms=None if p50_ms is None else setting.start_ms + p50_ms,
        p90_at_ms=None if p90_ms is None else setting.start_ms + p90_ms,
        failed=round(found.failed, 2),
        chain=chain,
        chain_ms=sum(link.elapsed_ms for link in chain),
        waits=tuple(
            Waited(binding.wait.name, binding.wait.value, binding.what, round(share, 4))
            for binding, share in sorted(found.waits.items(), key=lambda item: (-item[1], item[0]))
        ),
        datasets=tuple(
            DatasetTime(
                stage.dataset,
                int(np.count_nonzero(stage.states == TaskState.WAITING)),
                round(found.attempts[n], 2),
                round(stage.typical_ms),
                round(found.busy_ms[n]),
                stage.dataset in assumed,
            )
            for n, stage in enumerate(setting.stages)
        ),
        fresh_p50_ms=_ms(found.fresh_ms, 0.5),
        fresh_p90_ms=_ms(found.fresh_ms, 0.9),
    )


def _ms(ascending: Sequence[float], share: float) -> int | None:
    value = quantile(ascending, share)
    return None if value is None else round(value)


def _chain(stages: Sequence[Stage]) -> tuple[ChainLink, ...]:
    """Return a longest chain, with what follows within one dataset taken together."""
    links: list[ChainLink] = []
    for number, _ in longest_chain(stages):
        stage = stages[number]
        count = 1
        if links and links[-1].dataset == stage.dataset:
            count += links.pop().partitions
        links.append(ChainLink(stage.dataset, count, round(count * stage.typical_ms)))
    return tuple(links)
