"""What no single key of headgate.toml shows: whether its policies fit each other and the datasets."""

from __future__ import annotations

from difflib import get_close_matches
from itertools import combinations
from typing import TYPE_CHECKING

from headgate.errors import UsageError
from headgate.model.policy import BACKFILL, FRESH, MAINTENANCE, BreakerPolicy, RetryPolicy
from headgate.model.window import always_hold
from headgate.project.amounts import length_text
from headgate.project.policies import breaker_values, known_name, overlaid, retry_values

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from headgate.model.dataset import Dataset
    from headgate.model.policy import Pool, ServiceClass
    from headgate.project.config import BreakerSection, RetrySection, WindowSection
    from headgate.project.places import Document
    from headgate.project.policies import Policies

_Key = tuple[str, ...]
_BUILT_IN = (FRESH.name, BACKFILL.name, MAINTENANCE.name)


def check_policies(policies: Policies, datasets: dict[str, Dataset], document: Document) -> None:
    """Refuse policies that cannot be.

    Args:
        policies: The policies of a project.
        datasets: Its datasets.
        document: Its headgate.toml.

    Raises:
        UsageError: A name is unknown, floors or windows of classes contradict each other, waits end before they
            begin, or an attempt would take more slots of a pool than there are.
    """
    config = policies.config
    for name in config.datasets:
        _check_known(document, ("datasets", name), "dataset", name, datasets)
    for name in config.rates.pools:
        _check_known(document, ("rates", "pools", name), "pool", name, policies.pools)
    for name, service_class in policies.classes.items():
        _check_class(policies, service_class, document)
        if name in config.classes:
            _check_windows(("classes", name, "windows"), config.classes[name].windows, service_class, document)
    _check_floors(policies, document)
    for key, retry in _retries(policies):
        _check_retry(key, retry, config.retry, document)
    for key, breaker in _breakers(policies):
        _check_breaker(key, breaker, config.breaker, document)
    _check_pools(policies, datasets, document)


def _check_known(document: Document, key: _Key, what: str, name: str, known: Iterable[str]) -> None:
    try:
        known_name(what, name, known)
    except UsageError as error:
        hint = error.hint or f"Declare it: [{what}s] {name} = 8."
        raise document.refuse(key, f"cannot be: {error.message}", hint=hint) from None


def _check_class(policies: Policies, known: ServiceClass, document: Document) -> None:
    section = policies.config.classes.get(known.name)
    if section is None:
        return
    key = ("classes", known.name)
    if section.priority is None and known.name not in _BUILT_IN:
        close = get_close_matches(known.name, _BUILT_IN, n=1)
        raise document.refuse(
            (*key, "priority"),
            f"is missing: {known.name} is a class of your own",
            hint=f"{f'Did you mean {close[0]}? ' if close else ''}"
            "Larger is served first: fresh has 100, backfill 50, maintenance 10.",
        )
    # A window may go below the floor: "month end 0" holds for a class with a floor, too.
    if known.floor > known.ceiling:
        at = (*key, "floor" if section.floor is not None else "ceiling")
        raise document.refuse(
            at, f"cannot be: the floor of {known.name}, {known.floor:.12g}, is above its ceiling, {known.ceiling:.12g}"
        )


def _check_floors(policies: Policies, document: Document) -> None:
    floors = {name: known.floor for name, known in policies.classes.items() if known.floor}
    if sum(floors.values()) > 1 + 1e-9:
        setters = [name for name, section in policies.config.classes.items() if section.floor is not None]
        last = max(setters, key=lambda name: document.line(("classes", name, "floor")))
        parts = ", ".join(f"{name} {floor:.6g}" for name, floor in floors.items())
        raise document.refuse(
            ("classes", last, "floor"),
            f"cannot be: the floors of all classes add up to more than 100 % ({parts})",
            hint="backfill has 0.1 and maintenance 0.05 unless you say otherwise.",
        )


