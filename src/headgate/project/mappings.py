"""The mappings as projects write them: which upstream partitions a partition reads."""

from __future__ import annotations

from types import FunctionType
from typing import TYPE_CHECKING, get_args

from headgate.errors import UsageError
from headgate.model.dataset import Input
from headgate.model.mapping import All, Custom, Fixed, Mapping, Offset, Overlap, Trailing
from headgate.model.names import check_dataset_name, shown
from headgate.model.partitioning import Unit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

MAPPINGS = get_args(Mapping)
MAPPING_HINT = (
    "Use headgate.trailing(7), .offset(-1), .all_partitions(), .fixed(key), .custom(function), "
    'or headgate.input("dataset", mapping).'
)


_UNITS = {**{f"{unit}": unit for unit in Unit}, **{f"{unit}s": unit for unit in Unit}}


def overlap() -> Overlap:
    """Read the upstream partitions whose windows overlap this one's: the default."""
    return Overlap()


def trailing(count: int, unit: str | None = None) -> Trailing:
    """Read the last `count` upstream partitions up to the end of this window.

    Args:
        count: How many, at least 1.
        unit: ``"minutes"``, ``"hours"``, ``"days"``, ``"weeks"`` or ``"months"``: all that overlap that much time
            instead.

    Raises:
        UsageError: The count is no positive whole number, or the unit unknown.
    """
    if _whole("trailing", count) < 1:
        raise UsageError(f"trailing() needs a count of at least 1, got {count}")
    if unit is None:
        return Trailing(count)
    if not isinstance(unit, str) or unit not in _UNITS:
        raise UsageError(
            f"trailing() does not know the unit {unit!r}", hint="Use minutes, hours, days, weeks or months."
        )
    return Trailing(count, _UNITS[unit])


def offset(count: int) -> Offset:
    """Read what the partition `count` windows away reads: -1 for the window before.

    Raises:
        UsageError: The count is no whole number, or 0.
    """
    if _whole("offset", count) == 0:
        raise UsageError("offset(0) is this window itself", hint="Leave the mapping out.")
    return Offset(count)


def all_partitions() -> All:
    """Read every upstream partition."""
    return All()


def fixed(key: str) -> Fixed:
    """Read one key always: a static key (with the windows that overlap), or a whole partition key.

    Raises:
        UsageError: The key is no text.
    """
    if not isinstance(key, str) or not key:
        raise UsageError(f"fixed() takes a partition key as text, got {key!r}")
    return Fixed(key)


def custom(function: Callable[[str], Iterable[str]]) -> Custom:
    """Read the upstream keys that a function returns for the key of a partition.

    Raises:
        UsageError: It is no function.
    """
    if not isinstance(function, FunctionType):
        raise UsageError(f"custom() takes a function, got {type(function).__name__}")
    name = f"{function.__module__}:{function.__qualname__}"
    if "<" in name:
        name = f"{name}:{function.__code__.co_firstlineno}"
    return Custom(function, name)


def input(dataset: str, mapping: Mapping | None = None, *, allow_missing: bool = False) -> Input:  # noqa: A001
    """Say what a parameter reads when its name or the default mapping does not.

    Args:
        dataset: Name of the dataset or source.
        mapping: Which of its partitions; by default those whose windows overlap.
        allow_missing: Whether to go on when some of those partitions have no version.

    Raises:
        UsageError: Something of this cannot be.
    """
    check_dataset_name(dataset)
    if mapping is not None and not isinstance(mapping, MAPPINGS):
        raise UsageError(f"input {dataset}: {shown_value(mapping)} is no mapping", hint=MAPPING_HINT)
    if not isinstance(allow_missing, bool):
        raise UsageError(f"input {dataset}: allow_missing must be True or False, got {allow_missing!r}")
    return Input(dataset, mapping or Overlap(), allow_missing)


def shown_value(value: object) -> str:
    """Return a value of a wrong type as messages name it."""
    return f"the text {shown(value)}" if isinstance(value, str) else f"a {type(value).__name__}"


def _whole(what: str, count: object) -> int:
    if not isinstance(count, int) or isinstance(count, bool):
        raise UsageError(f"{what}() takes a whole number, got {count!r}")
    return count
