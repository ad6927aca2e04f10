"""Forecasts of plans: made by simulated runs, recorded with the run, and compared with what it took."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

from headgate.drivers.outset import as_it_is
from headgate.drivers.setting import quantile
from headgate.drivers.simulated import simulate
from headgate.errors import intact
from headgate.model.forecast import (
    COST_DIGITS,
    Accuracy,
    ChainLink,
    Cost,
    DatasetForecast,
    Forecast,
    PoolUse,
    WidestStage,
)
from headgate.model.run import RunState, TaskState
from headgate.planning.critical import longest_chain
from headgate.planning.stages import UNKNOWN_MS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import NDArray

    from headgate.core.events import Stage
    from headgate.drivers.outset import Outset
    from headgate.drivers.setting import Setting, Simulation
    from headgate.model.plan import Plan
    from headgate.planning.snapshot import Snapshot
    from headgate.project.load import Project
    from headgate.project.rate_sections import RatesSection
    from headgate.store.records import Observation
    from headgate.store.store import Store

RUNS = 200
GLANCE_S = 0.2
"""What the simulation for a forecast may take; one run is simulated in any case."""
MOST_TASKS = 4_000
"""A plan with more tasks is simulated in chunks, about so many."""
LOOKED_BACK = 5
"""Of so many earlier forecasts the error is told."""
_ENDED = frozenset({RunState.SUCCEEDED, RunState.FAILED})
"""A run of which some partitions cannot be built fails, though all of its attempts succeed."""
_HOUR_MS = 3_600_000
_GB = 1_000_000_000


def forecast(
    project: Project,
    store: Store,
    snapshot: Snapshot,
    plan: Plan,
    *,
    owner: str,
    service_class: str = "backfill",
    observations: Sequence[Observation] = (),
) -> Forecast | None:
    """Return when a plan would be done if it began now, and what it would take; None if there is nothing to do.

    Args:
        project: The user's project.
        store: Its state store.
        snapshot: What the plan was made from.
        plan: The plan.
        owner: Author of the run.
        service_class: Its class.
        observations: Files of sources as they were found, which the store does not know yet.

    Raises:
        UsageError: There is no such class.
    """
    if plan.size == plan.blocked:
        return None
    outset = as_it_is(
        project,
        store,
        snapshot,
        plan,
        service_class=service_class,
        owner=owner,
        start_ms=snapshot.as_of_ms,
        observations=observations,
        most_tasks=MOST_TASKS,
    )
    return _told(outset, simulate(outset.setting, runs=RUNS, looks=0, budget_s=GLANCE_S), project, accuracy(store))


def _told(outset: Outset, found: Simulation, project: Project, past: Accuracy | None) -> Forecast:
    """Return what simulated runs came to, with what that costs."""
    rates, stages = project.config.rates, outset.setting.stages
    datasets = tuple(
        replace(one, cost=cost_of(rates, stage, one))
        for stage, one in zip(stages, dataset_forecasts(outset, outset.setting, found), strict=True)
    )
    chain = chain_of(outset.setting)
    return Forecast(
        found.runs,
        milliseconds(found.elapsed_ms, 0.5),
        milliseconds(found.elapsed_ms, 0.9),
        outset.assumed,
        round(UNKNOWN_MS) if outset.assumed else 0,
        outset.declared,
        complete=round(found.complete, 4),
        failed=round(found.failed, 2),
        is_coarse=outset.is_coarse,
        datasets=datasets,
        slot_ms=sum(one.busy_ms for one in datasets),
        pools=_pools(stages, datasets),
        read_bytes=_known_sum(one.read_bytes for one in datasets),
        written_bytes=_known_sum(one.written_bytes for one in datasets),
        unsized=tuple(one.name for one in datasets if one.read_bytes is None or one.written_bytes is None),
        cost=_cost(rates, datasets),
        chain=chain,
        chain_ms=sum(link.elapsed_ms for link in chain),
        widest=_widest(outset.setting),
        accuracy=past,
    )


def dataset_forecasts(outset: Outset, setting: Setting, found: Simulation) -> tuple[DatasetForecast, ...]:
    """Return what the attempts of each dataset take.

    Args:
        outset: What is known of the work.
        setting: What was simulated: that of the outset, or one with changes.
        found: What it came to.
    """
    made = []
    for n, (stage, behaviour) in enumerate(zip(setting.stages, setting.behaviours, strict=True)):
        name, sizes = stage.dataset, outset.sizes[stage.dataset]
        built = np.ones(len(sizes.read), dtype=bool) if behaviour.chunks is not None else _waiting(stage)
        if behaviour.durations_ms is not outset.setting.behaviours[n].durations_ms:
            basis = "given"
        elif name in outset.assumed or name in outset.declared:
            basis = "assumed" if name in outset.assumed else "declared"
        else:
            basis = "history" if behaviour.factors is None else "sizes"
        read, written = sizes.read[built], sizes.written[built]
        made.append(
            DatasetForecast(
                name,
                int(np.count_nonzero(built)),
                round(found.attempts[n], 2),
                round(float(np.median(behaviour.durations_ms))),
                round(found.busy_ms[n]),
                basis,
                int(read.sum()) if (read >= 0).all() else None,
                int(written.sum()) if (written >= 0).all() else None,
                milliseconds(found.ended_ms[n], 0.9),
            )
        )
    return tuple(made)


def chain_of(setting: Setting) -> tuple[ChainLink, ...]:
    """Return a longest chain, by typical durations, with what follows within one dataset taken together."""
    in_chain = [_partitions_in_chain(setting, number) for number in range(len(setting.stages))]
    typical_ms = [float(np.median(behaviour.durations_ms)) for behaviour in setting.behaviours]
    stages = [
        replace(stage, typical_ms=each_ms * partitions)
        for stage, each_ms, partitions in zip(setting.stages, typical_ms, in_chain, strict=True)
    ]
    links: list[ChainLink] = []
    for number, _ in longest_chain(stages):
        count, elapsed_ms = in_chain[number], float(stages[number].typical_ms)
        if links and links[-1].dataset == stages[number].dataset:
            before = links.pop()
            count, elapsed_ms = count + before.partitions, elapsed_ms + before.elapsed_ms
        links.append(ChainLink(stages[number].dataset, round(count), round(elapsed_ms)))
    return tuple(links)


def _partitions_in_chain(setting: Setting, number: int) -> float:
    """Return how many partitions of a task follow each other in a chain: those of a chunk if they read each other."""
    behaviour, stage = setting.behaviours[number], setting.stages[number]
    if behaviour.chunks is None or not any(edge.upstream == number for edge in stage.edges):
        return 1
    return behaviour.partitions / len(stage.states)


def _widest(setting: Setting) -> WidestStage | None:
    """Return the widest stage: where partitions read others of their dataset, those count that read none."""
    widths = []
    for number, (stage, behaviour) in enumerate(zip(setting.stages, setting.behaviours, strict=True)):
        waits = _waiting(stage)
        width = int(np.count_nonzero(waits)) if behaviour.chunks is None else behaviour.partitions
        for edge in stage.edges:
            if edge.upstream == number:
                above = edge.members if hasattr(edge, "members") else edge.waiting_for(waits.astype(np.int64)) > 0
                width = int(np.count_nonzero(waits & ~above))
        widths.append(WidestStage(stage.dataset, width))
    return max(widths, key=lambda one: one.partitions, default=None)


def _waiting(stage: Stage) -> NDArray[np.bool_]:
    waiting: NDArray[np.bool_] = stage.states == TaskState.WAITING
    return waiting


def _pools(stages: Sequence[Stage], datasets: Sequence[DatasetForecast]) -> tuple[PoolUse, ...]:
    taken: dict[str, int] = {}
    for stage, one in zip(stages, datasets, strict=True):
        for pool, slots in stage.pools:
            taken[pool] = taken.get(pool, 0) + slots * one.busy_ms
    return tuple(PoolUse(name, slot_ms) for name, slot_ms in sorted(taken.items()))


def cost_of(rates: RatesSection, stage: Stage, one: DatasetForecast) -> Cost | None:
    """Return what a dataset costs by the rates of headgate.toml; None if there are none."""
    if rates.is_free:
        return None
    amount, is_partial = 0.0, False
    for slots, prices in ((1, rates), *((slots, rates.pools.get(pool)) for pool, slots in stage.pools)):
        if prices is None:
            continue
        amount += slots * one.busy_ms / _HOUR_MS * prices.slot_hour
        for price, size in ((prices.gb_read, one.read_bytes), (prices.gb_written, one.written_bytes)):
            amount += price * (size or 0) / _GB
            is_partial = is_partial or bool(price and size is None)
    return Cost(round(amount, COST_DIGITS), rates.currency, is_partial)


def _cost(rates: RatesSection, datasets: Sequence[DatasetForecast]) -> Cost | None:
    known = [one.cost for one in datasets if one.cost is not None]
    if rates.is_free:
        return None
    return Cost(
        round(sum(one.amount for one in known), COST_DIGITS), rates.currency, any(one.is_partial for one in known)
    )


def _known_sum(sizes: Iterable[int | None]) -> int | None:
    known = [size for size in sizes if size is not None]
    return sum(known) if known else None


def milliseconds(ascending: Sequence[float], share: float) -> int | None:
    """Return a quantile of times in whole milliseconds; None if it is infinite."""
    value = quantile(ascending, share)
    return None if value is None else round(value)


def forecast_to_json(found: Forecast) -> str:
    """Return a forecast as it is recorded."""
    return json.dumps(asdict(found))


def forecast_from_json(text: str) -> Forecast:
    """Return a forecast from how it is recorded; what an earlier Headgate did not know has its default.

    Raises:
        UnavailableError: The text is no forecast.
    """
    with intact("a forecast"):
        return _forecast_of(json.loads(text))


def _forecast_of(body: dict[str, Any]) -> Forecast:
    values: dict[str, Any] = {k: v for k, v in body.items() if k in Forecast.__dataclass_fields__}
    many: dict[str, Callable[..., object]] = {"datasets": _dataset, "pools": PoolUse, "chain": ChainLink}
    for key, kind in many.items():
        values[key] = tuple(kind(**one) for one in values.get(key, ()))
    single: dict[str, Callable[..., object]] = {"cost": Cost, "widest": WidestStage, "accuracy": Accuracy}
    for key, kind in single.items():
        values[key] = kind(**values[key]) if values.get(key) else None
    for key in ("assumed", "declared", "unsized"):
        values[key] = tuple(values.get(key, ()))
    return Forecast(**values)


def _dataset(**values: Any) -> DatasetForecast:
    cost = values.pop("cost", None)
    return DatasetForecast(**values, cost=Cost(**cost) if cost else None)


def accuracy(store: Store) -> Accuracy | None:
    """Return how the last forecasts fared; None if there were none to compare."""
    errors, within = [], 0
    for told in store.foretold():
        if (
            told.state not in _ENDED
            or told.was_disturbed
            or told.was_guessed
            or told.finished_ms is None
            or told.p50_ms is None
        ):
            continue
        elapsed_ms = max(1, told.finished_ms - told.created_ms)
        errors.append(told.p50_ms / elapsed_ms - 1)
        within += told.p90_ms is None or elapsed_ms <= told.p90_ms
        if len(errors) == LOOKED_BACK:
            break
    return Accuracy(len(errors), round(median(errors), 4), within) if errors else None
