"""The options of `@headgate.dataset` that say how attempts of it run, checked one by one.

Each function takes where the dataset is declared, for the message, and a value as given; it returns it as kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from headgate.errors import UsageError
from headgate.model.dataset import Mirror
from headgate.model.names import shown
from headgate.model.partitioning import UNPARTITIONED
from headgate.model.schema_diff import SchemaPolicy
from headgate.project.amounts import length_ms, size_bytes
from headgate.project.functions import CONTEXT_PARAMETER

if TYPE_CHECKING:
    from types import CodeType, FunctionType

    from headgate.model.partitioning import Partitioning

MOST_BY_SIZE = 1000
"""Partitions that one attempt takes, at most, where their number goes by their size."""
_CO_GENERATOR, _CO_COROUTINE, _CO_ASYNC_GENERATOR = 0x20, 0x80, 0x200


def is_async(code: CodeType) -> bool:
    """Return whether calling a function gives a coroutine or an asynchronous generator."""
    return bool(code.co_flags & (_CO_COROUTINE | _CO_ASYNC_GENERATOR))


def timeout_ms(where: str, timeout: object) -> int | None:
    """Return the time limit of an attempt.

    Raises:
        UsageError: It is no length of time.
    """
    if timeout is None:
        return None
    found = length_ms(timeout)
    if found is None:
        raise UsageError(
            f"{where}: timeout {timeout!r} is no length of time", hint='Give seconds, or text: "90s", "10m", "2h".'
        )
    return found


def pools(where: str, given: object) -> dict[str, int]:
    """Return how many slots an attempt takes, by pool.

    Raises:
        UsageError: It is neither a list of pools nor a table of slots.
    """
    if given is None:
        return {}
    slots = dict.fromkeys(given, 1) if isinstance(given, list) and all(isinstance(p, str) for p in given) else given
    if not isinstance(slots, dict) or not all(isinstance(pool, str) and _is_count(slots[pool]) for pool in slots):
        raise UsageError(
            f"{where}: pools is {shown(repr(given))}",
            hint='Write pools=["warehouse"], or pools={"warehouse": 2} for more than one slot.',
        )
    return dict(slots)


def concurrency(where: str, given: object) -> int | None:
    """Return how many attempts run at a time.

    Raises:
        UsageError: It is no number of at least 1.
    """
    return None if given is None else _count(where, "concurrency", given)


def batches_ms(where: str, code: CodeType, batches: object) -> int | None:
    """Return how often, at most, progress inside an attempt is saved.

    Raises:
        UsageError: It is no length of time, or the function yields no batches from an offset.
    """
    if batches is None:
        return None
    found = 0 if batches in (0, "0s") and not isinstance(batches, bool) else length_ms(batches)
    if found is None:
        raise UsageError(
            f"{where}: batches {batches!r} is no length of time",
            hint='Give seconds, or text: "30s", "5m"; 0 saves progress after every batch.',
        )
    if is_async(code):
        raise UsageError(
            f"{where}: batches= is not for async functions", hint="Make it a plain generator: def and yield."
        )
    if not code.co_flags & _CO_GENERATOR:
        raise UsageError(
            f"{where}: batches= is for functions that yield batches, and this one has no yield",
            hint="Write yield headgate.Batch(data, offset=...), or leave batches= out.",
        )
    if CONTEXT_PARAMETER not in code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]:
        raise UsageError(
            f"{where}: batches= needs the parameter {CONTEXT_PARAMETER}",
            hint=f"{CONTEXT_PARAMETER}.resume_from is the offset behind which the function goes on; None at first.",
        )
    return found


def batch(where: str, partitions: Partitioning, batches: object, given: object) -> tuple[int, int | None]:
    """Return how many partitions one attempt takes at most, and how many bytes of inputs; None for any.

    Raises:
        UsageError: It is neither a number of at least 1 nor a size, there is only one partition, or the function saves
            progress.
    """
    # A number as text could mean either.
    most_bytes = size_bytes(given) if isinstance(given, str) and not given.isdigit() else None
    if isinstance(given, str) and most_bytes is None:
        raise UsageError(
            f"{where}: batch {given!r} is neither a number of partitions nor a size",
            hint='Write batch=30, or batch="500MB" for as many partitions as read so much, by the forecast.',
        )
    most = _count(where, "batch", given) if most_bytes is None else MOST_BY_SIZE
    if most > 1 and partitions == UNPARTITIONED:
        raise UsageError(
            f"{where}: batch={most} is for datasets with partitions, and this one has none",
            hint="Say how it is cut with partitions=, or leave batch= out.",
        )
    if most > 1 and batches is not None:
        raise UsageError(
            f"{where}: batch= and batches= do not go together",
            hint="batch= takes many partitions in one attempt; batches= saves progress inside of one partition.",
        )
    return most, most_bytes


def partition_column(
    where: str, function: FunctionType, partitions: Partitioning, most: int, given: object
) -> str | None:
    """Return the column of the result that says which partition a row belongs to.

    Args:
        where: Where the dataset is declared.
        function: Its function.
        partitions: How it is cut.
        most: How many partitions one attempt takes at most.
        given: The value as given.

    Raises:
        UsageError: It is no name of a column, or there is none by which a result could be split.
    """
    if given is not None and (not isinstance(given, str) or not given):
        raise UsageError(
            f"{where}: partition_column must be the name of a column, got {shown(repr(given))}",
            hint='Write partition_column="day".',
        )
    if given is not None and partitions == UNPARTITIONED:
        raise UsageError(
            f"{where}: partition_column={given} is for datasets with partitions, and this one has none",
            hint="Say how it is cut with partitions=, or leave partition_column= out.",
        )
    if given is None and most > 1 and function.__annotations__.get("return", "") not in {None, "None"}:
        raise UsageError(
            f"{where}: batch={most} needs partition_column=, the column that says which partition a row belongs to",
            hint='Write partition_column="day", or def ...() -> None if the function returns nothing.',
        )
    return given


def flag(where: str, name: str, given: object) -> bool:
    """Return an option that is true or false.

    Raises:
        UsageError: It is neither.
    """
    if not isinstance(given, bool):
        raise UsageError(f"{where}: {name} must be True or False, got {shown(repr(given))}")
    return given


def schema_policy(where: str, given: object) -> SchemaPolicy:
    """Return how a schema may change.

    Raises:
        UsageError: It is not one of the words for that.
    """
    if not isinstance(given, str) or given not in set(SchemaPolicy):
        raise UsageError(
            f"{where}: schema is {shown(repr(given))}",
            hint='Write schema="any", "additive" (columns may come) or "fixed". Columns themselves: '
            "headgate.schema_contract(...) among the gates.",
        )
    return SchemaPolicy(given)


def mirror(where: str, function: FunctionType, given: object) -> Mirror | None:
    """Return the table format in which a dataset is mirrored.

    Raises:
        UsageError: There is no such format, or the function makes no table.
    """
    if given is None:
        return None
    if not isinstance(given, str) or given not in set(Mirror):
        raise UsageError(f"{where}: mirror is {shown(repr(given))}", hint='Write mirror="delta".')
    if function.__annotations__.get("return", "") in {None, "None"}:
        raise UsageError(
            f"{where}: mirror={given} is for datasets with files, and this function returns None",
            hint="Leave mirror= out.",
        )
    return Mirror(given)


def _count(where: str, name: str, given: object) -> int:
    if not _is_count(given):
        raise UsageError(f"{where}: {name} must be a whole number of at least 1, got {shown(repr(given))}")
    return cast("int", given)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 1_000_000
