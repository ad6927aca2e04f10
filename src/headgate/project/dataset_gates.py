"""The gates of a dataset: whether each of them can be one of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast, get_args

from headgate.errors import UsageError
from headgate.model.gate import Freshness, Gate, RowCount, inputs_of
from headgate.model.names import shown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headgate.model.partitioning import Partitioning


def declared_gates(
    where: str, given: object, parameters: tuple[str, ...], partitioning: Partitioning, returned: object
) -> tuple[Gate, ...]:
    """Return the gates of a dataset.

    Args:
        where: Where it is declared, for messages.
        given: The value of `gates=`.
        parameters: The inputs of its function.
        partitioning: How it is cut.
        returned: What its function is annotated to return.

    Raises:
        UsageError: It is no list of gates, or one of them cannot be a gate of this dataset.
    """
    if given is None:
        return ()
    if not isinstance(given, list | tuple) or not all(isinstance(gate, get_args(Gate)) for gate in given):
        raise UsageError(
            f"{where}: gates must be a list of gates, got {shown(repr(given))}",
            hint='Write gates=[headgate.not_null("id"), headgate.row_count(min=1)].',
        )
    if given and (returned is None or returned == "None"):
        raise UsageError(f"{where}: its function returns nothing that gates could look at", hint="Leave gates= out.")
    gates = cast("Sequence[Gate]", given)
    names = [gate.name for gate in gates]
    for gate in gates:
        if names.count(gate.name) > 1:
            raise UsageError(f"{where}: it has two gates {gate.name}", hint="Leave one out, or give it another name.")
        for parameter in inputs_of(gate, parameters):
            if parameter not in parameters:
                raise UsageError(
                    f"{where}: gate {gate.name} looks into {shown(parameter)}, which is no input of it",
                    hint=f"Its inputs are {', '.join(parameters)}." if parameters else "Its function has no inputs.",
                )
        is_timed = isinstance(gate, Freshness) or (isinstance(gate, RowCount) and gate.neighbours)
        if is_timed and partitioning.time is None:
            raise UsageError(
                f"{where}: gate {gate.name} is for datasets with partitions in time, and this one has none"
            )
    return tuple(gates)
