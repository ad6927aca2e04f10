"""Gates that are functions of the project's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from headgate.project.functions import CONTEXT_PARAMETER, InputKind, code_of, kind_of, unwrapped
from headgate.worker.failures import text_of
from headgate.worker.gates.examined import Finding, Unfit, all_rows

if TYPE_CHECKING:
    from headgate.model.gate import Check
    from headgate.worker.gates.examined import Examined


def check(gate: Check, examined: Examined) -> Finding:
    """Call the function.

    Raises:
        Unfit: It returned neither True, False, text nor None.
    """
    function = unwrapped(gate.function)
    first = code_of(function).co_varnames[0]
    if gate.inputs and examined.inputs is None:
        return Finding(True, "not called: what it was made from is not known here")
    arguments: dict[str, Any] = {first: examined.rows.as_kind(_kind(gate, first))}
    for name in gate.inputs:
        files = (examined.inputs or {}).get(name)
        arguments[name] = None if files is None else files.as_kind(_kind(gate, name))
    if gate.wants_context:
        arguments[CONTEXT_PARAMETER] = examined.context
    try:
        value = gate.function(**arguments)
    except AssertionError as error:
        return Finding(False, text_of(error) or "an assertion does not hold")
    # Comparisons of NumPy, and so of pandas and Polars, return truth values of its own.
    if type(value).__name__ in {"bool", "bool_"}:
        return Finding(bool(value), all_rows(examined.count) if value else "it returned False")
    match value:
        case None:
            return Finding(True, all_rows(examined.count))
        case str():
            return Finding(False, value) if value else Finding(True, all_rows(examined.count))
        case _:
            raise Unfit(
                f"it returned {type(value).__name__}: return True, False, text that says what is wrong, or None"
            )


def _kind(gate: Check, parameter: str) -> InputKind:
    annotated = unwrapped(gate.function).__annotations__.get(parameter)
    return InputKind.POLARS_DATA_FRAME if annotated is None else kind_of(gate.function, parameter)
