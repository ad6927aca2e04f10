"""When a plan would be done, what it would wait for and take, by simulated runs; and what became of such forecasts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from headgate.drivers.forecast import (
    RUNS,
    chain_of,
    dataset_forecasts,
    forecast,
    forecast_from_json,
    milliseconds,
)
from headgate.drivers.outset import as_it_is
from headgate.drivers.simulated import simulate
from headgate.drivers.what_if import changed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headgate.drivers.outset import Outset
    from headgate.drivers.setting import Setting, Simulation
    from headgate.model.forecast import ChainLink, DatasetForecast, Forecast
    from headgate.model.plan import Plan
    from headgate.planning.snapshot import Snapshot
    from headgate.project.load import Project
    from headgate.store.records import Observation, Spent
    from headgate.store.store import Store

__all__ = ["Hindsight", "Outlook", "Outlooks", "Waited", "forecast", "hindsight", "outlooks"]

LOOKS = 16
BUDGET_S = 2.0
"""What `outlooks` may take, for all settings together; each is simulated once in any case."""
MOST_TASKS = 40_000
"""A plan with more tasks is simulated in chunks, about so many."""


@dataclass(frozen=True, slots=True)
class Waited:
    """In which share of the time at least one task waited for something.

    Args:
        wait: The reason as a word, such as pool.
        text: The reason in words.
        what: The pool, breaker, class or dataset; empty where the reason says all.
        share: From 0 to 1.
    """

    wait: str
    text: str
    what: str
    share: float


@dataclass(frozen=True, slots=True)
class Outlook:
    """What simulated runs of a plan came to in one setting.

    Args:
        runs: How many there were.
        endless: How many of them never ended.
        complete: In which share of them everything was built that can be.
        p50_ms: Half of the runs ended after no longer; None if they never end. They may have left something unbuilt.
        p90_ms: Nine of ten ended after no longer.
        p50_at_ms: When that is, UTC.
        p90_at_ms: Likewise.
        failed: Partitions that can be built and were not in the end, the mean over the runs.
        chain: The longest chain, by typical durations.
        chain_ms: What it takes: no number of slots makes the run faster.
        waits: What tasks waited for, the largest share first.
        datasets: What the attempts of each dataset take.
        fresh_p50_ms: What half of the fresh tasks that come at random times wait for their start, at most.
        fresh_p90_ms: Likewise for nine of ten.
    """

    runs: int
    endless: int
    complete: float
    p50_ms: int | None
    p90_ms: int | None
    p50_at_ms: int | None
    p90_at_ms: int | None
    failed: float
    chain: tuple[ChainLink, ...]
    chain_ms: int
    waits: tuple[Waited, ...]
    datasets: tuple[DatasetForecast, ...]
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
        assumed: Datasets without a history, of which a duration is assumed.
        declared: Datasets without a history, of which headgate.toml says a duration.
        is_coarse: Whether neighbouring partitions were simulated as one, because there are so many.
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
    declared: tuple[str, ...]
    is_coarse: bool
    as_is: Outlook
    changed: Outlook | None


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
    observations: Sequence[Observation] = (),
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
        observations: Files of sources as they were found, which the store does not know yet.
        runs: How many to simulate in each setting, unless time runs out.
        seed: What is drawn follows from it.
        budget_s: How long to simulate.

    Raises:
        UsageError: There is no such class, or a change cannot be.
    """
    outset = as_it_is(
        project,
        store,
        snapshot,
        plan,
        service_class=service_class,
        owner=owner,
        start_ms=start_ms,
        observations=observations,
        most_tasks=MOST_TASKS,
    )
    setting = outset.setting
    floors = project.policies.default_floors()
    other = changed(setting, changes, outset.plan, snapshot, default_floors=floors) if changes else None
    each_s = budget_s / 2 if other else budget_s
    found = simulate(setting, runs=runs, seed=seed, looks=LOOKS, budget_s=each_s)
    beside = None
    if other:
        beside = outlook(outset, other, simulate(other, runs=found.runs, seed=seed, looks=LOOKS, budget_s=each_s))
    return Outlooks(
        partitions=plan.size - plan.blocked,
        blocked=plan.blocked,
        start_ms=start_ms,
        service_class=service_class,
        seed=seed,
        changes=tuple(changes),
        assumed=outset.assumed,
        declared=outset.declared,
        is_coarse=outset.is_coarse,
        as_is=outlook(outset, setting, found),
        changed=beside,
    )


def outlook(outset: Outset, setting: Setting, found: Simulation) -> Outlook:
    """Return what simulated runs came to, with names.

    Args:
        outset: What is known of the work.
        setting: What was simulated: that of the outset, or one with changes.
        found: What it came to.
    """
    p50_ms, p90_ms = milliseconds(found.elapsed_ms, 0.5), milliseconds(found.elapsed_ms, 0.9)
    chain = chain_of(setting)
    return Outlook(
        runs=found.runs,
        endless=sum(took_ms == float("inf") for took_ms in found.elapsed_ms),
        complete=round(found.complete, 4),
        p50_ms=p50_ms,
        p90_ms=p90_ms,
        p50_at_ms=None if p50_ms is None else setting.start_ms + p50_ms,
        p90_at_ms=None if p90_ms is None else setting.start_ms + p90_ms,
        failed=round(found.failed, 2),
        chain=chain,
        chain_ms=sum(link.elapsed_ms for link in chain),
        waits=tuple(
            Waited(binding.wait.name.lower(), binding.wait.value, binding.what, round(share, 4))
            for binding, share in sorted(found.waits.items(), key=lambda item: (-item[1], item[0]))
        ),
        datasets=dataset_forecasts(outset, setting, found),
        fresh_p50_ms=milliseconds(found.fresh_ms, 0.5),
        fresh_p90_ms=milliseconds(found.fresh_ms, 0.9),
    )


@dataclass(frozen=True, slots=True)
class Hindsight:
    """What was forecast of a run, beside what it took.

    Args:
        forecast: What was forecast when it began.
        elapsed_ms: From its submission to its end; None while it has not ended.
        was_disturbed: Whether it was interrupted, somebody paused, changed or retried it, or some of it failed: then
            the time says little of the forecast.
        slot_ms: For how long its attempts have taken slots so far, together.
        read_bytes: What those that were published read.
        written_bytes: The new versions.
        datasets: The same by dataset.
    """

    forecast: Forecast
    elapsed_ms: int | None
    was_disturbed: bool
    slot_ms: int
    read_bytes: int
    written_bytes: int
    datasets: tuple[Spent, ...]

    @property
    def error(self) -> float | None:
        """By how much the middle of the forecast was too long, as a share of the actual time; None if unknown."""
        if self.elapsed_ms is None or self.forecast.p50_ms is None:
            return None
        return self.forecast.p50_ms / max(1, self.elapsed_ms) - 1


def hindsight(store: Store, run: str) -> Hindsight | None:
    """Return what was forecast of a run, beside what it took; None if nothing was forecast.

    Args:
        store: The state store.
        run: The run's whole id.
    """
    text = store.forecast(run)
    if text is None:
        return None
    (told,) = store.foretold(run=run)
    spent = store.spent(run)
    return Hindsight(
        forecast_from_json(text),
        None if told.finished_ms is None else told.finished_ms - told.created_ms,
        told.was_disturbed,
        slot_ms=sum(one.elapsed_ms for one in spent),
        read_bytes=sum(one.read_bytes for one in spent),
        written_bytes=sum(one.written_bytes for one in spent),
        datasets=tuple(spent),
    )
