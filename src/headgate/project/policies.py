"""The policies of a project: what headgate.toml and the declarations say together, and where each value comes from."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields, replace
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, TypeVar

from headgate.errors import UsageError
from headgate.model.names import shown
from headgate.model.policy import (
    BACKFILL,
    FRESH,
    MAINTENANCE,
    BreakerPolicy,
    Effective,
    Pool,
    RetryPolicy,
    ServiceClass,
)
from headgate.model.window import TimeWindow

if TYPE_CHECKING:
    from collections.abc import Iterable

    from headgate.model.dataset import Dataset
    from headgate.model.policy import TaskOrder
    from headgate.project.config import (
        BreakerSection,
        ClassSection,
        Config,
        OwnerSection,
        RetrySection,
        SharedConcurrencySection,
    )

DEFAULT = "default"
_CLASSES = {known.name: known for known in (FRESH, BACKFILL, MAINTENANCE)}
_BARE = re.compile(r"[A-Za-z0-9_-]+")
_Policy = TypeVar("_Policy", RetryPolicy, BreakerPolicy)
_Layer = tuple[str, "dict[str, Any]"]
"""Where values are set, and those that are set there."""


@dataclass(frozen=True, slots=True)
class Policies:
    """What may run when, how much of it at a time, and what follows a failure.

    Args:
        config: The headgate.toml that says so.
        classes: Service classes by name, the largest priority first.
        pools: Pools by name.
        total: Attempts at a time, in all; None for no bound.
        owner_weights: Weights of the authors that have one; others count 1.
        order: In which order runs start their tasks by default.
    """

    config: Config
    classes: dict[str, ServiceClass]
    pools: dict[str, Pool]
    total: int | None
    owner_weights: dict[str, float]
    order: TaskOrder

    def service_class(self, name: str) -> ServiceClass:
        """Return the service class of a name.

        Raises:
            UsageError: There is none.
        """
        return self.classes[known_name("service class", name, self.classes)]

    def default_floors(self) -> dict[str, float]:
        """Return the floors that nobody has set, by class: they give way to a ceiling that somebody did."""
        sections = self.config.classes
        return {
            name: _CLASSES[name].floor if name in _CLASSES else 0.0
            for name in self.classes
            if name not in sections or sections[name].floor is None
        }

    def effective(self, dataset: Dataset, service_class: str, owner: str) -> Effective:
        """Return what holds for the tasks of a dataset in a run, and where each value comes from.

        For each value the first of these that sets it counts: the dataset's table, its declaration, the table of
        the owner, that of the class, the general one, the default.

        Args:
            dataset: The dataset.
            service_class: Name of the class of the run.
            owner: The author of the run.

        Raises:
            UsageError: There is no such class.
        """
        self.service_class(service_class)
        config, own = self.config, self.config.datasets.get(dataset.name)
        tables: list[tuple[str, OwnerSection | ClassSection]] = []
        if owner in config.owners:
            tables.append((dotted("owners", owner), config.owners[owner]))
        if service_class in config.classes:
            tables.append((dotted("classes", service_class), config.classes[service_class]))
        retries = [(f"[{place}.retry]", retry_values(table.retry)) for place, table in tables]
        if not dataset.idempotent:
            # What must not happen twice is not tried again by itself, unless its own table says so.
            retries.insert(0, (f"@dataset at {dataset.declared_at}, idempotent=False", {"attempts": 1}))
        bounds = [(f"[{place}.concurrency]", concurrency_values(table.concurrency)) for place, table in tables]
        bounds.append(("[concurrency]", concurrency_values(config.concurrency)))
        takes: list[_Layer] = [
            (f"@dataset at {dataset.declared_at}", _takes(dataset.concurrency, dataset.pools or None))
        ]
        breakers: list[_Layer] = []
        if own is not None:
            place = dotted("datasets", dataset.name)
            takes.insert(0, (f"[{place}]", _takes(own.concurrency, own.pools) | _given(typical=own.typical)))
            retries.insert(0, (f"[{place}.retry]", retry_values(own.retry)))
            breakers.append((f"[{place}.breaker]", breaker_values(own.breaker)))
        retries.append(("[retry]", retry_values(config.retry)))
        breakers.append(("[breaker]", breaker_values(config.breaker)))
        origins: dict[str, str] = {}
        retry = {key: _first(key, retries, origins, f"retry.{key}") for key in _fields(RetryPolicy)}
        breaker = {key: _first(key, breakers, origins, f"breaker.{key}") for key in _fields(BreakerPolicy)}
        return Effective(
            retry=overlaid(RetryPolicy(), retry),
            breaker=overlaid(BreakerPolicy(), breaker),
            concurrency=_first("per_dataset", [*takes, *bounds], origins, "concurrency"),
            run_concurrency=_first("per_run", bounds, origins, "run_concurrency"),
            pools=dict(_first("pools", takes, origins, "pools") or {}),
            typical_ms=_first("typical", takes, origins, "typical"),
            origins=origins,
        )


def resolve_policies(config: Config) -> Policies:
    """Return the policies that headgate.toml declares; `check_policies` says whether they can be."""
    classes = [_service_class(name, config.classes.get(name)) for name in {**_CLASSES, **config.classes}]
    pools = {
        name: Pool(
            name, pool.slots, overlaid(BreakerPolicy(), breaker_values(config.breaker), breaker_values(pool.breaker))
        )
        for name, pool in config.pools.items()
    }
    return Policies(
        config,
        {known.name: known for known in sorted(classes, key=lambda known: -known.priority)},
        pools,
        config.concurrency.total,
        {name: owner.weight for name, owner in config.owners.items() if owner.weight is not None},
        config.concurrency.order,
    )


def retry_values(section: RetrySection) -> dict[str, Any]:
    """Return what a table sets of `RetryPolicy`."""
    return _given(
        attempts=section.attempts,
        backoff_ms=section.backoff,
        backoff_max_ms=section.backoff_max,
        on=None if section.on is None else frozenset(section.on),
        budget=section.budget,
        budget_min=section.budget_min,
    )


def breaker_values(section: BreakerSection) -> dict[str, Any]:
    """Return what a table sets of `BreakerPolicy`."""
    return _given(failures=section.failures, cooldown_ms=section.cooldown, cooldown_max_ms=section.cooldown_max)


def concurrency_values(section: SharedConcurrencySection) -> dict[str, Any]:
    """Return what a table sets of the bounds of a run and of a dataset."""
    return _given(per_run=section.per_run, per_dataset=section.per_dataset)


def overlaid(policy: _Policy, *tables: dict[str, Any]) -> _Policy:
    """Return a policy with what tables set; of several that set a key the last one counts, and None sets nothing."""
    return replace(policy, **{key: value for table in tables for key, value in table.items() if value is not None})


def dotted(*keys: str) -> str:
    """Return a key of headgate.toml as it is written there."""
    return ".".join(key if _BARE.fullmatch(key) else shown(key) for key in keys)


def known_name(what: str, name: str, known: Iterable[str]) -> str:
    """Return a name if it is known.

    Raises:
        UsageError: It is not.
    """
    names = list(known)
    if name in names:
        return name
    close = get_close_matches(name, names, n=1)
    hint = f"Did you mean {close[0]}?" if close else f"There are {', '.join(names)}." if names else ""
    raise UsageError(f"there is no {what} {shown(name)}", hint=hint)


def _service_class(name: str, section: ClassSection | None) -> ServiceClass:
    known = _CLASSES.get(name) or ServiceClass(name, 0)
    if section is None:
        return known
    given = _given(
        priority=section.priority,
        ceiling=section.ceiling,
        slots=section.slots,
        floor=section.floor,
        reserved=section.reserved,
        weight=section.weight,
        patience_ms=section.patience,
    )
    windows = tuple(
        TimeWindow(section.timezone, window.ceiling, window.days, window.month_days, window.start, window.end)
        for window in section.windows
    )
    made = replace(known, windows=windows, **given)
    # A floor that nobody set gives way to a ceiling that somebody did.
    return made if section.floor is not None else replace(made, floor=min(made.floor, made.ceiling))


def _given(**values: Any) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}


def _takes(concurrency: int | None, pools: dict[str, int] | None) -> dict[str, Any]:
    return _given(per_dataset=concurrency, pools=pools)


def _fields(policy: type[RetryPolicy | BreakerPolicy]) -> list[str]:
    return [field.name for field in fields(policy)]


def _first(key: str, layers: Iterable[_Layer], origins: dict[str, str], name: str) -> Any:
    """Return the value of a key where it is first set, None if nowhere, and note where that is."""
    origins[name] = DEFAULT
    for place, table in layers:
        if key in table:
            origins[name] = place
            return table[key]
    return None
