"""One attempt: import the function, give it its inputs, call it, stage and audit what it returns.

An attempt that returns nothing imports no data library. Whatever happens inside becomes a `Staged` or a `Failed`.
"""

from __future__ import annotations

import inspect
import sys
import time
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headgate.errors import UnavailableError, UsageError
from headgate.model.run import ErrorClass
from headgate.project.context import Context
from headgate.project.functions import CONTEXT_PARAMETER, InputKind, kind_of, unwrapped
from headgate.worker.failures import AttemptError, failed
from headgate.worker.inputs import OpenInputs
from headgate.worker.link import NO_LINK
from headgate.worker.messages import Failed, Split, Staged, StagedFile, Yielded

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncIterator, Callable, Iterable, Sequence
    from types import ModuleType

    import pyarrow as pa

    from headgate.model.gate import Gate
    from headgate.tables.staging import StagedTable
    from headgate.worker.batches import BatchStager
    from headgate.worker.link import Link
    from headgate.worker.messages import Ending, GateResult, Order

    Made = StagedTable | Failed | None


@dataclass(frozen=True, slots=True)
class _Entry:
    """A function, what it wants, and what must hold of its result."""

    function: Callable[..., Any]
    kinds: dict[str, InputKind]
    wants_context: bool
    gates: tuple[Gate, ...]


_entries: dict[tuple[str, str], _Entry] = {}
"""By the name and the code of the function: a process that runs attempts itself may see it edited."""


def run_attempt(order: Order, link: Link = NO_LINK) -> Ending:
    """Run one attempt of a synchronous function, here and now. Never raises."""
    inputs: OpenInputs | None = None
    started_ms, began = time.time_ns() // 1_000_000, time.perf_counter()
    try:
        entry = _entries.get((order.entry, order.code)) or _resolve(order)
        arguments: dict[str, Any] = {}
        if order.inputs:
            inputs = OpenInputs(order.inputs, order.stage)
            arguments = inputs.arguments(entry.kinds)
        context = _add_context(order, entry, arguments)
        value = entry.function(**arguments)
        if order.batches_ms is not None:
            stager = _stage_batches(order, value, context, link, inputs)
            if stager is None:
                return Yielded(order.attempt)
            staged = stager.staged(started_ms, began, stager.look(entry.gates, inputs))
            if inputs is not None:
                inputs.check()
            return staged
        made = _stage(order, entry.gates, value, inputs)
        if inputs is not None:
            inputs.check()
        return _told(order, made, context, started_ms, began)
    except BaseException as error:
        return _failed(order, error, inputs)
    finally:
        if inputs is not None:
            inputs.close()


async def run_attempt_async(order: Order) -> Staged | Failed | Split:
    """Run one attempt of an `async def` function on this loop; what blocks goes to threads.

    Raises:
        asyncio.CancelledError: The attempt was cancelled; nothing of it runs any more.
    """
    import asyncio

    inputs: OpenInputs | None = None
    started_ms, began = time.time_ns() // 1_000_000, time.perf_counter()
    try:
        entry = _entries.get((order.entry, order.code)) or _resolve(order)
        arguments: dict[str, Any] = {}
        if order.inputs:
            inputs = OpenInputs(order.inputs, order.stage)
            arguments = await _in_thread(inputs.arguments, entry.kinds)
        context = _add_context(order, entry, arguments)
        value = entry.function(**arguments)
        if hasattr(value, "__await__"):
            value = await value
        if hasattr(value, "__anext__"):
            pulled = _Pulled(value, asyncio.get_running_loop())
            try:
                made = await _in_thread(_stage, order, entry.gates, pulled, inputs, stop=pulled.stop)
            finally:
                await value.aclose()
        else:
            staging = (order, entry.gates, value, inputs)
            made = _stage(*staging) if value is None else await _in_thread(_stage, *staging)
        if inputs is not None:
            inputs.check()
        return _told(order, made, context, started_ms, began)
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        return _failed(order, error, inputs)
    except BaseException as error:
        return _failed(order, error, inputs)
    finally:
        if inputs is not None:
            inputs.close()


async def _in_thread(function: Callable[..., Any], *arguments: Any, stop: Callable[[], None] | None = None) -> Any:
    """Run a function in a thread; when cancelled, wait for its end, so that no file appears after the outcome."""
    import asyncio

    work = asyncio.ensure_future(asyncio.to_thread(function, *arguments))
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        if stop is not None:
            stop()
        await asyncio.wait([work])
        if not work.cancelled():
            work.exception()
        raise


class _Pulled:
    """An asynchronous generator as an iterator for another thread."""

    def __init__(self, items: AsyncIterator[object], loop: asyncio.AbstractEventLoop) -> None:
        self._items = items
        self._loop = loop
        self._waiting: asyncio.Task[object] | None = None
        self._stopped = False

    def __iter__(self) -> _Pulled:
        return self

    def __next__(self) -> object:
        import asyncio

        try:
            return asyncio.run_coroutine_threadsafe(self._next(), self._loop).result()
        except StopAsyncIteration:
            raise StopIteration from None

    async def _next(self) -> object:
        # On the loop, as `stop` is: between a look at `_stopped` in the other thread and this, it could be stopped.
        import asyncio

        if self._stopped:
            raise AttemptError(ErrorClass.PERMANENT, "the attempt was cancelled")
        self._waiting = asyncio.current_task()
        try:
            return await anext(self._items)
        finally:
            self._waiting = None

    def stop(self) -> None:
        """End the iteration with an error, at once. Called on the loop."""
        self._stopped = True
        if self._waiting is not None:
            self._waiting.cancel()


