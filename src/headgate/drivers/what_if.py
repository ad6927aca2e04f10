"""Changes of the setting that a plan's run would meet, which people want to try, such as ``concurrency=32``."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, NoReturn

import numpy as np

from headgate.core.events import Lane
from headgate.errors import UsageError
from headgate.model.names import shown
from headgate.model.policy import TaskOrder
from headgate.planning.stages import priorities_of
from headgate.project.amounts import length_ms, share
from headgate.project.policies import known_name

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from headgate.core.events import Stage
    from headgate.drivers.setting import Setting
    from headgate.model.plan import Plan
    from headgate.planning.snapshot import Snapshot

KEYS = (
    "concurrency",
    "total",
    "processes",
    "io_concurrency",
    "order",
    "pool.NAME",
    "class.NAME.{ceiling,slots,floor,reserved,priority,weight}",
    "dataset.NAME.concurrency",
    "duration[.DATASET]",
    "failures[.DATASET]",
)
_MOST = 1_000_000


def changed(
    setting: Setting,
    changes: Sequence[str],
    plan: Plan,
    snapshot: Snapshot,
    *,
    default_floors: Mapping[str, float] = MappingProxyType({}),
) -> Setting:
    """Return a setting with changes.

    Args:
        setting: The setting of a plan's run.
        changes: Each as ``key=value``; of several for one key the last one counts.
        plan: The plan.
        snapshot: What it was made from.
        default_floors: The floors that nobody has set, by class: unless a change sets one, it gives way to the ceiling.

    Raises:
        UsageError: A key, a name or a value is none, or the changes contradict each other.
    """
    for change in changes:
        setting = _changed(setting, change)
    keys = {change.partition("=")[0] for change in changes}
    floors = {name: floor for name, floor in default_floors.items() if f"class.{name}.floor" not in keys}
    classes = [
        replace(known, floor=min(floors[known.name], known.ceiling)) if known.name in floors else known
        for known in setting.classes
    ]
    setting = replace(setting, classes=classes)
    _check(setting, keys)
    priorities = priorities_of(plan, snapshot, setting.stages, setting.order)
    stages = [replace(stage, priority=priority) for stage, priority in zip(setting.stages, priorities, strict=True)]
    return replace(setting, stages=stages)


def _changed(setting: Setting, change: str) -> Setting:
    key, equals, value = change.partition("=")
    if not equals:
        raise UsageError(f"--set {shown(change)} has no value", hint="Write KEY=VALUE, such as concurrency=32.")
    match key.split("."):
        case ["concurrency"]:
            return replace(setting, concurrency=_bound(key, value))
        case ["total"]:
            return replace(setting, total=_bound(key, value))
        case ["processes"]:
            return replace(setting, slots={**setting.slots, Lane.PROCESS: _whole(key, value)})
        case ["io_concurrency"]:
            return replace(setting, slots={**setting.slots, Lane.IO: _whole(key, value)})
        case ["order"]:
            if value not in set(TaskOrder):
                _refuse(key, value, f"must be one of {', '.join(TaskOrder)}")
            return replace(setting, order=TaskOrder(value))
        case ["pool", name]:
            pool = setting.pools[known_name("pool", name, setting.pools)]
            return replace(setting, pools={**setting.pools, name: replace(pool, slots=_whole(key, value))})
        case ["class", name, value_name]:
            return _with_class(setting, name, value_name, key, value)
        case ["dataset", name, "concurrency"]:
            number, bound = _stage(setting, name), _bound(key, value)
            return _with_stage(setting, number, replace(setting.stages[number], concurrency=bound))
        case ["duration" | "failures", *names] if len(names) < 2:
            numbers = [_stage(setting, name) for name in names] or range(len(setting.stages))
            for number in numbers:
                setting = _with_behaviour(setting, number, key, value)
            return setting
    raise UsageError(f"--set does not know {shown(key)}", hint=f"There are {', '.join(KEYS)}.")


def _with_class(setting: Setting, name: str, value_name: str, key: str, value: str) -> Setting:
    known_name("service class", name, [known.name for known in setting.classes])
    reads: dict[str, Callable[[str, str], object]] = {
        "ceiling": _share,
        "slots": _bound,
        "floor": _share,
        "reserved": lambda key, value: _whole(key, value, least=0),
        "priority": lambda key, value: _whole(key, value, least=-_MOST),
        "weight": _weight,
    }
    known_name("value of a class", value_name, reads)
    given = {value_name: reads[value_name](key, value)}
    classes = [replace(known, **given) if known.name == name else known for known in setting.classes]  # type: ignore[arg-type]
    return replace(setting, classes=classes)


def _stage(setting: Setting, name: str) -> int:
    names = [stage.dataset for stage in setting.stages]
    return names.index(known_name("dataset in this plan", name, names))


def _with_stage(setting: Setting, number: int, stage: Stage) -> Setting:
    return replace(setting, stages=[stage if n == number else known for n, known in enumerate(setting.stages)])


def _with_behaviour(setting: Setting, number: int, key: str, value: str) -> Setting:
    behaviour, stage = setting.behaviours[number], setting.stages[number]
    if key.startswith("failures"):
        behaviour = replace(behaviour, failure_rate=_share(key, value))
    else:
        # A bare number is seconds, as in headgate.toml.
        took_ms = length_ms(value) or length_ms(f"{value}s")
        if took_ms is None:
            _refuse(key, value, 'must be a length of time, such as "90s", "10m", "2h" or "7d"')
        behaviour = replace(behaviour, durations_ms=np.array([took_ms], dtype=np.int64), warm_up_ms=0, factors=None)
        chunk = behaviour.partitions / len(stage.states) if behaviour.chunks is not None else 1
        stage = replace(stage, typical_ms=took_ms * chunk)
    behaviours = [behaviour if n == number else known for n, known in enumerate(setting.behaviours)]
    return replace(_with_stage(setting, number, stage), behaviours=behaviours)


def _check(setting: Setting, keys: Collection[str]) -> None:
    """Refuse what headgate.toml could not say either, after changes of some keys."""
    for known in setting.classes:
        if known.floor > known.ceiling:
            others = [name for name in ("floor", "ceiling") if f"class.{known.name}.{name}" not in keys]
            raise UsageError(
                f"the floor of class {known.name}, {known.floor:.6g}, is above its ceiling, {known.ceiling:.6g}",
                hint=f"Set class.{known.name}.{others[0]}, too." if others else "",
            )
    floors = sum(known.floor for known in setting.classes)
    if floors > 1 + 1e-9:
        parts = ", ".join(f"{known.name} {known.floor:.6g}" for known in setting.classes if known.floor)
        raise UsageError(f"the floors of all classes add up to more than 100 % ({parts})")
    for stage in setting.stages:
        for pool, slots in stage.pools:
            if slots > setting.pools[pool].slots:
                raise UsageError(
                    f"an attempt of {stage.dataset} takes {slots} slots of pool {pool}, "
                    f"which would have {setting.pools[pool].slots}"
                )


def _whole(key: str, value: str, *, least: int = 1) -> int:
    digits = value.removeprefix("-")
    if not (digits.isascii() and digits.isdigit()) or len(digits) > 12 or not least <= int(value) <= _MOST:
        _refuse(key, value, f"must be a whole number from {least} to {_MOST}")
    return int(value)


def _bound(key: str, value: str) -> int | None:
    return None if value == "none" else _whole(key, value)


def _share(key: str, value: str) -> float:
    found = share(value if value.endswith("%") else _number(value))
    if found is None:
        _refuse(key, value, 'must be a share, from 0 to 1 or from "0%" to "100%"')
    return found


def _weight(key: str, value: str) -> float:
    found = _number(value)
    if found is None or not 0.001 <= found <= _MOST:
        _refuse(key, value, f"must be a number from 0.001 to {_MOST}")
    return found


def _number(value: str) -> float | None:
    try:
        return float(value)
    except ValueError:
        return None


def _refuse(key: str, value: str, demand: str) -> NoReturn:
    raise UsageError(f"--set {key} {demand}, got {shown(value)}")
