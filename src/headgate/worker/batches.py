"""Batch checkpoints: what a function yields is staged in parts, and each part is progress that outlives the attempt.

A part takes batches until the next checkpoint is due; then it is closed, fsynced, audited and reported with the offset
of its last batch. Also when the function fails: what it had yielded by then is saved before the failure is.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, cast

from headgate.crashpoints import crash_point
from headgate.errors import UnavailableError, UsageError
from headgate.model.run import ErrorClass
from headgate.project.batch import Batch
from headgate.tables.checksum import combined
from headgate.tables.layout import part_path
from headgate.tables.schema import schema_text
from headgate.tables.staging import stage
from headgate.worker.failures import AttemptError
from headgate.worker.messages import Progressed, Staged, StagedFile, StagedPart
from headgate.worker.results import check_schema, reader_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import pyarrow as pa

    from headgate.model.gate import Gate
    from headgate.project.context import Context
    from headgate.tables.staging import StagedTable
    from headgate.worker.inputs import OpenInputs
    from headgate.worker.link import Link
    from headgate.worker.messages import GateResult, Order

_WANTED = "with batches= it must yield headgate.Batch(data, offset=...)"
_END = object()


class BatchStager:
    """Stages the batches of one attempt.

    Args:
        order: The order; `batches_ms` says how often checkpoints are due, `resume` what is there already.
        context: What the function says beside its rows.
        link: Where progress is reported, and who may ask to yield.
        check_inputs: Raises if an input has changed: such progress must not be saved.
    """

    def __init__(self, order: Order, context: Context, link: Link, check_inputs: Callable[[], None]) -> None:
        self._order = order
        self._context = context
        self._link = link
        self._check_inputs = check_inputs
        self._parts: list[StagedPart] = list(order.resume.parts) if order.resume else []
        self._text = tuple(order.resume.schema) if order.resume else None
        self._schema: pa.Schema | None = None
        self._batches: Iterator[object] = iter(())
        self._taken = self._made = 0
        self._offset: int | str = 0
        self._said: tuple[int | None, dict[str, int | str] | None] = (None, None)
        self._saved_s = 0.0
        self._error: Exception | None = None
        self._is_done = False

    def stage(self, batches: object) -> bool:
        """Stage what a function yields; return whether that is all of it, or it stopped because it was asked to.

        Raises:
            UsageError: It yields something else, or nothing at all.
            AttemptError: An input has changed, the batches are of different schemas, or the file system refused.
        """
        if not hasattr(batches, "__next__"):
            raise UsageError(f"{self._order.dataset} returned {type(batches).__name__}; {_WANTED}")
        self._batches = cast("Iterator[object]", batches)
        self._saved_s = time.monotonic()
        while (reader := self._next()) is not None:
            self._keep(self._stage_part(reader))
            if not self._is_done and self._error is None and self._link.is_asked():
                if hasattr(batches, "close"):
                    batches.close()
                return False
        if self._error is not None:
            raise self._error
        self._check_inputs()
        if not self._parts:
            raise UsageError(
                f"{self._order.dataset} yielded nothing", hint="Yield at least one batch, if need be of an empty table."
            )
        return True

    def look(self, gates: Sequence[Gate], inputs: OpenInputs | None) -> list[GateResult]:
        """Return what gates find in all parts together. Pre: `stage` returned True."""
        if not gates:
            return []
        from headgate.worker.gates.staged import look_at_parts

        return look_at_parts(self._order, gates, self._parts, self._text or (), inputs)

    def staged(self, started_ms: int, began: float, gates: list[GateResult]) -> Staged:
        """Return the outcome, with what gates found. Pre: `stage` returned True."""
        context = self._context
        return Staged(
            attempt=self._order.attempt,
            files=[StagedFile(part.path, part.rows, part.bytes, part.hash) for part in self._parts],
            rows=sum(part.rows for part in self._parts),
            bytes=sum(part.bytes for part in self._parts),
            content=combined(part.content for part in self._parts),
            schema=list(self._text or ()),
            watermark_ms=context.watermark_ms,
            offsets=context.offsets or None,
            started_ms=started_ms,
            elapsed_ms=(time.perf_counter() - began) * 1000,
            gates=gates,
        )

    def _stage_part(self, reader: pa.RecordBatchReader) -> StagedTable:
        """Stage what a function yields until the next checkpoint."""
        self._made += 1
        path = Path(part_path(self._order.stage, self._made))
        try:
            return stage(path, self._schema or reader.schema, self._until_due(reader))
        except UnavailableError as error:
            raise AttemptError(ErrorClass.RESOURCE, error.message, hint=error.hint) from error

    def _keep(self, table: StagedTable) -> None:
        """Count a part in, and report it unless the result is complete with it."""
        part = StagedPart(str(table.path), table.rows, table.bytes, table.hash, table.content)
        self._parts.append(part)
        crash_point("worker.after_part")
        if self._is_done:
            return
        self._check_inputs()
        self._link.report(Progressed(self._order.attempt, part, self._offset, list(table.schema), *self._said))
        self._saved_s = time.monotonic()

    def _until_due(self, reader: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
        """Yield the rows of batches until the next checkpoint is due or there are no more."""
        due_s = self._saved_s + (self._order.batches_ms or 0) / 1000
        following: pa.RecordBatchReader | None = reader
        while following is not None:
            yield from following
            if time.monotonic() >= due_s or self._link.is_asked():
                return
            following = self._next()

    def _next(self) -> pa.RecordBatchReader | None:
        """Return the rows of the next batch; None at the end, and when the function raised."""
        if self._is_done or self._error is not None:
            return None
        try:
            item = next(self._batches, _END)
        except Exception as error:
            self._error = error
            return None
        if item is _END:
            self._is_done = True
            return None
        dataset = self._order.dataset
        if not self._context.has_looked:
            raise UsageError(
                f"{dataset} yielded a batch without a look at ctx.resume_from: what is saved would be made again",
                hint="Begin behind that offset, or at the beginning where it is None.",
            )
        if not isinstance(item, Batch):
            raise UsageError(f"{dataset} yielded {type(item).__name__}; {_WANTED}")
        reader = reader_of(item.data, f"{dataset} yielded")
        self._taken += 1
        if self._text is None:
            self._text = schema_text(reader.schema)
        self._schema = self._schema or reader.schema
        check_schema(dataset, "batches", self._taken, reader.schema, self._text)
        self._offset = item.offset
        # A function that fails may have said more by then.
        self._said = (self._context.watermark_ms, dict(self._context.offsets) or None)
        return reader
