"""Gates inside an attempt: what it has staged is looked at, for each partition that it made."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, NamedTuple

from headgate.errors import UsageError
from headgate.project.context import Context
from headgate.worker.gates.evaluate import evaluate
from headgate.worker.gates.examined import Examined
from headgate.worker.inputs import InputFiles
from headgate.worker.messages import FilePin, Member

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from headgate.model.gate import Gate
    from headgate.tables.staging import StagedTable
    from headgate.worker.inputs import OpenInputs
    from headgate.worker.messages import Baseline, Failed, GateResult, Order, StagedPart

    Schema = Sequence[tuple[str, str]]


class _Content(NamedTuple):
    """What one partition consists of."""

    files: tuple[FilePin, ...]
    rows: int
    schema: Schema


def look_at_tables(
    order: Order, gates: Sequence[Gate], made: Sequence[StagedTable | Failed | None], inputs: OpenInputs | None
) -> list[list[GateResult]]:
    """Return what gates find in what an attempt, or each member of a ranged one, has staged.

    Args:
        order: The order.
        gates: The gates of its dataset.
        made: What was staged, for each member; a failure has no gates.
        inputs: What was read.

    Raises:
        UsageError: There is nothing that gates could look at.
    """
    from headgate.tables.staging import StagedTable

    found: list[list[GateResult]] = []
    for member, one in zip(_members(order), made, strict=True):
        if one is None:
            raise UsageError(
                f"{order.dataset} has gates and returned nothing",
                hint="Return a table, if need be an empty one, or leave gates= out.",
            )
        if not isinstance(one, StagedTable):
            found.append([])
            continue
        files = (FilePin(str(one.path), one.bytes, one.hash, member.key),)
        found.append(_look(order, member, gates, _Content(files, one.rows, one.schema), inputs))
    return found


def look_at_parts(
    order: Order, gates: Sequence[Gate], parts: Sequence[StagedPart], schema: Schema, inputs: OpenInputs | None
) -> list[GateResult]:
    """Return what gates find in all that was staged in parts, together; arguments as for `look_at_tables`."""
    files = tuple(FilePin(part.path, part.bytes, part.hash, order.key) for part in parts)
    rows = sum(part.rows for part in parts)
    return _look(order, _members(order)[0], gates, _Content(files, rows, schema), inputs)


def _members(order: Order) -> Sequence[Member]:
    alone = Member(order.attempt, order.key, order.window, order.number, order.stage, order.baseline)
    return order.members or [alone]


def _look(
    order: Order, member: Member, gates: Sequence[Gate], content: _Content, inputs: OpenInputs | None
) -> list[GateResult]:
    context = Context(
        order.dataset,
        member.key,
        member.window,
        member.attempt,
        member.number,
        order.run,
        order.parameters,
        zone=order.zone,
    )
    examined = Examined(
        InputFiles(order.dataset, (member.key,), "parquet", content.files, immutable=True),
        content.rows,
        content.schema,
        context,
        member.baseline,
        {} if inputs is None else _read_by(order, inputs.files, member.baseline if order.members else None),
    )
    return evaluate(gates, examined)


def _read_by(order: Order, opened: Mapping[str, InputFiles], baseline: Baseline | None) -> Mapping[str, InputFiles]:
    """Return the inputs of one partition of a ranged attempt: what it alone would have read."""
    if baseline is None or not baseline.reads:
        return opened
    found: dict[str, InputFiles] = {}
    for pin, keys in zip(order.inputs, baseline.reads, strict=True):
        files = opened.get(pin.parameter)
        if files is not None:
            wanted = set(keys)
            own = tuple(file for file in files.files if file.key in wanted)
            if own:
                found[pin.parameter] = dataclasses.replace(files, keys=tuple(keys), files=own)
    return found