def _check_windows(key: _Key, sections: list[WindowSection], known: ServiceClass, document: Document) -> None:
    for number, section in enumerate(sections, start=1):
        problem, hint = _window_problem(section, known)
        if problem:
            raise document.refuse(key, f"entry {number} {problem}", hint=hint)
    for (one, first), (two, second) in combinations(enumerate(known.windows, start=1), 2):
        same_kind = bool(first.month_days) == bool(second.month_days)
        if same_kind and first.ceiling != second.ceiling and first.meets(second):
            raise document.refuse(
                key,
                f"entries {one} and {two} overlap with ceilings of {first.ceiling:.6g} and {second.ceiling:.6g}",
                hint="Cut one of them. Only windows with month_days may overlap windows without: the smaller counts.",
            )
    if always_hold([window for window in known.windows if window.ceiling == 0]):
        raise document.refuse(
            key,
            f"cannot be: they close {known.name} for ever",
            hint="Leave it a time in which it may start something; a class that never shall has ceiling = 0.",
        )


def _window_problem(section: WindowSection, known: ServiceClass) -> tuple[str, str]:
    """Return what is wrong with a window, and what to do; empty texts if nothing is."""
    if section.start == 1440:
        return "cannot begin at 24:00", "That is 00:00 of the next day."
    lasts_a_day = section.start == section.end % 1440
    if lasts_a_day and not section.month_days and len(section.days) in {0, 7}:
        return "holds always", "Set the ceiling of the class, or give the window days or another end."
    if section.ceiling > known.ceiling:
        what = f"its ceiling, {section.ceiling:.6g}, is above that of {known.name}, {known.ceiling:.6g}"
        return (
            f"can never matter: {what}",
            "The smaller one counts: give the class the larger, and windows the smaller.",
        )
    return "", ""


def _retries(policies: Policies) -> Iterator[tuple[_Key, RetrySection]]:
    config = policies.config
    yield ("retry",), config.retry
    for table in ("classes", "owners", "datasets"):
        for name, section in getattr(config, table).items():
            yield (table, name, "retry"), section.retry


def _breakers(policies: Policies) -> Iterator[tuple[_Key, BreakerSection]]:
    yield ("breaker",), policies.config.breaker
    for table in ("pools", "datasets"):
        for name, section in getattr(policies.config, table).items():
            yield (table, name, "breaker"), section.breaker


def _check_retry(key: _Key, section: RetrySection, general: RetrySection, document: Document) -> None:
    policy = overlaid(RetryPolicy(), retry_values(general), retry_values(section))
    lengths = (policy.backoff_ms, policy.backoff_max_ms)
    _check_lengths(key, "backoff", *lengths, given=section.backoff_max is not None, document=document)


def _check_breaker(key: _Key, section: BreakerSection, general: BreakerSection, document: Document) -> None:
    policy = overlaid(BreakerPolicy(), breaker_values(general), breaker_values(section))
    lengths = (policy.cooldown_ms, policy.cooldown_max_ms)
    _check_lengths(key, "cooldown", *lengths, given=section.cooldown_max is not None, document=document)


def _check_lengths(key: _Key, name: str, first_ms: int, most_ms: int, *, given: bool, document: Document) -> None:
    if first_ms > most_ms:
        raise document.refuse(
            (*key, f"{name}_max" if given else name),
            f"cannot be: the first {name}, {length_text(first_ms)}, is longer than {name}_max, {length_text(most_ms)}",
            hint="" if given else f"Set {name}_max beside it.",
        )


def _check_pools(policies: Policies, datasets: dict[str, Dataset], document: Document) -> None:
    for name, dataset in datasets.items():
        own = policies.config.datasets.get(name)
        for pool, slots in (own.pools or {} if own else {}).items():
            key = ("datasets", name, "pools", pool)
            _check_known(document, key, "pool", pool, policies.pools)
            if slots > policies.pools[pool].slots:
                raise document.refuse(key, f"cannot be: {_too_many(slots, policies.pools[pool])}")
        for pool, slots in dataset.pools.items():
            where = f"{dataset.declared_at}: dataset {name}: "
            try:
                known_name("pool", pool, policies.pools)
            except UsageError as error:
                hint = error.hint or f"Declare it in headgate.toml: [pools] {pool} = 8."
                raise UsageError(f"{where}{error.message}", hint=hint) from None
            if (own is None or own.pools is None) and slots > policies.pools[pool].slots:
                raise UsageError(f"{where}{_too_many(slots, policies.pools[pool])}")


def _too_many(slots: int, pool: Pool) -> str:
    return f"an attempt would take {slots} slots of pool {pool.name}, which has {pool.slots}"