def _resolve(order: Order) -> _Entry:
    """Return the function behind ``module:function`` and what its parameters are annotated as.

    Raises:
        UsageError: There is no such function, its code is not what the run was started with, or a parameter is
            annotated as something that no input can be.
    """
    module_name, _, function_name = order.entry.partition(":")
    module = sys.modules.get(module_name) or import_module(module_name)
    function = getattr(module, function_name, None)
    if not callable(function):
        raise UsageError(f"module {module_name} has no function {function_name}", hint="Plan again.")
    if order.code:
        _check_code(order, module)
    inner = unwrapped(function)
    names = inspect.signature(inner).parameters
    kinds = {parameter: kind_of(inner, parameter) for parameter in names if parameter != CONTEXT_PARAMETER}
    declared = getattr(function, "__headgate__", None)
    entry = _Entry(function, kinds, CONTEXT_PARAMETER in names, declared.gates if declared else ())
    _entries[order.entry, order.code] = entry
    return entry


def _check_code(order: Order, module: ModuleType) -> None:
    """Refuse code that was edited after the run began: the checkpoint would name what did not run.

    Raises:
        UsageError: It was.
    """
    from headgate.project.fingerprint import CodeReader

    module_name, _, function_name = order.entry.partition(":")
    root = Path(module.__file__ or "").parents[module_name.count(".") + hasattr(module, "__path__")]
    if CodeReader(root).fingerprint(module_name, function_name, order.declared_version) != order.code:
        raise UsageError(
            f"the code of {order.dataset} changed after this session of the run began",
            hint=f"headgate retry {order.run} builds what is left with the new code.",
        )


def _add_context(order: Order, entry: _Entry, arguments: dict[str, Any]) -> Context | None:
    if not entry.wants_context:
        return None
    keys = tuple(member.key for member in order.members) or (order.key,)
    context = Context(
        order.dataset,
        order.key,
        order.window,
        order.attempt,
        order.number,
        order.run,
        order.parameters,
        keys,
        order.zone,
    )
    arguments[CONTEXT_PARAMETER] = context
    if order.resume is not None:
        context.resume_at(order.resume.offset)
        context.watermark_ms = order.resume.watermark_ms
        context.offsets.update(order.resume.offsets or {})
    return context


def _stage_batches(
    order: Order, value: object, context: Context | None, link: Link, inputs: OpenInputs | None
) -> BatchStager | None:
    """Stage what a function with `batches=` yields; return None if it stopped because it was asked to."""
    from headgate.worker.batches import BatchStager

    assert context is not None, "batches= is refused without ctx"
    stager = BatchStager(order, context, link, lambda: None if inputs is None else inputs.check())
    return stager if stager.stage(value) else None


def _stage(
    order: Order, gates: Sequence[Gate], value: object, inputs: OpenInputs | None
) -> list[tuple[Made, list[GateResult]]]:
    """Stage what a function returned and look at it: one file, or one for each member of a ranged attempt."""
    made = _stage_tables(order, value)
    if not gates:
        return [(one, []) for one in made]
    from headgate.worker.gates.staged import look_at_tables

    return list(zip(made, look_at_tables(order, gates, made, inputs), strict=True))


def _stage_tables(order: Order, value: object) -> Sequence[Made]:
    """Stage what a function returned; nothing for None."""
    if value is None:
        return (None,) * max(1, len(order.members))
    from headgate.worker.results import open_result

    schema, batches = open_result(value, order.dataset)
    if not order.partition_column:
        return (_stage_one(order.stage, schema, batches),)
    from headgate.worker.split import own, split

    if not order.members:
        return (_stage_one(order.stage, schema, own(order, schema, batches)),)
    made: list[Made] = []
    for member, rows in split(order, schema, batches):
        try:
            made.append(_stage_one(member.stage, schema, rows.to_batches()))
        except Exception as error:
            made.append(failed(member.attempt, error))
    return made


def _stage_one(path: str, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> StagedTable:
    from headgate.tables.staging import stage

    try:
        return stage(Path(path), schema, batches)
    except UnavailableError as error:
        raise AttemptError(ErrorClass.RESOURCE, error.message, hint=error.hint) from error


def _told(
    order: Order, made: Sequence[tuple[Made, list[GateResult]]], context: Context | None, started_ms: int, began: float
) -> Staged | Failed | Split:
    """Return what the coordinator is told of what was staged."""
    elapsed_ms = (time.perf_counter() - began) * 1000

    def told(attempt: int, path: str, one: Made, found: list[GateResult]) -> Staged | Failed:
        if isinstance(one, Failed):
            return one
        return Staged(
            attempt=attempt,
            files=[StagedFile(path, one.rows, one.bytes, one.hash)] if one else [],
            rows=one.rows if one else 0,
            bytes=one.bytes if one else 0,
            content=one.content if one else "",
            schema=list(one.schema) if one else None,
            watermark_ms=context.watermark_ms if context else None,
            offsets=(context.offsets or None) if context else None,
            started_ms=started_ms,
            elapsed_ms=elapsed_ms,
            gates=found,
        )

    if not order.members:
        return told(order.attempt, order.stage, *made[0])
    parts = zip(order.members, made, strict=True)
    return Split(order.attempt, [told(member.attempt, member.stage, *one) for member, one in parts])


def _failed(order: Order, error: BaseException, inputs: OpenInputs | None) -> Failed:
    if inputs is not None:
        try:
            # A file that changed under the function explains what the function met.
            inputs.check()
        except AttemptError as changed:
            error = changed
    entry = _entries.get((order.entry, order.code))
    declared = getattr(entry.function, "__headgate__", None) if entry else None
    return failed(order.attempt, error, declared.failure_modes if declared else ())
