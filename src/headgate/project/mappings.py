"""The mappings as projects write them: which upstream partitions a partition reads."""

from __future__ import annotations

from types import FunctionType
from typing import TYPE_CHECKING, cast, get_args

from headgate.errors import UsageError
from headgate.model.dataset import Input
from headgate.model.mapping import All, Custom, Fixed, Mapping, Offset, Overlap, Trailing
from headgate.model.names import check_dataset_name, shown, shown_value
from headgate.model.partitioning import Unit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_MAPPINGS = get_args(Mapping)
_MAPPING_HINT = (
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

    Args:
        count: How many windows later; negative for earlier. A dataset may read itself, at earlier windows.

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
    """Read one key always.

    Args:
        key: A static key, which is read with the windows that overlap, or a whole partition key.

    Raises:
        UsageError: The key is no text.
    """
    if not isinstance(key, str) or not key:
        raise UsageError(f"fixed() takes a partition key as text, got {key!r}")
    return Fixed(key)


def custom(function: Callable[[str], Iterable[str]]) -> Custom:
    """Read the upstream keys that a function returns for the key of a partition.

    Args:
        function: It gets the key of a partition and returns those of the upstream partitions; always the same ones.

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
    if mapping is not None and not isinstance(mapping, _MAPPINGS):
        raise UsageError(f"input {dataset}: {shown_value(mapping)} is no mapping", hint=_MAPPING_HINT)
    if not isinstance(allow_missing, bool):
        raise UsageError(f"input {dataset}: allow_missing must be True or False, got {allow_missing!r}")
    return Input(dataset, mapping or Overlap(), allow_missing)


def declared_inputs(where: str, parameters: tuple[str, ...], given: object) -> dict[str, Input]:
    """Return what the parameters of a dataset's function read.

    Args:
        where: The dataset, for the message.
        parameters: Their names.
        given: What was said of some of them.

    Raises:
        UsageError: It names what is no parameter, or something of it cannot be.
    """
    if given is None:
        given = {}
    if not isinstance(given, dict):
        raise UsageError(f"{where}: inputs must be a dict of parameter names, got {type(given).__name__}")
    for parameter in given:
        if parameter not in parameters:
            raise UsageError(
                f"{where}: inputs names {shown(str(parameter))}, which is no parameter of its function",
                hint=f"Its inputs are {', '.join(parameters)}." if parameters else "Its function has no inputs.",
            )
    return {parameter: _declared_input(where, parameter, given.get(parameter)) for parameter in parameters}


def _declared_input(where: str, parameter: str, given: object) -> Input:
    if isinstance(given, Input):
        return given
    if given is not None and not isinstance(given, _MAPPINGS):
        raise UsageError(f"{where}: inputs[{parameter!r}] is {shown_value(given)}", hint=_MAPPING_HINT)
    try:
        return Input(check_dataset_name(parameter), cast("Mapping", given or Overlap()))
    except UsageError:
        raise UsageError(
            f"{where}: parameter {shown(parameter)} is no name of a dataset",
            hint=f'Say what it reads: inputs={{"{parameter}": headgate.input("...")}}.',
        ) from None


def _whole(what: str, count: object) -> int:
    if not isinstance(count, int) or isinstance(count, bool):
        raise UsageError(f"{what}() takes a whole number, got {count!r}")
    return count
