"""The policies that hold for a dataset in a run, and where each value comes from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from headgate.model.policy import BACKFILL, Effective
from headgate.model.window import ceiling_at
from headgate.project.policies import DEFAULT, dotted
from headgate.views.status import controls_of

if TYPE_CHECKING:
    from headgate.model.dataset import Dataset
    from headgate.model.policy import ServiceClass
    from headgate.model.run import Run
    from headgate.project.config import ClassSection
    from headgate.project.load import Project
    from headgate.project.policies import Policies

Value = int | float | str | tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class Setting:
    """A value of a policy and where it is set: a table of headgate.toml, ``@dataset`` with its place, or ``default``.

    Units: lengths of time are milliseconds, in names that end in ``_ms``.
    """

    name: str
    value: Value
    origin: str


@dataclass(frozen=True, slots=True)
class PoolUse:
    """A pool, how many slots of it an attempt takes, and how many it has by headgate.toml.

    A coordinator whose pools somebody has changed may have others.
    """

    name: str
    takes: int
    slots: int


@dataclass(frozen=True, slots=True)
class ClassBounds:
    """A service class and what bounds it.

    Args:
        name: Its name.
        priority: Larger is served first.
        ceiling: Share of the slots that it may take now, its time windows included.
        until_ms: Until when the windows surely leave it at that; None without windows.
        slots: How many attempts at a time at most; None for no bound.
        floor: Share of the slot time that it is guaranteed.
        reserved: Slots that classes of a smaller priority leave free for it.
        weight: Its share beside classes of the same priority.
        patience_ms: How long it waits for a slot before attempts of a smaller priority are asked to yield theirs.
        origins: Where each of these values is set, by its name.
    """

    name: str
    priority: int
    ceiling: float
    until_ms: int | None
    slots: int | None
    floor: float
    reserved: int
    weight: float
    patience_ms: int
    origins: dict[str, str]


@dataclass(frozen=True, slots=True)
class PolicyView:
    """What holds for the tasks of a dataset.

    Args:
        owner: The author of the run.
        service_class: The class of the run.
        settings: The values, with where each comes from.
        pools: The pools that an attempt takes slots from.
        pools_from: Where that is set.
    """

    owner: str
    service_class: ClassBounds
    settings: tuple[Setting, ...]
    pools: tuple[PoolUse, ...]
    pools_from: str


def policy_view(project: Project, dataset: Dataset, run: Run | None, *, author: str, now_ms: int) -> PolicyView:
    """Return the policies of a dataset in a run.

    Args:
        project: The user's project.
        dataset: The dataset.
        run: The run; None for a backfill that somebody would start now.
        author: Who would start it.
        now_ms: UTC milliseconds.
    """
    policies = project.policies
    # The class of an old run may be gone from headgate.toml.
    known = run is not None and run.service_class in policies.classes
    name = run.service_class if run is not None and known else BACKFILL.name
    owner = run.author if run is not None else author
    effective = policies.effective(dataset, name, owner)
    return PolicyView(
        owner,
        _bounds(policies.classes[name], policies.config.classes.get(name), now_ms),
        (*_limits(policies, effective, run), *_shares(policies, owner, run), *_retry(effective), *_breaker(effective)),
        tuple(PoolUse(pool, takes, policies.pools[pool].slots) for pool, takes in sorted(effective.pools.items())),
        effective.origins["pools"],
    )


def _bounds(known: ServiceClass, section: ClassSection | None, now_ms: int) -> ClassBounds:
    window, until_ms = ceiling_at(known.windows, now_ms)
    place = f"[{dotted('classes', known.name)}]"
    given = {
        "priority": section and section.priority,
        "ceiling": section and section.ceiling,
        "slots": section and section.slots,
        "floor": section and section.floor,
        "reserved": section and section.reserved,
        "weight": section and section.weight,
        "patience_ms": section and section.patience,
    }
    origins = {name: DEFAULT if value is None else place for name, value in given.items()}
    if window < known.ceiling:
        origins["ceiling"] = f"{place} windows"
    if given["floor"] is None and known.floor and known.floor == known.ceiling:
        origins["floor"] = f"{DEFAULT}, cut to the ceiling"
    return ClassBounds(
        known.name,
        known.priority,
        # As in `core.admission`: in a window its own ceiling counts, if it is the smaller one.
        min(known.ceiling, window),
        until_ms,
        known.slots,
        known.floor,
        known.reserved,
        known.weight,
        known.patience_ms,
        origins,
    )


def _limits(policies: Policies, effective: Effective, run: Run | None) -> tuple[Setting, ...]:
    section, origins = policies.config.concurrency, effective.origins
    per_run = Setting("concurrency.per_run", effective.run_concurrency, origins["run_concurrency"])
    order = Setting(
        "concurrency.order", policies.order, "[concurrency]" if "order" in section.model_fields_set else DEFAULT
    )
    return (
        Setting("concurrency.total", policies.total, DEFAULT if policies.total is None else "[concurrency]"),
        _by_hand("concurrency", run, per_run),
        Setting("concurrency.per_dataset", effective.concurrency, origins["concurrency"]),
        _by_hand("order", run, order),
    )


def _shares(policies: Policies, owner: str, run: Run | None) -> tuple[Setting, ...]:
    is_set = owner in policies.owner_weights
    return (
        Setting(
            "owner.weight",
            policies.owner_weights.get(owner, 1.0),
            f"[{dotted('owners', owner)}]" if is_set else DEFAULT,
        ),
        _by_hand("priority", run, Setting("run.priority", 0, DEFAULT)),
    )


def _by_hand(control: str, run: Run | None, policy: Setting) -> Setting:
    """Return what somebody set of a run that has not ended, or else what its policies say."""
    value = controls_of(run).get(control) if run is not None and run.finished_ms is None else None
    return policy if run is None or value is None else Setting(policy.name, value, f"headgate set, for run {run.id}")


def _retry(effective: Effective) -> tuple[Setting, ...]:
    retry = effective.retry
    values: dict[str, Value] = {
        "attempts": retry.attempts,
        "backoff_ms": retry.backoff_ms,
        "backoff_max_ms": retry.backoff_max_ms,
        "on": tuple(sorted(retry.on)),
        "budget": retry.budget,
        "budget_min": retry.budget_min,
    }
    return _settings("retry", values, effective)


def _breaker(effective: Effective) -> tuple[Setting, ...]:
    breaker = effective.breaker
    values: dict[str, Value] = {
        "failures": breaker.failures,
        "cooldown_ms": breaker.cooldown_ms,
        "cooldown_max_ms": breaker.cooldown_max_ms,
    }
    return _settings("breaker", values, effective)


def _settings(table: str, values: dict[str, Value], effective: Effective) -> tuple[Setting, ...]:
    return tuple(Setting(f"{table}.{key}", value, effective.origins[f"{table}.{key}"]) for key, value in values.items())
