"""How a project's modules declare datasets and sources.

Errors raised here do not say where: the loader adds file and line, and elsewhere the traceback does.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from types import FunctionType
from typing import TYPE_CHECKING, Any, TypeVar, cast, overload

from headgate.errors import UsageError
from headgate.model.dataset import Format, Input, Mirror, Source
from headgate.model.names import check_dataset_name, shown, shown_value
from headgate.model.partitioning import UNPARTITIONED, Partitioning
from headgate.model.schema_diff import SchemaPolicy
from headgate.project import options
from headgate.project.dataset_gates import declared_gates
from headgate.project.failure_modes import failure_modes
from headgate.project.functions import CONTEXT_PARAMETER, code_of, unwrapped
from headgate.project.mappings import declared_inputs
from headgate.project.pattern import format_of_suffix, is_url, parse_pattern

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType

    from headgate.model.gate import Gate
    from headgate.model.mapping import Mapping
    from headgate.model.policy import FailureMode

_Function = TypeVar("_Function", bound="Callable[..., Any]")
_CO_VARARGS, _CO_VARKEYWORDS = 0x04, 0x08


@dataclass(frozen=True, slots=True)
class Declaration:
    """What `@headgate.dataset` says about a function; fields as in `Dataset`.

    Args:
        name: Name of the dataset.
        function: The function, unchanged.
        partitioning: How the dataset is cut.
        inputs: Parameter name -> what it reads.
        version: Explicit version, if any.
        timeout_ms: Time limit of one attempt; None for none.
        pools: Slots that an attempt takes, by pool.
        concurrency: Attempts at a time; None for no bound.
        failure_modes: Ways in which it is known to fail.
        batches_ms: How often its progress is saved at most, if it yields batches.
        batch: How many partitions one attempt takes at most.
        batch_bytes: How much they may read together, by the forecast; None for any amount.
        partition_column: Column of the result that says which partition a row belongs to.
        snapshot_only: Whether only the newest partition can be built.
        idempotent: Whether building a partition again does no harm.
        gates: What must hold of its rows.
        allow_empty: Whether a partition that had rows may become empty.
        schema_policy: How its schema may change.
        mirror: As what it is mirrored.
        file: Where it was declared.
        line: In which line.
    """

    name: str
    function: Callable[..., Any]
    partitioning: Partitioning
    inputs: dict[str, Input]
    version: str | None
    timeout_ms: int | None
    pools: dict[str, int]
    concurrency: int | None
    failure_modes: tuple[FailureMode, ...]
    batches_ms: int | None
    batch: int
    batch_bytes: int | None
    partition_column: str | None
    snapshot_only: bool
    idempotent: bool
    gates: tuple[Gate, ...]
    allow_empty: bool
    schema_policy: SchemaPolicy
    mirror: Mirror | None
    file: str
    line: int

    @property
    def is_async(self) -> bool:
        """Return whether calling the function gives a coroutine or an asynchronous generator."""
        return options.is_async(code_of(self.function))


@dataclass(frozen=True, slots=True)
class DeclaredSource:
    """A source, and where it was declared."""

    source: Source
    file: str
    line: int


_declared: list[Declaration | DeclaredSource] = []


def take_declarations() -> list[Declaration | DeclaredSource]:
    """Return what was declared since the last call, in order, and forget it."""
    taken = _declared.copy()
    _declared.clear()
    return taken


@overload
def dataset(function: _Function, /) -> _Function: ...


@overload
def dataset(
    *,
    name: str | None = None,
    partitions: Partitioning = UNPARTITIONED,
    inputs: dict[str, Mapping | Input] | None = None,
    version: str | None = None,
    timeout: float | str | None = None,
    pools: list[str] | dict[str, int] | None = None,
    concurrency: int | None = None,
    failures: list[FailureMode] | None = None,
    batches: float | str | None = None,
    batch: int | str = 1,
    partition_column: str | None = None,
    snapshot_only: bool = False,
    idempotent: bool = True,
    gates: list[Gate] | None = None,
    allow_empty: bool = False,
    schema: SchemaPolicy | str = SchemaPolicy.ANY,
    mirror: Mirror | str | None = None,
) -> Callable[[_Function], _Function]: ...


def dataset(
    function: object = None,
    /,
    *,
    name: str | None = None,
    partitions: Partitioning = UNPARTITIONED,
    inputs: dict[str, Mapping | Input] | None = None,
    version: str | None = None,
    timeout: float | str | None = None,
    pools: list[str] | dict[str, int] | None = None,
    concurrency: int | None = None,
    failures: list[FailureMode] | None = None,
    batches: float | str | None = None,
    batch: int | str = 1,
    partition_column: str | None = None,
    snapshot_only: bool = False,
    idempotent: bool = True,
    gates: list[Gate] | None = None,
    allow_empty: bool = False,
    schema: SchemaPolicy | str = SchemaPolicy.ANY,
    mirror: Mirror | str | None = None,
) -> Any:
    """Declare the dataset that a function makes, partition by partition; the function itself stays as it is.

    Each parameter except `ctx` is an input: the dataset or source of that name, by default those of its partitions
    whose windows overlap.

    Args:
        function: The function, when used without parentheses.
        name: Name of the dataset; by default the function's.
        partitions: How it is cut; by default not at all.
        inputs: Parameter -> a mapping, or `headgate.input(...)` for a dataset of another name.
        version: Text that makes every partition stale when it changes, for what the code does not show.
        timeout: Longest time of one attempt: seconds, or text such as ``"90s"``, ``"10m"``, ``"2h"``.
        pools: Pools of headgate.toml from which an attempt takes a slot, or how many slots it takes of each.
        concurrency: How many attempts of it run at a time, over all runs.
        failures: Ways in which it is known to fail, built with `headgate.failure(...)`; the first that matches counts.
        batches: Says that the function is a generator of `headgate.Batch(data, offset=...)`, and how often, at most,
            its progress is saved so that the next attempt can go on from there: a length of time, or 0 for after
            every batch.
        batch: How many neighbouring partitions one attempt takes at most, or how much they read together, by the
            forecast ("500MB"; without a history one partition): the function then gets the window from the
            start of the first to the end of the last, and its result is split. It makes nothing stale.
        partition_column: The column of the result by which it is split: it says which partition a row belongs to.
        snapshot_only: Says that what it reads shows only the present, so that past windows cannot be built.
        idempotent: False says that it has effects elsewhere that must not happen twice for a partition.
        gates: What must hold of the rows before anybody sees them: `headgate.not_null(...)` and others. They make
            nothing stale.
        allow_empty: Whether a partition that has rows may be replaced by one without any; else that is quarantined.
        schema: How the columns and types may change from version to version: ``"any"`` (a change that does more than
            add columns is recorded as a warning), ``"additive"`` (columns may come) or ``"fixed"``; what may not be
            is quarantined. It makes nothing stale.
        mirror: ``"delta"`` for a Delta Lake table over the same files, in DATA/DATASET, that Spark, Polars and others
            read; it follows what is published within a second.

    Raises:
        UsageError: Something of this cannot be.
    """

    def declare(target: _Function) -> _Function:
        declaration = _declaration(
            target,
            name=name,
            partitions=partitions,
            inputs=inputs,
            version=version,
            timeout=timeout,
            pools=pools,
            concurrency=concurrency,
            failures=failures,
            batches=batches,
            batch=batch,
            partition_column=partition_column,
            snapshot_only=snapshot_only,
            idempotent=idempotent,
            gates=gates,
            allow_empty=allow_empty,
            schema=schema,
            mirror=mirror,
        )
        target.__headgate__ = declaration  # type: ignore[attr-defined]
        _declared.append(declaration)
        return target

    if function is None:
        return declare
    if not callable(function):
        raise UsageError(
            f"@headgate.dataset takes named arguments only, got {shown(str(function))}",
            hint='Write @headgate.dataset(name="...").',
        )
    return declare(function)


def source(
    name: str,
    *,
    path: str,
    format: Format | str | None = None,  # noqa: A002
    partitions: Partitioning = UNPARTITIONED,
    description: str = "",
) -> Source:
    """Declare data that arrives from outside as files, one for each partition.

    Args:
        name: Its name.
        path: Relative to the project, absolute, or an http(s) URL; with ``{key}``, ``{static}``,
            ``{start:%Y-%m-%d}`` or ``{end:%Y-%m-%d}`` for the partition, in local time of its zone.
        format: ``"csv"`` (types inferred from each file), ``"csv-text"`` (every column stays text), ``"parquet"`` or
            ``"jsonl"``; by default what the ending of the path says.
        partitions: How it is cut; by default one file.
        description: One line for people.

    Raises:
        UsageError: Something of this cannot be.
    """
    check_dataset_name(name)
    if not isinstance(path, str):
        raise UsageError(f"source {name}: path must be text, got {type(path).__name__}")
    if not isinstance(description, str):
        raise UsageError(f"source {name}: description must be text, got {type(description).__name__}")
    _check_partitions(f"source {name}", partitions)
    try:
        parse_pattern(path, partitions)
    except UsageError as error:
        raise UsageError(f"source {name}: {error.message}", hint=error.hint) from None
    frame = sys._getframe(1)
    file, line = frame.f_code.co_filename, frame.f_lineno
    declared = Source(name, partitions, path, _format(name, path, format), description, f"{file}:{line}")
    _declared.append(DeclaredSource(declared, file, line))
    return declared


def _declaration(
    function: object,
    *,
    name: object,
    partitions: object,
    inputs: object,
    version: object,
    timeout: object,
    pools: object,
    concurrency: object,
    failures: object,
    batches: object,
    batch: object,
    partition_column: object,
    snapshot_only: object,
    idempotent: object,
    gates: object,
    allow_empty: object,
    schema: object,
    mirror: object,
) -> Declaration:
    if not isinstance(function, FunctionType):
        raise UsageError(f"@headgate.dataset decorates functions, got {shown_value(function)}")
    label = function.__qualname__
    if not label.isidentifier():
        raise UsageError(
            f"{label} cannot be a dataset: workers find a function by its module and name",
            hint="Define it with def at the top level of a module.",
        )
    checked_name = _dataset_name(label, name)
    where = f"dataset {checked_name}"
    _check_partitions(where, partitions)
    if version is not None and (not isinstance(version, str) or not version):
        raise UsageError(f"{where}: version must be text, got {version!r}", hint='Write version="2".')
    inner = cast("FunctionType", unwrapped(function))
    code = code_of(inner)
    parameters = _parameters(where, code)
    partitioning = cast("Partitioning", partitions)
    most, most_bytes = options.batch(where, partitioning, batches, batch)
    return Declaration(
        checked_name,
        function,
        partitioning,
        declared_inputs(where, parameters, inputs),
        version,
        options.timeout_ms(where, timeout),
        options.pools(where, pools),
        options.concurrency(where, concurrency),
        failure_modes(where, failures),
        options.batches_ms(where, code, batches),
        most,
        most_bytes,
        options.partition_column(where, inner, partitioning, most, partition_column),
        options.flag(where, "snapshot_only", snapshot_only),
        options.flag(where, "idempotent", idempotent),
        declared_gates(where, gates, parameters, partitioning, inner.__annotations__.get("return", "")),
        options.flag(where, "allow_empty", allow_empty),
        options.schema_policy(where, schema),
        options.mirror(where, inner, mirror),
        code.co_filename,
        code.co_firstlineno,
    )


def _dataset_name(label: str, name: object) -> str:
    if name is not None:
        return check_dataset_name(name)
    try:
        return check_dataset_name(label)
    except UsageError as error:
        raise UsageError(error.message, hint='Give it another name: @headgate.dataset(name="...").') from None


def _parameters(where: str, code: CodeType) -> tuple[str, ...]:
    if code.co_flags & (_CO_VARARGS | _CO_VARKEYWORDS):
        raise UsageError(f"{where}: its function takes *args or **kwargs", hint="Name every input as a parameter.")
    if code.co_posonlyargcount:
        raise UsageError(
            f"{where}: its function takes parameters by position only", hint="Remove the / from its parameters."
        )
    names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    return tuple(name for name in names if name != CONTEXT_PARAMETER)


def _format(name: str, path: str, given: object) -> Format:
    known = ", ".join(Format)
    text = format_of_suffix(path) if given is None else given
    if text is None:
        raise UsageError(
            f"source {name}: the ending of {shown(path)} says no format", hint=f"Say which: format= one of {known}."
        )
    if not isinstance(text, str) or text not in set(Format):
        raise UsageError(f"source {name}: there is no format {text!r}", hint=f"There are {known}.")
    if "://" in path and not is_url(path):
        raise UsageError(f"source {name}: {shown(path)} is no http(s) address", hint="Use a path, http:// or https://.")
    return Format(text)


def _check_partitions(where: str, partitions: object) -> None:
    if not isinstance(partitions, Partitioning):
        raise UsageError(
            f"{where}: partitions is {shown_value(partitions)}",
            hint='Use headgate.daily("2024-01-01"), .hourly, .minutely, .weekly, .monthly, .static or .product.',
        )
